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
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt

from barbule.errors import BarbuleError, BudgetError, FunctionError, ReplayError
from barbule.executor.arguments import Arguments, required_places, spreading
from barbule.executor.asking import in_batches
from barbule.executor.budget import Budget, active, metered, spending, spending_async
from barbule.executor.failures import Deferred, Failure, InnerFailure
from barbule.executor.keeping import Keeping
from barbule.executor.ledger import Answer, Ledger, question_keys
from barbule.executor.purpose import Asker, Purpose
from barbule.executor.synchronous import Synchronous
from barbule.executor.tape import Tape, current_tape
from barbule.functions.registry import Function, lookup
from barbule.media.cells import media_keeper, reader, to_array
from barbule.models.rates import Gate, call_with_retries
from barbule.types import Image, Media

if TYPE_CHECKING:
    from barbule.executor.loop import LoopThread
    from barbule.media.library import MediaLibrary
    from barbule.models.base import ModelClient, Reply
    from barbule.planner.plan import Call

__all__ = ["Caller", "Failure", "Tally", "Work"]

_IN_FLIGHT = 256  # user coroutines at once
_MODEL_RETRIES = 5


@dataclass
class Tally:
    """What an operation asked of functions that are in the ledger."""

    calls: int = 0
    hits: int = 0
    errors: int = 0
    deferred: int = 0

    def add(self, other: Tally) -> None:
        """Count what another one counted."""
        self.calls += other.calls
        self.hits += other.hits
        self.errors += other.errors
        self.deferred += other.deferred


