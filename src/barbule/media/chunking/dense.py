"""Scripts without spaces between words: where a line of them may be split.

Owns the positions, from ends of sentences down to phrases. BudouX finds phrases of Chinese,
Japanese and Thai; it is called only if no sign and no space is in reach.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from barbule.media.chunking.clusters import character_start, is_within_character

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["boundary", "is_dense"]

_THAI = "\u0e00-\u0e7f"
_KANA = "\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9d"
_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
_OTHER_SCRIPTS = "\u0e80-\u0eff\u1000-\u109f\u1780-\u17ff"  # Lao, Burmese, Khmer
_DENSE = re.compile(f"[{_THAI}{_KANA}{_HAN}{_OTHER_SCRIPTS}]")
_DENSE_SHARE = 0.3
_SAMPLE_CHARACTERS = 2000

_CLOSING = r"[」』）】》〉”’\"')\]]*\s*"
_BOUNDARIES = (
    re.compile(r"\n\s*"),
    re.compile(rf"[。！？!?．｡…။។]+{_CLOSING}"),
    re.compile(rf"[，、；：,;:､၊]{_CLOSING}|[」』）】》〉]\s*"),
    re.compile(r"\s+"),
)
_PHRASE_REACH_CHARACTERS = 40
_PHRASE_LOOKAHEAD_CHARACTERS = 10
_MAX_CLUSTER_CHARACTERS = 16


def is_dense(text: str) -> bool:
    """Return whether a large part of a text is in a script without spaces.

    Examples
    --------
    >>> is_dense("今日は天気がいい"), is_dense("the hooks of a 羽")
    (True, False)
    """
    sample = text[:_SAMPLE_CHARACTERS]
    return not sample.isascii() and len(_DENSE.findall(sample)) > _DENSE_SHARE * len(sample)


def boundary(text: str, lowest: int, highest: int, *, earliest: bool = False) -> int:
    """Find the best position for a split: after `lowest`, and not after `highest`.

    Parameters
    ----------
    text
        The text.
    lowest, most
        The bounds of the position.
    earliest
        Whether the first such position is returned, and not the last.

    Returns
    -------
    int
        A position that does not separate a character from its marks, if there is one.
    """
    for pattern in _BOUNDARIES:
        positions = [match.end() for match in pattern.finditer(text, lowest, highest)]
        if positions:
            return positions[0] if earliest else positions[-1]
    if earliest:
        return character_start(text, lowest, highest)
    phrase = _phrase(text, max(lowest, highest - _PHRASE_REACH_CHARACTERS), highest)
    if phrase is not None:
        return phrase
    candidates = (
        position for position in range(highest, max(lowest, highest - _MAX_CLUSTER_CHARACTERS), -1)
    )
    return next(
        (position for position in candidates if not is_within_character(text, position)), highest
    )


def _phrase(text: str, lowest: int, highest: int) -> int | None:
    """Find the last end of a phrase in reach."""
    window = text[lowest : highest + _PHRASE_LOOKAHEAD_CHARACTERS]
    parse = _parser(window)
    position, phrase_end = lowest, None
    for phrase in parse(window) if parse else ():
        position += len(phrase)
        if position > highest:
            break
        phrase_end = position
    return phrase_end


def _parser(text: str) -> Callable[[str], list[str]] | None:
    if re.search(f"[{_THAI}]", text):
        return _load_parser("thai")
    if re.search(f"[{_KANA}]", text):
        return _load_parser("japanese")
    if re.search(f"[{_HAN}]", text):
        return _load_parser("simplified_chinese")
    return None


@lru_cache(maxsize=3)
def _load_parser(language: str) -> Callable[[str], list[str]]:
    import budoux

    parse: Callable[[str], list[str]] = getattr(budoux, f"load_default_{language}_parser")().parse
    return parse
