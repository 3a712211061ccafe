"""Calls of functions for the rows of one batch.

Owns how each kind of function is run (row by row, asynchronously, in batches, through a model
client, as a query), what is asked only once, and what becomes of failures. Which rows there are
and where results go is the caller's business.
"""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from barbule.errors import BarbuleError, DiskError
from barbule.executor.budgets.budget import Budget, active
from barbule.executor.budgets.dry_run import Noting
from barbule.executor.budgets.metering import AnswerLengths
from barbule.executor.calls.call import Work, described
from barbule.executor.calls.call_errors import Deferred, Failure
from barbule.executor.calls.gpus import Gpus
from barbule.executor.calls.provenance import Asker, Purpose
from barbule.executor.calls.single_flight import InFlight
from barbule.executor.display.progress import Meter, Progress, screen
from barbule.executor.ledger.answer_writer import Keeping, UnwrittenError
from barbule.executor.ledger.call_ledger import Answer, Ledger, encoded, question_of
from barbule.executor.ledger.recording import Tape, current_tape
from barbule.functions.registry import lookup
from barbule.models.rate_limits import Gate
from barbule.processes.pool import Processes
from barbule.values.cells import holds_media, reader, to_array

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import ibis.expr.datatypes as dt

    from barbule.executor.calls.event_loop import LoopThread
    from barbule.locks import Claims
    from barbule.media.library import MediaLibrary
    from barbule.models.base import ModelClient
    from barbule.planner.stages import Call

_GLANCE = 0.02  # seconds between two looks whether other processes have answers
_DIGITS = 15  # of a key, which are its place among the claims

__all__ = ["Caller", "Failure", "Tally", "Work"]


