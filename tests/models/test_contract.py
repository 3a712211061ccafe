"""The contract of model clients: LiteLLMClient and a minimal client fulfil it."""

from __future__ import annotations

import asyncio

import pytest

from barbule.errors import ModelError, UnsupportedError
from barbule.models.base import Endpoint, ModelClient, Reply, Usage
from barbule.models.litellm.client import LiteLLMClient
from barbule.testing import ModelContract
from fakes.models_server import FakeModels

KEY = "sk-a-very-secret-key-0123456789"


class TestLiteLLM(ModelContract):
    chat_model = "openai/gpt-4o-mini"
    embed_model = "openai/text-embedding-3-small"
    rerank_model = "hosted_vllm/reranker"
    refused_model = "openai/auth"
    secret = KEY

    @pytest.fixture(autouse=True)
    def _server(self, monkeypatch):
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        with FakeModels() as server:
            self.url = server.url
            yield

    def make_client(self):
        names = ("openai", "hosted_vllm")
        return LiteLLMClient({name: Endpoint(name, api_base=self.url) for name in names})


class Parrot(ModelClient):
    """A minimal client that repeats the last message."""

    async def chat(self, model, messages, **params):
        if model == "parrot/dead":
            raise ModelError("this parrot is no more.", hint="Take another.")
        message = {
            "role": "assistant",
            "content": str(messages[-1]["content"]),
            "refusal": None,
            "tool_calls": None,
            "reasoning_content": None,
        }
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        counts = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        return Reply(
            {"id": "1", "model": model, "created": 0, "choices": [choice], "usage": counts},
            Usage(1, 1, 0.0),
        )


class TestParrot(ModelContract):
    chat_model = "parrot/grey"
    refused_model = "parrot/dead"

    def make_client(self):
        return Parrot()


def test_client_rejects_kinds_that_it_does_not_define():
    with pytest.raises(UnsupportedError, match="Parrot does not support 'embed' calls"):
        asyncio.run(Parrot().embed("parrot/grey", ["a"]))


def test_contract_detects_an_incomplete_answer():
    class Liar(Parrot):
        async def chat(self, model, messages, **params):
            return Reply({"text": "hello"})

    class Check(ModelContract):
        chat_model = "parrot/grey"

        def make_client(self):
            return Liar()

    with pytest.raises(AssertionError):
        Check().test_a_chat_has_the_documented_keys()
