"""The HTML reader: what a person would read of a page, with its headings.

Owns which elements are text, which are furniture, and how tables become rows. Must not
load anything that a page refers to.
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

_UNREAD = ("script", "style")
# What a reader of the page would miss of the others.
_DROPPED = {
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
_HIDDEN = (
    '[hidden]:not([hidden="until-found"]), [aria-hidden="true"], '
    '[style*="display" i], [style*="visibility" i]'
)
_NOT_SHOWN = re.compile(r"display\s*:\s*none|visibility\s*:\s*(?:hidden|collapse)", re.IGNORECASE)
# Formulas are hidden beside their pictures, whole pages behind a dialogue.
_SHOWN_ELSEWHERE = "math, main, article, h1"
_INLINE = {
    "a", "abbr", "acronym", "b", "bdi", "bdo", "big", "br", "cite", "code", "data", "del", "dfn",
    "em", "font", "i", "img", "ins", "kbd", "label", "mark", "math", "q", "rp", "rt", "ruby", "s",
    "samp", "small", "span", "strike", "strong", "sub", "sup", "time", "tt", "u", "var", "wbr",
}  # fmt: skip
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_METADATA = {
    "author": "author",
    "description": "description",
    "keywords": "keywords",
    "date": "created",
    "dcterms.created": "created",
    "article:published_time": "created",
}
_TEXT = "-text"
# Is put before each <br>, so that the text of an element has a blank there; HTML itself
# knows no vertical tab, so it can be told from the breaks of the source.
_BREAK = "\v"
_SOFT_HYPHEN = "\u00ad"
_LINE_REACH = 100_000
_LINE_ATTEMPTS = 50


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
        Its encoding; None finds out.
    skip
        Names of further elements to leave out.
    xml
        Whether it is known to be XML; pages that say so are read as XML anyhow.

    Returns
    -------
    DocumentText
        The title is that of the page's head, or its first heading of level 1.

    Raises
    ------
    DamagedTreeError
        When elements are nested more than 10,000 deep.

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
    title, metadata = _about(tree)
    lowered = page.lower()
    left_out = _leave_out(tree, lowered, tuple(skip))
    for node in tree.css("br"):
        node.insert_before(_BREAK)
    for node in tree.css("rt") if "<rt" in lowered else ():
        if node.parent is not None and node.parent.css_first("rp") is None:
            node.insert_before("(")
            node.insert_after(")")
    reader = _Reader(source)
    if tree.body is not None:
        reader.walk(tree.body)
    title = title or reader.first_heading
    return DocumentText(title, tuple(reader.blocks), metadata, left_out=left_out)


def _leave_out(tree: LexborHTMLParser, page: str, skip: tuple[str, ...]) -> tuple[str, ...]:
    """Remove what is no text of a page, and say what of it had text.

    Parameters
    ----------
    page
        Its source, in lower case.
    """
    words = {**_DROPPED, **{name: name for name in skip}}
    # Asking for elements goes through the whole page, which most often hides nothing.
    may_hide = any(word in page for word in ("hidden", "display", "visibility"))
    vanished = _remove(node for node in tree.css(_HIDDEN) if _is_hidden(node)) if may_hide else []
    dropped = _remove(tree.css(", ".join((*_UNREAD, *words))))
    names = ["hidden text"] * bool(vanished)
    names += [words.get(tag, tag) for tag in dropped if tag not in _UNREAD]
    return tuple(dict.fromkeys(names))


def _remove(nodes: Iterable[LexborNode]) -> list[str]:
    """Remove nodes, and return the tags of those that had text."""
    tags = []
    freed: set[int] = set()
    for node in list(nodes):
        # They come in the order of the page: those within others are freed with them.
        if node.mem_id in freed:
            continue
        if node.text(strip=True):
            tags.append(node.tag or "")
        freed.update(child.mem_id for child in node.css("*"))
        node.decompose()
    return tags


def _is_hidden(node: LexborNode) -> bool:
    given = node.attributes
    said = "hidden" in given or given.get("aria-hidden") == "true"
    if not said and not _NOT_SHOWN.search(given.get("style") or ""):
        return False
    return node.tag not in {"html", "body"} and node.css_first(_SHOWN_ELSEWHERE) is None


def _about(tree: LexborHTMLParser) -> tuple[str | None, dict[str, str]]:
    """Return the title and what else the head says of the page."""
    title, metadata = None, {}
    if tree.head is not None:
        found = tree.head.css_first("head > title")
        title = _flat(found.text()) if found is not None else None
        metadata = dict(_head_metadata(tree.head.css("head > meta")))
    language = tree.root.attributes.get("lang") if tree.root is not None else None
    if language:
        metadata["language"] = language
    return title, metadata


def _head_metadata(nodes: Iterable[LexborNode]) -> Iterable[tuple[str, str]]:
    for node in nodes:
        given = node.attributes
        name = _METADATA.get((given.get("name") or given.get("property") or "").lower())
        if name and given.get("content"):
            yield name, str(given["content"])


class _Reader:
    def __init__(self, source: str) -> None:
        self.blocks: list[Block] = []
        self.first_heading: str | None = None
        self._trail = HeadingTrail()
        self._parts: list[str] = []
        self._lines = _Lines(source)

    def walk(self, body: LexborNode) -> None:
        # A stack, not recursion: pages nest deeper than Python's call stack allows. It holds
        # the children that are still to come, and whether a block ends with them.
        stack = [(iter((body,)), True)]
        while stack:
            children, is_block = stack[-1]
            for node in children:
                tag = node.tag or ""
                if tag == "p":
                    # The parser ends a paragraph where a block begins, so it holds none.
                    self._flush()
                    self._paragraph(node.text())
                elif tag == _TEXT:
                    text = node.text_content or ""
                    if self._parts or not text.isspace():
                        self._parts.append(text)
                elif not self._took(node, tag):
                    if tag not in _INLINE:
                        self._flush()
                    stack.append((node.iter(include_text=True), tag not in _INLINE))
                    break
            else:
                stack.pop()
                if is_block:
                    self._flush()

    def _took(self, node: LexborNode, tag: str) -> bool:
        """Add an element that is one block; False of one whose children are looked at."""
        if tag in _HEADINGS:
            self._heading(_HEADINGS[tag], _flat(node.text()))
        elif tag == "pre":
            self._flush()
            code = node.text().replace(_BREAK, "\n").replace(_SOFT_HYPHEN, "")
            code = code.strip("\n").rstrip()
            self._add(code, verbatim=True)
        elif tag == "table" and (parts := _parts_of(node)) is not None:
            self._flush()
            self._table(*parts)
        elif tag in _INLINE or any(map(_is_more, node.iter())):
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
        if text := _flat(raw):
            line = self._lines.of(text.partition(" ")[0])
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
            line = self._lines.of(words[0])
            path, section = self._trail.path, self._trail.section
            self.blocks.append(Block(text, None, path, line, rows, (), section, verbatim))

    def _table(self, caption: LexborNode | None, found: list[LexborNode]) -> None:
        heading = _flat(caption.text()) if caption is not None else ""
        rows = tuple(row for row in map(_cells, found) if any(row))
        text = "\n".join(line for line in (heading, grid(rows)) if line)
        self._add(text, rows, heading or next((cell for row in rows for cell in row if cell), None))


_CELLS = {"td", "th"}


def _parts_of(table: LexborNode) -> tuple[LexborNode | None, list[LexborNode]] | None:
    """Return the caption and the rows of a table; None of one that arranges a page."""
    caption, rows = None, []
    within = table.traverse()
    next(within)  # the table itself
    for node in within:
        tag = node.tag
        if tag == "tr":
            rows.append(node)
        elif tag == "table":
            return _outer_parts(table)
        elif tag in _HEADINGS:
            return None
        elif tag == "caption" and caption is None:
            caption = node
    return caption, rows


def _outer_parts(table: LexborNode) -> tuple[LexborNode | None, list[LexborNode]] | None:
    """Return those of a table with tables in it; one with headings of columns arranges no page."""
    parts = [child for part in table.iter() for child in (part, *part.iter())]
    rows = [node for node in parts if node.tag == "tr"]
    named = any(cell.tag == "th" for row in rows for cell in row.iter())
    if not named or table.css_first(", ".join(_HEADINGS)) is not None:
        return None
    return next((node for node in parts if node.tag == "caption"), None), rows


def _cells(row: LexborNode) -> tuple[str, ...]:
    # Most hold a word or two: those are quicker put right than looked at.
    cells = [
        " ".join(cell.text(separator=" ").split()) for cell in row.iter() if cell.tag in _CELLS
    ]
    if _SOFT_HYPHEN in "".join(cells):
        cells = [cell.replace(_SOFT_HYPHEN, "") for cell in cells]
    return tuple(cells)


def _flat(text: str) -> str:
    """Return a text with single blanks between its words and none around them."""
    # Looking whether there is anything to do takes less than half of the time of doing it.
    if text.isprintable() and "  " not in text and text.strip(" ") == text:
        return text
    return " ".join(text.replace(_SOFT_HYPHEN, "").split())


def _is_more(child: LexborNode) -> bool:
    """Tell whether an element is more than words within a paragraph."""
    return child.tag not in _INLINE or next(child.iter(), None) is not None


class _Lines:
    """The lines of the source on which texts begin, asked for in their order.

    The parser keeps no places, so the first word of a text is looked for outside of tags.
    """

    def __init__(self, source: str) -> None:
        self._source, self._place, self._line = source, 0, 1

    def of(self, word: str) -> int:
        """Return the line of the next place at which `word` stands, or the last known one."""
        source, place = self._source, self._place
        found = source.find(word, place, place + _LINE_REACH)
        if found > 0 and source[found - 1] != ">":
            found = self._outside_tags(word, found)
        if found >= 0:
            self._line += source.count("\n", place, found)
            self._place = found + len(word)
        return self._line

    def _outside_tags(self, word: str, found: int) -> int:
        """Return the first place from `found` on that is in no tag; -1 where none is in reach."""
        source, place = self._source, self._place
        for _ in range(_LINE_ATTEMPTS):
            # Between tags the nearest bracket to the left closes one.
            nearest = source.rfind(">", place, found)
            if source[found - 1] == ">" or source.rfind("<", place, found) <= nearest:
                return found
            place = source.find(">", found)
            found = source.find(word, place, place + _LINE_REACH) if place >= 0 else -1
            if found < 0:
                break
        return -1
