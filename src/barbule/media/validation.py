"""Validation of files by the type of their column.

Owns which reader checks which type of media; the checks are the readers' own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from barbule.types import declaration

if TYPE_CHECKING:
    from pathlib import Path

    import ibis.expr.datatypes as dt

__all__ = ["validate_file"]


def validate_file(path: Path, kind: dt.DataType) -> None:
    """Check that a file can be opened as media of a type.

    Raises
    ------
    MediaError
        If it cannot.
    """
    modality = declaration(kind).modality
    if modality == "image":
        from barbule.media.images.image_files import validate_image

        validate_image(path)
    elif modality == "document":
        from barbule.media.documents import validate_document

        validate_document(path)
    elif modality == "video":
        from barbule.media.streams.opening import validate_video

        validate_video(path)
    elif modality == "audio":
        from barbule.media.streams.opening import validate_audio

        validate_audio(path)
