"""Readers that do what those of damaged files may do to their process."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from barbule.errors import MediaError

if TYPE_CHECKING:
    from pathlib import Path


def pid(path: Path) -> int:
    """Return the process that reads."""
    return os.getpid()


def crash(path: Path) -> None:
    """End the process as C code does that finds itself wrong."""
    os.abort()


def spin(path: Path) -> None:
    """Never end."""
    while True:
        pass


def wait(path: Path) -> None:
    """Never end, and do nothing."""
    while True:
        signal.pause()


def swell(path: Path) -> int:
    """Take much memory."""
    return len(bytearray(1 << 32))


def refuse(path: Path) -> None:
    """Say what is wrong with a file."""
    raise MediaError(f"{path} is wrong.", hint="Mend it.")


def fail(path: Path) -> None:
    """Fail as nobody thought of."""
    raise ZeroDivisionError("by zero")
