"""Runs a call over rows, by the type of its function: a query, a model, a batch, rows.

Owns only the choice between the runners.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from barbule.executor.calls.runners.async_calls import AsyncRunner
from barbule.executor.calls.runners.threaded import ThreadedRunner
from barbule.tracing import add

if TYPE_CHECKING:
    from barbule.executor.calls.batch_call import BatchCall, RecordAnswer, Row

__all__ = ["run_batch_call"]


def run_batch_call(
    batch_call: BatchCall, rows: list[Row], record: RecordAnswer | None = None
) -> list[object]:
    """Call a function for all rows and return its results, in their order.

    Parameters
    ----------
    record
        Receives each answer for the ledger; None if the ledger takes none.
    """
    if not rows:
        return []
    batch_call.rows = rows
    add(calls=len(rows))
    with batch_call.operation.library.isolation.entered():
        function = batch_call.function
        if function.kind == "query":
            return _run_queries(batch_call, rows)
        if function.kind == "batch":
            return ThreadedRunner(batch_call, rows, record).run_batches()
        if function.kind == "model" or function.is_async:
            coroutine = AsyncRunner(batch_call, rows, record).run()
            return batch_call.resources.loop.run(coroutine)
        return ThreadedRunner(batch_call, rows, record).run_rows()


def _run_queries(batch_call: BatchCall, rows: list[Row]) -> list[object]:
    queries = []
    for row in rows:
        args, kwargs = batch_call.spread(batch_call.outer_arguments(row))
        queries.append(batch_call.function.body(*args, **kwargs))
    return batch_call.resources.run_queries(queries, batch_call.operation)
