"""A change: everything that one mutation does to tables and views, visible at one commit.

A change is prepared first, which may take long where functions are called: rows are read and
computed, and what is to be written is collected. Then it is published: under the right to write
and in one transaction, all is written and the commit made. Owns this frame. Where another
process or thread has changed meanwhile what the preparation went by, it is prepared again;
answers of functions are in the ledger by then.
"""

from __future__ import annotations

import contextlib
import logging
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from barbule.backends.base import BASE, FOREVER, FROM, RID, TO
from barbule.catalog.records import TableRecord, Version
from barbule.errors import BarbuleError
from barbule.executor.purpose import PROVISIONAL
from barbule.nodes import ERROR
from barbule.planner.lower import physical_schema
from barbule.tables.media import undone_where_it_fails
from barbule.tables.wholes import refresh
from barbule.types import storage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import ibis.expr.datatypes as dt
    import ibis.expr.types as ir
    import pyarrow as pa

    from barbule.catalog.records import Column, Commit
    from barbule.catalog.store import Pending
    from barbule.executor.batch import Tally
    from barbule.executor.engine import Engine

__all__ = [
    "Change",
    "DeleteResult",
    "InsertResult",
    "NothingToDo",
    "UpdateResult",
    "mutate",
    "mutate_in_parts",
]

_LOG = logging.getLogger("barbule")
_LARGE = 256 << 20  # bytes of rows and columns, of which the backend is not to cache more
# How often a long change is prepared without keeping others from writing.
_FREE_TRIES = 3


@dataclass(frozen=True)
class MutationResult:
    """What a mutation did.

    Attributes
    ----------
    rows
        The rows of the table that were written or removed; those of its views not counted.
    errors
        The cells that stayed empty because a function failed.
    version
        The version of the table that shows the change.
    calls, hits
        Questions that were asked of functions in the call ledger, and those it answered.
    deferred
        The cells that stayed empty because a budget was spent.
    """

    rows: int
    errors: int
    version: int
    calls: int = 0
    hits: int = 0
    deferred: int = 0


class InsertResult(MutationResult):
    """What an insert did."""


class UpdateResult(MutationResult):
    """What an update, or a change of structure, did."""


class DeleteResult(MutationResult):
    """What a delete did."""


class NothingToDo(Exception):  # noqa: N818 - no error
    """Ends a change that has nothing to change."""


