"""The protocol of a model client, its settings and its replies.

Defines what the executor passes to a client and gets back. Must not know a provider, import a
client library or hold a secret: an API key is named by its environment variable.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from barbule.errors import UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

__all__ = ["Endpoint", "ModelClient", "Reply", "Usage"]

_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Usage:
    """The usage of a call, as reported by the provider or computed from the price list.

    Parameters
    ----------
    tokens_in, tokens_out
        Tokens read and written. None if the provider does not report them.
    usd
        Cost in US dollars. None if the model's price is unknown: never 0, which is the price of a
        free model.
    estimated
        Whether the tokens are barbule's own count, because the provider did not report them.

    Examples
    --------
    >>> Usage(12, 3, None)
    Usage(tokens_in=12, tokens_out=3, usd=None, estimated=False)
    """

    tokens_in: int | None = None
    tokens_out: int | None = None
    usd: float | None = None
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """The reply to one model call.

    Parameters
    ----------
    value
        Plain Python: dict, list, str, int, float, bytes, None.
    usage
        The usage of the call.
    headers
        The response's headers, names in lower case.

    Notes
    -----
    The value of each kind of call has exactly these keys, whatever the provider; what a provider
    does not report is None.

    chat::

        {"id": str, "model": str, "created": int,
         "choices": [{"index": int, "finish_reason": str | None,
                      "message": {"role": str, "content": str | None, "refusal": str | None,
                                  "tool_calls": [{"id": str, "type": str,
                                                  "function": {"name": str, "arguments": Any}}],
                                  "reasoning_content": str | None}}],
         "usage": {"prompt_tokens": int | None, "completion_tokens": int | None,
                   "total_tokens": int | None}}

    `arguments` is the parsed JSON of the model; text that is no JSON stays a string. Without tool
    calls it is None.

    messages (Anthropic's form)::

        {"id": str, "type": str, "role": str, "model": str,
         "content": [{"type": str, "text": str | None, "thinking": str | None,
                      "id": str | None, "name": str | None, "input": Any}],
         "stop_reason": str | None, "stop_sequence": str | None,
         "usage": {"input_tokens": int | None, "output_tokens": int | None}}

    embed: a list of lists of float, one for each input, in input order; None for an input for which
    the server returns no vector. image: the bytes of a file. speak: the bytes of a file.

    transcribe::

        {"text": str, "language": str | None, "duration": float | None,
         "segments": [{"start": float, "end": float, "text": str}] | None,
         "words": [{"start": float, "end": float, "word": str}] | None}

    moderate: `{"flagged": bool, "categories": {str: bool}, "category_scores": {str: float}}`.
    rerank: `[{"index": int, "relevance_score": float}]`, best first.
    """

    value: Any
    usage: Usage = field(default_factory=Usage)
    headers: Mapping[str, str] = field(default_factory=lambda: _NO_HEADERS)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The settings of one provider prefix, as in `[models.openai]` of the configuration.

    Parameters
    ----------
    provider
        The LiteLLM prefix: "openai", "anthropic", "gemini", "ollama" …
    api_base
        The address; None uses the provider's own.
    api_key_env
        Name of the environment variable that holds the key; None uses the provider's usual one
        (`OPENAI_API_KEY` …). The key itself is read at each call and never stored.
    max_concurrency
        The maximum number of requests in flight.
    rpm, tpm
        Requests and tokens per minute; None sets no limit of barbule's own.
    timeout
        Seconds after which a request is cancelled.

    Examples
    --------
    >>> Endpoint("openai", api_base="http://localhost:8080/v1").max_concurrency
    64
    """

    provider: str
    api_base: str | None = None
    api_key_env: str | None = None
    max_concurrency: int = 64
    rpm: int | None = None
    tpm: int | None = None
    timeout: float = 600.0


class ModelClient(Protocol):
    """Calls models. One client serves all providers, event loops and threads.

    A custom client subclasses this and overrides the kinds of calls that it supports; the others
    raise `UnsupportedError`. A call raises `ModelError` for failures at the provider, with
    `retryable` and `retry_after` set, and `ConfigurationError` when it cannot be made as
    configured. Calls are not repeated here: `rate_limits.call_with_retries` does that. A model's
    name has its provider's prefix. `barbule.testing.ModelContract` checks a client.
    """

    async def chat(self, model: str, messages: list[dict[str, Any]], **params: Any) -> Reply:
        """Return the answer to a chat, in OpenAI's format."""
        raise self._unsupported("chat", model)

    async def messages(self, model: str, messages: list[dict[str, Any]], **params: Any) -> Reply:
        """Return the answer to a chat, in Anthropic's format."""
        raise self._unsupported("messages", model)

    async def embed(self, model: str, inputs: list[str], **params: Any) -> Reply:
        """Return one vector for each input, in input order."""
        raise self._unsupported("embed", model)

    async def image(self, model: str, prompt: str, **params: Any) -> Reply:
        """Return one image."""
        raise self._unsupported("image", model)

    async def transcribe(self, model: str, file: Path, **params: Any) -> Reply:
        """Return the transcript of an audio file."""
        raise self._unsupported("transcribe", model)

    async def speak(self, model: str, text: str, **params: Any) -> Reply:
        """Return an audio file of a text that is read aloud."""
        raise self._unsupported("speak", model)

    async def moderate(self, model: str, text: str, **params: Any) -> Reply:
        """Return whether a text is harmful."""
        raise self._unsupported("moderate", model)

    async def rerank(self, model: str, query: str, documents: list[str], **params: Any) -> Reply:
        """Return the indexes of the documents, the most relevant to a query first."""
        raise self._unsupported("rerank", model)

    def takes(self, model: str, feature: str) -> bool:
        """Whether a model accepts "pdf" content or a parameter such as "response_format"."""
        return False

    def expecting(
        self,
        *,
        schema: Mapping[str, Any] | None = None,
        words: float | None = None,
        repairs: int = 0,
    ) -> AbstractContextManager[ModelClient]:
        """Return a client for one call, whose answer is partly known in advance.

        Parameters
        ----------
        schema
            The JSON schema of the answer.
        words
            The approximate number of words of the answer.
        repairs
            How often the call may be repeated if the answer does not match. A budget must have room
            for the repetitions too, or the call is not made.
        """
        return contextlib.nullcontext(self)

    @property
    def origin(self) -> ModelClient:
        """The client that makes the calls, if this one wraps another."""
        return self

    def endpoint(self, model: str) -> Endpoint:
        """Return the settings of a model's endpoint."""
        return Endpoint(model.partition("/")[0])

    def address(self, model: str) -> str:
        """Return the address of a model; it is a part of the call key."""
        endpoint = self.endpoint(model)
        return f"{endpoint.provider} {(endpoint.api_base or '').rstrip('/')}"

    def prepare(self) -> None:
        """Start loading, in the background, the modules that the first call needs."""

    async def ready(self) -> None:
        """Wait until the modules that calls need are loaded; timeouts do not include this."""

    def _unsupported(self, verb: str, model: str) -> UnsupportedError:
        return UnsupportedError(
            f"model {model!r}: {type(self).__name__} does not support {verb!r} calls.",
            hint="Use a client that supports them.",
        )
