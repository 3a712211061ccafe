"""How a document's format is told: from its content first, then from its extension.

Owns the table of formats, the checks before reading, and the errors of files of no known format.
What is inside a file of a format is its reader's business.
"""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

from barbule.errors import MediaError
from barbule.media.documents.blocks import DamagedTreeError
from barbule.media.documents.office.sheet_extent import refuse_extent
from barbule.media.documents.text.encodings import is_text, markup_of
from barbule.media.documents.text.xml_text import check_xml
from barbule.media.documents.zip_documents import (
    ARCHIVE_ERRORS,
    check_parts,
    open_archive,
    refuse_elements,
)

if TYPE_CHECKING:
    import zipfile
    from pathlib import Path

__all__ = [
    "RETRY_HINT",
    "SOURCE_CODE_EXTENSIONS",
    "detect_format",
    "is_pdf",
    "read_head",
]

RETRY_HINT = "Fetch or export the file again and check that it opens."
_BY_EXTENSION = {
    ".md": "markdown",
    ".markdown": "markdown",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".csv": "csv",
    ".tsv": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".xml": "xml",
}
SOURCE_CODE_EXTENSIONS = {
    ".py", ".pyi", ".js", ".jsx", ".mjs", ".ts", ".tsx", ".java", ".kt", ".kts", ".scala", ".c",
    ".h", ".cc", ".cpp", ".hpp", ".cs", ".go", ".rs", ".swift", ".rb", ".php", ".pl", ".lua", ".r",
    ".jl", ".sh", ".sql", ".css", ".toml", ".yaml", ".yml", ".ini",
}  # fmt: skip
_PLAIN = {".txt", ".text", ".log", ".rst", ".tex", ".org", ".adoc"}
_BINARY_EXTENSIONS = {".pdf", ".docx", ".pptx", ".xlsx", ".epub"}
_OFFICE_PARTS = {
    "docx": (b"wordprocessingml.document.main+xml", b"ms-word.document.macroEnabled.main+xml"),
    "pptx": (
        b"presentationml.presentation.main+xml",
        b"presentationml.slideshow.main+xml",
        b"ms-powerpoint.presentation.macroEnabled.main+xml",
    ),
    "xlsx": (b"spreadsheetml.sheet.main+xml", b"ms-excel.sheet.macroEnabled.main+xml"),
}
_HEAD = 8192
_PDF_REACH = 1024
_HTML_HEAD = re.compile(
    r"\s*+(?:<!--.*?-->\s*+)*+<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE | re.DOTALL
)
_XHTML = re.compile(r"<(?:!doctype\s+html|html)\b", re.IGNORECASE)
# A page that has lost its extension, or got another one, and not a text that speaks of tags.
_WHOLE_PAGE = re.compile(
    r"\s*+(?:<!--.*?-->\s*+)*+<(?:!doctype\s+html\b|html[^<>]*>\s*<(?:!--|(?:head|body|meta|title)\b))",
    re.IGNORECASE | re.DOTALL,
)
_OBJECT = re.compile(rb"[\r\n][^\S\r\n]*+\d++ \d++ obj\b")
_OLD_OFFICE = b"\xd0\xcf\x11\xe0"
_LOCKED_OFFICE = "EncryptedPackage".encode("utf-16-le")
_KNOWN = "PDF, DOCX, PPTX, XLSX, EPUB, HTML, Markdown, TXT, CSV, JSON or XML"


