"""The program of a worker process: it imports functions by name and calls them.

Owns the messages between `pool` and its workers, and the resource limits of a call. A message is a
pickle after its length: the name of a function and its arguments to the worker, a result or an
error from it. A worker ends when its input ends, and so with the process that started it.
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
    from collections.abc import Callable, Iterator

__all__ = ["IMPORTED", "Home", "Limits", "Task", "read_message", "write_message"]


class Limits(NamedTuple):
    """The resources that a call may use, in addition to those that its process already uses.

    Parameters
    ----------
    memory
        Bytes; enforced only on Linux.
    seconds
        CPU time; not enforced on Windows.
    """

    memory: int
    seconds: int


Home = tuple[str, str]
"""The module that defines a function, and its qualified name there."""

Task = tuple[Home, tuple[Any, ...], dict[str, Any], Limits | None]
"""A function, its arguments and its limits."""

IMPORTED = ("imported", None)
"""The message before the first result of a function: it has been imported."""

_LENGTH = struct.Struct(">Q")


def write_message(stream: IO[bytes], message: object) -> None:
    """Send a message."""
    pickled = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    stream.write(_LENGTH.pack(len(pickled)) + pickled)
    stream.flush()


def read_message(stream: IO[bytes]) -> Any:
    """Receive a message.

    Raises
    ------
    EOFError
        If the other process has ended.
    """
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        raise EOFError
    (length,) = _LENGTH.unpack(head)
    pickled = stream.read(length)
    if len(pickled) < length:
        raise EOFError
    return pickle.loads(pickled)  # noqa: S301 - from the process that we started, or that started us


def _import_body(module: str, name: str) -> Callable[..., object]:
    """Import an object of a module by its qualified name, and return its callable."""
    definition: Any = importlib.import_module(module)
    for part in name.split("."):
        definition = getattr(definition, part)
    definition = getattr(definition, "_function", definition)  # of a class with state
    body: Callable[..., object] = getattr(definition, "body", definition)
    return body


@contextlib.contextmanager
def _limited(limits: Limits | None) -> Iterator[None]:
    """Let the system enforce limits on this process within the block."""
    if limits is None or sys.platform == "win32":
        yield
        return
    import resource

    bounds = {resource.RLIMIT_CORE: 0}  # no core dump
    usage = resource.getrusage(resource.RUSAGE_SELF)
    bounds[resource.RLIMIT_CPU] = math.ceil(usage.ru_utime + usage.ru_stime) + limits.seconds
    memory_usage = Path("/proc/self/statm")
    if memory_usage.exists():
        pages = int(memory_usage.read_text().split()[0])
        bounds[resource.RLIMIT_AS] = pages * resource.getpagesize() + limits.memory
    former = {name: resource.getrlimit(name) for name in bounds}
    for name, bound in bounds.items():
        _, hard_limit = former[name]
        limit = bound if hard_limit == resource.RLIM_INFINITY else min(bound, hard_limit)
        resource.setrlimit(name, (limit, hard_limit))
    try:
        yield
    finally:
        for name, limits_before in former.items():
            resource.setrlimit(name, limits_before)


def _call(
    body: Callable[..., object],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    limits: Limits | None,
) -> tuple[str, object]:
    try:
        with _limited(limits):
            value = body(*args, **kwargs)
            pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    except Exception as error:  # noqa: BLE001 - raised by the process that calls
        return _error_message(error)
    return "returned", value


def _error_message(error: Exception) -> tuple[str, object]:
    return "raised", (type(error).__name__, message_of(error), traceback.format_exc())


def main() -> None:
    """Serve until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the calling process handles it
    # The output of functions is redirected, because it is not a message.
    incoming, outgoing = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    bodies: dict[Home, Callable[..., object]] = {}
    try:
        sys.path[:] = read_message(incoming)
        while True:
            home, args, kwargs, limits = read_message(incoming)
            try:
                if home not in bodies:
                    bodies[home] = _import_body(*home)
                    write_message(outgoing, IMPORTED)
            except Exception as error:  # noqa: BLE001 - raised by the process that calls
                write_message(outgoing, _error_message(error))
                continue
            write_message(outgoing, _call(bodies[home], args, kwargs, limits))
    except EOFError:
        return


if __name__ == "__main__":
    main()
