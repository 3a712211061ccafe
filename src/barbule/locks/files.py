"""Locked files.

Owns file locks of the kernel, which releases a lock when its process ends for any reason. A forked
child does not share the locks of its parent, so the locks end with the parent.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from typing import TYPE_CHECKING

from barbule.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["check_process", "close_file", "holder", "is_same_file", "lock_file", "unlock_file"]

_locked: set[int] = set()  # the descriptors of locked files of this process


def lock_file(file: Path) -> int | None:
    """Open and lock a file; return None if another process holds it.

    Returns
    -------
    int or None
        The descriptor, for `unlock_file`.

    Raises
    ------
    OSError
        If the file cannot be written, or the file system has no locks.
    """
    import fcntl

    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not is_same_file(descriptor, file):
                # Deleted between opening and locking: other processes lock another file.
                os.close(descriptor)
                continue
            content = json.dumps({"pid": os.getpid(), "since": time.time()}).encode()
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, content, 0)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except OSError:
            os.close(descriptor)
            raise
        _locked.add(descriptor)
        return descriptor


def unlock_file(descriptor: int) -> None:
    """Unlock and close a file that `lock_file` has locked."""
    import fcntl

    # Unlocked explicitly, not only by closing: a forked child may have a copy open. The file stays,
    # because removing it would let two processes lock two files of one name.
    os.ftruncate(descriptor, 0)
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    close_file(descriptor)


def close_file(descriptor: int) -> None:
    """Close a locked file; it stays locked while a forked child has a copy of it open."""
    _locked.discard(descriptor)
    os.close(descriptor)


def _close_copies() -> None:
    """Close a forked child's copies: they would keep the files locked after the parent's end."""
    for descriptor in _locked:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    _locked.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_copies)


def check_process(opened_by: int) -> None:
    """Refuse to use in a forked child what its parent has opened.

    Raises
    ------
    ConfigurationError
        When another process has opened it.
    """
    if opened_by != os.getpid():
        raise ConfigurationError(
            f"the session was opened by the process {opened_by}, the parent of this forked "
            "process.",
            hint="A forked process needs its own session: get tables with bb.get_table(...), or "
            "connect with bb.connect(...).",
        )


def is_same_file(descriptor: int, file: Path) -> bool:
    """Whether an open file is still the one at its path."""
    try:
        status = file.stat()
    except OSError:
        return False
    return os.path.samestat(os.fstat(descriptor), status)


def holder(file: Path) -> int | None:
    """Return the pid in a lock file, or None if it has none."""
    try:
        return int(json.loads(file.read_text(encoding="utf-8"))["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
