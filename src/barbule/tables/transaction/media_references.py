"""Who refers to what the media store keeps, and the end of what nobody refers to.

Owns the search for references in everything that a database holds: rows of all versions, old
ones, those of branches and of dropped tables in snapshots; stored expressions and defaults; the
answers in the call ledger.
"""

from __future__ import annotations

import datetime
import logging
import time
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt
import ibis.expr.schema as sch

from barbule.backends.base import FROM
from barbule.errors import (
    ConfigurationError,
    DiskError,
    MediaError,
    StoreError,
    UnknownFunctionError,
    UnsupportedError,
)
from barbule.executor.ledger.call_ledger import NAME as CALLS
from barbule.executor.ledger.call_ledger import SCHEMA as CALLS_SCHEMA
from barbule.functions.registry import lookup
from barbule.media.references import references_within, stored_references
from barbule.planner.lowering.table_schemas import physical_schema
from barbule.suggestions import VerbResult
from barbule.threads import in_threads
from barbule.values.cells import holds_media

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import ibis.expr.types as ir
    import pyarrow as pa

    from barbule.executor.engine import Engine

__all__ = [
    "GRACE",
    "CollectedMedia",
    "collect",
    "find_deleted_media",
    "held",
    "lost",
    "references",
    "release",
    "undo_on_failure",
]

_LOG = logging.getLogger("barbule")
GRACE = datetime.timedelta(days=1)
_ROWS = "bb_rows_"
_STORED = "media:"
_AT_ONCE = 16_384
_TURN = 0.25  # seconds of deletions for which others wait who want to write
_LOOKERS = 16  # threads that ask a store elsewhere


@dataclass(frozen=True)
class CollectedMedia(VerbResult):
    """What a collection of unused media did.

    Attributes
    ----------
    files, bytes
        What was deleted, or would be.
    kept
        How many files stay: those that something refers to, and those that are too young.
    """

    files: int
    bytes: int
    kept: int


def held(engine: Engine, since: int | None = None) -> set[str]:
    """Return the references to stored objects that anything in the database holds.

    Parameters
    ----------
    since
        A commit: only what has been written after it is looked at.
    """
    found = _in_catalog(engine)
    filled = set() if since is None else engine.catalog.tables_restructured_since(since)
    with engine.backend.use():
        there = engine.backend.tables()
        for name in sorted(there):
            if name.startswith(_ROWS) and (number := name.removeprefix(_ROWS)).isdecimal():
                # A new column is filled in old rows.
                found.update(_in_rows(engine, name, None if int(number) in filled else since))
        if CALLS in there:
            found.update(_in_answers(engine))
    return found


def _in_catalog(engine: Engine) -> set[str]:
    """Find references in structures that there are or have been: literals and defaults."""
    catalog = engine.catalog
    return {
        reference
        for table_id in catalog.table_ids()
        for _, record in catalog.history(table_id)
        for reference in stored_references(record.to_json())
    }


def _in_rows(engine: Engine, name: str, since: int | None) -> Iterator[str]:
    """Find references in all rows of a table, those that have ended too."""
    backend = engine.backend
    kinds: dict[str, dt.DataType] = {}
    for _, record in engine.catalog.history(int(name.removeprefix(_ROWS))):
        kinds |= physical_schema(record).items()
    there = backend.columns(name)
    kinds = {column: kind for column, kind in kinds.items() if column in there}
    rows = backend.table(name, sch.Schema(kinds)).to_expr()
    query = rows if since is None else rows.filter(rows[FROM] > since)
    for column, kind in kinds.items():
        if _holds_text(kind):
            yield from _in_column(engine, query, column, kind)


def _holds_text(kind: dt.DataType) -> bool:
    if isinstance(kind, dt.Array):
        return _holds_text(kind.value_type)
    if isinstance(kind, dt.Struct):
        return any(map(_holds_text, kind.fields.values()))
    if isinstance(kind, dt.Map):
        return _holds_text(kind.key_type) or _holds_text(kind.value_type)
    return isinstance(kind, dt.String | dt.JSON)


