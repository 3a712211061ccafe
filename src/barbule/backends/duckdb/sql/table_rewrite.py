"""Large new columns, for which a table is rewritten.

Owns when that is done. DuckDB writes an empty column of vectors in full, and keeps the changes of
an update in memory until the commit: together several times the size, and the time, of the vectors.
A new table with the column positionally joined costs neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from barbule.backends.base import FOREVER, RID, TO
from barbule.backends.duckdb.sql.statements import quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

__all__ = ["add_aligned_column", "align_to_rows", "is_large", "select_row_order"]

_MIN_VECTOR_BYTES = 8 << 20
_MIN_BYTES = 64 << 20
_MAX_OFFSET_BYTES = 2**31 - 1  # that 32-bit offsets reach
_REWRITTEN = "bb_rewritten"  # the new table, before it is renamed


def is_large(values: pa.ChunkedArray) -> bool:
    """Whether a column is large enough to rewrite its table for it."""
    import pyarrow as pa

    is_vector = pa.types.is_fixed_size_list(values.type)
    return values.nbytes > (_MIN_VECTOR_BYTES if is_vector else _MIN_BYTES)


def align_to_rows(stored: pa.Table, rows: pa.Table, column: str) -> pa.Table | None:
    """Return the values of a column in the order of a table's rows; ended rows get none.

    Parameters
    ----------
    stored
        The row ids and ends of all rows, in the order of the table.
    rows
        Row ids, and the values of a column.

    Returns
    -------
    pyarrow.Table or None
        The column alone, as long as the table; None if a live row has no value in `rows`, or if
        lists are too large for Arrow to reorder.

    Examples
    --------
    >>> import pyarrow as pa
    >>> stored = pa.table({"_rid": [2, 1, 1], "_to": [FOREVER, 5, FOREVER]})
    >>> align_to_rows(stored, pa.table({"_rid": [1, 2], "v": ["a", "b"]}), "v")["v"].to_pylist()
    ['b', None, 'a']
    """
    import numpy as np
    import pyarrow as pa

    stored_rids, rids = stored.column(RID).to_numpy(), rows.column(RID).to_numpy()
    live = stored.column(TO).to_numpy() == FOREVER
    if live.all() and np.array_equal(stored_rids, rids):
        return rows.select([column])
    if not len(rids):
        return None
    order = np.argsort(rids, kind="stable")
    positions = np.searchsorted(rids, stored_rids, sorter=order).clip(max=len(rids) - 1)
    positions = order[positions]
    if (rids[positions] != stored_rids)[live].any():
        return None
    values = rows.column(column)
    if values.type in (pa.string(), pa.binary()):  # whose offsets end at 2 GiB
        values = values.cast(pa.large_string() if values.type == pa.string() else pa.large_binary())
    elif values.nbytes > _MAX_OFFSET_BYTES and not pa.types.is_fixed_size_list(values.type):
        return None
    return pa.table({column: values.take(pa.array(positions, mask=~live))})


def select_row_order(name: str) -> str:
    """Select the row ids and ends of all rows, in the order of the table."""
    return f"SELECT {RID}, {TO} FROM {quoted(name)}"


def add_aligned_column(name: str, column: str, source: str) -> Sequence[str]:
    """Write the statements that add the column of another relation to a table, row by row."""
    table = quoted(name)
    return (
        f"ALTER TABLE {table} DROP COLUMN IF EXISTS {quoted(column)}",
        (
            f"CREATE TABLE {_REWRITTEN} AS SELECT {table}.*, {quoted(source)}.{quoted(column)} "
            f"FROM {table} POSITIONAL JOIN {quoted(source)}"
        ),
        f"DROP TABLE {table}",
        f"ALTER TABLE {_REWRITTEN} RENAME TO {table}",
    )
