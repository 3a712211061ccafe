"""The GPUs of this machine, shared by the calls that need them.

Owns their number, and that no more calls run at once than fit on them. The library that a call uses
chooses the GPU.
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

_DRIVER_FOLDER = Path("/proc/driver/nvidia/gpus")
_ROUNDING_ERROR = 1e-9  # tolerance of shares that are added and subtracted


def count_gpus() -> int:
    """Return the number of GPUs that this process may use; no library is loaded for it.

    They are counted in `CUDA_VISIBLE_DEVICES` if it is set, otherwise by NVIDIA's driver; a machine
    with Apple silicon has one.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        devices = [device.strip() for device in visible.split(",")]
        # CUDA ignores what follows an invalid device.
        invalid = [
            index for index, device in enumerate(devices) if not device or device.startswith("-")
        ]
        return min([*invalid, len(devices)])
    if hasattr(os, "uname") and os.uname().sysname == "Darwin":
        return int(os.uname().machine == "arm64")
    return len(list(_DRIVER_FOLDER.iterdir())) if _DRIVER_FOLDER.is_dir() else 0


class Gpus:
    """The GPUs of a session, and the shares that calls hold."""

    def __init__(self) -> None:
        self._held_share = 0.0
        self._changed = threading.Condition()

    @functools.cached_property
    def count(self) -> int:
        """How many there are."""
        return count_gpus()

    @contextmanager
    def hold(self, share: float, function: str) -> Iterator[None]:
        """Hold a number of GPUs, or a fraction of one, within the block; wait until they are free.

        Raises
        ------
        UnsupportedError
            If the machine has fewer.
        """
        if share > self.count:
            raise UnsupportedError(
                f"{function} needs {share:g} GPU, but this machine has {self.count}.",
                hint="Run it on a machine with enough GPUs, or remove resources=.",
            )
        with self._changed:
            self._changed.wait_for(lambda: self._held_share + share <= self.count + _ROUNDING_ERROR)
            self._held_share += share
        try:
            yield
        finally:
            with self._changed:
                self._held_share -= share
                self._changed.notify_all()

    @asynccontextmanager
    async def hold_async(self, share: float, function: str) -> AsyncIterator[None]:
        """Hold them for a coroutine; others continue while it waits."""
        hold = self.hold(share, function)
        entering = asyncio.ensure_future(asyncio.to_thread(hold.__enter__))
        try:
            await asyncio.shield(entering)
        except asyncio.CancelledError:
            entering.add_done_callback(functools.partial(_release, hold))
            raise
        try:
            yield
        finally:
            hold.__exit__(None, None, None)


def _release(hold: AbstractContextManager[None], entering: asyncio.Future[None]) -> None:
    """Release what a cancelled coroutine waited for; errors of the wait are ignored."""
    if not entering.cancelled() and entering.exception() is None:
        hold.__exit__(None, None, None)
