"""Calls of functions for the rows of one batch.

Owns how each kind of function is run (row by row, asynchronously, in batches, through a model
client, as a query), what is asked only once, and what becomes of failures. Which rows there are
and where results go is the caller's business.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from barbule.errors import BarbuleError, FunctionError
from barbule.executor.arguments import Arguments, required_places, spreading
from barbule.executor.asking import in_batches
from barbule.executor.failures import Failure, InnerFailure
from barbule.executor.ledger import Answer, Ledger, question_key
from barbule.executor.synchronous import Synchronous
from barbule.functions.registry import Function, lookup
from barbule.media.cells import media_keeper, reader, to_array
from barbule.models.rates import Gate, call_with_retries
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
        self.tally.errors += list(map(type, answers)).count(Failure)
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
            return Synchronous(self, rows, record).batches()
        if kind == "model" or self.function.is_async:
            return self.caller.loop.run(self._run_async(rows, record))
        return Synchronous(self, rows, record).rows()

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

    # Asynchronous and model functions

    def _over_time(self) -> TimeoutError:
        return TimeoutError(f"it took longer than {self.function.timeout} s")

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
