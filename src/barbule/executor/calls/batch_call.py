"""One call over the rows of a batch: its arguments, its ledger keys, and its failures.

Owns the common parts of all types of functions. `runners` decides how each type is run;
`ledger_calls` decides which calls the ledger answers.
"""

from __future__ import annotations

import functools
import hashlib
import json
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import ibis.expr.datatypes as dt

from barbule.errors import (
    BarbuleError,
    BudgetError,
    FunctionError,
    ReplayError,
    StoreError,
    UnknownFunctionError,
    message_of,
)
from barbule.executor.budgets.accounts import Account
from barbule.executor.budgets.budget import spending
from barbule.executor.budgets.metering import Metering
from barbule.executor.calls.arguments import Arguments, argument_spreader, required_slots
from barbule.executor.calls.call_errors import Deferred, Failure, InnerFailure
from barbule.executor.calls.provenance import CallTarget
from barbule.executor.display.progress import Meter
from barbule.executor.ledger.call_keys import call_key_builder
from barbule.functions.identity.versions import join_version
from barbule.nodes import INNER_CALL, fill_template
from barbule.tracing import add
from barbule.types import declaration
from barbule.values.cells import media_writer, reader

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from barbule.executor.budgets.metering import SendContext
    from barbule.executor.calls.operation import Operation
    from barbule.executor.calls.resources import CallResources
    from barbule.executor.ledger.recording import Recording
    from barbule.functions.function import Function
    from barbule.functions.parameters.parameter import Parameter
    from barbule.models.base import ModelClient
    from barbule.planner.stages import Call

__all__ = ["BatchCall", "RecordAnswer", "Row"]

T = TypeVar("T")

Row = tuple[Any, ...]
"""The values of a row that fill the slots of a call's template."""


class RecordAnswer(Protocol):
    """Takes an answer, or the error of a call without one, for the ledger."""

    def __call__(
        self,
        position: int,
        value: object,
        *,
        written: Callable[[], None] | None = None,
        **details: Any,
    ) -> None:
        """Take the answer for a row.

        Parameters
        ----------
        position
            The index of the row among those for which the function is called.
        written
            Called when the answer is written, or when it cannot be written for now.
        details
            Additional columns of the ledger.
        """


def _takes_batch(parameter: Parameter, template: Mapping[str, Any]) -> bool:
    """Whether a parameter receives a list in this call, with one item for each row."""
    argument = json.dumps(template.get(parameter.name))
    constant = '"$"' not in argument and f'"{INNER_CALL}"' not in argument
    return parameter.batched and not (parameter.takes_constants and constant)


def _row_arguments(template: Mapping[str, Any], row: Sequence[Any]) -> object:
    """Return the arguments that a row fills, including those of inner calls."""
    arguments: dict[str, object] = {}
    for name, argument in template.items():
        if '"$"' not in json.dumps(argument):
            continue
        inner = argument.get(INNER_CALL) if isinstance(argument, dict) else None
        arguments[name] = (
            fill_template(argument, row)
            if inner is None
            else _row_arguments(inner["arguments"], row)
        )
    return next(iter(arguments.values())) if len(arguments) == 1 else arguments or None


