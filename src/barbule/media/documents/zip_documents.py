"""What documents that are zip archives have in common: how they are opened and checked.

Owns the errors of archives that are damaged. What an archive may unpack to is decided by
`barbule.media.archives`; what a document says, by its reader.
"""

from __future__ import annotations

import zipfile
import zlib
from typing import TYPE_CHECKING

from barbule.errors import MediaError
from barbule.media.archives import check_zip
from barbule.media.read_limits import Tally

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["ARCHIVE_ERRORS", "damaged_parts", "open_archive", "refuse_elements"]

ARCHIVE_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    RuntimeError,
    NotImplementedError,
    ValueError,
)
_CHUNK_BYTES = 1 << 20
_XML_LEADING_BYTES = b"\xef\xbb\xbf\xff\xfe\x00 \t\r\n"
_TEXT_PART_SUFFIXES = (".xml", ".rels", ".opf", ".xhtml", ".html", ".htm", ".ncx")


def open_archive(path: Path, hint: str) -> zipfile.ZipFile:
    """Open a zip archive that may be unpacked without harm.

    Parameters
    ----------
    path
        The file.
    hint
        What to do about one that is damaged.

    Raises
    ------
    MediaError
        If it is damaged, or would unpack to far more than a document is.
    """
    try:
        check_zip(path)
        return zipfile.ZipFile(path)
    except MediaError:
        raise
    except ARCHIVE_ERRORS as error:
        raise MediaError(
            f"{path} is a damaged or truncated DOCX, PPTX, XLSX or EPUB (zip) file.", hint=hint
        ) from error


def damaged_parts(archive: zipfile.ZipFile) -> Iterator[str]:
    """Unpack the parts that hold text, and yield the names of those that are damaged."""
    for part in archive.infolist():
        if part.filename.lower().endswith(_TEXT_PART_SUFFIXES):
            try:
                with archive.open(part) as file:
                    while file.read(1 << 20):
                        pass
            except ARCHIVE_ERRORS:
                yield part.filename


def refuse_elements(archive: zipfile.ZipFile) -> None:
    """Refuse an archive whose parts hold more elements than are read.

    Whatever the parts are called: their relationships may name any of them.

    Raises
    ------
    ExceededError
        When there are more.
    """
    tally = Tally("max_elements")
    for part in archive.infolist():
        with archive.open(part) as file:
            chunk = file.read(_CHUNK_BYTES)
            if not chunk.lstrip(_XML_LEADING_BYTES).startswith(b"<"):
                continue
            while chunk:
                tally.add(chunk.count(b"<") - chunk.count(b"</"))
                chunk = file.read(_CHUNK_BYTES)
