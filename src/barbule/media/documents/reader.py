"""Documents: validated and read by the reader of their format.

Owns which reader takes which format, and the errors of damaged files. `formats` detects formats;
readers read the content.
"""

from __future__ import annotations

import zipfile
import zlib
from typing import TYPE_CHECKING, NamedTuple

from barbule.errors import BarbuleError, MediaError, UnsupportedError, with_article
from barbule.media.documents.blocks import DamagedTreeError
from barbule.media.documents.formats import (
    RETRY_HINT,
    SOURCE_CODE_EXTENSIONS,
    detect_format,
    is_open_extension,
    is_pdf,
    read_head,
)
from barbule.media.documents.html.epub import read_epub
from barbule.media.documents.html.html import read_html
from barbule.media.documents.installed_readers import (
    note_reader,
    read_installed_format,
    refuse_former_format,
)
from barbule.media.documents.office import read_docx, read_pptx
from barbule.media.documents.office.spreadsheets import read_csv, read_xlsx
from barbule.media.documents.pdf.pdf import check_pdf, read_pdf
from barbule.media.documents.text.json_text import check_json, read_json
from barbule.media.documents.text.markdown import read_markdown
from barbule.media.documents.text.plain_text import (
    CODING_DECLARATION,
    decode,
    read_lines,
    read_text,
)
from barbule.media.documents.text.xml_text import check_xml, read_xml
from barbule.media.isolation import Allowance, isolated
from barbule.media.read_limits import ExceededError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from barbule.media.documents.blocks import DocumentText

__all__ = [
    "ReadingOptions",
    "document_format",
    "read_document",
    "read_source",
    "validate_document",
]


class ReadingOptions(NamedTuple):
    """How documents are read.

    Parameters
    ----------
    ocr
        Whether to recognise text on pages of a PDF that are images.
    skip_tags
        Names of HTML elements to skip, in addition to those that are not text.
    encoding
        The encoding of a text file; None detects it.
    """

    ocr: bool = False
    skip_tags: tuple[str, ...] = ()
    encoding: str | None = None


