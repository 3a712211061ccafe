"""Reads of queries that may take long, which Ctrl-C interrupts.

Owns which thread waits for DuckDB. DuckDB checks for signals between pieces of its work, but not
where the main thread runs a piece of a join that takes hours, nor in the reader of a stream: such
reads run in a thread of their own.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import duckdb
    import pyarrow as pa

__all__ = ["read_batches", "read_table"]

T = TypeVar("T")
_LONG_OPERATION = " JOIN "  # other operations have short pieces of work


def read_table(cursor: duckdb.DuckDBPyConnection, sql: str) -> pa.Table:
    """Run a query and return its rows."""

    def read() -> pa.Table:
        return cursor.execute(sql).to_arrow_table()

    # A thread of its own costs a tenth of a millisecond.
    if _LONG_OPERATION not in sql or not _is_interruptible():
        return read()
    with ThreadPoolExecutor(1, "barbule-query") as executor:
        return _run_interruptibly(executor, read, cursor)


def read_batches(
    cursor: duckdb.DuckDBPyConnection, sql: str, batch_rows: int
) -> Iterator[pa.RecordBatch]:
    """Run a query on a cursor that nothing else uses, and return its rows in batches."""

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
