"""Removes rows permanently: from all versions, with everything computed from and for them.

Owns what belongs to a row (its states, those of the rows that views derived from it, the answers to
calls of its cells, its media files), which of it other rows share, and the receipt. No function is
called for this: the call keys show that another row has made the same call.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import ibis.expr.operations as ops
import ibis.expr.schema as sch

from barbule.backends.base import BASE, FROM, RID, TO
from barbule.errors import StoreError
from barbule.executor.budgets.dry_run import DryRun
from barbule.planner.hidden_columns import with_rid
from barbule.planner.lowering.table_schemas import physical_schema
from barbule.tables.commit import run_transaction
from barbule.tables.transaction.isolation import NothingToDo
from barbule.tables.transaction.media_references import delete_unreferenced, references_in_rows
from barbule.tables.transaction.results import DeleteResult
from barbule.tables.verbs.rows.delete import delete_rows
from barbule.tables.verbs.rows.row_selection import selected_rows
from barbule.tables.verbs.rows.row_writes import writable_record
from barbule.tables.views.dependent_views import full_refresh_views

if TYPE_CHECKING:
    from collections.abc import Iterator

    import ibis.expr.types as ir
    import pyarrow as pa

    from barbule.catalog.records import TableRecord
    from barbule.executor.engine import Engine
    from barbule.tables.arguments import Condition
    from barbule.tables.transaction.transaction import Transaction

__all__ = ["PurgeResult", "purge"]

_STAGED_RIDS = "bb_purged"
_RID_SCHEMA = sch.Schema({RID: "int64"})


@dataclass(frozen=True)
class PurgeResult(DeleteResult):
    """The receipt of a purge: what was removed, and what remained because others use it.

    Attributes
    ----------
    rows
        The removed rows, including those that were deleted before.
    states
        Their states in all versions, and those of the derived rows of views.
    answers, media
        Answers of the call ledger, and files of the media store, that were removed.
    answers_kept
        Answers that remained because cells of other rows make the same call.
    media_kept
        Files that remained because other rows or answers refer to them.
    rows_kept
        Rows that were deleted, but whose old states remained because branches read them.
    branches
        These branches; purge the rows there first.
    """

    states: int = 0
    answers: int = 0
    answers_kept: int = 0
    media: int = 0
    media_kept: int = 0
    rows_kept: int = 0
    branches: tuple[str, ...] = ()


@dataclass(frozen=True)
class _PurgedRows:
    """Rows of a table, or of a view of it, that are to be removed."""

    record: TableRecord
    rids: pa.Array


def purge(table: ir.Table, where: Condition | None) -> PurgeResult:
    """Remove rows permanently of which any state, at any version, meets a condition."""
    leaf = table.op()
    engine: Engine = leaf.source
    with engine.backend.write_lock():  # its steps are separate commits
        engine.catalog.refresh()
        removed, references = _remove_rows(engine, table, where)
    try:
        files = delete_unreferenced(engine, references)
    except StoreError as error:
        error.hint = (
            "The rows are removed, but some of their media files may remain. When the media "
            "store is available again, collect_media(grace=datetime.timedelta(0)) removes them."
        )
        raise
    return replace(removed, media=files, media_kept=len(references) - files)


def _remove_rows(
    engine: Engine, table: ir.Table, where: Condition | None
) -> tuple[PurgeResult, set[str]]:
    """Remove rows and answers; return the stored media that they referred to."""
    record = writable_record(table.op())
    selected = _rids_of_any_state(engine, table, record, where)
    if not len(selected):
        return PurgeResult(0, 0, engine.catalog.latest(record.id).version), set()
    branches = _branches_reading(engine, record, selected)
    kept_rids = {rid for rids in branches.values() for rid in rids}
    purged = list(_with_derived_rows(engine, record, _rids_without(selected, kept_rids)))
    media = {
        purged_rows
        for member in purged
        for purged_rows in references_in_rows(_read_states(engine, member))
    }
    keys = _answer_keys(engine, purged)
    shared = _shared_answer_keys(engine, keys, purged)
    _end_live_rows(engine, record, selected)
    # Entries of rows in an index are removed by following the states that have just ended.
    engine.indexing.wait(
        {purged_rows.record.id for purged_rows in purged if purged_rows.record.indexes}
    )
    # Before the states that identify them: an interrupted purge can be repeated.
    answers = engine.ledger.forget(sorted(keys - shared))
    _, states = run_transaction(
        engine,
        "purge",
        lambda transaction: _remove_states(transaction, purged),
        since=engine.catalog.head,
    )
    removed = PurgeResult(
        rows=len(selected) - len(kept_rids),
        errors=0,
        version=engine.catalog.latest(record.id).version,
        states=states,
        answers=answers,
        answers_kept=len(shared),
        rows_kept=len(kept_rids),
        branches=tuple(sorted(branches)),
    )
    return removed, media


# -- What belongs to the rows ----------------------------------------------------------------------


def _rids_of_any_state(
    engine: Engine, table: ir.Table, record: TableRecord, where: Condition | None
) -> pa.Array:
    """Return the ids of rows of which any state meets a condition."""
    import pyarrow as pa
    import pyarrow.compute as pc

    query = selected_rows(table, where).select(RID)
    live = engine.arrow(query).column(RID)
    stored = engine.stored(record.physical, physical_schema(record))
    with_data = stored.to_expr().filter(lambda rows: rows[FROM] < rows[TO]).op()
    any_state = engine.arrow(query, {record.id: with_data}).column(RID)
    return pc.unique(pa.chunked_array([*live.chunks, *any_state.chunks], pa.int64()))


def _rids_without(rids: pa.Array, kept_rids: set[int]) -> pa.Array:
    import pyarrow as pa

    return pa.array([rid for rid in rids.to_pylist() if rid not in kept_rids], pa.int64())


def _with_derived_rows(
    engine: Engine, record: TableRecord, rids: pa.Array
) -> Iterator[_PurgedRows]:
    """Yield rows and, recursively, the rows that views derived from them."""
    yield _PurgedRows(record, rids)
    for view in engine.catalog.views_of(record.id):
        stored = engine.stored(view.physical, physical_schema(view)).to_expr()
        base_rows = engine.stored(_STAGED_RIDS, _RID_SCHEMA).to_expr()
        derived = stored.semi_join(base_rows, stored[BASE] == base_rows[RID]).select(RID).distinct()
        derived_rids = engine.backend.arrow(derived, _staged(rids)).column(RID).combine_chunks()
        yield from _with_derived_rows(engine, view, derived_rids)


def _staged(rids: pa.Array) -> dict[str, pa.Table]:
    import pyarrow as pa

    return {_STAGED_RIDS: pa.table({RID: rids.cast(pa.int64())})}


def _read_states(engine: Engine, member: _PurgedRows) -> pa.Table:
    """Read all states of the rows."""
    states = _staged_states(engine, member.record, _STAGED_RIDS)
    return engine.backend.arrow(states.to_expr(), _staged(member.rids))


def _staged_states(
    engine: Engine, record: TableRecord, staged: str, *, others: bool = False
) -> ops.Relation:
    """Return the relation of the stored states of staged rows, or of all others."""
    stored = engine.stored(record.physical, physical_schema(record)).to_expr()
    keys = engine.stored(staged, _RID_SCHEMA).to_expr()
    join = stored.anti_join if others else stored.semi_join
    return join(keys, RID).op()


# -- Answers ---------------------------------------------------------------------------------------


def _answer_keys(engine: Engine, family: list[_PurgedRows]) -> set[str]:
    """Return the keys of the calls of cells of rows, current and recorded ones."""
    staged = {
        f"{_STAGED_RIDS}_{purged_rows.record.id}": _staged(purged_rows.rids)[_STAGED_RIDS]
        for purged_rows in family
    }
    relations = {
        purged_rows.record.id: _staged_states(
            engine, purged_rows.record, f"{_STAGED_RIDS}_{purged_rows.record.id}"
        )
        for purged_rows in family
    }
    keys: set[str] = set()
    for purged_rows in family:
        keys |= _stored_call_keys(engine, purged_rows.record, relations, staged)
        table_names = {record.name for _, record in engine.catalog.history(purged_rows.record.id)}
        created = engine.catalog.commit(engine.catalog.versions(purged_rows.record.id)[0].commit).at
        keys |= engine.ledger.history.keys_of_rows(
            table_names, purged_rows.rids.to_pylist(), created
        )
    return engine.ledger.history.recorded_keys(sorted(keys))


def _shared_answer_keys(engine: Engine, keys: set[str], family: list[_PurgedRows]) -> set[str]:
    """Return the call keys that cells of other rows share, in any table."""
    if not keys:
        return set()
    rids_by_table = {table.record.id: table.rids for table in family}
    functions = engine.ledger.history.functions(sorted(keys))
    shared: set[str] = set()
    for record in engine.catalog.tables():
        relations, staged = {}, {}
        for purged_rows in _with_bases(engine, record):
            name = f"{_STAGED_RIDS}_{purged_rows.id}"
            staged[name] = _staged(rids_by_table.get(purged_rows.id, _empty_rids()))[_STAGED_RIDS]
            # The columns of its base that a view has belong to all rows: joined, only others are
            # left.
            relations[purged_rows.id] = _staged_states(engine, purged_rows, name, others=True)
        shared |= keys & _stored_call_keys(engine, record, relations, staged, functions)
    return shared


def _empty_rids() -> pa.Array:
    import pyarrow as pa

    return pa.array([], pa.int64())


def _with_bases(engine: Engine, record: TableRecord) -> list[TableRecord]:
    records = [record]
    while (view := records[-1].view) is not None and not view.bases:
        records.append(engine.catalog.record(view.base))
    return records


def _stored_call_keys(
    engine: Engine,
    record: TableRecord,
    relations: dict[int, ops.Relation],
    staged: dict[str, pa.Table],
    functions: set[str] | None = None,
) -> set[str]:
    """Return the keys of the calls of stored columns for given states of rows.

    Calls that depend on a function outside the ledger cannot be known.

    Parameters
    ----------
    functions
        Only columns that call one of these are examined; None for all.
    """
    keys: set[str] = set()
    visible, leaf = engine.leaf(record.id), engine.leaf(record.id, hidden=True)
    queries: list[ops.Relation] = []
    for column in record.columns:
        if column.kind == "stored":
            value = engine.expression(str(column.expression), None).replace({visible: leaf})
            queries.append(ops.Project(leaf, {column.physical: value}))
    if record.view and record.view.items:
        queries.append(with_rid(engine.expression(record.view.items, None)))
    for query in queries:
        dry_run = DryRun(engine.ledger, engine.library, keys, functions)
        if query is not None and dry_run.makes_calls(query):
            engine.running_dry(dry_run).arrow(query.to_expr(), relations, staged)
    return keys


# -- Removal ---------------------------------------------------------------------------------------


def _end_live_rows(engine: Engine, record: TableRecord, rids: pa.Array) -> None:
    """Delete the live ones of the rows, as `delete` does, including views and indexes."""

    def prepare(transaction: Transaction) -> None:
        live = transaction.engine.leaf(record.id, hidden=True).to_expr()
        base_rows = transaction.engine.stored(_STAGED_RIDS, _RID_SCHEMA).to_expr()
        live_rids = transaction.engine.arrow(
            live.semi_join(base_rows, RID).select(RID), staged=_staged(rids)
        )
        if not live_rids.num_rows:
            raise NothingToDo
        delete_rows(
            transaction, writable_record(transaction.engine.leaf(record.id)), live_rids.column(RID)
        )

    with contextlib.suppress(NothingToDo):
        run_transaction(engine, "delete", prepare, since=engine.catalog.head)


def _branches_reading(engine: Engine, record: TableRecord, rids: pa.Array) -> dict[str, set[int]]:
    """Return the branches that read old states of rows, with these rows."""
    rids_by_branch = {}
    for branch in engine.catalog.branches_of(record.id):
        assert branch.origin is not None
        rows = _staged_states(engine, record, _STAGED_RIDS).to_expr()
        commit = branch.origin.commit
        old_states = rows.filter(rows[FROM] <= commit, rows[TO] > commit).select(RID)
        own_states = engine.stored(branch.physical, physical_schema(branch)).to_expr()
        first = engine.catalog.versions(branch.id)[0].commit
        hidden = own_states.filter(own_states[FROM] <= first)
        visible_rids = engine.backend.arrow(
            old_states.anti_join(hidden, RID), _staged(rids)
        ).column(RID)
        if len(visible_rids):
            rids_by_branch[branch.name] = set(visible_rids.to_pylist())
    return rids_by_branch


def _remove_states(transaction: Transaction, purged: list[_PurgedRows]) -> int:
    """Remove the states of rows, and the history of views with a full refresh over them."""
    engine = transaction.engine
    head = engine.catalog.head
    count = 0
    for member in purged:
        record = engine.catalog.record(member.record.id)
        count += _delete_states(transaction, record, member.rids.to_pylist())
    for view in full_refresh_views(engine, [purged_rows.record for purged_rows in purged]):
        transaction.put_record(replace(view, compacted=head, retained_commits=()))
        transaction.remove_history(view, head)
    return count


def _delete_states(transaction: Transaction, record: TableRecord, rids: list[int]) -> int:
    import pyarrow as pa

    engine = transaction.engine
    relation = _staged_states(engine, record, _STAGED_RIDS).to_expr()
    staged = _staged(pa.array(rids, pa.int64()))
    count = int(engine.backend.arrow(relation.count().as_table(), staged).column(0)[0].as_py())
    transaction.touch(record.id, rows=len(rids), closed=True)
    first = engine.catalog.versions(record.id)[0]
    origin_rids = [rid for rid in rids if record.origin is not None and rid < first.next_rid]

    if rids:
        bounds = pa.repeat(pa.scalar(first.commit, pa.int64()), len(origin_rids))
        hiding_states = pa.table({RID: pa.array(origin_rids, pa.int64()), FROM: bounds, TO: bounds})
        transaction.remove_states(record, rids, hiding_states)
    return count