class Change:
    """One commit in the making: what it reads is as it was, what it writes is collected.

    Attributes
    ----------
    fresh
        The rows, by table id, that are new or have a new state: for what is computed from them.
    added, ended
        All rows that are written, and the identities of those that end, by table id.
    """

    def __init__(self, engine: Engine, pending: Pending, tally: Tally) -> None:
        self.engine = engine
        self.tally = tally
        self.fresh: dict[int, pa.Table] = {}
        self.added: dict[int, list[pa.Table]] = {}
        self.ended: dict[int, list[pa.Array]] = {}
        self.shown: dict[int, pa.Table] = {}
        self._waiting: set[int] = set()
        self._pending = pending
        self._structure: list[Callable[[], None]] = []
        self._columns: dict[str, dict[str, dt.DataType]] = {}
        self._filled: dict[str, dict[str, pa.Table]] = {}
        self._size = 0
        self._writes: list[Callable[[int, dict[int, int]], None]] = []
        self._only_appends = True
        self._after: list[Callable[[], None]] = []

    # What is collected

    def put(self, record: TableRecord) -> None:
        """Give a table this structure."""
        self._pending.put(record)
        self.touch(record.id)

    def touch(self, table_id: int, *, rows: int = 0, rids: int = 0, closed: bool = False) -> None:
        """Make the change a version of a table.

        Parameters
        ----------
        rows
            How many rows were written or removed.
        rids
            How many new row identities were used.
        closed
            Whether rows ended their life.
        """
        known = self._pending.versions.get(table_id) or Version(table_id, 0, 0, "", 0, 0, False)
        self._pending.versions[table_id] = replace(
            known,
            rows=known.rows + rows,
            next_rid=known.next_rid + rids,
            closed=known.closed or closed,
        )

    def new_rids(self, table_id: int, count: int) -> pa.Array:
        """Give new rows identities, which are made final when the change is published."""
        import numpy as np
        import pyarrow as pa

        self.touch(table_id)
        first = PROVISIONAL + self._pending.versions[table_id].next_rid
        self.touch(table_id, rids=count)
        return pa.array(np.arange(first, first + count, dtype=np.int64))

    def create(self, record: TableRecord) -> None:
        """Make the backend's table for the rows of a table."""
        backend = self.engine.backend
        self._structure.append(lambda: backend.create(record.physical, physical_schema(record)))

    def drop_rows(self, record: TableRecord) -> None:
        """Drop the rows of a table, and those of all its versions."""
        self._structure.append(lambda: self.engine.backend.drop(record.physical))

    def add_column(self, record: TableRecord, column: Column) -> None:
        """Make room for the values of a column."""
        added = self._columns.setdefault(record.physical, {})
        added[column.physical] = storage(column.dtype)
        if column.fallible:
            added[column.errors] = ERROR

    def drop_physical(self, record: TableRecord, name: str) -> None:
        """Drop a column of the backend that no version shows any more."""
        backend = self.engine.backend
        self._structure.append(lambda: backend.drop_column(record.physical, name))

    def append(self, record: TableRecord, rows: pa.Table) -> None:
        """Write new rows, or new states of rows, of a table."""
        base = record.view.base if record.view and not record.view.bases else None
        self.added.setdefault(record.id, []).append(rows)
        self._size += rows.nbytes
        self.mark(record)

        def write(commit: int, first: dict[int, int]) -> None:
            import pyarrow as pa

            final = _with_final_ids(rows, RID, first.get(record.id, 0))
            if base is not None:
                final = _with_final_ids(final, BASE, first.get(base, 0))
            for name, moment in ((FROM, commit), (TO, FOREVER)):
                values = pa.repeat(pa.scalar(moment, pa.int64()), final.num_rows)
                final = final.append_column(name, values)
            self.engine.backend.append(record.physical, final)

        self._writes.append(write)

    def close(self, record: TableRecord, rids: pa.Array) -> None:
        """End the life of rows."""
        if not len(rids):
            return
        self.ended.setdefault(record.id, []).append(rids)
        self.mark(record)
        backend = self.engine.backend
        self._only_appends = False
        self._writes.append(lambda commit, _first: backend.close(record.physical, rids, commit))
        if record.origin is not None:
            self._writes.append(lambda commit, _first: self._hide(record, rids, commit))
        self.touch(record.id, closed=True)

    def replace_by(self, record: TableRecord, query: ir.Table, kept: Sequence[str]) -> None:
        """Write new states of rows, with the values that a query gives, within the backend.

        Only where nothing follows the rows of the table.
        """
        backend, physical = self.engine.backend, record.physical
        self.touch(record.id, closed=True)
        self.do(
            lambda commit: self._count(record, backend.replace_query(physical, query, commit, kept))
        )

    def close_by(self, record: TableRecord, query: ir.Table) -> None:
        """End the life of the rows whose identities a query gives, within the backend."""
        backend, physical = self.engine.backend, record.physical
        self.touch(record.id, closed=True)
        self.do(
            lambda commit: self._count(record, backend.close_query(physical, query, commit, {}))
        )

    def _count(self, record: TableRecord, rows: int) -> None:
        if not rows:
            raise NothingToDo
        self.touch(record.id, rows=rows)

    def fill_by(self, record: TableRecord, query: ir.Table, column: str | None) -> None:
        """Set columns of live rows to what a query of them gives, within the backend.

        Only where nothing follows the rows of the table.

        Parameters
        ----------
        column
            What the columns are called, where it is one, for errors.
        """
        backend, physical = self.engine.backend, record.physical

        def fill(_commit: int) -> None:
            try:
                rows = backend.fill_query(physical, query)
            except BarbuleError as error:
                raise error.at(table=record.name, column=column) from error.__cause__
            self.touch(record.id, rows=rows)

        self.do(fill)

    def rows_of(self, table_id: int) -> int:
        """Return how many rows of a table were written or removed."""
        return self._pending.versions[table_id].rows

    def _hide(self, record: TableRecord, rids: pa.Array, commit: int) -> None:
        """Give rows of a branch's origin a state in the branch, one that has ended."""
        import pyarrow as pa

        moment = pa.repeat(pa.scalar(commit, pa.int64()), len(rids))
        hidden = pa.table({RID: rids, FROM: moment, TO: moment})
        self.engine.backend.append(record.physical, hidden)

    def mark(self, record: TableRecord) -> None:
        """Remember the views whose query reads a table, which are computed at the end."""
        self._waiting |= {each.id for each in self.engine.catalog.queries_over(record.id)}

    def refresh_later(self, view_id: int) -> None:
        """Compute a view's query at the end."""
        self._waiting.add(view_id)

    def show(self, table_id: int, rows: pa.Table) -> None:
        """Let queries that are computed at the end see these rows in place of all of a table."""
        self.shown[table_id] = rows

    def settle(self) -> None:
        """Bring the views up to date whose query is computed as a whole."""
        while self._waiting:
            first = min(self._waiting)  # what it reads was made before it
            self._waiting.remove(first)
            refresh(self, first)

    def fill(self, record: TableRecord, column: str, rows: pa.Table) -> None:
        """Set a column, by its physical name, of live rows."""
        self._only_appends = False
        filled = rows.select([RID, column])
        if column in self._columns.get(record.physical, ()):
            self._filled.setdefault(record.physical, {})[column] = filled
            self._size += filled.nbytes
            return
        self._writes.append(
            lambda _commit, _first: self.engine.backend.fill(record.physical, column, filled)
        )

    def do(self, write: Callable[[int], None]) -> None:
        """Write something else to the backend, given the commit."""
        self._only_appends = False
        self._writes.append(lambda commit, _first: write(commit))

    def afterwards(self, work: Callable[[], None]) -> None:
        """Do something once the change is visible."""
        self._after.append(work)

    # Publishing

    def holds(self) -> bool:
        """Whether what was prepared still fits what others have committed meanwhile."""
        catalog, seen = self.engine.catalog, self._pending.seen
        if catalog.head == seen:
            return True
        if catalog.changed_since(seen):
            return False
        return self._only_appends or all(
            catalog.latest(table_id).commit <= seen
            for table_id in self._pending.versions
            if catalog.versions(table_id)
        )

    def flush(self) -> None:
        """Write what has been collected so far, within the transaction of the change."""
        catalog, commit = self.engine.catalog, self.engine.catalog.head + 1
        first = {
            table_id: versions[-1].next_rid if (versions := catalog.versions(table_id)) else 0
            for table_id in self._pending.versions
        }
        for make in self._structure:
            make()
        for name, kinds in self._columns.items():
            self.engine.backend.add_columns(name, kinds, self._filled.get(name, {}))
        for write in self._writes:
            write(commit, first)
        self._structure.clear()
        self._columns.clear()
        self._filled.clear()
        self._writes.clear()
        self.fresh.clear()
        self.added.clear()
        self.ended.clear()
        self.shown.clear()

    def publish(self, started: float) -> None:
        """Write and commit; the calling thread has the right to write."""
        with self.engine.backend.transaction(large=self._size > _LARGE):
            commit = self.write(started)
        self.engine.catalog.publish(self._pending, commit)

    def write(self, started: float) -> Commit:
        """Write what is left and the commit itself, within a transaction."""
        self.flush()
        self.number()
        return self.engine.catalog.write(self._pending, time.perf_counter() - started)

    def number(self) -> None:
        """Give the versions that the change makes their numbers."""
        catalog, pending = self.engine.catalog, self._pending
        for table_id, done in pending.versions.items():
            pending.versions[table_id] = catalog.next_version(
                table_id, catalog.head + 1, pending, done
            )

    def finish(self) -> None:
        """Bring the indexes up to date, once the change is visible."""
        for work in self._after:
            work()
        live = {record.id for record in self.engine.catalog.tables()}
        self.engine.indexing.drain(live & self._pending.versions.keys())

    def result(
        self, kind: type[MutationResult], table_id: int, rows: int, **more: int
    ) -> MutationResult:
        """Say what the change did to a table."""
        if self.tally.failed:
            _LOG.warning(
                "%s: %d cell%s failed, the first because %s t.errors() lists them; "
                "recompute(..., errors_only=True) tries them again.",
                self.engine.catalog.record(table_id).name,
                self.tally.errors,
                "" if self.tally.errors == 1 else "s",
                self.tally.failed,
            )
        if left := self.tally.deferred:
            _LOG.warning(
                "%s: %d cell%s deferred, as the budget is spent; "
                'recompute(..., where="deferred") goes on.',
                self.engine.catalog.record(table_id).name,
                left,
                " was" if left == 1 else "s were",
            )
        return kind(
            rows=rows,
            errors=self.tally.errors,
            version=self._pending.versions[table_id].version,
            calls=self.tally.calls,
            hits=self.tally.hits,
            deferred=self.tally.deferred,
            **more,
        )


