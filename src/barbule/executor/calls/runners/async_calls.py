"""Asynchronous calls: of coroutine functions, and of models that are called once for each row.

Owns how many are in flight, what is retried, and which calls are skipped because the model refuses
all of them. `batch_call` decides what a failure becomes; `models.rate_limits` decides how fast an
endpoint is called.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from barbule.errors import BudgetError, ConfigurationError, ModelError, message_of
from barbule.executor.budgets.accounts import Account
from barbule.executor.budgets.budget import spending_async
from barbule.executor.calls.runners.batched_models import run_model_batches
from barbule.executor.calls.runners.task_group import TaskGroup
from barbule.executor.ledger.answer_writer import UnwrittenError
from barbule.models.rate_limits import call_with_retries

if TYPE_CHECKING:
    from barbule.executor.calls.batch_call import BatchCall, RecordAnswer, Row
    from barbule.models.base import Reply

__all__ = ["MODEL_RETRIES", "AsyncRunner"]

_MAX_COROUTINES = 1024  # in flight; a gate sends fewer requests to a model

MODEL_RETRIES = 7
"""How often a request is retried after a transient error: of a thousand, of which each
attempt fails in one case of five, not one is lost in two hundred runs."""


@dataclass
class _Attempts:
    """The attempts at one answer so far."""

    count: int = 1
    model: str = ""
    account: Account = field(default_factory=Account)


class AsyncRunner:
    """Calls one function for some rows, as coroutines.

    Parameters
    ----------
    record
        Receives each answer for the ledger; None if the ledger takes none.
    """

    def __init__(self, batch_call: BatchCall, rows: list[Row], record: RecordAnswer | None) -> None:
        self._batch_call = batch_call
        self._function = batch_call.function
        self._rows = rows
        self._record = record
        self._answered_models: set[str] = set()
        self._refusals: dict[str, Exception] = {}
        self._tasks = TaskGroup(finishes_sent=record is not None)

    async def run(self) -> list[object]:
        """Call it for all rows and return the results, in their order."""
        if self._function.kind == "model" and self._function.batch_size > 1:
            return await run_model_batches(
                self._batch_call, self._rows, self._record, retries=MODEL_RETRIES
            )
        limit = asyncio.Semaphore(self._function.concurrency or _MAX_COROUTINES)

        async def limited(position: int, row: Row) -> object:
            async with limit:
                return await self._result(position, row)

        return await self._tasks.run(
            limited(position, row) for position, row in enumerate(self._rows)
        )

    async def _result(self, position: int, row: Row) -> object:
        """Call it for a row; return its result, or the failure."""
        call = self._call_model if self._function.kind == "model" else self._call_coroutine
        started, attempts = time.perf_counter(), _Attempts()
        failure: Exception
        try:
            return await call(position, row, attempts)
        except UnwrittenError:
            raise
        except Exception as error:  # noqa: BLE001 - others' code may raise anything
            failure = error
        except asyncio.CancelledError as error:
            current = asyncio.current_task()
            if current is None or current.cancelling():
                raise
            # Not this task, but another task that the function awaits was cancelled.
            failure = RuntimeError("a task that it awaited was cancelled")
            failure.__cause__ = error
        finally:
            self._batch_call.meter.done()
        seconds = time.perf_counter() - started
        return self._batch_call.failure(
            position, failure, seconds, attempts.count, attempts.model, attempts.account
        )

    async def _call_coroutine(self, position: int, row: Row, attempts: _Attempts) -> object:
        function, record = self._function, self._record
        args, kwargs = self._batch_call.spread(self._batch_call.outer_arguments(row))
        started = time.perf_counter()
        for attempt in range(1, function.retries + 2):
            attempts.count = attempt
            try:
                async with spending_async(self._batch_call.budgets if record else ()):
                    with self._tasks.sending():
                        async with asyncio.timeout(function.timeout):
                            value = await self._await_body(*args, **kwargs)
                break
            except BudgetError:
                raise
            except Exception as error:
                if attempt > function.retries:
                    if isinstance(error, TimeoutError) and not message_of(error):
                        raise TimeoutError(f"it took longer than {function.timeout} s") from error
                    raise
        if record:
            record(position, value, seconds=time.perf_counter() - started, attempts=attempt)
        return value

    async def _await_body(self, *args: Any, **kwargs: Any) -> object:
        function = self._function
        if not function.gpus:
            return await function.body(*args, **kwargs)
        async with self._batch_call.resources.gpus.hold_async(function.gpus, function.name):
            return await function.body(*args, **kwargs)

    async def _call_model(self, position: int, row: Row, attempts: _Attempts) -> object:
        resources = self._batch_call.resources
        arguments = self._batch_call.outer_arguments(row)
        model_of = self._function.model_of
        model = attempts.model = model_of(arguments) if model_of else ""
        gate = resources.gate(model)
        await resources.client.ready()
        started = time.perf_counter()

        attempts.count = 0
        client = self._batch_call.model_client(attempts.account, self._tasks.sending)

        async def request() -> Reply:
            if (refusal := self._refusals.get(model)) is not None:
                raise refusal
            self._batch_call.check_writable()
            attempts.count += 1
            return await self._function.body(client, **arguments)

        try:
            reply, count = await call_with_retries(request, gate, retries=MODEL_RETRIES)
        except (ModelError, ConfigurationError) as error:
            if model not in self._answered_models and _is_lasting(error):
                self._refusals.setdefault(model, error)
            raise
        self._answered_models.add(model)
        if self._record:
            self._record(
                position,
                reply.value,
                seconds=time.perf_counter() - started,
                attempts=count,
                model=model,
                written=gate.count_unwritten(),
                **attempts.account.columns,
            )
        return reply.value


def _is_lasting(error: Exception) -> bool:
    """Whether every other request to the model would fail in the same way."""
    return isinstance(error, ConfigurationError) or getattr(error, "lasting", False)
