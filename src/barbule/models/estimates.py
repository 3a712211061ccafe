"""What a question to a model is going to take, before it is asked.

Owns the count of tokens and the price of a question, from LiteLLM's tokenizers and price list,
and what took a question whose provider does not say. Asks nothing, and fetches nothing: a model
whose tokenizer would have to be downloaded is counted by another one.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from barbule.models.answer_lengths import length_of
from barbule.models.base import Reply, Usage
from barbule.models.litellm.loading import loaded, loaded_already
from barbule.models.price_table import facts

__all__ = [
    "ANSWER",
    "NOTHING",
    "Estimate",
    "Expected",
    "completed",
    "count_tokens",
    "estimate",
    "most_out",
    "price",
]

ANSWER = 256
"""Tokens of an answer of which nothing is known."""

_MOST = 4096
_RESERVED = 1024  # tokens that few answers exceed to which nobody set an end
_CHATS = {"chat", "messages"}
_UNCOUNTED = {"image", "transcribe"}
_CHARACTERS = 4  # to a token, where no tokenizer takes a text
_WORDS = 0.75  # to a token
_SOUND = 2000  # characters of an encoded sound to a token: ten tokens a second, of MP3


@dataclass(frozen=True, slots=True)
class Expected:
    """What is known of an answer beforehand; see `ModelClient.expecting`."""

    schema: Mapping[str, Any] | None = None
    words: float | None = None
    repairs: int = 0


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a question takes.

    Attributes
    ----------
    tokens_in
        Tokens of the question.
    tokens_out
        Tokens that are expected of the answer.
    most_out
        The most that the answer may have.
    likely_out
        What it has at most, unless it is far longer than such answers are: where nothing bounds
        an answer, all that the model could say is no measure of it.
    """

    tokens_in: int = 0
    tokens_out: int = 0
    most_out: int = 0
    likely_out: int = 0

    @property
    def bounded(self) -> bool:
        """Whether the answer cannot be longer than it is likely to be."""
        return self.likely_out >= self.most_out


NOTHING = Expected()


def estimate(
    model: str,
    verb: str,
    asked: Any,
    params: Mapping[str, Any],
    *,
    usual: float | None = None,
    expected: Expected = NOTHING,
) -> Estimate:
    """Say what a question takes, given as a `ModelClient` is asked.

    Parameters
    ----------
    verb
        The method of the client: "chat", "embed" …
    asked
        Its messages or texts.
    params
        Its further parameters; `max_tokens` bounds the answer.
    usual
        How many tokens such answers have on average, where some are known.
    expected
        What is known of the answer.

    Examples
    --------
    >>> estimate("openai/text-embedding-3-small", "embed", ["hello world"], {}).tokens_in
    2
    >>> truth = {"type": "object", "properties": {"answer": {"type": "boolean"}}}
    >>> asked = [{"role": "user", "content": "Is it so?"}]
    >>> found = estimate("openai/gpt-4o-mini", "chat", asked, {}, expected=Expected(truth))
    >>> found.tokens_out, found.most_out
    (5, 10)
    """
    if verb in _UNCOUNTED:
        return Estimate()
    tokens = count_tokens(model, asked, params)
    if verb not in _CHATS:
        return Estimate(tokens)
    most = most_out(model, params)
    given = _given(params)
    told, bound = _told(model, expected, thinks=_thinks(model, params))
    if bound is not None:
        most = min(most, bound)
    likely = most if given or bound is not None else min(most, max(_RESERVED, 4 * (told or 0)))
    out = usual if usual is not None else told if told is not None else ANSWER
    return Estimate(tokens, min(most, round(out)), most, likely)


def _given(params: Mapping[str, Any]) -> Any:
    return params.get("max_completion_tokens") or params.get("max_tokens")


def most_out(model: str, params: Mapping[str, Any]) -> int:
    """Return the most tokens that an answer may have."""
    known = facts(model)
    found = _given(params) or known.get("max_output_tokens") or known.get("max_tokens")
    return int(found) if isinstance(found, int | float) else _MOST


def _thinks(model: str, params: Mapping[str, Any]) -> bool:
    """Whether a model thinks before it answers, in tokens that no schema bounds."""
    effort = params.get("reasoning_effort")
    if effort is not None:
        return effort not in {"none", "disable"}
    if params.get("thinking"):
        return True
    # Anthropic's models think where they are asked to.
    return bool(facts(model).get("supports_reasoning")) and "claude" not in model


def _told(model: str, expected: Expected, *, thinks: bool) -> tuple[int | None, int | None]:
    """Return the tokens that are expected of an answer, and their bound, as far as is known."""
    told = bound = None
    if expected.schema is not None:
        told, bound = _of_schema(model, json.dumps(expected.schema, default=str))
    elif expected.words is not None:
        told = max(1, round(expected.words / _WORDS))
    if not thinks:
        return told, bound
    return None if told is None else told + ANSWER, None


