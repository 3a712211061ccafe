"""Answers on their way into the ledger: written as they arrive, by a thread that does only that.

Owns when they are written. Whoever computes does not wait for the database, and what a crash
loses is what arrived in the last hundredth of a second.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable
    from concurrent.futures import Executor, Future

__all__ = ["Keeping"]

_PAUSE = 0.01  # seconds in which answers gather that are written together

T = TypeVar("T")
_Arrived = tuple[T, Callable[[], None] | None]


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
        self._waiting: list[_Arrived[T]] = []
        self._scheduled = False
        self._failed = False
        self._last: Future[None] | None = None

    def add(self, each: T, written: Callable[[], None] | None = None) -> None:
        """Take what has arrived; any thread may call it.

        Parameters
        ----------
        each
            What to write.
        written
            Called, by any thread, when it is written, or when it cannot be for now.
        """
        with self._lock:
            later = not self._failed and not self._finished.is_set()
            self._waiting.append((each, written if later else None))
            if later and not self._scheduled:
                self._schedule()
        if written is not None and not later:
            written()

    def _schedule(self) -> None:
        self._scheduled = True
        self._last = self._writer.submit(self._soon)

    def _soon(self) -> None:
        self._finished.wait(_PAUSE)
        ready = self._taken()
        try:
            self._write_and_tell(ready)
        except Exception:  # noqa: BLE001 - `finish` tries again, and says what is wrong
            with self._lock:  # still scheduled: until then nothing is written
                self._failed = True
                late = self._waiting
                self._waiting = [(each, None) for each, _ in ready + late]
            _tell(late)
            return
        with self._lock:
            # Another turn in the queue: other operations have answers too.
            if self._waiting and not self._finished.is_set():
                self._schedule()
            else:
                self._scheduled = False

    def _taken(self) -> list[_Arrived[T]]:
        with self._lock:
            ready, self._waiting = self._waiting, []
        return ready

    def _write_and_tell(self, ready: list[_Arrived[T]]) -> None:
        if not ready:
            return
        try:
            self._write([each for each, _ in ready])
        finally:
            _tell(ready)

    def finish(self) -> tuple[list[T], Callable[[], None]]:
        """Write nothing more.

        Returns
        -------
        tuple
            What is not written yet, or could not be; and what tells those who wait for it.
        """
        self._finished.set()
        if self._last is not None and not self._last.cancel():
            self._last.result()
        rest = self._taken()
        return [each for each, _ in rest], lambda: _tell(rest)


def _tell(arrived: Iterable[_Arrived[Any]]) -> None:
    for _, written in arrived:
        if written is not None:
            written()
