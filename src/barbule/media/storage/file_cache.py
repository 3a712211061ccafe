"""A file cache: local copies of remote media, evicted by last use.

Owns the size limit of its folder, and the order of eviction. Callers know what a copy belongs to,
and how to download it again.
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

_FILL_SHARE = 0.9  # of the limit, to which an eviction shrinks the cache
_IN_USE_SECONDS = 60.0  # seconds after its last use in which a copy may still be opened


class FileCache:
    """A folder of copies with a size limit.

    The modification time of a file is the time of its last use, so that all processes that share
    the folder agree. Files that were used in the last minute stay, regardless of the limit.

    Parameters
    ----------
    folder
        The folder, created when the first file is added.
    max_bytes
        The limit of their total size; None for no limit.

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
        """Return the file with a name, which counts as used now; None if there is none."""
        path = self.folder / name
        try:
            os.utime(path)
        except FileNotFoundError:
            return None
        except PermissionError:  # belongs to another user, who limits it
            return path if path.is_file() else None
        return path

    def keep(self, name: str, pieces: Iterable[bytes]) -> Path:
        """Write a file atomically; others may be evicted for it."""
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
        """Remove the least recently used files, and return the remaining size."""
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
