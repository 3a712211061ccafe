"""Rows of queries that may take long, read so that Ctrl-C ends the wait for them.

Owns which thread waits. DuckDB looks for signals between pieces of its work, but not where the
main thread has a piece of a join that lasts for hours, nor in the reader of a stream.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pyarrow as pa

__all__ = ["read_whole", "streamed"]

T = TypeVar("T")
_LONG = " JOIN "  # what else is in a query has short pieces of work


def read_whole(cursor: Any, sql: str) -> pa.Table:
    """Run a query and give its rows."""

    def read() -> pa.Table:
        return cursor.execute(sql).to_arrow_table()

    # Handing it to another thread takes a tenth of a millisecond.
    if _LONG not in sql or not _is_interruptible():
        return read()
    with ThreadPoolExecutor(1, "barbule-query") as worker:
        return _waited(worker, read, cursor)


def streamed(cursor: Any, sql: str, rows: int) -> Iterator[pa.RecordBatch]:
    """Run a query on a cursor that nothing else uses, and give its rows in batches of so many."""

    def opened() -> pa.RecordBatchReader:
        return cursor.execute(sql).to_arrow_reader(rows)

    if not _is_interruptible():
        yield from opened()
        return

    def following() -> pa.RecordBatch | None:
        return next(reader, None)

    with ThreadPoolExecutor(1, "barbule-stream") as worker:
        reader = iter(_waited(worker, opened, cursor))
        while (batch := _waited(worker, following, cursor)) is not None:
            yield batch


def _is_interruptible() -> bool:
    """Whether signals reach this thread: the main thread alone, while it runs Python."""
    return threading.current_thread() is threading.main_thread()


def _waited(worker: ThreadPoolExecutor, read: Callable[[], T], cursor: Any) -> T:
    future = worker.submit(read)
    try:
        return future.result()
    except KeyboardInterrupt:
        cursor.interrupt()
        raise
