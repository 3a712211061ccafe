"""The media of one session: what cells refer to, and how it is reached.

Owns the way from a reference in a cell (path, URL, data: URI, name in the store) to a local
file, an image or a hash, and from what users insert to a reference. Where the bytes come from
is the store's and the fetcher's business.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from barbule.errors import MediaError
from barbule.media.fetch import Fetcher
from barbule.media.store import MediaStore
from barbule.types import Document, Image

if TYPE_CHECKING:
    import ibis.expr.datatypes as dt
    import PIL.Image

__all__ = ["MediaLibrary"]

_STORED = "media:"


class MediaLibrary:
    """Reaches media by reference.

    Parameters
    ----------
    root
        The URL of the store (any fsspec URL or a path).
    cache
        A folder for local copies of what was fetched.
    allow_private
        Whether URLs on loopback and private networks may be fetched.
    max_bytes
        The largest file that is fetched.
    """

    def __init__(
        self, root: str, cache: Path, *, allow_private: bool = False, max_bytes: int = 268435456
    ) -> None:
        self._root = root
        self._cache = cache
        self._fetcher = Fetcher(
            allow_private=allow_private, max_bytes=max_bytes, cache_dir=cache / "fetched"
        )

    @functools.cached_property
    def store(self) -> MediaStore:
        """The store, opened when it is first needed."""
        return MediaStore(self._root, cache_dir=self._cache / "stored")

    def path(self, reference: str) -> Path:
        """Return a local file with the content of a reference."""
        if reference.startswith(_STORED):
            return self.store.local_path(reference)
        return self._fetcher.local_path(reference)

    def image(self, reference: str) -> PIL.Image.Image:
        """Open an image."""
        from barbule.media.images import open_image

        return open_image(self.path(reference))

    def content(self, reference: str) -> bytes:
        """Return the bytes of a reference."""
        return self.path(reference).read_bytes()

    def sha256(self, reference: str) -> str:
        """Return the SHA-256 of the content, as hexadecimal digits."""
        if reference.startswith(_STORED):
            return self.store.sha256(reference)
        return self.store.sha256(str(self.path(reference)))

    def refer(self, value: Any, kind: dt.DataType) -> str:
        """Return the reference for what a user inserts or a function returns.

        References stay what they are (a local path becomes absolute); bytes, PIL images and
        arrays are put into the store.

        Raises
        ------
        MediaError
            When the value is of no kind that the column takes.
        """
        if isinstance(value, Path):
            return str(value.expanduser().absolute())
        if isinstance(value, str):
            return value if ":" in value[:12] else str(Path(value).expanduser().absolute())
        if isinstance(value, bytes | bytearray | memoryview):
            return self.store.put(bytes(value), _suffix(bytes(value), kind))
        if isinstance(kind, Image):
            return self._keep_image(value)
        raise MediaError(
            f"a {type(value).__name__} is no {kind}.",
            hint="Give a path, a URL or bytes.",
        )

    def _keep_image(self, value: Any) -> str:
        from barbule.media.images import encode_image, from_array

        if hasattr(value, "__array_interface__") and not hasattr(value, "save"):
            value = from_array(value)
        if not hasattr(value, "save"):
            raise MediaError(
                f"a {type(value).__name__} is no image.",
                hint="Give a PIL image, a NumPy array, bytes, a path or a URL.",
            )
        return self.store.put(encode_image(value, format="PNG"), "png")

    def check(self, reference: str, kind: dt.DataType) -> None:
        """Make sure that a reference can be read and is what its column holds.

        Raises
        ------
        MediaError
            When it is missing, unreadable or of another format.
        """
        path = self.path(reference)
        if isinstance(kind, Image):
            from barbule.media.images import validate_image

            validate_image(path)
        elif isinstance(kind, Document):
            from barbule.media.documents import validate_document

            validate_document(path)


def _suffix(data: bytes, kind: dt.DataType) -> str:
    if isinstance(kind, Image):
        from barbule.media.images import image_bytes_suffix

        return image_bytes_suffix(data)
    return "pdf" if data.startswith(b"%PDF-") else "bin"
