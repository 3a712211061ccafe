"""Threads for synchronous functions.

Owns how work items are distributed over threads, which of their errors is raised, and how a call
gets a time limit. The caller decides what is computed.
"""

from __future__ import annotations

import contextvars
import itertools
import os
import queue
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    _TimedCall = tuple[Callable[[], Any], Future[Any]]

__all__ = ["TimedCalls", "cores", "in_threads"]

T = TypeVar("T")


def cores() -> int:
    """Return the number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_threads(work: Callable[[int], None], count: int, threads: int) -> None:
    """Call `work(0)` to `work(count - 1)`, started in this order, in several threads.

    After a failure no further call is started. The raised error is the same as in a loop: all calls
    before the first failure are made, and its error is raised.
    """
    if threads <= 1 or count <= 1:
        for index in range(count):
            work(index)
        return
    work_queue = _WorkQueue(work, count)
    helpers = [
        threading.Thread(
            target=contextvars.copy_context().run,
            args=(work_queue.run,),
            name="barbule",
            daemon=True,
        )
        for _ in range(min(threads, count) - 1)
    ]
    for helper in helpers:
        helper.start()
    try:
        work_queue.run()
    finally:  # an interrupt ends the helpers as well
        work_queue.stop()
        for helper in helpers:
            helper.join()
    if work_queue.errors:
        raise work_queue.errors[min(work_queue.errors)]


class _WorkQueue:
    """Calls by index; each thread takes the next one as soon as it is free."""

    def __init__(self, work: Callable[[int], None], count: int) -> None:
        self._work = work
        self._count = count
        self._indices = itertools.count()
        self._lock = threading.Lock()
        self.errors: dict[int, Exception] = {}

    def stop(self) -> None:
        with self._lock:
            self._count = 0

    def _next(self) -> int | None:
        with self._lock:
            index = next(self._indices)
            return index if index < self._count and not self.errors else None

    def run(self) -> None:
        while (index := self._next()) is not None:
            try:
                self._work(index)
            except Exception as error:  # noqa: BLE001 - raised by the calling thread
                with self._lock:
                    self.errors[index] = error


class TimedCalls:
    """Runs calls with a time limit, in a thread that is reused until a call overruns.

    A thread cannot be stopped: if its call takes too long, it is abandoned and ends when the call
    ends.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._inbox: queue.SimpleQueue[_TimedCall | None] | None = None

    def run(self, call: Callable[[], T]) -> T:
        """Return what `call` returns.

        Raises
        ------
        TimeoutError
            If it takes longer than allowed.
        """
        if self._inbox is None:
            self._inbox = queue.SimpleQueue()
            threading.Thread(
                target=contextvars.copy_context().run,
                args=(_serve, self._inbox),
                name="barbule-timed",
                daemon=True,
            ).start()
        result: Future[T] = Future()
        self._inbox.put((call, result))
        try:
            return result.result(self._seconds)
        except TimeoutError as error:
            if result.done():  # the function's own
                raise
            self.close()
            raise TimeoutError(f"it took longer than {self._seconds} s") from error

    def close(self) -> None:
        """Let the thread end after its calls."""
        if self._inbox is not None:
            self._inbox.put(None)
            self._inbox = None


def _serve(inbox: queue.SimpleQueue[_TimedCall | None]) -> None:
    while (timed_call := inbox.get()) is not None:
        call, result = timed_call
        try:
            result.set_result(call())
        except BaseException as error:  # noqa: BLE001 - raised by the calling thread
            result.set_exception(error)
        del timed_call, call, result  # so that an idle thread keeps no objects alive
