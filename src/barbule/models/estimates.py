"""Estimates of the tokens and the price of a model call, before it is made.

Counts tokens with LiteLLM's tokenizers and prices them by its price list; also counts what a call
used when the provider does not report it. Makes no requests: where a model's tokenizer would have
to be downloaded, another one counts.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from barbule.json_codec import to_shown
from barbule.models.answer_lengths import answer_length
from barbule.models.base import Reply, Usage
from barbule.models.litellm.loading import import_litellm, is_imported
from barbule.models.price_table import model_info

if TYPE_CHECKING:
    from types import ModuleType

__all__ = [
    "DEFAULT_ANSWER_TOKENS",
    "UNKNOWN_ANSWER",
    "Estimate",
    "ExpectedAnswer",
    "count_tokens",
    "estimate",
    "max_output_tokens",
    "measured_usage",
    "price",
]

DEFAULT_ANSWER_TOKENS = 256
"""Tokens of an answer about which nothing is known in advance."""

_DEFAULT_MAX_TOKENS = 4096
_MIN_RESERVED_TOKENS = 1024  # tokens that few answers without a limit exceed
_CHAT_VERBS = {"chat", "messages"}
_UNCOUNTED_VERBS = {"image", "transcribe"}
_CHARACTERS_PER_TOKEN = 4  # where no tokenizer accepts the text
_WORDS_PER_TOKEN = 0.75
_SOUND_CHARACTERS_PER_TOKEN = 2000  # encoded: ten tokens a second of MP3


Request: TypeAlias = str | Sequence[str] | Sequence[Mapping[str, Any]]
"""The input of a model: a text, texts, or the messages of a chat."""


@dataclass(frozen=True, slots=True)
class ExpectedAnswer:
    """What is known about an answer in advance; see `ModelClient.expecting`."""

    schema: Mapping[str, Any] | None = None
    words: float | None = None
    repairs: int = 0


@dataclass(frozen=True, slots=True)
class Estimate:
    """The estimated usage of a call.

    Attributes
    ----------
    tokens_in
        Tokens of the request.
    tokens_out
        Expected tokens of the answer.
    max_tokens_out
        The maximum number of tokens of the answer.
    likely_tokens_out
        The usual maximum of such answers: if nothing limits an answer, `max_tokens_out` is far
        above its usage.
    """

    tokens_in: int = 0
    tokens_out: int = 0
    max_tokens_out: int = 0
    likely_tokens_out: int = 0

    @property
    def bounded(self) -> bool:
        """Whether the answer cannot be longer than such answers usually are."""
        return self.likely_tokens_out >= self.max_tokens_out


UNKNOWN_ANSWER = ExpectedAnswer()


def estimate(
    model: str,
    verb: str,
    request: Request,
    params: Mapping[str, Any],
    *,
    usual: float | None = None,
    expected: ExpectedAnswer = UNKNOWN_ANSWER,
) -> Estimate:
    """Estimate the usage of a call, given by the arguments of a `ModelClient`.

    Parameters
    ----------
    verb
        The method of the client: "chat", "embed" …
    request
        Its messages or texts.
    params
        Its further parameters; `max_tokens` bounds the answer.
    usual
        The average tokens of such answers, if there are any.
    expected
        What is known about the answer in advance.

    Examples
    --------
    >>> estimate("openai/text-embedding-3-small", "embed", ["hello world"], {}).tokens_in
    2
    >>> truth = {"type": "object", "properties": {"answer": {"type": "boolean"}}}
    >>> asked = [{"role": "user", "content": "Is it so?"}]
    >>> found = estimate("openai/gpt-4o-mini", "chat", asked, {}, expected=ExpectedAnswer(truth))
    >>> found.tokens_out, found.max_tokens_out
    (5, 10)
    """
    if verb in _UNCOUNTED_VERBS:
        return Estimate()
    tokens = count_tokens(model, request, params)
    if verb not in _CHAT_VERBS:
        return Estimate(tokens)
    max_tokens = max_output_tokens(model, params)
    requested_limit = _requested_limit(params)
    expected_tokens, bound = _expected_tokens(
        model, expected, reasons=_uses_reasoning(model, params)
    )
    if bound is not None:
        max_tokens = min(max_tokens, bound)
    likely_tokens = (
        max_tokens
        if requested_limit or bound is not None
        else min(max_tokens, max(_MIN_RESERVED_TOKENS, 4 * (expected_tokens or 0)))
    )
    output_tokens = (
        usual
        if usual is not None
        else expected_tokens
        if expected_tokens is not None
        else DEFAULT_ANSWER_TOKENS
    )
    return Estimate(tokens, min(max_tokens, round(output_tokens)), max_tokens, likely_tokens)


def _requested_limit(params: Mapping[str, Any]) -> int | None:
    return params.get("max_completion_tokens") or params.get("max_tokens")


def max_output_tokens(model: str, params: Mapping[str, Any]) -> int:
    """Return the maximum number of tokens of an answer."""
    info = model_info(model)
    limit = _requested_limit(params) or info.get("max_output_tokens") or info.get("max_tokens")
    return int(limit) if isinstance(limit, int | float) else _DEFAULT_MAX_TOKENS


def _uses_reasoning(model: str, params: Mapping[str, Any]) -> bool:
    """Whether a model reasons before it answers, in tokens that no schema limits."""
    effort = params.get("reasoning_effort")
    if effort is not None:
        return effort not in {"none", "disable"}
    if params.get("thinking"):
        return True
    # Anthropic's models reason only on request.
    return bool(model_info(model).get("supports_reasoning")) and "claude" not in model


def _expected_tokens(
    model: str, expected: ExpectedAnswer, *, reasons: bool
) -> tuple[int | None, int | None]:
    """Return the expected tokens of an answer and their limit, as far as they are known."""
    tokens = bound = None
    if expected.schema is not None:
        tokens, bound = _schema_tokens(model, to_shown(expected.schema, ascii_only=True))
    elif expected.words is not None:
        tokens = max(1, round(expected.words / _WORDS_PER_TOKEN))
    if not reasons:
        return tokens, bound
    return None if tokens is None else tokens + DEFAULT_ANSWER_TOKENS, None


@functools.lru_cache(maxsize=256)
def _schema_tokens(model: str, schema: str) -> tuple[int, int | None]:
    length = answer_length(json.loads(schema))
    usual = count_tokens(model, length.usual, {})
    if length.longest is None:
        return usual, None
    # Models differ in line breaks and indentation, and some add a Markdown fence.
    return usual, 2 * count_tokens(model, length.longest, {})


def count_tokens(model: str, request: Request, params: Mapping[str, Any]) -> int:
    """Count the tokens of a request."""
    litellm: Any = import_litellm()
    litellm.disable_hf_tokenizer_download = True  # it would use the network
    name = model.partition("/")[2] or model
    texts = [request] if isinstance(request, str) else request
    if isinstance(texts, Sequence) and texts and isinstance(texts[0], str):
        return sum(_litellm_token_count(litellm, name, text=text) for text in texts)
    tools = params.get("tools")
    extra_tokens = sum(
        _litellm_token_count(litellm, name, text=to_shown(params[part], ascii_only=True))
        for part in ("system", "response_format")
        if params.get(part)
    )
    messages, sounds = _without_sounds(texts)
    return (
        extra_tokens + sounds + _litellm_token_count(litellm, name, messages=messages, tools=tools)
    )


def _without_sounds(messages: Sequence[Any]) -> tuple[list[Any], int]:
    """Remove the audio of messages, which no tokenizer accepts; estimate its tokens."""
    tokens = 0
    remaining = []
    for message in messages:
        content = message.get("content") if isinstance(message, Mapping) else None
        if not isinstance(content, list):
            remaining.append(message)
            continue
        sounds = [part for part in content if _is_sound(part)]
        tokens += sum(len(sound["input_audio"].get("data", "")) for sound in sounds)
        remaining.append({**message, "content": [part for part in content if not _is_sound(part)]})
    return remaining, tokens // _SOUND_CHARACTERS_PER_TOKEN


def _is_sound(part: object) -> bool:
    return isinstance(part, Mapping) and isinstance(part.get("input_audio"), Mapping)


def _litellm_token_count(litellm: ModuleType, name: str, **content: Any) -> int:
    try:
        # Images count with a default size; otherwise they would be downloaded to be measured.
        return int(litellm.token_counter(name, use_default_image_token_count=True, **content))
    except Exception:  # noqa: BLE001 - content that the tokenizer does not know, such as a file
        return len(to_shown(content, ascii_only=True)) // _CHARACTERS_PER_TOKEN


def price(model: str, tokens_in: float, tokens_out: float) -> float | None:
    """Return the cost of tokens in dollars; None if the price is unknown.

    Examples
    --------
    >>> price("openai/gpt-4o-mini", 1_000_000, 0)
    0.15
    >>> price("openai/of-my-own-server", 10, 10)
    """
    info = model_info(model)
    input_price, output_price = info.get("input_cost_per_token"), info.get("output_cost_per_token")
    if input_price is None and output_price is None:
        return None
    return round(float(input_price or 0) * tokens_in + float(output_price or 0) * tokens_out, 12)


def measured_usage(
    model: str, verb: str, request: Request, params: Mapping[str, Any], reply: Reply
) -> Usage:
    """Return the usage of a call; values that its provider does not report are counted.

    Examples
    --------
    >>> answer = {"choices": [{"message": {"content": "Yes, it is."}}]}
    >>> asked = [{"role": "user", "content": "Is it so?"}]
    >>> measured_usage("openai/gpt-4o-mini", "chat", asked, {}, Reply(answer)).estimated
    True
    """
    usage = reply.usage
    answer = _answer_text(reply.value) if verb in _CHAT_VERBS else ""
    lacks_answer_tokens = bool(answer) and not usage.tokens_out
    if verb in _UNCOUNTED_VERBS or (usage.tokens_in is not None and not lacks_answer_tokens):
        return usage
    tokens_in, tokens_out = usage.tokens_in, usage.tokens_out
    if tokens_in is None:
        tokens_in = _approximate_tokens(model, request, params)
    if lacks_answer_tokens:
        tokens_out = _approximate_tokens(model, answer, {})
    usd = price(model, tokens_in, tokens_out or 0)
    return Usage(
        tokens_in, tokens_out, usd if usage.usd is None or lacks_answer_tokens else usage.usd, True
    )


def _approximate_tokens(model: str, request: Request, params: Mapping[str, Any]) -> int:
    """Count tokens without importing LiteLLM: another client may make the calls."""
    if is_imported():
        return count_tokens(model, request, params)
    extras = [params[part] for part in ("system", "tools", "response_format") if params.get(part)]
    texts = [request, *extras]
    return (
        sum(
            len(text if isinstance(text, str) else to_shown(text, ascii_only=True))
            for text in texts
        )
        // _CHARACTERS_PER_TOKEN
        + 1
    )


def _answer_text(value: object) -> str:
    """Return all text of an answer in OpenAI's or Anthropic's format."""
    if not isinstance(value, Mapping):
        return ""
    messages = [choice.get("message") or {} for choice in value.get("choices") or ()]
    messages += [part for part in value.get("content") or () if isinstance(part, Mapping)]
    keys = ("reasoning_content", "content", "refusal", "tool_calls", "thinking", "text", "input")
    return "\n".join(
        text if isinstance(text, str) else to_shown(text, ascii_only=True)
        for message in messages
        for name in keys
        if (text := message.get(name))
    )
