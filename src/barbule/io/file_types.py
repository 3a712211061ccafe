"""Media types by file name.

Maps file suffixes to images, audio, videos and documents. The content decides when a file is read.
"""

from __future__ import annotations

import mimetypes
from typing import TYPE_CHECKING

from barbule.extensions import READERS, extension_names
from barbule.types import Document, Media
from barbule.types.declarations.entries import DECLARATIONS

if TYPE_CHECKING:
    from pathlib import PurePath

__all__ = ["ENDINGS", "default_column_name", "kind_of_file", "media_type"]

ENDINGS: dict[str, type[Media]] = {
    suffix: entry.dtype for entry in DECLARATIONS for suffix in entry.suffixes
}
_MEDIA_TYPES = {
    "webp": "image/webp", "avif": "image/avif", "heic": "image/heic", "heif": "image/heif",
    "jfif": "image/jpeg", "md": "text/markdown", "markdown": "text/markdown",
    "jsonl": "application/jsonl", "flac": "audio/flac", "opus": "audio/opus",
    "m4a": "audio/mp4", "mkv": "video/x-matroska", "epub": "application/epub+zip",
}  # fmt: skip  # what `mimetypes` knows differs between systems


def _ending(name: str | PurePath) -> str:
    return str(name).rpartition(".")[2].lower()


def kind_of_file(name: str | PurePath) -> type[Media] | None:
    """Return the data type of a file by its name, None if it is unknown.

    Examples
    --------
    >>> kind_of_file("a/b.JPG").__name__, kind_of_file("Makefile")
    ('Image', None)
    """
    ending = _ending(name)
    if ending not in ENDINGS and ending in extension_names(READERS):
        return Document
    return ENDINGS.get(ending)


def media_type(name: str | PurePath) -> str | None:
    """Return the media type (MIME) of a file by its name, None if it is unknown.

    Examples
    --------
    >>> media_type("a.webp")
    'image/webp'
    """
    return _MEDIA_TYPES.get(_ending(name)) or mimetypes.guess_type(str(name))[0]


def default_column_name(kind: type[Media] | Media) -> str:
    """Return the default name of a column of a media type.

    Examples
    --------
    >>> from barbule.types import Image
    >>> default_column_name(Image), default_column_name(Image())
    ('image', 'image')
    """
    return (kind if isinstance(kind, type) else type(kind)).__name__.lower()
