"""Rows are removed for good: from all versions, with what was computed of them and for them.

Owns what belongs to a row (its states, those of the rows that views made of it, the answers that
were asked for its cells, its media files), what of it others hold, and the receipt. Nothing is
called for it: whether another row has asked the same is seen by the keys of questions.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import ibis.expr.operations as ops
import ibis.expr.schema as sch

from barbule.backends.base import BASE, FROM, RID, TO
from barbule.errors import StoreError
from barbule.planner.hidden_columns import with_rid
from barbule.planner.lowering.table_schemas import physical_schema
from barbule.tables.commit import run_transaction
from barbule.tables.transaction.isolation import NothingToDo
from barbule.tables.transaction.media_references import references, release
from barbule.tables.transaction.results import DeleteResult
from barbule.tables.verbs.rows.delete import delete_rows
from barbule.tables.verbs.rows.row_selection import chosen_rows
from barbule.tables.verbs.rows.row_writes import writable
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

_CHOSEN = "bb_purged"
_KEYS = sch.Schema({RID: "int64"})


@dataclass(frozen=True)
class PurgeResult(DeleteResult):
    """The receipt of a purge: what was removed, and what stayed because others hold it.

    Attributes
    ----------
    rows
        The rows that were removed, those that had been deleted before included.
    states
        Their states in all versions, and those of the rows that views made of them.
    answers, media
        Answers of the call ledger, and files of the media store, that were removed.
    answers_kept
        Answers that stayed, as cells of other rows ask the same.
    media_kept
        Files that stayed, as other rows or answers refer to them.
    rows_kept
        Rows that were deleted, but whose old states stayed, as branches read them.
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
class _Member:
    """Rows of a table, or of a view of it, that are to be removed."""

    record: TableRecord
    rids: pa.Array


def purge(table: ir.Table, where: Condition | None) -> PurgeResult:
    """Remove rows for good, of which any state, at any version, fits a condition."""
    leaf = table.op()
    engine: Engine = leaf.source
    with engine.backend.write_lock():  # its steps are commits of their own
        engine.catalog.refresh()
        removed, named = _remove_rows(engine, table, where)
    try:
        files = release(engine, named)
    except StoreError as error:
        error.hint = (
            "The rows are removed, of their files some may be left: when the store is back, "
            "collect_media(grace=datetime.timedelta(0)) removes them."
        )
        raise
    return replace(removed, media=files, media_kept=len(named) - files)


def _remove_rows(
    engine: Engine, table: ir.Table, where: Condition | None
) -> tuple[PurgeResult, set[str]]:
    """Remove rows and answers; return the stored media to which they referred, too."""
    record = writable(table.op())
    chosen = _of_any_state(engine, table, record, where)
    if not len(chosen):
        return PurgeResult(0, 0, engine.catalog.latest(record.id).version), set()
    branches = _branches(engine, record, chosen)
    kept = {rid for rids in branches.values() for rid in rids}
    family = list(_family(engine, record, _without(chosen, kept)))
    named = {each for member in family for each in references(_states(engine, member))}
    keys = _asked_for(engine, family)
    held = _held_answers(engine, keys, family)
    _end(engine, record, chosen)
    # What an index has of rows is removed by following the states that have just ended.
    engine.indexing.settle({each.record.id for each in family if each.record.indexes})
    # Before the states by which they are found: what is cut short here can be asked for again.
    answers = engine.ledger.forget(sorted(keys - held))
    _, states = run_transaction(
        engine, "purge", lambda transaction: _remove(transaction, family), since=engine.catalog.head
    )
    removed = PurgeResult(
        rows=len(chosen) - len(kept),
        errors=0,
        version=engine.catalog.latest(record.id).version,
        states=states,
        answers=answers,
        answers_kept=len(held),
        rows_kept=len(kept),
        branches=tuple(sorted(branches)),
    )
    return removed, named


# -- What belongs to the rows ----------------------------------------------------------------------


