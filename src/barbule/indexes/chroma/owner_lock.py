"""The lock by which one process owns a Chroma directory.

Owns the lock file and its sharing within this process. Two processes that write one Chroma
directory raise no error and lose about a quarter of the vectors. The kernel releases the lock when
its process dies, however it dies.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from pathlib import Path

from barbule.locks import holder, is_same_file, lock_file, unlock_file

__all__ = ["OwnerLock"]


@dataclass
class _OwnedFile:
    """A lock file that this process has locked, and how many locks share it."""

    descriptor: int
    pid: int
    shares: int = 0


_guard = threading.Lock()
_owned_files: dict[Path, _OwnedFile] = {}


class OwnerLock:
    """The ownership of a directory by one process at a time.

    All locks of one process on one path share the ownership; it ends when the last of them is
    released.

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
        self._owned: _OwnedFile | None = None

    def acquire(self) -> bool:
        """Become the owner, without waiting.

        Returns
        -------
        bool
            False when another process is the owner.

        Raises
        ------
        OSError
            If the lock file cannot be written, or the file system has no locks.
        """
        with _guard:
            if self._owned is None or self._owned.pid != os.getpid():
                owned = _owned_files.get(self.file)
                if owned is None or not is_same_file(owned.descriptor, self.file):
                    descriptor = lock_file(self.file)
                    if descriptor is None:
                        return False
                    owned = _owned_files[self.file] = _OwnedFile(descriptor, os.getpid())
                owned.shares += 1
                self._owned = owned
            return True

    def valid(self) -> bool:
        """Return whether this process is the owner, and its lock file still exists."""
        with _guard:
            owned = self._owned
            return (
                owned is not None
                and owned.pid == os.getpid()
                and is_same_file(owned.descriptor, self.file)
            )

    def holder(self) -> int | None:
        """Return the pid written in the lock file, None when there is none to read."""
        return holder(self.file)

    def release(self) -> None:
        """Release this lock; releasing twice is fine."""
        with _guard:
            owned, self._owned = self._owned, None
            if owned is None or owned.pid != os.getpid():
                return
            owned.shares -= 1
            if owned.shares == 0:
                if _owned_files.get(self.file) is owned:
                    del _owned_files[self.file]
                unlock_file(owned.descriptor)


def _reset_in_child() -> None:
    """Start without locks in a forked child."""
    global _guard  # noqa: PLW0603 - one state of the process
    _guard = threading.Lock()
    _owned_files.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_in_child)
