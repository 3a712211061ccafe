"""The media store: content-addressed files, on any fsspec file system.

Owns the layout of the store, and the record of the databases that use it. Must not download from
the web (`fetching` does) and must not know what the bytes mean, nor which rows refer to them.
"""

from __future__ import annotations

import copy
import hashlib
import re
from contextlib import suppress
from typing import TYPE_CHECKING

from barbule.errors import MediaError, StoreError
from barbule.locations import file_from_uri
from barbule.media.storage.file_cache import FileCache, default_cache_folder
from barbule.media.storage.file_hashes import FileHashes
from barbule.media.storage.object_files import ObjectFiles, error_reason
from barbule.media.storage.recent_objects import RecentObjects
from barbule.media.storage.references import (
    StoredObject,
    is_object_name,
    modification_time,
    normalized_suffix,
    object_name,
)
from barbule.media.storage.undo_log import OperationObjects, UndoLog

if TYPE_CHECKING:
    import datetime
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["MediaStore"]

_USERS_FOLDER = ".databases"


class MediaStore:
    """Files under the SHA-256 of their content: equal content is stored once.

    Parameters
    ----------
    root
        The folder: a path or a URL that fsspec reads (`s3://bucket/prefix`, `memory://media`).
    cache_dir
        The folder for local copies of remote files; by default in the user's cache directory.
    user
        The URL of the database that owns the media, without secrets: the store records its users,
        so that none treats another's media as garbage.
    undo
        Records which operation puts which object.
    cache
        Holds the local copies, instead of `cache_dir`.
    deletions
        Returns a number that changes once other processes have deleted objects.
    time_limit
        Maximum seconds for one object, or one listing, of a remote store.

    Raises
    ------
    ConfigurationError
        If no fsspec file system reads `root`.

    Examples
    --------
    >>> store = MediaStore("memory://docs-example")
    >>> store.open(store.put(b"barbs", "txt"))
    b'barbs'
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
        time_limit: float = 300.0,
    ) -> None:
        self._files = ObjectFiles(root, time_limit)
        self._copies = cache or FileCache(cache_dir or default_cache_folder(root))
        self._copies_folder = "stored/" if cache else ""
        self._user = user
        self._undo: UndoLog | OperationObjects = undo or UndoLog()
        self._is_registered = user is None
        self._origin = self
        self._recent = RecentObjects(deletions)
        self._hashes = FileHashes()

    def __repr__(self) -> str:
        return f"MediaStore({self._files.name!r})"

    def during(self, objects: OperationObjects) -> MediaStore:
        """Return the same store for one operation: it records what the operation puts."""
        store = copy.copy(self)
        store._undo = objects
        return store

    @property
    def is_local(self) -> bool:
        """Whether its objects are files of this machine."""
        return self._files.is_local

    def put(self, data: bytes, suffix: str) -> str:
        """Store bytes and return their reference.

        Parameters
        ----------
        data
            The content. Existing content is not written again.
        suffix
            The extension of its format, with or without a dot: "png".

        Returns
        -------
        str
            `media:<sha256>.<suffix>`.

        Raises
        ------
        MediaError
            If the suffix does not have one to 16 letters and digits.
        """
        name = f"{hashlib.sha256(data).hexdigest()}.{normalized_suffix(suffix)}"
        if not self._has(name, len(data)):
            self._files.write(_object_path(name), data)
            if not self.is_local:
                with suppress(OSError):  # so that validation does not have to download it
                    self._copies.keep(self._copy_path(name), [data])
        self._recent.add(name)
        return f"media:{name}"

    def put_file(self, file: Path, suffix: str) -> str:
        """Store the content of a file, which need not fit into memory, and return its reference.

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
            If the suffix does not have one to 16 letters and digits.
        """
        with file.open("rb") as source:
            digest = hashlib.file_digest(source, "sha256").hexdigest()
        name = f"{digest}.{normalized_suffix(suffix)}"
        if not self._has(name, file.stat().st_size):
            self._files.copy(file, _object_path(name))
        self._recent.add(name)
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
        try:
            return self._files.read(_object_path(object_name(ref)))
        except FileNotFoundError:
            raise self._missing(ref) from None

    def local_path(self, ref_or_uri: str) -> Path:
        """Return a local file with the content; a file in a remote store is copied once.

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
            If it is malformed, missing, or a URI that must be downloaded first.
        """
        if not ref_or_uri.startswith("media:"):
            return file_from_uri(ref_or_uri)
        name = object_name(ref_or_uri)
        if self.is_local:
            path = self._files.local_path(_object_path(name))
            if not path.is_file():
                raise self._missing(ref_or_uri)
            return path
        copy = self._copies.find(self._copy_path(name))
        if copy is not None:
            return copy
        content = self.open(ref_or_uri)
        try:
            return self._copies.keep(self._copy_path(name), [content])
        except OSError as error:
            raise StoreError(
                f"{ref_or_uri} cannot be copied from the media store {self._files.name} to "
                f"{self._copies.folder}: {error_reason(error)}.",
                hint="Free disk space, or set another folder for the cache with home=.",
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
        return self._hashes.sha256(file_from_uri(ref_or_uri))

    def exists(self, ref: str) -> bool:
        """Return whether the store has the content of a reference.

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
        return self._files.size(_object_path(object_name(ref))) is not None

    def put_again(self, ref: str, size: int) -> bool:
        """Count an object as put just now, if that is possible without its content.

        Parameters
        ----------
        ref
            What `put` returned.
        size
            The length of its content.

        Returns
        -------
        bool
            False if it has to be put.
        """
        return self._has(object_name(ref), size)

    def rely_on(self, ref: str) -> bool:
        """Return whether an object is present; the current operation will rely on it.

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
        is_present = (not self.is_local and name in self._recent) or self.exists(ref)
        if is_present:
            self._undo.record(name, new=False)
        return is_present

    def objects(self) -> Iterator[StoredObject]:
        """Yield the objects in the store, unfinished files too, in no order."""
        for path, info in self._files.walk():
            folder, _, name = path.rpartition("/")
            if not re.fullmatch(r"[0-9a-f]{2}", folder.rpartition("/")[2]):
                continue
            finished = is_object_name(name)
            if finished or name.startswith("."):
                yield StoredObject(name, info["size"], modification_time(info), finished)

    def delete(self, name: str, *, put_before: datetime.datetime | None = None) -> bool:
        """Delete an object, and its local copy.

        The caller ensures that no row refers to it.

        Parameters
        ----------
        name
            A reference, or the name of an object.
        put_before
            An object that has been put since this point in time is not deleted.

        Returns
        -------
        bool
            Whether it was deleted.
        """
        name = name.removeprefix("media:")
        path = _object_path(name.removeprefix("."))
        if name.startswith("."):
            path = f"{path.rpartition('/')[0]}/{name}"

        def is_deletable(modified: datetime.datetime) -> bool:
            if put_before is not None and modified > put_before:
                return False
            self._recent.discard(name)
            return True

        if not self._files.delete(path, condition=is_deletable):
            return False
        if not self.is_local:
            (self._copies.folder / self._copy_path(name)).unlink(missing_ok=True)
        return True

    def users(self) -> list[str]:
        """Return the databases that have put media into the store, without secrets."""
        return sorted(content.decode() for content in self._files.read_folder(_USERS_FOLDER))

    def _copy_path(self, name: str) -> str:
        return f"{self._copies_folder}{_object_path(name)}"

    def _has(self, name: str, size: int) -> bool:
        """Whether an object need not be written; one that is present counts as put just now."""
        is_recent = name in self._recent
        self._register_user()
        is_present = self._is_present(name, size, is_recent)
        self._undo.record(name, new=not is_present)
        # Rewritten to a remote store, the old object is as recent as a new one, so that no other
        # process treats it as garbage before its first row is committed.
        return is_present and (self.is_local or is_recent)

    def _is_present(self, name: str, size: int, is_recent: bool) -> bool:
        path = _object_path(name)
        if not self.is_local:
            return is_recent or self._files.size(path) == size
        # A crash of the machine may leave a file that is shorter than its content.
        if self._files.size(path) != size:
            return False
        try:
            self._files.touch(path)
        except FileNotFoundError:  # deleted by another process just now
            return False
        return True

    def _register_user(self) -> None:
        """Record once in the store that the database uses it."""
        if (origin := self._origin)._is_registered or (user := self._user) is None:
            return
        path = f"{_USERS_FOLDER}/{hashlib.sha256(user.encode()).hexdigest()[:16]}"
        if self._files.size(path) is None:
            self._files.write(path, user.encode())
        origin._is_registered = True

    def _missing(self, ref: str) -> MediaError:
        error = MediaError(
            f"{ref} is not in the media store {self._files.name}.",
            hint="Check that the session uses the media store that the file was added to.",
        )
        error.gone = True
        return error


def _object_path(name: str) -> str:
    # Folders by the first two digits keep each listing short.
    return f"{name[:2]}/{name}"
