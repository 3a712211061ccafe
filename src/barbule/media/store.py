"""The media store: bytes kept under the hash of their content, on any fsspec file system.

Owns the form of a `media:` reference, the layout of the store, which databases use it, and the
hash of a file. Must not fetch from the web (`fetch` does) and must not know what the bytes mean,
nor who refers to them.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import threading
import time
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from barbule.config.settings import redact
from barbule.errors import BarbuleError, ConfigurationError, MediaError, StoreError, message_of
from barbule.locations import file_from_uri, redact_uri, write_atomically
from barbule.media.storage.file_cache import FileCache
from barbule.media.storage.references import (
    StoredObject,
    is_object_name,
    modification_time,
    normalized_suffix,
    object_name,
)
from barbule.media.storage.undo_log import UndoLog

if TYPE_CHECKING:
    import datetime
    from collections.abc import Callable, Iterator

__all__ = ["MediaStore"]

_PUTS_ARE_ATOMIC = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "oci"})
_MOST_NAMES = 100_000
_PIECE = 1 << 20
_USERS = ".databases"
_FRESH = 300.0  # seconds in which what this process has put is known to be there


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
    user
        The database whose media they are, as it may be shown: the store remembers its users, so
        that none takes another's media for garbage.
    undo
        Notes which operation puts what.
    cache
        Keeps the local copies, instead of `cache_dir`.
    deletions
        Gives a number that is another one once other processes have deleted objects.

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

    def __init__(
        self,
        root: str,
        *,
        cache_dir: Path | None = None,
        user: str | None = None,
        undo: UndoLog | None = None,
        cache: FileCache | None = None,
        deletions: Callable[[], int] = lambda: 0,
    ) -> None:
        import fsspec.core

        try:
            self._fs, path = fsspec.core.url_to_fs(root, use_listings_cache=False)
        except (ImportError, ValueError) as error:
            raise ConfigurationError(
                f"media store {redact_uri(root)} cannot be opened: {type(error).__name__}.",
                hint="Check the URL's scheme; s3:// needs s3fs, gs:// gcsfs, az:// adlfs.",
            ) from error
        self._root = str(path).rstrip("/")
        self._local = "file" in _protocols(self._fs)
        self._copies = cache or FileCache(cache_dir or _default_cache(root))
        self._copies_in = "stored/" if cache else ""
        self._shown = redact_uri(root)
        self._user = user
        self._undo = undo or UndoLog()
        self._deletions = deletions
        self._deletion = deletions()
        self._names: dict[str, float] = {}
        self._hashes: dict[tuple[str, int, int], str] = {}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"MediaStore({self._shown!r})"

    @property
    def is_local(self) -> bool:
        """Whether its objects are files of this machine."""
        return self._local

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
        name = f"{hashlib.sha256(data).hexdigest()}.{normalized_suffix(suffix)}"
        if not self._has(name, len(data)):
            self._write(self._path(name), data)
            if not self._local:
                with suppress(OSError):  # whoever validates it need not get it back
                    self._copies.keep(self._copy_of(name), [data])
        self._remember(name)
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
        name = f"{digest}.{normalized_suffix(suffix)}"
        if not self._has(name, file.stat().st_size):
            self._copy(file, self._path(name))
        self._remember(name)
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
        path = self._path(object_name(ref))
        with self._reached("read"):
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
        name = object_name(ref_or_uri)
        if self._local:
            found = Path(self._path(name))
            if not found.is_file():
                raise self._missing(ref_or_uri)
            return found
        copy = self._copies.find(self._copy_of(name))
        if copy is not None:
            return copy
        content = self.open(ref_or_uri)
        try:
            return self._copies.keep(self._copy_of(name), [content])
        except OSError as error:
            raise StoreError(
                f"{ref_or_uri} cannot be copied from the media store {self._shown} to "
                f"{self._copies.folder}: {_reason(error)}.",
                hint="Make room there, or give the cache another folder by home=.",
            ) from error

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
            return object_name(ref_or_uri).partition(".")[0]
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
        with self._lock:
            if len(self._hashes) >= _MOST_NAMES:
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
        return self._size(self._path(object_name(ref))) is not None

    def put_again(self, ref: str, size: int) -> bool:
        """Count an object as put just now, if that can be done without its content.

        Parameters
        ----------
        ref
            What `put` returned.
        size
            The length of its content.

        Returns
        -------
        bool
            False where it has to be put.
        """
        return self._has(object_name(ref), size)

    def count_on(self, ref: str) -> bool:
        """Tell whether an object is there; the current operation will need it.

        Parameters
        ----------
        ref
            What `put` returned.

        Returns
        -------
        bool
            True if it is.
        """
        name = object_name(ref)
        there = (not self._local and self._is_known(name)) or self.exists(ref)
        if there:
            self._undo.record(name, new=False)
        return there

    # What is there, and its end

    def objects(self) -> Iterator[StoredObject]:
        """List what is in the store, unfinished files too, in no order."""
        with self._reached("listed"):
            found = self._fs.find(self._root, detail=True)
        for path, info in found.items():
            folder, _, name = path.rpartition("/")
            if not re.fullmatch(r"[0-9a-f]{2}", folder.rpartition("/")[2]):
                continue
            finished = is_object_name(name)
            if finished or name.startswith("."):
                yield StoredObject(name, info["size"], modification_time(info), finished)

    def delete(self, name: str, *, put_before: datetime.datetime | None = None) -> bool:
        """Delete an object, and its local copy.

        Whether somebody refers to it is the caller's business.

        Parameters
        ----------
        name
            A reference, or the name of what `objects` gave.
        put_before
            An object that has been put since is kept.

        Returns
        -------
        bool
            Whether it was there and is gone.
        """
        name = name.removeprefix("media:")
        path = self._path(name.removeprefix("."))
        if name.startswith("."):
            path = f"{path.rpartition('/')[0]}/{name}"
        try:
            with self._reached("written", FileNotFoundError):
                written = modification_time(self._fs.info(path))
                if put_before is not None and written > put_before:
                    return False
                with self._lock:
                    self._names.pop(name, None)
                self._fs.rm_file(path)
        except FileNotFoundError:
            return False
        if not self._local:
            (self._copies.folder / self._copy_of(name)).unlink(missing_ok=True)
        return True

    def users(self) -> list[str]:
        """Return the databases that have put media into the store, as they may be shown."""
        with self._reached("read"):
            try:
                found = self._fs.ls(f"{self._root}/{_USERS}", detail=False)
            except FileNotFoundError:
                return []
            return sorted(self._fs.cat_file(each).decode() for each in found)

    def _path(self, name: str) -> str:
        # Folders by the first two digits keep each listing short.
        return f"{self._root}/{name[:2]}/{name}"

    def _copy_of(self, name: str) -> str:
        return f"{self._copies_in}{name[:2]}/{name}"

    def _has(self, name: str, size: int) -> bool:
        """Whether an object need not be written; one that is there counts as put just now."""
        known = self._is_known(name)
        self._enter()
        there = self._is_there(name, size, known)
        self._undo.record(name, new=not there)
        # Written again to a remote store, the old object is as young as a new one, which keeps
        # another process from taking it for garbage before its first row is committed.
        return there and (self._local or known)

    def _remember(self, name: str) -> None:
        """Remember that an object has just been put."""
        with self._lock:
            if len(self._names) >= _MOST_NAMES:
                self._names.clear()
            self._names[name] = time.monotonic()

    def _is_known(self, name: str) -> bool:
        """Whether this process has put an object a moment ago, and nobody has deleted any since."""
        deletion = self._deletions()
        if deletion != self._deletion:
            with self._lock:
                self._names.clear()
                self._deletion = deletion
        return time.monotonic() - self._names.get(name, -_FRESH) < _FRESH

    def _is_there(self, name: str, size: int, known: bool) -> bool:
        path = self._path(name)
        if not self._local:
            return known or self._size(path) == size
        # The size tells a file that a crash of the machine left short of its content.
        if self._size(path) != size:
            return False
        try:
            with self._reached("written", FileNotFoundError, PermissionError):
                os.utime(path)
        except FileNotFoundError:  # deleted at this moment
            return False
        except PermissionError:  # somebody else's, which cannot be made young
            return True
        return True

    def _size(self, path: str) -> int | None:
        """Return how long an object is; None where there is none."""
        try:
            with self._reached("read", FileNotFoundError):
                info = self._fs.info(path)
        except FileNotFoundError:
            return None
        return int(info["size"]) if info["type"] == "file" else None

    def _enter(self) -> None:
        """Write down, once, that the database uses the store."""
        user = self._user
        if user is None:
            return
        path = f"{self._root}/{_USERS}/{hashlib.sha256(user.encode()).hexdigest()[:16]}"
        if self._size(path) is None:
            self._write(path, user.encode())
        self._user = None

    def _write(self, path: str, data: bytes) -> None:
        with self._reached("written"):
            if self._local:
                with write_atomically(Path(path)) as file:
                    file.write(data)
            else:
                self._put(path, lambda place: self._fs.pipe_file(place, data))

    def _copy(self, file: Path, path: str) -> None:
        with self._reached("written"):
            if self._local:
                with file.open("rb") as source, write_atomically(Path(path)) as target:
                    shutil.copyfileobj(source, target, _PIECE)
            else:
                self._put(path, lambda place: self._fs.put_file(str(file), place))

    def _put(self, path: str, write: Callable[[str], object]) -> None:
        """Write an object to a store elsewhere, where it appears whole or not at all."""
        if _PUTS_ARE_ATOMIC & _protocols(self._fs):  # a move there would be a second copy
            write(path)
            return
        folder, _, name = path.rpartition("/")
        temporary = f"{folder}/.{name}.{uuid.uuid4().hex}"
        try:
            self._fs.makedirs(folder, exist_ok=True)
            write(temporary)
            self._fs.mv(temporary, path)
        except Exception:
            with suppress(Exception):  # what is left goes by collect_media()
                self._fs.rm_file(temporary)
            raise

    @contextmanager
    def _reached(self, verb: str, *known: type[Exception]) -> Iterator[None]:
        """Say what is wrong with the store, whatever its file system raises.

        Parameters
        ----------
        verb
            What cannot be done then: "the media store … cannot be written".
        known
            Errors that are left to the caller.
        """
        try:
            yield
        except Exception as error:
            if isinstance(error, (BarbuleError, MemoryError, *known)):
                raise
            raise StoreError(
                f"the media store {self._shown} cannot be {verb}: {_reason(error)}.",
                hint="Check that it is reached, has room and may be written, and try again.",
            ) from error

    def _missing(self, ref: str) -> MediaError:
        missing = MediaError(
            f"{ref} is not in the media store {self._shown}.",
            hint="Check that the session uses the store into which it was put.",
        )
        missing.gone = True
        return missing


def _reason(error: Exception) -> str:
    """Return what an error of a file system says, without what may be secret, on one line."""
    said = error.strerror if isinstance(error, OSError) and error.strerror else message_of(error)
    first = next(iter(str(said).splitlines()), "")
    return redact(f"{type(error).__name__}: {first}"[:200]).rstrip(".: ")


def _protocols(fs: Any) -> frozenset[str]:
    names = fs.protocol
    return frozenset([names] if isinstance(names, str) else names)


def _default_cache(root: str) -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "barbule" / "media" / hashlib.sha256(root.encode()).hexdigest()[:16]
