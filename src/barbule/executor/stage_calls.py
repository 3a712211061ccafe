"""The calls of a stage: functions are called for batches of rows, and return columns.

Owns how batches are split, which columns they become, and which cells their errors name. `calls`
calls the functions.
"""

from __future__ import annotations

import contextlib
import functools
import math
from typing import TYPE_CHECKING, Any

import ibis.expr.operations as ops

from barbule.errors import BarbuleError, DataError
from barbule.executor.calls.call_errors import Deferred, Failure
from barbule.executor.calls.provenance import Provenance
from barbule.executor.display.progress import Meter
from barbule.executor.limit_batches import Slices
from barbule.executor.results.spilling import SpillingTable
from barbule.functions.registry import lookup
from barbule.nodes import CELL_ERROR_TYPE
from barbule.planner.stages import CallStage
from barbule.values.cells import arrow_type, to_array

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import ibis.expr.datatypes as dt
    import pyarrow as pa

    from barbule.backends.base import Backend
    from barbule.executor.calls.caller import Caller
    from barbule.executor.calls.operation import Operation
    from barbule.executor.calls.provenance import CallTarget
    from barbule.planner.plan import Plan
    from barbule.planner.stages import Call, Stage

__all__ = ["MAX_BATCH_ROWS", "CallTargets", "StageCalls", "calls_for_rows"]

MAX_BATCH_ROWS = 16384


def calls_for_rows(stage: Stage) -> bool:
    """Whether a stage calls functions for rows, and not only for the query of a search."""
    return isinstance(stage, CallStage) and not isinstance(stage.source, ops.DummyTable)


class CallTargets:
    """The cells for which an operation makes the calls of a plan, computed when calls are made."""

    def __init__(self, plan: Plan, operation: Operation) -> None:
        self._plan = plan
        self._provenance = operation.target
        self.operation = operation

    def column(self, stage: CallStage, call: Call) -> str | None:
        """Return the column of a table for which a call is made, if there is one."""
        if self._provenance is None or not self._provenance.columns:
            return None
        output = self._plan.columns.get((stage.name, call.output), "")
        return self._provenance.columns.get(output)

    def target(self, stage: CallStage, call: Call, batch: pa.RecordBatch) -> CallTarget:
        """Return the cells of a batch for which a call is made."""
        self._provenance = self._provenance or Provenance.of_query(self._plan)
        return self._provenance.target(self._plan.columns.get((stage.name, call.output)), batch)


class StageCalls:
    """Calls the functions of stages.

    Parameters
    ----------
    backend
        The database in which the columns may be stored.
    """

    def __init__(self, backend: Backend, caller: Caller) -> None:
        self._backend = backend
        self._caller = caller

    def meters(self, stage: CallStage, operation: Operation) -> list[Meter]:
        """Return a meter for each call of a stage; they are shown if it calls for rows."""
        if not calls_for_rows(stage):
            return [Meter() for _ in stage.calls]
        with operation.progress.shown() as progress:
            return [progress.meter(call.function.rpartition(".")[2]) for call in stage.calls]

    def rows(
        self,
        stage: CallStage,
        source: Iterable[pa.RecordBatch],
        targets: CallTargets,
        meters: list[Meter],
        offset: int = 0,
    ) -> pa.Table:
        """Return the rows of a stage.

        Parameters
        ----------
        source
            The rows for which functions are called, in batches.
        offset
            The number of the first row, for errors.
        """
        import pyarrow as pa

        names = stage.schema.names
        schema = pa.schema([(name, arrow_type(dtype)) for name, dtype in stage.schema.items()])
        rows = SpillingTable(schema)
        with _closing(source):
            for batch in _read_ahead(_filled_batches(stage, source)):
                columns = {name: batch.column(name) for name in stage.passthrough}
                for call, meter in zip(stage.calls, meters, strict=True):
                    try:
                        target = functools.partial(targets.target, stage, call, batch)
                        columns |= self._columns(targets.operation, call, batch, target, meter)
                    except BarbuleError as error:
                        if error.row is not None:
                            error.row += offset
                        raise error.at(column=targets.column(stage, call)) from error.__cause__
                offset += batch.num_rows
                rows.add(pa.table([columns[name] for name in names], schema=schema))
        return rows.table()

    def _columns(
        self,
        operation: Operation,
        call: Call,
        batch: pa.RecordBatch,
        target: Callable[[], CallTarget],
        meter: Meter,
    ) -> dict[str, pa.Array]:
        """Return the columns of results and of errors."""
        arguments = [batch.column(name).to_pylist() for name in call.arguments]
        values = self._caller.call(operation, call, arguments, batch.num_rows, target, meter)
        failures: list[Failure | None] = [None] * len(values)
        if {Failure, Deferred} & set(map(type, values)):
            failures = [value if isinstance(value, Failure) else None for value in values]
            values = [None if isinstance(value, Failure) else value for value in values]
        columns = {call.output: self._result_column(operation, call, values, failures)}
        if call.errors:
            columns[call.errors] = _error_column(failures)
        return columns

    def _result_column(
        self,
        operation: Operation,
        call: Call,
        values: list[Any],
        failures: list[Failure | None],
    ) -> pa.Array:
        """Return the column of results; a value with a wrong type is a failure, if allowed."""
        while True:
            try:
                column = to_array(values, call.dtype, operation.library)
                return self._storable(column, call.dtype)
            except BarbuleError as error:
                error.message = f"{call.function} returned an invalid value: {error.message}"
                function = lookup(call.function, call.version)
                declared = call.on_error is None and function.on_error == "null"
                may_fail = declared or operation.leaves_failures_empty(call)
                if error.row is None or not may_fail:
                    raise
                failure = Failure(type(error).__name__, error.message)
                values[error.row], failures[error.row] = None, failure
                operation.tally.errors += 1

    def _storable(self, column: pa.Array, dtype: dt.DataType) -> pa.Array:
        """Return a column, if the database can store all of it."""
        if (row := self._backend.first_unstorable(column, dtype)) is not None:
            raise DataError(
                f"{self._backend.name.title()} cannot store a string with the character NUL "
                "(\\x00).",
                row=row,
                value=column[row].as_py(),
                hint="Remove it, or return bytes.",
            )
        return column


def _error_column(failures: list[Failure | None]) -> pa.Array:
    """Return the column of the errors of empty cells."""
    import pyarrow as pa

    arrow_dtype = arrow_type(CELL_ERROR_TYPE)
    if not any(failures):
        return pa.nulls(len(failures), arrow_dtype)
    cells = [failure and {"type": failure.type, "message": failure.message} for failure in failures]
    return pa.array(cells, arrow_dtype)


def _filled_batches(stage: CallStage, source: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
    """Split rows so that batch functions get as many as they take."""
    sizes = {lookup(call.function, call.version).batch_size for call in stage.calls} - {1}
    if not sizes:
        return source
    size = math.lcm(*sizes)
    size = size if size <= MAX_BATCH_ROWS else max(sizes)
    return Slices(source).pieces(size * max(1, MAX_BATCH_ROWS // size))


def _read_ahead(source: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Read each batch before the previous one is processed.

    So a stream that has ended releases the database, which other processes may wait for.
    """
    stream = iter(source)
    batch = next(stream, None)
    while batch is not None:
        following = next(stream, None)
        yield batch
        batch = following


@contextlib.contextmanager
def _closing(source: Iterable[pa.RecordBatch]) -> Iterator[None]:
    """Close a stream of rows, even if an error may keep it for long.

    Until then it holds the database.
    """
    try:
        yield
    finally:
        if callable(close := getattr(source, "close", None)):
            close()
