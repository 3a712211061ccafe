"""Writes the answers of one call to the ledger, and to a recording if one is active.

Owns the ledger row of an answer, and the form of its value. `ledger.answer_writer` decides when
rows are written.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from barbule.errors import BarbuleError, DiskError
from barbule.executor.calls.call_errors import Failure
from barbule.executor.ledger.answer_writer import AnswerWriter, UnwrittenError
from barbule.executor.ledger.answers import Answer, encode_answer
from barbule.executor.ledger.call_keys import template_hash
from barbule.functions.registry import lookup
from barbule.values.cells import reader, to_array

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import ibis.expr.datatypes as dt

    from barbule.executor.calls.batch_call import BatchCall, Row
    from barbule.executor.ledger.call_ledger import CallLedger
    from barbule.media.library import MediaLibrary

__all__ = ["AnswerRecorder"]


class AnswerRecorder:
    """Records the answers of a call over some rows.

    Parameters
    ----------
    keys
        The keys of the calls, by the position of their row.
    """

    def __init__(
        self,
        ledger: CallLedger,
        batch_call: BatchCall,
        keys: Sequence[str],
        rows_by_key: Mapping[str, Row],
    ) -> None:
        call, operation = batch_call.call, batch_call.operation
        budget = operation.target.budget if operation.target is not None else None
        self._ledger = ledger
        self._batch_call = batch_call
        self._keys = keys
        self._rows_by_key = rows_by_key
        self._recording = operation.recording
        # The holder of the budget reservation of the table; see `budgets.reservations`.
        self._holder = budget.holder if budget is not None else None
        self._target = batch_call.target()
        self._template_hash = template_hash(call.function, batch_call.version, call.template)
        self._writer = AnswerWriter(self._write, ledger.writer)

    def record(
        self,
        position: int,
        value: object,
        *,
        written: Callable[[], None] | None = None,
        **details: Any,
    ) -> None:
        """Take the answer for a row; see `RecordAnswer`."""
        batch_call, key = self._batch_call, self._keys[position]
        answer = Answer(
            key,
            batch_call.function.name,
            batch_call.answer_version(self._rows_by_key[key]),
            value,
            question=self._template_hash,
            holder=self._holder,
            table=self._target.table,
            column=self._target.column,
            row=self._target.row_id(batch_call.row_numbers[position]),
            **details,
        )
        self._writer.add(answer, written)
        batch_call.meter.usd += answer.usd or 0.0

    @contextlib.contextmanager
    def recording(self) -> Iterator[None]:
        """Write the answers of the block as they arrive, even if it fails."""
        batch_call = self._batch_call
        batch_call.record, batch_call.check_writable = self.record, self._writer.check
        try:
            yield
        except UnwrittenError as error:
            raise error.failure from None
        finally:
            self._write_remaining()

    def _write_remaining(self) -> None:
        batch_call = self._batch_call
        remaining, notify_written = self._writer.finish()
        # Paid answers are written before the operation continues; computed ones are written behind.
        computed = batch_call.function.kind != "model" and batch_call.call.cached
        if computed and self._recording is None:
            self._write_behind(remaining, notify_written)
            return
        try:
            self._write(remaining)
            self._ledger.retry_writes()
        except DiskError:
            # Paid answers: this session finds them, and writes them as soon as there is disk space.
            if batch_call.call.cached:
                self._write_behind(remaining)
            raise
        finally:
            notify_written()

    def _write(self, answers: list[Answer]) -> None:
        batch_call = self._batch_call
        storable = self._storable(answers)
        if self._recording is not None:
            self._recording.add_answers(storable, batch_call.call.dtype)
        if batch_call.call.cached:
            self._ledger.write(storable, batch_call.call.dtype)

    def _write_behind(
        self, answers: list[Answer], written: Callable[[], None] | None = None
    ) -> None:
        self._ledger.write_behind(self._storable(answers), self._batch_call.call.dtype, written)

    def _storable(self, answers: list[Answer]) -> list[Answer]:
        return _storable(answers, self._batch_call.call.dtype, self._batch_call.operation.library)


def _storable(answers: list[Answer], dtype: dt.DataType, library: MediaLibrary) -> list[Answer]:
    """Return answers in the form in which they are read back; one that is no `dtype` has failed.

    The caller refuses the latter too, and names its row. But the answer of a model has been paid
    for: it is stored unchanged, so that it is not paid for again.
    """
    try:
        column = to_array([answer.value for answer in answers], dtype, library)
    except BarbuleError as error:
        if len(answers) > 1:
            return [
                storable for answer in answers for storable in _storable([answer], dtype, library)
            ]
        (answer,) = answers
        if answer.error is None and lookup(answer.function).kind == "model":
            with contextlib.suppress(BarbuleError, TypeError, ValueError):
                encode_answer(answer.value, dtype)
                return answers
        return [replace(answer, value=None, error=Failure.of(error).text)]
    read = reader(dtype)
    return [
        answer
        if answer.error is not None
        else replace(answer, value=value if read is None or value is None else read(value))
        for answer, value in zip(answers, column.to_pylist(), strict=True)
    ]
