"""References to the objects of the media store, and the deletion of unreferenced objects.

Owns the search for references in the entire database: rows of all versions, ended ones, those of
branches and of dropped tables in snapshots; stored expressions and defaults; the answers in the
call ledger.
"""

from __future__ import annotations

import datetime
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt
import ibis.expr.schema as sch

from barbule.backends.base import FROM
from barbule.errors import (
    MediaError,
    UnknownFunctionError,
    UnsupportedError,
)
from barbule.executor.ledger.answers import CALLS_SCHEMA, CALLS_TABLE
from barbule.functions.registry import lookup
from barbule.media.storage.references import references_within, stored_references
from barbule.planner.lowering.table_schemas import physical_schema
from barbule.suggestions import VerbResult
from barbule.threads import in_threads
from barbule.types import holds_media
from barbule.types.declarations import holds

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import ibis.expr.types as ir
    import pyarrow as pa

    from barbule.executor.engine import Engine

__all__ = [
    "DEFAULT_GRACE_PERIOD",
    "MEDIA_PREFIX",
    "CollectedMedia",
    "collect_unused",
    "delete_unreferenced",
    "find_deleted_media",
    "missing_media",
    "referenced_media",
    "references_in_rows",
]

DEFAULT_GRACE_PERIOD = datetime.timedelta(days=1)
_ROWS_TABLE_PREFIX = "bb_rows_"
MEDIA_PREFIX = "media:"
_BATCH_ROWS = 16_384
_MAX_LOCK_SECONDS = 0.25  # maximum seconds of deletions while other writers wait
_MAX_LOOKUP_THREADS = 16  # threads for requests to a remote store


@dataclass(frozen=True)
class CollectedMedia(VerbResult):
    """The result of a collection of unused media.

    Attributes
    ----------
    files, bytes
        What was deleted, or would be.
    kept
        The number of files that remain: referenced files, and files that are too recent.
    """

    files: int
    bytes: int
    kept: int


def referenced_media(engine: Engine, since: int | None = None) -> set[str]:
    """Return the references to stored objects in the entire database.

    Parameters
    ----------
    since
        A commit: only later writes are searched.
    """
    references = _references_in_catalog(engine)
    restructured = set() if since is None else engine.catalog.tables_restructured_since(since)
    with engine.backend.use():
        table_names = engine.backend.tables()
        for name in sorted(table_names):
            if (
                name.startswith(_ROWS_TABLE_PREFIX)
                and (table_number := name.removeprefix(_ROWS_TABLE_PREFIX)).isdecimal()
            ):
                # A new column also has values in old rows.
                references.update(
                    _references_in_table(
                        engine, name, None if int(table_number) in restructured else since
                    )
                )
        if CALLS_TABLE in table_names:
            references.update(_references_in_answers(engine))
    return references


def _references_in_catalog(engine: Engine) -> set[str]:
    """Find references in all structures of all versions: literals and defaults."""
    catalog = engine.catalog
    return {
        reference
        for table_id in catalog.table_ids()
        for _, record in catalog.history(table_id)
        for reference in stored_references(record.to_json())
    }


def _references_in_table(engine: Engine, name: str, since: int | None) -> Iterator[str]:
    """Find references in all rows of a table, ended ones included."""
    backend = engine.backend
    dtypes: dict[str, dt.DataType] = {}
    for _, record in engine.catalog.history(int(name.removeprefix(_ROWS_TABLE_PREFIX))):
        dtypes |= physical_schema(record).items()
    column_names = backend.columns(name)
    dtypes = {column: dtype for column, dtype in dtypes.items() if column in column_names}
    rows = backend.table(name, sch.Schema(dtypes)).to_expr()
    query = rows if since is None else rows.filter(rows[FROM] > since)
    for column, dtype in dtypes.items():
        if holds(dtype, dt.String, dt.JSON):
            yield from _references_in_column(engine, query, column, dtype)


