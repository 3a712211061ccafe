"""Calls of functions for the rows of one batch.

Owns how each kind of function is run (row by row, asynchronously, in batches, through a model
client, as a query), what is asked only once, and what becomes of failures. Which rows there are
and where results go is the caller's business.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import functools
import inspect
import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from barbule.errors import BarbuleError, FunctionError
from barbule.executor.ledger import Answer, Ledger, question_key
from barbule.functions.registry import Function, lookup
from barbule.media.cells import reader, to_array
from barbule.models.rates import Gate, call_with_retries
from barbule.nodes import fill_template
from barbule.types import Image, Media

if TYPE_CHECKING:
    import ibis.expr.datatypes as dt

    from barbule.executor.loop import LoopThread
    from barbule.media.library import MediaLibrary
    from barbule.models.base import ModelClient, Reply
    from barbule.planner.plan import Call

__all__ = ["Caller", "Tally"]

_IN_FLIGHT = 256  # user coroutines at once
_FLUSH = 64  # answers to a write of the ledger, at least
_MODEL_RETRIES = 5
_MISSING = object()


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
        wanted = [place for place, row in enumerate(rows) if work.takes(row)]
        results: list[Any] = [None] * len(rows)
        chosen = [rows[place] for place in wanted]
        work.places = wanted
        answers = self._through_ledger(work, chosen) if call.cached else work.run(chosen)
        for place, answer in zip(wanted, answers, strict=True):
            results[place] = answer
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
        self.template = json.loads(call.template)
        self.readers = [self._reader(kind) for kind in call.kinds]
        self.places: Sequence[int] = ()  # where the rows that are run stand in the batch
        self.required = _required_places(function, self.template, len(call.kinds))

    def _reader(self, kind: dt.DataType) -> Callable[[Any], Any] | None:
        library = self.caller.library
        if isinstance(kind, Image):
            return library.content if self.function.kind == "model" else library.image
        if isinstance(kind, Media):
            return lambda reference: str(library.path(reference))
        return reader(kind)

    def takes(self, row: tuple[Any, ...]) -> bool:
        """Whether the function is called for a row; not for a None that it does not take."""
        return all(row[place] is not None for place in self.required)

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

    def arguments(self, row: Sequence[Any]) -> dict[str, Any]:
        """Return the arguments of one row, as the function takes them."""
        values = [
            value if read is None or value is None else read(value)
            for value, read in zip(row, self.readers, strict=True)
        ]
        return fill_template(self.template, values)

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

    # Row functions

    def _run_rows(self, rows: list[tuple[Any, ...]], record: Record | None) -> list[Any]:
        results = []
        for place, row in enumerate(rows):
            started = time.perf_counter()
            value, attempts = self._attempt(place, functools.partial(self._apply, row))
            if record and value is not _MISSING:
                seconds = time.perf_counter() - started
                record(place, value, seconds=seconds, attempts=attempts)
            results.append(None if value is _MISSING else value)
        return results

    def _apply(self, row: tuple[Any, ...]) -> Any:
        args, kwargs = _spread(self.function, self.arguments(row))
        return self._timed(lambda: self.function.body(*args, **kwargs))

    def _timed(self, work: Callable[[], Any]) -> Any:
        if self.function.timeout is None:
            return work()
        pool = concurrent.futures.ThreadPoolExecutor(1)
        try:
            return pool.submit(work).result(self.function.timeout)
        except TimeoutError as error:
            raise self._over_time() from error
        finally:
            pool.shutdown(wait=False)

    def _over_time(self) -> TimeoutError:
        return TimeoutError(f"it took longer than {self.function.timeout} s")

    def _attempt(self, place: int, work: Callable[[], Any]) -> tuple[Any, int]:
        """Try, and try again as often as asked; _MISSING stands for an empty cell."""
        for attempt in range(1, self.function.retries + 2):
            try:
                return work(), attempt
            except Exception as error:  # noqa: BLE001 - others' code may raise anything
                last = error
        return self._failed(place, last), attempt

    def _failed(self, place: int, error: Exception) -> Any:
        if self.function.on_error == "null":
            self.tally.errors += 1
            return _MISSING
        if isinstance(error, BarbuleError):
            raise error.at(row=self.places[place])
        raise FunctionError(
            f"{self.function.name} failed: {type(error).__name__}: {error}.",
            row=self.places[place],
            hint="Mend the function or the value; on_error='null' leaves such cells empty.",
        ) from error

    # Batch functions

    def _run_batches(self, rows: list[tuple[Any, ...]], record: Record | None) -> list[Any]:
        results: list[Any] = []
        size = self.function.batch_size
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            began = time.perf_counter()
            values, attempts = self._attempt(start, functools.partial(self._apply_batch, part))
            if values is _MISSING:
                values = [None] * len(part)
            elif record:
                seconds = (time.perf_counter() - began) / len(part)
                for place, value in enumerate(values, start):
                    record(place, value, seconds=seconds, attempts=attempts)
            results += values
        return results

    def _apply_batch(self, rows: list[tuple[Any, ...]]) -> list[Any]:
        arguments = [self.arguments(row) for row in rows]
        batched = {each.name for each in self.function.parameters if each.batched}
        merged = {
            name: [each[name] for each in arguments] if name in batched else value
            for name, value in arguments[0].items()
        }
        args, kwargs = _spread(self.function, merged)
        values = self._timed(lambda: self.function.body(*args, **kwargs))
        values = list(values)
        if len(values) != len(rows):
            raise FunctionError(
                f"{self.function.name} returned {len(values)} results for {len(rows)} rows.",
                hint="A batch function returns one result for each row.",
            )
        return values

    # Asynchronous and model functions

    async def _run_async(self, rows: list[tuple[Any, ...]], record: Record | None) -> list[Any]:
        limit = asyncio.Semaphore(_IN_FLIGHT)
        one = self._ask_model if self.function.kind == "model" else self._await

        async def work(place: int, row: tuple[Any, ...]) -> Any:
            async with limit:
                try:
                    return await one(place, row, record)
                except Exception as error:  # noqa: BLE001 - others' code may raise anything
                    failed = self._failed(place, error)
                    return None if failed is _MISSING else failed

        tasks = [asyncio.create_task(work(place, row)) for place, row in enumerate(rows)]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _await(self, place: int, row: tuple[Any, ...], record: Record | None) -> Any:
        args, kwargs = _spread(self.function, self.arguments(row))
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
        arguments = self.arguments(row)
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

    # Query functions

    def _run_query(self, rows: list[tuple[Any, ...]]) -> list[Any]:
        queries = []
        for row in rows:
            args, kwargs = _spread(self.function, self.arguments(row))
            queries.append(self.function.body(*args, **kwargs))
        return self.caller.run_query(queries)


def _required_places(function: Function, template: Mapping[str, Any], places: int) -> set[int]:
    """List the places that must not be None for the function to be called."""
    if function.kind == "model":  # a prompt with a missing part is not worth its price
        return set(range(places))
    nullable = {each.name for each in function.parameters if each.nullable}
    required: set[int] = set()
    for name, value in template.items():
        if name not in nullable:
            # The arguments of a variadic parameter stand in a list of their own.
            items = value if name.startswith("*") else [value]
            required |= {
                item["$"] for item in items if isinstance(item, dict) and set(item) == {"$"}
            }
    return required


def _spread(
    function: Function, arguments: Mapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Put variadic and positional-only arguments where Python wants them."""
    args: list[Any] = []
    kwargs = dict(arguments)
    for name, parameter in function.signature.parameters.items():
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL and f"*{name}" in kwargs:
            args += [
                kwargs.pop(each)
                for each in function.signature.parameters
                if each in kwargs
                and function.signature.parameters[each].kind
                in {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
            ]
            args += kwargs.pop(f"*{name}")
            break
        if parameter.kind is inspect.Parameter.POSITIONAL_ONLY and name in kwargs:
            args.append(kwargs.pop(name))
    return tuple(args), kwargs
