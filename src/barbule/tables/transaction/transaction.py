"""A change: everything that one mutation does to tables and views, visible at one commit.

A change is prepared first, which may take long where functions are called: rows are read and
computed, and what is to be written is collected. Then it is published: under the right to write
and in one transaction, all is written and the commit made. Owns this frame, and by it isolation:
changes are serializable. What the preparation has read (the structure of tables, and their live
rows) is compared at publication with what others have committed meanwhile. Where rows have
changed, the change is prepared again; where a structure has, or where media have been deleted to
which it refers, the operation begins anew. Answers of functions are in the ledger by then.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, ParamSpec, TypeVar

from barbule.backends.base import BASE, FOREVER, FROM, RID, TO
from barbule.catalog.records import TableRecord, Version
from barbule.errors import BarbuleError, ConflictError, DataError
from barbule.executor.calls.provenance import PROVISIONAL
from barbule.nodes import ERROR
from barbule.planner.lowering.table_schemas import physical_schema
from barbule.suggestions import VerbResult
from barbule.tables.transaction.media_references import deleted_meanwhile, undone_where_it_fails
from barbule.tables.views.full_refresh import refresh
from barbule.types import storage
from barbule.values.cells import holds_media

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import ibis.expr.datatypes as dt
    import ibis.expr.types as ir
    import pyarrow as pa

    from barbule.catalog.pending import PendingCatalog
    from barbule.catalog.records import Column, Commit
    from barbule.executor.calls.caller import Tally
    from barbule.executor.engine import Engine

__all__ = [
    "Change",
    "DeleteResult",
    "InsertResult",
    "MediaDeleted",
    "NothingToDo",
    "Outdated",
    "StructureChanged",
    "UpdateResult",
    "isolated",
    "located",
    "mutate",
    "mutate_in_parts",
    "reading_once",
]

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

_LOG = logging.getLogger("barbule")
_LARGE = 256 << 20  # bytes of rows and columns, of which the backend is not to cache more
# How often a long change is prepared without keeping others from writing.
_FREE_TRIES = 3


@dataclass(frozen=True)
class MutationResult(VerbResult):
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
        Questions that were sent to models and calls of functions in the call ledger, as a budget
        counts them; and questions that the ledger answered.
    deferred
        The cells that stayed empty because a budget was spent.
    """

    _reading: ClassVar[str] = "Rows are asked of the table: t.collect()."

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


class Outdated(Exception):  # noqa: N818 - `isolated` begins the operation anew
    """Ends an operation that went by what others have changed since; it says by what."""


class StructureChanged(Outdated):
    """Ends an operation that went by the structure of tables."""

    def __init__(self, tables: Sequence[str]) -> None:
        super().__init__(f"the structure of {', '.join(map(repr, tables))} was changed")


class MediaDeleted(Outdated):
    """Ends an operation that has found files in the media store, or has put them there."""

    def __init__(self, references: Sequence[str]) -> None:
        more = f" and {len(references) - 1} more" if len(references) > 1 else ""
        super().__init__(f"{references[0]}{more} was deleted from the media store")


