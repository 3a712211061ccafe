"""The time limit of a call of LiteLLM, and its end.

Owns from when the time counts, and that a call which is given up leaves nothing behind. LiteLLM
prepares each question in a thread, which gives the coroutine that asks: with the first question
to a provider it imports what it needs there, which takes seconds and is none of the provider's
time; and a coroutine that comes when nobody waits for it any more is never awaited.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import time
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine, Hashable

__all__ = ["run_with_timeout"]

_POLL_SECONDS = 0.02  # seconds between two looks whether a question is prepared
_MAX_PREPARATION = 120.0  # seconds
Answer = TypeVar("Answer")

_prepared: set[Hashable] = set()


async def run_with_timeout(
    call: Coroutine[Any, Any, Answer], seconds: float | None, kind: Hashable
) -> Answer:
    """Return what a call of LiteLLM gives.

    Parameters
    ----------
    call
        The call, which is not yet begun.
    seconds
        How long it may take; None sets no limit.
    kind
        Calls of one kind need the same modules: only the first of them may have to import.

    Raises
    ------
    TimeoutError
        When it takes longer.
    """
    task = asyncio.ensure_future(call)
    try:
        if kind not in _prepared:
            await _wait_for_preparation(task)
            _prepared.add(kind)
        done, _ = await asyncio.wait({task}, timeout=seconds)
        if not done:
            raise TimeoutError
        return task.result()
    finally:
        if not task.done():
            await _cancel(task)


async def _wait_for_preparation(task: asyncio.Task[Any]) -> None:
    """Wait until LiteLLM has prepared a question."""
    end = time.monotonic() + _MAX_PREPARATION
    while _is_preparing(task) and time.monotonic() < end:
        await asyncio.wait({task}, timeout=_POLL_SECONDS)


async def _cancel(task: asyncio.Task[Any]) -> None:
    await _wait_for_preparation(task)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError, Exception):
        await task


def _is_preparing(task: asyncio.Task[Any]) -> bool:
    """Whether a call has not begun, or waits for its thread.

    Its own module awaits nothing else that is no coroutine.
    """
    if task.done():
        return False
    innermost: Any = task.get_coro()
    if inspect.getcoroutinestate(innermost) == inspect.CORO_CREATED:
        return True
    while inspect.iscoroutine(inner := innermost.cr_await):
        innermost = inner
    return innermost.cr_frame.f_globals.get("__name__") == "litellm.main"
