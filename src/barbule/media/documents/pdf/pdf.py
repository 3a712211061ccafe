"""The PDF reader: the text layer of each page, as paragraphs with their boxes.

Owns the use of PDFium. `paragraphs` joins lines to paragraphs, `ocr` recognises text in images.
"""

from __future__ import annotations

import ctypes
import os
import re
import struct
import threading
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from barbule.errors import MediaError
from barbule.media.documents.blocks import Block, DocumentText, HeadingTrail
from barbule.media.documents.pdf.outline import (
    OutlineEntry,
    entry_index,
    mark_headings,
    read_outline,
)
from barbule.media.documents.pdf.paragraphs import Line, paragraphs, words_of
from barbule.media.documents.pdf.pdf_forms import (
    FormValue,
    init_form,
    merge_values,
    read_form_values,
    split_lines,
)
from barbule.media.isolation import isolated
from barbule.media.read_limits import Tally, check_limit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from PIL.Image import Image
    from pypdfium2 import PdfDocument, PdfPage, PdfTextPage

    from barbule.media.documents.blocks import Sides

__all__ = ["check_pdf", "first_page", "page_image", "read_pdf"]

_T = TypeVar("_T")

# PDFium must not be called from two threads at once, not even for different files.
_PDFIUM_LOCK = threading.Lock()
_DAMAGED_HINT = "Download or export the file again, and check that it opens in a viewer."
_OCR_DPI = 200
_POINTS_PER_INCH = 72
_MAX_PIXELS = 40_000_000
_METADATA = {
    "Author": "author",
    "Subject": "subject",
    "Keywords": "keywords",
    "Creator": "creator",
    "Producer": "producer",
    "CreationDate": "created",
}
_SIDES_FORMAT = struct.Struct("4d")
_DATE = re.compile(r"D:(\d{4})(\d\d)?(\d\d)?")


class _Page(NamedTuple):
    """The lines of a page, their texts and their boxes, and the filled-in values."""

    texts: list[str]
    boxes: list[Sides | None]
    scanned: bool = False
    form_values: tuple[FormValue, ...] = ()


def check_pdf(path: Path) -> None:
    """Open a PDF and its first page.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    MediaError
        If it is damaged, has no page or requires a password.
    """
    _with_document(path, lambda document: document[0].close())


def read_pdf(path: Path, *, ocr: bool = False) -> DocumentText:
    """Read the text layer of a PDF, and the values of its form.

    Parameters
    ----------
    path
        The file.
    ocr
        Whether to recognise text on pages that are images without text.

    Returns
    -------
    DocumentText
        Blocks with pages from 1, their boxes and, if the file has an outline, the headings above
        them; the title of the file's metadata. `scanned` contains the pages that are images and
        whose text was not recognised.

    Raises
    ------
    MediaError
        If it is damaged, has no page or requires a password.
    """
    title, metadata, outline, pages, left_out = _with_document(path, _contents)
    scanned = tuple(number for number, page in enumerate(pages, start=1) if page.scanned)
    if ocr:
        for number in scanned:
            form_values = pages[number - 1].form_values
            pages[number - 1] = _recognise_page(path, number)._replace(form_values=form_values)
        scanned = ()
    words = words_of(text for page in pages for text in page.texts)
    trail = HeadingTrail()
    blocks: list[Block] = []
    for number, page in enumerate(pages, start=1):
        blocks.extend(_blocks(page, number, outline.get(number, []), trail, words))
    return DocumentText(title, tuple(blocks), metadata, len(pages), scanned, left_out)