class Change:
    """One commit in the making: what it reads is as it was, what it writes is collected.

    Attributes
    ----------
    since
        The latest commit when the operation began.
    fresh
        The rows, by table id, that are new or have a new state: for what is computed from them.
    added, ended
        All rows that are written, and the identities of those that end, by table id.
    changed
        The columns that have new values in rows that stay, by table id.
    remade
        The views that are computed as a whole of whose rows none stays.
    lenient
        Whether a function that fails leaves the cell of its computed column empty, although it
        would end the operation by itself.
    """

    def __init__(self, engine: Engine, pending: PendingCatalog, tally: Tally, since: int) -> None:
        self.engine = engine
        self.since = since
        self.tally = tally
        self.fresh: dict[int, pa.Table] = {}
        self.added: dict[int, list[pa.Table]] = {}
        self.ended: dict[int, list[pa.Array]] = {}
        self.changed: dict[int, set[str]] = {}
        self.shown: dict[int, pa.Table] = {}
        self.remade: set[int] = set()
        self.lenient = False
        self._waiting: set[int] = set()
        self._pending = pending
        self._structure: list[Callable[[], None]] = []
        self._columns: dict[str, dict[str, dt.DataType]] = {}
        self._filled: dict[str, dict[str, pa.Table]] = {}
        self._size = 0
        self._writes: list[Callable[[int, dict[int, int]], None]] = []
        self._after: list[Callable[[], None]] = []

    # What is collected

    def name(self, operation: str) -> None:
        """Call the change otherwise in the history than it was called when it began."""
        self._pending.operation = operation

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
            try:
                self.engine.backend.append(record.physical, final)
            except DataError as error:
                raise _named(error, record) from error.__cause__

        self._writes.append(write)

    def close(self, record: TableRecord, rids: pa.Array) -> None:
        """End the life of rows."""
        if not len(rids):
            return
        self.ended.setdefault(record.id, []).append(rids)
        self.mark(record)
        backend = self.engine.backend
        self._writes.append(lambda commit, _first: backend.close(record.physical, rids, commit))
        if record.origin is not None:
            self._writes.append(lambda commit, _first: self._hide(record, rids, commit))
        self.touch(record.id, closed=True)

    def replace_by(self, record: TableRecord, query: ir.Table, kept: Sequence[str]) -> None:
        """Write new states of rows, with the values that a query gives, within the backend.

        Only where nothing follows the rows of the table.
        """
        backend, physical = self.engine.backend, record.physical
        names = {column.physical: column.name for column in record.columns}
        given = [names[each] for each in query.columns if each in names and each not in kept]
        column = given[0] if len(given) == 1 else None

        def replace(commit: int) -> None:
            with located(record, column):
                rows = backend.replace_query(physical, query, commit, kept)
            self._count(record, rows)

        self.touch(record.id, closed=True)
        self.do(replace)

    def close_by(self, record: TableRecord, query: ir.Table) -> None:
        """End the life of the rows whose identities a query gives, within the backend."""
        backend, physical = self.engine.backend, record.physical

        def close(commit: int) -> None:
            with located(record):
                rows = backend.close_query(physical, query, commit, {})
            self._count(record, rows)

        self.touch(record.id, closed=True)
        self.do(close)

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
            with located(record, column):
                rows = backend.fill_query(physical, query)
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

    def remake(self, view_id: int) -> None:
        """Compute a view's query at the end, and write all of its rows anew."""
        self.remade.add(view_id)
        self.refresh_later(view_id)

    def written(self, record: TableRecord) -> TableRecord:
        """Return the record without the columns for which the change only makes room."""
        unwritten = self._columns.get(record.physical, {})
        kept = tuple(each for each in record.columns if each.physical not in unwritten)
        return replace(record, columns=kept) if unwritten else record

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
        self._writes.append(lambda commit, _first: write(commit))

    def afterwards(self, work: Callable[[], None]) -> None:
        """Do something once the change is visible."""
        self._after.append(work)

    # Publishing

    def check_structures(self) -> None:
        """Check that the structures which the operation went by are as they were.

        Raises
        ------
        StructureChanged
            When others have changed one, or have made tables while this change makes one: names
            and identities of tables must not be taken twice.
        """
        catalog, pending = self.engine.catalog, self._pending
        if catalog.head == self.since:
            return
        changed = catalog.tables_restructured_since(self.since)
        if not any(map(catalog.is_new, pending.records)) and not changed <= pending.records.keys():
            changed &= pending.structures_read | pending.records.keys()
        if changed:
            raise StructureChanged([catalog.history(each)[-1][1].name for each in sorted(changed)])

    def rows_are_as_read(self) -> bool:
        """Whether the rows that were read are those that live now, and the same ones are held."""
        catalog, pending = self.engine.catalog, self._pending
        if catalog.head == pending.base_commit:
            return True
        if pending.labels_read and catalog.labels_changed_since(pending.base_commit):
            return False
        latest = (catalog.versions(each)[-1:] for each in pending.rows_read)
        return all(
            version.commit <= pending.base_commit for versions in latest for version in versions
        )

    def check_media(self) -> None:
        """Check that the stored media to which new cells refer are there.

        Raises
        ------
        MediaDeleted
            When others have deleted one since the operation began.
        """
        if lost := deleted_meanwhile(self.engine, self._new_media(), self.since):
            raise MediaDeleted(lost)

    def _new_media(self) -> Iterator[pa.Table]:
        """Yield the cells of media columns that are about to be written."""
        for table_id, tables in self.added.items():
            columns = self.engine.catalog.record(table_id).columns
            media = {each.physical for each in columns if holds_media(each.dtype)}
            for rows in tables:
                yield rows.select([each for each in rows.column_names if each in media])

    def flush(self) -> None:
        """Write what has been collected so far, within the transaction of the change."""
        self.check_media()
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
        self.changed.clear()
        self.shown.clear()

    def publish(self, started: float) -> None:
        """Write and commit; the calling thread has the right to write."""
        backend = self.engine.backend
        with (
            self.engine.ledger.joining(backend) as write_answers,
            backend.transaction(large=self._size > _LARGE, invalidates_plans=self._unsettles()),
        ):
            commit = self.write(started)
            write_answers()
        self.engine.catalog.publish(self._pending, commit)

    def _unsettles(self) -> bool:
        """Whether plans that were made before may be wrong afterwards.

        They go by the structure of tables, and by whether rows of them have ever ended.
        """
        catalog, pending = self.engine.catalog, self._pending
        return bool(pending.records) or any(
            done.closed and not catalog.has_closed_rows(table_id)
            for table_id, done in pending.versions.items()
        )

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


