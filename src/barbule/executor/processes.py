"""Processes for functions that compute: each runs one call at a time, beside the others.

Owns the processes of a session. They are started when they are needed, by the name of a program
and not by copying this process, so nothing of it runs twice; they are used again, and end with
the session. One that dies takes nothing with it but its call.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

from barbule.errors import FunctionError
from barbule.executor.worker import FOUND, read, write

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Processes"]

_PATIENCE = 5.0  # seconds in which a process may end by itself


class Processes:
    """The processes of a session."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[_Process] = []
        self._all: set[_Process] = set()

    def call(
        self, home: tuple[str, str], timeout: float | None, /, *args: Any, **kwargs: Any
    ) -> Any:
        """Call a function in another process and return its result.

        Parameters
        ----------
        home
            The module that defines the function, and its qualified name there.
        timeout
            Seconds after which the process is ended. They begin when the function is called: that
            a process starts and imports it takes longer where much else runs, and is not its time.

        Raises
        ------
        TimeoutError
            When it took longer.
        FunctionError
            When the process ended.
        """
        process = self._taken()
        try:
            answer, value = process.ask(home, args, kwargs, timeout)
        except BaseException as error:
            self._forget(process)
            if not isinstance(error, Exception):  # Ctrl-C: the calls beside this one end too
                self.close()
            raise
        with self._lock:
            self._idle.append(process)
        if answer == "gave":
            return value
        name, text, told = value
        # Its class may not be known here, or not be made from its text.
        raised: Exception = type(name, (Exception,), {"__module__": "builtins"})(text)
        raised.add_note(f"In another process:\n{told}")
        raise raised

    def _taken(self) -> _Process:
        with self._lock:
            if self._idle:
                return self._idle.pop()
            process = _Process()
            self._all.add(process)
            return process

    def _forget(self, process: _Process) -> None:
        with self._lock:
            self._all.discard(process)
        process.end()

    def close(self) -> None:
        """End all processes."""
        with self._lock:
            ending, self._all, self._idle = self._all, set(), []
        for process in ending:
            process.end()


class _Process:
    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "barbule.executor.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._found: set[tuple[str, str]] = set()
        write(self._stdin, sys.path)

    @property
    def _stdin(self) -> Any:
        return self._process.stdin

    @property
    def _stdout(self) -> Any:
        return self._process.stdout

    def ask(
        self,
        home: tuple[str, str],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        timeout: float | None,
    ) -> Any:
        overran = threading.Event()
        try:
            write(self._stdin, (home, args, kwargs))
            if home not in self._found:
                answer = read(self._stdout)
                if answer != FOUND:
                    return answer
                self._found.add(home)
            with self._limited(timeout, overran):
                return read(self._stdout)
        except (EOFError, BrokenPipeError) as error:
            if overran.is_set():
                raise TimeoutError(f"it took longer than {timeout} s") from error
            raise FunctionError(
                f"its process {_ended(self._process.wait(_PATIENCE))}.",
                hint="Look for a crash in what it calls, or for too little memory.",
            ) from error

    @contextlib.contextmanager
    def _limited(self, timeout: float | None, overran: threading.Event) -> Iterator[None]:
        """End the process when something takes longer."""
        if timeout is None:
            yield
            return
        clock = threading.Timer(timeout, self._overrun, (overran,))
        clock.daemon = True
        clock.start()
        try:
            yield
        finally:
            clock.cancel()

    def _overrun(self, overran: threading.Event) -> None:
        overran.set()
        self._process.kill()

    def end(self) -> None:
        self._process.kill()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):  # what could not be sent
                    stream.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_PATIENCE)


def _ended(code: int) -> str:
    if code >= 0:
        return f"ended with the code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by the signal {-code}"