def _in_column(engine: Engine, rows: ir.Table, column: str, kind: dt.DataType) -> Iterator[str]:
    value = rows[column]
    if isinstance(kind, dt.JSON):
        value = value.cast("string")
    if isinstance(value.type(), dt.String):
        rows = rows.filter(value.contains(_STORED))
    query = rows.select(cell=value).filter(lambda rows: rows.cell.notnull())
    for batch in engine.backend.batches(query, {}, _AT_ONCE):
        for cell in batch.column(0).to_pylist():
            yield from references_within(cell)


def references(rows: pa.Table) -> set[str]:
    """Return the references to stored objects in rows."""
    return {
        found
        for column in rows.columns
        for cell in column.to_pylist()
        if cell is not None
        for found in references_within(cell)
    }


def _in_answers(engine: Engine) -> Iterator[str]:
    """Find references in the answers of functions that give media, or are not known here."""
    calls = engine.backend.table(CALLS, CALLS_SCHEMA).to_expr()
    names = engine.backend.arrow(calls.select("function").distinct(), {})["function"].to_pylist()
    giving = [name for name in names if name is not None and _gives_media(name)]
    if not giving:
        return
    answers = calls.filter(calls.function.isin(giving), calls.answer.notnull()).select("answer")
    for batch in engine.backend.batches(answers, {}, _AT_ONCE):
        for answer in batch.column(0).to_pylist():
            yield from stored_references(answer.decode("utf-8", "replace"))


def _gives_media(function: str) -> bool:
    try:
        returns = lookup(function).returns
    except (UnknownFunctionError, ImportError):
        return True
    return not isinstance(returns, dt.DataType) or holds_media(returns)


def release(engine: Engine, cells: Iterable[Any], *, since: int | None = None) -> int:
    """Delete the stored objects to which cells refer, if nothing refers to them any more.

    It is for whoever has just removed the last rows that did; a file or URL that was given by
    reference is never touched. Where other databases keep media in the same store, all stays.

    Parameters
    ----------
    cells
        Cells of media columns, or anything that holds references.
    since
        A commit before which nothing referred to them.

    Returns
    -------
    int
        How many were deleted.
    """
    named = {reference for cell in cells for reference in references_within(cell)}
    if not named or _other_users(engine):
        return 0
    names = [each.removeprefix(_STORED) for each in sorted(named)]
    return len(_delete(engine, names, since=since))


def _other_users(engine: Engine) -> list[str]:
    library = engine.library
    return [user for user in library.store.users() if user != library.user]


def _delete(
    engine: Engine,
    names: Iterable[str],
    *,
    since: int | None,
    put_before: datetime.datetime | None = None,
) -> list[str]:
    """Delete objects to which nothing refers; return the names of those that are gone.

    Others can write between two turns, each of which begins with what they have written. Who
    prepares a change sees at its publication that objects have been deleted.

    Parameters
    ----------
    since
        A commit: what has been written by then does not refer to them. None: it may.
    put_before
        What has been put since stays.
    """
    store, backend, catalog = engine.library.store, engine.backend, engine.catalog
    waiting, gone, seen = deque(names), [], -1
    while waiting:
        with backend.write_lock():
            if catalog.refresh() != seen:
                wanted = held(engine, since)
                waiting = deque(each for each in waiting if f"{_STORED}{each}" not in wanted)
            if not waiting:
                break
            catalog.commit_media_deletion()
            since = seen = catalog.head
            end = time.monotonic() + _TURN
            while waiting:
                name = waiting.popleft()
                if store.delete(name, put_before=put_before):
                    gone.append(name)
                # A process that was stopped may have lost the right to write to others.
                if time.monotonic() > end or catalog.refresh() != seen:
                    break
    return gone