def _blocks(
    page: _Page,
    number: int,
    entries: list[OutlineEntry],
    trail: HeadingTrail,
    words: frozenset[str],
) -> Iterator[Block]:
    """Yield the paragraphs of a page; the outline defines which of its lines are headings."""
    lines = list(map(Line, page.texts, page.boxes))
    if page.form_values:
        lines = [Line(*fields) for fields in merge_values(page.texts, page.boxes, page.form_values)]
    if entries:
        lines = mark_headings(lines, entries)
    remaining = list(entries)
    for text, boxes in paragraphs(lines, words):
        if remaining and (position := entry_index(text, remaining)) is not None:
            for entry in remaining[: position + 1]:
                trail.enter(entry.level, entry.title)
            del remaining[: position + 1]
        yield Block(text, number, trail.path, None, None, boxes, trail.section)
    for entry in remaining:  # not found as lines of text: they apply from the next page on
        trail.enter(entry.level, entry.title)


def first_page(path: Path, side: int) -> Image:
    """Render the first page of a PDF.

    Parameters
    ----------
    path
        The file.
    side
        The length of the longer side in pixels.

    Raises
    ------
    MediaError
        If it is damaged, has no page or requires a password.
    """
    return isolated(_draw_first_page, path, side, unbounded=True)


def page_image(path: Path, number: int, dpi: float) -> Image | None:
    """Render a page of a PDF.

    Parameters
    ----------
    path
        The file.
    number
        The page, from 1; None is returned if the document does not have it.
    dpi
        Dots per inch.

    Raises
    ------
    MediaError
        If it is damaged, has no page or requires a password.
    """
    return isolated(_draw_page, path, number, dpi, unbounded=True)


def _draw_first_page(path: Path, side: int) -> Image:
    return _with_document(path, lambda document: _render_page(document, 0, side=side))


def _draw_page(path: Path, number: int, dpi: float) -> Image | None:
    def draw(document: PdfDocument) -> Image | None:
        if not 0 < number <= len(document):
            return None
        return _render_page(document, number - 1, dpi=dpi or _POINTS_PER_INCH)

    return _with_document(path, draw)


def _render_page(
    document: PdfDocument,
    index: int,
    *,
    side: float | None = None,
    dpi: float = _POINTS_PER_INCH,
    forms: bool = True,
) -> Image:
    if forms:
        init_form(document)
    page = document[index]
    try:
        width, height = (max(length, 1.0) for length in page.get_size())
        scale = side / max(width, height) if side else dpi / _POINTS_PER_INCH
        # A page may claim to be extremely large.
        scale = min(scale, (_MAX_PIXELS / (width * height)) ** 0.5)
        rendered: Image = page.render(scale=scale).to_pil()
        return rendered.copy()  # the bitmap is freed with the page
    finally:
        page.close()


def _recognise_page(path: Path, number: int) -> _Page:
    from barbule.media.documents.pdf.ocr import recognise

    def draw(document: PdfDocument) -> tuple[Image, float]:
        page = document[number - 1]
        height = page.get_height()
        page.close()
        return _render_page(document, number - 1, dpi=_OCR_DPI, forms=False), height

    image, height = _with_document(path, draw)
    scale = height / image.height
    text_boxes = recognise(image)
    boxes: list[Sides | None] = [
        (x1 * scale, height - y2 * scale, x2 * scale, height - y1 * scale)
        for _, (x1, y1, x2, y2) in text_boxes
    ]
    return _Page([text for text, _ in text_boxes], boxes)


def _with_document(path: Path, use: Callable[[PdfDocument], _T]) -> _T:
    import pypdfium2

    with _PDFIUM_LOCK:
        try:
            with _open_document(path) as document:
                return use(document)
        except pypdfium2.PdfiumError as error:
            raise _damage_error(path) from error


def _open_document(path: Path) -> PdfDocument:
    # Not with pypdfium2, which keeps a file without pages open.
    import pypdfium2
    from pypdfium2 import raw

    handle = raw.FPDF_LoadDocument(os.fsencode(path) + b"\0", None)
    if not handle:
        if raw.FPDF_GetLastError() == raw.FPDF_ERR_PASSWORD:
            raise MediaError(
                f"{path} is a password-protected PDF.",
                hint="Save a copy without the password and use that.",
            )
        raise _damage_error(path)
    if raw.FPDF_GetPageCount(handle) < 1:
        raw.FPDF_CloseDocument(handle)
        raise _damage_error(path)
    return pypdfium2.PdfDocument(handle)


