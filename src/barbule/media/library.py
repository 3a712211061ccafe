"""The media library of a session: resolves and creates references of cells.

Owns the resolution of a reference in a cell (path, URL, data: URI, name in the store) to a local
file, an image or a hash, and the conversion of inserted values to references. The store and the
fetcher provide the bytes.
"""

from __future__ import annotations

import functools
import hashlib
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from barbule.config import TIMEZONE, MediaSettings
from barbule.errors import BarbuleError, MediaError, StoreError
from barbule.locations import reference_to
from barbule.media.fetching.fetcher import Fetcher
from barbule.media.images.header_cache import HeaderCache
from barbule.media.inserted_values import (
    content_suffix,
    document_suffix,
    struct_content,
    temporary_file,
)
from barbule.media.isolation import Isolation
from barbule.media.storage.file_cache import FileCache
from barbule.media.storage.media_store import MediaStore
from barbule.media.storage.references import display_name, references_within, stored_references
from barbule.media.storage.undo_log import OperationObjects, UndoLog
from barbule.media.streams.temporary_files import TemporaryFile
from barbule.media.validation import validate_file
from barbule.threads import in_threads
from barbule.types import Image, declaration

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import ibis.expr.datatypes as dt
    import PIL.Image

    from barbule.media.images.headers import ImageHeader
    from barbule.media.streams.frames import FrameReader

__all__ = ["MediaLibrary"]

_STORED_PREFIX = "media:"
_FRAME_PREFIX = "frame:"  # of a video; see `streams.choosing`
_FETCH_THREADS = 16  # threads that wait for responses
_CHECK_THREADS = 2  # threads; more would not help because reading the header holds the GIL


