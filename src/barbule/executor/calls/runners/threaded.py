"""Synchronous calls: by rows or batches, in threads if that is faster.

Owns how many run at once, what is retried, and timeouts. `batch_call` decides what a failure
becomes.
"""

from __future__ import annotations

import asyncio
import functools
import threading
import time
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from barbule.errors import BarbuleError, BudgetError, FunctionError, message_of
from barbule.executor.calls.call_errors import Deferred, Failure, InnerFailure
from barbule.executor.calls.runners.direct import direct_results, positional_arguments
from barbule.threads import TimedCalls, cores, in_threads
from barbule.types import declaration

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from barbule.executor.calls.batch_call import BatchCall, RecordAnswer, Row

__all__ = ["ThreadedRunner"]

_MAX_COROUTINE_BATCHES = 32  # of a coroutine function, in flight at once
_ROWS_PER_COUNT = 256  # rows that the meter counts at once

T = TypeVar("T")


class _Sentinel(Enum):
    BY_HALVES = "by halves"


_BY_HALVES: Final = _Sentinel.BY_HALVES
"""The result of a batch that is to be called in halves."""


class ThreadedRunner:
    """Calls one function for some rows, in threads.

    Parameters
    ----------
    record
        Receives each answer for the ledger; None if the ledger takes none.
    """

    def __init__(self, batch_call: BatchCall, rows: list[Row], record: RecordAnswer | None) -> None:
        self._batch_call = batch_call
        self._function = batch_call.function
        self._rows = rows
        self._record = record
        self._record_lock = threading.Lock()
        self._thread_state = threading.local()
        self._timed_calls: list[TimedCalls] = []

    @property
    def _thread_count(self) -> int:
        """The number of concurrent calls: for image functions, the number of processors."""
        if self._function.processes is not None:
            return self._function.processes
        if self._function.concurrency is not None:
            return self._function.concurrency
        pixels = self._takes_images and self._function.images == "pixels"
        if self._function.is_async:
            return _MAX_COROUTINE_BATCHES
        images = pixels or self._batch_call.gives_media
        return cores() if images and self._function.kind == "row" else 1

    @property
    def _takes_images(self) -> bool:
        return any(declaration(dtype).modality == "image" for dtype in self._batch_call.call.kinds)

    def _run_in_threads(self, work: Callable[[int], None], count: int) -> None:
        try:
            in_threads(work, count, self._thread_count)
        finally:
            for timed_calls in self._timed_calls:
                timed_calls.close()

    # Row by row

    def run_rows(self) -> list[object]:
        """Call it row by row and return its results in order."""
        rows, record = self._rows, self._record
        results: list[object]
        if record is None and self._function.timeout is None and self._thread_count == 1:
            results = []
            makers = positional_arguments(self._batch_call)
            for start in range(0, len(rows), _ROWS_PER_COUNT):
                part = rows[start : start + _ROWS_PER_COUNT]
                if makers is None:
                    results += [self._plain_result(start + i, row) for i, row in enumerate(part)]
                else:
                    results += direct_results(
                        self._function, part, makers, start, self._after_error
                    )
                self._batch_call.meter.done(len(part))
            return results
        results = [None] * len(rows)

        def run_row(position: int) -> None:
            started = time.perf_counter()
            call = functools.partial(self._call_row, rows[position])
            value, attempts = self._retried(position, call)
            results[position] = value
            if record and not isinstance(value, Failure):
                seconds = time.perf_counter() - started
                with self._record_lock:
                    record(position, value, seconds=seconds, attempts=attempts)
            self._batch_call.meter.done()

        self._run_in_threads(run_row, len(rows))
        return results

    def _plain_result(self, position: int, row: Row) -> object:
        """Return the result for a row that is neither recorded nor timed."""
        try:
            return self._call_row(row)
        except Exception as error:  # noqa: BLE001 - others' code may raise anything
            return self._after_error(position, row, error)

    def _after_error(self, position: int, row: Row, error: Exception) -> object:
        """Return the result for a row for which the first attempt has failed."""
        if self._function.retries:
            call = functools.partial(self._call_row, row)
            return self._retried(position, call, first_attempt=2)[0]
        return self._batch_call.failure(position, error)

    def _call_row(self, row: Row) -> object:
        arguments = self._batch_call.arguments(row)
        if arguments is None:
            return None
        args, kwargs = self._batch_call.spread(arguments)
        if self._function.timeout is None and self._record is None:
            value = self._body(*args, **kwargs)
        else:
            body = functools.partial(self._body, *args, **kwargs)
            value = self._batch_call.within_budget(lambda: self._timed(body))
        # Encoded by the thread that computed it, so that no batch of images is in memory.
        return self._batch_call.stored_media(value)

    # The callable, and its retries

    @functools.cached_property
    def _body(self) -> Callable[..., object]:
        """The callable: the function, here or in another process, with the GPUs that it needs."""
        function, resources = self._function, self._batch_call.resources
        body = self._await_body if function.is_async else function.body
        if function.processes is not None and function.import_path is not None:
            body = functools.partial(
                resources.processes.call, function.import_path, function.timeout
            )
        if not function.gpus:
            return body

        def with_gpus(*args: Any, **kwargs: Any) -> object:
            with resources.gpus.hold(function.gpus, function.name):
                return body(*args, **kwargs)

        return with_gpus

    def _await_body(self, *args: Any, **kwargs: Any) -> object:
        """Run a coroutine of the function on the loop, while this thread waits."""
        function = self._function

        async def limited() -> object:
            try:
                async with asyncio.timeout(function.timeout):
                    return await function.body(*args, **kwargs)
            except TimeoutError as error:
                if message_of(error):
                    raise
                raise TimeoutError(f"it took longer than {function.timeout} s") from error
            except asyncio.CancelledError as error:
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
                raise RuntimeError("a task that it awaited was cancelled") from error

        return self._batch_call.resources.loop.run(limited())

    def _timed(self, body: Callable[[], object]) -> object:
        function, state = self._function, self._thread_state
        if function.timeout is None or function.processes is not None or function.is_async:
            return body()
        if not hasattr(state, "timed_calls"):
            state.timed_calls = TimedCalls(function.timeout)
            self._timed_calls.append(state.timed_calls)
        return state.timed_calls.run(body)

    def _retried(
        self, position: int, call: Callable[[], T], first_attempt: int = 1, row_count: int = 1
    ) -> tuple[T | Failure | Literal[_Sentinel.BY_HALVES], int]:
        """Call, with the function's retries; return the result and the number of attempts.

        A `Failure` stands for an empty cell, `_BY_HALVES` for several rows of which some may fail.
        """
        started = time.perf_counter()
        for attempt in range(first_attempt, self._function.retries + 2):
            try:
                return call(), attempt
            except BudgetError as error:
                last_error: Exception = error
                break
            except Exception as error:  # noqa: BLE001 - others' code may raise anything
                last_error = error
        if row_count > 1 and self._may_be_halved(last_error):
            return _BY_HALVES, attempt
        seconds = time.perf_counter() - started
        failure = self._batch_call.failure(
            position, last_error, seconds, attempt, row_count=row_count
        )
        return failure, attempt

    def _may_be_halved(self, error: Exception) -> bool:
        """Whether the rows of a failed batch are retried separately, to find those that fail.

        Not if each call may cost money, as calls in the ledger may, except for local models; nor if
        it would take the timeout again for each part.
        """
        free = self._record is None or self._batch_call.local_model
        lasting = isinstance(error, BudgetError | TimeoutError)
        return bool(free) and not lasting and self._batch_call.leaves_cell_empty(error)

    # In batches

    def run_batches(self) -> list[object]:
        """Call it with several rows at a time and return its results in order."""
        rows = self._rows
        results: list[object] = [None] * len(rows)
        size = self._function.batch_size

        def run_batch(number: int) -> None:
            start = number * size
            batch = rows[start : start + size]
            results[start : start + size] = self._batch_results(start, batch)
            self._batch_call.meter.done(len(batch))

        self._run_in_threads(run_batch, -(-len(rows) // size))
        return results

    def _batch_results(
        self, start: int, batch: list[Row], first_attempt: int = 1
    ) -> Sequence[object]:
        """Call it with the rows of a batch, or in halves if these fail.

        Parameters
        ----------
        start
            The position of the first row.
        first_attempt
            The number of the first attempt; halves, whose rows were tried before, have the last
            one.
        """
        started = time.perf_counter()
        call = functools.partial(self._call_batch, start, batch)
        values, attempts = self._retried(start, call, first_attempt, row_count=len(batch))
        if values is _BY_HALVES:
            middle, last_attempt = len(batch) // 2, self._function.retries + 1
            return [
                *self._batch_results(start, batch[:middle], last_attempt),
                *self._batch_results(start + middle, batch[middle:], last_attempt),
            ]
        if isinstance(values, Failure):
            self._record_shared_failure(start, values, len(batch), attempts)
            return [values] * len(batch)
        if self._record:
            self._record_batch(start, values, time.perf_counter() - started, attempts)
        return values

    def _record_batch(
        self, start: int, values: Sequence[object], seconds: float, attempts: int
    ) -> None:
        assert self._record is not None
        with self._record_lock:
            for position, value in enumerate(values, start):
                if isinstance(value, Failure):
                    continue
                self._record(
                    position,
                    value,
                    seconds=seconds / len(values),
                    attempts=attempts,
                    model=self._batch_call.local_model,
                    requests=int(position == start),  # a budget counts the batch as one
                )

    def _record_shared_failure(
        self, start: int, failure: Failure, row_count: int, attempts: int
    ) -> None:
        """Record that the other rows of a batch failed with its first one."""
        if not isinstance(failure, Deferred):
            error = FunctionError(failure.message)
            for position in range(start + 1, start + row_count):
                self._batch_call.record_failure(position, error, 0.0, attempts)

    def _call_batch(self, start: int, rows: list[Row]) -> Sequence[object]:
        batched = self._batch_call.batched
        merged = self._batch_call.arguments.of_batch(rows, batched)
        if merged is not None:
            return self._call_merged(merged, range(start, start + len(rows)))
        row_arguments = self._batch_arguments(start, rows)
        arguments = {
            position: value
            for position, value in enumerate(row_arguments, start)
            if isinstance(value, dict)
        }
        if not arguments:
            return row_arguments
        first = next(iter(arguments.values()))
        merged = {
            name: [row[name] for row in arguments.values()] if name in batched else value
            for name, value in first.items()
        }
        values = iter(self._call_merged(merged, list(arguments)))
        return [next(values) if isinstance(row, dict) else row for row in row_arguments]

    def _call_merged(self, arguments: dict[str, Any], positions: Sequence[int]) -> Sequence[object]:
        row_count = len(positions)
        args, kwargs = self._batch_call.spread(arguments)
        body = functools.partial(self._body, *args, **kwargs)
        returned = self._batch_call.within_budget(lambda: self._timed(body))
        values = self._listed(returned, row_count)
        if len(values) != row_count:
            raise FunctionError(
                f"{self._function.name} returned {len(values)} results for {row_count} rows.",
                hint="A batch function must return one result for each row.",
            )
        if not self._batch_call.gives_media:
            return values
        return [
            self._stored_media(position, value)
            for position, value in zip(positions, values, strict=True)
        ]

    def _stored_media(self, position: int, value: object) -> object:
        try:
            return self._batch_call.stored_media(value)
        except BarbuleError as error:
            row = self._batch_call.row_numbers[position]
            raise error.at(row=row) from error.__cause__

    def _listed(self, returned: Any, row_count: int) -> list[object]:
        """List the results of a batch; refuse objects whose items are not results of rows."""
        no_rows = isinstance(returned, str | bytes | bytearray | Mapping | AbstractSet)
        table = hasattr(returned, "columns") or hasattr(returned, "column_names")
        if hasattr(returned, "to_pylist") and not table:  # an array of Arrow
            returned = returned.to_pylist()
        try:
            values = None if no_rows or table else iter(returned)
        except TypeError:  # it cannot be iterated
            values = None
        if values is not None:
            return list(values)
        raise FunctionError(
            f"{self._function.name} returned {_with_article(type(returned).__name__)} for a batch "
            f"of {row_count} rows.",
            hint="A batch function must return a list with one result for each row, in row order.",
        )

    def _batch_arguments(self, start: int, rows: list[Row]) -> list[object]:
        """Build the arguments of a batch; images are opened in threads.

        If an inner call returned nothing, the argument is None or a `Failure`.
        """
        arguments: list[object] = [None] * len(rows)

        def make_arguments(index: int) -> None:
            try:
                arguments[index] = self._batch_call.arguments(rows[index])
            except InnerFailure as error:
                arguments[index] = self._batch_call.failure(start + index, error)
            except BarbuleError as error:
                row = self._batch_call.row_numbers[start + index]
                raise error.at(row=row) from error.__cause__

        in_threads(make_arguments, len(rows), cores() if self._takes_images else 1)
        return arguments


def _with_article(name: str) -> str:
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"
