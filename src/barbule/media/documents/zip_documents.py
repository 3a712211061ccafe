"""Common parts of documents that are zip archives: how they are opened and checked.

Owns the errors of damaged archives. `barbule.media.archives` limits the unpacked size; the readers
read the documents.
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
    """Open a zip archive that is safe to unpack.

    Parameters
    ----------
    path
        The file.
    hint
        The hint for a damaged file.

    Raises
    ------
    MediaError
        If it is damaged, or would unpack to far more than a document does.
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
    """Unpack the parts that hold text, and yield the names of damaged ones."""
    for part in archive.infolist():
        if part.filename.lower().endswith(_TEXT_PART_SUFFIXES):
            try:
                with archive.open(part) as file:
                    while file.read(1 << 20):
                        pass
            except ARCHIVE_ERRORS:
                yield part.filename


def refuse_elements(archive: zipfile.ZipFile) -> None:
    """Refuse an archive whose parts hold more elements than the limit.

    Regardless of the names of the parts: their relationships may name any of them.

    Raises
    ------
    ExceededError
        If there are more.
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