class MediaLibrary:
    """Reaches media by reference.

    Parameters
    ----------
    root
        The URL of the store (any fsspec URL or a path).
    cache
        A folder for local copies of downloaded files.
    options
        What may be downloaded, and how media are stored.
    user
        The URL of the database that owns the media, without secrets.
    zone
        The time zone of timestamps without one, for cells of other types.

    Attributes
    ----------
    deletions
        Returns a number that changes once other processes have deleted stored objects.
    objects
        What the operation has stored, or relies on; None outside of one.
    """

    def __init__(
        self,
        root: str,
        cache: Path,
        options: MediaSettings | None = None,
        *,
        user: str | None = None,
        zone: str = TIMEZONE,
    ) -> None:
        options = options or MediaSettings()
        self.options = options
        self._folder = cache
        self.max_bytes = options.max_bytes
        self.validation = options.validation
        self.user = user
        self.zone = zone
        self.undo = UndoLog()
        self._origin: MediaLibrary | None = None
        self.objects: OperationObjects | None = None
        self.isolation = Isolation(options, cache / "fetched")
        self.deletions: Callable[[], int] = lambda: 0
        self._image_format = options.image_format
        self._headers = HeaderCache()
        self._root = root
        self._cache = FileCache(cache, options.cache_bytes)
        self._fetcher = Fetcher(
            options.allow_private,
            options.max_bytes,
            cache / "fetched",
            options.timeout,
            time_limit=options.time_limit,
            cache=self._cache,
        )

    def __reduce__(self) -> tuple[Callable[..., MediaLibrary], tuple[object, ...]]:
        make = functools.partial(MediaLibrary, zone=self.zone)  # cached values stay here
        return make, (self._root, self._folder, self.options)

    def during(self, objects: OperationObjects) -> MediaLibrary:
        """Return the same library for one operation: it records what the operation stores."""
        library = object.__new__(MediaLibrary)  # copy.copy() would make one for another process
        library.__dict__ |= {key: value for key, value in vars(self).items() if key != "store"}
        library._origin, library.objects = self._origin or self, objects
        return library

    @functools.cached_property
    def store(self) -> MediaStore:
        """The store, opened on first use."""
        if self._origin is not None and self.objects is not None:
            return self._origin.store.during(self.objects)
        return MediaStore(
            self._root,
            user=self.user,
            undo=self.undo,
            cache=self._cache,
            deletions=self.deletions,
            time_limit=self.options.time_limit,
        )

    @functools.cached_property
    def frames(self) -> FrameReader:
        """Decodes frames of videos by their references."""
        if self._origin is not None:
            return self._origin.frames
        from barbule.media.streams.frames import FrameReader

        return FrameReader(self.path)

    def path(self, reference: str) -> Path:
        """Return a local file with the content of a reference."""
        if reference.startswith(_FRAME_PREFIX):
            return self._frame_file(reference)
        if reference.startswith(_STORED_PREFIX):
            return self.store.local_path(reference)
        return self._fetcher.local_path(reference)

    def current(self, reference: str) -> str:
        """Return a local file with the current content of a reference; "" if there is none.

        URLs are downloaded again.
        """
        try:
            if reference.startswith((_STORED_PREFIX, _FRAME_PREFIX)):
                return str(self._stored_path(reference))
            path = self._fetcher.local_path(reference, refresh=True)
        except MediaError as error:
            if error.gone:
                return ""
            raise
        self._headers.forget((reference, 0, 0))
        return str(path)

    def _stored_path(self, reference: str) -> Path:
        """Return a local file of a stored object, or of a frame of it; it must be in the store."""
        for stored in () if self.store.is_local else stored_references(reference):
            if not self.store.exists(stored):  # there may be a local copy nevertheless
                self.store.open(stored)
        return self.path(reference)

    def is_lasting(self, reference: str) -> bool:
        """Whether the local file of a reference is not a copy that may be evicted."""
        if reference.startswith(_STORED_PREFIX):
            return self.store.is_local
        return not reference.startswith(_FRAME_PREFIX) and self._fetcher.is_local(reference)

    def image(self, reference: str) -> PIL.Image.Image:
        """Open an image."""
        from barbule.media.images.image_files import open_image

        if reference.startswith(_FRAME_PREFIX):
            return self.frames.image(reference)
        path = self.path(reference)
        return open_image(path, display_name(reference))

    def image_header(self, reference: str) -> ImageHeader | PIL.Image.Image:
        """Return the header of an image; it is read once for each state of a file.

        For a frame of a video it is that of the frame.
        """
        from barbule.media.images.headers import read_header

        if reference.startswith(_FRAME_PREFIX):
            return self.frames.image(reference)
        key = (reference, *self._file_state(reference))
        return self._headers.get(
            key, lambda: read_header(self.path(reference), display_name(reference))
        )

    def _file_state(self, reference: str) -> tuple[int, int]:
        """Return modification time and size of a file; stored and downloaded ones never change."""
        if reference.startswith("file:"):
            reference = str(self.path(reference))
        elif ":" in reference[:12]:
            return (0, 0)
        try:
            status = os.stat(reference)  # noqa: PTH116 - faster, and done for each cell
        except (OSError, ValueError):  # opening the file raises the reason
            return (0, 0)
        return (status.st_mtime_ns, status.st_size)

    def content(self, reference: str) -> bytes:
        """Return the bytes of a reference."""
        return self.path(reference).read_bytes()

    def sha256(self, reference: str) -> str:
        """Return the SHA-256 of the content, as hexadecimal digits.

        For a frame it is that of its video and its time: equal ones show the same picture.
        """
        if reference.startswith(_FRAME_PREFIX):
            from barbule.media.streams.frame_selection import split_reference

            video, stamp, _ = split_reference(reference)
            return hashlib.sha256(f"{self.sha256(video)} {stamp}".encode()).hexdigest()
        if reference.startswith(_STORED_PREFIX):
            return self.store.sha256(reference)
        return self.store.sha256(str(self.path(reference)))

    def are_stored(self, cells: Sequence[Any]) -> list[bool]:
        """Return for each cell whether the store has all objects that it refers to.

        The current operation relies on them from now on.
        """
        are_present = [True] * len(cells)

        def check(position: int) -> None:
            are_present[position] = all(map(self.store.rely_on, references_within(cells[position])))

        in_threads(check, len(cells), 1 if self.store.is_local else _FETCH_THREADS)
        return are_present

    def picture(self, value: object) -> PIL.Image.Image:
        """Return the PIL image of any value that an image column accepts."""
        from barbule.media.images.image_files import to_image

        if isinstance(value, str | Path):
            return self.image(self.refer(value, Image()))
        return to_image(value)

    def refer(self, value: object, kind: dt.DataType, *, computed: bool = False) -> str:
        """Return the reference for an inserted value or a function's result.

        References stay unchanged (a local path becomes absolute); bytes, PIL images and arrays are
        put into the store.

        Parameters
        ----------
        computed
            Whether a function returned it.

        Raises
        ------
        MediaError
            If the column does not accept the type of the value.
        """
        if computed and (file := temporary_file(value)) is not None:
            return self.store.put_file(file, file.suffix)
        if isinstance(value, str | Path):
            return reference_to(value)
        if isinstance(value, TemporaryFile):
            return self._store_file(value)
        if isinstance(value, Mapping):
            content = struct_content(value, kind)
            if declaration(kind).modality == "document" and isinstance(content, bytes):
                return self.store.put(content, document_suffix(content, value.get("path")))
            return self.refer(content, kind, computed=computed)
        if isinstance(value, bytes | bytearray | memoryview):
            return self.store.put(bytes(value), content_suffix(bytes(value), kind))
        if declaration(kind).modality == "image":
            return self._store_image(value, computed=computed)
        raise MediaError(
            f"a value of type {type(value).__name__} cannot be used as {kind}.",
            hint="Pass a path, a URL or bytes.",
        )

    def _store_file(self, file: TemporaryFile) -> str:
        """Put a file that a function wrote into the store, once."""
        size = file.path.stat().st_size
        if file.reference is None or not self.store.put_again(file.reference, size):
            file.reference = self.store.put_file(file.path, file.suffix)
        return file.reference

    def _frame_file(self, reference: str) -> Path:
        """Write a frame to a file in the cache, for callers that need one."""
        name = f"frames/{self.sha256(reference)}.png"
        cached = self._cache.find(name)
        if cached is not None:
            return cached
        buffer = io.BytesIO()
        self.frames.image(reference).save(buffer, "PNG")
        return self._cache.keep(name, [buffer.getvalue()])

    def _store_image(self, value: object, *, computed: bool) -> str:
        from barbule.media.images.encoding import encode_for_store
        from barbule.media.images.image_files import to_image

        data, suffix = encode_for_store(to_image(value), self._image_format, computed=computed)
        return self.store.put(data, suffix)

    def check(self, reference: str, kind: dt.DataType) -> None:
        """Check that a reference is readable and has the type of its column.

        Raises
        ------
        MediaError
            If it is missing, unreadable or in another format.
        """
        path = self.path(reference)
        try:
            with self.isolation.entered():
                validate_file(path, kind)
        except BarbuleError as error:
            source = display_name(reference)
            if source is not None:  # users know it by its source, not by the path of the copy
                error.message = error.message.replace(str(path), source)
            raise

    def check_all(
        self,
        references: Sequence[str | None],
        kind: dt.DataType,
        failures: dict[int, BarbuleError] | None = None,
    ) -> None:
        """Check, in a few threads, that each reference is readable and has the type of its column.

        Parameters
        ----------
        failures
            Receives the errors, by row, instead of raising them.

        Raises
        ------
        MediaError
            The first that `check` raises; it names the row.
        """
        is_image = declaration(kind).modality == "image"
        if is_image:
            import PIL.Image

            PIL.Image.preinit()  # here, and not by several threads at once

        def check(row: int) -> None:
            reference = references[row]
            if reference is None or (failures and row in failures):
                return
            try:
                self.check(reference, kind)
            except BarbuleError as error:
                if failures is None or isinstance(error, StoreError):
                    raise error.at(row=row) from error.__cause__
                failures[row] = error

        self._fetch_all(references, failures)
        in_threads(check, len(references), _CHECK_THREADS if is_image else 1)

    def _fetch_all(
        self, references: Sequence[str | None], failures: dict[int, BarbuleError] | None
    ) -> None:
        """Download remote files, several at a time."""
        rows_by_reference: dict[str, list[int]] = {}
        for row, reference in enumerate(references):
            if reference is None or reference.startswith((_STORED_PREFIX, _FRAME_PREFIX)):
                continue
            if not self._fetcher.is_fetched(reference):
                rows_by_reference.setdefault(reference, []).append(row)
        missing = list(rows_by_reference.items())

        def fetch(position: int) -> None:
            reference, rows = missing[position]
            try:
                self._fetcher.local_path(reference)
            except BarbuleError as error:
                if failures is None:
                    raise error.at(row=rows[0]) from error.__cause__
                failures.update(dict.fromkeys(rows, error))

        in_threads(fetch, len(missing), _FETCH_THREADS)
