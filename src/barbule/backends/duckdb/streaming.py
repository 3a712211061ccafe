"""Rows of a query in batches, as DuckDB computes them.

Owns that Ctrl-C ends the wait for a batch. DuckDB looks for signals while it runs a query at
once; the reader of a stream does not, and a filter that nothing passes may keep it for hours.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pyarrow as pa

__all__ = ["streamed"]

T = TypeVar("T")


def streamed(cursor: Any, sql: str, rows: int) -> Iterator[pa.RecordBatch]:
    """Run a query on a cursor that nothing else uses, and give its rows in batches of so many.

    Signals reach the main thread alone, and there only while it runs Python. So it waits for
    another thread to read.
    """

    def opened() -> pa.RecordBatchReader:
        return cursor.execute(sql).to_arrow_reader(rows)

    if threading.current_thread() is not threading.main_thread():
        yield from opened()
        return

    def following() -> pa.RecordBatch | None:
        return next(reader, None)

    with ThreadPoolExecutor(1, "barbule-stream") as worker:
        reader = iter(_waited(worker, opened, cursor))
        while (batch := _waited(worker, following, cursor)) is not None:
            yield batch


def _waited(worker: ThreadPoolExecutor, read: Callable[[], T], cursor: Any) -> T:
    future = worker.submit(read)
    try:
        return future.result()
    except KeyboardInterrupt:
        cursor.interrupt()
        raise
