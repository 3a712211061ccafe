"""How a document's format is told and which reader takes it.

Owns the table of formats, the checks before reading, and the errors that name a file. Must
not know how a format is laid out inside: that is its reader's.
"""

from __future__ import annotations

import contextlib
import re
import zipfile
import zlib
from typing import TYPE_CHECKING, NamedTuple

from barbule.errors import MediaError, UnsupportedError
from barbule.media.documents.blocks import DamagedTreeError
from barbule.media.documents.html.epub import read_epub
from barbule.media.documents.html.html import read_html
from barbule.media.documents.office import read_docx, read_pptx
from barbule.media.documents.office.sheet_extent import refuse_extent
from barbule.media.documents.office.spreadsheets import read_csv, read_xlsx
from barbule.media.documents.pdf.pdf import check_pdf, read_pdf
from barbule.media.documents.text.encodings import is_text, markup_of
from barbule.media.documents.text.json_text import check_json, read_json
from barbule.media.documents.text.markdown import read_markdown
from barbule.media.documents.text.plain_text import CODING, decode, read_lines, read_text
from barbule.media.documents.text.xml_text import check_xml, read_xml
from barbule.media.documents.zip_documents import (
    ARCHIVE_ERRORS,
    check_parts,
    open_archive,
    refuse_elements,
)
from barbule.media.isolation import Allowance, isolated
from barbule.media.read_limits import ExceededError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from barbule.media.documents.blocks import DocumentText

__all__ = ["Reading", "read_document", "read_source", "validate_document"]


class Reading(NamedTuple):
    """How documents are read.

    Parameters
    ----------
    ocr
        Whether text is recognised in pages of a PDF that are pictures.
    skip_tags
        Names of elements of HTML to leave out, beside those that are no text.
    encoding
        The encoding of a file of text; None finds out.
    """

    ocr: bool = False
    skip_tags: tuple[str, ...] = ()
    encoding: str | None = None


_FROM_BYTES: dict[str, Callable[[bytes, str | None], DocumentText]] = {
    "markdown": read_markdown,
    "text": read_text,
    "csv": read_csv,
    "json": read_json,
    "xml": read_xml,
}
_CHECKS: dict[str, Callable[[bytes], None]] = {"json": check_json, "xml": check_xml}
_FROM_FILE: dict[str, Callable[[Path], DocumentText]] = {
    "docx": read_docx,
    "pptx": read_pptx,
    "xlsx": read_xlsx,
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
    ".ndjson": "json",
    ".xml": "xml",
}
_CODE = {
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
_OCR_SECONDS = 60  # of a processor, for a page
_OCR_MEMORY = 2_000_000_000  # of its models
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
_AGAIN = "Fetch or export the file again and check that it opens."
# What a broken part makes the readers of archives raise: they let it through as it comes.
_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    SyntaxError,
    LookupError,
    ValueError,
    ArithmeticError,
    AttributeError,
    AssertionError,
    TypeError,
    EOFError,
    OSError,
    RuntimeError,
    NotImplementedError,
)


