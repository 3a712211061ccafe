"""Answers with invalid usage, which LiteLLM rejects in part, are kept and not requested again."""

from __future__ import annotations

import asyncio
import warnings

import pytest

import barbule as bb
from barbule.functions import openai
from barbule.models.base import Endpoint, Usage
from barbule.models.litellm.client import LiteLLMClient
from fakes.models_server import FakeModels

HELLO = [{"role": "user", "content": "hello there"}]
COUNTS = [3.7, "many", "3.7", -1, 2**70, 1e30, None, [], {}]
USAGES = [7, "seven", [1, 2], {"completion_tokens_details": {"reasoning_tokens": "few"}}]
REQUESTS = {
    "chat": (HELLO, {}),
    "messages": (HELLO, {"max_tokens": 9}),
    "embed": (["hello there"], {}),
}


@pytest.fixture(autouse=True)
def models(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-a-very-secret-key-0123456789")
    with FakeModels() as running:
        yield running


@pytest.fixture
def client(models):
    return LiteLLMClient({"openai": Endpoint("openai", models.url)})


def answer_text(value):
    if isinstance(value, list):
        return len(value)
    return str(value["choices"] if "choices" in value else value["content"])


@pytest.mark.parametrize("verb", REQUESTS)
def test_answer_with_invalid_counts_is_kept(client, models, verb):
    question, more = REQUESTS[verb]
    call = getattr(client, verb)
    usual = answer_text(asyncio.run(call("openai/echo", question, **more)).value)
    for count in COUNTS:
        models.counts = count
        with warnings.catch_warnings(action="error"):  # warnings as errors, as in some test suites
            reply = asyncio.run(call("openai/echo", question, **more))
        assert (answer_text(reply.value), reply.usage.tokens_in) == (usual, None), count
        assert not reply.usage.tokens_out
        assert reply.usage.usd is None
    assert models.count == 1 + len(COUNTS)


@pytest.mark.parametrize("verb", ["chat", "messages"])
@pytest.mark.parametrize("usage", USAGES, ids=str)
def test_answer_with_invalid_usage_is_kept(client, models, verb, usage):
    question, more = REQUESTS[verb]
    models.told = usage
    reply = asyncio.run(getattr(client, verb)("openai/echo", question, **more))
    assert "echo: hello there" in answer_text(reply.value)
    assert reply.usage.tokens_in is None


def test_valid_counts_are_used(client, models):
    models.told = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1.5}
    reply = asyncio.run(client.chat("openai/gpt-4o-mini", HELLO))
    assert reply.usage == Usage(1000, 100, pytest.approx(1000 * 15e-8 + 100 * 60e-8))
    models.told = {"prompt_tokens": 1000, "completion_tokens": "many"}
    assert asyncio.run(client.chat("openai/gpt-4o-mini", HELLO)).usage == Usage(1000, None, None)


def test_tool_calls_with_invalid_usage_are_kept(client, models):
    models.counts = 3.7
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    reply = asyncio.run(client.chat("openai/echo", HELLO, tools=[tool]))
    assert reply.value["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "f"


@pytest.mark.parametrize("form", ["chat", "embeddings"])
def test_each_row_is_called_once_with_estimated_usage(models, tmp_path, form):
    models.counts = 3.7
    with bb.connect("duckdb://", home=tmp_path, models={"openai": {"api_base": models.url}}):
        table = bb.create_table("t", [{"w": f"row {n}"} for n in range(3)])
        expressions = {
            "chat": lambda: (
                openai.chat_completions(
                    model="gpt-4o-mini", messages=[{"role": "user", "content": table.w}]
                ).id
            ),
            "embeddings": lambda: openai.embeddings(
                table.w, model="text-embedding-3-small", dimensions=8
            ),
        }
        result = table.add_computed_column(x=expressions[form]())
        assert result.errors == 0
        assert None not in table.select("x").collect()["x"]
        calls = bb.calls().collect()
        assert set(calls["estimated"]) == {True}
        assert min(calls["tokens_in"]) > 0
        assert min(calls["usd"]) > 0
    assert models.count <= 3
