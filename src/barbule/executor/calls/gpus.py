"""The graphics processors of this machine, shared by the calls that need them.

Owns how many there are, and that no more calls run at once than fit on them. Which of several a
call uses is decided by the library that it calls.
"""

from __future__ import annotations

import asyncio
import functools
import os
import threading
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from barbule.errors import UnsupportedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from contextlib import AbstractContextManager

__all__ = ["Gpus", "count_gpus"]

_DRIVER = Path("/proc/driver/nvidia/gpus")
_SMALL = 1e-9


def count_gpus() -> int:
    """Return how many graphics processors this process may use; no library is loaded for it.

    `CUDA_VISIBLE_DEVICES` says it where it is set; else NVIDIA's driver, or Apple's PyTorch
    backend, which every machine of theirs with its own processors has.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        devices = [each.strip() for each in visible.split(",")]
        # The list ends where it names none.
        ends = [place for place, each in enumerate(devices) if not each or each.startswith("-")]
        return min([*ends, len(devices)])
    if hasattr(os, "uname") and os.uname().sysname == "Darwin":
        return int(os.uname().machine == "arm64")
    return len(list(_DRIVER.iterdir())) if _DRIVER.is_dir() else 0


class Gpus:
    """What calls hold of the graphics processors of a session."""

    def __init__(self) -> None:
        self._held = 0.0
        self._changed = threading.Condition()

    @functools.cached_property
    def count(self) -> int:
        """How many there are."""
        return count_gpus()

    @contextmanager
    def hold(self, share: float, function: str) -> Iterator[None]:
        """Hold so many, or a part of one, meanwhile; wait until they are free.

        Raises
        ------
        UnsupportedError
            When there are not so many.
        """
        if share > self.count:
            raise UnsupportedError(
                f"{function} needs {share:g} GPU, and this machine has {self.count}.",
                hint="Call it where there are enough, or leave resources= out.",
            )
        with self._changed:
            self._changed.wait_for(lambda: self._held + share <= self.count + _SMALL)
            self._held += share
        try:
            yield
        finally:
            with self._changed:
                self._held -= share
                self._changed.notify_all()

    @asynccontextmanager
    async def hold_async(self, share: float, function: str) -> AsyncIterator[None]:
        """Hold them for a coroutine; others go on while it waits."""
        held = self.hold(share, function)
        entering = asyncio.ensure_future(asyncio.to_thread(held.__enter__))
        try:
            await asyncio.shield(entering)
        except asyncio.CancelledError:
            entering.add_done_callback(functools.partial(_leave, held))
            raise
        try:
            yield
        finally:
            held.__exit__(None, None, None)


def _leave(held: AbstractContextManager[None], entering: asyncio.Future[None]) -> None:
    """Give back what was waited for in vain; why it could not be had is of no interest by then."""
    if not entering.cancelled() and entering.exception() is None:
        held.__exit__(None, None, None)
