"""The contract of model clients, as one class of tests: derive from `ModelContract`.

Owns the checks that need only a client and the names of its models. They send requests to the
client's server: your own, or the provider's.

    class TestMine(ModelContract):
        chat_model = "mine/small"

        def make_client(self):
            return MyClient()
"""

from __future__ import annotations

import asyncio
import inspect
import math
from typing import TYPE_CHECKING, Any

from barbule.errors import BarbuleError, ModelError, UnsupportedError
from barbule.models.base import Endpoint, ModelClient, Reply

if TYPE_CHECKING:
    from collections.abc import Coroutine

__all__ = ["ModelContract"]

_VERBS = ("chat", "messages", "embed", "image", "transcribe", "speak", "moderate", "rerank")


class ModelContract:
    """The checks.

    Attributes
    ----------
    chat_model, embed_model, rerank_model
        Models that answer; None skips the checks for that type of model.
    refused_model
        A model whose requests fail permanently: it does not exist, or the key is wrong.
    secret
        A key that the client sends, which no error may show.
    """

    chat_model: str | None = None
    embed_model: str | None = None
    rerank_model: str | None = None
    refused_model: str | None = None
    secret: str | None = None

    def make_client(self) -> ModelClient:
        """Return the client under test."""
        raise NotImplementedError

    def _run(self, work: Coroutine[Any, Any, Reply]) -> Reply:
        return asyncio.run(work)

    def test_questions_are_coroutines(self) -> None:
        """Every type of request is sent without blocking."""
        client = self.make_client()
        assert all(inspect.iscoroutinefunction(getattr(client, verb)) for verb in _VERBS)

    def test_it_tells_where_it_asks(self) -> None:
        """Rate limiting needs an endpoint, with at least one concurrent request."""
        model = self.chat_model or self.embed_model or self.rerank_model
        assert model is not None, "name a model"
        endpoint = self.make_client().endpoint(model)
        assert isinstance(endpoint, Endpoint)
        assert endpoint.max_concurrency >= 1

    def test_it_gets_ready(self) -> None:
        """A client may prepare at any time, and more than once."""
        client = self.make_client()
        client.prepare()
        asyncio.run(client.ready())
        asyncio.run(client.ready())

    def test_a_chat_has_the_documented_keys(self) -> None:
        """The value of a chat is what `Reply` documents, whatever the provider answers."""
        if self.chat_model is None:
            return
        messages = [{"role": "user", "content": "Say hello."}]
        reply = self._run(self.make_client().chat(self.chat_model, messages))
        assert list(reply.value) == ["id", "model", "created", "choices", "usage"]
        choice = reply.value["choices"][0]
        assert set(choice) == {"index", "finish_reason", "message"}
        keys = {"role", "content", "refusal", "tool_calls", "reasoning_content"}
        assert set(choice["message"]) == keys
        assert isinstance(choice["message"]["content"], str)
        assert set(reply.value["usage"]) == {"prompt_tokens", "completion_tokens", "total_tokens"}
        self._check_usage(reply)

    def test_vectors_come_in_the_order_of_the_texts(self) -> None:
        """Texts in one request get the same vectors as in separate requests."""
        if self.embed_model is None:
            return
        texts = ["a feather", "the hooks of a barbule", "a bird"]
        together = self._run(self.make_client().embed(self.embed_model, texts))
        self._check_usage(together)
        assert len({len(vector) for vector in together.value}) == 1
        for text, vector in zip(texts, together.value, strict=True):
            (alone,) = self._run(self.make_client().embed(self.embed_model, [text])).value
            assert all(isinstance(number, float) for number in vector)
            near = zip(alone, vector, strict=True)
            assert all(math.isclose(a, b, rel_tol=1e-3, abs_tol=1e-3) for a, b in near)

    def test_nothing_to_embed_gives_nothing(self) -> None:
        """No texts return no vectors."""
        if self.embed_model is not None:
            assert self._run(self.make_client().embed(self.embed_model, [])).value == []

    def test_documents_come_best_first(self) -> None:
        """A ranking contains each document once, by its index in the list."""
        if self.rerank_model is None:
            return
        documents = ["stones", "feathers of birds", "bread"]
        request = self.make_client().rerank(self.rerank_model, "feathers of birds", documents)
        ranking = self._run(request).value
        assert sorted(entry["index"] for entry in ranking) == [0, 1, 2]
        scores = [entry["relevance_score"] for entry in ranking]
        assert scores == sorted(scores, reverse=True)
        assert ranking[0]["index"] == 1

    def test_what_it_cannot_do_it_says(self) -> None:
        """A type of request that a client does not support raises an `UnsupportedError`."""
        client = self.make_client()
        for verb in _VERBS:
            if getattr(type(client), verb) is getattr(ModelClient, verb):
                more: tuple[Any, ...] = ("?", []) if verb == "rerank" else ([],)
                error = self._error_of(getattr(client, verb)("x/y", *more))
                assert isinstance(error, UnsupportedError)

    def test_a_failure_is_a_model_error_without_secrets(self) -> None:
        """A permanent failure raises an error that is marked as permanent, and shows no key."""
        if self.refused_model is None:
            return
        messages = [{"role": "user", "content": "."}]
        error = self._error_of(self.make_client().chat(self.refused_model, messages))
        assert isinstance(error, ModelError)
        assert not error.retryable
        assert error.hint
        assert self.secret is None or self.secret not in f"{error!s}{error!r}"

    def _error_of(self, work: Coroutine[Any, Any, Reply]) -> Exception:
        try:
            self._run(work)
        except BarbuleError as error:
            return error
        raise AssertionError("it answered")

    def _check_usage(self, reply: Reply) -> None:
        """Costs and counts are numbers of at least 0, or None."""
        used = reply.usage
        for number in (used.tokens_in, used.tokens_out, used.usd):
            assert number is None or number >= 0