def _damage_error(path: Path) -> MediaError:
    return MediaError(f"{path} is a damaged or truncated PDF.", hint=_DAMAGED_HINT)


_Contents = tuple[
    str | None, dict[str, str], dict[int, list[OutlineEntry]], list[_Page], tuple[str, ...]
]


def _contents(document: PdfDocument) -> _Contents:
    document_info = document.get_metadata_dict()
    title = " ".join(document_info.get("Title", "").split()) or None
    metadata = {
        name: _iso_date(value.strip())
        for key, name in _METADATA.items()
        if (value := document_info.get(key))
    }
    left_out = dict.fromkeys(init_form(document))
    pages = list(_pages(document, left_out))
    return title, metadata, read_outline(document), pages, tuple(left_out)


def _iso_date(value: str) -> str:
    """Write a date in ISO 8601, and all else unchanged."""
    date = _DATE.match(value)
    return "-".join(part for part in date.groups() if part) if date else value


def _pages(document: PdfDocument, left_out: dict[str, None]) -> Iterator[_Page]:
    check_limit("max_pages", len(document))
    tally = Tally("max_text")
    for index in range(len(document)):
        page = document[index]
        textpage = page.get_textpage()
        tally.add(textpage.count_chars())
        texts, boxes = _lines(textpage)
        form_values = read_form_values(document, page, left_out)
        if form_values:
            texts, boxes = split_lines(textpage, texts, boxes, form_values)
        textpage.close()
        yield _Page(texts, boxes, not texts and _has_picture(page), tuple(form_values))
        page.close()


def _lines(textpage: PdfTextPage) -> tuple[list[str], list[Sides | None]]:
    text: str = textpage.get_text_range()
    if not text.strip():
        return [], []
    # Positions in the text equal those of PDFium if it leaves no character out.
    has_all_characters = textpage.count_chars() == len(text)
    count_rectangles, read_rectangle = _rectangles()
    handle = textpage.raw
    sides = (ctypes.c_double * 4)()
    left, bottom, right, top = (ctypes.byref(sides, 8 * index) for index in range(4))
    unpack_sides = _SIDES_FORMAT.unpack_from
    texts = text.split("\r\n")
    boxes: list[Sides | None] = []
    start = 0
    for line in texts:
        box: Sides | None = None
        if has_all_characters and line:
            for rectangle in range(count_rectangles(handle, start, len(line))):
                read_rectangle(handle, rectangle, left, top, right, bottom)
                rectangle_sides: Sides = unpack_sides(sides)
                box = rectangle_sides if box is None else _union(box, rectangle_sides)
        start += len(line) + 2
        boxes.append(box)
    return texts, boxes


@lru_cache(maxsize=1)
def _rectangles() -> tuple[Callable[..., int], Callable[..., int]]:
    """Return functions that count the rectangles of a line, and read one of them.

    They are called for each line, and ctypes takes longer to check and convert the arguments of the
    declared functions than PDFium needs.
    """
    from pypdfium2 import raw

    plain = ctypes.CFUNCTYPE(ctypes.c_int)
    functions = (raw.FPDFText_CountRects, raw.FPDFText_GetRect)
    count_rectangles, read_rectangle = (
        plain(ctypes.cast(function, ctypes.c_void_p).value or 0) for function in functions
    )
    return count_rectangles, read_rectangle


def _union(box: Sides, other: Sides) -> Sides:
    left, low, right, high = other
    return min(box[0], left), min(box[1], low), max(box[2], right), max(box[3], high)


def _has_picture(page: PdfPage) -> bool:
    from pypdfium2 import raw

    objects = page.get_objects(filter=(raw.FPDF_PAGEOBJ_IMAGE,), max_depth=3)
    return next(iter(objects), None) is not None
