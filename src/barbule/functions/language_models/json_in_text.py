"""JSON in the text of a model's answer, which often contains other words.

Owns where JSON is searched for in an answer. `structured_output` validates it against the schema.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from barbule.json_codec import to_readable
from barbule.models.litellm.responses import replace_surrogates

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["candidates"]

_THOUGHT = re.compile(r"^.*</think(?:ing)?>", re.DOTALL)  # its beginning may be in the prompt
_FENCE = re.compile(r"```\w*+[^\S\n]*+\n")
_FENCE_END = re.compile(r"\n[^\S\n]*+```")
_START = re.compile(r"[{\[]")
_MAX_STARTS = 32  # brackets at which decoding is attempted

# Models break lines within strings, which JSON does not allow.
_DECODER = json.JSONDecoder(strict=False)


def candidates(text: str) -> Iterator[str]:
    r"""Yield the JSON candidates for the answer, the most likely first.

    These are the full text, the content of code fences, and the objects and lists between words.
    For a list of one, also its item.

    Examples
    --------
    >>> next(candidates('{"name": "Up"}'))
    '{"name": "Up"}'
    >>> list(candidates('I fill {name}.</think>Sure: {"name": "Up"} Anything else?'))
    ['{"name": "Up"}']
    """
    answer = _THOUGHT.sub("", text).strip()
    parts = [answer, *_fenced(answer)]
    complete = [value for part in parts for value in _decode(part)]
    values = complete or list(_between_words(answer))
    yield from map(_encode, values)
    yield from (_encode(*value) for value in values if isinstance(value, list) and len(value) == 1)
    if not values:
        yield answer  # for its error


def _fenced(text: str) -> Iterator[str]:
    """Yield the content of code fences."""
    position = 0
    while (opening := _FENCE.search(text, position)) is not None:
        # There may be nothing but one line break between the two.
        closing = _FENCE_END.search(text, opening.end() - 1)
        if closing is None:
            return
        yield text[opening.end() : closing.start()]
        position = closing.end()


def _encode(value: object) -> str:
    """Write a value as JSON; half of a surrogate pair, which nothing accepts, is marked."""
    return replace_surrogates(to_readable(value))


def _decode(text: str) -> Iterator[Any]:
    """Yield the value of a text that consists only of JSON."""
    try:
        value, end = _DECODER.raw_decode(text.strip())
    except ValueError:
        return
    if end == len(text.strip()):
        yield value


def _between_words(text: str) -> Iterator[Any]:
    """Yield the objects and lists in a text, except nested ones."""
    end = tries = 0
    for start in _START.finditer(text):
        if start.start() < end or tries == _MAX_STARTS:
            continue
        tries += 1
        try:
            value, end = _DECODER.raw_decode(text, start.start())
        except ValueError:
            continue
        yield value
