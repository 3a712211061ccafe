"""Parsing of model answers, and pydantic models and dataclasses as schemas."""

from __future__ import annotations

import dataclasses
import datetime
import decimal  # noqa: TC003 - pydantic evaluates annotations
import enum
import json
import uuid  # noqa: TC003 - as above
from typing import Any

import pydantic
import pytest

import barbule as bb
from barbule.errors import DataError, ModelError
from barbule.executor.ledger.answers import encode_answer
from barbule.functions.language_models.structured_output import class_schema

RECORD = json.dumps({"name": "x"})


class Name(pydantic.BaseModel):
    name: str


class Grade(enum.Enum):
    GOOD = 1
    BAD = 2


class Inner(pydantic.BaseModel):
    price: int
    secret: int = pydantic.Field(exclude=True)

    @pydantic.computed_field
    @property
    def double(self) -> int:
        return self.price * 2


class Odd(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    first: str = pydantic.Field(alias="firstName")
    vat: int = pydantic.Field(exclude=True)
    grade: Grade
    data: bytes
    day: datetime.date
    inner: Inner
    several: list[Inner]

    @pydantic.computed_field
    @property
    def area(self) -> int:
        return 1


ODD: dict[str, Any] = {
    "first": "Ada",
    "vat": 1,
    "grade": 2,
    "data": b"abc",
    "day": datetime.date(2026, 1, 31),
    "inner": {"price": 2, "secret": 3},
    "several": [{"price": 4, "secret": 5}],
}
WRITTEN = {
    **{name: value for name, value in ODD.items() if name != "first"},
    "firstName": "Ada",
    "data": "abc",
    "day": "2026-01-31",
    "more": 7,
}


@dataclasses.dataclass
class Graded:
    grade: Grade
    grades: list[Grade]


@pytest.fixture
def openai(models, session):
    from barbule.functions import openai

    return openai


@pytest.fixture
def table(session):
    return bb.create_table("t", [{"s": "a"}])


@pytest.mark.parametrize(
    "text",
    [
        RECORD,
        f"Sure! {RECORD}",
        f"{RECORD}\n\nLet me know if you need more.",
        f"{RECORD}\n```",
        f"```json\n{RECORD}\n```",
        f"```\n{RECORD}\n```\nAnything else?",
        f"[JSON] {RECORD}",
        f"I fill {{name}} then.</think>{RECORD}",
        f'<think>Perhaps {{"name": "no"}}.</think>\n{RECORD}',
        f"[{RECORD}]",
        f'The schema {{"type": "object"}} is filled by {RECORD}.',
    ],
)
def test_json_is_found_in_the_text_of_an_answer(openai, models, table, text):
    models.content = lambda _body: text
    found = table.select(x=openai.extract(table.s, schema=Name, model="gpt-4o-mini")).collect()
    assert found == [{"x": {"name": "x"}}]
    assert models.count == 1


@pytest.mark.parametrize(
    ("text", "name"), [('{"name": "x\ny"}', "x\ny"), ('{"name": "x\\ud83d"}', "x�")]
)
def test_invalid_json_strings_are_repaired(openai, models, table, text, name):
    models.content = lambda _body: text
    found = table.select(x=openai.extract(table.s, schema=Name, model="gpt-4o-mini")).collect()
    assert (found, models.count) == ([{"x": {"name": name}}], 1)


@pytest.mark.parametrize("text", ["nothing", '{"nome": "x"} and words', "{name}", ""])
def test_answer_without_json_is_repaired_once(openai, models, table, text):
    models.content = lambda _body: text
    with pytest.raises(ModelError, match="after one repair"):
        table.select(x=openai.extract(table.s, schema=Name, model="gpt-4o-mini")).collect()
    assert models.count == 2


@pytest.mark.parametrize("ask", ["extract", "chat"])
def test_schema_classes_return_their_fields_only(openai, models, table, ask):
    models.content = lambda _body: json.dumps(
        WRITTEN | {"inner": {**ODD["inner"], "other": 1}}, default=str
    )
    if ask == "extract":
        asked = openai.extract(table.s, schema=Odd, model="gpt-4o-mini")
    else:
        chat = openai.chat_completions(model="gpt-4o-mini", messages=table.s, response_format=Odd)
        asked = chat.choices[0].message.parsed
    table.add_computed_column(x=asked)
    assert table.collect() == [{"s": "a", "x": ODD}]
    assert table.select(x=asked).collect() == [{"x": ODD}]  # from the ledger
    assert models.count == 1


def test_schema_objects_are_rows_and_cells(session):
    one = Odd(**{**WRITTEN, "more": 1})
    del one.more
    rows = bb.create_table("rows", Odd)
    rows.insert(one)
    cells = bb.create_table("cells", {"p": Odd})
    cells.insert([{"p": one}])
    assert rows.collect() == [ODD]
    assert cells.collect() == [{"p": ODD}]
    with pytest.raises(DataError, match="more"):
        rows.insert(Odd(**WRITTEN))


def test_functions_accept_and_return_schema_objects(session):
    @bb.udf
    def again(p: Odd) -> Odd:
        assert isinstance(p, Odd)
        assert isinstance(p.inner, Inner)
        return p

    cells = bb.create_table("cells", {"p": Odd})
    cells.insert([{"p": ODD}])
    assert cells.select(x=again(cells.p)).collect() == [{"x": ODD}]


def test_enum_members_are_stored_as_their_values(session):
    table = bb.create_table("graded", Graded)
    table.insert([Graded(Grade.GOOD, [Grade.BAD]), {"grade": 2, "grades": [Grade.GOOD, 2]}])
    assert sorted(table.collect(), key=lambda row: row["grade"]) == [
        {"grade": 1, "grades": [2]},
        {"grade": 2, "grades": [1, 2]},
    ]
    loose = bb.create_table("loose", {"j": bb.Json})
    loose.insert(j={"grade": Grade.GOOD})
    assert loose.collect() == [{"j": {"grade": 1}}]


def test_root_model_is_stored_as_its_root(session):
    class Names(pydantic.RootModel[list[str]]):
        pass

    class Team(pydantic.BaseModel):
        names: Names

    table = bb.create_table("teams", Team)
    table.insert(Team(names=["a", "b"]))
    assert table.collect() == [{"names": ["a", "b"]}]


@pytest.mark.parametrize(
    "schema",
    [{"class": str}, {"record": str}, {"class": str, "is": str}, {"class": str, "n": int}],
    ids=str,
)
def test_schema_fields_can_have_any_name(openai, models, table, schema):
    answer = {name: "a" if kind is str else 1 for name, kind in schema.items()}
    models.content = lambda _body: json.dumps(answer)
    asked = openai.extract(table.s, schema=schema, model="gpt-4o-mini")
    table.add_computed_column(x=asked)
    table.insert(s="b")
    assert table.collect()["x"] == [answer, answer]


def test_missing_vector_is_an_error_of_its_row(openai, models, session):
    table = bb.create_table("t", [{"s": text} for text in ("a", "no vector", "b")])
    table.add_computed_column(v=openai.embeddings(table.s, model="gaps", length=8))
    assert [row["v"] is None for row in table.order_by("s").collect()] == [False, False, True]
    assert models.count == 1
    (error,) = table.errors().collect()
    assert (error["row"], error["type"]) == (1, "ModelError")
    assert "it returned no vector for this text" in error["message"]
    with pytest.raises(ModelError, match="no vector"):
        table.select(v=openai.embeddings(table.s + "", model="gaps", length=8)).collect()


@dataclasses.dataclass
class Receipt:
    at: datetime.datetime
    took: datetime.timedelta
    price: decimal.Decimal
    id: uuid.UUID
    grade: Grade
    tags: set[str]
    days: dict[int, datetime.date]


def test_validated_answers_have_the_form_that_ledgers_hold():
    answer = (
        '{"at":"2024-02-29T13:05:06.000789Z","took":"P1DT2S","price":"1.50",'
        '"id":"12345678-1234-5678-1234-567812345678","grade":1,"tags":["a"],'
        '"days":{"1":"2024-02-29"}}'
    )
    value = class_schema(Receipt).read(answer)
    assert encode_answer(value, bb.Json()).decode() == answer
