"""What a question to a model is going to take, before it is asked.

Owns the count of tokens and the price of a question, from LiteLLM's tokenizers and price list.
Asks nothing, and fetches nothing: a model whose tokenizer would have to be downloaded is counted
by another one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from barbule.models.facts import facts
from barbule.models.loading import loaded

__all__ = ["ANSWER", "Estimate", "count_tokens", "estimate", "most_out", "price"]

ANSWER = 256
"""Tokens of an answer of which nothing is known."""

_MOST = 4096
_CHATS = {"chat", "messages"}
_CHARACTERS = 4  # to a token, where no tokenizer takes a text


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
    """

    tokens_in: int = 0
    tokens_out: int = 0
    most_out: int = 0


def estimate(
    model: str, verb: str, asked: Any, params: Mapping[str, Any], *, usual: float | None = None
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

    Examples
    --------
    >>> estimate("openai/gpt-4o-mini", "embed", ["hello world"], {})
    Estimate(tokens_in=2, tokens_out=0, most_out=0)
    """
    if verb in {"image", "transcribe"}:
        return Estimate()
    tokens = count_tokens(model, asked, params)
    if verb not in _CHATS:
        return Estimate(tokens)
    most = most_out(model, params)
    return Estimate(tokens, min(most, round(usual if usual is not None else ANSWER)), most)


def most_out(model: str, params: Mapping[str, Any]) -> int:
    """Return the most tokens that an answer may have."""
    given = params.get("max_completion_tokens") or params.get("max_tokens")
    known = facts(model)
    found = given or known.get("max_output_tokens") or known.get("max_tokens")
    return int(found) if isinstance(found, int | float) else _MOST


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
    return more + _counted(litellm, name, messages=texts, tools=tools)


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
