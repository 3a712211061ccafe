"""Reverts a table, with its views, to an earlier version."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import ibis.expr.operations as ops

from barbule.backends.base import FROM, RID
from barbule.errors import DependencyError, UnsupportedError, VersionError
from barbule.planner.lowering.table_schemas import physical_schema
from barbule.planner.lowering.visible_rows import RowsRead, visible_rows
from barbule.tables.commit import run_transaction
from barbule.tables.compute.dependencies import dependent_columns
from barbule.tables.transaction.isolation import isolated
from barbule.tables.transaction.names import current_record
from barbule.tables.transaction.results import UpdateResult
from barbule.tables.transaction.row_differences import cells_differ, group_rows_by_changes
from barbule.tables.verbs.columns.rename_column import rename_in_expressions
from barbule.tables.views.base_columns import derived_columns, views_reading
from barbule.tables.views.dependent_views import with_row_views
from barbule.tables.views.propagation import propagate_to, propagate_update_to
from barbule.tables.views.type_propagation import retype_views

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa

    from barbule.catalog.records import TableRecord
    from barbule.executor.engine import Engine
    from barbule.nodes import ManagedTable
    from barbule.tables.transaction.transaction import Transaction
    from barbule.tables.verbs.versions.history import VersionLike

__all__ = ["revert"]

_REVERT_PREFIX = "revert to "


@isolated
def revert(leaf: ManagedTable, to: VersionLike | None) -> UpdateResult:
    """Create a new version of a table that equals an old one; its views are updated."""
    engine: Engine = leaf.source
    since = engine.catalog.refresh()
    record = current_record(leaf)
    if record.view:
        raise UnsupportedError(
            "a view follows its base.", table=record.name, hint="Revert the base table."
        )

    def prepare(transaction: Transaction) -> int:
        version = _previous_version(transaction.engine, record) if to is None else to
        target = transaction.engine.catalog.resolve(record.id, version)
        transaction.pending.operation = f"{_REVERT_PREFIX}{target.version}"
        resolved = transaction.engine.catalog.resolve_commit(record.id, version)
        # The last commit of that version: views may have been created while it was the latest.
        later = (version.commit for version in transaction.engine.catalog.versions(leaf.table_id))
        last = (
            min(
                (commit for commit in later if commit > target.commit),
                default=transaction.engine.catalog.head + 1,
            )
            - 1
        )
        commit = last if record.holds(last) else resolved
        renamed = _with_old_names(transaction, current_record(transaction.leaf(leaf)), commit)
        old_names = {
            column.name for column in transaction.engine.catalog.record(record.id, commit).columns
        }
        visible_names = {column.name for column in renamed.columns if not column.hidden}
        _check_views_readable(transaction.engine, renamed, visible_names - old_names, commit)
        return _restore(transaction, renamed, commit)

    transaction, count = run_transaction(engine, "revert", prepare, since=since, slow=True)
    return transaction.result(UpdateResult, record.id, count)


def _previous_version(engine: Engine, record: TableRecord) -> int:
    """Return the number of the version before the current one.

    After a revert that is the version before the restored one, so that each further step goes
    further back.
    """
    operations = {
        version.version: version.operation for version in engine.catalog.versions(record.id)
    }
    version_shown = max(operations)
    while operations.get(version_shown, "").startswith(_REVERT_PREFIX):
        version_shown = int(operations[version_shown].removeprefix(_REVERT_PREFIX))
    if version_shown == 0:
        raise VersionError(
            "there is no version before the current one.",
            table=record.name,
            hint="history() lists the versions; revert(to=...) reverts to any of them.",
        )
    return version_shown - 1


def _with_old_names(transaction: Transaction, record: TableRecord, commit: int) -> TableRecord:
    """Rename columns back to their names at a commit, in newer views too."""
    names_by_id = {
        column.id: column.name
        for column in transaction.engine.catalog.record(record.id, commit).columns
    }
    names = {
        column.name: names_by_id[column.id]
        for column in record.columns
        if names_by_id.get(column.id, column.name) != column.name
    }
    if not names:
        return record
    # Columns that have since taken such a name are lost; they must not be confused with the others.
    columns = [
        column
        for column in record.columns
        if column.id in names_by_id or column.name not in names.values()
    ]
    rename_in_expressions(transaction, replace(record, columns=tuple(columns)), names, {})
    return transaction.engine.catalog.record(record.id)


def _check_views_readable(engine: Engine, record: TableRecord, lost: set[str], commit: int) -> None:
    """Check that no view reads columns that did not exist at a commit."""
    readers = views_reading(
        engine, record, lost, lambda view: _has_same_columns(engine, view, commit)
    )
    if readers:
        raise DependencyError(
            f"columns that did not exist at that version ({', '.join(sorted(lost))}) are used by "
            f"{', '.join(f'the view {view.name!r}' for view in readers)}.",
            table=record.name,
            hint="Drop the views first.",
        )


def _restore(
    transaction: Transaction,
    record: TableRecord,
    commit: int,
    view_columns: frozenset[str] = frozenset(),
) -> int:
    """Restore a table, and the views that existed, to the state of a commit.

    Parameters
    ----------
    view_columns
        The columns of its base that a view has and that are computed differently now.
    """
    engine = transaction.engine
    record = _with_old_names(transaction, record, commit)
    old = _restored_record(engine, record, commit)
    old_rows, current_rows = _read_states(engine, old, commit), _read_states(engine, record, None)
    ended_rows, restored = (
        _states_without(current_rows, old_rows),
        _states_without(old_rows, current_rows),
    )
    if old != record:
        transaction.put_record(old)
        for index in record.indexes:
            if index not in old.indexes:
                transaction.drop_index(record, index)
    transaction.touch(record.id, rows=ended_rows.num_rows + restored.num_rows)
    transaction.end_rows(record, ended_rows.column(RID))
    restored_rows = restored.drop_columns([FROM])
    if restored_rows.num_rows:
        transaction.append(old, restored_rows)
    changed = _recomputed_columns(engine, record, old, view_columns)
    if changed:
        retype_views(
            transaction, old, changed, lambda view: _has_same_columns(engine, view, commit)
        )
    differing_rows = (current_rows, old_rows) if changed else (ended_rows, restored)
    groups = _changed_row_groups(transaction, old, differing_rows, changed)
    if changed or ended_rows.num_rows or restored.num_rows:
        for table in with_row_views(
            engine, old
        ):  # views have columns of rows that are not their own
            transaction.schedule_readers(table)
    for view in engine.catalog.views_of(record.id):
        if _has_same_columns(engine, view, commit):
            _restore(transaction, view, commit, frozenset(derived_columns(engine, view, changed)))
        else:
            _update_newer_view(transaction, old, view, differing_rows, groups)
    return ended_rows.num_rows + restored.num_rows


def _changed_row_groups(
    transaction: Transaction,
    record: TableRecord,
    states: tuple[pa.Table, pa.Table],
    changed: set[str],
) -> list[tuple[set[str], pa.Table]]:
    """Group rows that stay by the columns that differ; return their restored states.

    Parameters
    ----------
    states
        The physical rows of the table before and after the revert.
    changed
        The columns that are computed differently in all rows.
    """
    import numpy as np
    import pyarrow.compute as pc

    current, restored = states
    restored = restored.filter(pc.is_in(restored.column(RID), value_set=_rid_array(current)))
    current = current.take(pc.index_in(restored.column(RID), value_set=_rid_array(current)))
    cells = {
        column.name: cells_differ(current.column(column.physical), restored.column(column.physical))
        for column in record.columns
        if column.kind != "virtual" and column.physical in current.column_names
    }
    cells |= {name: np.ones(restored.num_rows, bool) for name in changed}
    groups = []
    for names, positions in group_rows_by_changes(cells):
        downstream = {
            column.name for column in dependent_columns(transaction.engine, record, names)
        }
        transaction.changed_columns.setdefault(record.id, set()).update(names | downstream)
        groups.append((names | downstream, restored.take(positions).drop_columns([FROM])))
    return groups


def _rid_array(rows: pa.Table) -> pa.Array:
    return rows.column(RID).combine_chunks()


def _update_newer_view(
    transaction: Transaction,
    record: TableRecord,
    view: TableRecord,
    states: tuple[pa.Table, pa.Table],
    groups: list[tuple[set[str], pa.Table]],
) -> None:
    """Update a view that is newer than the restored commit; see `_changed_row_groups`."""
    import pyarrow.compute as pc

    current, restored = states
    lost_rows = current.filter(
        pc.invert(pc.is_in(current.column(RID), value_set=_rid_array(restored)))
    )
    found_rows = restored.filter(
        pc.invert(pc.is_in(restored.column(RID), value_set=_rid_array(current)))
    )
    propagate_to(transaction, record, view, None, lost_rows.column(RID))
    if found_rows.num_rows:
        transaction.new_rows[record.id] = found_rows.drop_columns([FROM])
        propagate_to(transaction, record, view, transaction.new_rows[record.id], None)
    for names, rows in groups:
        transaction.new_rows[record.id] = rows
        propagate_update_to(transaction, record, view, rows, names)


def _recomputed_columns(
    engine: Engine, record: TableRecord, old: TableRecord, view_columns: frozenset[str]
) -> set[str]:
    """Return the columns whose values may differ in rows that stay unchanged."""
    names = set(view_columns)
    for column in old.columns:
        column_now = record.column(column.name)
        if column_now is None or (column_now.id, column_now.expression) != (
            column.id,
            column.expression,
        ):
            names.add(column.name)
    return (
        names | {column.name for column in dependent_columns(engine, old, names)}
        if names
        else names
    )


def _restored_record(engine: Engine, record: TableRecord, commit: int) -> TableRecord:
    """Return the structure of a commit, with the current name and limits."""
    old = engine.catalog.record(record.id, commit)
    return replace(
        old,
        name=record.name,
        next_column=record.next_column,
        origin=record.origin,
        compacted=record.compacted,
        retained_commits=record.retained_commits,
    )


def _has_same_columns(engine: Engine, view: TableRecord, commit: int) -> bool:
    """Whether a view had the same columns at a commit, under any names."""
    earlier = [record for since, record in engine.catalog.history(view.id) if since <= commit]
    if not earlier or earlier[-1].dropped:
        return False
    return {column.id for column in earlier[-1].columns} == {column.id for column in view.columns}


def _read_states(engine: Engine, record: TableRecord, commit: int | None) -> pa.Table:
    """Read the physical rows of a table at a commit, with the commit of each state."""
    leaf = engine.leaf(record.id, commit)
    reads = RowsRead(engine.facts)
    relation = visible_rows(leaf, record, reads)
    engine.catalog.track_rows_read(*reads.tables)
    names = [name for name in physical_schema(record).names if name != "_to"]
    fields = {name: ops.Field(relation, name) for name in names}
    return engine.backend.arrow(ops.Project(relation, fields).to_expr(), {})


def _states_without(rows: pa.Table, others: pa.Table) -> pa.Table:
    """Return the states of rows that are not among others."""
    import numpy as np
    import pyarrow as pa

    def keys(table: pa.Table) -> npt.NDArray[np.void]:
        pairs = np.empty(table.num_rows, dtype=[("rid", "i8"), ("since", "i8")])
        pairs["rid"] = table.column(RID).to_numpy()
        pairs["since"] = table.column(FROM).to_numpy()
        return pairs

    return rows.filter(pa.array(~np.isin(keys(rows), keys(others))))
