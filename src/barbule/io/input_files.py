"""Input files: paths, globs and URLs, and how they are opened.

Local files are opened by Arrow, remote ones through fsspec; files of web servers are downloaded by
the media library, with its limits.
"""

from __future__ import annotations

import codecs
import contextlib
import dataclasses
import glob
import re
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlsplit

from barbule.config import MediaSettings
from barbule.errors import DataError, UnsupportedError
from barbule.io.bounds.extent import Extent
from barbule.locations import expand_user
from barbule.media.fetching.limited_files import LimitedFiles

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from barbule.media.library import MediaLibrary

__all__ = ["COMPRESSIONS", "File", "find_files", "remote_files"]

COMPRESSIONS = {"gz": "gzip", "bz2": "bz2", "zst": "zstd", "lz4": "lz4"}
_URL = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]+://")
_WILDCARD = re.compile(r"[*?\[]")
_VALUE_SIGNS = (b"\n", b",", b"\t", b"{", b"[")  # one of which follows each value of a text


@dataclasses.dataclass(frozen=True)
class File:
    """A file that is read.

    Parameters
    ----------
    path
        Its path in its file system.
    label
        Its name in messages: the path or URL as the user gave it, without a password.
    filesystem
        The fsspec file system, with a limit for each call; None for a local file.
    """

    path: str
    label: str
    filesystem: Any = None

    @property
    def name(self) -> str:
        """The last part of the path or URL."""
        display_name = urlsplit(self.label).path if _URL.match(self.label) else self.label
        return display_name.replace("\\", "/").rsplit("/", 1)[-1]

    def open(self) -> pa.NativeFile:
        """Open the bytes as they are stored."""
        import pyarrow as pa

        if self.filesystem is None:
            return pa.OSFile(self.path, "rb")
        return pa.PythonFile(self.filesystem.open(self.path, "rb"), mode="r")

    def open_plain(self, max_values: int = 10_000_000, ratio: float = 20) -> pa.NativeFile:
        """Open the text of a file, decompressed if the name says that it is compressed.

        Reading raises a DataError if the file exceeds the limits on unpacked bytes or values.

        Parameters
        ----------
        max_values, ratio
            The number of values that a compressed file may have, and the number for each of its
            bytes.
        """
        import pyarrow as pa

        codec = COMPRESSIONS.get(self.name.lower().rsplit(".", 1)[-1])
        stored = self.open()
        if codec is None:
            return stored
        extent = Extent(stored.size(), self.label, max_values=max_values, ratio=ratio)
        unpacked = _BoundedStream(pa.CompressedInputStream(stored, codec), extent)
        return pa.PythonFile(unpacked, mode="r")

    def open_python(self) -> IO[bytes]:
        """Open the bytes as a Python file object."""
        if self.filesystem is None:
            return Path(self.path).open("rb")
        return self.filesystem.open(self.path, "rb")

    def missing(self) -> DataError:
        """Return the error for a missing file."""
        hint = "Pass the path, glob or URL of a file"
        if not re.search(r"[./\\]", self.label):
            hint = "A string is read as the path of a file; pass values by name: insert(name=…)"
        return DataError(f"there is no file {self.label!r}.", hint=f"{hint}.")

    def not_utf8(self) -> DataError:
        """Return the error for a file that is not UTF-8, with the position of the invalid byte."""
        line, position = 1, 0
        decoder = codecs.getincrementaldecoder("utf-8")()
        with self.open_plain() as stream:
            while data := stream.read(1 << 20):
                pending = decoder.getstate()[0]
                try:
                    decoder.decode(data)
                except UnicodeDecodeError as error:
                    start = max(error.start - len(pending), 0)
                    line += data[:start].count(b"\n")
                    position += error.start - len(pending)
                    break
                line += data.count(b"\n")
                position += len(data)
        return DataError(
            f"the file {self.label!r} is not UTF-8: byte {position}, in line {line}.",
            hint="Convert it to UTF-8, or read it with pandas.read_csv(..., encoding='latin-1') "
            "and insert the data frame.",
        )