def _of_any_state(
    engine: Engine, table: ir.Table, record: TableRecord, where: Condition | None
) -> pa.Array:
    """Return the identities of rows of which a state fits, ended ones included."""
    import pyarrow as pa
    import pyarrow.compute as pc

    query = chosen_rows(table, where).select(RID)
    live = engine.arrow(query).column(RID)
    stored = engine.stored(record.physical, physical_schema(record))
    with_data = stored.to_expr().filter(lambda rows: rows[FROM] < rows[TO]).op()
    any_state = engine.arrow(query, {record.id: with_data}).column(RID)
    return pc.unique(pa.chunked_array([*live.chunks, *any_state.chunks], pa.int64()))


def _without(rids: pa.Array, kept: set[int]) -> pa.Array:
    import pyarrow as pa

    return pa.array([each for each in rids.to_pylist() if each not in kept], pa.int64())


def _family(engine: Engine, record: TableRecord, rids: pa.Array) -> Iterator[_Member]:
    """Yield rows, the rows that views made of them, and views of these, ended ones included."""
    yield _Member(record, rids)
    for view in engine.catalog.views_of(record.id):
        stored = engine.stored(view.physical, physical_schema(view)).to_expr()
        chosen = engine.stored(_CHOSEN, _KEYS).to_expr()
        made = stored.semi_join(chosen, stored[BASE] == chosen[RID]).select(RID).distinct()
        own = engine.backend.arrow(made, _staged(rids)).column(RID).combine_chunks()
        yield from _family(engine, view, own)


def _staged(rids: pa.Array) -> dict[str, pa.Table]:
    import pyarrow as pa

    return {_CHOSEN: pa.table({RID: rids.cast(pa.int64())})}


def _states(engine: Engine, member: _Member) -> pa.Table:
    """Read all states of rows."""
    relation = _chosen(engine, member.record, _CHOSEN)
    return engine.backend.arrow(relation.to_expr(), _staged(member.rids))


def _chosen(
    engine: Engine, record: TableRecord, staged: str, *, others: bool = False
) -> ops.Relation:
    """Make the relation of the stored states of staged rows, or of all others."""
    stored = engine.stored(record.physical, physical_schema(record)).to_expr()
    keys = engine.stored(staged, _KEYS).to_expr()
    join = stored.anti_join if others else stored.semi_join
    return join(keys, RID).op()


# -- Answers ---------------------------------------------------------------------------------------


def _asked_for(engine: Engine, family: list[_Member]) -> set[str]:
    """Return the keys of the questions of the rows' cells, and of those asked for them."""
    staged = {f"{_CHOSEN}_{each.record.id}": _staged(each.rids)[_CHOSEN] for each in family}
    relations = {
        each.record.id: _chosen(engine, each.record, f"{_CHOSEN}_{each.record.id}")
        for each in family
    }
    keys: set[str] = set()
    for each in family:
        keys |= _questions(engine, each.record, relations, staged)
        names = {known.name for _, known in engine.catalog.history(each.record.id)}
        made = engine.catalog.commit(engine.catalog.versions(each.record.id)[0].commit).at
        keys |= engine.ledger.asked_for(names, each.rids.to_pylist(), made)
    return engine.ledger.noted(sorted(keys))


def _held_answers(engine: Engine, keys: set[str], family: list[_Member]) -> set[str]:
    """Return those of some questions that cells of other rows ask too, in any table."""
    if not keys:
        return set()
    ours = {each.record.id: each.rids for each in family}
    functions = engine.ledger.functions(sorted(keys))
    held: set[str] = set()
    for record in engine.catalog.tables():
        relations, staged = {}, {}
        for each in _with_bases(engine, record):
            name = f"{_CHOSEN}_{each.id}"
            staged[name] = _staged(ours.get(each.id, _none()))[_CHOSEN]
            # What a view shows of its base is that of all rows: joined, only others are left.
            relations[each.id] = _chosen(engine, each, name, others=True)
        held |= keys & _questions(engine, record, relations, staged, functions)
    return held


def _none() -> pa.Array:
    import pyarrow as pa

    return pa.array([], pa.int64())


