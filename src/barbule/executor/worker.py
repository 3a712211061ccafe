"""What runs in a process of its own: it is told functions by name, and calls them.

Owns the other end of `processes`. A message is a pickle behind its length: the name of a function
and arguments one way, a result or what was raised the other way. It ends when its input does, so
with the process that started it.
"""

from __future__ import annotations

import importlib
import os
import pickle
import signal
import struct
import sys
import traceback
from typing import IO, Any

from barbule.errors import message_of

__all__ = ["FOUND", "find", "read", "write"]

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


def _answer(body: Any, args: Any, kwargs: Any) -> tuple[str, Any]:
    try:
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
            name, args, kwargs = read(incoming)
            try:
                if name not in known:
                    known[name] = _body(*name)
                    write(outgoing, FOUND)
            except Exception as error:  # noqa: BLE001 - told to the process that asked
                told = (type(error).__name__, message_of(error), traceback.format_exc())
                write(outgoing, ("raised", told))
                continue
            write(outgoing, _answer(known[name], args, kwargs))
    except EOFError:
        return


if __name__ == "__main__":
    main()
