"""Calls of functions for the rows of one batch.

Owns how each kind of function is run (row by row, asynchronously, in batches, through a model
client, as a query), what is asked only once, and what becomes of failures. Which rows there are
and where results go is the caller's business.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from barbule.errors import BarbuleError, FunctionError
from barbule.executor.arguments import Arguments, InnerFailure, required_places, spreading
from barbule.executor.asking import in_batches
from barbule.executor.ledger import Answer, Ledger, question_key
from barbule.functions.registry import Function, lookup
from barbule.media.cells import media_keeper, reader, to_array
from barbule.models.rates import Gate, call_with_retries
from barbule.threads import TimedCalls, cores, in_threads
from barbule.types import Image, Media

if TYPE_CHECKING:
    import ibis.expr.datatypes as dt

    from barbule.executor.loop import LoopThread
    from barbule.media.library import MediaLibrary
    from barbule.models.base import ModelClient, Reply
    from barbule.planner.plan import Call

__all__ = ["Caller", "Failure", "Tally"]

_IN_FLIGHT = 256  # user coroutines at once
_FLUSH = 64  # answers to a write of the ledger, at least
_MODEL_RETRIES = 5


@dataclass(frozen=True)
class Failure:
    """What stands for the result of a call that failed and may leave its cell empty."""

    type: str
    message: str

    @classmethod
    def of(cls, error: Exception) -> Failure:
        """Describe an error; of a wrapped one, what the function raised."""
        return cls(type(error).__name__, str(error))


@dataclass
class Tally:
    """What an operation asked of functions that are in the ledger."""

    calls: int = 0
    hits: int = 0
    errors: int = 0

    def add(self, other: Tally) -> None:
        """Count what another one counted."""
        self.calls += other.calls
        self.hits += other.hits
        self.errors += other.errors


@dataclass
class Caller:
    """Calls functions for one session.

    Parameters
    ----------
    run_query
        Runs the expressions that query functions return and gives their rows; all of a batch
        at once, so that what they search for is embedded together.
    """

    ledger: Ledger
    library: MediaLibrary
    client: ModelClient
    loop: LoopThread
    run_query: Callable[[Sequence[Any]], list[Any]]
    _local: threading.local = field(default_factory=threading.local)
    _gates: dict[str, Gate] = field(default_factory=dict)

    @property
    def tally(self) -> Tally:
        """What the calling thread's operation asked so far."""
        if not hasattr(self._local, "tally"):
            self._local.tally = Tally()
        return self._local.tally

    @tally.setter
    def tally(self, tally: Tally) -> None:
        self._local.tally = tally

    def call(self, call: Call, columns: Sequence[Sequence[Any]], count: int) -> list[Any]:
        """Return the results of a call for `count` rows.

        Parameters
        ----------
        columns
            For each place of the call's template the values, as Arrow gives them to Python.

        Raises
        ------
        FunctionError
            When the function failed and its errors end the operation.
        """
        function = lookup(call.function)
        work = _Work(self, function, call)
        rows = list(zip(*columns, strict=True)) if columns else [()] * count
        wanted = work.wanted(rows, columns)
        results: list[Any] = [None] * len(rows)
        chosen = [rows[place] for place in wanted]
        work.places = wanted
        answers = self._through_ledger(work, chosen) if call.cached else work.run(chosen)
        for place, answer in zip(wanted, answers, strict=True):
            results[place] = answer
        self.tally.errors += sum(isinstance(answer, Failure) for answer in answers)
        return results

    def _through_ledger(self, work: _Work, rows: list[tuple[Any, ...]]) -> list[Any]:
        """Ask each distinct question once, and only what the ledger does not know."""
        keys = work.keys(rows)
        distinct = dict(zip(reversed(keys), reversed(rows), strict=True))
        known = self.ledger.look_up(list(distinct), work.call.dtype)
        missing = {key: distinct[key] for key in dict.fromkeys(keys) if key not in known}
        first = dict(zip(reversed(keys), reversed(work.places), strict=True))
        work.places = [first[key] for key in missing]
        self.tally.hits += len(known)
        self.tally.calls += len(missing)
        if missing:
            with self._recording(work, list(missing)) as record:
                asked = work.run(list(missing.values()), record)
            known |= dict(zip(missing, asked, strict=True))
        return [known[key] for key in keys]

    @contextlib.contextmanager
    def _recording(self, work: _Work, keys: list[str]) -> Any:
        """Give what takes each answer; answers are written in groups, also when it fails."""
        waiting: list[Answer] = []

        def record(place: int, value: Any, **details: Any) -> None:
            function = work.function
            waiting.append(Answer(keys[place], function.name, function.version, value, **details))
            if len(waiting) >= _FLUSH:
                flush()

        def flush() -> None:
            ready, waiting[:] = waiting[:], []
            self.ledger.keep(self._fitting(ready, work.call.dtype), work.call.dtype)

        try:
            yield record
        finally:
            flush()

    def expect(self, functions: Iterable[str]) -> None:
        """Get ready for calls that are going to come."""
        if any(lookup(name).kind == "model" for name in functions):
            self.client.prepare()

    def _fitting(self, answers: list[Answer], kind: dt.DataType) -> list[Answer]:
        """Give answers the form in which they are read again; what is no `kind` is not kept.

        The caller finds the latter too, and says which row it is.
        """
        try:
            column = to_array([answer.value for answer in answers], kind, self.library)
        except BarbuleError:
            if len(answers) == 1:
                return []
            return [each for answer in answers for each in self._fitting([answer], kind)]
        read = reader(kind)
        return [
            replace(answer, value=value if read is None or value is None else read(value))
            for answer, value in zip(answers, column.to_pylist(), strict=True)
        ]

    def gate(self, model: str) -> Gate:
        """Return the traffic control of the endpoint that serves a model."""
        endpoint = self.client.endpoint(model)
        if endpoint.provider not in self._gates:
            self._gates[endpoint.provider] = Gate.of(endpoint)
        return self._gates[endpoint.provider]