def _references_in_column(
    engine: Engine, rows: ir.Table, column: str, dtype: dt.DataType
) -> Iterator[str]:
    value = rows[column]
    if isinstance(dtype, dt.JSON):
        value = value.cast("string")
    if isinstance(value.type(), dt.String):
        rows = rows.filter(value.contains(MEDIA_PREFIX))
    query = rows.select(cell=value).filter(lambda rows: rows.cell.notnull())
    for batch in engine.backend.batches(query, {}, _BATCH_ROWS):
        for cell in batch.column(0).to_pylist():
            yield from references_within(cell)


def references_in_rows(rows: pa.Table) -> set[str]:
    """Return the references to stored objects in rows."""
    return {
        reference
        for column in rows.columns
        for cell in column.to_pylist()
        if cell is not None
        for reference in references_within(cell)
    }


def _references_in_answers(engine: Engine) -> Iterator[str]:
    """Find references in the answers of functions that return media or are undefined here."""
    calls = engine.backend.table(CALLS_TABLE, CALLS_SCHEMA).to_expr()
    names = engine.backend.arrow(calls.select("function").distinct(), {})["function"].to_pylist()
    media_functions = [name for name in names if name is not None and _returns_media(name)]
    if not media_functions:
        return
    answers = calls.filter(calls.function.isin(media_functions), calls.answer.notnull()).select(
        "answer"
    )
    for batch in engine.backend.batches(answers, {}, _BATCH_ROWS):
        for answer in batch.column(0).to_pylist():
            yield from stored_references(answer.decode("utf-8", "replace"))


def _returns_media(function: str) -> bool:
    try:
        returns = lookup(function).returns
    except (UnknownFunctionError, ImportError):
        return True
    return not isinstance(returns, dt.DataType) or holds_media(returns)


def delete_unreferenced(engine: Engine, cells: Iterable[Any], *, since: int | None = None) -> int:
    """Delete the stored objects that cells refer to, if nothing else refers to them.

    Call it after removing the last rows that referred to them; files and URLs given by reference
    are never touched. If other databases store media in the same store, nothing is deleted.

    Parameters
    ----------
    cells
        Cells of media columns, or anything that holds references.
    since
        A commit before which nothing referred to them.

    Returns
    -------
    int
        The number of deleted objects.
    """
    references = {reference for cell in cells for reference in references_within(cell)}
    if not references or _other_users(engine):
        return 0
    names = [reference.removeprefix(MEDIA_PREFIX) for reference in sorted(references)]
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
    """Delete unreferenced objects; return the names of the deleted ones.

    Other transactions can write between two turns, each of which starts with their latest writes. A
    transaction under preparation finds at its publication that objects have been deleted.

    Parameters
    ----------
    since
        A commit: writes up to it do not refer to them. None: they may.
    put_before
        Objects stored since then remain.
    """
    store, backend, catalog = engine.library.store, engine.backend, engine.catalog
    queue, deleted, head = deque(names), [], -1
    while queue:
        with backend.write_lock():
            if catalog.refresh() != head:
                referenced = referenced_media(engine, since)
                queue = deque(name for name in queue if f"{MEDIA_PREFIX}{name}" not in referenced)
            if not queue:
                break
            engine.database.catalog.commit_media_deletion()
            since = head = catalog.head
            deadline = time.monotonic() + _MAX_LOCK_SECONDS
            while queue:
                name = queue.popleft()
                if store.delete(name, put_before=put_before):
                    deleted.append(name)
                # A process that was stopped may have lost the write lock to others.
                if time.monotonic() > deadline or catalog.refresh() != head:
                    break
    return deleted