@dataclass
class Caller:
    """Calls functions for one session.

    Parameters
    ----------
    run_query
        Runs the expressions that query functions return and gives their rows; all of a batch
        at once, so that what they search for is embedded together.
    budget
        What the session may spend.
    """

    ledger: Ledger
    library: MediaLibrary
    client: ModelClient
    loop: LoopThread
    run_query: Callable[[Sequence[Any]], list[Any]]
    budget: Budget | None = None
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

    @property
    def purpose(self) -> Purpose | None:
        """What the calling thread's operation computes, where it is more than a query."""
        return getattr(self._local, "purpose", None)

    @contextlib.contextmanager
    def computing(self, purpose: Purpose) -> Iterator[None]:
        """Make calls for a purpose meanwhile."""
        outer, self._local.purpose = self.purpose, purpose
        try:
            yield
        finally:
            self._local.purpose = outer

    def forgives(self, call: Call) -> bool:
        """Whether a call may fail for single rows, whatever its function says."""
        purpose = self.purpose
        return call.errors is not None and purpose is not None and purpose.lenient

    def _budgets(self) -> tuple[Budget, ...]:
        own = self.purpose.budget if self.purpose else None
        return (*active(), *(each for each in (self.budget, own) if each is not None))

    def call(
        self,
        call: Call,
        columns: Sequence[Sequence[Any]],
        count: int,
        asker: Callable[[], Asker] = Asker,
    ) -> list[Any]:
        """Return the results of a call for `count` rows.

        Parameters
        ----------
        columns
            For each place of the call's template the values, as Arrow gives them to Python.
        asker
            Says for which cells it is, where calls are made.

        Raises
        ------
        FunctionError
            When the function failed and its errors end the operation.
        """
        function = lookup(call.function)
        work = Work(self, function, call)
        rows = list(zip(*columns, strict=True)) if columns else [()] * count
        wanted = work.wanted(rows, columns)
        results: list[Any] = [None] * len(rows)
        chosen = [rows[place] for place in wanted]
        work.places = wanted
        work.asker = asker
        work.budgets = self._budgets()
        tape = current_tape()
        if call.cached or (tape is not None and function.kind == "model"):
            answers = self._through_ledger(work, chosen, tape)
        else:
            answers = work.run(chosen)
        for place, answer in zip(wanted, answers, strict=True):
            results[place] = answer
        kinds = list(map(type, answers))
        self.tally.errors += kinds.count(Failure)
        self.tally.deferred += kinds.count(Deferred)
        return results

    def _through_ledger(
        self, work: Work, rows: list[tuple[Any, ...]], tape: Tape | None
    ) -> list[Any]:
        """Ask each distinct question once, and only what the ledger does not know."""
        keys = work.keys(rows)
        distinct = dict(zip(reversed(keys), reversed(rows), strict=True))
        known = self._known(work, distinct, tape)
        missing = {key: distinct[key] for key in dict.fromkeys(keys) if key not in known}
        first = dict(zip(reversed(keys), reversed(work.places), strict=True))
        work.places = [first[key] for key in missing]
        self.tally.hits += len(known)
        self.tally.calls += len(missing)
        if missing:
            with self._recording(work, list(missing), tape) as record:
                asked = work.run(list(missing.values()), record)
            known |= dict(zip(missing, asked, strict=True))
        return [known[key] for key in keys]

    def _known(
        self, work: Work, distinct: dict[str, tuple[Any, ...]], tape: Tape | None
    ) -> dict[str, Any]:
        """Return what is answered already; under a replay that has to be all."""
        kind = work.call.dtype
        if tape is not None and tape.replays:
            known = tape.look_up(distinct, kind)
            for key, row in distinct.items():
                if key not in known:
                    raise work.unrecorded(row, tape)
            return known
        if not work.call.cached:
            return {}
        if tape is not None:
            tape.add(self.ledger, list(distinct))
        return self.ledger.look_up(list(distinct), kind)

    @contextlib.contextmanager
    def _recording(self, work: Work, keys: list[str], tape: Tape | None) -> Any:
        """Give what takes each answer; answers are written as they come, also when it fails."""
        asker = work.asker()

        def record(place: int, value: Any, **details: Any) -> None:
            function = work.function
            answer = Answer(
                keys[place],
                function.name,
                function.version,
                value,
                table=asker.table,
                column=asker.column,
                row=asker.row(work.places[place]),
                **details,
            )
            keeping.add(answer)

        def write(answers: list[Answer]) -> None:
            kept = self._fitting(answers, work.call.dtype)
            if tape is not None:
                tape.note(kept, work.call.dtype)
            if work.call.cached:
                self.ledger.keep(kept, work.call.dtype)

        keeping = Keeping(write, self.ledger.writer)
        work.record = record
        try:
            yield record
        finally:
            keeping.finish()

    def expect(self, functions: Iterable[str]) -> None:
        """Get ready for calls that are going to come."""
        if any(lookup(name).kind == "model" for name in functions):
            self.client.prepare()

    def _fitting(self, answers: list[Answer], kind: dt.DataType) -> list[Answer]:
        """Give answers the form in which they are read again; what is no `kind` has failed.

        The caller finds the latter too, and says which row it is.
        """
        try:
            column = to_array([answer.value for answer in answers], kind, self.library)
        except BarbuleError as error:
            if len(answers) == 1:
                return [replace(answers[0], value=None, error=_described(error))]
            return [each for answer in answers for each in self._fitting([answer], kind)]
        read = reader(kind)
        return [
            answer
            if answer.error is not None
            else replace(answer, value=value if read is None or value is None else read(value))
            for answer, value in zip(answers, column.to_pylist(), strict=True)
        ]

    def gate(self, model: str) -> Gate:
        """Return the traffic control of the endpoint that serves a model."""
        endpoint = self.client.endpoint(model)
        if endpoint.provider not in self._gates:
            self._gates[endpoint.provider] = Gate.of(endpoint)
        return self._gates[endpoint.provider]


Record = Callable[..., None]


def _described(error: Exception) -> str:
    """Say what went wrong, for the ledger."""
    failure = Failure.of(error)
    return f"{failure.type}: {failure.message}"


@dataclass
class _Tried:
    """What has been done so far for one answer."""

    attempts: int = 1
    model: str = ""


