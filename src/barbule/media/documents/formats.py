"""Detection of the format of a document: first from its content, then from its extension.

Owns the table of formats, the checks before reading, and the errors of files in unsupported
formats. The content of a file belongs to its reader.
"""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

from barbule.errors import MediaError
from barbule.extensions import READERS, extension_names
from barbule.media.documents.blocks import DamagedTreeError
from barbule.media.documents.installed_readers import installed_format, missing_reader
from barbule.media.documents.office.sheet_extent import refuse_extent
from barbule.media.documents.text.encodings import is_text, markup_of
from barbule.media.documents.text.xml_text import check_xml
from barbule.media.documents.zip_documents import (
    ARCHIVE_ERRORS,
    damaged_parts,
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
    "is_open_extension",
    "is_pdf",
    "is_unknown_extension",
    "needs_reader",
    "read_head",
]

RETRY_HINT = "Download or export the file again, and check that it opens."
_FORMATS_BY_EXTENSION = {
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
_PLAIN_TEXT_EXTENSIONS = {".txt", ".text", ".log", ".rst", ".tex", ".org", ".adoc"}
_BINARY_EXTENSIONS = {".pdf", ".docx", ".pptx", ".xlsx", ".epub"}
# Other extensions of text files. Their content decides, and they are text if it says nothing.
_OTHER_TEXT_EXTENSIONS = {
    ".asc", ".ascii", ".asm", ".atom", ".awk", ".bash", ".bat", ".bib", ".bin", ".cfg", ".cgi",
    ".clj", ".cmake", ".cmd", ".conf", ".config", ".creole", ".cxx", ".dart", ".dat", ".diff",
    ".dtd", ".el", ".env", ".erl", ".ex", ".exs", ".f", ".f90", ".feature", ".fish", ".for",
    ".fs", ".geojson", ".gml", ".gpx", ".gradle", ".graphql", ".groovy", ".hcl", ".hh", ".hs",
    ".hxx", ".ics", ".inc", ".ipynb", ".json5", ".kml", ".ksh", ".latex", ".less", ".lisp", ".lst",
    ".m", ".mail", ".man", ".mdown", ".mdx", ".mediawiki", ".mkd", ".ml", ".mm", ".n3", ".nfo",
    ".nim", ".nix", ".nt", ".opml", ".out", ".owl", ".pas", ".patch", ".pem", ".plist", ".pm",
    ".po", ".pot", ".properties", ".proto", ".ps1", ".psv", ".qmd", ".rdf", ".rest", ".rmd",
    ".roff", ".rss", ".sass", ".scm", ".scss", ".sgm", ".sgml", ".shtml", ".srt", ".sub", ".sv",
    ".svelte", ".svg", ".tab", ".tcl", ".textile", ".tf", ".thrift", ".trig", ".ttl", ".v", ".vb",
    ".vcf", ".vhdl", ".vim", ".vtt", ".vue", ".webvtt", ".wiki", ".wsdl", ".xsd", ".xsl", ".xslt",
    ".zig", ".zsh",
}  # fmt: skip
# What follows the last dot of "v1.2" or "Dr. Who" is no extension.
_EXTENSION = re.compile(r"\.(?=[0-9]*[a-z])[a-z0-9_+-]{1,16}")
# Readers of installed packages may use other extensions.
_BUILT_IN_EXTENSIONS = {
    *_FORMATS_BY_EXTENSION,
    *SOURCE_CODE_EXTENSIONS,
    *_PLAIN_TEXT_EXTENSIONS,
    *_BINARY_EXTENSIONS,
}
_OFFICE_CONTENT_TYPES = {
    "docx": (b"wordprocessingml.document.main+xml", b"ms-word.document.macroEnabled.main+xml"),
    "pptx": (
        b"presentationml.presentation.main+xml",
        b"presentationml.slideshow.main+xml",
        b"ms-powerpoint.presentation.macroEnabled.main+xml",
    ),
    "xlsx": (b"spreadsheetml.sheet.main+xml", b"ms-excel.sheet.macroEnabled.main+xml"),
}
_HEAD_BYTES = 8192
_PDF_HEADER_REACH_BYTES = 1024
_HTML_START = re.compile(
    r"\s*+(?:<!--.*?-->\s*+)*+<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE | re.DOTALL
)
_XHTML = re.compile(r"<(?:!doctype\s+html|html)\b", re.IGNORECASE)
# A page without its extension, or with another one, and not a text that mentions tags.
_COMPLETE_HTML_PAGE = re.compile(
    r"\s*+(?:<!--.*?-->\s*+)*+<(?:!doctype\s+html\b|html[^<>]*>\s*<(?:!--|(?:head|body|meta|title)\b))",
    re.IGNORECASE | re.DOTALL,
)
_PDF_OBJECT = re.compile(rb"[\r\n][^\S\r\n]*+\d++ \d++ obj\b")
_ARCHIVE_SIGNATURES = (b"PK\x03\x04", b"PK\x05\x06")
_OLE_SIGNATURE = b"\xd0\xcf\x11\xe0"
_ENCRYPTED_PACKAGE = "EncryptedPackage".encode("utf-16-le")
_FORMAT_NAMES = "PDF, DOCX, PPTX, XLSX, EPUB, HTML, Markdown, TXT, CSV, JSON or XML"


def read_head(path: Path) -> bytes:
    """Return the first bytes of a file.

    Raises
    ------
    MediaError
        If it is empty, missing or not readable.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except FileNotFoundError:
        raise MediaError(
            f"{path} does not exist.", hint="Check the path and the working directory."
        ) from None
    except IsADirectoryError:
        raise MediaError(f"{path} is a directory.", hint="Pass a file in it.") from None
    except OSError as error:
        raise MediaError(
            f"{path} cannot be read: {error.strerror}.", hint="Check its permissions."
        ) from error
    if not head:
        raise MediaError(f"{path} is empty.", hint=RETRY_HINT)
    return head


def detect_format(path: Path, head: bytes, *, verify: bool = False) -> str:
    """Detect the format; with `verify`, check that no part of an archive is damaged."""
    if is_pdf(path, head):
        return "pdf"
    if is_open_extension(path.suffix.lower()) and (installed := installed_format(path)):
        return installed
    if head.startswith(_ARCHIVE_SIGNATURES):
        return _archive_format(path, verify=verify)
    if head.startswith(_OLE_SIGNATURE):
        raise _ole_error(path)
    extension = path.suffix.lower()
    if extension in _BINARY_EXTENSIONS:
        raise MediaError(
            f"{path} is damaged: its content is not {extension[1:].upper()}.", hint=RETRY_HINT
        )
    if head.startswith(b"{\\rtf") or not is_text(head):
        package = (
            f" Or install a package that reads {extension} files."
            if is_unknown_extension(extension)
            else ""
        )
        raise MediaError(
            f"{path} is not in a supported document format.", hint=f"Give {_FORMAT_NAMES}.{package}"
        )
    name = _text_format(extension, markup_of(head))
    if name == "text" and is_unknown_extension(extension):
        raise missing_reader(path, extension.removeprefix("."))
    return (
        "text"
        if name == "xml" and extension in _PLAIN_TEXT_EXTENSIONS and not _is_xml(path)
        else name
    )


def is_open_extension(extension: str) -> bool:
    """Whether a package may read files with an extension, in lower case and with its dot."""
    return extension not in _BUILT_IN_EXTENSIONS


def is_unknown_extension(extension: str) -> bool:
    """Whether a file extension, in lower case and with its dot, is of no format that is read.

    Examples
    --------
    >>> is_unknown_extension(".bird"), is_unknown_extension(".txt"), is_unknown_extension("")
    (True, False, False)
    """
    return (
        bool(_EXTENSION.fullmatch(extension))
        and is_open_extension(extension)
        and extension not in _OTHER_TEXT_EXTENSIONS
        and extension.removeprefix(".") not in extension_names(READERS)
    )


def needs_reader(path: Path) -> bool:
    """Whether only the reader of a package that is not installed could read a file.

    Its extension is unknown, and its content is of no format that barbule reads.

    Raises
    ------
    MediaError
        If it cannot be read.
    """
    extension = path.suffix.lower()
    if not is_unknown_extension(extension):
        return False
    head = read_head(path)
    is_archive = head.startswith((*_ARCHIVE_SIGNATURES, _OLE_SIGNATURE))
    return not (is_archive or is_pdf(path, head)) and (
        not is_text(head) or _text_format(extension, markup_of(head)) == "text"
    )


def _is_xml(path: Path) -> bool:
    try:
        check_xml(path.read_bytes())
    except DamagedTreeError:
        return False
    return True


def is_pdf(path: Path, head: bytes) -> bool:
    """Distinguish a PDF, which may have a prefix before its header, from text that mentions one."""
    header = head.find(b"%PDF-", 0, _PDF_HEADER_REACH_BYTES)
    if header < 0:
        return False
    extension = path.suffix.lower()
    is_text_extension = (
        extension in _FORMATS_BY_EXTENSION
        or extension in SOURCE_CODE_EXTENSIONS
        or extension in _PLAIN_TEXT_EXTENSIONS
    )
    if not is_text_extension or not is_text(head):
        return (
            extension == ".pdf"
            or not head[:header].strip()
            or bool(_PDF_OBJECT.search(head, header))
        )
    return not head[:header].strip() and bool(_PDF_OBJECT.search(head, header))


def _ole_error(path: Path) -> MediaError:
    if _ENCRYPTED_PACKAGE in path.read_bytes():
        return MediaError(
            f"{path} is a password-protected Office file.",
            hint="Save a copy without the password and use that.",
        )
    return MediaError(
        f"{path} is an Office file in an old format (DOC, PPT, XLS).",
        hint="Save it as DOCX, PPTX, XLSX or PDF.",
    )


def _text_format(extension: str, head: str) -> str:
    if extension in {".md", ".markdown"}:
        return "markdown"  # Markdown often begins with HTML.
    if extension in SOURCE_CODE_EXTENSIONS:
        return "text"
    expected = _FORMATS_BY_EXTENSION.get(
        extension, "text" if extension in _PLAIN_TEXT_EXTENSIONS else "html"
    )
    if _HTML_START.match(head) if expected == "html" else _COMPLETE_HTML_PAGE.match(head):
        return "html"
    if head.lstrip().startswith("<?xml"):
        return "html" if _XHTML.search(head) else "xml"
    return _FORMATS_BY_EXTENSION.get(extension, "text")


def _archive_format(path: Path, *, verify: bool) -> str:
    with open_archive(path, RETRY_HINT) as archive:
        try:
            names = set(archive.namelist())
            content_types = (
                archive.read("[Content_Types].xml") if "[Content_Types].xml" in names else b""
            )
            damaged_part = next(damaged_parts(archive), None) if verify else None
        except ARCHIVE_ERRORS:
            content_types, damaged_part = b"", "[Content_Types].xml"
        name = "epub" if "META-INF/container.xml" in names else None
        for office_format, part_types in _OFFICE_CONTENT_TYPES.items():
            if any(part_type in content_types for part_type in part_types):
                name = office_format
        if name is not None and damaged_part is None:
            _refuse_oversized(archive, name)
    if damaged_part:
        raise MediaError(
            f"{path} is a damaged or truncated {(name or 'zip').upper()} file: "
            f"its part {damaged_part} cannot be unpacked.",
            hint=RETRY_HINT,
        )
    if name is None:
        raise MediaError(
            f"{path} is a zip archive but not a DOCX, PPTX, XLSX or EPUB file.",
            hint=f"Give {_FORMAT_NAMES}.",
        )
    return name


def _refuse_oversized(archive: zipfile.ZipFile, name: str) -> None:
    """Refuse an archive that holds more than is read; a damaged one is left to its reader."""
    with contextlib.suppress(*ARCHIVE_ERRORS):
        if name == "xlsx":
            refuse_extent(archive)
        else:
            refuse_elements(archive)
