"""What runs in a process of its own: it is told functions by name, and calls them.

Owns the other end of `pool`, and the limits on what a call takes of the machine. A message is a
pickle behind its length: the name of a function and arguments one way, a result or what was
raised the other way. It ends when its input does, so with the process that started it.
"""

from __future__ import annotations

import contextlib
import importlib
import math
import os
import pickle
import signal
import struct
import sys
import traceback
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from barbule.errors import message_of

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["FOUND", "Limits", "Task", "find", "read", "write"]


class Limits(NamedTuple):
    """What a call may take of the machine, beside what its process has taken before.

    Parameters
    ----------
    memory
        Bytes; only Linux keeps to it.
    seconds
        Seconds of a processor; Windows does not count them.
    """

    memory: int
    seconds: int


Task = tuple[tuple[str, str], tuple[Any, ...], dict[str, Any], Limits | None]
"""Where a function is defined, its arguments, and its limits."""

FOUND = ("found", None)
"""What is told once about each function, before its first result: it is imported."""

_LENGTH = struct.Struct(">Q")


def write(stream: IO[bytes], message: Any) -> None:
    """Send a message."""
    data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    stream.write(_LENGTH.pack(len(data)) + data)
    stream.flush()


def read(stream: IO[bytes]) -> Any:
    """Receive a message.

    Raises
    ------
    EOFError
        When the other side has gone.
    """
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        raise EOFError
    (length,) = _LENGTH.unpack(head)
    data = stream.read(length)
    if len(data) < length:
        raise EOFError
    return pickle.loads(data)  # noqa: S301 - from the process that we started, or that started us


def find(module: str, name: str) -> Any:
    """Import what a module defines under a qualified name."""
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _body(module: str, name: str) -> Any:
    found = find(module, name)
    found = getattr(found, "_function", found)  # a class with state
    return getattr(found, "body", found)


@contextlib.contextmanager
def _limited(limits: Limits | None) -> Iterator[None]:
    """Let the system end this process, or give it no more memory, at its limits."""
    if limits is None or sys.platform == "win32":
        yield
        return
    import resource

    bounds = {resource.RLIMIT_CORE: 0}  # what it had in memory goes nowhere
    usage = resource.getrusage(resource.RUSAGE_SELF)
    bounds[resource.RLIMIT_CPU] = math.ceil(usage.ru_utime + usage.ru_stime) + limits.seconds
    taken = Path("/proc/self/statm")
    if taken.exists():
        pages = int(taken.read_text().split()[0])
        bounds[resource.RLIMIT_AS] = pages * resource.getpagesize() + limits.memory
    former = {name: resource.getrlimit(name) for name in bounds}
    for name, bound in bounds.items():
        _, most = former[name]
        within = bound if most == resource.RLIM_INFINITY else min(bound, most)
        resource.setrlimit(name, (within, most))
    try:
        yield
    finally:
        for name, both in former.items():
            resource.setrlimit(name, both)


def _answer(body: Any, args: Any, kwargs: Any, limits: Limits | None) -> tuple[str, Any]:
    try:
        with _limited(limits):
            value = body(*args, **kwargs)
            pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    except Exception as error:  # noqa: BLE001 - told to the process that asked
        return "raised", (type(error).__name__, message_of(error), traceback.format_exc())
    return "gave", value


def main() -> None:
    """Serve until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that asks decides what it means
    # What a function prints is no message.
    incoming, outgoing = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    known: dict[tuple[str, str], Any] = {}
    try:
        sys.path[:] = read(incoming)
        while True:
            name, args, kwargs, limits = read(incoming)
            try:
                if name not in known:
                    known[name] = _body(*name)
                    write(outgoing, FOUND)
            except Exception as error:  # noqa: BLE001 - told to the process that asked
                told = (type(error).__name__, message_of(error), traceback.format_exc())
                write(outgoing, ("raised", told))
                continue
            write(outgoing, _answer(known[name], args, kwargs, limits))
    except EOFError:
        return


if __name__ == "__main__":
    main()
