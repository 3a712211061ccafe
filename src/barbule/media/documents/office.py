"""The readers for Word documents and PowerPoint presentations.

Owns how paragraphs, tables and slides become blocks. Must not tell formats apart or wrap
errors: `documents.reading` does both.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from barbule.media.documents.records import Block, DocumentText, HeadingTrail, grid

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from barbule.media.documents.records import Rows

__all__ = ["read_docx", "read_pptx"]

_HEADING_STYLE = re.compile(r"heading (\d+)", re.IGNORECASE)
_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_COMPATIBLE = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
_P, _TABLE, _ROW, _CELL, _T = f"{_W}p", f"{_W}tbl", f"{_W}tr", f"{_W}tc", f"{_W}t"
_BOXED = f"{_W}txbxContent"
_FALLBACK = f"{_COMPATIBLE}Fallback"
_SIGNS = {f"{_W}tab": "\t", f"{_W}br": "\n", f"{_W}cr": "\n", f"{_W}noBreakHyphen": "-"}
# What may stand around paragraphs: content controls, custom XML, insertions that are tracked.
_WRAPPERS = {f"{_W}{name}" for name in ("sdt", "sdtContent", "customXml", "ins", "smartTag")}
_PROPERTIES = ("author", "subject", "keywords", "category", "comments", "language", "created")


def read_docx(path: Path) -> DocumentText:
    """Read a Word document: paragraphs, tables and text boxes of its body, in order.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    DocumentText
        The title is that of its properties, or the first paragraph styled Title or Heading 1.
    """
    import docx

    document = docx.Document(str(path))
    levels = _Levels(document.styles)
    trail, blocks = HeadingTrail(), []
    first_title: str | None = None
    # The elements of python-docx are walked, not its objects: those ask for the style, the
    # parent and the parts of each paragraph anew, and take a hundred times as long.
    for element in _body_parts(document.element.body):
        rows: Rows | None = None
        if element.tag == _TABLE:
            rows = tuple(_docx_rows(element))
            text = grid(rows)
        else:
            text = _text(element).strip()
            level = levels.of(element)
            if text and level is not None:
                text = " ".join(text.split())
                first_title = first_title or (text if level <= 1 else None)
                if level:
                    trail.enter(level, text)
        if text:
            blocks.append(Block(text, None, trail.path, None, rows, (), trail.section))
        for boxed in element.iter(_BOXED):
            if not _within(boxed, _FALLBACK, element):
                blocks.extend(
                    Block(box, None, trail.path, section=trail.section)
                    for box in _boxed_texts(boxed)
                )
    title = (document.core_properties.title or "").strip() or None
    return DocumentText(title or first_title, tuple(blocks), _properties(document))


def _body_parts(body: Any) -> Iterator[Any]:
    stack = list(body)[::-1]
    while stack:
        element = stack.pop()
        if element.tag in {_P, _TABLE}:
            yield element
        elif element.tag in _WRAPPERS:
            stack.extend(list(element)[::-1])


def _text(paragraph: Any) -> str:
    """Return the text of a paragraph, without that of boxes that are anchored in it."""
    parts = []
    boxed = next(paragraph.iter(_BOXED), None) is not None
    for element in paragraph.iter(_T, *_SIGNS):
        if boxed and _within(element, _BOXED, paragraph):
            continue
        parts.append(element.text or "" if element.tag == _T else _sign(element))
    return "".join(parts)


def _sign(element: Any) -> str:
    # The stops of the ruler are tabs too, but stand in no run.
    in_run = element.getparent().tag == f"{_W}r"
    return _SIGNS[element.tag] if in_run else ""


def _boxed_texts(boxed: Any) -> Iterator[str]:
    for paragraph in boxed.iter(_P):
        if text := _text(paragraph).strip():
            yield text


def _within(element: Any, tag: str, outer: Any) -> bool:
    parent = element.getparent()
    while parent is not None and parent is not outer:
        if parent.tag == tag:
            return True
        parent = parent.getparent()
    return False


class _Levels:
    """The heading levels of styles: 0 is a title, None no heading."""

    def __init__(self, styles: Any) -> None:
        self._styles: dict[str | None, Any] = {style.style_id: style for style in styles}
        self._known: dict[str | None, int | None] = {}

    def of(self, paragraph: Any) -> int | None:
        properties = paragraph.find(f"{_W}pPr")
        style = properties.find(f"{_W}pStyle") if properties is not None else None
        name = style.get(f"{_W}val") if style is not None else None
        if name not in self._known:
            self._known[name] = self._level(self._styles.get(name))
        return self._known[name]

    def _level(self, style: Any) -> int | None:
        seen: set[str] = set()
        while style is not None and style.style_id not in seen:
            seen.add(style.style_id)
            name = style.name or ""
            if name.lower() == "title":
                return 0
            if found := _HEADING_STYLE.fullmatch(name):
                return int(found[1])
            style = style.base_style
        return None


def _docx_rows(table: Any) -> Iterator[tuple[str, ...]]:
    for row in table.iter(_ROW):
        if _within(row, _TABLE, table):
            continue  # of a table in a cell, whose text is that cell's
        cells = [cell for cell in row.iter(_CELL) if not _within(cell, _CELL, row)]
        texts = tuple(
            " ".join(" ".join(_text(each) for each in cell.iter(_P)).split()) for cell in cells
        )
        if any(texts):
            yield texts


def _properties(document: Any) -> dict[str, Any]:
    """Return what an Office file says of itself, leaving out what it does not say."""
    found = {}
    for name in _PROPERTIES:
        value = getattr(document.core_properties, name, None)
        if value:
            found[name] = value.isoformat() if hasattr(value, "isoformat") else str(value)
    return found


def read_pptx(path: Path) -> DocumentText:
    """Read a presentation: the text of each slide, its tables and its speaker's notes.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    DocumentText
        Slides are pages, their titles are headings. The title is that of the properties, or
        of the first slide that has one.
    """
    import pptx

    presentation = pptx.Presentation(str(path))
    blocks: list[Block] = []
    first_title: str | None = None
    number = 0
    for number, slide in enumerate(presentation.slides, start=1):
        title_shape = slide.shapes.title
        heading = " ".join(title_shape.text_frame.text.split()) if title_shape is not None else ""
        first_title = first_title or heading or None
        texts = list(_shape_texts(slide.shapes))
        if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
            texts.append((_frame_text(slide.notes_slide.notes_text_frame), None))
        blocks.extend(
            Block(text, number, heading or None, None, rows) for text, rows in texts if text
        )
    title = (presentation.core_properties.title or "").strip() or None
    return DocumentText(
        title or first_title, tuple(blocks), _properties(presentation), pages=number
    )


def _shape_texts(shapes: Iterable[Any]) -> Iterator[tuple[str, Rows | None]]:
    for shape in shapes:
        if getattr(shape, "shapes", None) is not None:
            yield from _shape_texts(shape.shapes)
        elif shape.has_text_frame:
            yield _frame_text(shape.text_frame), None
        elif getattr(shape, "has_table", False):
            cells = (
                tuple(" ".join(cell.text.split()) for cell in row.cells) for row in shape.table.rows
            )
            rows = tuple(row for row in cells if any(row))
            yield grid(rows), rows


def _frame_text(frame: Any) -> str:
    # PowerPoint writes a soft line break as a vertical tab.
    return str(frame.text).replace("\v", "\n").strip()
