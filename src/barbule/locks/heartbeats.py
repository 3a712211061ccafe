"""Signs of life of processes.

Owns a file in which each process has a slot, locked as long as it lives, and writes there now and
then. Who has locked something and writes no more is stopped, or hangs.
"""

from __future__ import annotations

import contextlib
import os
import struct
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["SILENCE", "Heartbeats"]

_SLOTS = 4096  # processes that may be at work at a time; more are believed to live
_SLOT = struct.Struct("<qq")  # the pid, and what is another number each time
_BEAT = 1.0  # seconds between two signs
SILENCE = 10.0  # seconds without one after which a process counts as stopped


class Heartbeats:
    """The signs of life of this process, and what is seen of others'.

    Parameters
    ----------
    file
        Is made when it is needed. A process may have one of a file, as its locks are those of all.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._descriptor: int | None = None
        self._slot: int | None = None
        self._beating = 0
        self._ended = threading.Condition(self._lock)
        self._last_signs: dict[int, tuple[list[int], float]] = {}

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Give signs of life meanwhile."""
        with self._lock:
            self._beat()
            self._beating += 1
            if self._beating == 1:
                threading.Thread(target=self._go_on, name="barbule-beat", daemon=True).start()
        try:
            yield
        finally:
            with self._lock:
                self._beating -= 1
                self._ended.notify_all()

    def _go_on(self) -> None:
        with self._lock:
            while not self._ended.wait_for(lambda: not self._beating, _BEAT):
                self._beat()

    def _beat(self) -> None:
        import fcntl

        file = self._opened()
        if self._slot is None:
            for slot in range(_SLOTS):
                with contextlib.suppress(BlockingIOError, PermissionError):
                    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, slot)
                    self._slot = slot
                    break
        if self._slot is not None:
            sign = _SLOT.pack(os.getpid(), time.monotonic_ns())
            os.pwrite(file, sign, self._slot * _SLOT.size)

    def _opened(self) -> int:
        if self._descriptor is None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT, 0o644)
        return self._descriptor

    def is_silent(self, pid: int, silence: float = SILENCE) -> bool:
        """Whether a process has given no sign for so many seconds, since it was looked for."""
        with self._lock:
            written = os.pread(self._opened(), _SLOTS * _SLOT.size, 0)
            complete_bytes = len(written) - len(written) % _SLOT.size
            signs = [sign for of, sign in _SLOT.iter_unpack(written[:complete_bytes]) if of == pid]
            now = time.monotonic()
            last_sign = self._last_signs.get(pid)
            if not signs or last_sign is None or last_sign[0] != signs:
                self._last_signs[pid] = (signs, now)
                return False
            return now - last_sign[1] > silence

    def close(self) -> None:
        """Let go of the slot."""
        with self._lock:
            descriptor, self._descriptor, self._slot = self._descriptor, None, None
        if descriptor is not None:
            os.close(descriptor)
