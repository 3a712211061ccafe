"""Columns declared as a `Literal` or an `Enum` accept only these values."""

from __future__ import annotations

import dataclasses
import enum
from typing import Annotated, Literal

import pandas as pd
import pydantic
import pytest
from ibis import _

import barbule as bb
from barbule.errors import DataError, SchemaError


class Size(enum.Enum):
    SMALL = "S"
    LARGE = "L"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


@dataclasses.dataclass
class Item:
    key: int
    size: Size
    kind: Literal["a", "b"] | None = None


class Model(pydantic.BaseModel):
    key: int
    size: Size
    kind: Literal["a", "b"] | None = None


SCHEMAS = {
    "mapping": {"key": int, "size": Size, "kind": Literal["a", "b"]},
    "dataclass": Item,
    "pydantic": Model,
    "annotated": {"key": int, "size": Annotated[Size, "how large"], "kind": Literal["a", "b"]},
}


@pytest.fixture
def table(session):
    table = session.create_table("t", SCHEMAS["mapping"])
    table.insert(key=1, size="S", kind="a")
    return table


@pytest.mark.parametrize("schema", SCHEMAS)
def test_values_outside_literal_or_enum_are_refused(session, schema):
    table = session.create_table("t", SCHEMAS[schema])
    table.insert([{"key": 1, "size": Size.LARGE, "kind": "a"}, {"key": 2, "size": "S"}])
    with pytest.raises(DataError, match=r"column 'size', row 1: .*'XL'.*Allowed values: 'S', 'L'"):
        table.insert([{"key": 3, "size": "S"}, {"key": 4, "size": "XL"}])
    with pytest.raises(DataError, match=r"column 'kind', row 0: .*Allowed values: 'a', 'b'"):
        table.insert(key=3, size="S", kind="c")
    assert table.order_by("key").collect()["size"] == ["L", "S"]
    assert table.collect().columns == ("key", "size", "kind")


@pytest.mark.parametrize("with_view", [False, True])
def test_each_write_verb_checks_choices(session, table, with_view):
    if with_view:
        session.create_view("v", table)
    for write in (
        lambda: table.insert(pd.DataFrame({"key": [2], "size": ["XL"]})),
        lambda: table.insert(pd.DataFrame({"key": [2], "size": ["XL"]}).to_dict("records")),
        lambda: table.update({"size": "XL"}),
        lambda: table.update({"size": _.kind}),
        lambda: table.upsert([{"key": 1, "size": "XL"}], on="key"),
        lambda: table.upsert([{"key": 9, "size": "XL"}], on="key"),
        lambda: table.batch_update([{"key": 1, "kind": "S"}], on="key"),
    ):
        with pytest.raises(DataError, match=r"table 't', column '(size|kind)'.*Allowed values"):
            write()
    assert len(table.history()) == 2
    assert table.update({"size": Size.LARGE, "kind": None}).rows == 1
    assert table.update({"size": _.size.upper()}).rows == 0


def test_numbers_may_be_choices(session):
    table = session.create_table("t", {"level": Level, "n": Literal[3, 5]})
    table.insert([{"level": Level.LOW, "n": 3}, {"level": 2, "n": 5}, {"level": None, "n": None}])
    with pytest.raises(DataError, match=r"column 'n', row 0: .*\(value: 4\) Allowed values: 3, 5"):
        table.insert(level=1, n=4)
    with pytest.raises(DataError, match=r"column 'level'"):
        table.insert(level=3, n=3)


def test_choices_apply_after_reopen_and_in_branches(tmp_path):
    url = f"duckdb://{tmp_path / 'choices.duckdb'}"
    with bb.connect(url, vectors="exact:") as session:
        table = session.create_table("t", SCHEMAS["mapping"])
        table.branch("other")
        table.rename_column("size", "width")
    with bb.connect(url, vectors="exact:") as session:
        for name, column in (("t", "width"), ("other", "size")):
            with pytest.raises(DataError, match=f"column '{column}'"):
                session.get_table(name).insert({"key": 2, column: "XL"})


def test_choice_column_can_be_added_and_widened(session, table):
    table.add_columns({"level": Literal["low", "high"]})
    with pytest.raises(DataError, match="column 'level'"):
        table.insert(key=2, size="S", level="none")
    with pytest.raises(SchemaError, match="it may already hold other values"):
        table.change_type("level", Literal["low"])
    table.change_type("level", Literal["low", "high", "none"])
    table.insert(key=2, size="S", level="none")
    table.change_type("level", bb.String)
    table.insert(key=3, size="S", level="whatever")
    with pytest.raises(SchemaError, match="it may already hold other values"):
        table.change_type("level", Literal["low", "high"])


def test_plain_string_columns_take_any_value(session):
    table = session.create_table("t", {"a": str, "b": Literal["x"] | None | str})  # noqa: PYI051
    table.insert(a="anything", b="anything")
    assert table.collect()[0, "b"] == "anything"
