"""Answers that a column cannot store: a cell error, kept in the ledger and not called again."""

from __future__ import annotations

import json

import pytest

import barbule as bb
from barbule.errors import DataError

NUL = "\0"


@pytest.fixture
def openai(models, session):
    from barbule.functions import openai

    return openai


@pytest.fixture
def table(session):
    return bb.create_table("t", [{"q": f"q{n}"} for n in range(4)])


def chat(openai, column, **params):
    asked = openai.chat_completions(model="gpt-4o-mini", messages=column, **params)
    return asked.choices[0].message


def takes_nul(session):
    return session.ibis.name != "postgres"


def test_non_json_number_is_a_cell_error(openai, models):
    calls = [["f", '{"a": 1}']]
    bad = [["f", '{"a": NaN}']]
    table = bb.create_table("calls", [{"q": json.dumps(calls)}, {"q": json.dumps(bad)}])
    asked = openai.chat_completions(model="caller", messages=table.q, tools=[TOOL])
    result = table.add_computed_column(x=asked.choices[0].message.tool_calls[0])
    assert (result.errors, models.count) == (1, 2)
    (error,) = table.errors().collect()
    assert (error["row"], error["type"]) == (1, "DataError")
    again = table.recompute("x", errors_only=True)
    assert (again.errors, again.hits, models.count) == (1, 1, 2)
    with pytest.raises(DataError, match="row 1"):
        table.order_by("q").select(x=asked).collect()
    assert models.count == 2


TOOL = {"type": "function", "function": {"name": "f", "description": "F.", "parameters": {}}}


def test_nul_in_one_answer_does_not_affect_other_rows(openai, models, table, session):
    models.content = lambda body: "a\0b" if "q1" in body["messages"][-1]["content"] else "fine"
    asked = chat(openai, table.q).content
    result = table.add_computed_column(x=asked)
    expected = "a\0b" if takes_nul(session) else None
    assert result.errors == (0 if takes_nul(session) else 1)
    assert table.order_by("q").collect()["x"] == ["fine", expected, "fine", "fine"]
    assert table.recompute("x", errors_only=True).errors == result.errors
    assert models.count == 4
    if not takes_nul(session):
        (error,) = table.errors().collect()
        assert (error["row"], error["type"]) == (1, "DataError")
        assert "Postgres cannot store a string with the character NUL" in error["message"]
        with pytest.raises(DataError, match="character NUL"):
            table.select(x=asked).collect()
    assert models.count == 4


@bb.udf(on_error="null")
def in_json(q: str) -> dict:
    return {"a": [NUL if q == "q1" else "\\u0000"]}


@bb.udf(on_error="null")
def in_list(q: str) -> list[str]:
    return ["a", NUL] if q == "q1" else []


@bb.udf(on_error="null")
def in_record(q: str) -> bb.Struct({"a": bb.Array(bb.Struct({"b": bb.String}))}):
    return {"a": [{"b": "a"}, {"b": NUL if q == "q1" else q}]}


@bb.udf(on_error="null")
def raising(q: str) -> str:
    if q == "q1":
        raise ValueError(f"no {NUL} and no \ud83d")
    return q


@pytest.mark.parametrize("function", [in_json, in_list, in_record], ids=lambda f: f.name)
def test_nul_in_a_nested_result_is_a_cell_error(table, session, function):
    result = table.add_computed_column(x=function(table.q))
    assert result.errors == (0 if takes_nul(session) else 1)
    rows = table.order_by("q").collect()["x"]
    assert [row is None for row in rows] == [False, not takes_nul(session), False, False]


def test_error_message_with_unstorable_characters_is_stored(table):
    assert table.add_computed_column(x=raising(table.q)).errors == 1
    (error,) = table.errors().collect()
    assert error["message"] == "no \\x00 and no ?"


def test_lone_surrogate_is_replaced(openai, models, table):
    models.content = lambda _body: "half \ud83d"
    assert table.select(x=chat(openai, table.q).content).limit(1).collect()["x"] == ["half �"]
