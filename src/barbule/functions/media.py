"""Functions of any media file."""

from __future__ import annotations

import hashlib
from pathlib import Path

from barbule.functions.udf import udf
from barbule.types import Document

__all__ = ["sha256"]


@udf(version="1", name="barbule.functions.media.sha256")
def sha256(media: Document()) -> str:  # type: ignore[valid-type]
    """Return the SHA-256 of a file's content, as 64 hexadecimal digits."""
    source = media if isinstance(media, str | Path) else media.filename  # type: ignore[unreachable]
    with Path(source).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
