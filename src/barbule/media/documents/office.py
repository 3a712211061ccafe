"""The readers for Word documents and PowerPoint presentations.

Owns how paragraphs, tables and slides become blocks. Must not tell formats apart or wrap
errors: `documents.reading` does both.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from barbule.media.documents.records import Block, DocumentText, HeadingTrail

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

__all__ = ["read_docx", "read_pptx"]

_HEADING_STYLE = re.compile(r"heading (\d+)", re.IGNORECASE)
# Content controls (w:sdt) hold paragraphs too, which python-docx's own walk leaves out.
_BODY_PARTS = "./w:p | ./w:tbl | ./w:sdt/w:sdtContent/w:p | ./w:sdt/w:sdtContent/w:tbl"


def read_docx(path: Path) -> DocumentText:
    """Read a Word document: paragraphs and tables of its body, in order.

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
    from docx.table import Table
    from docx.text.paragraph import Paragraph

    document = docx.Document(str(path))
    trail, blocks = HeadingTrail(), []
    first_title: str | None = None
    for element in document.element.body.xpath(_BODY_PARTS):
        if element.tag.endswith("}tbl"):
            text = _table_text(_docx_rows(Table(element, document)))
        else:
            paragraph = Paragraph(element, document)
            text = paragraph.text.strip()
            level = _heading_level(paragraph)
            if text and level is not None:
                text = " ".join(text.split())
                first_title = first_title or (text if level <= 1 else None)
                if level:
                    trail.enter(level, text)
        if text:
            blocks.append(Block(text, heading=trail.path))
    return DocumentText(_title(document) or first_title, tuple(blocks))


def _heading_level(paragraph: Any) -> int | None:
    style = paragraph.style
    while style is not None:
        name = style.name or ""
        if name.lower() == "title":
            return 0
        found = _HEADING_STYLE.fullmatch(name)
        if found:
            return int(found[1])
        style = style.base_style
    return None


def _docx_rows(table: Any) -> Iterator[list[str]]:
    for row in table.rows:
        seen: set[Any] = set()
        cells = []
        for cell in row.cells:
            # A merged cell is listed once for each column it spans.
            if cell._tc not in seen:
                seen.add(cell._tc)
                cells.append(cell.text)
        yield cells


def _table_text(rows: Iterable[list[str]]) -> str:
    flat = ([" ".join(cell.split()) for cell in row] for row in rows)
    return "\n".join(" | ".join(row) for row in flat if any(row))


def _title(document: Any) -> str | None:
    return (document.core_properties.title or "").strip() or None


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
    for number, slide in enumerate(presentation.slides, start=1):
        title_shape = slide.shapes.title
        heading = " ".join(title_shape.text_frame.text.split()) if title_shape is not None else ""
        first_title = first_title or heading or None
        texts = list(_shape_texts(slide.shapes))
        if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
            texts.append(_frame_text(slide.notes_slide.notes_text_frame))
        blocks.extend(Block(text, page=number, heading=heading or None) for text in texts if text)
    return DocumentText(_title(presentation) or first_title, tuple(blocks))


def _shape_texts(shapes: Iterable[Any]) -> Iterator[str]:
    for shape in shapes:
        if getattr(shape, "shapes", None) is not None:
            yield from _shape_texts(shape.shapes)
        elif shape.has_text_frame:
            yield _frame_text(shape.text_frame)
        elif getattr(shape, "has_table", False):
            yield _table_text([cell.text for cell in row.cells] for row in shape.table.rows)


def _frame_text(frame: Any) -> str:
    # PowerPoint writes a soft line break as a vertical tab.
    return str(frame.text).replace("\v", "\n").strip()
