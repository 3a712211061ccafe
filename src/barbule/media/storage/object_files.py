"""The files of a media store, on any fsspec file system.

Owns atomic writes, and the errors of file systems as a `StoreError`. Must not know the names or
contents of the files.
"""

from __future__ import annotations

import os
import shutil
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from barbule.config.settings import redact
from barbule.errors import BarbuleError, ConfigurationError, StoreError, message_of
from barbule.locations import redact_uri, write_atomically
from barbule.media.fetching.limited_files import LimitedFiles
from barbule.media.storage.references import modification_time

if TYPE_CHECKING:
    import datetime
    from collections.abc import Callable, Iterator

__all__ = ["ObjectFiles", "error_reason"]

_ATOMIC_PROTOCOLS = frozenset(
    {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "oci"}
)
_CHUNK_BYTES = 1 << 20


class ObjectFiles:
    """The files below a root, by their paths relative to it.

    Parameters
    ----------
    root
        A path or a URL that fsspec reads.
    time_limit
        Maximum seconds for one remote file, or one listing.

    Attributes
    ----------
    name
        The root without secrets, for messages.
    is_local
        Whether they are files of this machine.

    Raises
    ------
    ConfigurationError
        If no fsspec file system reads `root`.
    """

    def __init__(self, root: str, time_limit: float) -> None:
        import fsspec.core

        self.name = redact_uri(root)
        try:
            fs, path = fsspec.core.url_to_fs(root, use_listings_cache=False)
        except (ImportError, ValueError) as error:
            raise ConfigurationError(
                f"media store {self.name} cannot be opened: {type(error).__name__}.",
                hint="Check the scheme of the URL; s3:// needs s3fs, gs:// needs gcsfs, az:// "
                "needs adlfs.",
            ) from error
        self._root = str(path).rstrip("/")
        self.is_local = "file" in _protocols(fs)
        self._fs: Any = fs if self.is_local else LimitedFiles(fs, time_limit)

    def local_path(self, path: str) -> Path:
        """Return the path of a file on this machine, if `is_local`."""
        return Path(self._full_path(path))

    def read(self, path: str) -> bytes:
        """Return the content of a file.

        Raises
        ------
        FileNotFoundError
            If there is none.
        """
        with self._errors("read", FileNotFoundError):
            content: bytes = self._fs.cat_file(self._full_path(path))
        return content

    def size(self, path: str) -> int | None:
        """Return the length of a file; None if there is none."""
        try:
            with self._errors("read", FileNotFoundError):
                info = self._fs.info(self._full_path(path))
        except FileNotFoundError:
            return None
        return int(info["size"]) if info["type"] == "file" else None

    def walk(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the full paths of all files, and their file system entries."""
        with self._errors("listed"):
            files = self._fs.find(self._root, detail=True)
        yield from files.items()

    def read_folder(self, folder: str) -> list[bytes]:
        """Return the contents of the files of a folder; none if there is no folder."""
        with self._errors("read"):
            try:
                paths = self._fs.ls(self._full_path(folder), detail=False)
            except FileNotFoundError:
                return []
            return [self._fs.cat_file(path) for path in paths]

    def touch(self, path: str) -> None:
        """Set the modification time of a local file to now, if that is allowed.

        Raises
        ------
        FileNotFoundError
            If there is none.
        """
        with (
            suppress(PermissionError),  # belongs to another user
            self._errors("written", FileNotFoundError, PermissionError),
        ):
            os.utime(self._full_path(path))

    def write(self, path: str, data: bytes) -> None:
        """Write a file atomically."""
        target = self._full_path(path)
        with self._errors("written"):
            if self.is_local:
                with write_atomically(Path(target)) as file:
                    file.write(data)
            else:
                self._put(target, lambda location: self._fs.pipe_file(location, data))

    def copy(self, file: Path, path: str) -> None:
        """Write the content of a local file, which need not fit into memory."""
        target = self._full_path(path)
        with self._errors("written"):
            if self.is_local:
                with file.open("rb") as source, write_atomically(Path(target)) as output:
                    shutil.copyfileobj(source, output, _CHUNK_BYTES)
            else:
                self._put(target, lambda location: self._fs.put_file(str(file), location))

    def delete(self, path: str, *, condition: Callable[[datetime.datetime], bool]) -> bool:
        """Delete a file, if a condition on its modification time holds.

        Returns
        -------
        bool
            Whether it was deleted.
        """
        target = self._full_path(path)
        try:
            with self._errors("written", FileNotFoundError):
                if not condition(modification_time(self._fs.info(target))):
                    return False
                self._fs.rm_file(target)
        except FileNotFoundError:
            return False
        return True

    def _full_path(self, path: str) -> str:
        return f"{self._root}/{path}"

    def _put(self, path: str, write: Callable[[str], object]) -> None:
        """Write a remote file atomically."""
        if _ATOMIC_PROTOCOLS & _protocols(self._fs):  # a move there would be a second copy
            write(path)
            return
        folder, _, name = path.rpartition("/")
        temporary = f"{folder}/.{name}.{uuid.uuid4().hex}"
        try:
            self._fs.makedirs(folder, exist_ok=True)
            write(temporary)
            self._fs.mv(temporary, path)
        except Exception:
            with suppress(Exception):  # collect_media() removes what remains
                self._fs.rm_file(temporary)
            raise

    @contextmanager
    def _errors(self, verb: str, *expected: type[Exception]) -> Iterator[None]:
        """Convert any errors of the file system to a `StoreError`.

        Parameters
        ----------
        verb
            The failed action: "the media store … cannot be written".
        expected
            Errors that are left to the caller.
        """
        try:
            yield
        except Exception as error:
            if isinstance(error, (BarbuleError, MemoryError, *expected)):
                raise
            raise StoreError(
                f"the media store {self.name} cannot be {verb}: {error_reason(error)}.",
                hint="Check that it is reachable, has free space and is writable, and try again.",
            ) from error


def error_reason(error: Exception) -> str:
    """Return the message of an error of a file system on one line, without secrets."""
    message = error.strerror if isinstance(error, OSError) and error.strerror else message_of(error)
    first_line = next(iter(str(message).splitlines()), "")
    return redact(f"{type(error).__name__}: {first_line}"[:200]).rstrip(".: ")


def _protocols(fs: Any) -> frozenset[str]:
    names = fs.protocol
    return frozenset([names] if isinstance(names, str) else names)
