"""The HTML reader: the readable text of a page, with its headings.

Owns which elements are text, which are boilerplate, and how tables become rows. Must not load
anything that a page refers to.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from barbule.media.documents.blocks import Block, DocumentText, HeadingTrail, grid
from barbule.media.documents.html.html_depth import refuse_attributes, refuse_depth
from barbule.media.documents.html.xhtml import as_html, is_xhtml
from barbule.media.documents.text.plain_text import decode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from selectolax.lexbor import LexborHTMLParser, LexborNode

    from barbule.media.documents.blocks import Rows

__all__ = ["read_html"]

_SCRIPT_TAGS = ("script", "style")
# Skipped elements with text that a reader of the page sees.
_OMITTED_TAGS = {
    "noscript": "text for browsers without scripts",
    "template": "templates",
    "nav": "navigation",
    "svg": "drawings",
    "iframe": "frames",
    "canvas": "drawings",
    "object": "objects",
    "select": "choices of forms",
    "button": "buttons",
}
_HIDDEN_SELECTOR = (
    '[hidden]:not([hidden="until-found"]), [aria-hidden="true"], '
    '[style*="display" i], [style*="visibility" i]'
)
_HIDDEN_STYLE = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*(?:hidden|collapse)", re.IGNORECASE
)
# Formulas are hidden next to their images, entire pages behind a dialog.
_ESSENTIAL_SELECTOR = "math, main, article, h1"
_INLINE_TAGS = {
    "a", "abbr", "acronym", "b", "bdi", "bdo", "big", "br", "cite", "code", "data", "del", "dfn",
    "em", "font", "i", "img", "ins", "kbd", "label", "mark", "math", "q", "rp", "rt", "ruby", "s",
    "samp", "small", "span", "strike", "strong", "sub", "sup", "time", "tt", "u", "var", "wbr",
}  # fmt: skip
_HEADING_LEVELS = {f"h{level}": level for level in range(1, 7)}
_METADATA = {
    "author": "author",
    "description": "description",
    "keywords": "keywords",
    "date": "created",
    "dcterms.created": "created",
    "article:published_time": "created",
}
_TEXT_NODE = "-text"
# Inserted before each <br>, so that the text of an element has a blank there; HTML itself does not
# use vertical tabs, so it differs from the breaks of the source.
_LINE_BREAK_SIGN = "\v"
_SOFT_HYPHEN = "\u00ad"
_LINE_SEARCH_CHARACTERS = 100_000
_MAX_LINE_ATTEMPTS = 50


def read_html(
    data: bytes,
    encoding: str | None = None,
    *,
    skip: Iterable[str] = (),
    xml: bool = False,
) -> DocumentText:
    """Read a page: headings, paragraphs, list items, tables; no scripts, styles or navigation.

    Parameters
    ----------
    data
        The bytes of an HTML file.
    encoding
        Its encoding; None detects it.
    skip
        Names of further elements to skip.
    xml
        Whether it is known to be XML; pages that declare it are read as XML in any case.

    Returns
    -------
    DocumentText
        The title is that of the page's head, or its first heading of level 1.

    Raises
    ------
    DamagedTreeError
        If elements are nested more than 10,000 deep.

    Examples
    --------
    >>> read_html(b"<h1>Feathers</h1><p>A <b>barbule</b> hooks.</p>").blocks[1].text
    'A barbule hooks.'
    """
    from selectolax.lexbor import LexborHTMLParser

    source = decode(data, encoding)
    page = as_html(source) if xml or is_xhtml(source) else source
    refuse_depth(page)
    refuse_attributes(page)
    tree = LexborHTMLParser(page)
    title, metadata = _title_and_metadata(tree)
    lowered = page.lower()
    left_out = _remove_omitted(tree, lowered, tuple(skip))
    for node in tree.css("br"):
        node.insert_before(_LINE_BREAK_SIGN)
    for node in tree.css("rt") if "<rt" in lowered else ():
        if node.parent is not None and node.parent.css_first("rp") is None:
            node.insert_before("(")
            node.insert_after(")")
    reader = _HtmlReader(source)
    if tree.body is not None:
        reader.walk(tree.body)
    title = title or reader.first_heading
    return DocumentText(title, tuple(reader.blocks), metadata, left_out=left_out)


def _remove_omitted(tree: LexborHTMLParser, page: str, skip: tuple[str, ...]) -> tuple[str, ...]:
    """Remove the parts of a page that are not text, and return which of them had text.

    Parameters
    ----------
    page
        Its source, in lower case.
    """
    descriptions = {**_OMITTED_TAGS, **{name: name for name in skip}}
    # Searching for elements traverses the entire page, which usually hides nothing.
    may_hide = any(word in page for word in ("hidden", "display", "visibility"))
    hidden_tags = (
        _remove(node for node in tree.css(_HIDDEN_SELECTOR) if _is_hidden(node)) if may_hide else []
    )
    omitted_tags = _remove(tree.css(", ".join((*_SCRIPT_TAGS, *descriptions))))
    omissions = ["hidden text"] * bool(hidden_tags)
    omissions += [descriptions.get(tag, tag) for tag in omitted_tags if tag not in _SCRIPT_TAGS]
    return tuple(dict.fromkeys(omissions))


def _remove(nodes: Iterable[LexborNode]) -> list[str]:
    """Remove nodes, and return the tags of those that had text."""
    tags = []
    freed: set[int] = set()
    for node in list(nodes):
        # They are in page order: nested ones are freed with them.
        if node.mem_id in freed:
            continue
        if node.text(strip=True):
            tags.append(node.tag or "")
        freed.update(child.mem_id for child in node.css("*"))
        node.decompose()
    return tags


def _is_hidden(node: LexborNode) -> bool:
    attributes = node.attributes
    is_declared_hidden = "hidden" in attributes or attributes.get("aria-hidden") == "true"
    if not is_declared_hidden and not _HIDDEN_STYLE.search(attributes.get("style") or ""):
        return False
    return node.tag not in {"html", "body"} and node.css_first(_ESSENTIAL_SELECTOR) is None


def _title_and_metadata(tree: LexborHTMLParser) -> tuple[str | None, dict[str, str]]:
    """Return the title and the other metadata in the head of the page."""
    title, metadata = None, {}
    if tree.head is not None:
        title_node = tree.head.css_first("head > title")
        title = _collapse_blanks(title_node.text()) if title_node is not None else None
        metadata = dict(_head_metadata(tree.head.css("head > meta")))
    language = tree.root.attributes.get("lang") if tree.root is not None else None
    if language:
        metadata["language"] = language
    return title, metadata


def _head_metadata(nodes: Iterable[LexborNode]) -> Iterable[tuple[str, str]]:
    for node in nodes:
        attributes = node.attributes
        name = _METADATA.get((attributes.get("name") or attributes.get("property") or "").lower())
        if name and attributes.get("content"):
            yield name, str(attributes["content"])


class _HtmlReader:
    def __init__(self, source: str) -> None:
        self.blocks: list[Block] = []
        self.first_heading: str | None = None
        self._trail = HeadingTrail()
        self._parts: list[str] = []
        self._lines = _LineFinder(source)

    def walk(self, body: LexborNode) -> None:
        # A stack, not recursion: pages are nested deeper than Python's call stack allows. It holds
        # the remaining children, and whether a block ends with them.
        stack = [(iter((body,)), True)]
        while stack:
            children, is_block = stack[-1]
            for node in children:
                tag = node.tag or ""
                if tag == "p":
                    # The parser ends a paragraph where a block starts, so it contains none.
                    self._flush()
                    self._paragraph(node.text())
                elif tag == _TEXT_NODE:
                    text = node.text_content or ""
                    if self._parts or not text.isspace():
                        self._parts.append(text)
                elif not self._add_element(node, tag):
                    if tag not in _INLINE_TAGS:
                        self._flush()
                    stack.append((node.iter(include_text=True), tag not in _INLINE_TAGS))
                    break
            else:
                stack.pop()
                if is_block:
                    self._flush()

    def _add_element(self, node: LexborNode, tag: str) -> bool:
        """Add an element that is one block; return False if its children are visited."""
        if tag in _HEADING_LEVELS:
            self._heading(_HEADING_LEVELS[tag], _collapse_blanks(node.text()))
        elif tag == "pre":
            self._flush()
            code = node.text().replace(_LINE_BREAK_SIGN, "\n").replace(_SOFT_HYPHEN, "")
            code = code.strip("\n").rstrip()
            self._add(code, verbatim=True)
        elif tag == "table" and (parts := _table_parts(node)) is not None:
            self._flush()
            self._table(*parts)
        elif tag in _INLINE_TAGS or any(map(_holds_markup, node.iter())):
            return False
        elif not tag.startswith(("-", "_", "!")):
            self._flush()
            self._paragraph(node.text())
        return True

    def _heading(self, level: int, text: str) -> None:
        self._flush()
        self._trail.enter(level, text)
        if not text:
            return
        if level == 1 and self.first_heading is None:
            self.first_heading = text
        self._add(text)

    def _flush(self) -> None:
        if self._parts:
            text = "".join(self._parts)
            self._parts.clear()
            self._paragraph(text)

    def _paragraph(self, raw: str) -> None:
        if text := _collapse_blanks(raw):
            line = self._lines.line_of(text.partition(" ")[0])
            trail = self._trail
            self.blocks.append(Block(text, None, trail.path, line, None, (), trail.section))

    def _add(
        self,
        text: str,
        rows: Rows | None = None,
        first: str | None = None,
        *,
        verbatim: bool = False,
    ) -> None:
        if words := (first or text).split(None, 1):
            line = self._lines.line_of(words[0])
            path, section = self._trail.path, self._trail.section
            self.blocks.append(Block(text, None, path, line, rows, (), section, verbatim))

    def _table(self, caption: LexborNode | None, row_nodes: list[LexborNode]) -> None:
        heading = _collapse_blanks(caption.text()) if caption is not None else ""
        rows = tuple(row for row in map(_cell_texts, row_nodes) if any(row))
        text = "\n".join(line for line in (heading, grid(rows)) if line)
        self._add(text, rows, heading or next((cell for row in rows for cell in row if cell), None))


_CELL_TAGS = {"td", "th"}


def _table_parts(table: LexborNode) -> tuple[LexborNode | None, list[LexborNode]] | None:
    """Return the caption and the rows of a table; None if it is a layout table."""
    caption, rows = None, []
    descendants = table.traverse()
    next(descendants)  # the table itself
    for node in descendants:
        tag = node.tag
        if tag == "tr":
            rows.append(node)
        elif tag == "table":
            return _nesting_table_parts(table)
        elif tag in _HEADING_LEVELS:
            return None
        elif tag == "caption" and caption is None:
            caption = node
    return caption, rows


def _nesting_table_parts(table: LexborNode) -> tuple[LexborNode | None, list[LexborNode]] | None:
    """Return those of a table with nested tables; with column headings it is no layout table."""
    parts = [child for part in table.iter() for child in (part, *part.iter())]
    rows = [node for node in parts if node.tag == "tr"]
    has_header = any(cell.tag == "th" for row in rows for cell in row.iter())
    if not has_header or table.css_first(", ".join(_HEADING_LEVELS)) is not None:
        return None
    return next((node for node in parts if node.tag == "caption"), None), rows


def _cell_texts(row: LexborNode) -> tuple[str, ...]:
    # Most contain a word or two: normalizing those is faster than checking them.
    cells = [
        " ".join(cell.text(separator=" ").split()) for cell in row.iter() if cell.tag in _CELL_TAGS
    ]
    if _SOFT_HYPHEN in "".join(cells):
        cells = [cell.replace(_SOFT_HYPHEN, "") for cell in cells]
    return tuple(cells)


def _collapse_blanks(text: str) -> str:
    """Return a text with single blanks between words and none at the ends."""
    # Checking whether there is anything to do takes less than half of the time of doing it.
    if text.isprintable() and "  " not in text and text.strip(" ") == text:
        return text
    return " ".join(text.replace(_SOFT_HYPHEN, "").split())


def _holds_markup(child: LexborNode) -> bool:
    """Return whether an element is more than words within a paragraph."""
    return child.tag not in _INLINE_TAGS or next(child.iter(), None) is not None


class _LineFinder:
    """Finds the lines of the source on which texts start, in order.

    The parser keeps no positions, so the first word of a text is searched outside tags.
    """

    def __init__(self, source: str) -> None:
        self._source, self._offset, self._line = source, 0, 1

    def line_of(self, word: str) -> int:
        """Return the line of the next occurrence of `word`, otherwise the last returned line."""
        source, offset = self._source, self._offset
        position = source.find(word, offset, offset + _LINE_SEARCH_CHARACTERS)
        if position > 0 and source[position - 1] != ">":
            position = self._outside_tags(word, position)
        if position >= 0:
            self._line += source.count("\n", offset, position)
            self._offset = position + len(word)
        return self._line

    def _outside_tags(self, word: str, position: int) -> int:
        """Return the first position outside tags, from `position` on; -1 if none is near."""
        source, offset = self._source, self._offset
        for _ in range(_MAX_LINE_ATTEMPTS):
            # Between tags the nearest bracket to the left closes one.
            nearest = source.rfind(">", offset, position)
            if source[position - 1] == ">" or source.rfind("<", offset, position) <= nearest:
                return position
            offset = source.find(">", position)
            position = (
                source.find(word, offset, offset + _LINE_SEARCH_CHARACTERS) if offset >= 0 else -1
            )
            if position < 0:
                break
        return -1
