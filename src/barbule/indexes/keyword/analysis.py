"""From text to terms.

Owns what counts as the same word: case, accents, strokes, width and ligatures do not matter,
nor do signs that are not seen, such as soft hyphens; endings do.
Words are runs of letters, digits and marks. Scripts that are written without spaces (Chinese,
Japanese, Thai …) and Hangul, whose particles cling to the words, are cut into overlapping pairs
of characters.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

__all__ = ["Occurrences", "occurrences", "query_terms"]

# Accents and vowel points. Vowel signs of Indic scripts are marks too, but part of the word.
_ACCENTS = (
    r"\x{0300}-\x{036F}\x{0591}-\x{05C7}\x{0610}-\x{061A}\x{064B}-\x{065F}\x{0670}"
    r"\x{1AB0}-\x{1AFF}\x{1DC0}-\x{1DFF}\x{20D0}-\x{20FF}"
)
# Soft hyphens, spaces without width, joiners, marks of direction, selectors of variants; and the
# stroke that only lengthens words of Arabic.
_UNSEEN = (
    r"\x{00AD}\x{061C}\x{0640}\x{180B}-\x{180F}\x{200B}-\x{200F}\x{202A}-\x{202E}"
    r"\x{2060}-\x{206F}\x{FE00}-\x{FE0F}\x{FEFF}\x{E0100}-\x{E01EF}"
)
_IGNORED = f"[{_ACCENTS}{_UNSEEN}]+"
_BETWEEN_WORDS = r"[^\pL\pN\pM]+"
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u2e80-\u2fff\u3005-\u3007\u3021-\u3029"
    "\u3031-\u3035\u3040-\u30ff\u3130-\u318f\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97f"
    "\uac00-\ud7ff\uf900-\ufaff\U00016fe0-\U00018fff\U0001aff0-\U0001b16f\U00020000-\U0003ffff]+"
)
# Letters that have no decomposition and stand for others; those with a stroke and the like are
# told by their names.
_FOLDED = {
    "ß": "ss", "ς": "σ", "æ": "ae", "œ": "oe", "þ": "th", "ð": "d", "ŋ": "n", "ı": "i", "ȷ": "j",
    "ĸ": "k",
}  # fmt: skip
_BARRED = re.compile("LATIN SMALL LETTER ([A-Z]) WITH .+")
_LATIN = (range(0x80, 0x250), range(0x1E00, 0x1F00), range(0x2C60, 0x2C80), range(0xA720, 0xA800))


@dataclass(frozen=True)
class Occurrences:
    """The terms of many texts, one entry for each time that a term occurs.

    Attributes
    ----------
    texts
        The place of the text in the array.
    terms
        The place of the term in `names`.
    names
        The distinct terms.
    """

    texts: np.ndarray[Any, Any]
    terms: np.ndarray[Any, Any]
    names: list[str]


def query_terms(query: str) -> list[str]:
    """Return the terms of a query, in their order, those that occur again again.

    Examples
    --------
    >>> query_terms("The barbule's Crème-Brûlée")
    ['the', 'barbule', 's', 'creme', 'brulee']
    >>> query_terms("東京都 猫!")
    ['東京', '京都', '猫']
    """
    import pyarrow as pa

    words = _words(pa.array([query], pa.string()))[1].to_pylist()
    return [term for word in words for term in _terms(word, asked=True)]


def occurrences(texts: pa.Array) -> Occurrences:
    """Cut texts, none of them missing, into terms."""
    import numpy as np

    places, words = _words(texts)
    coded = words.dictionary_encode()
    codes = coded.indices.to_numpy(zero_copy_only=False)
    found = [_terms(word, asked=False) for word in coded.dictionary.to_pylist()]
    names: dict[str, int] = {}
    terms = np.array([names.setdefault(n, len(names)) for each in found for n in each], np.int64)
    counts = np.array([len(each) for each in found], np.int64)
    if len(terms) == len(codes) == 0:
        return Occurrences(places, terms, [])
    if counts.max() == 1:
        return Occurrences(places, terms[codes], list(names))
    # A word that is cut gives several terms: repeat its place, and count on within the word.
    starts = np.cumsum(counts) - counts
    repeated = counts[codes]
    within = np.arange(repeated.sum()) - np.repeat(np.cumsum(repeated) - repeated, repeated)
    return Occurrences(
        np.repeat(places, repeated), terms[np.repeat(starts[codes], repeated) + within], list(names)
    )


def _words(texts: pa.Array) -> tuple[np.ndarray[Any, Any], pa.Array]:
    """Return the words of texts, and the places of the texts that they come from."""
    import pyarrow.compute as pc

    lists = pc.split_pattern_regex(_fold(texts), _BETWEEN_WORDS)
    places, words = pc.list_parent_indices(lists), lists.flatten()
    some = pc.not_equal(words, "")
    return places.filter(some).to_numpy(zero_copy_only=False), words.filter(some)


def _fold(texts: pa.Array) -> pa.Array:
    """Make alike what differs in case, accents, width and unseen signs only."""
    import pyarrow.compute as pc

    plain = pc.string_is_ascii(texts)
    if pc.all(plain).as_py():
        return pc.ascii_lower(texts)
    folded = pc.utf8_lower(pc.utf8_normalize(texts, "NFKD"))
    return pc.utf8_normalize(pc.replace_substring_regex(folded, _IGNORED, ""), "NFKC")


@lru_cache(maxsize=1)
def _letters() -> dict[int, str]:
    """Return what is written for letters that have a stroke, a hook or no dot."""
    named = ((code, unicodedata.name(chr(code), "")) for block in _LATIN for code in block)
    barred = {code: match[1].lower() for code, name in named if (match := _BARRED.match(name))}
    return barred | str.maketrans(_FOLDED)


def _terms(word: str, *, asked: bool) -> list[str]:
    """Return the terms of a word: itself, or the pairs of what is written without spaces.

    Single characters are found too: a text has them beside its pairs, a query when it has no
    pair.
    """
    if not word.isascii():
        word = word.translate(_letters())
    if word.isascii() or not _UNSPACED.search(word):
        return [word]
    terms: list[str] = []
    end = 0
    for run in _UNSPACED.finditer(word):
        if run.start() > end:
            terms.append(word[end : run.start()])
        end, text = run.end(), run[0]
        pairs = [text[at : at + 2] for at in range(len(text) - 1)]
        terms += pairs if asked and pairs else [*pairs, *text]
    if end < len(word):
        terms.append(word[end:])
    return terms
