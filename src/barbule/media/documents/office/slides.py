"""The reader for PowerPoint presentations.

Owns the order in which the parts of a slide are read: from top to bottom and left to right, as
displayed, and not in drawing order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from barbule.media.documents.blocks import Block, DocumentText, grid
from barbule.media.documents.office.drawings import drawing_texts
from barbule.media.documents.office.formulas import FORMULA, formula_text
from barbule.media.documents.office.package import parts_of_kind, properties

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from lxml.etree import _Element as Element
    from pptx.shapes.base import BaseShape
    from pptx.text.text import TextFrame

    from barbule.media.documents.blocks import Rows

__all__ = ["read_pptx"]

_A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_MC = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
_ALTERNATIVES, _CHOICE, _FALLBACK = f"{_MC}AlternateContent", f"{_MC}Choice", f"{_MC}Fallback"
_P, _T, _LINE_BREAK = f"{_A}p", f"{_A}t", f"{_A}br"


def read_pptx(path: Path) -> DocumentText:
    """Read a presentation: the text, tables, charts and diagrams of each slide, and its notes.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    DocumentText
        Slides are pages, their titles are headings; hidden slides are read too. The title is
        that of the properties, or of the first slide that has one.
    """
    import pptx

    presentation = pptx.Presentation(str(path))
    blocks: list[Block] = []
    first_title: str | None = None
    left_out: tuple[str, ...] = ()
    number = 0
    for number, slide in enumerate(presentation.slides, start=1):
        _apply_alternatives(slide.element)
        title_shape = slide.shapes.title
        heading = " ".join(title_shape.text_frame.text.split()) if title_shape is not None else ""
        first_title = first_title or heading or None
        texts = list(_shape_texts(slide.shapes))
        if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
            texts.append((_frame_text(slide.notes_slide.notes_text_frame), None))
        blocks.extend(
            Block(text, number, heading or None, None, rows) for text, rows in texts if text
        )
        if parts_of_kind(slide.part, "comments"):
            left_out = ("comments",)
    title = (presentation.core_properties.title or "").strip() or None
    return DocumentText(
        title or first_title,
        tuple(blocks),
        properties(presentation),
        pages=number,
        left_out=left_out,
    )


def _apply_alternatives(slide: Element) -> None:
    """Replace alternatives with the first of them: the library reads none."""
    for alternatives in list(slide.iter(_ALTERNATIVES)):
        parent = alternatives.getparent()
        chosen = alternatives.find(_CHOICE)
        chosen = alternatives.find(_FALLBACK) if chosen is None else chosen
        if parent is not None:
            for child in () if chosen is None else list(chosen):
                alternatives.addprevious(child)
            parent.remove(alternatives)


def _shape_texts(shapes: Iterable[BaseShape]) -> Iterator[tuple[str, Rows | None]]:
    for shape in _in_reading_order(shapes):
        if getattr(shape, "shapes", None) is not None:
            yield from _shape_texts(shape.shapes)
        elif shape.has_text_frame:
            yield _frame_text(shape.text_frame), None
        elif getattr(shape, "has_table", False):
            cells = (
                tuple(" ".join(_frame_text(cell.text_frame).split()) for cell in row.cells)
                for row in shape.table.rows
            )
            rows = tuple(row for row in cells if any(row))
            yield grid(rows), rows
        else:
            yield from drawing_texts(shape.element, shape.part)


def _in_reading_order(shapes: Iterable[BaseShape]) -> list[BaseShape]:
    """Order shapes by rows, and the shapes of a row from left to right."""
    positions = [(shape.top or 0, shape.left or 0, shape.height or 0, shape) for shape in shapes]
    positions.sort(key=lambda position: position[:2])
    rows: list[list[tuple[int, int, int, BaseShape]]] = []
    for position in positions:
        if rows and _share_row(rows[-1][0], position):
            rows[-1].append(position)
        else:
            rows.append([position])
    return [shape for row in rows for *_, shape in sorted(row, key=lambda position: position[1])]


def _share_row(
    position: tuple[int, int, int, BaseShape], other: tuple[int, int, int, BaseShape]
) -> bool:
    """Return whether the middle of each of two shapes is within the height of the other."""
    top, _, height, _ = position
    other_top, _, other_height, _ = other
    middle, other_middle = top + height / 2, other_top + other_height / 2
    return other_top <= middle <= other_top + other_height and top <= other_middle <= top + height


def _frame_text(frame: TextFrame) -> str:
    paragraphs = ("".join(_runs(paragraph)) for paragraph in frame._element.iter(_P))
    return "\n".join(paragraphs).replace("\u00ad", "").replace("\v", "\n").strip()


def _runs(paragraph: Element) -> Iterator[str]:
    for element in paragraph.iter(_T, _LINE_BREAK, FORMULA):
        if element.tag == FORMULA:
            yield formula_text(element)
        elif element.tag == _LINE_BREAK:
            yield "\n"
        else:
            yield element.text or ""