class BatchCall:
    """One call over the rows of a batch.

    Attributes
    ----------
    rows
        The rows for which the function is called.
    row_numbers
        Their numbers in the batch.
    target
        Returns the cells for which the call is made.
    record
        Receives each answer for the ledger; None if the ledger takes none.
    check_writable
        Raises if answers could not be written.
    """

    def __init__(
        self, resources: CallResources, operation: Operation, function: Function, call: Call
    ) -> None:
        self.resources = resources
        self.operation = operation
        self.tally = operation.tally
        self.function = function
        self.call = call
        template = json.loads(call.template)
        picture = operation.library.picture
        self.arguments = Arguments(function, template, self._slot_reader, picture)
        model_of = function.model_of if function.kind == "batch" else None
        self.local_model = model_of(template) if model_of else None  # the same for all rows
        self.row_numbers: Sequence[int] = ()
        self.target: Callable[[], CallTarget] = CallTarget
        self.budgets = operation.call_budgets
        self.record: RecordAnswer | None = None
        self.check_writable: Callable[[], None] = lambda: None
        self.meter = Meter()
        self.spread = argument_spreader(function)
        self.template = template
        self.rows: Sequence[Row] = ()
        self._required_slots = required_slots(function, template, len(call.kinds))
        self._has_media = any(declaration(dtype).is_media for dtype in call.kinds)
        self._store_media = media_writer(call.dtype, operation.library)
        self._leaves_failures_empty = operation.leaves_failures_empty(call)

    @functools.cached_property
    def batched(self) -> set[str]:
        """The parameters that get a list, one item for each row."""
        parameters = self.function.parameters
        return {
            parameter.name for parameter in parameters if _takes_batch(parameter, self.template)
        }

    def _slot_reader(self, function: Function, slot: int) -> Callable[[Any], Any] | None:
        """Return the conversion from the cells of a slot to arguments; None if none is needed."""
        dtype, library = self.call.kinds[slot], self.operation.library
        declared = declaration(dtype)
        if declared.is_media and function.images == "current":
            return library.current
        if declared.is_media and function.images == "file":
            return library.path
        if declared.modality == "image":
            if function.images == "header":
                return library.image_header
            return library.content if function.kind == "model" else library.image
        if isinstance(dtype, dt.Array) and function.images == "streamed":
            read = reader(dtype.value_type, library)
            return None if read is None else lambda cells: map(read, cells)
        return reader(dtype, library)

    def callable_rows(self, rows: Sequence[Row], columns: Sequence[Sequence[Any]]) -> Sequence[int]:
        """List the rows without a missing value that the function does not take."""
        slots = [slot for slot in self._required_slots if None in columns[slot]]
        if not slots:
            return range(len(rows))
        return [
            number
            for number, row in enumerate(rows)
            if all(row[slot] is not None for slot in slots)
        ]

    # Keys of the ledger

    @functools.cached_property
    def version(self) -> str:
        """The version of its answers; to hash a function takes longer than many a call of it."""
        return self.function.version_of_answer(self.template)

    def keys(self, rows: Sequence[Row]) -> list[str]:
        """Return the ledger's key for each row."""
        builders: dict[str, Callable[[Sequence[Any]], str]] = {}
        keys = []
        for row in rows:
            version = self.answer_version(row)
            if version not in builders:
                builders[version] = call_key_builder(
                    self.call.function, version, self.call.template
                )
            keys.append(builders[version](self._content(row)))
        return keys

    def answer_version(self, row: Row) -> str:
        """Return the version of an answer: that of the function, and of the model's server.

        For a model function the address of its model is part of it, because servers may serve
        different models under one name.
        """
        if self._address is None:
            return self.version
        if self._model is not None:
            return self._address(self._model)
        arguments = fill_template(self.template, row)
        assert self.function.model_of is not None
        return self._address(self.function.model_of(arguments))

    @functools.cached_property
    def _address(self) -> Callable[[str], str] | None:
        if self.function.kind != "model" or self.function.model_of is None:
            return None
        client, version = self.resources.client, self.version

        @functools.cache
        def address_version(model: str) -> str:
            address = hashlib.sha256(client.address(model).encode()).hexdigest()[:16]
            return join_version(version, address)

        return address_version

    @functools.cached_property
    def _model(self) -> str | None:
        """The called model, if it is the same for all rows."""
        model_of = self.function.model_of
        if model_of is None or not isinstance(self.template.get("model"), str):
            return None
        return model_of(self.template)

    def former_keys(self, rows: Sequence[Row]) -> list[str]:
        """Return the keys of answers of former versions; empty if there are no others.

        In version 0.1.0, functions that closed over different objects had the same keys, and so did
        all functions with one stated version: which of them an answer belongs to cannot be
        determined.
        """
        function = self.function
        if function.version_for is not None:
            return []
        if self._address is None and (
            not function.former_version_is_unique or function.former_version == self.version
        ):
            return []
        key = call_key_builder(self.call.function, function.former_version, self.call.template)
        return [key(self._content(row)) for row in rows]

    def _content(self, row: Row) -> Sequence[Any]:
        if not self._has_media:
            return row
        return [
            f"sha256:{self.operation.library.sha256(value)}"
            if declaration(dtype).is_media and value is not None
            else value
            for value, dtype in zip(row, self.call.kinds, strict=True)
        ]

    # Running

    def model_client(self, account: Account, send_context: SendContext) -> ModelClient:
        """Return a client that calls models for one answer, within the budgets if there are any."""
        return self._metering.client_for(account, send_context, self._count_call)

    @functools.cached_property
    def _metering(self) -> Metering:
        lengths = self.resources.answer_lengths(self.call)
        return Metering(self.resources.client, self.budgets, lengths)

    def _count_call(self) -> None:
        self.tally.calls += 1
        add(requests=1)

    def within_budget(self, apply: Callable[[], T]) -> T:
        """Call a function that calls no model, within the budgets if the ledger takes it."""
        with spending(self.budgets if self.record is not None else ()):
            return apply()

    def outer_arguments(self, row: Row) -> dict[str, Any]:
        """Return the arguments of a function that is called without inner calls."""
        arguments = self.arguments(row)
        if arguments is None:
            raise AssertionError(f"{self.function.name} takes the result of another call")
        return arguments

    @property
    def gives_media(self) -> bool:
        """Whether there are media in the results, which are stored in the media store."""
        return self._store_media is not None

    def stored_media(self, value: Any) -> Any:
        """Store the media in a result, and return the result with their references."""
        if self._store_media is None or value is None:
            return value
        try:
            return self._store_media(value)
        except BarbuleError as error:
            error.message = f"{self.function.name} returned an invalid value: {error.message}"
            error.value = value if error.value is None else error.value
            raise

    # Failures

    def unrecorded_error(self, row: Row, recording: Recording) -> ReplayError:
        """Return the error of a call that a replayed recording does not answer."""
        return ReplayError(
            f"{self.function.name}: this call is not in the recording {str(recording.path)!r}.",
            value=row if len(row) != 1 else row[0],
            hint="Record it while the network is available: with bb.record(path): ...",
        )

    def failure(
        self,
        position: int,
        error: Exception,
        seconds: float = 0.0,
        attempts: int = 1,
        model: str = "",
        account: Account | None = None,
        row_count: int = 1,
    ) -> Failure:
        """Return the result of a call that failed, or end the operation.

        Parameters
        ----------
        position
            The index of the row among those for which the function is called.
        account
            The usage of requests that were sent nevertheless.
        row_count
            The number of rows of the call.
        """
        if isinstance(error, BudgetError):
            if account is not None and account.requests:
                self.record_failure(position, error, seconds, attempts, model, account)
            if self.call.errors is not None:
                return Deferred.of(error)
            raise error
        self.record_failure(position, error, seconds, attempts, model, account)
        if isinstance(error, InnerFailure):
            if not error.aborts or self._leaves_failures_empty:
                return Failure.of(error.raised)
            raise error.explained().at(row=self.row_numbers[position]) from error.raised
        if self.leaves_cell_empty(error):
            return Failure.of(error, row_count)
        row = self.row_numbers[position]
        rows = self.row_numbers[position + row_count - 1] - row + 1
        if isinstance(error, BarbuleError):
            raise error.at(row=row, rows=rows)
        raise FunctionError(
            f"{self.function.name} failed: {type(error).__name__}: {message_of(error)}.",
            row=row,
            rows=rows,
            value=_row_arguments(self.template, self.rows[position]) if row_count == 1 else None,
            hint="Fix the function or the value, or set on_error='null' to leave such cells NULL.",
        ) from error

    def leaves_cell_empty(self, error: Exception) -> bool:
        """Whether an error leaves its cell empty instead of ending the operation."""
        if isinstance(error, StoreError):  # not related to a row
            return False
        unknown = isinstance(error, UnknownFunctionError)  # of no row, but of this process
        declared = self.call.on_error is None and self.function.on_error == "null"
        return declared or (self._leaves_failures_empty and not unknown)

    def record_failure(
        self,
        position: int,
        error: Exception,
        seconds: float,
        attempts: int,
        model: str = "",
        account: Account | None = None,
    ) -> None:
        """Record in the ledger that a call failed."""
        if self.record is not None and attempts:
            cause = error.raised if isinstance(error, InnerFailure) else error
            self.record(
                position,
                None,
                error=Failure.of(cause).text,
                seconds=seconds,
                attempts=attempts,
                model=model or self.local_model,
                **(account or Account()).columns,
            )
