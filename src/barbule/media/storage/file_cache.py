"""A cache of files: local copies of remote media, evicted by the time of their last use.

Owns the bound on the size of its folder, and the order of eviction. What a copy is of, and how to
fetch it again, is the business of its callers.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from barbule.locations import write_atomically, write_errors

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["FileCache", "default_cache_folder"]

_FILL_SHARE = 0.9  # of the bound, to which an eviction shrinks the cache
_IN_USE_SECONDS = 60.0  # seconds after its last use in which somebody may be about to open a copy


class FileCache:
    """A folder of copies whose size is bounded.

    The time at which a file was last used is its modification time, so that all processes that
    share the folder agree. Files that were used in the last minute stay, whatever the bound.

    Parameters
    ----------
    folder
        The folder, created when the first file is added.
    max_bytes
        The bound on their total size; None for none.

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
        self, folder: Path, max_bytes: int | None = None, *, in_use_seconds: float = _IN_USE_SECONDS
    ) -> None:
        self.folder = folder.absolute()
        self._max_bytes = max_bytes
        self._in_use_seconds = in_use_seconds
        self._size: int | None = None  # unknown until a file is added
        self._lock = threading.Lock()

    def find(self, name: str) -> Path | None:
        """Return the file of a name, which counts as used now; None where there is none."""
        path = self.folder / name
        try:
            os.utime(path)
        except FileNotFoundError:
            return None
        except PermissionError:  # another user's, who bounds it
            return path if path.is_file() else None
        return path

    def keep(self, name: str, pieces: Iterable[bytes]) -> Path:
        """Write a file, which appears complete or not at all; others may be evicted for it."""
        path = self.folder / name
        size = 0
        with write_errors(f"the copy {str(path)!r}"), write_atomically(path) as file:
            for piece in pieces:
                size += len(piece)
                file.write(piece)
        self._add_size(size)
        return path

    def _add_size(self, size: int) -> None:
        if self._max_bytes is None:
            return
        with self._lock:
            self._size = size + (self._total() if self._size is None else self._size)
            if self._size > self._max_bytes:
                self._size = self._shrink()

    def _total(self) -> int:
        return sum(size for _, size, _ in self._files())

    def _files(self) -> list[tuple[float, int, str]]:
        """List when each file was used last, its size and its path."""
        files = []
        for folder, _, names in os.walk(self.folder):
            for name in names:
                path = os.path.join(folder, name)  # noqa: PTH118 - faster, for many files
                with contextlib.suppress(OSError):  # gone meanwhile
                    status = os.stat(path)  # noqa: PTH116
                    files.append((status.st_mtime, status.st_size, path))
        return files

    def _shrink(self) -> int:
        """Remove the files that were used longest ago, and return the remaining size."""
        files = sorted(self._files())
        total = sum(size for _, size, _ in files)
        target_size, recent = (
            int((self._max_bytes or 0) * _FILL_SHARE),
            time.time() - self._in_use_seconds,
        )
        for used, size, path in files:
            if total <= target_size or used > recent:
                break
            with contextlib.suppress(OSError):
                Path(path).unlink()
                total -= size
        return total


def default_cache_folder(root: str) -> Path:
    """Return the folder of local copies of a remote store, one for each store."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "barbule" / "media" / hashlib.sha256(root.encode()).hexdigest()[:16]
