"""Processes for calls that are better made elsewhere: each runs one at a time, beside the others.

Owns the processes of a session. They are started when they are needed, by the name of a program
and not by copying this process, so nothing of it runs twice; they are used again, and end with
the session. One that dies takes nothing with it but its call. A forked child starts its own.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import weakref
from typing import TYPE_CHECKING, Any

from barbule.errors import FunctionError
from barbule.processes.worker import FOUND, read, write

if TYPE_CHECKING:
    from collections.abc import Iterator

    from barbule.processes.worker import Limits, Task

__all__ = ["Processes"]

_PATIENCE = 5.0  # seconds in which a process may end by itself


_ABANDONED: list[Any] = []
_POOLS: weakref.WeakSet[Processes] = weakref.WeakSet()


class Processes:
    """The processes of a session.

    Examples
    --------
    >>> processes = Processes()
    >>> processes.call(("math", "sqrt"), None, 4.0)
    2.0
    >>> processes.close()
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[_Process] = []
        self._all: set[_Process] = set()
        _POOLS.add(self)

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
        return self.limited_call(home, timeout, None, args, kwargs)

    def limited_call(
        self,
        home: tuple[str, str],
        timeout: float | None,
        limits: Limits | None,
        args: tuple[Any, ...],
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call a function as `call` does, with bounds on what it takes of the machine.

        Raises
        ------
        TimeoutError
            When it took longer, or more time of a processor.
        MemoryError
            When it took more memory and could say so.
        FunctionError
            When the process ended, as it does where C code gets no memory.
        """
        process = self._taken()
        try:
            answer, value = process.ask((home, args, kwargs or {}, limits), timeout)
            if answer == "raised" and value[0] == MemoryError.__name__:
                raise MemoryError(value[1])  # noqa: TRY301 - what it took may not be free again
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
            while self._idle:
                process = self._idle.pop()
                if process.is_alive():
                    return process
                self._all.discard(process)
                process.end()
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

    def forget(self) -> None:
        """Let go of the processes of a parent, in its forked child."""
        self._lock = threading.Lock()
        abandoned, self._all, self._idle = self._all, set(), []
        for process in abandoned:
            process.abandon()


def _forget_in_child() -> None:
    for processes in list(_POOLS):
        processes.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)


class _Process:
    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "barbule.processes.worker"],
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

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, task: Task, timeout: float | None) -> Any:
        overran = threading.Event()
        home = task[0]
        try:
            write(self._stdin, task)
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
            code = self._process.wait(_PATIENCE)
            limits = task[3]
            if limits is not None and -code == getattr(signal, "SIGXCPU", None):
                raise TimeoutError(f"it took more than {limits.seconds} s") from error
            raise FunctionError(
                f"its process {_ended(code)}.",
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

    def abandon(self) -> None:
        """Close what a forked child has of its parent's process, which stays the parent's."""
        self._process.returncode = 0  # not to be waited for
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                nothing = os.open(os.devnull, os.O_RDWR)
                os.dup2(nothing, stream.fileno(), inheritable=False)
                os.close(nothing)
                _ABANDONED.append(stream)  # a thread of the parent may hold its lock for ever


def _ended(code: int) -> str:
    if code >= 0:
        return f"ended with the code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by the signal {-code}"
