"""Values that users insert into media columns, or functions return: content and files.

Owns the struct of content and path that data sets use for media, files in temporary folders, and
the suffixes of content by column type.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from barbule.errors import MediaError
from barbule.types import declaration

if TYPE_CHECKING:
    from collections.abc import Mapping

    import ibis.expr.datatypes as dt

__all__ = ["content_suffix", "document_suffix", "struct_content", "temporary_file"]

_MAX_SUFFIX_LETTERS = 16  # in the form of references


def temporary_file(value: object) -> Path | None:
    """Return the temporary file that a function wrote; None for any other value."""
    if not isinstance(value, str | Path) or ":" in str(value)[:12]:
        return None
    path = Path(value).expanduser().absolute()
    lasts = not path.is_relative_to(Path(tempfile.gettempdir()).absolute())
    return None if lasts or not path.is_file() or not path.suffix[1:].isalnum() else path


def struct_content(value: Mapping[str, object], kind: dt.DataType) -> object:
    """Return the content, or the path, in the struct that data sets use for a media file."""
    if value.keys() == {"bytes", "path"}:
        content = value.get("bytes")
        source = value.get("path") if content is None else content
        if source is not None:
            return source
    raise MediaError(
        f"a value of type {type(value).__name__} cannot be used as {kind}.",
        value=list(value),
        hint="Pass a path, a URL or bytes; or a mapping with the content as 'bytes' and a 'path'.",
    )


def content_suffix(data: bytes, kind: dt.DataType) -> str:
    """Return the suffix of content that is inserted into a media column."""
    modality = declaration(kind).modality
    if modality == "image":
        from barbule.media.images.image_files import image_bytes_suffix

        return image_bytes_suffix(data)
    if modality in {"audio", "video"}:
        from barbule.media.streams.opening import suffix_of

        return suffix_of(data)
    return document_suffix(data)


def document_suffix(data: bytes, name: object = None) -> str:
    """Return a suffix for a document: that of its name, which for example identifies Markdown."""
    if data.startswith(b"%PDF-"):
        return "pdf"
    suffix = Path(name).suffix[1:].lower() if isinstance(name, str) else ""
    is_usable = suffix.isascii() and suffix.isalnum() and len(suffix) <= _MAX_SUFFIX_LETTERS
    return suffix if is_usable else "bin"