def find_deleted_media(engine: Engine, rows: Iterable[pa.Table], since: int) -> list[str]:
    """Return the objects that a transaction refers to and that others have deleted.

    The calling thread has the write lock, so nobody deletes anything now.

    Parameters
    ----------
    rows
        The pending writes of the transaction.
    since
        The latest commit when the operation began.
    """
    objects = engine.library.objects
    if not engine.catalog.media_deleted_since(since) or (objects and objects.is_exclusive):
        return []
    required = objects.required() if objects is not None else set()
    referenced = {f"{MEDIA_PREFIX}{name}" for name in required}
    referenced.update(*map(references_in_rows, rows))
    missing = _missing_references(engine, referenced)
    # Missing files of committed rows, for example deleted by hand, are not this transaction's to
    # repair.
    return sorted(missing - referenced_media(engine)) if missing else []


def missing_media(engine: Engine) -> dict[str, list[str]]:
    """Return, by table, the references in rows of any version whose objects are missing."""
    backend, catalog = engine.backend, engine.catalog
    references_by_table: list[tuple[str, str, set[str]]] = []
    with backend.use():
        table_names = backend.tables()
        for table_id in catalog.table_ids():
            if (rows_table := f"{_ROWS_TABLE_PREFIX}{table_id}") in table_names:
                _, record = catalog.history(table_id)[-1]
                references_by_table.append(
                    (record.name, rows_table, set(_references_in_table(engine, rows_table, None)))
                )
    if not any(references for *_, references in references_by_table):
        return {}
    stored = {
        f"{MEDIA_PREFIX}{media_object.name}"
        for media_object in engine.library.store.objects()
        if media_object.finished
    }
    missing: dict[str, list[str]] = {}
    for name, rows_table, table_references in references_by_table:
        if (
            table_references - stored
        ):  # checked again: rows and their objects may have been deleted in the meantime
            still_missing = (table_references - stored).intersection(
                _references_in_table(engine, rows_table, None)
            )
            missing.setdefault(name, []).extend(sorted(still_missing))
    return {name: sorted(set(references)) for name, references in missing.items() if references}


def _missing_references(engine: Engine, references: Iterable[str]) -> set[str]:
    """Return the references whose objects are not in the store."""
    store, ordered = engine.library.store, sorted(references)
    missing: set[str] = set()

    def look(position: int) -> None:
        if not store.exists(ordered[position]):
            missing.add(ordered[position])

    in_threads(look, len(ordered), 1 if store.is_local else _MAX_LOOKUP_THREADS)
    return missing


def collect_unused(
    engine: Engine, grace: datetime.timedelta, *, dry_run: bool = False, shared: bool = False
) -> CollectedMedia:
    """Delete the stored objects that nothing in the database refers to.

    Objects stored within the grace period remain, because a transaction may be about to commit
    them. If it is interrupted at any point, it has deleted nothing that is referenced, and can be
    run again.

    Raises
    ------
    UnsupportedError
        If other databases store media in the same store and `shared` is False.
    """
    if not isinstance(grace, datetime.timedelta) or grace < datetime.timedelta(0):
        raise MediaError(
            "a grace period must be a duration.", value=grace, hint="Pass a datetime.timedelta."
        )
    others = _other_users(engine)
    if others and not shared:
        raise UnsupportedError(
            f"other databases also store media files in this media store: {', '.join(others)}.",
            hint="Their media files would be deleted as garbage. If those databases no longer "
            "exist, pass shared=True.",
        )
    newest_unused = datetime.datetime.now(datetime.UTC) - grace
    # Listed before references are read, which then include commits made in between.
    objects = list(engine.library.store.objects())
    head = engine.catalog.refresh()
    referenced = referenced_media(engine)
    unused = {
        media_object.name: media_object.size
        for media_object in objects
        if media_object.modified <= newest_unused
        and not (media_object.finished and f"{MEDIA_PREFIX}{media_object.name}" in referenced)
    }
    deleted = (
        list(unused) if dry_run else _delete(engine, unused, since=head, put_before=newest_unused)
    )
    size = sum(unused[name] for name in deleted)
    return CollectedMedia(len(deleted), size, len(objects) - len(deleted))
