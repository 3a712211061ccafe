"""The reader for Word documents.

Owns how the paragraphs of a document, its tables, notes, headers and footers become blocks, and
which of its text is visible: neither deleted or moved text, nor hidden text.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from barbule.media.documents.blocks import Block, DocumentText, HeadingTrail, grid
from barbule.media.documents.office.drawings import drawing_texts
from barbule.media.documents.office.formulas import FORMULA, formula_text
from barbule.media.documents.office.package import (
    RELATED,
    parts_of_kind,
    properties,
    related_tree,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from docx.document import Document
    from docx.opc.part import Part
    from docx.styles.style import BaseStyle
    from docx.styles.styles import Styles
    from lxml.etree import _Element as Element

    from barbule.media.documents.blocks import Rows

__all__ = ["read_docx"]

_HEADING_STYLE = re.compile(r"heading (\d+)", re.IGNORECASE)
_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_MC = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
_P, _TABLE, _ROW, _CELL, _T = f"{_W}p", f"{_W}tbl", f"{_W}tr", f"{_W}tc", f"{_W}t"
_ID, _TYPE, _VALUE = f"{_W}id", f"{_W}type", f"{_W}val"
_TEXT_BOX = f"{_W}txbxContent"
_FALLBACK = f"{_MC}Fallback"
_CHARACTER_ELEMENTS = {
    f"{_W}tab": "\t",
    f"{_W}br": "\n",
    f"{_W}cr": "\n",
    f"{_W}noBreakHyphen": "-",
}
_MOVE_FROM, _DELETED, _RUN, _RUBY = f"{_W}moveFrom", f"{_W}del", f"{_W}r", f"{_W}ruby"
_RUBY_TEXT, _RUBY_BASE = f"{_W}rt", f"{_W}rubyBase"
_VANISH = f"{_W}vanish"
_OFF = {"0", "false", "off"}
# Elements of a paragraph other than plain runs of text.
_SPECIAL_ELEMENTS = (_TEXT_BOX, _MOVE_FROM, _DELETED, _RUBY, _FALLBACK, FORMULA, _VANISH)
_OMITTED_ELEMENTS = {_TEXT_BOX, _MOVE_FROM, _DELETED, _FALLBACK, f"{_W}pPr", f"{_W}rPr"}
# Elements around paragraphs: content controls, custom XML, tracked insertions.
_WRAPPERS = {
    f"{_W}{name}" for name in ("sdt", "sdtContent", "customXml", "ins", "moveTo", "smartTag")
}
_NOTES = {f"{_W}footnoteReference": "footnotes", f"{_W}endnoteReference": "endnotes"}
_SEPARATOR_TYPES = {"separator", "continuationSeparator", "continuationNotice"}
_HEADERS = {f"{_W}headerReference": "header", f"{_W}footerReference": "footer"}


def read_docx(path: Path) -> DocumentText:
    """Read a Word document: paragraphs, tables, text boxes, notes, formulas, headers, footers.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    DocumentText
        Notes follow the paragraph that refers to them, headers come first and footers
        last. The title is that of the properties, or the first paragraph styled Title or
        Heading 1.
    """
    import docx

    document = docx.Document(str(path))
    part, body = document.part, document.element.body
    reader = _WordReader(part, _HeadingLevels(document.styles))
    headers = _headers(document)
    for tree in headers["header"]:
        reader.read(tree)
    reader.begin()
    # The elements of python-docx are traversed, not its objects: those read the style, the parent
    # and the parts of each paragraph again, and take a hundred times as long.
    reader.read(body, headings=True)
    reader.end()
    for tree in headers["footer"]:
        reader.read(tree)
    title = (document.core_properties.title or "").strip() or None
    return DocumentText(
        title or reader.first_title,
        tuple(reader.blocks),
        properties(document),
        left_out=tuple(_left_out(part, body)),
    )


def _headers(document: Document) -> dict[str, list[Element]]:
    """Return the headers and the footers that are shown, each once."""
    part = document.part
    has_even_headers = document.settings.element.find(f"{_W}evenAndOddHeaders") is not None
    trees: dict[str, list[Element]] = {"header": [], "footer": []}
    texts: set[str] = set()
    for section in document.element.body.iter(f"{_W}sectPr"):
        visible_types = {
            "default",
            "even" if has_even_headers else "",
            "first" * _is_set(section, "titlePg"),
        }
        for reference in section.iter(*_HEADERS):
            identifier = reference.get(f"{RELATED}id")
            tree = related_tree(part, identifier)
            if tree is None or reference.get(_TYPE, "default") not in visible_types:
                continue
            text = "\n".join(map(_text, tree.iter(_P)))
            # A page number alone has no meaning.
            if text not in texts and any(map(str.isalpha, text)):
                texts.add(text)
                trees[_HEADERS[reference.tag]].append(tree)
    return trees


def _is_set(section: Element, name: str) -> bool:
    setting = section.find(f"{_W}{name}")
    return setting is not None and setting.get(_VALUE) not in _OFF


def _left_out(part: Part, body: Element) -> Iterator[str]:
    comments = parts_of_kind(part, "comments")
    if any(element.text for tree in comments for element in tree.iter(_T)):
        yield "comments"
    if any(element.text for element in body.iter(f"{_W}delText")):
        yield "deleted text"
    hidden_runs = (element.getparent().getparent() for element in body.iter(_VANISH))
    if any(_text(run, hidden=True) for run in hidden_runs if run is not None and _is_hidden(run)):
        yield "hidden text"


class _WordReader:
    """The blocks of a document, one part after the other."""

    def __init__(self, part: Part, levels: _HeadingLevels) -> None:
        self.blocks: list[Block] = []
        self.first_title: str | None = None
        self._part, self._levels = part, levels
        self._trail = HeadingTrail()
        self._notes = {
            kind: {note.get(_ID): note for tree in parts_of_kind(part, kind) for note in tree}
            for kind in _NOTES.values()
        }

    def begin(self) -> None:
        """Start the text after the headers."""
        self._trail.section += 1

    def end(self) -> None:
        """End all headings: footers have none."""
        self._trail.enter(0, "")

    def read(self, root: Element, *, headings: bool = False) -> None:
        """Add the blocks of a part."""
        for element in _body_parts(root):
            if element.tag == _TABLE:
                rows = tuple(_docx_rows(element))
                self._add(grid(rows), rows)
            else:
                self._add(self._heading(element) if headings else _text(element).strip())
            self._add_attached(element)

    def _heading(self, paragraph: Element) -> str:
        """Return the text of a paragraph, and record a heading."""
        text = _text(paragraph).strip()
        level = self._levels.level_of(paragraph)
        if text and level is not None:
            text = " ".join(text.split())
            self.first_title = self.first_title or (text if level <= 1 else None)
            if level:
                self._trail.enter(level, text)
        return text

    def _add(self, text: str, rows: Rows | None = None) -> None:
        if text:
            trail = self._trail
            self.blocks.append(Block(text, None, trail.path, None, rows, (), trail.section))

    def _add_attached(self, element: Element) -> None:
        """Add the boxes, drawings and notes of an element."""
        if (
            next(element.iter(_TEXT_BOX, f"{_W}drawing", f"{_MC}AlternateContent", *_NOTES), None)
            is None
        ):
            return
        for text_box in element.iter(_TEXT_BOX):
            if not _has_ancestor(text_box, _FALLBACK, element):
                for paragraph in text_box.iter(_P):
                    self._add(_text(paragraph).strip())
        for text, rows in drawing_texts(element, self._part):
            self._add(text, rows)
        for reference in element.iter(*_NOTES):
            # Another reference to a note refers to its first position.
            note = self._notes[_NOTES[reference.tag]].pop(reference.get(_ID), None)
            if note is not None and note.get(_TYPE) not in _SEPARATOR_TYPES:
                self._add("\n".join(filter(None, (_text(p).strip() for p in note.iter(_P)))))


def _body_parts(body: Element) -> Iterator[Element]:
    stack = list(body)[::-1]
    while stack:
        element = stack.pop()
        if element.tag in {_P, _TABLE}:
            yield element
        elif element.tag in _WRAPPERS:
            stack.extend(list(element)[::-1])


def _text(paragraph: Element, *, hidden: bool = False) -> str:
    """Return the visible text of a paragraph, without that of boxes anchored in it."""
    if hidden or next(paragraph.iter(*_SPECIAL_ELEMENTS), None) is not None:
        text = "".join(_visible_texts(paragraph, hidden=hidden))
    else:
        text = "".join(
            element.text or "" if element.tag == _T else _character(element)
            for element in paragraph.iter(_T, *_CHARACTER_ELEMENTS)
        )
    return text.replace("\u00ad", "")


def _visible_texts(element: Element, *, hidden: bool = False) -> Iterator[str]:
    for child in element:
        tag = child.tag
        if tag == _T:
            yield child.text or ""
        elif tag in _CHARACTER_ELEMENTS:
            yield _character(child)
        elif tag == FORMULA:
            yield formula_text(child)
        elif tag == _RUBY:
            yield from _ruby_texts(child)
        elif tag not in _OMITTED_ELEMENTS and (hidden or not _is_hidden(child)):
            yield from _visible_texts(child, hidden=hidden)


def _ruby_texts(ruby: Element) -> Iterator[str]:
    """Yield characters, followed by their reading in brackets."""
    base, reading = ruby.find(_RUBY_BASE), ruby.find(_RUBY_TEXT)
    if base is not None:
        yield from _visible_texts(base)
    reading_text = "".join(_visible_texts(reading)) if reading is not None else ""
    if reading_text:
        yield f"({reading_text})"


def _is_hidden(run: Element) -> bool:
    if run.tag != _RUN:
        return False
    setting = run.find(f"{_W}rPr/{_VANISH}")
    return setting is not None and setting.get(_VALUE) not in _OFF


def _character(element: Element) -> str:
    # The stops of the ruler are tabs too, but are in no run.
    in_run = element.getparent().tag == _RUN
    return _CHARACTER_ELEMENTS[element.tag] if in_run else ""


def _has_ancestor(element: Element, tag: str, outer: Element) -> bool:
    parent = element.getparent()
    while parent is not None and parent is not outer:
        if parent.tag == tag:
            return True
        parent = parent.getparent()
    return False


class _HeadingLevels:
    """The heading levels of styles: 0 is a title, None no heading."""

    def __init__(self, styles: Styles) -> None:
        self._styles: dict[str | None, BaseStyle] = {style.style_id: style for style in styles}
        self._levels_by_style: dict[str | None, int | None] = {}

    def level_of(self, paragraph: Element) -> int | None:
        properties = paragraph.find(f"{_W}pPr")
        style = properties.find(f"{_W}pStyle") if properties is not None else None
        name = style.get(f"{_W}val") if style is not None else None
        if name not in self._levels_by_style:
            self._levels_by_style[name] = self._level(self._styles.get(name))
        return self._levels_by_style[name]

    def _level(self, style: BaseStyle | None) -> int | None:
        visited: set[str] = set()
        while style is not None and style.style_id not in visited:
            visited.add(style.style_id)
            name = style.name or ""
            if name.lower() == "title":
                return 0
            if match := _HEADING_STYLE.fullmatch(name):
                return int(match[1])
            style = style.base_style
        return None


def _docx_rows(table: Element) -> Iterator[tuple[str, ...]]:
    for row in table.iter(_ROW):
        if _has_ancestor(row, _TABLE, table):
            continue  # of a table in a cell, whose text is that cell's
        if row.find(f"{_W}trPr/{_DELETED}") is not None:
            continue
        cells = [cell for cell in row.iter(_CELL) if not _has_ancestor(cell, _CELL, row)]
        texts = tuple(
            " ".join(" ".join(_text(paragraph) for paragraph in cell.iter(_P)).split())
            for cell in cells
        )
        if any(texts):
            yield texts
