"""The tasks of one operation: what happens to the others when one of them ends it.

Owns which of them are awaited because their answers are paid for. It does not know what they do.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Iterator

__all__ = ["TaskGroup"]

T = TypeVar("T")


class TaskGroup:
    """Tasks that run together, each for some rows.

    Parameters
    ----------
    finishes_sent
        Whether requests in flight are awaited when one task fails: their answers outlive the
        operation, and are paid for. Requests that are not sent yet are cancelled.
    """

    def __init__(self, *, finishes_sent: bool) -> None:
        self._finishes_sent = finishes_sent
        self._sent: set[asyncio.Task[Any] | None] = set()
        self._failed = False

    @contextlib.contextmanager
    def sending(self) -> Iterator[None]:
        """Mark the current task as one that waits for an answer."""
        task = asyncio.current_task()
        self._sent.add(task)
        try:
            yield
        except BaseException:
            self._sent.discard(task)
            if self._failed and task is not None:
                task.cancel()  # it would resend its request
            raise

    async def run(self, coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
        """Run them and return their results in order."""
        tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
        if not tasks:
            return []
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            if any(not task.cancelled() and task.exception() is not None for task in done):
                await self._end(tasks)
                raise next(_errors(task for task in tasks if task in done))
            return [task.result() for task in tasks]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _end(self, tasks: list[asyncio.Task[T]]) -> None:
        self._failed = True
        for task in tasks:
            if not self._finishes_sent or task not in self._sent:
                task.cancel()
        await asyncio.wait(tasks)


def _errors(tasks: Iterable[asyncio.Task[T]]) -> Iterator[BaseException]:
    for task in tasks:
        if not task.cancelled() and (error := task.exception()) is not None:
            yield error
