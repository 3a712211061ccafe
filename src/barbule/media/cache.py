"""Local copies of media that are elsewhere: kept while there is room.

Owns the size of the folder in which they are, and which go first: those that have not been used
for longest. What a copy is of, and how to get it again, is known to those who put it there.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from barbule.locations import storing, written_atomically

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["FileCache"]

_ROOM = 0.9  # of the bound, which is left full when copies have gone
_IN_USE = 60.0  # seconds after its last use in which somebody may be about to open a copy


class FileCache:
    """A folder of copies whose size is bounded.

    The time at which a file was last used is its modification time, so that all processes that
    share the folder agree. Files that were used in the last minute stay, be there room or not.

    Parameters
    ----------
    folder
        Where they are; made when it is needed.
    max_bytes
        What they may take together; None for no bound.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> cache = FileCache(pathlib.Path(tempfile.mkdtemp()))
    >>> cache.find("a.txt") is None
    True
    >>> cache.keep("a.txt", [b"bar", b"bs"]).read_text(), cache.find("a.txt").name
    ('barbs', 'a.txt')
    """

    def __init__(
        self, folder: Path, max_bytes: int | None = None, *, in_use: float = _IN_USE
    ) -> None:
        self.folder = folder.absolute()
        self._most = max_bytes
        self._in_use = in_use
        self._size: int | None = None  # unknown until something is kept
        self._lock = threading.Lock()

    def find(self, name: str) -> Path | None:
        """Return the file of that name, which counts as used now; None where there is none."""
        path = self.folder / name
        try:
            os.utime(path)
        except FileNotFoundError:
            return None
        except PermissionError:  # another user's, who bounds it
            return path if path.is_file() else None
        return path

    def keep(self, name: str, pieces: Iterable[bytes]) -> Path:
        """Write a file, which appears whole or not at all; others may go for it."""
        path = self.folder / name
        size = 0
        with storing(f"the copy {str(path)!r}"), written_atomically(path) as file:
            for piece in pieces:
                size += len(piece)
                file.write(piece)
        self._grown(size)
        return path

    def _grown(self, size: int) -> None:
        if self._most is None:
            return
        with self._lock:
            self._size = size + (self._total() if self._size is None else self._size)
            if self._size > self._most:
                self._size = self._shrunk()

    def _total(self) -> int:
        return sum(size for _, size, _ in self._files())

    def _files(self) -> list[tuple[float, int, str]]:
        """List when each file was used last, its size and its path."""
        found = []
        for folder, _, names in os.walk(self.folder):
            for name in names:
                path = os.path.join(folder, name)  # noqa: PTH118 - faster, for many files
                with contextlib.suppress(OSError):  # gone meanwhile
                    state = os.stat(path)  # noqa: PTH116
                    found.append((state.st_mtime, state.st_size, path))
        return found

    def _shrunk(self) -> int:
        """Remove the files that were used longest ago, and return what is left."""
        files = sorted(self._files())
        total = sum(size for _, size, _ in files)
        goal, recent = int((self._most or 0) * _ROOM), time.time() - self._in_use
        for used, size, path in files:
            if total <= goal or used > recent:
                break
            with contextlib.suppress(OSError):
                Path(path).unlink()
                total -= size
        return total
