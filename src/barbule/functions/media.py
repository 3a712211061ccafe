"""Functions for media files of any type."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from barbule.functions.registry import register
from barbule.functions.udf import udf
from barbule.nodes import MEDIA_CONTENT_TYPE
from barbule.suggestions import suggesting_getattr

__all__ = ["changed", "content", "sha256"]


@udf(version="1", name="barbule.functions.media.sha256")
def sha256(media: str) -> str:
    """Return the SHA-256 of a file's content, as 64 hexadecimal digits."""
    return _digest(Path(media))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@udf(version="1", name="barbule.functions.media.content", return_type=MEDIA_CONTENT_TYPE)
def content(media: str) -> dict[str, Any]:
    """Return the record of a file: the SHA-256 and the size of its content."""
    path = Path(media)
    return {"sha256": _digest(path), "size": path.stat().st_size}


@udf(version="1", name="barbule.functions.media.changed", concurrency=16)
def changed(media: str, recorded: dict[str, Any]) -> bool:
    """Return whether a file differs from its recorded content, or no longer exists."""
    if not media:
        return True
    path = Path(media)
    return path.stat().st_size != recorded["size"] or content.body(media) != recorded


sha256 = register(replace(sha256, images="file"))
changed = register(replace(changed, images="current"))

if not TYPE_CHECKING:  # which lists the available names
    __getattr__ = suggesting_getattr(__name__, __all__)
