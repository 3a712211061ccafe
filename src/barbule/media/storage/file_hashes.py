"""The SHA-256 of local files, computed once for each state of a file."""

from __future__ import annotations

import hashlib
import os
import threading
from typing import TYPE_CHECKING

from barbule.errors import MediaError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["FileHashes"]

_MAX_HASHES = 100_000


class FileHashes:
    """Computes hashes of files, and caches them by path, modification time and size.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "barbs.txt"
    >>> _ = path.write_text("barbs")
    >>> FileHashes().sha256(path)[:6]
    '92db0c'
    """

    def __init__(self) -> None:
        self._hashes: dict[tuple[str, int, int], str] = {}
        self._lock = threading.Lock()

    def sha256(self, path: Path) -> str:
        """Return the SHA-256 of a file, as hex digits.

        Raises
        ------
        MediaError
            If the file cannot be read.
        """
        try:
            with path.open("rb") as file:
                status = os.fstat(file.fileno())
                key = (str(path), status.st_mtime_ns, status.st_size)
                digest = self._hashes.get(key)
                if digest is not None:
                    return digest
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise MediaError(
                f"{path} cannot be read: {error.strerror}.", hint="Check its permissions."
            ) from error
        with self._lock:
            if len(self._hashes) >= _MAX_HASHES:
                self._hashes.clear()
            self._hashes[key] = digest
        return digest