@functools.lru_cache(maxsize=256)
def _of_schema(model: str, schema: str) -> tuple[int, int | None]:
    found = length_of(json.loads(schema))
    usual = count_tokens(model, found.usual, {})
    if found.longest is None:
        return usual, None
    # Models break lines and indent as they please, and some put a fence around it.
    return usual, 2 * count_tokens(model, found.longest, {})


def count_tokens(model: str, asked: Any, params: Mapping[str, Any]) -> int:
    """Count the tokens of a question, of messages or texts."""
    litellm = loaded()
    litellm.disable_hf_tokenizer_download = True  # it would reach for the network
    name = model.partition("/")[2] or model
    texts = [asked] if isinstance(asked, str) else asked
    if isinstance(texts, Sequence) and texts and isinstance(texts[0], str):
        return sum(_counted(litellm, name, text=text) for text in texts)
    tools = params.get("tools")
    more = sum(
        _counted(litellm, name, text=json.dumps(params[part], default=str))
        for part in ("system", "response_format")
        if params.get(part)
    )
    messages, sounds = _without_sounds(texts)
    return more + sounds + _counted(litellm, name, messages=messages, tools=tools)


def _without_sounds(messages: Sequence[Any]) -> tuple[list[Any], int]:
    """Leave out the sounds in messages, which no tokenizer takes; return their tokens, about."""
    tokens = 0
    rest = []
    for message in messages:
        content = message.get("content") if isinstance(message, Mapping) else None
        if not isinstance(content, list):
            rest.append(message)
            continue
        sounds = [each for each in content if _is_sound(each)]
        tokens += sum(len(each["input_audio"].get("data", "")) for each in sounds)
        rest.append({**message, "content": [each for each in content if not _is_sound(each)]})
    return rest, tokens // _SOUND


def _is_sound(part: Any) -> bool:
    return isinstance(part, Mapping) and isinstance(part.get("input_audio"), Mapping)


def _counted(litellm: Any, name: str, **what: Any) -> int:
    try:
        # Images are counted by a usual size; they would be fetched to be measured.
        return int(litellm.token_counter(name, use_default_image_token_count=True, **what))
    except Exception:  # noqa: BLE001 - content that the tokenizer does not know, such as a file
        return len(json.dumps(what, default=str)) // _CHARACTERS


def price(model: str, tokens_in: float, tokens_out: float) -> float | None:
    """Return what so many tokens cost, in dollars; None where the price is not known.

    Examples
    --------
    >>> price("openai/gpt-4o-mini", 1_000_000, 0)
    0.15
    >>> price("openai/of-my-own-server", 10, 10)
    """
    known = facts(model)
    one, other = known.get("input_cost_per_token"), known.get("output_cost_per_token")
    if one is None and other is None:
        return None
    return round(float(one or 0) * tokens_in + float(other or 0) * tokens_out, 12)


def completed(model: str, verb: str, asked: Any, params: Mapping[str, Any], reply: Reply) -> Usage:
    """Return what a question took; what its provider does not say is counted.

    Examples
    --------
    >>> answer = {"choices": [{"message": {"content": "Yes, it is."}}]}
    >>> asked = [{"role": "user", "content": "Is it so?"}]
    >>> completed("openai/gpt-4o-mini", "chat", asked, {}, Reply(answer)).estimated
    True
    """
    used = reply.usage
    answer = _words_of(reply.value) if verb in _CHATS else ""
    silent = bool(answer) and not used.tokens_out
    if verb in _UNCOUNTED or (used.tokens_in is not None and not silent):
        return used
    tokens_in, tokens_out = used.tokens_in, used.tokens_out
    if tokens_in is None:
        tokens_in = _roughly(model, asked, params)
    if silent:
        tokens_out = _roughly(model, answer, {})
    usd = price(model, tokens_in, tokens_out or 0)
    return Usage(tokens_in, tokens_out, usd if used.usd is None or silent else used.usd, True)


def _roughly(model: str, asked: Any, params: Mapping[str, Any]) -> int:
    """Count tokens, but import no LiteLLM for it: another client may be the one that asks."""
    if loaded_already():
        return count_tokens(model, asked, params)
    more = [params[part] for part in ("system", "tools", "response_format") if params.get(part)]
    texts = [asked, *more]
    return (
        sum(len(each if isinstance(each, str) else json.dumps(each, default=str)) for each in texts)
        // _CHARACTERS
        + 1
    )


def _words_of(value: Any) -> str:
    """Return all that a model wrote in an answer of OpenAI's or Anthropic's form."""
    if not isinstance(value, Mapping):
        return ""
    messages = [choice.get("message") or {} for choice in value.get("choices") or ()]
    messages += [part for part in value.get("content") or () if isinstance(part, Mapping)]
    written = ("reasoning_content", "content", "refusal", "tool_calls", "thinking", "text", "input")
    return "\n".join(
        each if isinstance(each, str) else json.dumps(each, default=str)
        for message in messages
        for name in written
        if (each := message.get(name))
    )
