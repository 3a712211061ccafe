"""The HTML reader: what a person would read of a page, with its headings.

Owns which elements are text, which are furniture, and how tables become rows. Must not
load anything that a page refers to.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from barbule.media.documents.plain import decode
from barbule.media.documents.records import Block, DocumentText, HeadingTrail

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode

__all__ = ["read_html"]

_DROPPED = re.compile(
    "head|script|style|noscript|template|nav|svg|iframe|canvas|object|select|button"
)
_INLINE = re.compile(
    "a|abbr|acronym|b|bdi|bdo|big|cite|code|data|del|dfn|em|font|i|img|ins|kbd|label|mark|math"
    "|q|rp|rt|ruby|s|samp|small|span|strike|strong|sub|sup|time|tt|u|var|wbr"
)
_HEADING = re.compile(r"h[1-6]")
_TEXT = "-text"


def read_html(data: bytes) -> DocumentText:
    """Read a page: headings, paragraphs, list items, tables; no scripts, styles or navigation.

    Parameters
    ----------
    data
        The bytes of an HTML file.

    Returns
    -------
    DocumentText
        The title is that of the page's head, or its first heading of level 1.

    Examples
    --------
    >>> read_html(b"<h1>Feathers</h1><p>A <b>barbule</b> hooks.</p>").blocks[1].text
    'A barbule hooks.'
    """
    from selectolax.lexbor import LexborHTMLParser

    tree = LexborHTMLParser(decode(data))
    reader = _Reader()
    if tree.body is not None:
        reader.walk(tree.body)
    head = tree.css_first("head > title")
    title = " ".join(head.text().split()) if head is not None else None
    return DocumentText(title or reader.first_heading, tuple(reader.blocks))


class _Reader:
    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self.first_heading: str | None = None
        self._trail = HeadingTrail()
        self._parts: list[str] = []

    def walk(self, body: LexborNode) -> None:
        # A stack, not recursion: pages nest deeper than Python's call stack allows.
        stack: list[LexborNode | None] = [body]
        while stack:
            node = stack.pop()
            if node is None:
                self._flush()
                continue
            tag = node.tag or ""
            if tag == _TEXT:
                self._parts.append(node.text_content or "")
            elif tag == "br":
                self._parts.append("\n")
            elif _HEADING.fullmatch(tag):
                self._heading(int(tag[1]), _flat(node))
            elif tag == "table":
                self._add(_rows(node))
            elif tag == "pre":
                self._add(node.text().strip("\n").rstrip())
            elif not _DROPPED.fullmatch(tag) and not tag.startswith(("-", "_", "!")):
                if not _INLINE.fullmatch(tag):
                    self._flush()
                    stack.append(None)
                stack.extend(reversed(list(node.iter(include_text=True))))
        self._flush()

    def _heading(self, level: int, text: str) -> None:
        self._flush()
        if not text:
            return
        self._trail.enter(level, text)
        if level == 1 and self.first_heading is None:
            self.first_heading = text
        self._add(text)

    def _flush(self) -> None:
        text = " ".join("".join(self._parts).split())
        self._parts.clear()
        if text:
            self.blocks.append(Block(text, heading=self._trail.path))

    def _add(self, text: str) -> None:
        self._flush()
        if text.strip():
            self.blocks.append(Block(text, heading=self._trail.path))


def _flat(node: LexborNode) -> str:
    return " ".join(node.text(separator="").split())


def _rows(table: LexborNode) -> str:
    for furniture in table.css("script, style, noscript, template"):
        furniture.decompose()
    caption = table.css_first("caption")
    lines = [_flat(caption)] if caption is not None else []
    for row in table.css("tr"):
        cells = [" ".join(cell.text(separator=" ").split()) for cell in _cells(row)]
        if any(cells):
            lines.append(" | ".join(cells))
    return "\n".join(line for line in lines if line)


def _cells(row: LexborNode) -> list[LexborNode]:
    return [child for child in row.iter() if child.tag in {"td", "th"}]
