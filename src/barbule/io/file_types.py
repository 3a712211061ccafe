"""What files are, by their names.

Owns which endings stand for images, sounds, videos and documents. What a file really is, is
found when it is read.
"""

from __future__ import annotations

import mimetypes
from typing import TYPE_CHECKING

from barbule.types import Audio, Document, Image, Media, Video

if TYPE_CHECKING:
    from pathlib import PurePath

__all__ = ["ENDINGS", "kind_of", "media_type", "noun"]

_BY_KIND: dict[type[Media], str] = {
    Image: "jpg jpeg jpe jfif png webp gif tif tiff bmp avif heic heif ppm pgm",
    Audio: "mp3 wav flac ogg oga opus m4a aac wma aif aiff",
    Video: "mp4 m4v mov mkv webm avi mpg mpeg ogv wmv",
    Document: "pdf docx pptx xlsx html htm xhtml md markdown txt csv tsv json jsonl xml epub",
}
ENDINGS: dict[str, type[Media]] = {
    ending: kind for kind, endings in _BY_KIND.items() for ending in endings.split()
}
_MEDIA_TYPES = {
    "webp": "image/webp", "avif": "image/avif", "heic": "image/heic", "heif": "image/heif",
    "jfif": "image/jpeg", "md": "text/markdown", "markdown": "text/markdown",
    "jsonl": "application/jsonl", "flac": "audio/flac", "opus": "audio/opus",
    "m4a": "audio/mp4", "mkv": "video/x-matroska", "epub": "application/epub+zip",
}  # fmt: skip  # what `mimetypes` knows differs between systems


def _ending(name: str | PurePath) -> str:
    return str(name).rpartition(".")[2].lower()


def kind_of(name: str | PurePath) -> type[Media] | None:
    """Return the type of column that a file is for, None where its name does not tell.

    Examples
    --------
    >>> kind_of("a/b.JPG").__name__, kind_of("Makefile")
    ('Image', None)
    """
    return ENDINGS.get(_ending(name))


def media_type(name: str | PurePath) -> str | None:
    """Return the media type (MIME) of a file, None where its name does not tell.

    Examples
    --------
    >>> media_type("a.webp")
    'image/webp'
    """
    return _MEDIA_TYPES.get(_ending(name)) or mimetypes.guess_type(str(name))[0]


def noun(kind: type[Media] | Media) -> str:
    """Return what a column of this type is called where nobody gave it a name.

    Examples
    --------
    >>> noun(Image), noun(Image())
    ('image', 'image')
    """
    return (kind if isinstance(kind, type) else type(kind)).__name__.lower()
