"""Drops the history of a table; rows that labels, snapshots and branches refer to remain."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from barbule.backends.base import FROM, RID, TO
from barbule.errors import UnsupportedError
from barbule.planner.lowering.table_schemas import physical_schema
from barbule.tables.commit import run_transaction
from barbule.tables.transaction.isolation import isolated
from barbule.tables.transaction.names import current_record
from barbule.tables.views.dependent_views import with_row_views

if TYPE_CHECKING:
    import pyarrow as pa

    from barbule.catalog.records import TableRecord
    from barbule.executor.engine import Engine
    from barbule.nodes import ManagedTable
    from barbule.tables.transaction.transaction import Transaction
    from barbule.tables.verbs.versions.history import VersionLike

__all__ = ["compact"]


@isolated
def compact(leaf: ManagedTable, before: VersionLike | None) -> int:
    """Drop the history of a table and its views before a version; return the number of row states.

    Rows that labels, snapshots and branches refer to remain.
    """
    engine: Engine = leaf.source
    since = engine.catalog.refresh()
    record = current_record(leaf)
    if record.view and not record.view.bases:
        raise UnsupportedError(
            "a view is compacted together with its base.",
            table=record.name,
            hint="Compact the base table.",
        )
    catalog = engine.catalog
    target = catalog.latest(record.id) if before is None else catalog.resolve(record.id, before)

    def prepare(transaction: Transaction) -> None:
        tables = with_row_views(transaction.engine, current_record(transaction.leaf(leaf)))
        referenced = sorted(
            {
                commit
                for table in tables
                for commit in transaction.engine.catalog.referenced_commits(table.id)
                if commit < target.commit
            }
        )
        for table in tables:
            _compact_table(transaction, table, target.commit, referenced)

    transaction, _ = run_transaction(engine, "compact", prepare, since=since)
    return transaction.removed_states


def _compact_table(
    transaction: Transaction, record: TableRecord, commit: int, held: list[int]
) -> None:
    engine = transaction.engine
    history = engine.catalog.history(record.id)
    kept_commits = tuple(sorted({commit for commit in held if record.holds(commit)}))
    commits = [*kept_commits, commit]
    readable = [record for since, record in history if since > commit]
    for commit_read in commits:
        earlier = [record for since, record in history if since <= commit_read]
        readable += earlier[-1:]
    used_names = {name for record in readable for name in physical_schema(record).names}
    existing_names = {name for _, record in history for name in physical_schema(record).names}
    for name in sorted(existing_names - used_names):
        transaction.drop_column(record, name)
    limit = max(commit, record.compacted)
    transaction.put_record(replace(record, compacted=limit, retained_commits=kept_commits))
    hiding_states = _hiding_states(engine, record, limit)
    transaction.remove_history(record, limit, kept_commits, hiding_states)


def _hiding_states(engine: Engine, record: TableRecord, commit: int) -> pa.Table:
    """Return the states of a branch that must remain to hide changed rows of its origin.

    A state of a row that ends where it begins is visible at no version, and hides the origin's
    state from then on.
    """
    import pyarrow as pa

    no_states = pa.table({name: pa.array([], pa.int64()) for name in (RID, FROM, TO)})
    if record.origin is None:
        return no_states
    stored = engine.stored(record.physical, physical_schema(record)).to_expr()
    shared_rids = engine.catalog.versions(record.id)[0].next_rid
    of_origin = stored.filter(stored[RID] < shared_rids)
    first_states = of_origin.group_by(RID).aggregate(**{FROM: of_origin[FROM].min()})
    first_states = first_states.filter(first_states[FROM] <= commit)
    hiding = engine.backend.arrow(first_states.mutate(**{TO: first_states[FROM]}), {})
    return hiding.cast(no_states.schema) if hiding.num_rows else no_states
