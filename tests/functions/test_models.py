"""Model functions over real HTTP: what is asked, what comes back, what is left after a failure."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from ibis import _

import barbule as bb
from barbule.errors import ModelError

KEY = "sk-test-0123456789"


@pytest.fixture
def openai(models, session):  # the configuration is read when the session connects
    from barbule.functions import openai

    return openai


@pytest.fixture
def qa(openai):
    table = bb.create_table("qa", {"n": bb.Int, "prompt": bb.String})
    table.insert([{"n": n, "prompt": p} for n, p in enumerate(["one", "two", "one", None])])
    return table


def ask(openai, table, model="gpt-4o-mini", **params):
    messages = [{"role": "user", "content": table.prompt}]
    return openai.chat_completions(model=model, messages=messages, **params)


def answer(openai, table, **params):
    return ask(openai, table, **params).choices[0].message.content


def test_the_answer_is_a_typed_struct(openai, models, qa):
    chat = ask(openai, qa, temperature=0.2)
    found = qa.filter(qa.n == 0).select(
        text=chat.choices[0].message.content,
        long=chat.choices[0].message.content.length(),
        why=chat.choices[0].finish_reason,
        tokens=chat.usage.total_tokens,
    )
    assert found.collect() == [{"text": "echo: one", "long": 9, "why": "stop", "tokens": 3}]
    (request,) = models.requests
    assert request["model"] == "gpt-4o-mini"
    assert request["temperature"] == 0.2
    assert request["messages"] == [{"role": "user", "content": "one"}]


def test_equal_prompts_are_asked_once_and_missing_ones_not_at_all(openai, models, qa):
    found = qa.add_computed_column(answer=answer(openai, qa))
    assert qa.order_by("n").collect()["answer"] == ["echo: one", "echo: two", "echo: one", None]
    assert models.count == 2
    assert (found.calls, found.hits) == (2, 0)
    qa.select(answer(openai, qa)).collect()
    assert models.count == 2
    row = bb.calls().agg(n=_.count(), asked=_.tokens_in.sum(), model=_.model.max()).collect()[0]
    assert row == {"n": 2, "asked": 2, "model": "openai/gpt-4o-mini"}


def test_an_insert_asks_only_for_new_rows(openai, models, qa):
    qa.add_computed_column(answer=answer(openai, qa))
    models.reset()
    found = qa.insert([{"n": 4, "prompt": "two"}, {"n": 5, "prompt": "three"}])
    assert (found.calls, found.hits) == (1, 1)
    assert [request["messages"][0]["content"] for request in models.requests] == ["three"]
    assert qa.filter(qa.n == 5).collect()["answer"] == ["echo: three"]


def test_explain_asks_nothing(openai, models, qa):
    shown = str(qa.select(x=answer(openai, qa)).explain())
    assert "chat_completions(model='gpt-4o-mini', messages=[{'role': 'user'" in shown
    assert "(ledger)" in shown
    assert models.count == 0


def test_calls_without_rows_ask_nothing(openai, models, qa):
    assert qa.filter(qa.n > 99).select(x=answer(openai, qa)).collect() == []
    assert qa.mutate(x=answer(openai, qa)).select("n").collect()["n"] == [0, 1, 2, 3]
    assert models.count == 0


def test_vision_sends_the_content_of_the_image(openai, models):
    from PIL import Image

    Image.new("RGB", (2, 2), "red").save("red.png")
    table = bb.create_table("images", {"img": bb.Image})
    table.insert([{"img": "red.png"}, {"img": None}])
    seen = openai.vision(model="gpt-4o-mini", prompt="What is it?", image=table.img)
    table.add_computed_column(seen=seen)
    assert sorted(table.collect()["seen"], key=str) == [None, "parts: text,image_url"]
    (request,) = models.requests
    text, image = request["messages"][0]["content"]
    assert text == {"type": "text", "text": "What is it?"}
    sent = base64.b64encode(Path("red.png").read_bytes()).decode()
    assert image["image_url"]["url"] == f"data:image/png;base64,{sent}"


def test_an_error_of_the_provider_leaves_nothing_and_no_secret(openai, models, qa):
    with pytest.raises(ModelError, match=r"table 'qa', column 'x', row [01]: .*auth") as info:
        qa.add_computed_column(x=answer(openai, qa, model="auth"))
    error: BaseException | None = info.value
    while error is not None:
        assert KEY not in str(error)
        error = error.__cause__
    assert qa.columns == ("n", "prompt")
    assert qa.history()[0]["operation"] == "insert"
    qa.add_computed_column(x=answer(openai, qa))
    assert qa.order_by("n").collect()["x"][0] == "echo: one"


def test_a_failed_insert_leaves_no_row(openai, models, qa):
    qa.delete()
    qa.add_computed_column(x=answer(openai, qa, model="policy"))
    with pytest.raises(ModelError, match="safety system"):
        qa.insert(n=9, prompt="bad")
    assert qa.count().to_pyarrow().as_py() == 0


def test_rate_limits_are_waited_for(openai, models, qa):
    one = qa.filter(qa.n == 0)
    assert one.select(x=answer(openai, one, model="rate-limited-3")).collect() == [
        {"x": "echo: one"}
    ]
    assert models.count == 4
    assert bb.calls().collect()["attempts"] == [4]


def test_a_model_is_called_by_expressions_only(openai, models):
    chat = openai.chat_completions(model="x", messages=[{"role": "user", "content": "hi"}])
    assert chat.type().is_struct()
    assert models.count == 0
