"""The states of rows as a table stores them, and vectors of them as a matrix.

Owns these readings of stored tables, which all searches share.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from barbule.backends.base import FROM, RID, TO
from barbule.planner.lowering.table_schemas import physical_schema

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from barbule.backends.base import Reader
    from barbule.catalog.records import TableRecord

__all__ = ["as_matrix", "ended_between", "live_at", "row_states"]


def row_states(reader: Reader, record: TableRecord) -> ir.Table:
    """Return the states of the rows of a table, as they are stored."""
    return reader.table(record.physical, physical_schema(record)).to_expr()


def live_at(states: ir.Table, commit: int) -> ir.Table:
    """Return the states that are live at a commit."""
    return states.filter(states[FROM] <= commit, states[TO] > commit)


def ended_between(states: ir.Table, since: int, until: int) -> ir.Table:
    """Return the ids of rows of which a state has ended between two commits."""
    return states.filter(states[TO] > since, states[TO] <= until).select(RID).distinct()


def as_matrix(column: pa.ChunkedArray | pa.Array) -> npt.NDArray[np.float32]:
    """Return vectors as the rows of a matrix."""
    import numpy as np
    import pyarrow as pa

    vectors: pa.Array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    length = vectors.type.list_size if hasattr(vectors.type, "list_size") else len(vectors[0])
    numbers = vectors.flatten().to_numpy(zero_copy_only=False)
    return np.asarray(numbers, np.float32).reshape(-1, length)
