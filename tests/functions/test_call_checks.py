"""Checks when a call is written: columns in f-strings, misspelt parameters, invalid schemas."""

from __future__ import annotations

from typing import Annotated, Any

import ibis
import pydantic
import pytest

import barbule as bb
from barbule.errors import ExpressionError

fill = bb.functions.string.format


@pytest.fixture
def openai(models, session):
    from barbule.functions import openai

    return openai


@pytest.fixture
def table(session):
    return bb.create_table("t", [{"q": "Who?", "n": 1}, {"q": "What?", "n": 2}])


@bb.udf
def shout(text: str, mark: str) -> str:
    return text + mark


TEXTS = {
    "f-string": lambda t: f"Answer: {t.q}",
    "percent": lambda t: "Answer: %s" % t.q,  # noqa: UP031 - as users write it
    "format": lambda t: "Answer: {}".format(t.q),  # noqa: UP032
    "str": lambda t: "Answer: " + str(t.q),
    "calculated": lambda t: f"Answer: {t.n + 1}",
    "of a query": lambda t: f"Answer: {t.filter(t.n > 1).q}",
    "aggregate": lambda t: f"Answer: {t.n.max()}",
    "table": lambda t: f"Answer: {t}",
    "deferred": lambda _: f"Answer: {ibis._.q}",
    "deferred item": lambda _: f"Answer: {ibis._['q']}",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_column_in_an_f_string_is_rejected_at_creation(openai, models, table, text):
    calls = [
        lambda: openai.chat_completions(model="gpt-4o-mini", messages=text(table)),
        lambda: openai.chat_completions(
            model="gpt-4o-mini", messages=[{"role": "user", "content": text(table)}]
        ),
        lambda: openai.extract(table.q, schema={"a": str}, instructions=text(table)),
        lambda: openai.filter(text(table) + " {0}", table.q),
        lambda: shout(table.q, text(table)),
        lambda: fill(text(table) + " {0}", table.q),
    ]
    for call in calls:
        with pytest.raises(ExpressionError, match=r"string\.format"):
            call()
    assert models.count == 0


def test_strings_that_resemble_columns_are_accepted(openai, models, table):
    for text in ("What does _.map do?", "r0 is a register, r1 := r0 is Pascal"):
        asked = openai.chat_completions(
            model="gpt-4o-mini",
            messages=[{"role": "system", "content": ibis.literal(text)}],
        )
        table.limit(1).select(x=asked.choices[0].message.content).collect()
    assert fill("What does _.map do with {0}?", table.q) is not None
    assert models.count == 2


def test_search_for_an_f_string_with_a_column_is_rejected(table, openai):
    with pytest.raises(ExpressionError, match=r"string\.format"):
        table.q.similarity(f"{table.q}")
    with pytest.raises(ExpressionError, match=r"string\.format"):
        table.q.search(f"{table.q}")


def test_misspelt_parameters_are_rejected_before_any_request(openai, models, table):
    wrong = {
        "Did you mean 'temperature'": lambda: openai.chat_completions(
            model="gpt-4o-mini", messages=table.q, temprature=0.2
        ),
        "Did you mean 'max_tokens'": lambda: openai.vision(
            "What?", table.q, model="gpt-4o-mini", max_token=2
        ),
        "Did you mean 'seed'": lambda: openai.summarize(table.q, model="gpt-4o-mini", sed=1),
        "Did you mean 'dimensions'": lambda: openai.embeddings(
            table.q, model="own", length=8, dimesions=8
        ),
        "takes no parameter 'colour'": lambda: openai.extract(
            table.q, schema={"a": str}, model="gpt-4o-mini", colour="red"
        ),
        "Did you mean 'labels'": lambda: openai.classify(
            table.q, labels=["a"], lables=["a"], model="gpt-4o-mini"
        ),
    }
    for message, call in wrong.items():
        with pytest.raises(ExpressionError, match=message):
            call()
    assert models.count == 0


def test_extra_provider_parameters_are_passed_through(models, table):
    from barbule.functions import anthropic, litellm, ollama, openai

    asked = openai.chat_completions(
        model="gpt-4o-mini", messages=table.q, extra_body={"colour": {"a": 1}}, user="me", min_p=0.1
    )
    table.limit(1).select(x=asked.choices[0].message.content).collect()
    assert models.requests[0]["colour"] == {"a": 1}
    anthropic.chat_completions(model="claude-3-5-haiku-latest", messages=table.q, top_k=5)
    anthropic.messages(model="claude-3-5-haiku-latest", messages=table.q, top_k=5)
    ollama.chat_completions(model="llama3", messages=table.q, num_ctx=8192)
    with pytest.raises(ExpressionError, match="'num_ctx'"):
        litellm.chat_completions(model="openai/own", messages=table.q, num_ctx=8192)


@pytest.mark.parametrize("name", ["stream", "api_key", "num_retries"])
def test_reserved_parameters_are_rejected_at_creation(openai, models, table, name):
    with pytest.raises(ExpressionError, match=f"{name!r} cannot be passed to a call"):
        openai.chat_completions(model="gpt-4o-mini", messages=table.q, **{name: True})


class Strange(pydantic.BaseModel):
    model_config = {"arbitrary_types_allowed": True}
    thing: bb.Image


class Pictured(pydantic.BaseModel):
    picture: Annotated[str, bb.Image]


@pytest.mark.parametrize(
    "schema",
    [{"id": "uuid"}, {"a": bb.Image}, {"a": bytes}, {"a": {"b": "uuid"}}, Strange, Pictured],
    ids=str,
)
def test_schema_no_model_can_answer_is_rejected_at_creation(openai, table, schema):
    with pytest.raises((ExpressionError, bb.errors.SchemaError)):
        openai.extract(table.q, schema=schema, model="gpt-4o-mini")


def test_method_in_place_of_a_field_is_rejected_with_a_hint(table):
    people = bb.create_table("people", {"p": bb.Struct({"name": bb.String, "count": bb.Int})})
    people.insert(p={"name": "Ada", "count": 1})
    person: Any = people.p
    for verb in (people.select, people.mutate, people.add_computed_column):
        for method in (person.name, person.count):
            with pytest.raises(
                ExpressionError, match=r'Write column\["(name|count)"\] for the field'
            ):
                verb(x=method)
    with pytest.raises(ExpressionError, match=r"Call it: column\.upper\(\.\.\.\)"):
        table.select(x=table.q.upper)
    assert people.select(x=person["name"], y=person["count"]).collect() == [{"x": "Ada", "y": 1}]
