"""The PDF reader: the text layer of each page, as flowing paragraphs.

Owns the use of PDFium and how its lines become paragraphs. Must not recognise text in
pictures: a scan has no blocks.
"""

from __future__ import annotations

import re
import threading
import unicodedata
from typing import TYPE_CHECKING, TypeVar

from barbule.errors import MediaError
from barbule.media.documents.records import Block, DocumentText

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from PIL.Image import Image
    from pypdfium2 import PdfDocument

__all__ = ["check_pdf", "first_page", "read_pdf"]

_T = TypeVar("_T")

# PDFium may not be called from two threads at once, not even for different files.
_PDFIUM = threading.Lock()
_PASSWORD_ERROR = 4
_DAMAGED_HINT = "Fetch or export the file again and check that it opens in a viewer."
# PDFium's sign for a hyphen at the end of a line, whose line break it drops.
_LINE_HYPHEN = "\ufffe"
_HYPHENATED = re.compile(rf"([\w-]+)(?:{_LINE_HYPHEN}\n?|\u00ad\n)([\w-]+)(\S*) ?")
_WORD = re.compile(r"[\w-]+")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]")
_BULLET = re.compile(r"[•◦▪‣·●○■–—*-]\s|\(?\d{1,3}[.)]\s|\[\d+\]\s")
_ENDINGS = ".!?:;。！？」』…"
_FULL = 0.7
_NARROWEST = 40


def check_pdf(path: Path) -> None:
    """Open a PDF and its first page.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    MediaError
        If it is damaged, has no page or asks for a password.
    """
    _with_document(path, lambda document: document[0].close())


def read_pdf(path: Path) -> DocumentText:
    """Read the text layer of a PDF.

    Lines are joined into paragraphs where they run on: PDFium gives no blank lines, so a
    line much shorter than its page's others ends a paragraph. Words that were hyphenated at
    the end of a line are joined, unless the document elsewhere writes them with a hyphen.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    DocumentText
        Blocks with pages from 1; the title of the file's metadata.

    Raises
    ------
    MediaError
        If it is damaged, has no page or asks for a password.
    """
    title, pages = _with_document(path, _contents)
    words = {word.lower() for page in pages for word in _WORD.findall(page)}
    blocks = [
        Block(paragraph, page=number)
        for number, page in enumerate(pages, start=1)
        for paragraph in _paragraphs(_HYPHENATED.sub(lambda m: _rejoined(m, words), page))
    ]
    return DocumentText(title, tuple(blocks))


def first_page(path: Path, side: int) -> Image:
    """Draw the first page of a PDF.

    Parameters
    ----------
    path
        The file.
    side
        The pixels of the longer side.

    Raises
    ------
    MediaError
        If it is damaged, has no page or asks for a password.
    """

    def draw(document: PdfDocument) -> Image:
        page = document[0]
        try:
            drawn: Image = page.render(scale=side / max(*page.get_size(), 1.0)).to_pil()
            return drawn.copy()  # what is drawn on is freed with the page
        finally:
            page.close()

    return _with_document(path, draw)


def _with_document(path: Path, use: Callable[[PdfDocument], _T]) -> _T:
    import pypdfium2

    with _PDFIUM:
        try:
            with pypdfium2.PdfDocument(path) as document:
                if not len(document):
                    raise MediaError(f"{path} is a PDF without pages.", hint=_DAMAGED_HINT)
                return use(document)
        except pypdfium2.PdfiumError as error:
            if getattr(error, "err_code", None) == _PASSWORD_ERROR:
                raise MediaError(
                    f"{path} is a password-protected PDF.",
                    hint="Save a copy without the password and use that.",
                ) from error
            raise MediaError(
                f"{path} is a damaged or truncated PDF.", hint=_DAMAGED_HINT
            ) from error


def _contents(document: PdfDocument) -> tuple[str | None, list[str]]:
    title = " ".join(document.get_metadata_dict().get("Title", "").split())
    pages = []
    for index in range(len(document)):
        page = document[index]
        textpage = page.get_textpage()
        pages.append(textpage.get_text_range().replace("\r\n", "\n").replace("\r", "\n"))
        textpage.close()
        page.close()
    return title or None, pages


def _rejoined(match: re.Match[str], words: set[str]) -> str:
    """Decide whether the hyphen between two lines belongs to the word; break behind the word."""
    left, right, tail = match.groups()
    joined, hyphenated = left + right, f"{left}-{right}"
    if joined.lower() in words:
        return f"{joined}{tail}\n"
    compound = "-" in right or "-" in left or not right[0].islower()
    kept = compound or hyphenated.lower() in words
    return f"{hyphenated if kept else joined}{tail}\n"


def _paragraphs(page: str) -> list[str]:
    lines = [line for raw in page.split("\n") if (line := " ".join(_CONTROL.sub("", raw).split()))]
    if not lines:
        return []
    widths = [_width(line) for line in lines]
    typical = max(sorted(widths)[int(len(widths) * 0.9)], _NARROWEST)
    paragraphs = [lines[0]]
    for previous, width, line in zip(lines, widths, lines[1:], strict=False):
        if _runs_on(previous, line, full=width >= _FULL * typical):
            glue = "" if _wide(previous[-1]) and _wide(line[0]) else " "
            paragraphs[-1] += glue + line
        else:
            paragraphs.append(line)
    return paragraphs


def _runs_on(line: str, following: str, *, full: bool) -> bool:
    if _BULLET.match(following):
        return False
    return full or (following[0].islower() and line[-1] not in _ENDINGS)


def _width(line: str) -> int:
    return len(line) if line.isascii() else len(line) + sum(map(_wide, line))


def _wide(char: str) -> bool:
    return unicodedata.east_asian_width(char) in {"W", "F"}
