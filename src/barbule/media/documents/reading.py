"""How a document's format is told and which reader takes it.

Owns the table of formats, the checks before reading, and the errors that name a file. Must
not know how a format is laid out inside: that is its reader's.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from typing import TYPE_CHECKING

from barbule.errors import MediaError
from barbule.media.archives import check_zip
from barbule.media.documents.html import read_html
from barbule.media.documents.office import read_docx, read_pptx
from barbule.media.documents.pdf import check_pdf, read_pdf
from barbule.media.documents.plain import decode, read_markdown, read_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from barbule.media.documents.records import DocumentText

__all__ = ["read_document", "validate_document"]

_FROM_BYTES: dict[str, Callable[[bytes], DocumentText]] = {
    "html": read_html,
    "markdown": read_markdown,
    "text": read_text,
    "csv": read_text,
    "json": read_text,
    "xml": read_text,
}
_FROM_FILE: dict[str, Callable[[Path], DocumentText]] = {
    "pdf": read_pdf,
    "docx": read_docx,
    "pptx": read_pptx,
}
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
    ".xml": "xml",
}
_OFFICE_PARTS = {
    "docx": b"wordprocessingml.document.main+xml",
    "pptx": b"presentationml.presentation.main+xml",
    "xlsx": b"spreadsheetml.sheet.main+xml",
}
_HEAD = 8192
_PDF_REACH = 1024
_HTML_HEAD = re.compile(
    r"\s*(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE | re.DOTALL
)
_XHTML = re.compile(r"<(?:!doctype\s+html|html)\b", re.IGNORECASE)
_BINARY = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_WIDE_BOMS = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")
_KNOWN = "PDF, DOCX, PPTX, HTML, Markdown, TXT, CSV, JSON or XML"
_AGAIN = "Fetch or export the file again and check that it opens."


def validate_document(path: Path) -> str:
    """Tell a document's format and make sure that it can be opened.

    The content decides, then the file's extension. Only as much is read as the answer needs.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    str
        "pdf", "docx", "pptx", "html", "markdown", "text", "csv", "json" or "xml".

    Raises
    ------
    MediaError
        If the file is missing, empty, damaged, password-protected or of no known format.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "note.md"
    >>> _ = path.write_text("# Feathers")
    >>> validate_document(path)
    'markdown'
    """
    name = _format_of(path, _head_of(path))
    if name == "pdf":
        check_pdf(path)
    return name


def read_document(path: Path) -> DocumentText:
    r"""Read a document as text that keeps its structure.

    Parameters
    ----------
    path
        The file: PDF, DOCX, PPTX, HTML, Markdown, TXT, CSV, JSON or XML.

    Returns
    -------
    DocumentText
        Its title and its blocks in reading order. A document without text (a scan) has none.

    Raises
    ------
    MediaError
        If the file is missing, empty, damaged, password-protected or of no known format.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "note.md"
    >>> _ = path.write_text("# Feathers\n\nA barbule hooks.")
    >>> read_document(path).blocks[1]
    Block(text='A barbule hooks.', page=None, heading='Feathers', sourceline=3)
    """
    name = _format_of(path, _head_of(path))
    if name in _FROM_BYTES:
        return _FROM_BYTES[name](path.read_bytes())
    try:
        return _FROM_FILE[name](path)
    except MediaError:
        raise
    # The office readers let through whatever a broken part inside makes them raise.
    except (
        zipfile.BadZipFile,
        zlib.error,
        SyntaxError,
        LookupError,
        ValueError,
        AttributeError,
        TypeError,
        EOFError,
    ) as error:
        raise MediaError(f"{path} is a damaged {name.upper()} file.", hint=_AGAIN) from error


def _head_of(path: Path) -> bytes:
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
        raise MediaError(f"{path} is empty.", hint=_AGAIN)
    return head


def _format_of(path: Path, head: bytes) -> str:
    if b"%PDF-" in head[:_PDF_REACH]:
        return "pdf"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _office_format(path)
    if head.startswith(b"\xd0\xcf\x11\xe0"):
        raise MediaError(
            f"{path} is an Office file of the old kind, or one with a password.",
            hint="Save it as DOCX, PPTX or PDF without a password.",
        )
    extension = path.suffix.lower()
    if extension in {".pdf", ".docx", ".pptx"}:
        raise MediaError(
            f"{path} is damaged: its content is not {extension[1:].upper()}.", hint=_AGAIN
        )
    if head.startswith(b"{\\rtf") or (_BINARY.search(head) and not head.startswith(_WIDE_BOMS)):
        raise MediaError(f"{path} is of no known document format.", hint=f"Give {_KNOWN}.")
    return _text_format(extension, decode(head))


def _text_format(extension: str, head: str) -> str:
    if extension in {".md", ".markdown"}:
        return "markdown"  # Markdown often begins with HTML.
    if _HTML_HEAD.match(head):
        return "html"
    if head.lstrip().startswith("<?xml"):
        return "html" if _XHTML.search(head) else "xml"
    return _BY_EXTENSION.get(extension, "text")


def _office_format(path: Path) -> str:
    try:
        check_zip(path)
        with zipfile.ZipFile(path) as archive:
            types = archive.read("[Content_Types].xml")
    except KeyError:
        types = b""
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError) as error:
        raise MediaError(
            f"{path} is a damaged or truncated DOCX or PPTX (zip) file.", hint=_AGAIN
        ) from error
    for name, part in _OFFICE_PARTS.items():
        if part not in types:
            continue
        if name == "xlsx":
            raise MediaError(
                f"{path} is a spreadsheet, not a document.",
                hint="Insert it as rows of a table, or save it as PDF.",
            )
        return name
    raise MediaError(f"{path} is a zip archive but no DOCX or PPTX.", hint=f"Give {_KNOWN}.")
