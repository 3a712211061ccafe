"""Calls of functions that are not asynchronous: by rows or batches, in threads if that helps.

Owns how many run at once, what is tried again, and time limits. What becomes of a failure is
decided by the work of which the calls are a part.
"""

from __future__ import annotations

import asyncio
import functools
import threading
import time
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any

from barbule.errors import BarbuleError, BudgetError, FunctionError, message_of
from barbule.executor.calls.call_errors import Deferred, Failure, InnerFailure
from barbule.threads import TimedCalls, cores, in_threads
from barbule.types import Image

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from barbule.executor.calls.call import Record, Work

__all__ = ["Synchronous"]

_AWAITED = 32  # batches of a coroutine function under way at once
_TOGETHER = 256  # rows that are counted as done together
_BY_HALVES = object()  # stands for the results of a batch that is to be called by halves


class Synchronous:
    """The calls of one function for some rows.

    Parameters
    ----------
    record
        Takes each answer that goes into the ledger; None where none does.
    """

    def __init__(self, work: Work, rows: list[tuple[Any, ...]], record: Record | None) -> None:
        self._work = work
        self._function = work.function
        self._rows = rows
        self._record = record
        self._recording = threading.Lock()
        self._clocks = threading.local()
        self._all_clocks: list[TimedCalls] = []

    @property
    def _threads(self) -> int:
        """How many calls run at once: of functions of images, as many as there are processors."""
        if self._function.processes is not None:
            return self._function.processes
        if self._function.concurrency is not None:
            return self._function.concurrency
        pixels = self._takes_images and self._function.images == "pixels"
        if self._function.is_async:
            return _AWAITED
        images = pixels or self._work.keeps
        return cores() if images and self._function.kind == "row" else 1

    @property
    def _takes_images(self) -> bool:
        return any(isinstance(kind, Image) for kind in self._work.call.kinds)

    def rows(self) -> list[Any]:
        """Call it row by row and return its results, in their order."""
        rows, record = self._rows, self._record
        results: list[Any]
        if record is None and self._function.timeout is None and self._threads == 1:
            results = []
            for start in range(0, len(rows), _TOGETHER):
                part = rows[start : start + _TOGETHER]
                results += [self._one(place, row) for place, row in enumerate(part, start)]
                self._work.meter.done(len(part))
            return results
        results = [None] * len(rows)

        def one(place: int) -> None:
            started = time.perf_counter()
            value, attempts = self._attempt(place, functools.partial(self._apply, rows[place]))
            results[place] = value
            if record and not isinstance(value, Failure):
                seconds = time.perf_counter() - started
                with self._recording:
                    record(place, value, seconds=seconds, attempts=attempts)
            self._work.meter.done()

        self._in_threads(one, len(rows))
        return results

    def _one(self, place: int, row: tuple[Any, ...]) -> Any:
        try:
            return self._apply(row)
        except Exception as error:  # noqa: BLE001 - others' code may raise anything
            if self._function.retries:
                return self._attempt(place, functools.partial(self._apply, row), first=2)[0]
            return self._work.failed(place, error)

    def _in_threads(self, work: Callable[[int], None], count: int) -> None:
        try:
            in_threads(work, count, self._threads)
        finally:
            for clock in self._all_clocks:
                clock.close()

    def _apply(self, row: tuple[Any, ...]) -> Any:
        arguments = self._work.arguments(row)
        if arguments is None:
            return None
        args, kwargs = self._work.spread(arguments)
        if self._function.timeout is None and self._record is None:
            value = self._body(*args, **kwargs)
        else:
            body = functools.partial(self._body, *args, **kwargs)
            value = self._work.paid(lambda: self._timed(body))
        # Encoded here, by the thread that computed it, a batch of images never is in memory.
        return self._work.kept(value)

    @functools.cached_property
    def _body(self) -> Callable[..., Any]:
        """What is called: the function, or the way to it in another process."""
        function = self._function
        body = self._awaited if function.is_async else function.body
        if function.processes is not None and function.import_path is not None:
            processes = self._work.caller.processes
            body = functools.partial(processes.call, function.import_path, function.timeout)
        if not function.gpus:
            return body

        def holding(*args: Any, **kwargs: Any) -> Any:
            with self._work.caller.gpus.hold(function.gpus, function.name):
                return body(*args, **kwargs)

        return holding

    def _awaited(self, *args: Any, **kwargs: Any) -> Any:
        """Run a coroutine of the function on the loop, while this thread waits."""
        function = self._function

        async def called() -> Any:
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
                raise RuntimeError("something that it waited for was cancelled") from error

        return self._work.caller.loop.run(called())

    def _timed(self, work: Callable[[], Any]) -> Any:
        function = self._function
        if function.timeout is None or function.processes is not None or function.is_async:
            return work()
        if not hasattr(self._clocks, "calls"):
            self._clocks.calls = TimedCalls(function.timeout)
            self._all_clocks.append(self._clocks.calls)
        return self._clocks.calls.run(work)

    def _attempt(
        self, place: int, work: Callable[[], Any], first: int = 1, count: int = 1
    ) -> tuple[Any, int]:
        """Try, and try again as often as asked; a `Failure` stands for an empty cell.

        `_BY_HALVES` stands for several rows that may be told apart.
        """
        started = time.perf_counter()
        for attempt in range(first, self._function.retries + 2):
            try:
                return work(), attempt
            except BudgetError as error:
                last: Exception = error
                break
            except Exception as error:  # noqa: BLE001 - others' code may raise anything
                last = error
        if count > 1 and self._may_be_halved(last):
            return _BY_HALVES, attempt
        seconds = time.perf_counter() - started
        return self._work.failed(place, last, seconds, attempt, count=count), attempt

    def _may_be_halved(self, error: Exception) -> bool:
        """Whether the rows of a batch that failed are tried apart, so that those at fault are told.

        Not where each call may cost something, as of those that go into the ledger any may, but
        for models that run here; nor where it would take the time limit once more for each part.
        """
        free = self._record is None or self._work.local_model
        lasting = isinstance(error, BudgetError | TimeoutError)
        return bool(free) and not lasting and self._work.may_fail(error)

    def batches(self) -> list[Any]:
        """Call it with several rows at a time and return its results, in their order."""
        rows = self._rows
        results: list[Any] = [None] * len(rows)
        size = self._function.batch_size

        def one(number: int) -> None:
            start = number * size
            part = rows[start : start + size]
            results[start : start + size] = self._batch(start, part)
            self._work.meter.done(len(part))

        self._in_threads(one, -(-len(rows) // size))
        return results

    def _batch(self, start: int, part: list[tuple[Any, ...]], first: int = 1) -> list[Any]:
        """Call it with the rows of a batch, or by halves where these fail.

        Parameters
        ----------
        first
            The number of the first attempt; halves, whose rows were tried before, have the last.
        """
        began = time.perf_counter()
        work = functools.partial(self._apply_batch, start, part)
        values, attempts = self._attempt(start, work, first, count=len(part))
        if values is _BY_HALVES:
            half, last = len(part) // 2, self._function.retries + 1
            return [
                *self._batch(start, part[:half], last),
                *self._batch(start + half, part[half:], last),
            ]
        if isinstance(values, Failure):
            self._note_others(start, values, len(part), attempts)
            return [values] * len(part)
        if self._record:
            self._record_batch(start, values, time.perf_counter() - began, attempts)
        return values

    def _record_batch(self, start: int, values: list[Any], seconds: float, attempts: int) -> None:
        assert self._record is not None
        with self._recording:
            for place, value in enumerate(values, start):
                if isinstance(value, Failure):
                    continue
                self._record(
                    place,
                    value,
                    seconds=seconds / len(values),
                    attempts=attempts,
                    model=self._work.local_model,
                    requests=int(place == start),  # a budget counts the batch as one
                )

    def _note_others(self, start: int, failure: Failure, count: int, attempts: int) -> None:
        """Write down that the rest of a batch failed with its first row."""
        if not isinstance(failure, Deferred):
            error = FunctionError(failure.message)
            for place in range(start + 1, start + count):
                self._work.note_failure(place, error, 0.0, attempts)

    def _apply_batch(self, start: int, rows: list[tuple[Any, ...]]) -> list[Any]:
        batched = self._work.batched
        merged = self._work.arguments.merged(rows, batched)
        if merged is not None:
            return self._answers(merged, range(start, start + len(rows)))
        given = self._batch_arguments(start, rows)
        places = [place for place, each in enumerate(given, start) if isinstance(each, dict)]
        if not places:
            return given
        arguments = [given[place - start] for place in places]
        merged = {
            name: [each[name] for each in arguments] if name in batched else value
            for name, value in arguments[0].items()
        }
        answers = iter(self._answers(merged, places))
        return [next(answers) if isinstance(each, dict) else each for each in given]

    def _answers(self, arguments: dict[str, Any], places: Sequence[int]) -> list[Any]:
        count = len(places)
        args, kwargs = self._work.spread(arguments)
        body = functools.partial(self._body, *args, **kwargs)
        values = self._listed(self._work.paid(lambda: self._timed(body)), count)
        if len(values) != count:
            raise FunctionError(
                f"{self._function.name} returned {len(values)} results for {count} rows.",
                hint="A batch function returns one result for each row.",
            )
        if not self._work.keeps:
            return values
        return [self._kept_at(*each) for each in zip(places, values, strict=True)]

    def _kept_at(self, place: int, value: Any) -> Any:
        try:
            return self._work.kept(value)
        except BarbuleError as error:
            raise error.at(row=self._work.places[place]) from error.__cause__

    def _listed(self, returned: Any, count: int) -> list[Any]:
        """List the results of a batch; refuse what tells them apart otherwise than by rows."""
        apart = isinstance(returned, str | bytes | bytearray | Mapping | AbstractSet)
        table = hasattr(returned, "columns") or hasattr(returned, "column_names")
        if hasattr(returned, "to_pylist") and not table:  # an array of Arrow
            returned = returned.to_pylist()
        try:
            items = None if apart or table else iter(returned)
        except TypeError:  # it has none
            items = None
        if items is not None:
            return list(items)
        raise FunctionError(
            f"{self._function.name} returned {_article(type(returned).__name__)} for a batch of "
            f"{count} rows.",
            hint="A batch function returns a list, one result for each row, in their order.",
        )

    def _batch_arguments(self, start: int, rows: list[tuple[Any, ...]]) -> list[Any]:
        """Make the arguments of a batch, images opened in threads.

        Where a call inside of this one gave none, None or a `Failure` stands in their place.
        """
        arguments: list[Any] = [None] * len(rows)

        def one(number: int) -> None:
            try:
                arguments[number] = self._work.arguments(rows[number])
            except InnerFailure as error:
                arguments[number] = self._work.failed(start + number, error)
            except BarbuleError as error:
                raise error.at(row=self._work.places[start + number]) from error.__cause__

        in_threads(one, len(rows), cores() if self._takes_images else 1)
        return arguments


def _article(name: str) -> str:
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"