_BYTES_READERS: dict[str, Callable[[bytes, str | None], DocumentText]] = {
    "markdown": read_markdown,
    "text": read_text,
    "csv": read_csv,
    "json": read_json,
    "xml": read_xml,
}
_SYNTAX_CHECKS: dict[str, Callable[[bytes], None]] = {"json": check_json, "xml": check_xml}
_FILE_READERS: dict[str, Callable[[Path], DocumentText]] = {
    "docx": read_docx,
    "pptx": read_pptx,
    "xlsx": read_xlsx,
}
_OWN_FORMATS = {*_BYTES_READERS, *_FILE_READERS, "pdf", "html", "epub"}
_OCR_SECONDS_PER_PAGE = 60  # CPU seconds per page
_OCR_MEMORY_BYTES = 2_000_000_000  # of its models
# Errors that a damaged part raises in the readers of archives, which pass them through.
_READER_ERRORS = (
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
    """Detect a document's format and check that it can be opened.

    The content decides, then the file's extension. Only the necessary parts are read: of archives,
    JSON and XML all that holds text, of a PDF its first page. The reader of a package reads the
    whole file.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    str
        "pdf", "docx", "pptx", "xlsx", "epub", "html", "markdown", "text", "csv", "json", "xml", or
        the extension of an installed reader.

    Raises
    ------
    MediaError
        If the file is missing, empty, damaged, password-protected or in an unsupported format.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "note.md"
    >>> _ = path.write_text("# Feathers")
    >>> validate_document(path)
    'markdown'
    """
    name = isolated(_valid_format, path, True, unbounded=_checked_pdf(path))
    _note_installed(name)
    return name


def document_format(path: Path) -> str:
    """Return the format of a document, checked as by `validate_document` if barbule reads it.

    A reader of a package does not read the file: the caller does so afterwards.
    """
    return isolated(_valid_format, path, False, unbounded=_checked_pdf(path))


def _checked_pdf(path: Path) -> bool:
    """Whether a file is a PDF; refuse one that needs a reader which is no longer installed."""
    is_pdf_file = is_pdf(path, read_head(path))
    if not is_pdf_file and is_open_extension(path.suffix.lower()):
        refuse_former_format(path)
    return is_pdf_file


def _valid_format(path: Path, with_installed: bool) -> str:
    try:
        name = detect_format(path, read_head(path), verify=True)
        if name == "pdf":
            check_pdf(path)
        elif name not in _OWN_FORMATS and with_installed:
            read_installed_format(name, path)
    except ExceededError as error:
        raise _limit_error(path, error) from None
    if name in _SYNTAX_CHECKS:
        try:
            _SYNTAX_CHECKS[name](path.read_bytes())
        except DamagedTreeError as error:
            raise _damage_error(path, name, error) from error
    return name


def read_document(path: Path, options: ReadingOptions | None = None) -> DocumentText:
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
        If the file is missing, empty, damaged, password-protected or in an unsupported format.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "note.md"
    >>> _ = path.write_text("# Feathers\n\nA barbule hooks.")
    >>> block = read_document(path).blocks[1]
    >>> block.text, block.heading, block.sourceline
    ('A barbule hooks.', 'Feathers', 3)
    """
    options = options or ReadingOptions()
    unbounded = _checked_pdf(path)
    without_ocr = options._replace(ocr=False)
    name, document = isolated(_read_document, path, without_ocr, unbounded=unbounded)
    if options.ocr and document.scanned:
        pages = len(document.scanned)
        allowance = Allowance(pages * _OCR_SECONDS_PER_PAGE, _OCR_MEMORY_BYTES)
        name, document = isolated(
            _read_document, path, options, unbounded=unbounded, extra=allowance
        )
    _note_installed(name)
    return document


def _note_installed(name: str) -> None:
    if name not in _OWN_FORMATS:
        note_reader(name)


def _read_document(path: Path, options: ReadingOptions) -> tuple[str, DocumentText]:
    """Read a document; return its format, too."""
    name = ""
    try:
        name = detect_format(path, read_head(path))
        return name, _read(name, path, options)
    except BarbuleError:
        raise
    except ExceededError as error:
        raise _limit_error(path, error) from None
    except _READER_ERRORS as error:
        raise _damage_error(path, name, error) from error
    except BaseException as error:
        # Each library has its own errors, and a panic in Rust is not an Exception.
        is_library_error = type(error).__module__.partition(".")[0] in {"docx", "pptx", "lxml"}
        if not is_library_error and type(error).__name__ != "PanicException":
            raise
        raise _damage_error(path, name, error) from error


def _read(name: str, path: Path, options: ReadingOptions) -> DocumentText:
    if name == "pdf":
        return read_pdf(path, ocr=options.ocr)
    if name == "html":
        is_xml = path.suffix.lower() == ".xhtml"
        return read_html(path.read_bytes(), options.encoding, skip=options.skip_tags, xml=is_xml)
    if name == "epub":
        return read_epub(path, RETRY_HINT)
    if name in _FILE_READERS:
        return _FILE_READERS[name](path)
    if name not in _BYTES_READERS:
        return read_installed_format(name, path)
    if path.suffix.lower() in SOURCE_CODE_EXTENSIONS:
        return read_lines(path.read_bytes(), options.encoding)
    return _BYTES_READERS[name](path.read_bytes(), options.encoding)


def read_source(path: Path, encoding: str | None = None) -> str:
    """Read the source of a text file, including markup.

    Raises
    ------
    MediaError
        If it is missing, empty or damaged.
    UnsupportedError
        If it is not a text file.
    """
    name = document_format(path)
    if name not in {*_BYTES_READERS, "html"}:
        raise UnsupportedError(
            f"{path} is {with_article(name.upper())} file, which is not a plain text file.",
            hint="Use text() to extract its text.",
        )
    data = path.read_bytes()
    if name in {"html", "xml"}:
        return decode(data, encoding)
    return decode(
        data,
        encoding,
        CODING_DECLARATION if path.suffix.lower() in SOURCE_CODE_EXTENSIONS else None,
    )


def _limit_error(path: Path, error: ExceededError) -> MediaError:
    return MediaError(f"{path} {error}.", hint=error.hint)


def _damage_error(path: Path, name: str, error: BaseException) -> MediaError:
    reason = f" ({error})" if isinstance(error, DamagedTreeError) else ""
    return MediaError(f"{path} is a damaged {name.upper()} file{reason}.", hint=RETRY_HINT)