Record = Callable[..., None]


class _Work:
    """One call over some rows."""

    def __init__(self, caller: Caller, function: Function, call: Call) -> None:
        self.caller = caller
        self.tally = caller.tally  # that of the thread which asks; others do the work
        self.function = function
        self.call = call
        template = json.loads(call.template)
        self.arguments = Arguments(function, template, self._reader, caller.library.picture)
        self.places: Sequence[int] = ()  # where the rows that are run stand in the batch
        self.required = required_places(function, template, len(call.kinds))
        self.spread = spreading(function)
        self.keep = media_keeper(call.dtype, caller.library)
        self._lock = threading.Lock()  # of the ledger's record, which threads share
        self._clocks = threading.local()
        self._all_clocks: list[TimedCalls] = []

    def _reader(self, function: Function, place: int) -> Callable[[Any], Any] | None:
        kind, library = self.call.kinds[place], self.caller.library
        if isinstance(kind, Image):
            if function.images == "header":
                return library.image_header
            return library.content if function.kind == "model" else library.image
        if isinstance(kind, Media):
            return lambda reference: str(library.path(reference))
        return reader(kind)

    def wanted(
        self, rows: Sequence[tuple[Any, ...]], columns: Sequence[Sequence[Any]]
    ) -> Sequence[int]:
        """List the rows for which the function is called: those without a None it takes not."""
        gaps = [place for place in self.required if None in columns[place]]
        if not gaps:
            return range(len(rows))
        return [
            number
            for number, row in enumerate(rows)
            if all(row[place] is not None for place in gaps)
        ]

    def keys(self, rows: Sequence[tuple[Any, ...]]) -> list[str]:
        """Return the ledger's key for each row."""
        return [
            question_key(
                self.call.function, self.function.version, self.call.template, self._content(row)
            )
            for row in rows
        ]

    def _content(self, row: tuple[Any, ...]) -> list[Any]:
        return [
            f"sha256:{self.caller.library.sha256(value)}"
            if isinstance(kind, Media) and value is not None
            else value
            for value, kind in zip(row, self.call.kinds, strict=True)
        ]

    def run(self, rows: list[tuple[Any, ...]], record: Record | None = None) -> list[Any]:
        """Call the function for all rows and return its results, in their order."""
        if not rows:
            return []
        kind = self.function.kind
        if kind == "query":
            return self._run_query(rows)
        if kind == "batch":
            return self._run_batches(rows, record)
        if kind == "model" or self.function.is_async:
            return self.caller.loop.run(self._run_async(rows, record))
        return self._run_rows(rows, record)

    # Synchronous functions

    @property
    def _threads(self) -> int:
        """How many calls run at once: of functions of images, as many as there are processors."""
        if self.function.concurrency is not None:
            return self.function.concurrency
        images = self._takes_images or self.keep is not None
        return cores() if images and self.function.kind == "row" else 1

    @property
    def _takes_images(self) -> bool:
        return any(isinstance(kind, Image) for kind in self.call.kinds)

    def _run_rows(self, rows: list[tuple[Any, ...]], record: Record | None) -> list[Any]:
        if record is None and self.function.timeout is None and self._threads == 1:
            return [self._one(place, row) for place, row in enumerate(rows)]
        results: list[Any] = [None] * len(rows)

        def one(place: int) -> None:
            started = time.perf_counter()
            value, attempts = self._attempt(place, functools.partial(self._apply, rows[place]))
            results[place] = value
            if record and not isinstance(value, Failure):
                seconds = time.perf_counter() - started
                with self._lock:
                    record(place, value, seconds=seconds, attempts=attempts)

        self._in_threads(one, len(rows))
        return results

    def _one(self, place: int, row: tuple[Any, ...]) -> Any:
        try:
            return self._apply(row)
        except Exception as error:  # noqa: BLE001 - others' code may raise anything
            if self.function.retries:
                return self._attempt(place, functools.partial(self._apply, row), first=2)[0]
            return self._failed(place, error)

    def _in_threads(self, work: Callable[[int], None], count: int) -> None:
        try:
            in_threads(work, count, self._threads)
        finally:
            for clock in self._all_clocks:
                clock.close()

    def _apply(self, row: tuple[Any, ...]) -> Any:
        arguments = self.arguments(row)
        if arguments is None:
            return None
        args, kwargs = self.spread(arguments)
        if self.function.timeout is None:
            value = self.function.body(*args, **kwargs)
        else:
            value = self._timed(functools.partial(self.function.body, *args, **kwargs))
        # Encoded here, by the thread that computed it, a batch of images never is in memory.
        return value if self.keep is None or value is None else self.keep(value)

    def _timed(self, work: Callable[[], Any]) -> Any:
        if self.function.timeout is None:
            return work()
        if not hasattr(self._clocks, "calls"):
            self._clocks.calls = TimedCalls(self.function.timeout)
            self._all_clocks.append(self._clocks.calls)
        return self._clocks.calls.run(work)

    def _over_time(self) -> TimeoutError:
        return TimeoutError(f"it took longer than {self.function.timeout} s")

    def _attempt(self, place: int, work: Callable[[], Any], first: int = 1) -> tuple[Any, int]:
        """Try, and try again as often as asked; a `Failure` stands for an empty cell."""
        for attempt in range(first, self.function.retries + 2):
            try:
                return work(), attempt
            except Exception as error:  # noqa: BLE001 - others' code may raise anything
                last = error
        return self._failed(place, last), attempt

    def _failed(self, place: int, error: Exception) -> Any:
        if isinstance(error, InnerFailure):
            if not error.ends:
                return Failure.of(error.raised)
            raise error.explained().at(row=self.places[place]) from error.raised
        if self.function.on_error == "null":
            return Failure.of(error)
        if isinstance(error, BarbuleError):
            raise error.at(row=self.places[place])
        raise FunctionError(
            f"{self.function.name} failed: {type(error).__name__}: {error}.",
            row=self.places[place],
            hint="Mend the function or the value; on_error='null' leaves such cells empty.",
        ) from error

    def _run_batches(self, rows: list[tuple[Any, ...]], record: Record | None) -> list[Any]:
        results: list[Any] = [None] * len(rows)
        size = self.function.batch_size

        def one(number: int) -> None:
            start = number * size
            part = rows[start : start + size]
            began = time.perf_counter()
            work = functools.partial(self._apply_batch, start, part)
            values, attempts = self._attempt(start, work)
            if isinstance(values, Failure):
                values = [values] * len(part)
            results[start : start + size] = values
            if record:
                seconds = (time.perf_counter() - began) / len(part)
                with self._lock:
                    for place, value in enumerate(values, start):
                        if isinstance(value, Failure):
                            continue
                        record(place, value, seconds=seconds, attempts=attempts)

        self._in_threads(one, -(-len(rows) // size))
        return results

    def _apply_batch(self, start: int, rows: list[tuple[Any, ...]]) -> list[Any]:
        given = self._batch_arguments(start, rows)
        arguments = [each for each in given if isinstance(each, dict)]
        if not arguments:
            return given
        batched = {each.name for each in self.function.parameters if each.batched}
        merged = {
            name: [each[name] for each in arguments] if name in batched else value
            for name, value in arguments[0].items()
        }
        args, kwargs = self.spread(merged)
        values = list(self._timed(functools.partial(self.function.body, *args, **kwargs)))
        if len(values) != len(arguments):
            raise FunctionError(
                f"{self.function.name} returned {len(values)} results for {len(arguments)} rows.",
                hint="A batch function returns one result for each row.",
            )
        if self.keep is not None:
            values = [None if value is None else self.keep(value) for value in values]
        answers = iter(values)
        return [next(answers) if isinstance(each, dict) else each for each in given]

    def _batch_arguments(self, start: int, rows: list[tuple[Any, ...]]) -> list[Any]:
        """Make the arguments of a batch, images opened in threads.

        Where a call inside of this one gave none, None or a `Failure` stands in their place.
        """
        arguments: list[Any] = [None] * len(rows)

        def one(number: int) -> None:
            try:
                arguments[number] = self.arguments(rows[number])
            except InnerFailure as error:
                arguments[number] = self._failed(start + number, error)
            except BarbuleError as error:
                raise error.at(row=self.places[start + number]) from error.__cause__

        in_threads(one, len(rows), cores() if self._takes_images else 1)
        return arguments

    # Asynchronous and model functions

    async def _run_async(self, rows: list[tuple[Any, ...]], record: Record | None) -> list[Any]:
        if self.function.kind == "model" and self.function.batch_size > 1:
            return await in_batches(self, rows, record, retries=_MODEL_RETRIES)
        limit = asyncio.Semaphore(_IN_FLIGHT)
        one = self._ask_model if self.function.kind == "model" else self._await

        async def work(place: int, row: tuple[Any, ...]) -> Any:
            async with limit:
                try:
                    return await one(place, row, record)
                except Exception as error:  # noqa: BLE001 - others' code may raise anything
                    return self._failed(place, error)

        tasks = [asyncio.create_task(work(place, row)) for place, row in enumerate(rows)]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _await(self, place: int, row: tuple[Any, ...], record: Record | None) -> Any:
        args, kwargs = self.spread(self._all_arguments(row))
        started = time.perf_counter()
        for attempt in range(1, self.function.retries + 2):
            try:
                async with asyncio.timeout(self.function.timeout):
                    value = await self.function.body(*args, **kwargs)
                break
            except Exception as error:
                if attempt > self.function.retries:
                    if isinstance(error, TimeoutError) and not str(error):
                        raise self._over_time() from error
                    raise
        if record:
            record(place, value, seconds=time.perf_counter() - started, attempts=attempt)
        return value

    async def _ask_model(self, place: int, row: tuple[Any, ...], record: Record | None) -> Any:
        arguments = self._all_arguments(row)
        named = self.function.model_of
        model = named(arguments) if named else ""
        gate = self.caller.gate(model)
        await self.caller.client.ready()
        started = time.perf_counter()

        async def ask() -> Reply:
            return await self.function.body(self.caller.client, **arguments)

        reply, attempts = await call_with_retries(ask, gate, retries=_MODEL_RETRIES)
        if record:
            record(
                place,
                reply.value,
                seconds=time.perf_counter() - started,
                attempts=attempts,
                model=model,
                tokens_in=reply.usage.tokens_in,
                tokens_out=reply.usage.tokens_out,
                usd=reply.usage.usd,
            )
        return reply.value

    def _all_arguments(self, row: tuple[Any, ...]) -> dict[str, Any]:
        """Return the arguments of a function in whose place the planner puts no inner calls."""
        arguments = self.arguments(row)
        if arguments is None:
            raise AssertionError(f"{self.function.name} is called around another call")
        return arguments

    # Query functions

    def _run_query(self, rows: list[tuple[Any, ...]]) -> list[Any]:
        queries = []
        for row in rows:
            args, kwargs = self.spread(self._all_arguments(row))
            queries.append(self.function.body(*args, **kwargs))
        return self.caller.run_query(queries)
