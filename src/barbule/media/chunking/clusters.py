"""User-perceived characters: letters with their marks, syllables, joined emoji, flags.

Owns the positions at which text may be split without breaking one (extended grapheme clusters:
Unicode Standard Annex 29). Must not know what is split.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import regex

__all__ = ["character_start", "is_within_character"]

# Below it there are only letters and signs that are not joined with what precedes them.
_FIRST_MARK = "\u0300"
# How far back the characters are parsed; none is nearly as long.
_REACH_CHARACTERS = 64


def is_within_character(text: str, position: int) -> bool:
    r"""Return whether a split at a position would break a character.

    Examples
    --------
    >>> is_within_character("e\u0301a", 1), is_within_character("e\u0301a", 2)
    (True, False)
    """
    if not 0 < position < len(text) or text[position] < _FIRST_MARK:
        return False
    return all(start != position for start in _character_starts(text, position, position + 1))


def character_start(text: str, position: int, last: int) -> int:
    """Return the first position from `position` up to `last` that breaks no character."""
    if position >= last or not is_within_character(text, position):
        return min(position, last)
    return next(iter(_character_starts(text, position, last)), last)


def _character_starts(text: str, first: int, last: int) -> Iterator[int]:
    """Yield the positions between two others at which characters begin."""
    # A blank before them starts a character in any context.
    begin = max(first - _REACH_CHARACTERS, 0)
    blank = text.rfind(" ", begin, first)
    for match in _grapheme_pattern().finditer(text, max(blank, begin), last + _REACH_CHARACTERS):
        if match.start() >= last:
            return
        if match.start() >= first:
            yield match.start()


@lru_cache(maxsize=1)
def _grapheme_pattern() -> regex.Pattern[str]:
    import regex

    return regex.compile(r"\X")
