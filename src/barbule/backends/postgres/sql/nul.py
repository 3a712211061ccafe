"""Strings with the character NUL, which Postgres stores neither as strings nor in JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ibis.expr.datatypes as dt

from barbule.types.declarations import holds

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["first_nul"]

# In JSON it is escaped; a backslash that is escaped itself begins no escape.
_NUL_IN_JSON = r"(?:^|[^\\])(?:\\\\)*\\u0000"


def first_nul(values: pa.Array, dtype: dt.DataType) -> int | None:
    """Return the index of the first value that contains NUL, in lists and structs too.

    Examples
    --------
    >>> import pyarrow as pa
    >>> first_nul(pa.array(["a", None, f"a{chr(0)}b"]), dt.string)
    2
    >>> first_nul(pa.array([["a"], [], ["b", chr(0)]]), dt.Array(dt.string))
    2
    """
    import pyarrow.compute as pc

    if not holds(dtype, dt.String, dt.JSON, into=(dt.Array, dt.Struct)):
        return None
    if isinstance(dtype, dt.Array):
        index = first_nul(values.flatten(), dtype.value_type)
        return None if index is None else int(pc.list_parent_indices(values)[index].as_py())
    if isinstance(dtype, dt.Struct):
        fields = zip(values.flatten(), dtype.types, strict=True)
        indices = (first_nul(field, field_type) for field, field_type in fields)
        return min((index for index in indices if index is not None), default=None)
    in_json = isinstance(dtype, dt.JSON)
    matches = pc.match_substring(values, "\\u0000" if in_json else "\0")
    if in_json and pc.any(matches).as_py():
        matches = pc.match_substring_regex(values, _NUL_IN_JSON)
    index = int(pc.index(matches, True).as_py())
    return None if index < 0 else index