def _with_final_ids(rows: pa.Table, name: str, first: int) -> pa.Table:
    """Turn the provisional identities of new rows into those that follow the used ones."""
    import pyarrow as pa
    import pyarrow.compute as pc

    ids = rows.column(name)
    new = pc.greater_equal(ids, PROVISIONAL)
    if not pc.any(new).as_py():
        return rows
    final = pc.if_else(new, pc.add(ids, pa.scalar(first - PROVISIONAL, pa.int64())), ids)
    return rows.set_column(rows.column_names.index(name), name, final)


def mutate(
    engine: Engine, operation: str, work: Callable[[Change], Any], *, slow: bool = False
) -> tuple[Change, Any]:
    """Make a change: all of it is visible afterwards, or nothing.

    Parameters
    ----------
    operation
        What it is called in the history.
    work
        Prepares the change; it may be asked again, after others have changed what it went by.
    slow
        Whether it may call functions, so that others should not wait for it.

    Returns
    -------
    tuple
        The change that was made, and what `work` returned.
    """
    started = time.perf_counter()
    with undone_where_it_fails(engine), engine.tallying() as tally:
        for attempt in range(_FREE_TRIES + 1):
            last = attempt == _FREE_TRIES
            change, outcome = _attempt(engine, operation, work, tally, started, slow and not last)
            if change is not None:
                change.finish()
                return change, outcome
    raise AssertionError("a change that keeps others from writing cannot fail to fit")


