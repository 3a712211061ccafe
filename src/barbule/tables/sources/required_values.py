"""Required values: in columns, and in the structs and arrays that columns hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ibis.expr.datatypes as dt

from barbule.types import declaration
from barbule.types.declarations.nested import parts

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["first_missing_value", "has_required_values"]


def first_missing_value(
    cells: pa.ChunkedArray | pa.Array, dtype: dt.DataType
) -> tuple[int, tuple[str, ...]] | None:
    """Find a required value that is missing; parts of a missing struct or list are not.

    Returns
    -------
    tuple or None
        The row, and the names of fields that lead to the value; None if no value is missing.

    Examples
    --------
    >>> import pyarrow as pa
    >>> kind = dt.Struct({"street": dt.String(nullable=False)})
    >>> first_missing_value(pa.array([{"street": "Main"}, None, {"street": None}]), kind)
    (2, ('street',))
    """
    import pyarrow as pa

    if not dtype.nullable and cells.null_count:
        return cells.is_null().to_pylist().index(True), ()
    if not _has_required_parts(dtype):
        return None
    array = cells.combine_chunks() if isinstance(cells, pa.ChunkedArray) else cells
    return _first_missing_part(array, dtype)


def has_required_values(dtype: dt.DataType) -> bool:
    """Whether a value of a column, or a part of one, is required."""
    return not dtype.nullable or _has_required_parts(dtype)


def _has_required_parts(dtype: dt.DataType) -> bool:
    if not declaration(dtype).is_nested:  # as most columns, which are many
        return False
    return any(map(has_required_values, parts(dtype, keys=False).values()))


def _first_missing_part(cells: pa.Array, dtype: dt.DataType) -> tuple[int, tuple[str, ...]] | None:
    import pyarrow.compute as pc

    present_rows = pc.indices_nonzero(cells.is_valid())
    present = cells.take(present_rows)
    for name, part_dtype in parts(dtype, keys=False).items():
        rows, values = present_rows, present
        if isinstance(dtype, dt.Struct):
            values = present.field(name)
        elif isinstance(dtype, dt.Map):
            counts = [len(pairs) for pairs in present.to_pylist()]
            rows = present_rows.take(_parent_rows(counts))
            values = present.items
        else:
            rows = present_rows.take(pc.list_parent_indices(present))
            values = pc.list_flatten(present)
        if (missing := first_missing_value(values, part_dtype)) is not None:
            position, path = missing
            return rows[position].as_py(), ((name, *path) if name else path)
    return None


def _parent_rows(counts: list[int]) -> pa.Array:
    """Return the row of each pair of maps, from the number of pairs in each row."""
    import pyarrow as pa

    return pa.array([row for row, count in enumerate(counts) for _ in range(count)], pa.int64())
