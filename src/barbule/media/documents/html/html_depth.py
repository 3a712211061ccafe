"""The nesting depth of a page's elements, and the number of attributes of one element.

The time of a parser grows with the square of either, so a small page may keep it busy for minutes.
Owns a cheap estimate, and the exact count if the estimate is high.
"""

from __future__ import annotations

import re

from barbule.media.documents.blocks import DamagedTreeError

__all__ = ["refuse_attributes", "refuse_depth"]

_MAX_DEPTH = 10_000
_CHUNK_CHARACTERS = 1 << 16
_TAG = re.compile(r"<(/?)([a-zA-Z][^\s/>]*)")
_MAX_ATTRIBUTES = 2_000
# A tag with that many attributes, and whether there is one more. It matches what a parser takes as
# attributes: anything between blanks, and quotes after equality signs.
_VALUE = r"""\s*+=\s*+(?:"[^"]*+"|'[^']*+'|[^\s>]*+)"""
_ATTRIBUTE = rf"[\s/]*+[^\s/>][^\s/>=]*+(?:{_VALUE})?+"
_ATTRIBUTES = re.compile(
    rf"<[a-zA-Z][^\s/>]*+(?:{_ATTRIBUTE}){{0,{_MAX_ATTRIBUTES}}}+(?:{_ATTRIBUTE}())?+"
)
# They hold no elements, or are ended by the next one of the same type.
_UNNESTED_TAGS = {
    "area", "base", "br", "col", "dd", "dt", "embed", "hr", "img", "input", "li", "link", "meta",
    "option", "p", "param", "source", "tbody", "td", "tfoot", "th", "thead", "tr", "track", "wbr",
}  # fmt: skip


def refuse_depth(source: str) -> None:
    """Refuse a page whose elements are nested more than 10,000 deep.

    Raises
    ------
    DamagedTreeError
        If it is nested that deeply.

    Examples
    --------
    >>> refuse_depth("<p>one<p>two" * 20_000)
    >>> refuse_depth("<div>" * 10_001)
    Traceback (most recent call last):
        ...
    barbule.media.documents.blocks.DamagedTreeError: it is nested more than 10,000 elements deep
    """
    if _depth_bound(source) > _MAX_DEPTH and _depth(source) > _MAX_DEPTH:
        raise DamagedTreeError(f"it is nested more than {_MAX_DEPTH:,} elements deep")


def refuse_attributes(source: str) -> None:
    """Refuse a page with an element that has more than 2,000 attributes.

    Raises
    ------
    DamagedTreeError
        If it has one.

    Examples
    --------
    >>> refuse_attributes("<p a b=1 c='d e'>" * 2_000)
    """
    if any(match.lastindex for match in _ATTRIBUTES.finditer(source)):
        raise DamagedTreeError(f"an element has more than {_MAX_ATTRIBUTES:,} attributes")


def _depth_bound(source: str) -> int:
    """Return an upper bound of the depth, which assumes that every tag is closed."""
    deepest = depth = 0
    for start in range(0, len(source), _CHUNK_CHARACTERS):
        ends = source.count("</", start, start + _CHUNK_CHARACTERS)
        begins = source.count("<", start, start + _CHUNK_CHARACTERS) - ends
        deepest = max(deepest, depth + begins)
        depth = max(0, depth + begins - ends)
    return deepest


def _depth(source: str) -> int:
    deepest = depth = 0
    for slash, name in _TAG.findall(source):
        if name.lower() in _UNNESTED_TAGS:
            continue
        depth = max(0, depth - 1) if slash else depth + 1
        deepest = max(deepest, depth)
    return deepest