class _BoundedStream:
    """A decompressed text that is refused if it is far larger than the file."""

    def __init__(self, stream: pa.NativeFile, extent: Extent) -> None:
        self._stream = stream
        self._extent = extent
        self._count = 0

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._stream.read(None if size < 0 else size)
        self._count += len(data)
        self._extent.add(values=sum(map(data.count, _VALUE_SIGNS)), unpacked=len(data))
        return data

    def tell(self) -> int:
        return self._count

    @property
    def closed(self) -> bool:
        return bool(self._stream.closed)

    def close(self) -> None:
        self._stream.close()


def find_files(source: str, library: MediaLibrary) -> list[File]:
    """Return the files of a path, glob or URL, ordered by name.

    Raises
    ------
    DataError
        If there is none.

    Examples
    --------
    >>> from pathlib import Path
    >>> _ = Path("b.csv").touch(), Path("a.csv").touch()
    >>> [file.name for file in find_files("[ab].csv", None)]
    ['a.csv', 'b.csv']
    """
    if source.startswith(("http://", "https://")):
        return [File(str(library.path(source)), _without_secrets(source))]
    if _URL.match(source):
        return _remote_files(source, _time_limit(library))
    if not source:
        raise File(source, source).missing()
    path = expand_user(source)
    if path.is_file():
        return [File(str(path), source)]
    if path.is_dir():
        raise DataError(
            f"{source!r} is a folder.", hint=f"Pass its files: {str(path / '*.parquet')!r}."
        )
    if path.exists():
        raise DataError(
            f"{source!r} is not a regular file (it is a device, a pipe or a socket) and is not "
            "read.",
            hint="Write its content to a file first.",
        )
    if not _WILDCARD.search(source):
        raise File(source, source).missing()
    matches = sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207 - "**", absolute paths
    paths = [match for match in matches if Path(match).is_file()]
    return [File(matching_path, matching_path) for matching_path in paths] or _no_match(source)


def _no_match(source: str) -> list[Any]:
    raise DataError(
        f"no file matches {source!r}.", hint="Check the pattern and the working directory."
    )


def _time_limit(library: MediaLibrary | None) -> float:
    return (MediaSettings() if library is None else library.options).time_limit


def _remote_files(source: str, time_limit: float) -> list[File]:
    name = _without_secrets(source)
    with _explain_remote_errors(source, name):
        filesystem, path = _file_system(source, time_limit)
        if not _WILDCARD.search(path):
            return [File(path, name, filesystem)]
        matches = sorted(filesystem.glob(path))
    return [File(match, filesystem.unstrip_protocol(match), filesystem) for match in matches] or (
        _no_match(name)
    )


def remote_files(source: str, library: MediaLibrary | None) -> list[tuple[File, dict[str, Any]]]:
    """List the files that the URL of a folder, a pattern or a file names, with their metadata.

    Raises
    ------
    DataError
        If there is none.
    """
    name = _without_secrets(source)
    with _explain_remote_errors(source, name):
        filesystem, path = _file_system(source, _time_limit(library))
        if _WILDCARD.search(path):
            listing = filesystem.glob(path, detail=True)
        else:
            listing = filesystem.find(path, detail=True)
    files = [
        (File(remote_path, filesystem.unstrip_protocol(remote_path), filesystem), info)
        for remote_path, info in sorted(listing.items())
        if info["type"] == "file"
    ]
    return files or _no_match(name)


def _file_system(source: str, time_limit: float) -> tuple[Any, str]:
    import fsspec

    filesystem, path = fsspec.core.url_to_fs(source, use_listings_cache=False)
    local = "file" in filesystem.protocol
    return filesystem if local else LimitedFiles(filesystem, time_limit), path


@contextlib.contextmanager
def _explain_remote_errors(source: str, name: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        scheme = source.split(":", 1)[0]
        raise UnsupportedError(
            f"files at {scheme}:// need a package that is not installed: {error}.",
            hint=f"pip install 'fsspec[{scheme}]'.",
        ) from error
    except (ValueError, OSError) as error:
        raise DataError(
            f"{name!r} cannot be reached: {error}.", hint="Check the URL and the credentials."
        ) from error


def _without_secrets(url: str) -> str:
    parts = urlsplit(url)
    if "@" not in parts.netloc:
        return url.split("?", 1)[0] if parts.scheme in {"http", "https"} else url
    return parts._replace(netloc=parts.netloc.rsplit("@", 1)[-1], query="").geturl()