class Work:
    """One call over some rows."""

    def __init__(self, caller: Caller, function: Function, call: Call) -> None:
        self.caller = caller
        self.tally = caller.tally  # that of the thread which asks; others do the work
        self.function = function
        self.call = call
        template = json.loads(call.template)
        self.arguments = Arguments(function, template, self._reader, caller.library.picture)
        self.places: Sequence[int] = ()  # where the rows that are run stand in the batch
        self.asker: Callable[[], Asker] = Asker
        self.budgets: tuple[Budget, ...] = ()
        self.record: Record | None = None
        self.required = required_places(function, template, len(call.kinds))
        self.spread = spreading(function)
        self.keep = media_keeper(call.dtype, caller.library)
        self.lenient = caller.forgives(call)

    def _reader(self, function: Function, place: int) -> Callable[[Any], Any] | None:
        kind, library = self.call.kinds[place], self.caller.library
        if isinstance(kind, Image):
            if function.images == "header":
                return library.image_header
            return library.content if function.kind == "model" else library.image
        if isinstance(kind, dt.Array) and function.images == "streamed":
            item = reader(kind.value_type, library)
            return None if item is None else lambda items: map(item, items)
        return reader(kind, library)

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
        key = question_keys(self.call.function, self.function.version, self.call.template)
        return [key(self._content(row)) for row in rows]

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

    @functools.cached_property
    def client(self) -> ModelClient:
        """What asks models, within the budget where there is one."""
        return metered(self.caller.client, self.budgets)

    def paid(self, apply: Callable[[], Any]) -> Any:
        """Call a function that is no model's, within the budget if it is in the ledger."""
        with spending(self.budgets if self.record is not None else ()):
            return apply()

    def unrecorded(self, row: tuple[Any, ...], tape: Tape) -> ReplayError:
        """Make the error of a question that the file of a replay does not answer."""
        return ReplayError(
            f"{self.function.name}: this call is not in the recording {str(tape.path)!r}.",
            value=row if len(row) != 1 else row[0],
            hint="Record it, with the network, by: with bb.record(path).",
        )

    def _failed(
        self, place: int, error: Exception, seconds: float = 0.0, attempts: int = 1, model: str = ""
    ) -> Any:
        if isinstance(error, BudgetError):
            if self.call.errors is not None:
                return Deferred.of(error)
            raise error
        self.note_failure(place, error, seconds, attempts, model)
        if isinstance(error, InnerFailure):
            if not error.ends or self.lenient:
                return Failure.of(error.raised)
            raise error.explained().at(row=self.places[place]) from error.raised
        if self.function.on_error == "null" or self.lenient:
            return Failure.of(error)
        if isinstance(error, BarbuleError):
            raise error.at(row=self.places[place])
        raise FunctionError(
            f"{self.function.name} failed: {type(error).__name__}: {error}.",
            row=self.places[place],
            hint="Mend the function or the value; on_error='null' leaves such cells empty.",
        ) from error

    def note_failure(
        self, place: int, error: Exception, seconds: float, attempts: int, model: str = ""
    ) -> None:
        """Write into the ledger that a call failed."""
        if self.record is not None:
            cause = error.raised if isinstance(error, InnerFailure) else error
            self.record(
                place,
                None,
                error=_described(cause),
                seconds=seconds,
                attempts=attempts,
                model=model or None,
            )

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
                started, tried = time.perf_counter(), _Tried()
                try:
                    return await one(place, row, record, tried)
                except Exception as error:  # noqa: BLE001 - others' code may raise anything
                    seconds = time.perf_counter() - started
                    return self._failed(place, error, seconds, tried.attempts, tried.model)

        tasks = [asyncio.create_task(work(place, row)) for place, row in enumerate(rows)]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _await(
        self, place: int, row: tuple[Any, ...], record: Record | None, tried: _Tried
    ) -> Any:
        args, kwargs = self.spread(self.all_arguments(row))
        started = time.perf_counter()
        for attempt in range(1, self.function.retries + 2):
            tried.attempts = attempt
            try:
                async with spending_async(self.budgets if record else ()):
                    async with asyncio.timeout(self.function.timeout):
                        value = await self.function.body(*args, **kwargs)
                break
            except BudgetError:
                raise
            except Exception as error:
                if attempt > self.function.retries:
                    if isinstance(error, TimeoutError) and not str(error):
                        raise self._over_time() from error
                    raise
        if record:
            record(place, value, seconds=time.perf_counter() - started, attempts=attempt)
        return value

    async def _ask_model(
        self, place: int, row: tuple[Any, ...], record: Record | None, tried: _Tried
    ) -> Any:
        arguments = self.all_arguments(row)
        named = self.function.model_of
        model = tried.model = named(arguments) if named else ""
        gate = self.caller.gate(model)
        await self.caller.client.ready()
        started = time.perf_counter()

        tried.attempts = 0

        async def ask() -> Reply:
            tried.attempts += 1
            return await self.function.body(self.client, **arguments)

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

    def all_arguments(self, row: tuple[Any, ...]) -> dict[str, Any]:
        """Return the arguments of a function in whose place the planner puts no inner calls."""
        arguments = self.arguments(row)
        if arguments is None:
            raise AssertionError(f"{self.function.name} is called around another call")
        return arguments

    # Query functions

    def _run_query(self, rows: list[tuple[Any, ...]]) -> list[Any]:
        queries = []
        for row in rows:
            args, kwargs = self.spread(self.all_arguments(row))
            queries.append(self.function.body(*args, **kwargs))
        return self.caller.run_query(queries)
