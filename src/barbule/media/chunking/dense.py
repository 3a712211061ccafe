"""Scripts that write no spaces between words: where a line of them may be cut.

Owns the places, from ends of sentences down to phrases. Phrases of Chinese, Japanese and Thai
are BudouX's, which is asked only where no sign and no space is in reach.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from barbule.media.chunking.clusters import character_start, is_within_character

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["boundary", "is_dense"]

_THAI = "\u0e00-\u0e7f"
_KANA = "\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9d"
_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
_OTHER = "\u0e80-\u0eff\u1000-\u109f\u1780-\u17ff"  # Lao, Burmese, Khmer
_DENSE = re.compile(f"[{_THAI}{_KANA}{_HAN}{_OTHER}]")
_DENSE_SHARE = 0.3
_SAMPLE = 2000

_CLOSING = r"[」』）】》〉”’\"')\]]*\s*"
_ENDS = (
    re.compile(r"\n\s*"),
    re.compile(rf"[。！？!?．｡…။។]+{_CLOSING}"),
    re.compile(rf"[，、；：,;:､၊]{_CLOSING}|[」』）】》〉]\s*"),
    re.compile(r"\s+"),
)
_PHRASE_REACH = 40
_PHRASE_AFTER = 10
_LONGEST_CLUSTER = 16


def is_dense(text: str) -> bool:
    """Tell whether a good part of a text is of a script without spaces.

    Examples
    --------
    >>> is_dense("今日は天気がいい"), is_dense("the hooks of a 羽")
    (True, False)
    """
    sample = text[:_SAMPLE]
    return not sample.isascii() and len(_DENSE.findall(sample)) > _DENSE_SHARE * len(sample)


def boundary(text: str, lowest: int, most: int, *, earliest: bool = False) -> int:
    """Find the best place at which to cut: behind `lowest`, and not behind `most`.

    Parameters
    ----------
    text
        The text.
    lowest, most
        Between them is the place.
    earliest
        Whether the first such place is wanted, and not the last.

    Returns
    -------
    int
        A place that parts no character from the marks on it, where there is one.
    """
    for ends in _ENDS:
        places = [match.end() for match in ends.finditer(text, lowest, most)]
        if places:
            return places[0] if earliest else places[-1]
    if earliest:
        return character_start(text, lowest, most)
    phrase = _phrase(text, max(lowest, most - _PHRASE_REACH), most)
    if phrase is not None:
        return phrase
    whole = (at for at in range(most, max(lowest, most - _LONGEST_CLUSTER), -1))
    return next((at for at in whole if not is_within_character(text, at)), most)


def _phrase(text: str, lowest: int, most: int) -> int | None:
    """Find the last end of a phrase in reach."""
    window = text[lowest : most + _PHRASE_AFTER]
    parse = _parser(window)
    place, found = lowest, None
    for phrase in parse(window) if parse else ():
        place += len(phrase)
        if place > most:
            break
        found = place
    return found


def _parser(text: str) -> Callable[[str], list[str]] | None:
    if re.search(f"[{_THAI}]", text):
        return _load("thai")
    if re.search(f"[{_KANA}]", text):
        return _load("japanese")
    if re.search(f"[{_HAN}]", text):
        return _load("simplified_chinese")
    return None


@lru_cache(maxsize=3)
def _load(language: str) -> Any:
    import budoux

    return getattr(budoux, f"load_default_{language}_parser")().parse
