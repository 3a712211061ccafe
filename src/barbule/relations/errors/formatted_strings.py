"""Expressions that were written into texts by f-strings, and texts that hold one.

Owns what is known of it: what `format()` has made of expressions in this process. A text that
holds one of these was made by an f-string or `str.format`, whatever else it is about.
"""

from __future__ import annotations

import collections
import json
from typing import TYPE_CHECKING, Any

from barbule.errors import ExpressionError
from barbule.relations.errors.invalid_queries import both_classes

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Formatted", "formatted_row"]

_MARK = " that has not run: "  # which the representation of every expression has
_LATEST = 64
_LENGTH = 20_000  # characters; of longer ones the begin is compared
_texts: collections.deque[str] = collections.deque(maxlen=_LATEST)


class Formatted:
    """What is remembered when an expression is written into a text."""

    __slots__ = ()

    def __format__(self, spec: str) -> str:
        """Write the definition, which has no values to be formatted."""
        if spec:
            raise both_classes(ExpressionError, TypeError)(
                f"an expression has no value yet that {spec!r} could format.",
                hint='Fill it row by row: bb.functions.string.format("{0:.2f}", t.price).',
            )
        text = str(self)
        if _MARK in text:
            _texts.append(text[:_LENGTH])
        return text


def formatted_row(column: pa.ChunkedArray | pa.Array) -> int | None:
    """Find the first row of a column of texts, or of Json, that holds such a text.

    Examples
    --------
    >>> import pyarrow as pa
    >>> formatted_row(pa.array(["Up", None]))
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if not _texts or not pa.types.is_string(column.type):
        return None
    marked = pc.match_substring(column, _MARK)
    if not pc.any(marked).as_py():
        return None
    for row in pc.indices_nonzero(marked.fill_null(False)).to_pylist():
        if _holds_one(column[row].as_py()):
            return int(row)
    return None


def _holds_one(text: str) -> bool:
    return any(each in text or _in_json(each) in text for each in list(_texts))


def _in_json(text: Any) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]
