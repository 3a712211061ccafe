"""The media store: bytes kept under the hash of their content, on any fsspec file system.

Owns the form of a `media:` reference, the layout of the store, and the hash of a file. Must
not fetch from the web (`fetch` does) and must not know what the bytes mean.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import threading
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from barbule.errors import ConfigurationError, MediaError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

__all__ = ["MediaStore", "file_from_uri", "without_secrets", "written_atomically"]

_REFERENCE = re.compile(r"media:([0-9a-f]{64})\.([a-z0-9]{1,16})")
_SUFFIX = re.compile(r"[a-z0-9]{1,16}")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")  # two letters at least: c: is a drive
_PUTS_ARE_ATOMIC = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "oci"})
_MOST_HASHES = 100_000
_PIECE = 1 << 20


class MediaStore:
    """Files under the SHA-256 of their content: equal content is kept once.

    Parameters
    ----------
    root
        Where they are kept: a path or a URL that fsspec reads (`file:///data/media`,
        `s3://bucket/prefix`, `memory://media`).
    cache_dir
        Where local copies of files in a remote store go; by default below the user's cache
        directory.

    Raises
    ------
    ConfigurationError
        If no fsspec file system reads `root`.

    Examples
    --------
    >>> store = MediaStore("memory://docs-example")
    >>> reference = store.put(b"barbs", "txt")
    >>> reference[:12], store.open(reference)
    ('media:92db0c', b'barbs')
    """

    def __init__(self, root: str, *, cache_dir: Path | None = None) -> None:
        import fsspec.core

        try:
            self._fs, path = fsspec.core.url_to_fs(root, use_listings_cache=False)
        except (ImportError, ValueError) as error:
            raise ConfigurationError(
                f"media store {without_secrets(root)} cannot be opened: {type(error).__name__}.",
                hint="Check the URL's scheme; s3:// needs s3fs, gs:// gcsfs, az:// adlfs.",
            ) from error
        self._root = str(path).rstrip("/")
        self._local = "file" in _protocols(self._fs)
        self._cache = cache_dir or _default_cache(root)
        self._shown = without_secrets(root)
        self._hashes: dict[tuple[str, int, int], str] = {}
        self._hashes_lock = threading.Lock()

    def __repr__(self) -> str:
        return f"MediaStore({self._shown!r})"

    def put(self, data: bytes, suffix: str) -> str:
        """Keep bytes and return their reference.

        Parameters
        ----------
        data
            The content. What the store has already is not written again.
        suffix
            The extension of its format, with or without a dot: "png".

        Returns
        -------
        str
            `media:<sha256>.<suffix>`.

        Raises
        ------
        MediaError
            If the suffix is not one to 16 letters and digits.
        """
        name = f"{hashlib.sha256(data).hexdigest()}.{_ending(suffix)}"
        path = self._path(name)
        # The size tells a file that a crash of the machine left short of its content.
        if not self._has(path, len(data)):
            self._write(path, data)
        return f"media:{name}"

    def put_file(self, file: Path, suffix: str) -> str:
        """Keep the content of a file, which need not fit into memory, and return its reference.

        Parameters
        ----------
        file
            The file; it stays where it is.
        suffix
            The extension of its format, with or without a dot: "mp4".

        Returns
        -------
        str
            `media:<sha256>.<suffix>`.

        Raises
        ------
        MediaError
            If the suffix is not one to 16 letters and digits.
        """
        with file.open("rb") as source:
            digest = hashlib.file_digest(source, "sha256").hexdigest()
        name = f"{digest}.{_ending(suffix)}"
        path = self._path(name)
        if not self._has(path, file.stat().st_size):
            self._copy(file, path)
        return f"media:{name}"

    def open(self, ref: str) -> bytes:
        """Return the content of a reference.

        Parameters
        ----------
        ref
            What `put` returned.

        Returns
        -------
        bytes
            The content.

        Raises
        ------
        MediaError
            If the reference is malformed or the store does not have it.
        """
        path = self._path(_name(ref))
        try:
            content: bytes = self._fs.cat_file(path)
        except FileNotFoundError:
            raise self._missing(ref) from None
        return content

    def local_path(self, ref_or_uri: str) -> Path:
        """Return a local file with the content; a remote store's is copied once.

        Parameters
        ----------
        ref_or_uri
            A `media:` reference, a path or a `file://` URI.

        Returns
        -------
        pathlib.Path
            An absolute path. It belongs to the store: do not write to it.

        Raises
        ------
        MediaError
            If it is malformed, missing, or an URI that must be fetched first.
        """
        if not ref_or_uri.startswith("media:"):
            return file_from_uri(ref_or_uri)
        name = _name(ref_or_uri)
        if self._local:
            found = Path(self._path(name))
            if not found.is_file():
                raise self._missing(ref_or_uri)
            return found
        copy = self._cache / name[:2] / name
        if not copy.is_file():
            with written_atomically(copy) as file:
                file.write(self.open(ref_or_uri))
        return copy

    def sha256(self, ref_or_uri: str) -> str:
        """Return the SHA-256 of the content, as hex digits.

        Parameters
        ----------
        ref_or_uri
            A `media:` reference, whose name holds it; or a path or `file://` URI, which is
            read once for each state (modification time and size) of the file.

        Returns
        -------
        str
            64 hex digits.

        Raises
        ------
        MediaError
            If it is malformed or the file is missing.
        """
        if ref_or_uri.startswith("media:"):
            return _name(ref_or_uri).partition(".")[0]
        path = file_from_uri(ref_or_uri)
        try:
            with path.open("rb") as file:
                state = os.fstat(file.fileno())
                key = (str(path), state.st_mtime_ns, state.st_size)
                known = self._hashes.get(key)
                if known is not None:
                    return known
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise MediaError(
                f"{path} cannot be read: {error.strerror}.", hint="Check its permissions."
            ) from error
        with self._hashes_lock:
            if len(self._hashes) >= _MOST_HASHES:
                self._hashes.clear()
            self._hashes[key] = digest
        return digest

    def exists(self, ref: str) -> bool:
        """Tell whether the store has the content of a reference.

        Parameters
        ----------
        ref
            A `media:` reference.

        Returns
        -------
        bool
            True if it has.

        Raises
        ------
        MediaError
            If the reference is malformed.
        """
        return bool(self._fs.isfile(self._path(_name(ref))))

    def _path(self, name: str) -> str:
        # Folders by the first two digits keep each listing short.
        return f"{self._root}/{name[:2]}/{name}"

    def _has(self, path: str, size: int) -> bool:
        try:
            return bool(self._fs.info(path)["size"] == size)
        except FileNotFoundError:
            return False

    def _write(self, path: str, data: bytes) -> None:
        if self._local:
            with written_atomically(Path(path)) as file:
                file.write(data)
        elif _PUTS_ARE_ATOMIC & _protocols(self._fs):
            # An object appears whole; a move there would be a second copy.
            self._fs.pipe_file(path, data)
        else:
            folder, _, name = path.rpartition("/")
            temporary = f"{folder}/.{name}.{uuid.uuid4().hex}"
            self._fs.makedirs(folder, exist_ok=True)
            self._fs.pipe_file(temporary, data)
            self._fs.mv(temporary, path)

    def _copy(self, file: Path, path: str) -> None:
        if self._local:
            with file.open("rb") as source, written_atomically(Path(path)) as target:
                shutil.copyfileobj(source, target, _PIECE)
        elif _PUTS_ARE_ATOMIC & _protocols(self._fs):
            self._fs.put_file(str(file), path)
        else:
            folder, _, name = path.rpartition("/")
            temporary = f"{folder}/.{name}.{uuid.uuid4().hex}"
            self._fs.makedirs(folder, exist_ok=True)
            self._fs.put_file(str(file), temporary)
            self._fs.mv(temporary, path)

    def _missing(self, ref: str) -> MediaError:
        return MediaError(
            f"{ref} is not in the media store {self._shown}.",
            hint="Check that the session uses the store into which it was put.",
        )


def _ending(suffix: str) -> str:
    ending = suffix.removeprefix(".").lower()
    if not _SUFFIX.fullmatch(ending):
        raise MediaError(
            f"{suffix!r} is not a file suffix.", hint="Give letters and digits, like 'png'."
        )
    return ending


def _protocols(fs: Any) -> frozenset[str]:
    names = fs.protocol
    return frozenset([names] if isinstance(names, str) else names)


def _default_cache(root: str) -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "barbule" / "media" / hashlib.sha256(root.encode()).hexdigest()[:16]


def _name(ref: str) -> str:
    found = _REFERENCE.fullmatch(ref)
    if not found:
        raise MediaError(
            "the media reference is malformed.",
            value=ref,
            hint="A reference is media:<64 hex digits>.<suffix>, as the store gave it.",
        )
    return ref.removeprefix("media:")


def file_from_uri(uri: str) -> Path:
    """Return the file that a path or a `file://` URI names.

    Parameters
    ----------
    uri
        A path (`~` is the home directory) or a `file://` URI of this machine.

    Returns
    -------
    pathlib.Path
        Its absolute path.

    Raises
    ------
    MediaError
        If it is no file of this machine, or does not exist.
    """
    shown = without_secrets(uri)
    scheme = _SCHEME.match(uri)
    if scheme and scheme[1].lower() == "file":
        parts = urlsplit(uri)
        if parts.netloc not in {"", "localhost"}:
            raise MediaError(
                f"{shown} names a file of another machine.", hint="Use file:///path or a path."
            )
        path = Path(url2pathname(parts.path))
    elif scheme and (uri.startswith(f"{scheme[0]}//") or scheme[1].lower() == "data"):
        raise MediaError(f"{shown} is no local file.", hint="Fetch it first.")
    else:
        path = Path(uri)
    try:
        path = path.expanduser().absolute()
        if path.is_file():
            return path
        what = "is a directory" if path.is_dir() else "does not exist"
    except (OSError, ValueError, RuntimeError):  # NUL bytes, over-long names, unknown ~user
        what = "is not a path"
    raise MediaError(f"{shown} {what}.", hint="Check the path and the working directory.")


def without_secrets(uri: str) -> str:
    """Return a URI as it may be shown: no user, password, query or inline data.

    Parameters
    ----------
    uri
        A URI or path.

    Returns
    -------
    str
        What may stand in a message or a log.

    Examples
    --------
    >>> without_secrets("https://me:pw@example.com/a.png?signature=abc#top")
    'https://example.com/a.png?…'
    """
    head = uri[:512]
    if head[:5].lower() == "data:":
        mime = head[5:].partition(",")[0].partition(";")[0]
        return f"data:{mime[:64]},…"
    scheme, mark, rest = head.partition("://")
    if not mark:
        return head
    address, query, _ = rest.partition("?")
    host, slash, path = address.partition("#")[0].partition("/")
    shown = f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"
    return f"{shown}?…" if query else shown


@contextmanager
def written_atomically(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing that appears under its name whole, or not at all.

    Parameters
    ----------
    path
        The file; its folder is made.

    Yields
    ------
    typing.BinaryIO
        Where to write.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name}.{uuid.uuid4().hex}"
    try:
        with temporary.open("xb") as file:
            yield file
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
