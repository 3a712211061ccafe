"""Texts with the character NUL, which Postgres keeps in no text and in no JSON.

Owns where one is found, in values as they come out of a computation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import ibis.expr.datatypes as dt

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["place_of_nul"]

# In JSON it is escaped; a backslash that is escaped itself begins no escape.
_IN_JSON = r"(?:^|[^\\])(?:\\\\)*\\u0000"


def place_of_nul(values: pa.Array, kind: dt.DataType) -> int | None:
    """Return the place of the first value that holds NUL, within lists and records too.

    Examples
    --------
    >>> import pyarrow as pa
    >>> place_of_nul(pa.array(["a", None, f"a{chr(0)}b"]), dt.string)
    2
    >>> place_of_nul(pa.array([["a"], [], ["b", chr(0)]]), dt.Array(dt.string))
    2
    """
    import pyarrow.compute as pc

    if isinstance(kind, dt.Array):
        if not kind.value_type.is_nested() and not _is_text(kind.value_type):
            return None
        place = place_of_nul(values.flatten(), kind.value_type)
        return None if place is None else int(pc.list_parent_indices(values)[place].as_py())
    if isinstance(kind, dt.Struct):
        fields = zip(values.flatten(), kind.types, strict=True)
        places = [place_of_nul(field, each) for field, each in fields]
        return min((place for place in places if place is not None), default=None)
    if not _is_text(kind):
        return None
    in_json = isinstance(kind, dt.JSON)
    found = pc.match_substring(values, "\\u0000" if in_json else "\0")
    if in_json and pc.any(found).as_py():
        found = pc.match_substring_regex(values, _IN_JSON)
    place = int(pc.index(found, True).as_py())
    return None if place < 0 else place


def _is_text(kind: dt.DataType) -> bool:
    return isinstance(kind, dt.String | dt.JSON)
