"""Requests to models for several rows at once, for example embeddings.

Owns how rows share a request, how its price is divided among them, and how one invalid row is found
among valid ones. Requests for single rows are made in `async_calls`.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from barbule.errors import BarbuleError, ModelError
from barbule.executor.budgets.accounts import Account
from barbule.executor.calls.runners.task_group import TaskGroup
from barbule.executor.ledger.answer_writer import UnwrittenError
from barbule.models.rate_limits import call_with_retries

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from barbule.executor.calls.batch_call import BatchCall, RecordAnswer, Row
    from barbule.models.base import Reply
    from barbule.models.rate_limits import Gate

__all__ = ["run_model_batches"]


async def run_model_batches(
    batch_call: BatchCall, rows: Sequence[Row], record: RecordAnswer | None, *, retries: int
) -> list[object]:
    """Call a model function for several rows at a time; return their answers in order."""
    await batch_call.resources.client.ready()
    runner = _ModelBatches(batch_call, rows, record, retries)
    await runner.tasks.run(runner.request(positions) for positions in runner.batches())
    return runner.results


class _ModelBatches:
    def __init__(
        self, batch_call: BatchCall, rows: Sequence[Row], record: RecordAnswer | None, retries: int
    ) -> None:
        self.batch_call = batch_call
        self.record = record
        self.retries = retries
        self.arguments = [batch_call.outer_arguments(row) for row in rows]
        self.batched = {
            parameter.name for parameter in batch_call.function.parameters if parameter.batched
        }
        self.results: list[object] = [None] * len(rows)
        self.refused_accounts: dict[int, Account] = {}  # by the position of their first row
        self.tasks = TaskGroup(finishes_sent=record is not None)

    def batches(self) -> Iterator[list[int]]:
        """Yield the positions of rows that may share a request: all other arguments are equal."""
        groups: dict[str, list[int]] = {}
        for position, arguments in enumerate(self.arguments):
            shared = {name: value for name, value in arguments.items() if name not in self.batched}
            key = json.dumps(shared, sort_keys=True, default=repr)
            groups.setdefault(key, []).append(position)
        size = self.batch_call.function.batch_size
        for positions in groups.values():
            yield from (positions[start : start + size] for start in range(0, len(positions), size))

    async def request(self, positions: list[int]) -> None:
        """Call the model for some rows; refused requests are split in halves, down to one row."""
        batch_call, row_count = self.batch_call, len(positions)
        started, account = time.perf_counter(), Account()
        try:
            reply, attempts = await self._reply(positions, account)
        except UnwrittenError:
            raise
        except Exception as error:  # noqa: BLE001 - providers' code may raise anything
            may_halve = isinstance(error, BarbuleError) and not error.retryable and row_count > 1
            if may_halve and not getattr(error, "lasting", False):
                # The usage of this request is recorded with the answer of the first row.
                self.refused_accounts.setdefault(positions[0], Account()).join(account)
                middle = row_count // 2
                await self.request(positions[:middle])
                await self.request(positions[middle:])
                return
            seconds = (time.perf_counter() - started) / row_count
            for position, share in zip(positions, self._shares(positions, account), strict=True):
                self.results[position] = batch_call.failure(
                    position, error, seconds, model=self._model(positions), account=share
                )
            batch_call.meter.done(row_count)
            return
        seconds = (time.perf_counter() - started) / row_count
        shares = dict(zip(positions, self._shares(positions, account), strict=True))
        values = dict(zip(positions, reply.value, strict=True))
        errors = {
            position: value for position, value in values.items() if isinstance(value, Exception)
        }
        self._take_answers(
            {position: value for position, value in values.items() if position not in errors},
            shares,
            seconds=seconds,
            attempts=attempts,
            model=self._model(positions),
        )
        for position, row_error in errors.items():
            self.results[position] = batch_call.failure(
                position, row_error, seconds, attempts, self._model(positions), shares[position]
            )
        batch_call.meter.done(row_count)

    def _take_answers(
        self, values: dict[int, Any], shares: dict[int, Account], **details: Any
    ) -> None:
        """Take answers as results, and record them in the ledger."""
        written = self._gate(list(shares)).count_unwritten() if self.record and values else None
        for number, (position, value) in enumerate(values.items(), 1):
            self.results[position] = value
            if self.record:
                self.record(
                    position,
                    value,
                    # Answers are written in order: when the last one is written, all are.
                    written=written if number == len(values) else None,
                    **details,
                    **shares[position].columns,
                )

    def _shares(self, positions: list[int], account: Account) -> list[Account]:
        """Divide the usage of a request among its rows; the first one also has the refused ones."""
        shares = account.shares(len(positions))
        if (refused := self.refused_accounts.pop(positions[0], None)) is not None:
            shares[0].join(refused)
        return shares

    def _model(self, positions: list[int]) -> str:
        model_of = self.batch_call.function.model_of
        return model_of(self.arguments[positions[0]]) if model_of else ""

    def _gate(self, positions: list[int]) -> Gate:
        return self.batch_call.resources.gate(self._model(positions))

    async def _reply(self, positions: list[int], account: Account) -> tuple[Reply, int]:
        batch_call, model = self.batch_call, self._model(positions)
        first = self.arguments[positions[0]]
        merged = {
            name: [self.arguments[position][name] for position in positions]
            if name in self.batched
            else value
            for name, value in first.items()
        }

        client = batch_call.model_client(account, self.tasks.sending)

        async def request() -> Reply:
            batch_call.check_writable()
            return await batch_call.function.body(client, **merged)

        gate = self._gate(positions)
        reply, attempts = await call_with_retries(request, gate, retries=self.retries)
        if len(reply.value) != len(positions):
            raise ModelError(
                f"model {model!r}: {len(reply.value)} answers were returned for {len(positions)} "
                "rows.",
                hint="Check that the model supports this function.",
            )
        return reply, attempts
