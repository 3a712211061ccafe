"""Long reads of queries, which Ctrl-C interrupts.

Owns which thread waits for DuckDB. DuckDB checks for signals between pieces of its work, but not if
the main thread runs a piece of a join that takes hours, nor in the reader of a stream: such reads
run in a separate thread.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

import ibis.expr.operations as ops

from barbule.backends.base import BASE, RID
from barbule.tracing import statement, timed_batches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import duckdb
    import pyarrow as pa

__all__ = ["has_long_join", "read_batches", "read_table"]

T = TypeVar("T")
_ROW_IDS = {RID, BASE, "bb_rid", "bb_base"}  # the latter two where a join renames the former


def has_long_join(query: ops.Node) -> bool:
    """Return whether a query has a join in which a row may match any number of others.

    Rows of a view and of its base table, and rows that a search has found, match by row id: at
    most one. All other operations have short pieces of work.
    """
    return any(not any(map(_matches_row_id, link.predicates)) for link in query.find(ops.JoinLink))


def _matches_row_id(predicate: ops.Value) -> bool:
    if not isinstance(predicate, ops.Equals):
        return False
    return all(
        isinstance(side, ops.Field) and side.name in _ROW_IDS
        for side in (predicate.left, predicate.right)
    )


def read_table(cursor: duckdb.DuckDBPyConnection, sql: str, *, long_join: bool) -> pa.Table:
    """Run a query and return its rows.

    Parameters
    ----------
    long_join
        The result of `has_long_join` for the query.
    """

    def read() -> pa.Table:
        return cursor.execute(sql).to_arrow_table()

    with statement(sql) as traced:
        # A separate thread costs half a millisecond, which would slow down each search.
        if not long_join or not _is_interruptible():
            rows = read()
        else:
            with ThreadPoolExecutor(1, "barbule-query") as executor:
                rows = _run_interruptibly(executor, read, cursor)
        if traced:
            traced.set(rows=rows.num_rows, bytes=rows.nbytes)
    return rows


def read_batches(
    cursor: duckdb.DuckDBPyConnection, sql: str, batch_rows: int
) -> Iterator[pa.RecordBatch]:
    """Run a query on a cursor that nothing else uses, and return its rows in batches."""
    return timed_batches(sql, _read_batches(cursor, sql, batch_rows))


def _read_batches(
    cursor: duckdb.DuckDBPyConnection, sql: str, batch_rows: int
) -> Iterator[pa.RecordBatch]:
    def open_reader() -> pa.RecordBatchReader:
        return cursor.execute(sql).to_arrow_reader(batch_rows)

    if not _is_interruptible():
        yield from open_reader()
        return

    def next_batch() -> pa.RecordBatch | None:
        return next(reader, None)

    with ThreadPoolExecutor(1, "barbule-stream") as executor:
        reader = iter(_run_interruptibly(executor, open_reader, cursor))
        while (batch := _run_interruptibly(executor, next_batch, cursor)) is not None:
            yield batch


def _is_interruptible() -> bool:
    """Whether signals reach this thread: only the main thread, while it runs Python."""
    return threading.current_thread() is threading.main_thread()


def _run_interruptibly(
    executor: ThreadPoolExecutor, read: Callable[[], T], cursor: duckdb.DuckDBPyConnection
) -> T:
    future = executor.submit(read)
    try:
        return future.result()
    except KeyboardInterrupt:
        cursor.interrupt()
        raise
