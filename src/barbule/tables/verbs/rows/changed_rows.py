"""New states of rows are written where they differ from the old ones.

Owns what counts as a change of a cell, media included. What follows from it is `propagation`'s
business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from barbule.backends.base import RID
from barbule.tables.compute.computed_columns import compute
from barbule.tables.transaction.row_differences import differing, rows_by_changes
from barbule.tables.views.propagation import write_changed
from barbule.types import Media
from barbule.values.cells import holds_media

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from barbule.catalog.records import Column, TableRecord
    from barbule.tables.transaction.transaction import Transaction

__all__ = ["write_differing"]


def write_differing(
    transaction: Transaction,
    record: TableRecord,
    rows: pa.Table,
    old: pa.Table,
    names: Iterable[str],
) -> int:
    """Write the rows whose values differ; what is downstream of these is computed again.

    Parameters
    ----------
    rows
        Physical rows in their new state.
    old
        What they were, in the same order: the columns of these names at least, and why cells of
        them were missing.
    names
        The columns that were given values.

    Returns
    -------
    int
        How many rows were written.
    """
    changed = {name: _changed(transaction, record, rows, old, name) for name in names}
    groups = rows_by_changes(changed)
    if not _is_followed(transaction, record):
        groups = _as_one(groups)
    for group, places in groups:
        write_changed(transaction, record, rows.take(places), group)
    return sum(len(places) for _, places in groups)


def _is_followed(transaction: Transaction, record: TableRecord) -> bool:
    """Whether something is computed from rows, so that it matters which columns changed."""
    catalog = transaction.engine.catalog
    return bool(
        catalog.views_of(record.id)
        or catalog.queries_over(record.id)
        or any(column.kind == "stored" for column in record.columns)
    )


def _as_one(
    groups: list[tuple[set[str], npt.NDArray[np.intp]]],
) -> list[tuple[set[str], npt.NDArray[np.intp]]]:
    import numpy as np

    if not groups:
        return []
    names: set[str] = set().union(*(group for group, _ in groups))
    return [(names, np.sort(np.concatenate([places for _, places in groups])))]


def _changed(
    transaction: Transaction, record: TableRecord, rows: pa.Table, old: pa.Table, name: str
) -> Any:
    """Tell of each row whether its cell of a column changed."""
    column = record.column(name)
    if column is None:
        raise KeyError(name)
    cells = rows.column(column.physical)
    found = differing(old.column(column.physical), cells)
    if column.fallible:  # a cell that was missing by an error is not any more
        found |= old.column(column.errors).is_valid().to_numpy()
    if isinstance(column.dtype, Media):
        found |= _changed_behind(transaction, record, rows, column, found)
    elif holds_media(column.dtype):
        found |= cells.is_valid().to_numpy()
    return found


def _changed_behind(
    transaction: Transaction,
    record: TableRecord,
    rows: pa.Table,
    column: Column,
    found: npt.NDArray[np.bool_],
) -> npt.NDArray[np.bool_]:
    """Tell where the file behind a reference that is the same is another now, or may be."""
    import numpy as np
    import pyarrow.compute as pc

    cells = rows.column(column.physical)
    referred = pc.invert(pc.starts_with(cells, "media:")).fill_null(False).to_numpy()
    same = np.flatnonzero(referred & ~found)
    content = record.column(column.content_name)
    if content is None or not len(same):
        return referred
    asked = rows.take(same)
    now = compute(transaction, record, asked, [content])
    order = pc.index_in(asked.column(RID), value_set=now.column(RID).combine_chunks())
    now = now.take(order)
    referred[same] = differing(asked.column(content.physical), now.column(content.physical))
    return referred
