"""The history of a table is dropped; what labels, snapshots and branches hold stays."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from barbule.backends.base import FROM, RID, TO
from barbule.errors import UnsupportedError
from barbule.planner.lowering.table_schemas import physical_schema
from barbule.tables.commit import run_transaction
from barbule.tables.transaction.isolation import isolated
from barbule.tables.transaction.names import current
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
    """Drop the history of a table and its views before a version; return how many row states.

    What labels, snapshots and branches hold stays.
    """
    engine: Engine = leaf.source
    since = engine.catalog.refresh()
    record = current(leaf)
    if record.view and not record.view.bases:
        raise UnsupportedError(
            "a view is compacted with its base.", table=record.name, hint="Compact the base table."
        )
    catalog = engine.catalog
    target = catalog.latest(record.id) if before is None else catalog.resolve(record.id, before)
    removed: list[int] = []

    def prepare(transaction: Transaction) -> None:
        family = with_row_views(engine, current(leaf))
        held = sorted(
            {c for each in family for c in catalog.referenced_commits(each.id) if c < target.commit}
        )
        for each in family:
            _compact_one(transaction, each, target.commit, held, removed)

    run_transaction(engine, "compact", prepare, since=since)
    return sum(removed)


def _compact_one(
    transaction: Transaction, record: TableRecord, commit: int, held: list[int], removed: list[int]
) -> None:
    engine = transaction.engine
    history = engine.catalog.history(record.id)
    kept = tuple(sorted({c for c in held if record.holds(c)}))
    moments = [*kept, commit]
    needed = [each for at, each in history if at > commit]
    for moment in moments:
        seen = [each for at, each in history if at <= moment]
        needed += seen[-1:]
    used = {name for each in needed for name in physical_schema(each).names}
    there = {name for _, each in history for name in physical_schema(each).names}
    for name in sorted(there - used):
        transaction.drop_column(record, name)
    limit = max(commit, record.compacted)
    transaction.put_record(replace(record, compacted=limit, retained_commits=kept))
    backend = engine.backend
    hiding = _hiding(engine, record, limit)

    def purge(_commit: int) -> None:
        count = backend.purge(record.physical, limit, kept)
        if hiding.num_rows:
            backend.append(record.physical, hiding)
        removed.append(count - hiding.num_rows)

    transaction.add_write(record, purge)


def _hiding(engine: Engine, record: TableRecord, commit: int) -> pa.Table:
    """Return what has to stay of a branch so that changed rows of its origin remain hidden.

    A state of a row that ends where it begins is seen at no version, and hides what the origin
    has of it from then on.
    """
    import pyarrow as pa

    none = pa.table({name: pa.array([], pa.int64()) for name in (RID, FROM, TO)})
    if record.origin is None:
        return none
    stored = engine.stored(record.physical, physical_schema(record)).to_expr()
    shared = engine.catalog.versions(record.id)[0].next_rid
    of_origin = stored.filter(stored[RID] < shared)
    first = of_origin.group_by(RID).aggregate(**{FROM: of_origin[FROM].min()})
    first = first.filter(first[FROM] <= commit)
    found = engine.backend.arrow(first.mutate(**{TO: first[FROM]}), {})
    return found.cast(none.schema) if found.num_rows else none
