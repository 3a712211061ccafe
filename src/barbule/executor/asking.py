"""Questions to models that are about many rows at once, as embeddings are.

Owns how rows share a question, how its price is shared among them, and how one bad row is found
among good ones. How a single question is asked is `batch`'s and `models.rates`' business.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

from barbule.errors import BarbuleError, ModelError
from barbule.models.base import Usage
from barbule.models.rates import call_with_retries

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from barbule.executor.work import Record, Work
    from barbule.models.base import Reply
    from barbule.models.rates import Gate

__all__ = ["in_batches"]


async def in_batches(
    work: Work, rows: Sequence[tuple[Any, ...]], record: Record | None, *, retries: int
) -> list[Any]:
    """Ask a model function of several rows a question; return the rows' answers in their order."""
    await work.caller.client.ready()
    asking = _Asking(work, rows, record, retries)
    tasks = [asyncio.create_task(asking.ask(places)) for places in asking.shared()]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
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
        started = time.perf_counter()
        try:
            reply, attempts = await self._reply(places)
        except Exception as error:  # noqa: BLE001 - providers' code may raise anything
            split = isinstance(error, BarbuleError) and not error.retryable and len(places) > 1
            if split and not getattr(error, "lasting", False):
                middle = len(places) // 2
                await self.ask(places[:middle])
                await self.ask(places[middle:])
                return
            seconds = (time.perf_counter() - started) / len(places)
            for place in places:
                self.results[place] = self.work.failed(
                    place, error, seconds, model=self._model(places)
                )
            self.work.meter.done(len(places))
            return
        seconds = (time.perf_counter() - started) / len(places)
        written = self._gate(places).answered() if self.record else None
        for place, value, usage in zip(
            places, reply.value, _shares(reply.usage, len(places)), strict=True
        ):
            self.results[place] = value
            if self.record:
                self.record(
                    place,
                    value,
                    seconds=seconds,
                    attempts=attempts,
                    model=self._model(places),
                    tokens_in=usage.tokens_in,
                    tokens_out=usage.tokens_out,
                    usd=usage.usd,
                    # Answers are written in their order, so the last one tells of all.
                    written=written if place == places[-1] else None,
                )
        self.work.meter.done(len(places))

    def _model(self, places: list[int]) -> str:
        named = self.work.function.model_of
        return named(self.arguments[places[0]]) if named else ""

    def _gate(self, places: list[int]) -> Gate:
        return self.work.caller.gate(self._model(places))

    async def _reply(self, places: list[int]) -> tuple[Reply, int]:
        work, model = self.work, self._model(places)
        first = self.arguments[places[0]]
        merged = {
            name: [self.arguments[place][name] for place in places]
            if name in self.batched
            else each
            for name, each in first.items()
        }

        async def ask() -> Reply:
            return await work.function.body(work.client, **merged)

        gate = self._gate(places)
        reply, attempts = await call_with_retries(ask, gate, retries=self.retries)
        if len(reply.value) != len(places):
            raise ModelError(
                f"model {model!r}: {len(reply.value)} answers came for {len(places)} rows.",
                hint="Check that the model does what the function asks of it.",
            )
        return reply, attempts


def _shares(usage: Usage, count: int) -> list[Usage]:
    """Share what a question used among its rows, so that the sum is what it was."""

    def whole(tokens: int | None) -> list[int | None]:
        if tokens is None:
            return [None] * count
        each, rest = divmod(tokens, count)
        return [each + (place < rest) for place in range(count)]

    usd = None if usage.usd is None else usage.usd / count
    return [
        Usage(tokens_in, tokens_out, usd)
        for tokens_in, tokens_out in zip(
            whole(usage.tokens_in), whole(usage.tokens_out), strict=True
        )
    ]
