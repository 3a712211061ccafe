"""Heartbeats of processes.

Owns a file in which each process has a slot, locked as long as the process lives, and writes a new
number every second. A process that holds a lock and no longer writes is stopped, or hangs.
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

_SLOT_COUNT = 4096  # maximum number of processes with a heartbeat; others never count as stopped
_SLOT = struct.Struct("<qq")  # the pid, and a number that differs each time
_BEAT_SECONDS = 1.0
SILENCE = 10.0  # seconds without a heartbeat after which a process counts as stopped


class Heartbeats:
    """The heartbeats of this process, and those of others.

    Parameters
    ----------
    file
        Created on first use. A process may have one object per file, because the objects share
        locks.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._descriptor: int | None = None
        self._slot: int | None = None
        self._beating = 0
        self._ended = threading.Condition(self._lock)
        self._last_beats: dict[int, tuple[list[int], float]] = {}

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Write heartbeats in this context."""
        with self._lock:
            self._beat()
            self._beating += 1
            if self._beating == 1:
                threading.Thread(target=self._run, name="barbule-beat", daemon=True).start()
        try:
            yield
        finally:
            with self._lock:
                self._beating -= 1
                self._ended.notify_all()

    def _run(self) -> None:
        with self._lock:
            while not self._ended.wait_for(lambda: not self._beating, _BEAT_SECONDS):
                self._beat()

    def _beat(self) -> None:
        import fcntl

        file = self._opened()
        if self._slot is None:
            for slot in range(_SLOT_COUNT):
                with contextlib.suppress(BlockingIOError, PermissionError):
                    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, slot)
                    self._slot = slot
                    break
        if self._slot is not None:
            beat = _SLOT.pack(os.getpid(), time.monotonic_ns())
            os.pwrite(file, beat, self._slot * _SLOT.size)

    def _opened(self) -> int:
        if self._descriptor is None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT, 0o644)
        return self._descriptor

    def is_silent(self, pid: int, silence: float = SILENCE) -> bool:
        """Whether a process has had no heartbeat for so many seconds, since the first check."""
        with self._lock:
            written = os.pread(self._opened(), _SLOT_COUNT * _SLOT.size, 0)
            complete_bytes = len(written) - len(written) % _SLOT.size
            slots = _SLOT.iter_unpack(written[:complete_bytes])
            beats = [beat for slot_pid, beat in slots if slot_pid == pid]
            now = time.monotonic()
            last = self._last_beats.get(pid)
            if not beats or last is None or last[0] != beats:
                self._last_beats[pid] = (beats, now)
                return False
            return now - last[1] > silence

    def close(self) -> None:
        """Release the slot."""
        with self._lock:
            descriptor, self._descriptor, self._slot = self._descriptor, None, None
        if descriptor is not None:
            os.close(descriptor)