@contextlib.contextmanager
def located(record: TableRecord, column: str | None = None) -> Iterator[None]:
    """Name the table, and the column where it is one, in an error of the backend."""
    try:
        yield
    except BarbuleError as error:
        raise error.at(table=record.name, column=column) from error.__cause__


def _named(error: DataError, record: TableRecord) -> DataError:
    """Name the table, and the column as users know it, in an error of the backend."""
    names = {column.physical: column.name for column in record.columns}
    error.table, error.column = record.name, names.get(error.column or "", error.column)
    return error


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


def isolated(operation: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Let an operation begin anew where others have changed what it went by.

    After some tries it keeps others from writing from its beginning to its end. What it puts
    into the media store is taken back where it fails. The first argument of the operation is an
    engine, or has one.
    """

    @functools.wraps(operation)
    def run(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        engine = _engine_of(args[0])
        since, undo = engine.catalog.head, engine.library.undo
        with undone_where_it_fails(engine):
            before = undo.counted_on()
            for _ in range(_FREE_TRIES):
                with contextlib.suppress(Outdated), media_as_they_were(engine, since):
                    return operation(*args, **kwargs)
                undo.begin_anew(before)
            with engine.backend.write_lock(), undo.alone():
                return operation(*args, **kwargs)

    return run


def _engine_of(given: Any) -> Engine:
    """Return the engine of an engine, a leaf or a table."""
    if hasattr(given, "backend"):
        return given
    return given.source if hasattr(given, "source") else given.op().source


@contextlib.contextmanager
def media_as_they_were(engine: Engine, since: int) -> Iterator[None]:
    """Call what fails since others have deleted media outdated."""
    try:
        yield
    except ConflictError:
        raise
    except BarbuleError:
        lost = []
        with contextlib.suppress(BarbuleError):  # the first error tells more
            engine.catalog.refresh()
            lost = deleted_meanwhile(engine, (), since)
        if lost:
            raise MediaDeleted(lost) from None
        raise


@contextlib.contextmanager
def reading_once(engine: Engine, source: Any, table: str, since: int) -> Iterator[None]:
    """Let an operation fail where it would begin anew, but can read its source only once.

    Raises
    ------
    ConflictError
        When others have changed meanwhile what the operation went by.
    """
    try:
        with media_as_they_were(engine, since):
            yield
    except Outdated as changed:
        if not hasattr(source, "__next__") and not hasattr(source, "read_next_batch"):
            raise
        raise ConflictError(
            f"{changed} while rows were read from a source that can be read only once. Nothing "
            "was written.",
            table=table,
            hint="Make the source again and repeat the operation.",
        ) from None


def mutate(
    engine: Engine,
    operation: str,
    work: Callable[[Change], Any],
    *,
    since: int,
    slow: bool = False,
) -> tuple[Change, Any]:
    """Make a change: all of it is visible afterwards, or nothing.

    Parameters
    ----------
    operation
        What it is called in the history.
    work
        Prepares the change; it is asked again where others have changed the rows that it read.
    since
        The latest commit when the operation began: whatever it has concluded before from the
        structure of tables is checked, too.
    slow
        Whether it may call functions, so that others should not wait for it.

    Returns
    -------
    tuple
        The change that was made, and what `work` returned.

    Raises
    ------
    Outdated
        When others have changed the structure of a table since, or have deleted media; see
        `isolated`.
    """
    started = time.perf_counter()
    with undone_where_it_fails(engine), engine.tallying() as tally:
        if slow:
            engine.backend.check_writable()  # before functions are called
        for attempt in range(_FREE_TRIES + 1):
            free = slow and attempt < _FREE_TRIES
            alone = contextlib.nullcontext() if free else engine.backend.write_lock()
            with alone, _preparing(engine, operation, tally, since) as change:
                outcome = _prepared(change, work, free=free)
                if outcome is _CONFLICT or not _published(change, started, free=free):
                    continue
            if tally.calls:
                engine.ledger.wait()
            change.finish()
            return change, outcome
    raise AssertionError("a change that keeps others from writing cannot fail to fit")


_CONFLICT = object()


@contextlib.contextmanager
def _preparing(engine: Engine, operation: str, tally: Tally, since: int) -> Iterator[Change]:
    engine.catalog.refresh()
    try:
        yield Change(engine, engine.catalog.begin(operation), tally, since)
    finally:
        engine.catalog.end()


def _prepared(change: Change, work: Callable[[Change], Any], *, free: bool) -> Any:
    """Prepare a change; what fails since others have changed what it read is a conflict."""
    try:
        outcome = work(change)
        change.settle()
    except Exception:
        with change.engine.backend.write_lock():
            change.engine.catalog.refresh()
            change.check_structures()
            if not free or change.rows_are_as_read():
                raise
        return _CONFLICT
    return outcome


def _published(change: Change, started: float, *, free: bool) -> bool:
    """Publish a change, if what it has read is still as it was."""
    with change.engine.backend.write_lock():
        if free:  # else nobody has committed since it was begun
            change.engine.catalog.refresh()
        change.check_structures()
        if not change.rows_are_as_read():
            return False
        change.publish(started)
    return True


def mutate_in_parts(
    engine: Engine, operation: str, work: Callable[[Change], Any], *, since: int
) -> tuple[Change, Any]:
    """Make a change that is too large to be collected first.

    Others cannot write meanwhile; `work` calls `flush` between its parts. See `mutate`.
    """
    started = time.perf_counter()
    with undone_where_it_fails(engine), engine.tallying() as tally:
        with engine.backend.write_lock(), _preparing(engine, operation, tally, since) as change:
            with engine.backend.transaction(large=True, invalidates_plans=True):
                outcome = _prepared(change, work, free=False)
                change.check_structures()
                commit = change.write(started)
            engine.catalog.publish(change._pending, commit)
        engine.ledger.settle()
        change.finish()
    return change, outcome
