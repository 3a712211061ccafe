"""Calls that wait elsewhere: asynchronous functions, and models that answer one question a row.

Owns how many are in flight, what is tried again, and what is not asked because a model has
already refused everything. What becomes of a failure is decided by the work of which the calls
are a part; how fast an endpoint is asked is `models.rates`' business.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from barbule.errors import BudgetError, ConfigurationError, ModelError, message_of
from barbule.executor.budgets.budget import spending_async
from barbule.executor.budgets.metering import Account
from barbule.executor.calls.batched_models import in_batches
from barbule.executor.calls.task_group import Tasks
from barbule.executor.ledger.answer_writer import UnwrittenError
from barbule.models.rate_limits import call_with_retries

if TYPE_CHECKING:
    from barbule.executor.calls.call import Record, Work
    from barbule.models.base import Reply

__all__ = ["MODEL_RETRIES", "Asynchronous"]

_IN_FLIGHT = 1024  # coroutines at once; a gate lets fewer questions out to a model

MODEL_RETRIES = 7
"""How often a question that may pass is asked again: of a thousand, of which each attempt fails
in one case of five, not one is lost in two hundred runs."""


@dataclass
class _Tried:
    """What has been done so far for one answer."""

    attempts: int = 1
    model: str = ""
    account: Account = field(default_factory=Account)


class Asynchronous:
    """The calls of one function for some rows.

    Parameters
    ----------
    record
        Takes each answer that goes into the ledger; None where none does.
    """

    def __init__(self, work: Work, rows: list[tuple[Any, ...]], record: Record | None) -> None:
        self._work = work
        self._function = work.function
        self._rows = rows
        self._record = record
        self._answered: set[str] = set()
        self._refused: dict[str, Exception] = {}
        self._tasks = Tasks(keeps=record is not None)

    async def run(self) -> list[Any]:
        """Call it for all rows and return the results, in their order."""
        if self._function.kind == "model" and self._function.batch_size > 1:
            return await in_batches(self._work, self._rows, self._record, retries=MODEL_RETRIES)
        limit = asyncio.Semaphore(self._function.concurrency or _IN_FLIGHT)
        one = self._ask if self._function.kind == "model" else self._await

        async def work(place: int, row: tuple[Any, ...]) -> Any:
            async with limit:
                started, tried = time.perf_counter(), _Tried()
                failure: Exception
                try:
                    return await one(place, row, tried)
                except UnwrittenError:
                    raise
                except Exception as error:  # noqa: BLE001 - others' code may raise anything
                    failure = error
                except asyncio.CancelledError as error:
                    current = asyncio.current_task()
                    if current is None or current.cancelling():
                        raise
                    # Not we, but something in the function gave up.
                    failure = RuntimeError("something that it waited for was cancelled")
                    failure.__cause__ = error
                finally:
                    self._work.meter.done()
                seconds = time.perf_counter() - started
                return self._work.failed(
                    place, failure, seconds, tried.attempts, tried.model, tried.account
                )

        return await self._tasks.run(work(place, row) for place, row in enumerate(self._rows))

    async def _await(self, place: int, row: tuple[Any, ...], tried: _Tried) -> Any:
        function, record = self._function, self._record
        args, kwargs = self._work.spread(self._work.all_arguments(row))
        started = time.perf_counter()
        for attempt in range(1, function.retries + 2):
            tried.attempts = attempt
            try:
                async with spending_async(self._work.budgets if record else ()):
                    with self._tasks.sending():
                        async with asyncio.timeout(function.timeout):
                            value = await self._called(*args, **kwargs)
                break
            except BudgetError:
                raise
            except Exception as error:
                if attempt > function.retries:
                    if isinstance(error, TimeoutError) and not message_of(error):
                        raise TimeoutError(f"it took longer than {function.timeout} s") from error
                    raise
        if record:
            record(place, value, seconds=time.perf_counter() - started, attempts=attempt)
        return value

    async def _called(self, *args: Any, **kwargs: Any) -> Any:
        function = self._function
        if not function.gpus:
            return await function.body(*args, **kwargs)
        async with self._work.caller.gpus.hold_async(function.gpus, function.name):
            return await function.body(*args, **kwargs)

    async def _ask(self, place: int, row: tuple[Any, ...], tried: _Tried) -> Any:
        arguments = self._work.all_arguments(row)
        named = self._function.model_of
        model = tried.model = named(arguments) if named else ""
        gate = self._work.caller.gate(model)
        await self._work.caller.client.ready()
        started = time.perf_counter()

        tried.attempts = 0
        client = self._work.client(tried.account, self._tasks.sending)

        async def ask() -> Reply:
            if (refusal := self._refused.get(model)) is not None:
                raise refusal
            self._work.check_writing()
            tried.attempts += 1
            return await self._function.body(client, **arguments)

        try:
            reply, attempts = await call_with_retries(ask, gate, retries=MODEL_RETRIES)
        except (ModelError, ConfigurationError) as error:
            if model not in self._answered and is_lasting(error):
                self._refused.setdefault(model, error)
            raise
        self._answered.add(model)
        if self._record:
            self._record(
                place,
                reply.value,
                seconds=time.perf_counter() - started,
                attempts=attempts,
                model=model,
                written=gate.count_unwritten(),
                **tried.account.columns,
            )
        return reply.value


def is_lasting(error: Exception) -> bool:
    """Whether every other question to the model would end like this one."""
    return isinstance(error, ConfigurationError) or getattr(error, "lasting", False)
