"""A few Arrow rows as the parameters of an INSERT.

Owns which values DuckDB's driver passes on exactly. Registering Arrow rows takes three times as
long as inserting one row of parameters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["insert_parameters"]

_MAX_VALUES = 1024  # those in lists too: each becomes an object of Python and one of DuckDB
_MAX_BYTES = 1 << 16  # which are copied more often than those of Arrow
_PLAIN = {"bool", "double", "float", "large_string", "string", "binary", "large_binary"} | {
    f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)
}
_FLOATS = {"double", "float"}
# Dates and timestamps are passed as numbers: Python has only the years 1 to 9999.
_AS_NUMBERS = {
    "date32[day]": ("make_date(?::INTEGER)", "int32"),
    "timestamp[us]": ("make_timestamp(?::BIGINT)", "int64"),
}
_ZONED_AS_NUMBER = ("make_timestamptz(?::BIGINT)", "int64")
_INFINITE = {2**63 - 1, 1 - 2**63}  # timestamps that the functions above do not make


class _Parameters(NamedTuple):
    """The parameters for one column."""

    placeholder: str
    values: list[Any]
    value_count: int  # those in lists too


def insert_parameters(rows: pa.Table) -> tuple[str, list[Any]] | None:
    """Return the tuples of a VALUES clause, with placeholders, and the parameters.

    Returns
    -------
    tuple or None
        None if there are many or large rows, or some values would not be passed on exactly.
    """
    if not 0 < rows.num_rows * rows.num_columns <= _MAX_VALUES or rows.nbytes > _MAX_BYTES:
        return None
    placeholders, columns, limit = [], [], _MAX_VALUES
    for cells in rows.columns:
        parameters = _column_parameters(cells, limit)
        if parameters is None:
            return None
        limit -= parameters.value_count
        placeholders.append(parameters.placeholder)
        columns.append(parameters.values)
    row = f"({', '.join(placeholders)})"
    flat = [value for values in zip(*columns, strict=True) for value in values]
    return ", ".join([row] * rows.num_rows), flat


def _column_parameters(cells: pa.ChunkedArray, limit: int) -> _Parameters | None:
    import pyarrow as pa

    dtype, count = cells.type, len(cells)
    name = str(dtype)
    if name in _PLAIN:
        values = cells.to_pylist()
        if name in _FLOATS and any(value != value for value in values):  # noqa: PLR0124 - NaN
            return None
        return _Parameters("?", values, count)
    if pa.types.is_null(dtype):
        return _Parameters("?", [None] * count, count)
    zoned = pa.types.is_timestamp(dtype) and dtype.tz is not None and dtype.unit == "us"
    if (conversion := _ZONED_AS_NUMBER if zoned else _AS_NUMBERS.get(name)) is not None:
        placeholder, number_type = conversion
        values = cells.cast(number_type).to_pylist()
        return None if _INFINITE.intersection(values) else _Parameters(placeholder, values, count)
    return _list_parameters(cells, limit)


def _list_parameters(cells: pa.ChunkedArray, limit: int) -> _Parameters | None:
    """Return the parameters for lists of plain values; vectors by NumPy, in a tenth of the time."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    leaves, count = cells, len(cells)
    while pa.types.is_list(leaves.type) or pa.types.is_fixed_size_list(leaves.type):
        leaves = pc.list_flatten(leaves)
        count += len(leaves)
    if leaves is cells or count > limit or str(leaves.type) not in _PLAIN:
        return None
    if str(leaves.type) in _FLOATS:
        numbers = leaves.to_numpy()  # missing values are NaN here
        if np.isnan(numbers).any():
            # The driver converts NaN in lists to NULL.
            return None
        size = getattr(cells.type, "list_size", 0) if cells.type.value_type == leaves.type else 0
        if size and len(numbers) == size * len(cells):
            return _Parameters("?", numbers.reshape(len(cells), size).tolist(), count)
    return _Parameters("?", cells.to_pylist(), count)
