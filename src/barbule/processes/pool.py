"""Worker processes that run functions in parallel, one call each at a time.

Owns the processes of a session. They are started on demand, by program name and not as a copy of
this process, so none of its code runs twice; they are reused, and end with the session. If one
dies, only its own call fails. A forked child starts its own.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import weakref
from typing import IO, TYPE_CHECKING, Any

from barbule.errors import FunctionError
from barbule.processes.worker import IMPORTED, read_message, write_message

if TYPE_CHECKING:
    from collections.abc import Iterator

    from barbule.processes.worker import Home, Limits, Task

__all__ = ["Processes"]

_EXIT_SECONDS = 5.0  # within which a process may end by itself


_ABANDONED_STREAMS: list[IO[bytes]] = []
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
        self._processes: set[_Process] = set()
        _POOLS.add(self)

    def call(self, home: Home, timeout: float | None, /, *args: Any, **kwargs: Any) -> Any:
        """Call a function in another process and return its result.

        Parameters
        ----------
        home
            The module that defines the function, and its qualified name there.
        timeout
            Seconds after which the process is killed. They start when the function is called: the
            start of a process and the import of the function do not count.

        Raises
        ------
        TimeoutError
            If it took longer.
        FunctionError
            If the process ended.
        """
        return self.limited_call(home, timeout, None, args, kwargs)

    def limited_call(
        self,
        home: Home,
        timeout: float | None,
        limits: Limits | None,
        args: tuple[Any, ...],
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call a function as `call` does, with limits on its resources.

        Raises
        ------
        TimeoutError
            If it took longer, or used more CPU time.
        MemoryError
            If it used more memory and could report it.
        FunctionError
            If the process ended, which happens if C code gets no memory.
        """
        process = self._take_process()
        try:
            outcome, value = process.call((home, args, kwargs or {}, limits), timeout)
            if outcome == "raised" and value[0] == MemoryError.__name__:
                raise MemoryError(value[1])  # noqa: TRY301 - its memory may not be free again
        except BaseException as error:
            self._end_process(process)
            if not isinstance(error, Exception):  # Ctrl-C: the other calls end as well
                self.close()
            raise
        with self._lock:
            self._idle.append(process)
        if outcome == "returned":
            return value
        name, message, trace = value
        # Its class may not be importable here, or not constructible from its message.
        raised: Exception = type(name, (Exception,), {"__module__": "builtins"})(message)
        raised.add_note(f"In another process:\n{trace}")
        raise raised

    def _take_process(self) -> _Process:
        with self._lock:
            while self._idle:
                process = self._idle.pop()
                if process.is_alive():
                    return process
                self._processes.discard(process)
                process.end()
            process = _Process()
            self._processes.add(process)
            return process

    def _end_process(self, process: _Process) -> None:
        with self._lock:
            self._processes.discard(process)
        process.end()

    def close(self) -> None:
        """End all processes."""
        with self._lock:
            processes, self._processes, self._idle = self._processes, set(), []
        for process in processes:
            process.end()

    def abandon(self) -> None:
        """Abandon the processes of a parent, in its forked child."""
        self._lock = threading.Lock()
        abandoned, self._processes, self._idle = self._processes, set(), []
        for process in abandoned:
            process.abandon()


def _abandon_in_child() -> None:
    for processes in list(_POOLS):
        processes.abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_abandon_in_child)


class _Process:
    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "barbule.processes.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._imported: set[Home] = set()
        write_message(self._stdin, sys.path)

    @property
    def _stdin(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def _stdout(self) -> IO[bytes]:
        assert self._process.stdout is not None
        return self._process.stdout

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def call(self, task: Task, timeout: float | None) -> tuple[str, Any]:
        """Return "returned" and the result of a call, or "raised" and its error."""
        overran = threading.Event()
        home = task[0]
        try:
            write_message(self._stdin, task)
            if home not in self._imported:
                reply: tuple[str, Any] = read_message(self._stdout)
                if reply != IMPORTED:
                    return reply
                self._imported.add(home)
            with self._limited(timeout, overran):
                result: tuple[str, Any] = read_message(self._stdout)
                return result
        except (EOFError, BrokenPipeError) as error:
            if overran.is_set():
                raise TimeoutError(f"it took longer than {timeout} s") from error
            code = self._process.wait(_EXIT_SECONDS)
            limits = task[3]
            if limits is not None and -code == getattr(signal, "SIGXCPU", None):
                raise TimeoutError(f"it took more than {limits.seconds} s") from error
            raise FunctionError(
                f"its process {_exit_text(code)}.",
                hint="Check for a crash in the code that it calls, or for too little memory.",
            ) from error

    @contextlib.contextmanager
    def _limited(self, timeout: float | None, overran: threading.Event) -> Iterator[None]:
        """Kill the process if the block takes longer."""
        if timeout is None:
            yield
            return
        timer = threading.Timer(timeout, self._overrun, (overran,))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _overrun(self, overran: threading.Event) -> None:
        overran.set()
        self._process.kill()

    def end(self) -> None:
        self._process.kill()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):  # of data that could not be sent
                    stream.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_EXIT_SECONDS)

    def abandon(self) -> None:
        """Close the streams of its parent's process in a forked child."""
        self._process.returncode = 0  # not waited for
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                null = os.open(os.devnull, os.O_RDWR)
                os.dup2(null, stream.fileno(), inheritable=False)
                os.close(null)
                _ABANDONED_STREAMS.append(
                    stream
                )  # a thread of the parent may hold its lock for ever


def _exit_text(code: int) -> str:
    if code >= 0:
        return f"exited with the code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by the signal {-code}"
