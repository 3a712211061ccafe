"""Writes answers to the ledger as they arrive, in a thread that does only that.

Owns when they are written. Operations do not wait for the database, and a crash loses what
arrived in the last hundredth of a second.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from barbule.tracing import carried

if TYPE_CHECKING:
    from collections.abc import Iterable
    from concurrent.futures import Executor, Future

__all__ = ["AnswerWriter", "UnwrittenError"]

_GATHERING_SECONDS = 0.01  # in which answers are collected that are written together

T = TypeVar("T")
_Arrival = tuple[T, Callable[[], None] | None]
"""An answer, and the callback when it is written."""


class UnwrittenError(Exception):
    """Answers that have arrived cannot be written: no further calls are made.

    Parameters
    ----------
    failure
        The error of the write.
    """

    def __init__(self, failure: Exception) -> None:
        super().__init__(str(failure))
        self.failure = failure


class AnswerWriter(Generic[T]):
    """Writes the answers that arrive in the course of one operation.

    Parameters
    ----------
    write
        Writes a few answers.
    executor
        The thread that writes while others arrive.
    """

    def __init__(self, write: Callable[[list[T]], None], executor: Executor) -> None:
        self._write = write
        self._executor = executor
        self._lock = threading.Lock()
        self._finished = threading.Event()
        self._waiting: list[_Arrival[T]] = []
        self._scheduled = False
        self._failure: Exception | None = None
        self._last_write: Future[None] | None = None

    def add(self, answer: T, written: Callable[[], None] | None = None) -> None:
        """Take an answer that has arrived; any thread may call it.

        Parameters
        ----------
        written
            Called, by any thread, when it is written, or when it cannot be written for now.
        """
        with self._lock:
            is_open = self._failure is None and not self._finished.is_set()
            self._waiting.append((answer, written if is_open else None))
            if is_open and not self._scheduled:
                self._schedule()
        if written is not None and not is_open:
            written()

    def _schedule(self) -> None:
        self._scheduled = True
        self._last_write = self._executor.submit(carried(self._write_waiting))

    def _write_waiting(self) -> None:
        self._finished.wait(_GATHERING_SECONDS)
        arrivals = self._take_waiting()
        try:
            if arrivals:
                self._write([answer for answer, _ in arrivals])
        except Exception as error:  # noqa: BLE001 - `finish` tries again, and raises it
            with self._lock:  # still scheduled: until then nothing is written
                self._failure = error
                late_arrivals = self._waiting
                self._waiting = [(answer, None) for answer, _ in arrivals + late_arrivals]
            _notify(arrivals + late_arrivals)
            return
        except BaseException:
            _notify(arrivals)
            raise
        _notify(arrivals)
        with self._lock:
            # Another turn in the queue: other operations have answers too.
            if self._waiting and not self._finished.is_set():
                self._schedule()
            else:
                self._scheduled = False

    def _take_waiting(self) -> list[_Arrival[T]]:
        with self._lock:
            arrivals, self._waiting = self._waiting, []
        return arrivals

    def check(self) -> None:
        """Check that answers can be written; any thread may call it.

        Raises
        ------
        UnwrittenError
            If the last write has failed.
        """
        if self._failure is not None:
            raise UnwrittenError(self._failure)

    def finish(self) -> tuple[list[T], Callable[[], None]]:
        """End the writing.

        Returns
        -------
        tuple
            The answers that are not written yet, or could not be; and the notification of waiting
            threads.
        """
        self._finished.set()
        if self._last_write is not None and not self._last_write.cancel():
            self._last_write.result()
        arrivals = self._take_waiting()
        return [answer for answer, _ in arrivals], lambda: _notify(arrivals)


def _notify(arrivals: Iterable[_Arrival[Any]]) -> None:
    for _, written in arrivals:
        if written is not None:
            written()
