"""Document readers that misbehave as readers of damaged files can."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from barbule.errors import MediaError

if TYPE_CHECKING:
    from pathlib import Path


def pid(path: Path) -> int:
    """Return the id of the reading process."""
    return os.getpid()


def crash(path: Path) -> None:
    """Abort the process like a failed assertion in C."""
    os.abort()


def spin(path: Path) -> None:
    """Loop forever."""
    while True:
        pass


def wait(path: Path) -> None:
    """Wait forever."""
    while True:
        signal.pause()


def swell(path: Path) -> int:
    """Allocate much memory."""
    return len(bytearray(1 << 32))


def refuse(path: Path) -> None:
    """Raise a media error."""
    raise MediaError(f"{path} is wrong.", hint="Mend it.")


def fail(path: Path) -> None:
    """Raise an unexpected error."""
    raise ZeroDivisionError("by zero")
