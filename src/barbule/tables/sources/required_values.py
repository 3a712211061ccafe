"""Required values: in columns, and in the structs and arrays that columns hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ibis.expr.datatypes as dt

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["asks_for_values", "first_missing"]


def first_missing(
    cells: pa.ChunkedArray | pa.Array, kind: dt.DataType
) -> tuple[int, tuple[str, ...]] | None:
    """Find a required value that is missing; a part of a missing whole is not.

    Returns
    -------
    tuple or None
        The row, and the names of fields that lead to the value; None where all are there.

    Examples
    --------
    >>> import pyarrow as pa
    >>> kind = dt.Struct({"street": dt.String(nullable=False)})
    >>> first_missing(pa.array([{"street": "Main"}, None, {"street": None}]), kind)
    (2, ('street',))
    """
    import pyarrow as pa

    if not kind.nullable and cells.null_count:
        return cells.is_null().to_pylist().index(True), ()
    if not _asks_for_parts(kind):
        return None
    whole = cells.combine_chunks() if isinstance(cells, pa.ChunkedArray) else cells
    return _missing_part(whole, kind)


def asks_for_values(kind: dt.DataType) -> bool:
    """Whether a value of a column, or a part of one, is required."""
    return not kind.nullable or _asks_for_parts(kind)


def _asks_for_parts(kind: dt.DataType) -> bool:
    return any(map(asks_for_values, _parts(kind).values()))


def _parts(kind: dt.DataType) -> dict[str, dt.DataType]:
    if isinstance(kind, dt.Struct):
        return dict(kind.fields)
    return {"": kind.value_type} if isinstance(kind, dt.Array | dt.Map) else {}


def _missing_part(cells: pa.Array, kind: dt.DataType) -> tuple[int, tuple[str, ...]] | None:
    import pyarrow.compute as pc

    there = pc.indices_nonzero(cells.is_valid())
    present = cells.take(there)
    for name, part in _parts(kind).items():
        rows, values = there, present
        if isinstance(kind, dt.Struct):
            values = present.field(name)
        elif isinstance(kind, dt.Map):
            counts = [len(each) for each in present.to_pylist()]
            rows = there.take(_repeated(counts))
            values = present.items
        else:
            rows = there.take(pc.list_parent_indices(present))
            values = pc.list_flatten(present)
        if (found := first_missing(values, part)) is not None:
            place, path = found
            return rows[place].as_py(), ((name, *path) if name else path)
    return None


def _repeated(counts: list[int]) -> pa.Array:
    """Repeat the number of each whole as often as it has parts."""
    import pyarrow as pa

    return pa.array([row for row, count in enumerate(counts) for _ in range(count)], pa.int64())