@contextmanager
def undo_on_failure(engine: Engine) -> Iterator[None]:
    """Take back what a change puts into the store, if it fails.

    What was there before, and what another operation counts on, stays.
    """
    before = engine.catalog.head

    def take_back(names: list[str]) -> None:
        try:
            release(engine, (f"{_STORED}{name}" for name in names), since=before)
        except (ConfigurationError, DiskError, StoreError) as error:
            _LOG.warning("media of a failed change stay until collect_media(): %s", error)
        except Exception:  # noqa: BLE001 - what made the change fail is what its caller has to know
            _LOG.warning("media of a failed change stay until collect_media()", exc_info=True)

    with engine.library.undo.where_it_fails(take_back):
        yield


def find_deleted_media(engine: Engine, rows: Iterable[pa.Table], since: int) -> list[str]:
    """Return what a change counts on in the store, and others have deleted.

    The calling thread has the right to write, so that nobody deletes anything now.

    Parameters
    ----------
    rows
        What the change is about to write.
    since
        The latest commit when the operation began.
    """
    if not engine.catalog.media_deleted_since(since) or engine.library.undo.is_alone:
        return []
    named = {f"{_STORED}{name}" for name in engine.library.undo.counted_on()}
    named.update(*map(references, rows))
    missing = _missing(engine, named)
    # What committed rows have lost, say by hand, is not for this change to mend.
    return sorted(missing - held(engine)) if missing else []


def lost(engine: Engine) -> dict[str, list[str]]:
    """Return, by table, the references in rows of any version whose objects are not there."""
    backend, catalog = engine.backend, engine.catalog
    found: list[tuple[str, str, set[str]]] = []
    with backend.use():
        there = backend.tables()
        for table_id in catalog.table_ids():
            if (rows := f"{_ROWS}{table_id}") in there:
                _, record = catalog.history(table_id)[-1]
                found.append((record.name, rows, set(_in_rows(engine, rows, None))))
    if not any(named for *_, named in found):
        return {}
    kept = {f"{_STORED}{each.name}" for each in engine.library.store.objects() if each.finished}
    missing: dict[str, list[str]] = {}
    for name, rows, named in found:
        if named - kept:  # looked at again: rows and their objects may have been deleted meanwhile
            still = (named - kept).intersection(_in_rows(engine, rows, None))
            missing.setdefault(name, []).extend(sorted(still))
    return {name: sorted(set(references)) for name, references in missing.items() if references}


def _missing(engine: Engine, named: Iterable[str]) -> set[str]:
    """Return those references of whose objects none is in the store."""
    store, wanted = engine.library.store, sorted(named)
    missing: set[str] = set()

    def look(place: int) -> None:
        if not store.exists(wanted[place]):
            missing.add(wanted[place])

    in_threads(look, len(wanted), 1 if store.is_local else _LOOKERS)
    return missing


def collect(
    engine: Engine, grace: datetime.timedelta, *, dry_run: bool = False, shared: bool = False
) -> CollectedMedia:
    """Delete the stored objects to which nothing in the database refers.

    What has been put within the grace period stays, as somebody may be about to commit it.
    Interrupted at any point, it has deleted nothing that is held, and can be run again.

    Raises
    ------
    UnsupportedError
        When other databases keep media in the same store and `shared` is False.
    """
    if not isinstance(grace, datetime.timedelta) or grace < datetime.timedelta(0):
        raise MediaError(
            "a grace period is a length of time.", value=grace, hint="Give a datetime.timedelta."
        )
    others = _other_users(engine)
    if others and not shared:
        raise UnsupportedError(
            f"other databases keep media in this store too: {', '.join(others)}.",
            hint="Their media would be taken for garbage. If they are gone, say shared=True.",
        )
    limit = datetime.datetime.now(datetime.UTC) - grace
    # Listed before references are read: what is committed in between is found by these.
    objects = list(engine.library.store.objects())
    head = engine.catalog.refresh()
    wanted = held(engine)
    unused = {
        each.name: each.size
        for each in objects
        if each.modified <= limit and not (each.finished and f"{_STORED}{each.name}" in wanted)
    }
    gone = list(unused) if dry_run else _delete(engine, unused, since=head, put_before=limit)
    size = sum(unused[name] for name in gone)
    return CollectedMedia(len(gone), size, len(objects) - len(gone))