def read_head(path: Path) -> bytes:
    """Return the first bytes of a file.

    Raises
    ------
    MediaError
        When it is empty, missing or not to be read.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except FileNotFoundError:
        raise MediaError(
            f"{path} does not exist.", hint="Check the path and the working directory."
        ) from None
    except IsADirectoryError:
        raise MediaError(f"{path} is a directory.", hint="Name a file in it.") from None
    except OSError as error:
        raise MediaError(
            f"{path} cannot be read: {error.strerror}.", hint="Check its permissions."
        ) from error
    if not head:
        raise MediaError(f"{path} is empty.", hint=RETRY_HINT)
    return head


def detect_format(path: Path, head: bytes, *, whole: bool = False) -> str:
    """Tell the format; of an archive also, if asked for, whether all of it is there."""
    if is_pdf(path, head):
        return "pdf"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _archive_format(path, whole=whole)
    if head.startswith(_OLD_OFFICE):
        raise _old_office(path)
    extension = path.suffix.lower()
    if extension in _BINARY_EXTENSIONS:
        raise MediaError(
            f"{path} is damaged: its content is not {extension[1:].upper()}.", hint=RETRY_HINT
        )
    if head.startswith(b"{\\rtf") or not is_text(head):
        raise MediaError(f"{path} is of no known document format.", hint=f"Give {_KNOWN}.")
    name = _text_format(extension, markup_of(head))
    return "text" if name == "xml" and extension in _PLAIN and not _is_xml(path) else name


def _is_xml(path: Path) -> bool:
    try:
        check_xml(path.read_bytes())
    except DamagedTreeError:
        return False
    return True


def is_pdf(path: Path, head: bytes) -> bool:
    """Tell a PDF, which may have something before its header, from text that mentions one."""
    found = head.find(b"%PDF-", 0, _PDF_REACH)
    if found < 0:
        return False
    extension = path.suffix.lower()
    known = extension in _BY_EXTENSION or extension in SOURCE_CODE_EXTENSIONS or extension in _PLAIN
    if not known or not is_text(head):
        return extension == ".pdf" or not head[:found].strip() or bool(_OBJECT.search(head, found))
    return not head[:found].strip() and bool(_OBJECT.search(head, found))


def _old_office(path: Path) -> MediaError:
    if _LOCKED_OFFICE in path.read_bytes():
        return MediaError(
            f"{path} is a password-protected Office file.",
            hint="Save a copy without the password and use that.",
        )
    return MediaError(
        f"{path} is an Office file of the old kind (DOC, PPT, XLS).",
        hint="Save it as DOCX, PPTX, XLSX or PDF.",
    )


def _text_format(extension: str, head: str) -> str:
    if extension in {".md", ".markdown"}:
        return "markdown"  # Markdown often begins with HTML.
    if extension in SOURCE_CODE_EXTENSIONS:
        return "text"
    said = _BY_EXTENSION.get(extension, "text" if extension in _PLAIN else "html")
    if _HTML_HEAD.match(head) if said == "html" else _WHOLE_PAGE.match(head):
        return "html"
    if head.lstrip().startswith("<?xml"):
        return "html" if _XHTML.search(head) else "xml"
    return _BY_EXTENSION.get(extension, "text")


def _archive_format(path: Path, *, whole: bool) -> str:
    with open_archive(path, RETRY_HINT) as archive:
        try:
            names = set(archive.namelist())
            types = archive.read("[Content_Types].xml") if "[Content_Types].xml" in names else b""
            damaged = next(check_parts(archive), None) if whole else None
        except ARCHIVE_ERRORS:
            types, damaged = b"", "[Content_Types].xml"
        name = "epub" if "META-INF/container.xml" in names else None
        for office, parts in _OFFICE_PARTS.items():
            if any(part in types for part in parts):
                name = office
        if name is not None and damaged is None:
            _refuse_beyond(archive, name)
    if damaged:
        raise MediaError(
            f"{path} is a damaged or truncated {(name or 'zip').upper()} file: "
            f"its part {damaged} cannot be unpacked.",
            hint=RETRY_HINT,
        )
    if name is None:
        raise MediaError(
            f"{path} is a zip archive but no DOCX, PPTX, XLSX or EPUB.", hint=f"Give {_KNOWN}."
        )
    return name


def _refuse_beyond(archive: zipfile.ZipFile, name: str) -> None:
    """Refuse an archive that holds more than is read; a damaged one is its reader's."""
    with contextlib.suppress(*ARCHIVE_ERRORS):
        if name == "xlsx":
            refuse_extent(archive)
        else:
            refuse_elements(archive)
