"""What readers take for one character: letters with their marks, syllables, joined emoji, flags.

Owns the places at which text may be parted without breaking one (extended grapheme clusters:
Unicode Standard Annex 29). Must not know what is cut.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["character_start", "is_within_character"]

# Below it are only letters and signs that nothing before them is joined with.
_FIRST_MARK = "\u0300"
# How far back the characters are gone through; none is nearly as long.
_REACH = 64


def is_within_character(text: str, place: int) -> bool:
    r"""Tell whether a cut at a place would part a character.

    Examples
    --------
    >>> is_within_character("e\u0301a", 1), is_within_character("e\u0301a", 2)
    (True, False)
    """
    if not 0 < place < len(text) or text[place] < _FIRST_MARK:
        return False
    return all(start != place for start in _starts(text, place, place + 1))


def character_start(text: str, place: int, last: int) -> int:
    """Return the first place from `place` on, up to `last`, that parts no character."""
    if place >= last or not is_within_character(text, place):
        return min(place, last)
    return next(iter(_starts(text, place, last)), last)


def _starts(text: str, first: int, last: int) -> Iterator[int]:
    """Yield the places between two others at which characters begin."""
    # A blank before them begins a character whatever stands around it.
    begin = max(first - _REACH, 0)
    blank = text.rfind(" ", begin, first)
    for match in _pattern().finditer(text, max(blank, begin), last + _REACH):
        if match.start() >= last:
            return
        if match.start() >= first:
            yield match.start()


@lru_cache(maxsize=1)
def _pattern() -> Any:
    import regex

    return regex.compile(r"\X")
