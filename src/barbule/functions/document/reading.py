"""How the functions of documents read them: a scan is told, and not taken for an empty file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from barbule.errors import MediaError
from barbule.types import Document

if TYPE_CHECKING:
    from barbule.media.documents import DocumentText

__all__ = ["File", "readable"]

File = Annotated[str, Document]  # a local path


def readable(path: str, *, ocr: bool | None, skip_tags: tuple[str, ...] = ()) -> DocumentText:
    """Read a document.

    Parameters
    ----------
    path
        The file.
    ocr
        Whether text is recognised on pages that are pictures; False leaves them without text,
        None refuses a document that has no other pages.
    skip_tags
        Names of elements of HTML to leave out.

    Raises
    ------
    MediaError
        If it cannot be read, or is a scan and nothing was said of that.
    """
    from barbule.media.documents import Reading, read_document

    found = read_document(Path(path), Reading(ocr=bool(ocr), skip_tags=skip_tags))
    if ocr is None and not found.blocks and found.scanned:
        raise MediaError(
            f"{path} is a scan: its pages are pictures without text.",
            hint="Give ocr=True to recognise the text (it needs 'barbule[ocr]'), "
            "or ocr=False to leave it without text.",
        )
    return found
