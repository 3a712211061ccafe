"""LiteLLM's responses as the values that `Reply` documents.

Defines the shape of each kind of answer, its usage and its cost. Makes no calls; a response that is
no answer is a `ModelError`, built by `invalid_answer`.
"""

from __future__ import annotations

import base64
import contextlib
import json
import math
import re
from typing import TYPE_CHECKING, Any, TypeAlias

from barbule.errors import ModelError
from barbule.models.base import Reply, Usage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import ModuleType

__all__ = ["chat", "embedding", "image", "invalid_answer", "messages", "moderation", "ranking"]
__all__ += ["speech", "transcript"]


def invalid_answer(model: str, problem: str, hint: str) -> ModelError:
    """Return the error for an answer that does not match the request."""
    return ModelError(f"model {model!r}: {problem}.", hint=hint, charged=True)


LiteLLMObject: TypeAlias = Any
"""A response of LiteLLM, or a part of one. Its classes are not imported, as type checkers of users
would follow the import."""

_SURROGATES = re.compile("[\ud800-\udfff]")


def replace_surrogates(text: str) -> str:
    r"""Replace lone surrogates, which databases and files reject, by U+FFFD.

    Servers send them if they cut an answer within an emoji.

    Examples
    --------
    >>> replace_surrogates("a\ud83d") == "a\ufffd"
    True
    """
    return text if text.isascii() else _SURROGATES.sub("\ufffd", text)


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return replace_surrogates(value)
    if isinstance(value, dict):
        return {
            _without_surrogates(name): _without_surrogates(item) for name, item in value.items()
        }
    return [_without_surrogates(item) for item in value] if isinstance(value, list) else value


MAX_TOKENS = 10**12
"""More than any request or answer has; sums of a million of them still fit in 64 bits."""

_INT64 = 1 << 63


def token_count(value: object) -> int | None:
    """Return a provider's token count as an integer; None where it is impossible.

    Examples
    --------
    >>> token_count(12), token_count("12"), token_count(12.0)
    (12, 12, 12)
    >>> [token_count(each) for each in (-1, 2**63, 3.7, "many", None)]
    [None, None, None, None, None]
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        count = int(value)
        is_integer = isinstance(value, str) or count == value
    except (ValueError, OverflowError):
        return None
    return count if is_integer and 0 <= count <= MAX_TOKENS else None


def _dollars(cost: float | str | None) -> float | None:
    """Return a cost as a float; None where it is no valid cost."""
    try:
        usd = None if cost is None else float(cost)
    except (TypeError, ValueError, OverflowError):
        return None
    return usd if usd is not None and 0 <= usd < math.inf else None


def _epoch_second(value: float | str | None) -> int | None:
    """Return a timestamp in seconds; None where it does not fit 64 bits."""
    try:
        timestamp = None if value is None else int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return timestamp if timestamp is not None and -_INT64 <= timestamp < _INT64 else None


def chat(response: LiteLLMObject) -> Reply:
    """Read the answer to a chat."""
    usage = getattr(response, "usage", None)
    counts = ("prompt_tokens", "completion_tokens", "total_tokens")
    value = {
        "id": response.id,
        "model": response.model,
        "created": _epoch_second(response.created),
        "choices": [
            {
                "index": choice.index,
                "finish_reason": choice.finish_reason,
                "message": _message(choice.message),
            }
            for choice in response.choices
        ],
        "usage": {count: token_count(getattr(usage, count, None)) for count in counts},
    }
    reply = _reply(response, _without_surrogates(value))
    if reply.usage.tokens_in is None:
        reply.value["usage"] = dict.fromkeys(counts)
    return reply


def _message(message: LiteLLMObject) -> dict[str, Any]:
    content = message.content
    provider_fields = getattr(message, "provider_specific_fields", None) or {}
    return {
        "role": message.role,
        # A few providers return a list of parts.
        "content": content if content is None or isinstance(content, str) else json.dumps(content),
        "refusal": getattr(message, "refusal", None) or provider_fields.get("refusal"),
        "tool_calls": [_tool_call(call) for call in message.tool_calls or ()] or None,
        "reasoning_content": getattr(message, "reasoning_content", None),
    }


def _tool_call(call: LiteLLMObject) -> dict[str, Any]:
    arguments = call.function.arguments
    with contextlib.suppress(ValueError, TypeError):  # no JSON, or parsed already
        arguments = json.loads(arguments)
    return {
        "id": call.id,
        "type": call.type or "function",
        "function": {"name": call.function.name, "arguments": arguments},
    }


_PART_KEYS = ("type", "text", "thinking", "id", "name", "input")


def messages(response: Mapping[str, Any], litellm: ModuleType, model: str) -> Reply:
    """Read the answer to a chat in Anthropic's format, which has no cost."""
    reported = response.get("usage")
    usage = reported if isinstance(reported, dict) else {}
    tokens_in = token_count(usage.get("input_tokens")) or None
    tokens_out = token_count(usage.get("output_tokens"))
    cached = {
        name: token_count(usage.get(name)) or 0
        for name in ("cache_creation_input_tokens", "cache_read_input_tokens")
    }
    if tokens_in is not None or any(cached.values()):
        tokens_in = (tokens_in or 0) + sum(cached.values())
    value: dict[str, Any] = {
        "id": response.get("id"),
        "type": response.get("type"),
        "role": response.get("role"),
        "model": response.get("model"),
        "content": [
            {name: part.get(name) for name in _PART_KEYS} for part in response.get("content") or ()
        ],
        "stop_reason": response.get("stop_reason"),
        "stop_sequence": response.get("stop_sequence"),
        "usage": {"input_tokens": tokens_in, "output_tokens": tokens_out},
    }
    value = _without_surrogates(value)
    if _are_impossible(usage, "input_tokens", "output_tokens", *cached):
        return Reply(value, Usage(tokens_in, tokens_out))
    if not tokens_in and not tokens_out:
        value["usage"] = {"input_tokens": None, "output_tokens": None}
        return Reply(value)
    cost: float | None = None
    with contextlib.suppress(Exception):  # it raises when it does not know the model
        cost = sum(
            litellm.cost_per_token(
                model=model,
                prompt_tokens=tokens_in or 0,
                completion_tokens=tokens_out or 0,
                **cached,
            )
        )
    return Reply(value, Usage(tokens_in, tokens_out, cost))