@dataclass
class Tally:
    """What an operation asked of functions that are in the ledger.

    Attributes
    ----------
    failed
        What the first model that failed said.
    """

    calls: int = 0
    hits: int = 0
    errors: int = 0
    deferred: int = 0
    failed: str = ""

    def add(self, other: Tally) -> None:
        """Count what another one counted."""
        self.calls += other.calls
        self.hits += other.hits
        self.errors += other.errors
        self.deferred += other.deferred
        self.failed = self.failed or other.failed


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
    claims
        The questions that processes ask which share the ledger; None where there is one process.
    former_keys
        Whether the ledger may have answers that version 0.1.0 kept.
    """

    ledger: Ledger
    library: MediaLibrary
    client: ModelClient
    loop: LoopThread
    run_query: Callable[[Sequence[Any]], list[Any]]
    budget: Budget | None = None
    claims: Claims | None = None
    former_keys: bool = False
    gpus: Gpus = field(default_factory=Gpus)
    _local: threading.local = field(default_factory=threading.local)
    _gates: dict[str, Gate] = field(default_factory=dict)
    _lengths: dict[tuple[str, str], AnswerLengths] = field(default_factory=dict)
    processes: Processes = field(default_factory=Processes)
    _in_flight: InFlight = field(default_factory=InFlight)

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
            if purpose.budget is not None:
                purpose.budget.release()

    def forgives(self, call: Call) -> bool:
        """Whether a call may fail for single rows, whatever its function says.

        What the call says itself comes first. Those of models may, wherever something keeps the
        reason.
        """
        if call.on_error is not None:
            return call.on_error == "null"
        if call.errors is None:
            return False
        purpose = self.purpose
        lenient = purpose is not None and purpose.lenient
        return lenient or lookup(call.function, call.version).kind == "model"

    @contextlib.contextmanager
    def watching(self) -> Iterator[Progress]:
        """Show how far the calling thread's operation is, if somebody watches."""
        outer = getattr(self._local, "progress", None)
        if outer is not None:
            yield outer
            return
        self._local.progress = Progress(screen())
        try:
            with self._local.progress.shown() as progress:
                yield progress
        finally:
            self._local.progress = None

    @property
    def watched(self) -> bool:
        """Whether the calling thread's operation is shown, so that it is worth to count first."""
        progress = getattr(self._local, "progress", None)
        return progress is not None and progress.visible

    @contextlib.contextmanager
    def only_noting(
        self, keys: set[str], functions: set[str] | None
    ) -> Iterator[Callable[[Any], bool]]:
        """Call nothing meanwhile, but note the keys of what would be asked.

        It gives what tells whether a query asks anything that matters; see `Noting`.
        """
        noting = self._local.noting = Noting(self.ledger, self.library, keys, functions)
        try:
            yield noting.wants
        finally:
            self._local.noting = None

    def _budgets(self) -> tuple[Budget, ...]:
        own = self.purpose.budget if self.purpose else None
        return (*active(), *(each for each in (self.budget, own) if each is not None))

    def call(
        self,
        call: Call,
        columns: Sequence[Sequence[Any]],
        count: int,
        asker: Callable[[], Asker] = Asker,
        meter: Meter | None = None,
    ) -> list[Any]:
        """Return the results of a call for `count` rows.

        Parameters
        ----------
        columns
            For each place of the call's template the values, as Arrow gives them to Python.
        asker
            Says for which cells it is, where calls are made.
        meter
            Counts how far it is.

        Raises
        ------
        FunctionError
            When the function failed and its errors end the operation.
        """
        noting: Noting | None = getattr(self._local, "noting", None)
        if noting is not None:
            return noting.answers(call, columns, count)
        function = lookup(call.function, call.version)
        work = Work(self, function, call)
        rows = list(zip(*columns, strict=True)) if columns else [()] * count
        wanted = work.wanted(rows, columns)
        all_wanted = len(wanted) == len(rows)
        chosen = rows if all_wanted else [rows[place] for place in wanted]
        work.places = wanted
        work.asker = asker
        work.meter = meter or Meter()
        work.meter.rows += count - len(chosen)
        work.budgets = self._budgets()
        tape = current_tape()
        if call.cached or (tape is not None and function.kind == "model"):
            answers = self._through_ledger(work, chosen, tape)
        else:
            answers = work.run(chosen)
        if {Failure, Deferred} & set(map(type, answers)):
            self._count(answers, function.kind)
        if all_wanted:
            return answers
        results: list[Any] = [None] * len(rows)
        for place, answer in zip(wanted, answers, strict=True):
            results[place] = answer
        return results

    def _count(self, answers: list[Any], kind: str) -> None:
        """Count the answers that are none."""
        kinds = list(map(type, answers))
        if Failure in kinds and kind == "model":
            self.tally.failed = self.tally.failed or answers[kinds.index(Failure)].message
        self.tally.errors += kinds.count(Failure)
        self.tally.deferred += kinds.count(Deferred)

    def _through_ledger(
        self, work: Work, rows: list[tuple[Any, ...]], tape: Tape | None
    ) -> list[Any]:
        """Ask each distinct question once, and only what the ledger does not know."""
        keys = work.keys(rows)
        distinct = dict(zip(reversed(keys), reversed(rows), strict=True))
        first = dict(zip(reversed(keys), reversed(work.places), strict=True))

        def ask(wanted: list[str]) -> dict[str, Any]:
            if not wanted:
                return {}
            work.places = [first[key] for key in wanted]
            with self._recording(work, wanted, distinct, tape) as record:
                answers = work.run([distinct[key] for key in wanted], record)
            if work.function.kind != "model":  # these count what they ask
                self.tally.calls += len(wanted) - list(map(type, answers)).count(Deferred)
            return dict(zip(wanted, answers, strict=True))

        since = self._moment(work)
        known = self._known(work, distinct, tape)
        missing = [key for key in dict.fromkeys(keys) if key not in known]
        self.tally.hits += len(known)
        work.meter.hits += len(known)
        work.meter.rows += len(rows) - len(missing)
        if not work.call.cached:
            known |= ask(missing)
        while missing := [key for key in missing if key not in known]:
            with self._claimed(work, missing) as (mine, others):
                if self._may_be_known(work, mine, since):
                    known |= self._found_since(work, mine, tape)
                known |= ask([key for key in mine if key not in known])
            for claim in others:
                claim.wait()
            if not mine and not others:
                time.sleep(_GLANCE)  # other processes ask all that is left
            since = self._moment(work)
            rest = [key for key in missing if key not in known]
            known |= self._found_since(work, rest, tape)
        return [known[key] for key in keys]

    def _moment(self, work: Work) -> tuple[int, int]:
        """Return what has changed once others may have found something out."""
        elsewhere = self.claims if work.function.kind == "model" else None
        return self._in_flight.ended, elsewhere.stamp() if elsewhere else 0

    def _may_be_known(self, work: Work, keys: list[str], since: tuple[int, int]) -> bool:
        """Whether others may have found out something of these since the ledger was asked."""
        ended, elsewhere = since
        return self._in_flight.ended_since(ended, keys) or elsewhere != self._moment(work)[1]

    @contextlib.contextmanager
    def _claimed(
        self, work: Work, keys: list[str]
    ) -> Iterator[tuple[list[str], set[threading.Event]]]:
        """Claim questions; give those that nobody asks, in whatever thread and process."""
        with contextlib.ExitStack() as held:
            mine, others = held.enter_context(self._in_flight.claimed(keys))
            # Other functions may ask within, and processes would wait for each other.
            if self.claims is not None and work.function.kind == "model":
                places = {key: int(key[:_DIGITS], 16) for key in mine}
                free = held.enter_context(self.claims.hold(places.values()))
                mine = [key for key in mine if places[key] in free]
            yield mine, others

    def _found_since(self, work: Work, keys: list[str], tape: Tape | None) -> dict[str, Any]:
        """Return what other threads have found out since the ledger was asked."""
        found = self._look_up(keys, work.call.dtype) if keys else {}
        self.tally.hits += len(found)
        work.meter.hits += len(found)
        work.meter.rows += len(found)
        if tape is not None and found:
            tape.add(self.ledger, list(found))
        return found

    def _known(
        self, work: Work, distinct: dict[str, tuple[Any, ...]], tape: Tape | None
    ) -> dict[str, Any]:
        """Return what is answered already; under a replay that has to be all."""
        kind = work.call.dtype
        if tape is not None and tape.replays:
            known = tape.look_up(distinct, kind)
            known |= self._formerly(work, distinct, known, tape.look_up)
            for key, row in distinct.items():
                if key not in known:
                    raise work.unrecorded(row, tape)
            return known
        if not work.call.cached:
            return {}
        known = self._look_up(list(distinct), kind)
        if self._asks_formerly(work):
            known |= self._formerly(work, distinct, known, self._look_up)
        if tape is not None:
            tape.add(self.ledger, list(distinct))
        return known

    def _look_up(self, keys: Sequence[str], kind: dt.DataType) -> dict[str, Any]:
        """Return what the ledger knows; an answer of which a file is gone is asked for again."""
        found = self.ledger.look_up(keys, kind)
        if not found or not holds_media(kind):
            return found
        there = self.library.are_stored(list(found.values()))
        lost = {key for key, stored in zip(found, there, strict=True) if not stored}
        self.ledger.forget(sorted(lost))
        return {key: value for key, value in found.items() if key not in lost}

    def _asks_formerly(self, work: Work) -> bool:
        """Whether answers may be under other keys: stated versions were once all of a key."""
        stated = work.function.stated_version
        return self.former_keys or bool(stated and work.version != stated)

    def _formerly(
        self,
        work: Work,
        distinct: dict[str, tuple[Any, ...]],
        known: Mapping[str, Any],
        look_up: Callable[[Sequence[str], dt.DataType], dict[str, Any]],
    ) -> dict[str, Any]:
        """Return the answers that were kept under other keys."""
        missing = {key: row for key, row in distinct.items() if key not in known}
        if not missing:
            return {}
        former = work.former_keys(list(missing.values()))
        found = look_up(former, work.call.dtype) if former else {}
        return {
            key: found[each] for key, each in zip(missing, former, strict=False) if each in found
        }

    def answered(self, work: Work, distinct: dict[str, tuple[Any, ...]]) -> set[str]:
        """Return the keys of those questions to which the ledger has an answer."""
        known = self.ledger.known(list(distinct))
        if not self._asks_formerly(work):
            return known

        def found(keys: Sequence[str], _kind: dt.DataType) -> dict[str, Any]:
            return dict.fromkeys(self.ledger.known(keys))

        return known | self._formerly(work, distinct, dict.fromkeys(known), found).keys()

    @contextlib.contextmanager
    def _recording(
        self, work: Work, keys: list[str], rows: dict[str, tuple[Any, ...]], tape: Tape | None
    ) -> Any:
        """Give what takes each answer; answers are written as they come, also when it fails."""
        asker = work.asker()
        budget = self.purpose.budget if self.purpose else None
        question = question_of(work.call.function, work.version, work.call.template)

        def record(
            place: int,
            value: Any,
            *,
            written: Callable[[], None] | None = None,
            **details: Any,
        ) -> None:
            function = work.function
            answer = Answer(
                keys[place],
                function.name,
                work.answer_version(rows[keys[place]]),
                value,
                question=question,
                holder=budget.holder if budget else None,
                table=asker.table,
                column=asker.column,
                row=asker.row(work.places[place]),
                **details,
            )
            keeping.add(answer, written)
            work.meter.usd += answer.usd or 0.0

        def write(answers: list[Answer]) -> None:
            kept = self._fitting(answers, work.call.dtype)
            if tape is not None:
                tape.note(kept, work.call.dtype)
            if work.call.cached:
                self.ledger.keep(kept, work.call.dtype)

        keeping = Keeping(write, self.ledger.writer)
        work.record, work.check_writing = record, keeping.check
        try:
            yield record
        except UnwrittenError as error:
            raise error.failure from None
        finally:
            rest, told = keeping.finish()
            # What was paid for is written before anybody goes on; what was computed, behind.
            if work.function.kind != "model" and work.call.cached and tape is None:
                kept = self._fitting(rest, work.call.dtype)
                self.ledger.keep_soon(kept, work.call.dtype, told)
            else:
                try:
                    write(rest)
                    self.ledger.flush()
                except DiskError:
                    # Paid for: this session finds them, and writes them once there is room.
                    if work.call.cached:
                        kept = self._fitting(rest, work.call.dtype)
                        self.ledger.keep_soon(kept, work.call.dtype)
                    raise
                finally:
                    told()

    def close(self) -> None:
        """End the processes, and let go of what is claimed."""
        self.processes.close()
        self.library.isolation.close()
        if self.claims is not None:
            self.claims.close()

    def expect(self, functions: Iterable[str]) -> None:
        """Get ready for calls that are going to come."""
        if any(lookup(name).kind == "model" for name in functions):
            self.client.prepare()

    def _fitting(self, answers: list[Answer], kind: dt.DataType) -> list[Answer]:
        """Give answers the form in which they are read again; what is no `kind` has failed.

        The caller finds the latter too, and says which row it is. What a model said is paid for
        all the same, and would be again: it is kept as it is.
        """
        try:
            column = to_array([answer.value for answer in answers], kind, self.library)
        except BarbuleError as error:
            if len(answers) == 1:
                (answer,) = answers
                if answer.error is None and lookup(answer.function).kind == "model":
                    with contextlib.suppress(BarbuleError, TypeError, ValueError):
                        encoded(answer.value, kind)
                        return answers
                return [replace(answer, value=None, error=described(error))]
            return [each for answer in answers for each in self._fitting([answer], kind)]
        read = reader(kind)
        return [
            answer
            if answer.error is not None
            else replace(answer, value=value if read is None or value is None else read(value))
            for answer, value in zip(answers, column.to_pylist(), strict=True)
        ]

    def answer_lengths(self, call: Call) -> AnswerLengths:
        """Return how long the answers of a call are, as far as this session has seen."""
        return self._lengths.setdefault((call.function, call.template), AnswerLengths())

    def gate(self, model: str) -> Gate:
        """Return the traffic control of the endpoint that serves a model."""
        endpoint = self.client.endpoint(model)
        if endpoint.provider not in self._gates:
            self._gates[endpoint.provider] = Gate.of(endpoint)
        return self._gates[endpoint.provider]
