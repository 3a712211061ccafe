"""The analysis of texts into terms.

Owns which words are equal: case, accents, strokes, width and ligatures are ignored, and so are
invisible characters, such as soft hyphens; word endings are not. Words are runs of letters, digits
and marks. Scripts without spaces (Chinese, Japanese, Thai …) and Hangul, whose particles are joined
to the words, are split into overlapping pairs of characters.
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
# Soft hyphens, spaces without width, joiners, direction marks, variation selectors; and the stroke
# that only lengthens Arabic words.
_INVISIBLE = (
    r"\x{00AD}\x{061C}\x{0640}\x{180B}-\x{180F}\x{200B}-\x{200F}\x{202A}-\x{202E}"
    r"\x{2060}-\x{206F}\x{FE00}-\x{FE0F}\x{FEFF}\x{E0100}-\x{E01EF}"
)
_IGNORED = f"[{_ACCENTS}{_INVISIBLE}]+"
_BETWEEN_WORDS = r"[^\pL\pN\pM]+"
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u2e80-\u2fff\u3005-\u3007\u3021-\u3029"
    "\u3031-\u3035\u3040-\u30ff\u3130-\u318f\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97f"
    "\uac00-\ud7ff\uf900-\ufaff\U00016fe0-\U00018fff\U0001aff0-\U0001b16f\U00020000-\U0003ffff]+"
)
# Letters without a decomposition, and their replacements; those with a stroke and the like are
# recognised by their Unicode names.
_FOLDED_LETTERS = {
    "ß": "ss", "ς": "σ", "æ": "ae", "œ": "oe", "þ": "th", "ð": "d", "ŋ": "n", "ı": "i", "ȷ": "j",
    "ĸ": "k",
}  # fmt: skip
_LETTER_NAME = re.compile("LATIN SMALL LETTER ([A-Z]) WITH .+")
_LATIN_BLOCKS = (
    range(0x80, 0x250),
    range(0x1E00, 0x1F00),
    range(0x2C60, 0x2C80),
    range(0xA720, 0xA800),
)


@dataclass(frozen=True)
class Occurrences:
    """The terms of many texts, one entry for each occurrence of a term.

    Attributes
    ----------
    texts
        The index of the text in the array.
    terms
        The index of the term in `names`.
    names
        The distinct terms.
    """

    texts: np.ndarray[Any, Any]
    terms: np.ndarray[Any, Any]
    names: list[str]


def query_terms(query: str) -> list[str]:
    """Return the terms of a query, in order, with repetitions.

    Examples
    --------
    >>> query_terms("The barbule's Crème-Brûlée")
    ['the', 'barbule', 's', 'creme', 'brulee']
    >>> query_terms("東京都 猫!")
    ['東京', '京都', '猫']
    """
    import pyarrow as pa

    words = _words(pa.array([query], pa.string()))[1].to_pylist()
    return [term for word in words for term in _terms(word, in_query=True)]


def occurrences(texts: pa.Array) -> Occurrences:
    """Analyse texts, none of them missing, into terms."""
    import numpy as np

    text_indexes, words = _words(texts)
    encoded = words.dictionary_encode()
    codes = encoded.indices.to_numpy(zero_copy_only=False)
    terms_by_word = [_terms(word, in_query=False) for word in encoded.dictionary.to_pylist()]
    names: dict[str, int] = {}
    flat = [names.setdefault(term, len(names)) for terms in terms_by_word for term in terms]
    terms = np.array(flat, np.int64)
    counts = np.array([len(word_terms) for word_terms in terms_by_word], np.int64)
    if len(terms) == len(codes) == 0:
        return Occurrences(text_indexes, terms, [])
    if counts.max() == 1:
        return Occurrences(text_indexes, terms[codes], list(names))
    # A word that is split has several terms: its text is repeated, and its terms are numbered.
    starts = np.cumsum(counts) - counts
    repeats = counts[codes]
    offsets = np.arange(repeats.sum()) - np.repeat(np.cumsum(repeats) - repeats, repeats)
    return Occurrences(
        np.repeat(text_indexes, repeats),
        terms[np.repeat(starts[codes], repeats) + offsets],
        list(names),
    )


def _words(texts: pa.Array) -> tuple[np.ndarray[Any, Any], pa.Array]:
    """Return the words of texts, each with the index of its text."""
    import pyarrow.compute as pc

    lists = pc.split_pattern_regex(_fold(texts), _BETWEEN_WORDS)
    indexes, words = pc.list_parent_indices(lists), lists.flatten()
    not_empty = pc.not_equal(words, "")
    return indexes.filter(not_empty).to_numpy(zero_copy_only=False), words.filter(not_empty)


def _fold(texts: pa.Array) -> pa.Array:
    """Remove differences of case, accents, width and invisible characters."""
    import pyarrow.compute as pc

    if pc.all(pc.string_is_ascii(texts)).as_py():
        return pc.ascii_lower(texts)
    folded = pc.utf8_lower(pc.utf8_normalize(texts, "NFKD"))
    return pc.utf8_normalize(pc.replace_substring_regex(folded, _IGNORED, ""), "NFKC")


@lru_cache(maxsize=1)
def _letters() -> dict[int, str]:
    """Return the replacements of letters that have a stroke, a hook or no dot."""
    codes = (code for block in _LATIN_BLOCKS for code in block)
    matches = ((code, _LETTER_NAME.match(unicodedata.name(chr(code), ""))) for code in codes)
    replacements = {code: match[1].lower() for code, match in matches if match}
    return replacements | str.maketrans(_FOLDED_LETTERS)


def _terms(word: str, *, in_query: bool) -> list[str]:
    """Return the terms of a word: itself, or the pairs of characters of unspaced scripts.

    Single characters match, too: they are terms of a text in addition to its pairs, and of a query
    that has no pair.
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
        pairs = [text[start : start + 2] for start in range(len(text) - 1)]
        terms += pairs if in_query and pairs else [*pairs, *text]
    if end < len(word):
        terms.append(word[end:])
    return terms
