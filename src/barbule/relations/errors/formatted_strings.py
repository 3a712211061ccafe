"""Strings into which expressions were formatted by f-strings, and strings that contain one.

Owns the latest results of `format()` of expressions in this process. A string that contains one of
them was built by an f-string or `str.format`, with any other content.
"""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING

from barbule.errors import ExpressionError
from barbule.json_codec import to_readable
from barbule.relations.errors.invalid_queries import both_classes

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Formatted", "formatted_row"]

_MARK = ".collect() returns its "  # part of the representation of every expression
_MAX_STRINGS = 64
_MAX_CHARACTERS = 20_000  # of longer ones the start is compared
_formatted: collections.deque[str] = collections.deque(maxlen=_MAX_STRINGS)


class Formatted:
    """Remembers the strings that expressions are formatted into."""

    __slots__ = ()

    def __format__(self, spec: str) -> str:
        """Return the definition; there are no values to format."""
        if spec:
            raise both_classes(ExpressionError, TypeError)(
                f"an expression has no value before it is executed, so {spec!r} cannot format it.",
                hint='Format it row by row: bb.functions.string.format("{0:.2f}", t.price).',
            )
        text = str(self)
        if _MARK in text:
            _formatted.append(text[:_MAX_CHARACTERS])
        return text


def formatted_row(column: pa.ChunkedArray | pa.Array) -> int | None:
    """Find the first row of a column of strings, or of Json, that contains such a string.

    Examples
    --------
    >>> import pyarrow as pa
    >>> formatted_row(pa.array(["Up", None]))
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if not _formatted or not pa.types.is_string(column.type):
        return None
    marked = pc.match_substring(column, _MARK)
    if not pc.any(marked).as_py():
        return None
    for row in pc.indices_nonzero(marked.fill_null(False)).to_pylist():
        if _contains_formatted(column[row].as_py()):
            return int(row)
    return None


def _contains_formatted(text: str) -> bool:
    return any(formatted in text or _in_json(formatted) in text for formatted in list(_formatted))


def _in_json(text: str) -> str:
    return to_readable(text)[1:-1]
