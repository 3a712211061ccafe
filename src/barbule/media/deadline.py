"""The end of a request, however slowly its parts come.

Owns that a connection is ended then: the limits of HTTP clients begin anew with each byte.
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
    """A moment at which what has been begun has to have ended.

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
        """Seconds that are left, none less than a millisecond: clients take 0 for no limit."""
        return max(0.001, self._end - time.monotonic())

    @property
    def passed(self) -> bool:
        """Whether it is over."""
        return time.monotonic() >= self._end

    def call(self, function: Callable[..., Result], *args: Any) -> Result:
        """Call a function of a client that has no limit of its own, in a thread that is given up.

        Raises
        ------
        TimeoutError
            When it has not ended at the deadline.
        """
        done: Future[Result] = Future()
        context = contextvars.copy_context()

        def run() -> None:
            try:
                done.set_result(context.run(function, *args))
            except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
                done.set_exception(error)

        threading.Thread(target=run, name="barbule-fetch", daemon=True).start()
        return done.result(self.remaining)

    @contextmanager
    def watching(self) -> Iterator[Callable[[str, dict[str, Any]], None]]:
        """End at the deadline each connection of a request that is made meanwhile.

        It gives what is told of the request's steps, as httpx' extension "trace".
        """
        connections: list[socket.socket] = []

        def note(step: str, told: dict[str, Any]) -> None:
            if step.endswith("connect_tcp.complete"):
                opened = told["return_value"].get_extra_info("socket")
                # A second handle of the connection: TLS takes the first one away.
                connections.append(socket.socket(fileno=os.dup(opened.fileno())))

        def end() -> None:
            for each in connections:
                with contextlib.suppress(OSError):  # it has ended by itself
                    each.shutdown(socket.SHUT_RDWR)

        timer = threading.Timer(self.remaining, end)
        timer.daemon = True
        timer.start()
        try:
            yield note
        finally:
            timer.cancel()
            timer.join()
            for each in connections:
                each.close()
