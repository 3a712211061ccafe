"""Writes new states of rows if they differ from the old ones.

Owns when a cell counts as changed, including media. `views.propagation` updates the views.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from barbule.backends.base import RID
from barbule.tables.compute.computed_columns import compute_columns
from barbule.tables.transaction.row_differences import cells_differ, group_rows_by_changes
from barbule.tables.views.propagation import write_changed_rows
from barbule.types import declaration, holds_media

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from barbule.catalog.records import Column, TableRecord
    from barbule.tables.transaction.transaction import Transaction

__all__ = ["write_differing_rows"]


def write_differing_rows(
    transaction: Transaction,
    record: TableRecord,
    rows: pa.Table,
    old: pa.Table,
    names: Iterable[str],
) -> int:
    """Write the rows whose values differ; everything downstream is recomputed.

    Parameters
    ----------
    rows
        Physical rows in their new state.
    old
        The old states, in the same order: at least the columns of these names, and the errors of
        their cells.
    names
        The columns that were assigned.

    Returns
    -------
    int
        The number of rows that were written.
    """
    changed = {name: _cells_changed(transaction, record, rows, old, name) for name in names}
    groups = group_rows_by_changes(changed)
    if not _has_dependents(transaction, record):
        groups = _merged_groups(groups)
    for group, positions in groups:
        write_changed_rows(transaction, record, rows.take(positions), group)
    return sum(len(positions) for _, positions in groups)


def _has_dependents(transaction: Transaction, record: TableRecord) -> bool:
    """Whether something is computed from rows, so that the changed columns matter."""
    catalog = transaction.engine.catalog
    return bool(
        catalog.views_of(record.id)
        or catalog.queries_over(record.id)
        or any(column.kind == "stored" for column in record.columns)
    )


def _merged_groups(
    groups: list[tuple[set[str], npt.NDArray[np.intp]]],
) -> list[tuple[set[str], npt.NDArray[np.intp]]]:
    import numpy as np

    if not groups:
        return []
    names: set[str] = set().union(*(group for group, _ in groups))
    return [(names, np.sort(np.concatenate([positions for _, positions in groups])))]


def _cells_changed(
    transaction: Transaction, record: TableRecord, rows: pa.Table, old: pa.Table, name: str
) -> Any:
    """Return for each row whether its cell of a column changed."""
    column = record.column(name)
    if column is None:
        raise KeyError(name)
    cells = rows.column(column.physical)
    changed = cells_differ(old.column(column.physical), cells)
    if column.fallible:  # a cell that was missing because of an error no longer is
        changed |= old.column(column.errors).is_valid().to_numpy()
    if declaration(column.dtype).is_media:
        changed |= _files_changed(transaction, record, rows, column, changed)
    elif holds_media(column.dtype):
        changed |= cells.is_valid().to_numpy()
    return changed


def _files_changed(
    transaction: Transaction,
    record: TableRecord,
    rows: pa.Table,
    column: Column,
    changed: npt.NDArray[np.bool_],
) -> npt.NDArray[np.bool_]:
    """Return for each row whether the file of an unchanged reference may have changed."""
    import numpy as np
    import pyarrow.compute as pc

    cells = rows.column(column.physical)
    by_reference = pc.invert(pc.starts_with(cells, "media:")).fill_null(False).to_numpy()
    unchanged = np.flatnonzero(by_reference & ~changed)
    content = record.column(column.content_name)
    if content is None or not len(unchanged):
        return by_reference
    compared = rows.take(unchanged)
    computed = compute_columns(transaction, record, compared, [content])
    order = pc.index_in(compared.column(RID), value_set=computed.column(RID).combine_chunks())
    computed = computed.take(order)
    by_reference[unchanged] = cells_differ(
        compared.column(content.physical), computed.column(content.physical)
    )
    return by_reference
