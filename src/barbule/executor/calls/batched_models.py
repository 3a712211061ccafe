"""Questions to models that are about many rows at once, as embeddings are.

Owns how rows share a question, how its price is shared among them, and how one bad row is found
among good ones. How a single question is asked is `batch`'s and `models.rates`' business.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from barbule.errors import BarbuleError, ModelError
from barbule.executor.budgets.metering import Account
from barbule.executor.calls.task_group import Tasks
from barbule.executor.ledger.answer_writer import UnwrittenError
from barbule.models.rate_limits import call_with_retries

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from barbule.executor.calls.call import Record, Work
    from barbule.models.base import Reply
    from barbule.models.rate_limits import Gate

__all__ = ["in_batches"]


async def in_batches(
    work: Work, rows: Sequence[tuple[Any, ...]], record: Record | None, *, retries: int
) -> list[Any]:
    """Ask a model function of several rows a question; return the rows' answers in their order."""
    await work.caller.client.ready()
    asking = _Asking(work, rows, record, retries)
    await asking.tasks.run(asking.ask(places) for places in asking.shared())
    return asking.results


class _Asking:
    def __init__(
        self, work: Work, rows: Sequence[tuple[Any, ...]], record: Record | None, retries: int
    ) -> None:
        self.work = work
        self.record = record
        self.retries = retries
        self.arguments = [work.all_arguments(row) for row in rows]
        self.batched = {each.name for each in work.function.parameters if each.batched}
        self.results: list[Any] = [None] * len(rows)
        self.spent: dict[int, Account] = {}
        self.tasks = Tasks(keeps=record is not None)

    def shared(self) -> Iterator[list[int]]:
        """Yield the places of rows that may share a question: all but the batched is equal."""
        groups: dict[str, list[int]] = {}
        for place, arguments in enumerate(self.arguments):
            rest = {name: each for name, each in arguments.items() if name not in self.batched}
            groups.setdefault(json.dumps(rest, sort_keys=True, default=repr), []).append(place)
        size = self.work.function.batch_size
        for places in groups.values():
            yield from (places[at : at + size] for at in range(0, len(places), size))

    async def ask(self, places: list[int]) -> None:
        """Ask about some rows; what is refused is asked again in halves, until it is one row."""
        started, account = time.perf_counter(), Account()
        try:
            reply, attempts = await self._reply(places, account)
        except UnwrittenError:
            raise
        except Exception as error:  # noqa: BLE001 - providers' code may raise anything
            split = isinstance(error, BarbuleError) and not error.retryable and len(places) > 1
            if split and not getattr(error, "lasting", False):
                # What was spent on this one stands beside the answer of the first row.
                self.spent.setdefault(places[0], Account()).join(account)
                middle = len(places) // 2
                await self.ask(places[:middle])
                await self.ask(places[middle:])
                return
            seconds = (time.perf_counter() - started) / len(places)
            for place, share in zip(places, self._shares(places, account), strict=True):
                self.results[place] = self.work.failed(
                    place, error, seconds, model=self._model(places), account=share
                )
            self.work.meter.done(len(places))
            return
        seconds = (time.perf_counter() - started) / len(places)
        shares = dict(zip(places, self._shares(places, account), strict=True))
        given = dict(zip(places, reply.value, strict=True))
        bad = [place for place, value in given.items() if isinstance(value, Exception)]
        self._keep(
            {place: given[place] for place in places if place not in bad},
            shares,
            seconds=seconds,
            attempts=attempts,
            model=self._model(places),
        )
        for place in bad:
            self.results[place] = self.work.failed(
                place, given[place], seconds, attempts, self._model(places), shares[place]
            )
        self.work.meter.done(len(places))

    def _keep(self, given: dict[int, Any], shares: dict[int, Account], **details: Any) -> None:
        """Take answers, and write them into the ledger."""
        written = self._gate(list(shares)).count_unwritten() if self.record and given else None
        for number, (place, value) in enumerate(given.items(), 1):
            self.results[place] = value
            if self.record:
                self.record(
                    place,
                    value,
                    # Answers are written in their order, so the last one tells of all.
                    written=written if number == len(given) else None,
                    **details,
                    **shares[place].columns,
                )

    def _shares(self, places: list[int], account: Account) -> list[Account]:
        """Share what a question took among its rows, and what those before it took in vain."""
        shares = account.shares(len(places))
        if (before := self.spent.pop(places[0], None)) is not None:
            shares[0].join(before)
        return shares

    def _model(self, places: list[int]) -> str:
        named = self.work.function.model_of
        return named(self.arguments[places[0]]) if named else ""

    def _gate(self, places: list[int]) -> Gate:
        return self.work.caller.gate(self._model(places))

    async def _reply(self, places: list[int], account: Account) -> tuple[Reply, int]:
        work, model = self.work, self._model(places)
        first = self.arguments[places[0]]
        merged = {
            name: [self.arguments[place][name] for place in places]
            if name in self.batched
            else each
            for name, each in first.items()
        }

        client = work.client(account, self.tasks.sending)

        async def ask() -> Reply:
            work.check_writing()
            return await work.function.body(client, **merged)

        gate = self._gate(places)
        reply, attempts = await call_with_retries(ask, gate, retries=self.retries)
        if len(reply.value) != len(places):
            raise ModelError(
                f"model {model!r}: {len(reply.value)} answers came for {len(places)} rows.",
                hint="Check that the model does what the function asks of it.",
            )
        return reply, attempts