def validate_document(path: Path) -> str:
    """Tell a document's format and make sure that it can be opened.

    The content decides, then the file's extension. Only as much is read as the answer needs:
    of archives, JSON and XML all that holds text, of a PDF its first page.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    str
        "pdf", "docx", "pptx", "xlsx", "epub", "html", "markdown", "text", "csv", "json" or
        "xml".

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
    name: str = isolated(_validated, path, unbounded=_is_pdf(path, _head_of(path)))
    return name


def _validated(path: Path) -> str:
    try:
        name = _format_of(path, _head_of(path), whole=True)
        if name == "pdf":
            check_pdf(path)
    except ExceededError as error:
        raise _beyond(path, error) from None
    if name in _CHECKS:
        try:
            _CHECKS[name](path.read_bytes())
        except DamagedTreeError as error:
            raise _damaged(path, name, error) from error
    return name


def read_document(path: Path, options: Reading | None = None) -> DocumentText:
    r"""Read a document as text that keeps its structure.

    Parameters
    ----------
    path
        The file: PDF, DOCX, PPTX, XLSX, EPUB, HTML, Markdown, TXT, CSV, JSON or XML.
    options
        How it is read.

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
    >>> block = read_document(path).blocks[1]
    >>> block.text, block.heading, block.sourceline
    ('A barbule hooks.', 'Feathers', 3)
    """
    options = options or Reading()
    unbounded = _is_pdf(path, _head_of(path))
    plain = options._replace(ocr=False)
    found: DocumentText = isolated(_read_document, path, plain, unbounded=unbounded)
    if options.ocr and found.scanned:
        pages = len(found.scanned)
        more = Allowance(pages * _OCR_SECONDS, _OCR_MEMORY)
        found = isolated(_read_document, path, options, unbounded=unbounded, more=more)
    return found


def _read_document(path: Path, options: Reading) -> DocumentText:
    name = ""
    try:
        name = _format_of(path, _head_of(path))
        return _read(name, path, options)
    except MediaError:
        raise
    except ExceededError as error:
        raise _beyond(path, error) from None
    except _BROKEN as error:
        raise _damaged(path, name, error) from error
    except BaseException as error:
        # Each library has errors of its own, and a panic of one in Rust is no Exception.
        theirs = type(error).__module__.partition(".")[0] in {"docx", "pptx", "lxml"}
        if not theirs and type(error).__name__ != "PanicException":
            raise
        raise _damaged(path, name, error) from error


def _read(name: str, path: Path, options: Reading) -> DocumentText:
    if name == "pdf":
        return read_pdf(path, ocr=options.ocr)
    if name == "html":
        xml = path.suffix.lower() == ".xhtml"
        return read_html(path.read_bytes(), options.encoding, skip=options.skip_tags, xml=xml)
    if name == "epub":
        return read_epub(path, _AGAIN)
    if name in _FROM_FILE:
        return _FROM_FILE[name](path)
    if path.suffix.lower() in _CODE:
        return read_lines(path.read_bytes(), options.encoding)
    return _FROM_BYTES[name](path.read_bytes(), options.encoding)


def read_source(path: Path, encoding: str | None = None) -> str:
    """Read a file of text as it stands, markup included.

    Raises
    ------
    MediaError
        If it is missing, empty or damaged.
    UnsupportedError
        If it is no file of text.
    """
    name = validate_document(path)
    if name not in {*_FROM_BYTES, "html"}:
        raise UnsupportedError(
            f"{path} is a {name.upper()} file, which is no text as it stands.",
            hint="Ask for its text().",
        )
    data = path.read_bytes()
    if name in {"html", "xml"}:
        return decode(data, encoding)
    return decode(data, encoding, CODING if path.suffix.lower() in _CODE else None)


def _beyond(path: Path, error: ExceededError) -> MediaError:
    return MediaError(f"{path} {error}.", hint=error.hint)


def _damaged(path: Path, name: str, error: BaseException) -> MediaError:
    reason = f" ({error})" if isinstance(error, DamagedTreeError) else ""
    return MediaError(f"{path} is a damaged {name.upper()} file{reason}.", hint=_AGAIN)


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


def _format_of(path: Path, head: bytes, *, whole: bool = False) -> str:
    """Tell the format; of an archive also, if asked for, whether all of it is there."""
    if _is_pdf(path, head):
        return "pdf"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _archive_format(path, whole=whole)
    if head.startswith(_OLD_OFFICE):
        raise _old_office(path)
    extension = path.suffix.lower()
    if extension in _BINARY_EXTENSIONS:
        raise MediaError(
            f"{path} is damaged: its content is not {extension[1:].upper()}.", hint=_AGAIN
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


def _is_pdf(path: Path, head: bytes) -> bool:
    """Tell a PDF, which may have something before its header, from text that mentions one."""
    found = head.find(b"%PDF-", 0, _PDF_REACH)
    if found < 0:
        return False
    extension = path.suffix.lower()
    known = extension in _BY_EXTENSION or extension in _CODE or extension in _PLAIN
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
    if extension in _CODE:
        return "text"
    said = _BY_EXTENSION.get(extension, "text" if extension in _PLAIN else "html")
    if _HTML_HEAD.match(head) if said == "html" else _WHOLE_PAGE.match(head):
        return "html"
    if head.lstrip().startswith("<?xml"):
        return "html" if _XHTML.search(head) else "xml"
    return _BY_EXTENSION.get(extension, "text")


def _archive_format(path: Path, *, whole: bool) -> str:
    with open_archive(path, _AGAIN) as archive:
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
            hint=_AGAIN,
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