def embedding(response: LiteLLMObject, model: str, count: int) -> Reply:
    """Read the vectors of texts, in the order of the texts."""
    items = sorted(response.data, key=lambda item: item["index"])
    indexes = [item["index"] for item in items]
    if indexes != list(range(count)):
        raise invalid_answer(
            model,
            f"{count} texts were sent, but the returned vectors have the indexes {indexes[:10]}",
            "Send fewer texts at once, or check that the model is an embedding model.",
        )
    vectors = [
        vector and list(map(float, vector)) for vector in (item["embedding"] for item in items)
    ]
    return _reply(response, vectors)


def image(response: LiteLLMObject) -> tuple[Reply, str | None]:
    """Read an image: its bytes, or the URL to download them from."""
    items = response.data or []
    if not items:
        return _reply(response, None), None
    text = items[0].b64_json
    return _reply(response, base64.b64decode(text) if text else None), items[0].url


def transcript(response: LiteLLMObject) -> Reply:
    """Read the transcript of a sound file."""
    segments = getattr(response, "segments", None)
    words = getattr(response, "words", None)
    duration = getattr(response, "duration", None)
    value = {
        "text": response.text,
        "language": getattr(response, "language", None),
        "duration": None if duration is None else float(duration),
        "segments": segments and [_with_times(segment, "text") for segment in segments],
        "words": words and [_with_times(word, "word") for word in words],
    }
    return _reply(response, _without_surrogates(value))


def _with_times(item: object, name: str) -> dict[str, Any]:
    fields = item if isinstance(item, dict) else vars(item)
    return {"start": fields.get("start"), "end": fields.get("end"), name: fields.get(name)}


def speech(response: LiteLLMObject) -> Reply:
    """Read a sound file."""
    return _reply(response, bytes(response.content))


def moderation(response: LiteLLMObject) -> Reply:
    """Read the moderation of a text."""
    result = response.results[0]
    value = {
        "flagged": bool(result.flagged),
        "categories": _category_values(result.categories),
        "category_scores": _category_values(result.category_scores),
    }
    return _reply(response, value)


def _category_values(categories: Any) -> dict[str, Any]:
    fields = categories
    if hasattr(categories, "model_dump"):
        fields = categories.model_dump(by_alias=True)
    # Some clients write "hate/threatening", some "hate_threatening": the names are unified, and
    # can be used in JSON paths.
    return {
        name.replace("/", "_").replace("-", "_"): value
        for name, value in (fields or {}).items()
        if value is not None
    }


def ranking(response: LiteLLMObject, model: str, count: int) -> Reply:
    """Read the ranking of documents."""
    ranked = [
        {"index": int(item["index"]), "relevance_score": float(item["relevance_score"])}
        for item in response.results or ()
    ]
    if any(not 0 <= item["index"] < count for item in ranked):
        raise invalid_answer(
            model,
            f"{count} documents were sent, but others were returned",
            "Check that the model is a reranker.",
        )
    ranked.sort(key=lambda item: -item["relevance_score"])
    meta = response.meta or {}
    tokens = (meta.get("tokens") or {}).get("input_tokens")
    tokens = tokens or (meta.get("billed_units") or {}).get("total_tokens")
    return _reply(response, ranked, tokens_in=token_count(tokens))


def _reply(response: object, value: object, *, tokens_in: int | None = None) -> Reply:
    hidden = getattr(response, "_hidden_params", None) or {}
    return Reply(
        value,
        _usage(response, hidden.get("response_cost"), tokens_in),
        {
            name.lower().removeprefix("llm_provider-"): str(text)
            for name, text in (hidden.get("additional_headers") or {}).items()
        },
    )


_TOKENS_IN = ("prompt_tokens", "input_tokens")
_TOKENS_OUT = ("completion_tokens", "output_tokens")


def _usage(response: object, cost: float | None, tokens_in: int | None) -> Usage:
    usage = getattr(response, "usage", None)
    reported = {name: getattr(usage, name, None) for name in (*_TOKENS_IN, *_TOKENS_OUT)}
    if tokens_in is None:
        tokens_in = _count(reported, _TOKENS_IN)
    tokens_out = _count(reported, _TOKENS_OUT)
    if _are_impossible(reported, *reported):
        return Usage(tokens_in, tokens_out)  # LiteLLM has computed the cost from them
    usd = _dollars(cost)
    if usage is not None and not tokens_in and not tokens_out:
        # Every request has tokens: LiteLLM reports 0 tokens, and a cost of 0, where the provider
        # does not report them.
        return Usage(None, None, usd or None)
    return Usage(tokens_in, tokens_out, usd)


def _count(reported: Mapping[str, Any], names: Sequence[str]) -> int | None:
    return next((token_count(reported[name]) for name in names if reported[name] is not None), None)


def _are_impossible(reported: Mapping[str, Any], *names: str) -> bool:
    """Whether one of the reported counts is impossible, such as a negative one."""
    counts = (reported.get(name) for name in names)
    return any(count is not None and token_count(count) is None for count in counts)
