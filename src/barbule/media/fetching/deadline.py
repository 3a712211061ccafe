"""Deadlines of requests, regardless of how slowly their parts arrive.

Owns that a connection is ended at the deadline: the timeouts of HTTP clients restart with each
byte.
"""

from __future__ import annotations

import contextlib
import contextvars
import os
import socket
import threading
import time
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Deadline"]

Result = TypeVar("Result")


class Deadline:
    """A point in time at which an operation must have ended.

    Parameters
    ----------
    seconds
        From now.

    Examples
    --------
    >>> Deadline(60).passed, Deadline(0).passed
    (False, True)
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    @property
    def remaining(self) -> float:
        """The remaining seconds, at least a millisecond: clients interpret 0 as no limit."""
        return max(0.001, self._end - time.monotonic())

    @property
    def passed(self) -> bool:
        """Whether it is over."""
        return time.monotonic() >= self._end

    def call(self, function: Callable[..., Result], *args: Any) -> Result:
        """Call a function of a client without its own limit, in a thread that may be abandoned.

        Raises
        ------
        TimeoutError
            If it has not ended at the deadline.
        """
        done: Future[Result] = Future()
        context = contextvars.copy_context()

        def run(done: Future[Result]) -> None:
            try:
                done.set_result(context.run(function, *args))
            except BaseException as error:  # noqa: BLE001 - raised by the caller that waits
                done.set_exception(error)
            finally:
                del done

        threading.Thread(target=run, args=(done,), name="barbule-fetch", daemon=True).start()
        try:
            return done.result(self.remaining)
        finally:
            # The caller holds the error, which holds this frame: a reference cycle, which would
            # keep the callers' objects, including images, until the garbage collector runs.
            del done

    @contextmanager
    def watching(self) -> Iterator[Callable[[str, dict[str, Any]], None]]:
        """End all connections of a request that are opened in this context at the deadline.

        It yields the function for httpx' extension "trace", which receives the request's steps.
        """
        connections: list[socket.socket] = []

        def trace(step: str, event: dict[str, Any]) -> None:
            if step.endswith("connect_tcp.complete"):
                connection = event["return_value"].get_extra_info("socket")
                # A second handle of the connection: TLS detaches the first one.
                connections.append(socket.socket(fileno=os.dup(connection.fileno())))

        def end_connections() -> None:
            for connection in connections:
                with contextlib.suppress(OSError):  # it has ended by itself
                    connection.shutdown(socket.SHUT_RDWR)

        timer = threading.Timer(self.remaining, end_connections)
        timer.daemon = True
        timer.start()
        try:
            yield trace
        finally:
            timer.cancel()
            timer.join()
            for connection in connections:
                connection.close()
