"""Empty model answers: a cell error that is charged, and not a null value."""

from __future__ import annotations

import pytest

import barbule as bb
from barbule.errors import ModelError
from fakes.models_server import PIXEL


@pytest.fixture
def openai(models, session):
    from barbule.functions import openai

    return openai


@pytest.fixture
def table(session):
    return bb.create_table("t", [{"q": f"q{n}"} for n in range(3)])


def _choice(content=None, reason="stop", **more):
    message = {"role": "assistant", "content": content, **more}
    return {"index": 0, "finish_reason": reason, "message": message}


EMPTY = {
    "no choices": ([], "it returned no answer"),
    "null": ([_choice()], "its answer is empty"),
    "no tools": ([_choice(tool_calls=[])], "its answer is empty"),
    "two nulls": ([_choice(), _choice() | {"index": 1}], "its answer is empty"),
    "cut off": ([_choice(reason="length")], "cut off before its first character"),
    "thoughts": ([_choice(reason="length", reasoning_content="Hm.")], "cut off before its first"),
}


@pytest.mark.parametrize(("choices", "expected_message"), EMPTY.values(), ids=EMPTY)
def test_empty_answer_is_a_cell_error(openai, models, table, session, choices, expected_message):
    models.choices = lambda body: choices if "q1" in str(body["messages"]) else [_choice("fine")]
    asked = openai.chat_completions(model="gpt-4o-mini", messages=table.q)
    content = asked.choices[0].message.content
    done = table.add_computed_column(x=content)
    assert (done.errors, models.count) == (1, 3)
    assert table.order_by("q").collect()["x"] == ["fine", None, "fine"]
    (error,) = table.errors().collect()
    assert (error["row"], error["type"]) == (1, "ModelError")
    assert expected_message in error["message"]
    # Charged with the usage that the server reports.
    calls = session.calls().collect()
    assert [call["tokens_in"] for call in calls] == [1, 1, 1]
    assert [call["estimated"] for call in calls] == [False] * 3
    with pytest.raises(ModelError, match=expected_message):
        table.select(x=content).collect()
    table.insert(q="q3")
    assert models.count == 5  # the failed cell is not called again
    models.choices = None
    assert table.recompute("x", errors_only=True).errors == 0
    assert table.order_by("q").collect()["x"][:2] == ["fine", "echo: q1"]


@pytest.mark.parametrize(
    "said",
    [_choice(""), _choice(refusal="I cannot."), _choice("a", reason="length")],
    ids=["empty text", "refusal", "truncated text"],
)
def test_answer_with_any_content_is_returned(openai, models, table, said):
    models.choices = lambda _body: [said]
    asked = openai.chat_completions(model="gpt-4o-mini", messages=table.q)
    message = asked.choices[0].message
    done = table.add_computed_column(x=message.content, y=message.refusal)
    assert done.errors == 0
    row = table.collect()[0]
    assert [row["x"], row["y"]] == [said["message"]["content"], said["message"].get("refusal")]


def test_one_of_two_choices_can_be_empty(openai, models, table):
    models.choices = lambda _body: [_choice(), _choice("b") | {"index": 1}]
    asked = openai.chat_completions(model="gpt-4o-mini", messages=table.q, n=2)
    found = table.select(x=asked.choices[1].message.content).collect()["x"]
    assert found == ["b", "b", "b"]


@pytest.mark.parametrize("choices", [[], [_choice()]], ids=["no choices", "null"])
@pytest.mark.parametrize("ask", ["vision", "messages", "summarize"])
def test_empty_answer_of_other_chats_is_an_error(openai, models, table, ask, choices):
    models.choices = lambda _body: choices
    if ask == "vision":
        pixel = "data:image/png;base64," + PIXEL
        asked = openai.vision(prompt=table.q, image=pixel, model="gpt-4o-mini")
    elif ask == "summarize":
        asked = openai.summarize(table.q, model="gpt-4o-mini")
    else:
        asked = openai.messages(messages=table.q, model="gpt-4o-mini").content[0].text
    done = table.add_computed_column(x=asked)
    assert (done.errors, models.count) == (3, 3)
    assert set(table.errors().collect()["type"]) == {"ModelError"}
