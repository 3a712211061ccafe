"""Model examples of the public documentation: each line runs with the documented result."""

from __future__ import annotations

from pathlib import Path

import pydantic
import pytest
from ibis import _
from PIL import Image

import barbule as bb


class Invoice(pydantic.BaseModel):
    number: str
    total: float


@pytest.fixture
def tables(models, session):
    qa = bb.create_table("qa", {"prompt": bb.String})
    qa.insert([{"prompt": "what is a barbule?"}, {"prompt": "and a vane?"}])
    Image.new("RGB", (4, 4), "red").save("red.png")
    images = bb.create_table("my_images", {"img": bb.Image})
    images.insert([{"img": "red.png"}])
    docs = bb.create_table("docs", {"text": bb.String})
    docs.insert([{"text": "Invoice 7, total 3"}])
    return qa, images, docs


def test_documented_model_calls(models, tables):
    from barbule.functions import anthropic, gemini, huggingface, litellm, ollama, openai

    assert all(
        hasattr(each, "chat_completions") for each in (openai, anthropic, gemini, ollama, litellm)
    )
    assert huggingface is not None
    qa, images, docs = tables
    qa.add_computed_column(
        answer=openai.chat_completions(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": qa.prompt}],
            temperature=0.2,
        )
        .choices[0]
        .message.content
    )
    assert sorted(qa.collect()["answer"]) == ["echo: and a vane?", "echo: what is a barbule?"]
    assert (
        qa.select(qa.answer.upper().name("loud")).limit(1).collect()[0, "loud"].startswith("ECHO")
    )
    images.add_computed_column(
        description=openai.vision(
            model="gpt-4o-mini", prompt="Describe the image", image=images.img
        )
    )
    assert images.collect()["description"] == ["parts: text,image_url"]
    docs.add_computed_column(
        facts=litellm.extract(docs.text, schema=Invoice, model="openai/gpt-4o-mini")
    )
    assert docs.collect()["facts"] == [{"number": "Invoice 7, total 3", "total": 0.5}]
    assert docs.select(total=docs.facts.total * 2).collect()["total"] == [1.0]
    mood = openai.analyze_sentiment(docs.text)
    assert mood.type().names == ("label", "score")
    (found,) = docs.select(mood=mood).collect()["mood"]
    assert found == {"label": "positive", "score": 0.5}


def test_documented_ledger_calls(models, tables):
    from barbule.functions import openai

    qa, *_rest = tables
    messages = [{"role": "user", "content": qa.prompt}]
    said = openai.chat_completions(model="gpt-4o-mini", messages=messages, max_tokens=20)
    text = said.choices[0].message.content
    assert "2 calls" in str(qa.select(text).explain())
    assert "2 calls" in str(qa.explain_column(description=text))
    assert models.count == 0
    with bb.budget(usd=5, calls=1):
        done = qa.add_computed_column(description=text)
    assert (done.deferred, models.count) == (1, 1)
    qa.recompute("description", where="deferred")
    assert models.count == 2
    (row,) = bb.calls().group_by("model").agg(usd=_.usd.sum()).collect()
    assert row["model"] == "openai/gpt-4o-mini"
    assert row["usd"] > 0
    with bb.record("calls.parquet"):
        first = qa.select(text).collect()
    bb.evict_calls(max_bytes=0)
    with bb.replay("calls.parquet"):
        assert qa.select(text).collect() == first
    assert models.count == 2
    with (
        bb.replay("calls.parquet"),
        pytest.raises(bb.BarbuleError, match="is not in the recording"),
    ):
        qa.insert(prompt="never asked")


def test_documented_cell_errors(models, tables):
    from barbule.functions import openai

    qa, *_rest = tables
    messages = [{"role": "user", "content": qa.prompt}]
    qa.add_computed_column(
        x=openai.chat_completions(model="policy", messages=messages).choices[0].message.content
    )
    assert qa.x.error.type().names == ("type", "message")
    assert set(qa.errors().collect()["type"]) == {"ModelError"}
    assert qa.recompute("x", errors_only=True).rows == 2


def test_documented_budget_configuration(models, tables):
    from barbule.functions import openai

    with Path("barbule.toml").open("a") as file:
        file.write("[budget]\ncalls = 1\n")
    bb.connect(vectors="exact:")
    qa = bb.get_table("qa")
    messages = [{"role": "user", "content": qa.prompt}]
    asked = openai.chat_completions(model="echo", messages=messages).choices[0].message.content
    assert qa.add_computed_column(a=asked).deferred == 1
    assert models.count == 1