def _with_bases(engine: Engine, record: TableRecord) -> list[TableRecord]:
    found = [record]
    while (view := found[-1].view) is not None and not view.bases:
        found.append(engine.catalog.record(view.base))
    return found


def _questions(
    engine: Engine,
    record: TableRecord,
    relations: dict[int, ops.Relation],
    staged: dict[str, pa.Table],
    functions: set[str] | None = None,
) -> set[str]:
    """Return the keys of what stored columns of a table ask for given states of its rows.

    What depends on a function that is not in the ledger cannot be known.

    Parameters
    ----------
    functions
        Only columns that call one of these are looked at; None for all.
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
        with engine.caller.only_noting(keys, functions) as wanted:
            if query is not None and wanted(query):
                engine.arrow(query.to_expr(), relations, staged)
    return keys


# -- Removal ---------------------------------------------------------------------------------------


def _end(engine: Engine, record: TableRecord, rids: pa.Array) -> None:
    """Delete those of the rows that live, as `delete` does: views and indexes follow."""

    def prepare(transaction: Transaction) -> None:
        live = engine.leaf(record.id, hidden=True).to_expr()
        chosen = engine.stored(_CHOSEN, _KEYS).to_expr()
        found = engine.arrow(live.semi_join(chosen, RID).select(RID), staged=_staged(rids))
        if not found.num_rows:
            raise NothingToDo
        delete_rows(transaction, writable(engine.leaf(record.id)), found.column(RID))

    with contextlib.suppress(NothingToDo):
        run_transaction(engine, "delete", prepare, since=engine.catalog.head)


def _branches(engine: Engine, record: TableRecord, rids: pa.Array) -> dict[str, set[int]]:
    """Return the branches that read old states of rows, with these rows."""
    found = {}
    for branch in engine.catalog.branches_of(record.id):
        assert branch.origin is not None
        rows = _chosen(engine, record, _CHOSEN).to_expr()
        commit = branch.origin.commit
        read = rows.filter(rows[FROM] <= commit, rows[TO] > commit).select(RID)
        own = engine.stored(branch.physical, physical_schema(branch)).to_expr()
        first = engine.catalog.versions(branch.id)[0].commit
        hidden = own.filter(own[FROM] <= first)
        left = engine.backend.arrow(read.anti_join(hidden, RID), _staged(rids)).column(RID)
        if len(left):
            found[branch.name] = set(left.to_pylist())
    return found


def _remove(transaction: Transaction, family: list[_Member]) -> int:
    """Remove the states of rows, and the history of what was computed of them as a whole."""
    engine = transaction.engine
    head = engine.catalog.head
    count = 0
    for member in family:
        record = engine.catalog.record(member.record.id)
        count += _delete_states(transaction, record, member.rids.to_pylist())
    for view in full_refresh_views(engine, [each.record for each in family]):
        transaction.put_record(replace(view, compacted=head, retained_commits=()))
        transaction.add_write(view, partial(_drop_history, engine, view.physical, head))
    return count


def _drop_history(engine: Engine, name: str, before: int, _commit: int) -> None:
    engine.backend.purge(name, before, ())


def _delete_states(transaction: Transaction, record: TableRecord, rids: list[int]) -> int:
    import pyarrow as pa

    engine = transaction.engine
    relation = _chosen(engine, record, _CHOSEN).to_expr()
    staged = _staged(pa.array(rids, pa.int64()))
    count = int(engine.backend.arrow(relation.count().as_table(), staged).column(0)[0].as_py())
    transaction.touch(record.id, rows=len(rids), closed=True)
    first = engine.catalog.versions(record.id)[0]
    shared = [each for each in rids if record.origin is not None and each < first.next_rid]

    def write(_commit: int) -> None:
        engine.backend.delete_with_values(record.physical, RID, rids)
        if shared:  # what the origin has of these rows is not to come to light again
            moment = pa.repeat(pa.scalar(first.commit, pa.int64()), len(shared))
            hiding = pa.table({RID: pa.array(shared, pa.int64()), FROM: moment, TO: moment})
            engine.backend.append(record.physical, hiding)

    if rids:
        transaction.add_write(record, write)
    return count
