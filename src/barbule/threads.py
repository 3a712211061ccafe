"""Threads for functions that are not asynchronous.

Owns how work is spread over threads, in what order its failures count, and how a call gets a
time limit. What the work is, is the caller's business.
"""

from __future__ import annotations

import contextvars
import itertools
import os
import queue
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["TimedCalls", "cores", "in_threads"]


def cores() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_threads(work: Callable[[int], None], count: int, threads: int) -> None:
    """Do `work(0)` to `work(count - 1)`, begun in this order, the calling thread among others.

    After a failure nothing more is begun. What fails is what would have failed one by one:
    everything before the first failure is done, and its error is raised.
    """
    if threads <= 1 or count <= 1:
        for place in range(count):
            work(place)
        return
    crew = _Crew(work, count)
    helpers = [
        threading.Thread(
            target=contextvars.copy_context().run, args=(crew.toil,), name="barbule", daemon=True
        )
        for _ in range(min(threads, count) - 1)
    ]
    for helper in helpers:
        helper.start()
    try:
        crew.toil()
    finally:  # an interrupt too ends the helpers
        crew.stop()
        for helper in helpers:
            helper.join()
    if crew.failures:
        raise crew.failures[min(crew.failures)]


class _Crew:
    """Threads that take the next place as soon as they are free."""

    def __init__(self, work: Callable[[int], None], count: int) -> None:
        self._work = work
        self._count = count
        self._places = itertools.count()
        self._lock = threading.Lock()
        self.failures: dict[int, Exception] = {}

    def stop(self) -> None:
        with self._lock:
            self._count = 0

    def _next(self) -> int | None:
        with self._lock:
            place = next(self._places)
            return place if place < self._count and not self.failures else None

    def toil(self) -> None:
        while (place := self._next()) is not None:
            try:
                self._work(place)
            except Exception as error:  # noqa: BLE001 - raised by the calling thread
                with self._lock:
                    self.failures[place] = error


class TimedCalls:
    """Runs calls with a time limit, in a thread that is used again until a call overruns.

    A thread cannot be stopped: one whose call takes too long is left to itself, and ends when
    the call does.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._inbox: queue.SimpleQueue[Any] | None = None

    def run(self, work: Callable[[], Any]) -> Any:
        """Return what `work` returns.

        Raises
        ------
        TimeoutError
            When it takes longer than allowed.
        """
        if self._inbox is None:
            self._inbox = queue.SimpleQueue()
            threading.Thread(
                target=contextvars.copy_context().run,
                args=(_serve, self._inbox),
                name="barbule-timed",
                daemon=True,
            ).start()
        answer: Future[Any] = Future()
        self._inbox.put((work, answer))
        try:
            return answer.result(self._seconds)
        except TimeoutError as error:
            if answer.done():  # the function's own
                raise
            self.close()
            raise TimeoutError(f"it took longer than {self._seconds} s") from error

    def close(self) -> None:
        """Let the thread end when it has nothing more to do."""
        if self._inbox is not None:
            self._inbox.put(None)
            self._inbox = None


def _serve(inbox: queue.SimpleQueue[Any]) -> None:
    while (task := inbox.get()) is not None:
        work, answer = task
        try:
            answer.set_result(work())
        except BaseException as error:  # noqa: BLE001 - given to the thread that asked
            answer.set_exception(error)
        del task, work, answer  # an idle thread holds on to nothing
