"""One owner process for one Chroma directory.

Owns the lock file and who in this process shares it. Two processes that write one Chroma
directory raise no error and lose about a quarter of the vectors, so the lock is not a
courtesy. The kernel releases it when the process dies, however it dies.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from pathlib import Path

from barbule.locks import drop, holder, is_at, take

__all__ = ["OwnerLock"]


@dataclass
class _Held:
    """A lock that this process holds, and how many share it."""

    descriptor: int
    pid: int
    shares: int = 0


_guard = threading.Lock()
_held: dict[Path, _Held] = {}


class OwnerLock:
    """The right to use a directory, for one process at a time.

    All locks of one process on one path share the right; it is given up when the last of
    them is released.

    Parameters
    ----------
    path
        The directory; the lock is the file `<path>.lock` beside it, whose folder exists.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     lock = OwnerLock(Path(folder) / "chroma")
    ...     lock.acquire(), lock.holder() == os.getpid()
    ...     lock.release()
    (True, True)
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        path = Path(path)
        self.file = path.parent.resolve() / f"{path.name}.lock"
        self._mine: _Held | None = None

    def acquire(self) -> bool:
        """Take the right without waiting.

        Returns
        -------
        bool
            False when another process has it.

        Raises
        ------
        OSError
            If the lock file cannot be written, or the file system has no locks.
        """
        with _guard:
            if self._mine is None or self._mine.pid != os.getpid():
                held = _held.get(self.file)
                if held is None or not is_at(held.descriptor, self.file):
                    descriptor = take(self.file)
                    if descriptor is None:
                        return False
                    held = _held[self.file] = _Held(descriptor, os.getpid())
                held.shares += 1
                self._mine = held
            return True

    def valid(self) -> bool:
        """Return whether this process holds it and others would still see that."""
        with _guard:
            held = self._mine
            return (
                held is not None and held.pid == os.getpid() and is_at(held.descriptor, self.file)
            )

    def holder(self) -> int | None:
        """Return the pid written in the lock file, None when there is none to read."""
        return holder(self.file)

    def release(self) -> None:
        """Give up this share of the right; releasing twice is fine."""
        with _guard:
            held, self._mine = self._mine, None
            if held is None or held.pid != os.getpid():
                return
            held.shares -= 1
            if held.shares == 0:
                if _held.get(self.file) is held:
                    del _held[self.file]
                drop(held.descriptor)


def _forget_in_child() -> None:
    """Have no part, in a forked child, in what its parent holds."""
    global _guard  # noqa: PLW0603 - one state of the process
    _guard = threading.Lock()
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
