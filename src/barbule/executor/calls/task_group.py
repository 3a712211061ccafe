"""The tasks of one operation: what becomes of the others when one of them ends it.

Owns which of them wait for an answer that is paid for. What they do is their own business.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Iterator

__all__ = ["Tasks"]


class Tasks:
    """Tasks that run together, each for some rows.

    Parameters
    ----------
    keeps
        Whether answers outlive the operation. Then those that are on their way when it fails
        are waited for: they are paid for. What has not been asked yet is not asked any more.
    """

    def __init__(self, *, keeps: bool) -> None:
        self._keeps = keeps
        self._sent: set[asyncio.Task[Any] | None] = set()
        self._ended = False

    @contextlib.contextmanager
    def sending(self) -> Iterator[None]:
        """Mark the current task as one that waits for an answer."""
        task = asyncio.current_task()
        self._sent.add(task)
        try:
            yield
        except BaseException:
            self._sent.discard(task)
            if self._ended and task is not None:
                task.cancel()  # it would ask again
            raise

    async def run(self, works: Iterable[Coroutine[Any, Any, Any]]) -> list[Any]:
        """Run them and return their results, in their order."""
        tasks = [asyncio.create_task(work) for work in works]
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

    async def _end(self, tasks: list[asyncio.Task[Any]]) -> None:
        self._ended = True
        for task in tasks:
            if not self._keeps or task not in self._sent:
                task.cancel()
        await asyncio.wait(tasks)


def _errors(tasks: Iterable[asyncio.Task[Any]]) -> Iterator[BaseException]:
    for task in tasks:
        if not task.cancelled() and (error := task.exception()) is not None:
            yield error
