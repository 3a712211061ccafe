"""Model functions over real HTTP: requests, typed answers, and state after a failure."""

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


def test_answer_is_a_typed_struct(openai, models, qa):
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


def test_equal_prompts_are_sent_once_and_null_prompts_never(openai, models, qa):
    found = qa.add_computed_column(answer=answer(openai, qa))
    assert qa.order_by("n").collect()["answer"] == ["echo: one", "echo: two", "echo: one", None]
    assert models.count == 2
    assert (found.calls, found.hits) == (2, 0)
    qa.select(answer(openai, qa)).collect()
    assert models.count == 2
    row = bb.calls().agg(n=_.count(), asked=_.tokens_in.sum(), model=_.model.max()).collect()[0]
    assert row == {"n": 2, "asked": 2, "model": "openai/gpt-4o-mini"}


def test_insert_calls_only_for_new_rows(openai, models, qa):
    qa.add_computed_column(answer=answer(openai, qa))
    models.reset()
    found = qa.insert([{"n": 4, "prompt": "two"}, {"n": 5, "prompt": "three"}])
    assert (found.calls, found.hits) == (1, 1)
    assert [request["messages"][0]["content"] for request in models.requests] == ["three"]
    assert qa.filter(qa.n == 5).collect()["answer"] == ["echo: three"]


def test_explain_sends_no_requests(openai, models, qa):
    shown = str(qa.select(x=answer(openai, qa)).explain())
    assert "chat_completions(model='gpt-4o-mini', messages=[{'role': 'user'" in shown
    assert "(ledger)" in shown
    assert models.count == 0


def test_unused_calls_send_no_requests(openai, models, qa):
    assert qa.filter(qa.n > 99).select(x=answer(openai, qa)).collect() == []
    assert qa.mutate(x=answer(openai, qa)).select("n").collect()["n"] == [0, 1, 2, 3]
    assert models.count == 0


def test_vision_sends_the_image_content(openai, models):
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


MESSAGES = {
    "auth": "Incorrect API key provided: ***",
    "missing": "The model 'missing' does not exist",
    "ctx": "maximum context length",
    "policy": "rejected as a result of our safety system",
    "quota": "You exceeded your current quota",
}


@pytest.fixture
def by_model(openai):
    """Create a table whose rows name the model to call."""
    table = bb.create_table("asked", {"n": bb.Int, "model": bb.String, "prompt": bb.String})
    table.insert([{"n": n, "model": m, "prompt": "hi"} for n, m in enumerate([*MESSAGES, "echo"])])
    return table


def test_provider_error_is_a_cell_error_without_secrets(openai, models, by_model, caplog):
    done = by_model.add_computed_column(x=answer(openai, by_model, model=by_model.model))
    assert (done.rows, done.errors) == (6, 5)
    found = by_model.order_by("n").select("model", "x", why=by_model.x.error).collect()
    assert found[5] == {"model": "echo", "x": "echo: hi", "why": None}
    for row in found[:5]:
        assert row["x"] is None
        assert row["why"]["type"] == "ModelError"
        assert MESSAGES[row["model"]] in row["why"]["message"]
    messages_seen = [
        *by_model.errors().collect()["message"],
        *bb.calls().collect()["error"],
        caplog.text,
    ]
    assert all(KEY not in str(each) for each in messages_seen)
    assert "asked: 5 cells failed; the first error: model 'openai/" in caplog.text
    assert models.count == 6


def test_missing_key_is_a_cell_error(models, monkeypatch):
    from barbule.functions import openai

    with Path("barbule.toml").open("a") as file:
        file.write('api_key_env = "NO_SUCH_KEY"\n')
    bb.connect(vectors="exact:")
    table = bb.create_table("qa", [{"prompt": "one"}, {"prompt": "two"}])
    assert table.add_computed_column(x=answer(openai, table)).errors == 2
    messages_seen = table.errors().collect()["message"]
    assert all("'NO_SUCH_KEY'" in each and "Set NO_SUCH_KEY" in each for each in messages_seen)
    monkeypatch.setenv("NO_SUCH_KEY", KEY)
    assert table.recompute("x", errors_only=True).rows == 2
    assert sorted(table.collect()["x"]) == ["echo: one", "echo: two"]


def test_model_that_rejects_every_row_is_not_called_for_the_rest(openai, models):
    table = bb.create_table("many", [{"prompt": f"p {n}"} for n in range(500)])
    assert table.add_computed_column(x=answer(openai, table, model="auth")).errors == 500
    assert models.count <= 64
    assert set(table.errors().collect()["type"]) == {"ModelError"}


def test_rejected_embedding_batch_is_not_split(openai, models):
    table = bb.create_table("texts", [{"text": f"t {n}"} for n in range(64)])
    vectors = openai.embeddings(table.text, model="auth", length=8)
    assert table.add_computed_column(v=vectors).errors == 64
    assert models.count == 1


def test_insert_keeps_a_row_with_a_cell_error(openai, models, qa):
    qa.delete()
    qa.add_computed_column(x=answer(openai, qa, model="policy"))
    assert qa.insert(n=9, prompt="bad").errors == 1
    assert qa.collect() == [{"n": 9, "prompt": "bad", "x": None}]


def test_query_raises_the_provider_error(openai, models, qa):
    with pytest.raises(ModelError, match=r"row [01]: .*auth.*Incorrect API key") as info:
        qa.select(x=answer(openai, qa, model="auth")).collect()
    error: BaseException | None = info.value
    while error is not None:
        assert KEY not in str(error)
        error = error.__cause__


def test_rate_limited_calls_are_retried(openai, models, qa):
    one = qa.filter(qa.n == 0)
    assert one.select(x=answer(openai, one, model="rate-limited-3")).collect() == [
        {"x": "echo: one"}
    ]
    assert models.count == 4
    assert bb.calls().collect()["attempts"] == [4]


def test_call_without_a_column_returns_an_expression(openai, models):
    chat = openai.chat_completions(model="x", messages=[{"role": "user", "content": "hi"}])
    assert chat.type().is_struct()
    assert models.count == 0
