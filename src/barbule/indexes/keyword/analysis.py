"""From text to terms.

Owns what counts as the same word: case, accents, width and ligatures do not matter, endings do.
Words are runs of letters, digits and marks. Scripts that are written without spaces (Chinese,
Japanese, Thai …) and Hangul, whose particles cling to the words, are cut into overlapping pairs
of characters.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

__all__ = ["Occurrences", "occurrences", "query_terms"]

# Accents and vowel points. Vowel signs of Indic scripts are marks too, but part of the word.
_ACCENTS = (
    r"[\x{0300}-\x{036F}\x{0591}-\x{05C7}\x{0610}-\x{061A}\x{064B}-\x{065F}\x{0670}"
    r"\x{1AB0}-\x{1AFF}\x{1DC0}-\x{1DFF}\x{20D0}-\x{20FF}]+"
)
_BETWEEN_WORDS = r"[^\pL\pN\pM]+"
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u2e80-\u2fff\u3005-\u3007\u3021-\u3029"
    "\u3031-\u3035\u3040-\u30ff\u3130-\u318f\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97f"
    "\uac00-\ud7ff\uf900-\ufaff\U00016fe0-\U00018fff\U0001aff0-\U0001b16f\U00020000-\U0003ffff]+"
)
# Case folding beyond lower case, as far as whole words go.
_FOLDED = (("ß", "ss"), ("ς", "σ"))


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
    """Make alike what differs in case, accents and width only."""
    import pyarrow.compute as pc

    plain = pc.string_is_ascii(texts)
    if pc.all(plain).as_py():
        return pc.ascii_lower(texts)
    folded = pc.utf8_lower(pc.utf8_normalize(texts, "NFKD"))
    folded = pc.utf8_normalize(pc.replace_substring_regex(folded, _ACCENTS, ""), "NFKC")
    for letter, other in _FOLDED:
        folded = pc.replace_substring(folded, letter, other)
    return folded


def _terms(word: str, *, asked: bool) -> list[str]:
    """Return the terms of a word: itself, or the pairs of what is written without spaces.

    Single characters are found too: a text has them beside its pairs, a query when it has no
    pair.
    """
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