def _attempt(
    engine: Engine,
    operation: str,
    work: Callable[[Change], Any],
    tally: Tally,
    started: float,
    free: bool,
) -> tuple[Change | None, Any]:
    writing = engine.backend.writing
    with contextlib.nullcontext() if free else writing():
        engine.catalog.refresh()
        change = Change(engine, engine.catalog.begin(operation), tally)
        try:
            outcome = work(change)
            change.settle()
            with writing():
                engine.catalog.refresh()
                if not change.holds():
                    return None, None
                change.publish(started)
        finally:
            engine.catalog.end()
    return change, outcome


def mutate_in_parts(
    engine: Engine, operation: str, work: Callable[[Change], Any]
) -> tuple[Change, Any]:
    """Make a change that is too large to be collected first.

    Others cannot write meanwhile; `work` calls `flush` between its parts.
    """
    started = time.perf_counter()
    with undone_where_it_fails(engine), engine.tallying() as tally:
        with engine.backend.writing():
            engine.catalog.refresh()
            change = Change(engine, engine.catalog.begin(operation), tally)
            try:
                with engine.backend.transaction(large=True):
                    outcome = work(change)
                    change.settle()
                    commit = change.write(started)
                engine.catalog.publish(change._pending, commit)
            finally:
                engine.catalog.end()
        change.finish()
    return change, outcome
