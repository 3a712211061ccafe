"""The time limit of a LiteLLM call, and its cancellation.

LiteLLM prepares a call in a thread before it sends it, and imports a provider's code with the first
call to it, which takes seconds. The time limit starts after that, and a call that is cancelled
during the preparation leaves no coroutine that is never awaited.
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

_POLL_SECONDS = 0.02  # seconds between two checks whether a call is prepared
_MAX_PREPARATION_SECONDS = 120.0  # seconds
Answer = TypeVar("Answer")

_prepared_kinds: set[Hashable] = set()


async def run_with_timeout(
    call: Coroutine[Any, Any, Answer], seconds: float | None, kind: Hashable
) -> Answer:
    """Await a LiteLLM call, with a time limit.

    Parameters
    ----------
    call
        The call, which has not started yet.
    seconds
        How long it may take; None sets no limit.
    kind
        Calls of one kind import the same modules, with the first of them.

    Raises
    ------
    TimeoutError
        When it takes longer.
    """
    task = asyncio.ensure_future(call)
    try:
        if kind not in _prepared_kinds:
            await _wait_for_preparation(task)
            _prepared_kinds.add(kind)
        done, _ = await asyncio.wait({task}, timeout=seconds)
        if not done:
            raise TimeoutError
        return task.result()
    finally:
        if not task.done():
            await _cancel(task)


async def _wait_for_preparation(task: asyncio.Task[Any]) -> None:
    """Wait until LiteLLM has prepared a call."""
    end = time.monotonic() + _MAX_PREPARATION_SECONDS
    while _is_preparing(task) and time.monotonic() < end:
        await asyncio.wait({task}, timeout=_POLL_SECONDS)


async def _cancel(task: asyncio.Task[Any]) -> None:
    await _wait_for_preparation(task)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError, Exception):
        await task


def _is_preparing(task: asyncio.Task[Any]) -> bool:
    """Whether a call has not started, or waits for its preparation thread.

    LiteLLM's main module awaits nothing else that is no coroutine.
    """
    if task.done():
        return False
    innermost: Any = task.get_coro()
    if inspect.getcoroutinestate(innermost) == inspect.CORO_CREATED:
        return True
    while inspect.iscoroutine(inner := innermost.cr_await):
        innermost = inner
    return innermost.cr_frame.f_globals.get("__name__") == "litellm.main"
