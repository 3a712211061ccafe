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

__all__ = ["Keeping", "UnwrittenError"]

_PAUSE = 0.01  # seconds in which answers gather that are written together

T = TypeVar("T")
_Arrived = tuple[T, Callable[[], None] | None]


class UnwrittenError(Exception):
    """Answers that have arrived cannot be written: nothing more is to be asked.

    Parameters
    ----------
    failure
        What their writing failed with.
    """

    def __init__(self, failure: Exception) -> None:
        super().__init__(str(failure))
        self.failure = failure


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
        self._failure: Exception | None = None
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
            later = self._failure is None and not self._finished.is_set()
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
            if ready:
                self._write([each for each, _ in ready])
        except Exception as error:  # noqa: BLE001 - `finish` tries again, and says what is wrong
            with self._lock:  # still scheduled: until then nothing is written
                self._failure = error
                late = self._waiting
                self._waiting = [(each, None) for each, _ in ready + late]
            _tell(ready + late)
            return
        except BaseException:
            _tell(ready)
            raise
        _tell(ready)
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

    def check(self) -> None:
        """Make sure that what arrives can be written; any thread may call it.

        Raises
        ------
        UnwrittenError
            When the last writing has failed.
        """
        if self._failure is not None:
            raise UnwrittenError(self._failure)

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
