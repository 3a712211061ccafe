"""JSON in what a model says, which is often more than it was asked for.

Owns what counts as JSON and where it is looked for. What it has to fit is the business of
`structured`.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from barbule.models.litellm.responses import replace_surrogates

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["candidates"]

_THOUGHT = re.compile(r"^.*</think(?:ing)?>", re.DOTALL)  # its beginning may be in the prompt
_FENCE = re.compile(r"```\w*+[^\S\n]*+\n")
_FENCE_END = re.compile(r"\n[^\S\n]*+```")
_START = re.compile(r"[{\[]")
_MOST = 32  # places that are looked at

# Models break lines within texts, which JSON does not allow.
_DECODER = json.JSONDecoder(strict=False)


def candidates(text: str) -> Iterator[str]:
    r"""Yield what may be the answer, as JSON, the likeliest first.

    That is all of it, what stands in a fence, and the objects and lists between words. Of a list
    of one its item too.

    Examples
    --------
    >>> next(candidates('{"name": "Up"}'))
    '{"name": "Up"}'
    >>> list(candidates('I fill {name}.</think>Sure: {"name": "Up"} Anything else?'))
    ['{"name": "Up"}']
    """
    bare = _THOUGHT.sub("", text).strip()
    parts = [bare, *_fenced(bare)]
    wholes = [value for part in parts for value in _whole(part)]
    found = wholes or list(_between_words(bare))
    yield from map(_written, found)
    yield from (_written(*value) for value in found if isinstance(value, list) and len(value) == 1)
    if not found:
        yield bare  # whose fault is worth telling


def _fenced(text: str) -> Iterator[str]:
    """Yield what stands in fences."""
    place = 0
    while (opening := _FENCE.search(text, place)) is not None:
        # Between the two there may be nothing but one line break.
        closing = _FENCE_END.search(text, opening.end() - 1)
        if closing is None:
            return
        yield text[opening.end() : closing.start()]
        place = closing.end()


def _written(value: Any) -> str:
    """Write a value as JSON; half of a character, which nothing takes, is marked as such."""
    return replace_surrogates(json.dumps(value, ensure_ascii=False))


def _whole(text: str) -> Iterator[Any]:
    try:
        value, end = _DECODER.raw_decode(text.strip())
    except ValueError:
        return
    if end == len(text.strip()):
        yield value


def _between_words(text: str) -> Iterator[Any]:
    """Yield the objects and lists in a text, those within others left out."""
    end = looked = 0
    for start in _START.finditer(text):
        if start.start() < end or looked == _MOST:
            continue
        looked += 1
        try:
            value, end = _DECODER.raw_decode(text, start.start())
        except ValueError:
            continue
        yield value
