"""A few Arrow rows as the parameters of an insert.

Owns which values arrive exactly as they are by way of DuckDB's driver. To hand Arrow rows over
takes three times as long as to write one of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["as_parameters"]

_MAX_VALUES = 1024  # those in lists too: each is made an object of Python and one of DuckDB
_MAX_BYTES = 1 << 16  # which are copied more often than those of Arrow
_PLAIN = {"bool", "double", "float", "large_string", "string", "binary", "large_binary"} | {
    f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)
}
_FLOATS = {"double", "float"}
# What is counted from 1970 travels as that number: Python knows the years 1 to 9999 only.
_COUNTED = {
    "date32[day]": ("make_date(?::INTEGER)", "int32"),
    "timestamp[us]": ("make_timestamp(?::BIGINT)", "int64"),
}
_ZONED = ("make_timestamptz(?::BIGINT)", "int64")
_INFINITE = {2**63 - 1, 1 - 2**63}  # as moments, of which the functions above make none
_Taken = tuple[str, list[Any], int]


def as_parameters(rows: pa.Table) -> tuple[str, list[Any]] | None:
    """Return the tuples of a VALUES clause and what fills their places.

    Returns
    -------
    tuple
        None where rows are many or large, or not all of their values would arrive as they are.
    """
    if not 0 < rows.num_rows * rows.num_columns <= _MAX_VALUES or rows.nbytes > _MAX_BYTES:
        return None
    places, columns, left = [], [], _MAX_VALUES
    for cells in rows.columns:
        taken = _taken(cells, left)
        if taken is None:
            return None
        place, values, count = taken
        left -= count
        places.append(place)
        columns.append(values)
    row = f"({', '.join(places)})"
    given = [value for values in zip(*columns, strict=True) for value in values]
    return ", ".join([row] * rows.num_rows), given


def _taken(cells: pa.ChunkedArray, most: int) -> _Taken | None:
    """Return the place of a column's values, the values, and how many there are within them."""
    import pyarrow as pa

    kind, count = cells.type, len(cells)
    name = str(kind)
    if name in _PLAIN:
        values = cells.to_pylist()
        if name in _FLOATS and any(value != value for value in values):  # noqa: PLR0124 - NaN
            return None
        return "?", values, count
    if pa.types.is_null(kind):
        return "?", [None] * count, count
    zoned = pa.types.is_timestamp(kind) and kind.tz is not None and kind.unit == "us"
    if (counted := _ZONED if zoned else _COUNTED.get(name)) is not None:
        place, number = counted
        values = cells.cast(number).to_pylist()
        return None if _INFINITE.intersection(values) else (place, values, count)
    return _lists(cells, most)


def _lists(cells: pa.ChunkedArray, most: int) -> _Taken | None:
    """Return the same of lists of plain values; vectors by way of NumPy, in a tenth of the time."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    leaves, count = cells, len(cells)
    while pa.types.is_list(leaves.type) or pa.types.is_fixed_size_list(leaves.type):
        leaves = pc.list_flatten(leaves)
        count += len(leaves)
    if leaves is cells or count > most or str(leaves.type) not in _PLAIN:
        return None
    if str(leaves.type) in _FLOATS:
        numbers = leaves.to_numpy()  # what is missing is NaN here
        if np.isnan(numbers).any():
            # The driver makes NULL of NaN within lists.
            return None
        size = getattr(cells.type, "list_size", 0) if cells.type.value_type == leaves.type else 0
        if size and len(numbers) == size * len(cells):
            return "?", numbers.reshape(len(cells), size).tolist(), count
    return "?", cells.to_pylist(), count
