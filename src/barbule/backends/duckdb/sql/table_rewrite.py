"""Large columns that are laid beside the rows of a table, which is written anew.

Owns when that is done. DuckDB writes an empty column of vectors in full, and keeps what an update
changes in memory until the commit: together several times the size, and the time, of the vectors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from barbule.backends.base import FOREVER, RID, TO
from barbule.backends.duckdb.sql.statements import quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

__all__ = ["in_order_of", "is_large", "laying_beside", "placing"]

_LARGE_VECTORS = 8 << 20  # bytes
_LARGE = 64 << 20
_MOST = 2**31 - 1  # bytes to which 32-bit offsets reach
_ANEW = "bb_written_anew"


def is_large(values: pa.ChunkedArray) -> bool:
    """Whether a column is large enough to write its table anew for it."""
    import pyarrow as pa

    least = _LARGE_VECTORS if pa.types.is_fixed_size_list(values.type) else _LARGE
    return values.nbytes > least


def in_order_of(stored: pa.Table, rows: pa.Table, column: str) -> pa.Table | None:
    """Put values beside the rows of a table, by identity; those that have ended get none.

    Parameters
    ----------
    stored
        The identities and ends of all rows, as they lie in the table.
    rows
        Identities, and the values of a column.

    Returns
    -------
    pyarrow.Table or None
        The column alone, as long as the table; None where a live row has no value in `rows`, or
        where lists are too large for Arrow to arrange.

    Examples
    --------
    >>> import pyarrow as pa
    >>> stored = pa.table({"_rid": [2, 1, 1], "_to": [FOREVER, 5, FOREVER]})
    >>> in_order_of(stored, pa.table({"_rid": [1, 2], "v": ["a", "b"]}), "v")["v"].to_pylist()
    ['b', None, 'a']
    """
    import numpy as np
    import pyarrow as pa

    wanted, given = stored.column(RID).to_numpy(), rows.column(RID).to_numpy()
    live = stored.column(TO).to_numpy() == FOREVER
    if live.all() and np.array_equal(wanted, given):
        return rows.select([column])
    order = np.argsort(given, kind="stable")
    places = np.searchsorted(given, wanted, sorter=order).clip(max=max(len(given) - 1, 0))
    places = order[places] if len(given) else places
    if not len(given) or (given[places] != wanted)[live].any():
        return None
    values = rows.column(column)
    if values.type in (pa.string(), pa.binary()):  # whose offsets end at 2 GiB
        values = values.cast(pa.large_string() if values.type == pa.string() else pa.large_binary())
    elif values.nbytes > _MOST and not pa.types.is_fixed_size_list(values.type):
        return None
    return pa.table({column: values.take(pa.array(places, mask=~live))})


def placing(name: str) -> str:
    """Write the query of the identities and ends of all rows, as they lie in a table."""
    return f"SELECT {RID}, {TO} FROM {quoted(name)}"


def laying_beside(name: str, column: str, staged: str) -> Sequence[str]:
    """Write the statements that give a table the column of another relation, row by row."""
    table = quoted(name)
    return (
        f"ALTER TABLE {table} DROP COLUMN IF EXISTS {quoted(column)}",
        (
            f"CREATE TABLE {_ANEW} AS SELECT {table}.*, {quoted(staged)}.{quoted(column)} "
            f"FROM {table} POSITIONAL JOIN {quoted(staged)}"
        ),
        f"DROP TABLE {table}",
        f"ALTER TABLE {_ANEW} RENAME TO {table}",
    )
