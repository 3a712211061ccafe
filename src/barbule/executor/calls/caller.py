"""Calls of functions for the rows of a batch.

Owns which rows a function is called for and what is counted. `ledger_calls` decides whether the
ledger answers; the caller provides the rows and stores the results.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from barbule.executor.calls.batch_call import BatchCall
from barbule.executor.calls.call_errors import Deferred, Failure
from barbule.executor.calls.ledger_calls import LedgerCalls
from barbule.executor.calls.provenance import CallTarget
from barbule.executor.calls.runners.dispatch import run_batch_call
from barbule.executor.display.progress import Meter
from barbule.functions.registry import lookup
from barbule.tracing import add, span

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from barbule.executor.calls.batch_call import Row
    from barbule.executor.calls.operation import Operation, Tally
    from barbule.executor.calls.resources import CallResources
    from barbule.executor.ledger.call_ledger import CallLedger
    from barbule.locks import Claims
    from barbule.planner.stages import Call

__all__ = ["Caller"]


class Caller:
    """Calls functions for one session.

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
        resources: CallResources,
        claims: Claims | None = None,
        *,
        has_former_keys: bool = False,
    ) -> None:
        self.ledger = ledger
        self.resources = resources
        self._claims = claims
        self._ledger_calls = LedgerCalls(ledger, claims, has_former_keys=has_former_keys)

    def call(
        self,
        operation: Operation,
        call: Call,
        columns: Sequence[Sequence[Any]],
        row_count: int,
        target: Callable[[], CallTarget] = CallTarget,
        meter: Meter | None = None,
    ) -> list[Any]:
        """Return the results of a call for the rows of a batch.

        Parameters
        ----------
        operation
            The operation for which the calls are made.
        columns
            The values for each slot of the call's template, as Arrow returns them to Python.
        target
            Returns the cells of the call; used when calls are made.
        meter
            Counts the progress.

        Raises
        ------
        FunctionError
            If the function failed and its errors end the operation.
        """
        if operation.dry_run is not None:
            return operation.dry_run.answers(call, columns, row_count)
        batch_call = self.batch_call(operation, call)
        function = batch_call.function
        rows = list(zip(*columns, strict=True)) if columns else [()] * row_count
        row_numbers = batch_call.callable_rows(rows, columns)
        all_callable = len(row_numbers) == len(rows)
        callable_rows = rows if all_callable else [rows[row] for row in row_numbers]
        batch_call.row_numbers = row_numbers
        batch_call.target = target
        batch_call.meter = meter or Meter()
        batch_call.meter.rows += row_count - len(callable_rows)
        recording = operation.recording
        with span("calls", call.function, rows=row_count, calls=0):
            if call.cached or (recording is not None and function.kind == "model"):
                answers = self._ledger_calls.results(batch_call, callable_rows)
            else:
                answers = run_batch_call(batch_call, callable_rows)
            if {Failure, Deferred} & set(map(type, answers)):
                _count_failures(operation.tally, answers, function.kind)
        if all_callable:
            return answers
        results: list[Any] = [None] * len(rows)
        for row, answer in zip(row_numbers, answers, strict=True):
            results[row] = answer
        return results

    def batch_call(self, operation: Operation, call: Call) -> BatchCall:
        """Create the object that calls a function over the rows of a batch."""
        function = lookup(call.function, call.version)
        return BatchCall(self.resources, operation, function, call)

    def answered_keys(self, batch_call: BatchCall, rows_by_key: Mapping[str, Row]) -> set[str]:
        """Return the keys of those calls that have an answer in the ledger."""
        return self._ledger_calls.answered_keys(batch_call, rows_by_key)

    def close(self) -> None:
        """End the processes, and release all claims."""
        self.resources.close()
        if self._claims is not None:
            self._claims.close()


def _count_failures(tally: Tally, answers: list[Any], kind: str) -> None:
    types = list(map(type, answers))
    if Failure in types and kind == "model":
        tally.model_error = tally.model_error or answers[types.index(Failure)].message
    tally.errors += types.count(Failure)
    tally.deferred += types.count(Deferred)
    add(errors=types.count(Failure), deferred=types.count(Deferred))
