"""A table, with its views, is reverted to an earlier version."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import ibis.expr.operations as ops

from barbule.backends.base import FROM, RID
from barbule.errors import DependencyError, UnsupportedError, VersionError
from barbule.planner.lowering.table_schemas import physical_schema
from barbule.planner.lowering.visible_rows import visible_rows
from barbule.tables.commit import run_transaction
from barbule.tables.compute.dependencies import dependents
from barbule.tables.transaction.isolation import isolated
from barbule.tables.transaction.names import current
from barbule.tables.transaction.results import UpdateResult
from barbule.tables.transaction.row_differences import differing, rows_by_changes
from barbule.tables.verbs.columns.rename_column import rename_everywhere
from barbule.tables.views.base_columns import readers_of, shown_of
from barbule.tables.views.dependent_views import with_row_views
from barbule.tables.views.propagation import follow_update, propagate_to
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

_REVERT = "revert to "


@isolated
def revert(leaf: ManagedTable, to: VersionLike | None) -> UpdateResult:
    """Make a new version of a table that is like an old one; its views follow."""
    engine: Engine = leaf.source
    since = engine.catalog.refresh()
    record = current(leaf)
    if record.view:
        raise UnsupportedError(
            "a view follows its base.", table=record.name, hint="Revert the base table."
        )

    def prepare(transaction: Transaction) -> int:
        version = _before(engine, record) if to is None else to
        target = engine.catalog.resolve(record.id, version)
        transaction.set_operation(f"{_REVERT}{target.version}")
        held = engine.catalog.resolve_commit(record.id, version)
        # The last moment of that version: views may have been made while it was the latest.
        later = (v.commit for v in engine.catalog.versions(leaf.table_id))
        last = min((c for c in later if c > target.commit), default=engine.catalog.head + 1) - 1
        commit = last if record.holds(last) else held
        named = _named_as_then(transaction, current(leaf), commit)
        then = {column.name for column in engine.catalog.record(record.id, commit).columns}
        shown = {column.name for column in named.columns if not column.hidden}
        _refuse_to_lose(engine, named, shown - then, commit)
        return _go_back(transaction, named, commit)

    transaction, count = run_transaction(engine, "revert", prepare, since=since, slow=True)
    return transaction.result(UpdateResult, record.id, count)


def _before(engine: Engine, record: TableRecord) -> int:
    """Return the number of the version before the one that is shown.

    After going back that is the one gone back to, so that each further step goes further back.
    """
    operations = {v.version: v.operation for v in engine.catalog.versions(record.id)}
    shown = max(operations)
    while operations.get(shown, "").startswith(_REVERT):
        shown = int(operations[shown].removeprefix(_REVERT))
    if shown == 0:
        raise VersionError(
            "there is no version before the one that it shows.",
            table=record.name,
            hint="history() lists the versions; revert(to=...) goes to any of them.",
        )
    return shown - 1


def _named_as_then(transaction: Transaction, record: TableRecord, commit: int) -> TableRecord:
    """Give columns the names they had at a commit, for the views that were made since too."""
    then = {
        column.id: column.name
        for column in transaction.engine.catalog.record(record.id, commit).columns
    }
    names = {
        column.name: then[column.id]
        for column in record.columns
        if then.get(column.id, column.name) != column.name
    }
    if not names:
        return record
    # What has taken such a name since is lost; it must not be mistaken for the other.
    kept = [c for c in record.columns if c.id in then or c.name not in names.values()]
    rename_everywhere(transaction, replace(record, columns=tuple(kept)), names, {})
    return transaction.engine.catalog.record(record.id)


def _refuse_to_lose(engine: Engine, record: TableRecord, lost: set[str], commit: int) -> None:
    """Check that no view reads columns that there were not at a commit."""
    needed = readers_of(engine, record, lost, lambda view: _is_as_it_was(engine, view, commit))
    if needed:
        raise DependencyError(
            f"columns that there were not at that version ({', '.join(sorted(lost))}) are needed "
            f"by {', '.join(f'the view {view.name!r}' for view in needed)}.",
            table=record.name,
            hint="Drop the views first.",
        )


def _go_back(
    transaction: Transaction, record: TableRecord, commit: int, shown: frozenset[str] = frozenset()
) -> int:
    """Bring a table, and the views that were the same then, to the state of a commit.

    Parameters
    ----------
    shown
        The columns that a view shows of its base and that are computed otherwise now.
    """
    engine = transaction.engine
    record = _named_as_then(transaction, record, commit)
    old = _structure(engine, record, commit)
    before, now = _rows(engine, old, commit), _rows(engine, record, None)
    ended, again = _without(now, before), _without(before, now)
    if old != record:
        transaction.put_record(old)
        for index in record.indexes:
            if index not in old.indexes:
                transaction.on_commit(partial(engine.indexing.drop, record, index))
    transaction.touch(record.id, rows=ended.num_rows + again.num_rows)
    transaction.end_rows(record, ended.column(RID))
    back = again.drop_columns([FROM])
    if back.num_rows:
        transaction.append(old, back)
    changed = _computed_otherwise(engine, record, old, shown)
    if changed:
        retype_views(transaction, old, changed, lambda view: _is_as_it_was(engine, view, commit))
    differing_rows = (now, before) if changed else (ended, again)
    groups = _groups(transaction, old, differing_rows, changed)
    if changed or ended.num_rows or again.num_rows:
        for each in with_row_views(
            engine, old
        ):  # views show columns of rows that are not their own
            transaction.schedule_readers(each)
    for view in engine.catalog.views_of(record.id):
        if _is_as_it_was(engine, view, commit):
            _go_back(transaction, view, commit, frozenset(shown_of(engine, view, changed)))
        else:
            _follow_back(transaction, old, view, differing_rows, groups)
    return ended.num_rows + again.num_rows


def _groups(
    transaction: Transaction,
    record: TableRecord,
    states: tuple[pa.Table, pa.Table],
    changed: set[str],
) -> list[tuple[set[str], pa.Table]]:
    """Group rows that there were and are by the columns that differ; return their states now.

    Parameters
    ----------
    states
        The physical rows of the table as they were till now, and as they are again.
    changed
        The columns that are computed otherwise in all rows.
    """
    import numpy as np
    import pyarrow.compute as pc

    was, again = states
    again = again.filter(pc.is_in(again.column(RID), value_set=_identities(was)))
    was = was.take(pc.index_in(again.column(RID), value_set=_identities(was)))
    cells = {
        column.name: differing(was.column(column.physical), again.column(column.physical))
        for column in record.columns
        if column.kind != "virtual" and column.physical in was.column_names
    }
    cells |= {name: np.ones(again.num_rows, bool) for name in changed}
    groups = []
    for names, places in rows_by_changes(cells):
        below = {column.name for column in dependents(transaction.engine, record, names)}
        transaction.changed_columns.setdefault(record.id, set()).update(names | below)
        groups.append((names | below, again.take(places).drop_columns([FROM])))
    return groups


def _identities(rows: pa.Table) -> pa.Array:
    return rows.column(RID).combine_chunks()


def _follow_back(
    transaction: Transaction,
    record: TableRecord,
    view: TableRecord,
    states: tuple[pa.Table, pa.Table],
    groups: list[tuple[set[str], pa.Table]],
) -> None:
    """Let a view that has been made since follow its base back; see `_groups`."""
    import pyarrow.compute as pc

    was, again = states
    lost = was.filter(pc.invert(pc.is_in(was.column(RID), value_set=_identities(again))))
    found = again.filter(pc.invert(pc.is_in(again.column(RID), value_set=_identities(was))))
    propagate_to(transaction, record, view, None, lost.column(RID))
    if found.num_rows:
        transaction.new_rows[record.id] = found.drop_columns([FROM])
        propagate_to(transaction, record, view, transaction.new_rows[record.id], None)
    for names, rows in groups:
        transaction.new_rows[record.id] = rows
        follow_update(transaction, record, view, rows, names)


def _computed_otherwise(
    engine: Engine, record: TableRecord, old: TableRecord, shown: frozenset[str]
) -> set[str]:
    """Return the columns whose values may differ in rows that stay as they are."""
    names = set(shown)
    for column in old.columns:
        now = record.column(column.name)
        if now is None or (now.id, now.expression) != (column.id, column.expression):
            names.add(column.name)
    return names | {column.name for column in dependents(engine, old, names)} if names else names


def _structure(engine: Engine, record: TableRecord, commit: int) -> TableRecord:
    """Return the structure of a commit, under the name and with the limits of today."""
    old = engine.catalog.record(record.id, commit)
    return replace(
        old,
        name=record.name,
        next_column=record.next_column,
        origin=record.origin,
        compacted=record.compacted,
        retained_commits=record.retained_commits,
    )


def _is_as_it_was(engine: Engine, view: TableRecord, commit: int) -> bool:
    """Whether a view had the same columns then; names of columns may have changed."""
    seen = [each for at, each in engine.catalog.history(view.id) if at <= commit]
    if not seen or seen[-1].dropped:
        return False
    return {column.id for column in seen[-1].columns} == {column.id for column in view.columns}


def _rows(engine: Engine, record: TableRecord, commit: int | None) -> pa.Table:
    """Read the physical rows of a table at a commit, with the commit that made each."""
    leaf = engine.leaf(record.id, commit)
    relation = visible_rows(leaf, record, engine)
    names = [name for name in physical_schema(record).names if name != "_to"]
    shown = {name: ops.Field(relation, name) for name in names}
    return engine.backend.arrow(ops.Project(relation, shown).to_expr(), {})


def _without(rows: pa.Table, others: pa.Table) -> pa.Table:
    """Return the states of rows that are not among others."""
    import numpy as np
    import pyarrow as pa

    def keys(table: pa.Table) -> npt.NDArray[np.void]:
        pairs = np.empty(table.num_rows, dtype=[("rid", "i8"), ("since", "i8")])
        pairs["rid"] = table.column(RID).to_numpy()
        pairs["since"] = table.column(FROM).to_numpy()
        return pairs

    return rows.filter(pa.array(~np.isin(keys(rows), keys(others))))
