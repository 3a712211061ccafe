"""Answers on their way into the ledger: written as they arrive, by a thread that does only that.

Owns when they are written. Whoever computes does not wait for the database, and what a crash
loses is what arrived in the last hundredth of a second.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor, Future

__all__ = ["Keeping"]

_PAUSE = 0.01  # seconds in which answers gather that are written together

T = TypeVar("T")


class Keeping(Generic[T]):
    """What arrives in the course of one operation.

    Parameters
    ----------
    write
        Writes a few.
    writer
        The thread that writes while others arrive.
    """

    def __init__(self, write: Callable[[list[T]], None], writer: Executor) -> None:
        self._write = write
        self._writer = writer
        self._lock = threading.Lock()
        self._finished = threading.Event()
        self._waiting: list[T] = []
        self._scheduled = False
        self._last: Future[None] | None = None

    def add(self, each: T) -> None:
        """Take what has arrived; any thread may call it."""
        with self._lock:
            self._waiting.append(each)
            if not self._scheduled and not self._finished.is_set():
                self._schedule()

    def _schedule(self) -> None:
        self._scheduled = True
        self._last = self._writer.submit(self._soon)

    def _soon(self) -> None:
        self._finished.wait(_PAUSE)
        ready = self._taken()
        try:
            if ready:
                self._write(ready)
        except Exception:  # noqa: BLE001 - `finish` tries again, and says what is wrong
            with self._lock:
                self._waiting = ready + self._waiting
                return  # still scheduled: until then nothing is written
        with self._lock:
            # Another turn in the queue: other operations have answers too.
            if self._waiting and not self._finished.is_set():
                self._schedule()
            else:
                self._scheduled = False

    def _taken(self) -> list[T]:
        with self._lock:
            ready, self._waiting = self._waiting, []
        return ready

    def finish(self) -> None:
        """Wait until all that has arrived is written."""
        self._finished.set()
        if ready := self._taken():
            self._write(ready)
        if self._last is not None and not self._last.cancel():
            self._last.result()
        if ready := self._taken():  # what could not be written before
            self._write(ready)
