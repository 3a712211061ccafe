"""Calls that go through the ledger: each distinct call once, and only those without an answer.

Owns which answers the ledger or a recording provides, and that no two threads or processes make the
same call at the same time. `runners` decides how a call is made.
"""

from __future__ import annotations

import contextlib
import functools
import time
from typing import TYPE_CHECKING, Any

from barbule.executor.calls.answer_recorder import AnswerRecorder
from barbule.executor.calls.call_errors import Deferred
from barbule.executor.calls.runners.dispatch import run_batch_call
from barbule.executor.concurrency.single_flight import InFlight
from barbule.tracing import add
from barbule.types import holds_media

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from barbule.executor.calls.batch_call import BatchCall, Row
    from barbule.executor.ledger.call_ledger import CallLedger
    from barbule.locks import Claims

__all__ = ["LedgerCalls"]

_POLL_SECONDS = 0.02  # between two checks whether other processes have answers
_SLOT_DIGITS = 15  # of a key, which are its slot among the claims

Answers = dict[str, Any]
"""Answers by the key of their call."""


class LedgerCalls:
    """Makes calls through the ledger.

    Parameters
    ----------
    claims
        The calls in flight in all processes that share the ledger; None if there is only one
        process.
    has_former_keys
        Whether the ledger may have answers of version 0.1.0.
    """

    def __init__(
        self,
        ledger: CallLedger,
        claims: Claims | None,
        *,
        has_former_keys: bool,
    ) -> None:
        self._ledger = ledger
        self._claims = claims
        self._has_former_keys = has_former_keys
        self.in_flight = InFlight()

    def results(self, batch_call: BatchCall, rows: list[Row]) -> list[object]:
        """Return the results for all rows; each distinct call is made at most once."""
        keys = batch_call.keys(rows)
        rows_by_key = dict(zip(reversed(keys), reversed(rows), strict=True))
        row_numbers = dict(zip(reversed(keys), reversed(batch_call.row_numbers), strict=True))

        def call(new_keys: list[str]) -> Answers:
            if not new_keys:
                return {}
            batch_call.row_numbers = [row_numbers[key] for key in new_keys]
            return self._call(batch_call, new_keys, rows_by_key)

        version = self._answers_version(batch_call)
        answers = self._existing_answers(batch_call, rows_by_key)
        missing = [key for key in dict.fromkeys(keys) if key not in answers]
        self._count_hits(batch_call, len(answers), rows=len(rows) - len(missing))
        if not batch_call.call.cached:
            answers |= call(missing)
        while missing := [key for key in missing if key not in answers]:
            with self._claimed(batch_call, missing) as (claimed, other_claims):
                if self._may_have_answers(batch_call, claimed, version):
                    answers |= self._new_answers(batch_call, claimed)
                answers |= call([key for key in claimed if key not in answers])
            for claim in other_claims:
                claim.wait()
            if not claimed and not other_claims:
                time.sleep(_POLL_SECONDS)  # other processes make all remaining calls
            version = self._answers_version(batch_call)
            remaining = [key for key in missing if key not in answers]
            answers |= self._new_answers(batch_call, remaining)
        return [answers[key] for key in keys]

    def _call(
        self, batch_call: BatchCall, keys: list[str], rows_by_key: Mapping[str, Row]
    ) -> Answers:
        recorder = AnswerRecorder(self._ledger, batch_call, keys, rows_by_key)
        with recorder.recording():
            results = run_batch_call(
                batch_call, [rows_by_key[key] for key in keys], recorder.record
            )
        if batch_call.function.kind != "model":  # these count their calls themselves
            deferred = list(map(type, results)).count(Deferred)
            batch_call.tally.calls += len(keys) - deferred
        return dict(zip(keys, results, strict=True))

    # Calls of other threads and processes

    def _answers_version(self, batch_call: BatchCall) -> tuple[int, int]:
        """Return a value that differs once other threads or processes may have received answers."""
        claims = self._claims if batch_call.function.kind == "model" else None
        return self.in_flight.ended, claims.stamp() if claims else 0

    def _may_have_answers(
        self, batch_call: BatchCall, keys: list[str], version: tuple[int, int]
    ) -> bool:
        """Whether others may have received answers to these calls since the ledger was read."""
        ended, stamp = version
        if self.in_flight.ended_since(ended, keys):
            return True
        return stamp != self._answers_version(batch_call)[1]

    @contextlib.contextmanager
    def _claimed(
        self, batch_call: BatchCall, keys: list[str]
    ) -> Iterator[tuple[list[str], set[threading.Event]]]:
        """Claim calls; yield those that no other thread or process makes, and what to wait for."""
        with contextlib.ExitStack() as stack:
            claimed, other_claims = stack.enter_context(self.in_flight.claimed(keys))
            # Functions may make calls within their own, and processes would wait for each other.
            if self._claims is not None and batch_call.function.kind == "model":
                slots = {key: int(key[:_SLOT_DIGITS], 16) for key in claimed}
                free_slots = stack.enter_context(self._claims.hold(slots.values()))
                claimed = [key for key in claimed if slots[key] in free_slots]
            yield claimed, other_claims

    def _new_answers(self, batch_call: BatchCall, keys: list[str]) -> Answers:
        """Return the answers that others have received since the ledger was read."""
        recording = batch_call.operation.recording
        answers = self._look_up(batch_call, keys) if keys else {}
        self._count_hits(batch_call, len(answers), rows=len(answers))
        if recording is not None and answers:
            recording.add(self._ledger, list(answers))
        return answers

    def _count_hits(self, batch_call: BatchCall, hits: int, *, rows: int) -> None:
        batch_call.tally.hits += hits
        batch_call.meter.hits += hits
        add(hits=hits)
        batch_call.meter.rows += rows

    # Existing answers

    def _existing_answers(self, batch_call: BatchCall, rows_by_key: Mapping[str, Row]) -> Answers:
        """Return the existing answers; in a replay these must be all."""
        recording = batch_call.operation.recording
        if recording is not None and recording.replays:
            dtype = batch_call.call.dtype
            answers = recording.look_up(rows_by_key, dtype)

            def recorded(former_keys: Sequence[str]) -> Answers:
                return recording.look_up(former_keys, dtype)

            answers |= self._former_answers(batch_call, rows_by_key, answers, recorded)
            for key, row in rows_by_key.items():
                if key not in answers:
                    raise batch_call.unrecorded_error(row, recording)
            return answers
        if not batch_call.call.cached:
            return {}
        look_up = functools.partial(self._look_up, batch_call)
        answers = look_up(list(rows_by_key))
        if self._may_have_former_keys(batch_call):
            answers |= self._former_answers(batch_call, rows_by_key, answers, look_up)
        if recording is not None:
            recording.add(self._ledger, list(rows_by_key))
        return answers

    def _look_up(self, batch_call: BatchCall, keys: Sequence[str]) -> Answers:
        """Return the ledger's answers, without those whose media file is not in the store."""
        dtype = batch_call.call.dtype
        answers = self._ledger.look_up(keys, dtype)
        if not answers or not holds_media(dtype):
            return answers
        are_stored = batch_call.operation.library.are_stored(list(answers.values()))
        lost = {key for key, is_stored in zip(answers, are_stored, strict=True) if not is_stored}
        self._ledger.forget(sorted(lost))
        return {key: value for key, value in answers.items() if key not in lost}

    def _may_have_former_keys(self, batch_call: BatchCall) -> bool:
        """Whether answers may be under other keys: a stated version was once the same for all."""
        stated = batch_call.function.stated_version
        return self._has_former_keys or bool(stated and batch_call.version != stated)

    def _former_answers(
        self,
        batch_call: BatchCall,
        rows_by_key: Mapping[str, Row],
        answers: Mapping[str, Any],
        look_up: Callable[[Sequence[str]], Answers],
    ) -> Answers:
        """Return the answers that are under the keys of former versions."""
        missing = {key: row for key, row in rows_by_key.items() if key not in answers}
        if not missing:
            return {}
        former_keys = batch_call.former_keys(list(missing.values()))
        former_answers = look_up(former_keys) if former_keys else {}
        return {
            key: former_answers[former_key]
            for key, former_key in zip(missing, former_keys, strict=False)
            if former_key in former_answers
        }

    def answered_keys(self, batch_call: BatchCall, rows_by_key: Mapping[str, Row]) -> set[str]:
        """Return the keys of those calls that have an answer in the ledger."""
        keys = self._ledger.answered_keys(list(rows_by_key))
        if not self._may_have_former_keys(batch_call):
            return keys

        def look_up(former_keys: Sequence[str]) -> Answers:
            return dict.fromkeys(self._ledger.answered_keys(former_keys))

        former = self._former_answers(batch_call, rows_by_key, dict.fromkeys(keys), look_up)
        return keys | former.keys()
