"""One call over some rows: its arguments, its keys, and what becomes of a failure.

Owns what all kinds of functions have in common. How each kind is run is the business of
`synchronous`, `asynchronous` and `asking`; what is asked only once is that of `batch`.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

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
from barbule.executor.budgets.budget import Budget, spending
from barbule.executor.budgets.metering import Account, Metering
from barbule.executor.calls.arguments import Arguments, required_places, spreading
from barbule.executor.calls.async_calls import Asynchronous
from barbule.executor.calls.call_errors import Deferred, Failure, InnerFailure
from barbule.executor.calls.provenance import Asker
from barbule.executor.calls.threaded import Synchronous
from barbule.executor.display.progress import Meter
from barbule.executor.ledger.call_ledger import question_keys
from barbule.functions.identity.versions import join_version
from barbule.nodes import INNER_CALL, fill_template
from barbule.types import Image, Media
from barbule.values.cells import media_writer, reader

if TYPE_CHECKING:
    from barbule.executor.budgets.metering import Sending
    from barbule.executor.calls.caller import Caller
    from barbule.executor.ledger.recording import Tape
    from barbule.functions.function import Function
    from barbule.functions.parameters.parameter import Parameter
    from barbule.models.base import ModelClient
    from barbule.planner.stages import Call

__all__ = ["Record", "Work", "described"]

Record = Callable[..., None]


def described(error: Exception) -> str:
    """Say what went wrong, for the ledger."""
    failure = Failure.of(error)
    return f"{failure.type}: {failure.message}"


def _takes_rows(parameter: Parameter, template: Mapping[str, Any]) -> bool:
    """Whether a parameter gets a list in this call, one item for each row."""
    given = json.dumps(template.get(parameter.name))
    constant = '"$"' not in given and f'"{INNER_CALL}"' not in given
    return parameter.batched and not (parameter.takes_constants and constant)


def _given(template: Mapping[str, Any], row: Sequence[Any]) -> Any:
    """Return what a row gives to a call, and of calls inside of it what it gives to them."""
    given = {}
    for name, item in template.items():
        if '"$"' not in json.dumps(item):
            continue
        inner = item.get(INNER_CALL) if isinstance(item, dict) else None
        given[name] = fill_template(item, row) if inner is None else _given(inner["arguments"], row)
    return next(iter(given.values())) if len(given) == 1 else given or None


class Work:
    """One call over some rows."""

    def __init__(self, caller: Caller, function: Function, call: Call) -> None:
        self.caller = caller
        self.tally = caller.tally  # that of the thread which asks; others do the work
        self.function = function
        self.call = call
        template = json.loads(call.template)
        self.version = function.version_of_answer(template)
        self.arguments = Arguments(function, template, self._reader, caller.library.picture)
        named = function.model_of if function.kind == "batch" else None
        self.local_model = named(template) if named else None  # the same for all rows
        self.places: Sequence[int] = ()  # where the rows that are run stand in the batch
        self.asker: Callable[[], Asker] = Asker
        self.budgets: tuple[Budget, ...] = ()
        self.record: Record | None = None
        self.check_writing: Callable[[], None] = lambda: None  # raises where answers would be lost
        self.meter = Meter()
        self.required = required_places(function, template, len(call.kinds))
        self.spread = spreading(function)
        self.batched = {each.name for each in function.parameters if _takes_rows(each, template)}
        self.template = template
        self._has_media = any(isinstance(kind, Media) for kind in call.kinds)
        self.rows: Sequence[tuple[Any, ...]] = ()
        self._keep = media_writer(call.dtype, caller.library)
        self.lenient = caller.forgives(call)

    def _reader(self, function: Function, place: int) -> Callable[[Any], Any] | None:
        kind, library = self.call.kinds[place], self.caller.library
        if isinstance(kind, Media) and function.images == "current":
            return library.current
        if isinstance(kind, Media) and function.images == "file":
            return library.path
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
        asked: dict[str, Callable[[Sequence[Any]], str]] = {}
        keys = []
        for row in rows:
            version = self.answer_version(row)
            if version not in asked:
                asked[version] = question_keys(self.call.function, version, self.call.template)
            keys.append(asked[version](self._content(row)))
        return keys

    def answer_version(self, row: tuple[Any, ...]) -> str:
        """Return under which version an answer is kept: that of the function, and who is asked.

        Of a model function this is the address of its model, as servers may call others alike.
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
        client, version = self.caller.client, self.version

        @functools.cache
        def at(model: str) -> str:
            address = hashlib.sha256(client.address(model).encode()).hexdigest()[:16]
            return join_version(version, address)

        return at

    @functools.cached_property
    def _model(self) -> str | None:
        """The model that is asked, where it is the same for all rows."""
        named = self.function.model_of
        if named is None or not isinstance(self.template.get("model"), str):
            return None
        return named(self.template)

    def former_keys(self, rows: Sequence[tuple[Any, ...]]) -> list[str]:
        """Return the keys under which answers were kept before; none where there are no others.

        Functions that closed over different objects had the same keys in version 0.1.0, and all
        of one stated version had: which of them an answer is of, cannot be told.
        """
        function = self.function
        if function.version_for is not None:
            return []
        if self._address is None and (
            not function.former_version_is_unique or function.former_version == self.version
        ):
            return []
        key = question_keys(self.call.function, function.former_version, self.call.template)
        return [key(self._content(row)) for row in rows]

    def _content(self, row: tuple[Any, ...]) -> Sequence[Any]:
        if not self._has_media:
            return row
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
        self.rows = rows
        with self.caller.library.isolation.entered():
            return self._run(rows, record)

    def _run(self, rows: list[tuple[Any, ...]], record: Record | None) -> list[Any]:
        kind = self.function.kind
        if kind == "query":
            return self._run_query(rows)
        if kind == "batch":
            return Synchronous(self, rows, record).batches()
        if kind == "model" or self.function.is_async:
            return self.caller.loop.run(Asynchronous(self, rows, record).run())
        return Synchronous(self, rows, record).rows()

    @functools.cached_property
    def _metering(self) -> Metering:
        lengths = self.caller.answer_lengths(self.call)
        return Metering(self.caller.client, self.budgets, lengths)

    def client(self, account: Account, sending: Sending) -> ModelClient:
        """Return what asks models for one answer, within the budget where there is one."""
        return self._metering.asking(account, sending, self._count)

    def _count(self) -> None:
        self.tally.calls += 1

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

    def failed(
        self,
        place: int,
        error: Exception,
        seconds: float = 0.0,
        attempts: int = 1,
        model: str = "",
        account: Account | None = None,
        count: int = 1,
    ) -> Any:
        """Return what stands for the answer of a call that failed, or end the operation.

        Parameters
        ----------
        count
            How many rows the call was about.
        account
            What the questions took that were sent for it all the same.
        """
        if isinstance(error, BudgetError):
            if account is not None and account.requests:
                self.note_failure(place, error, seconds, attempts, model, account)
            if self.call.errors is not None:
                return Deferred.of(error)
            raise error
        self.note_failure(place, error, seconds, attempts, model, account)
        if isinstance(error, InnerFailure):
            if not error.ends or self.lenient:
                return Failure.of(error.raised)
            raise error.explained().at(row=self.places[place]) from error.raised
        if self.may_fail(error):
            return Failure.of(error, count)
        row, rows = self.places[place], self.places[place + count - 1] - self.places[place] + 1
        if isinstance(error, BarbuleError):
            raise error.at(row=row, rows=rows)
        raise FunctionError(
            f"{self.function.name} failed: {type(error).__name__}: {message_of(error)}.",
            row=row,
            rows=rows,
            value=self._given(place) if count == 1 else None,
            hint="Mend the function or the value; on_error='null' leaves such cells empty.",
        ) from error

    def may_fail(self, error: Exception) -> bool:
        """Whether an error leaves its cell empty, and does not end the operation."""
        if isinstance(error, StoreError):  # of no row
            return False
        unknown = isinstance(error, UnknownFunctionError)  # of no row, but of this process
        own = self.call.on_error is None and self.function.on_error == "null"
        return own or (self.lenient and not unknown)

    def _given(self, place: int) -> Any:
        """Return what the function was called with, constants left aside."""
        return _given(self.template, self.rows[place])

    @property
    def keeps(self) -> bool:
        """Whether there are media in the results, which go into the store."""
        return self._keep is not None

    def kept(self, value: Any) -> Any:
        """Put the media in a result into the store, leaving references."""
        if self._keep is None or value is None:
            return value
        try:
            return self._keep(value)
        except BarbuleError as error:
            error.message = f"{self.function.name} returned a wrong value: {error.message}"
            error.value = value if error.value is None else error.value
            raise

    def note_failure(
        self,
        place: int,
        error: Exception,
        seconds: float,
        attempts: int,
        model: str = "",
        account: Account | None = None,
    ) -> None:
        """Write into the ledger that a call failed."""
        if self.record is not None and attempts:
            cause = error.raised if isinstance(error, InnerFailure) else error
            self.record(
                place,
                None,
                error=described(cause),
                seconds=seconds,
                attempts=attempts,
                model=model or self.local_model,
                **(account or Account()).columns,
            )

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
