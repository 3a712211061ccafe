"""Functions of any media file."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from barbule.functions.udf import udf

__all__ = ["sha256"]


@udf(version="1", name="barbule.functions.media.sha256")
def sha256(media: Any) -> str:
    """Return the SHA-256 of a file's content, as 64 hexadecimal digits."""
    source = media if isinstance(media, str | Path) else media.filename
    with Path(source).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
