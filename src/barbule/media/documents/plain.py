"""Readers for files that are text already: plain text, CSV, JSON, XML and Markdown.

Owns how bytes become text and how text falls into blocks. Must not interpret CSV, JSON or
XML: they are kept as they were written.
"""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING

from barbule.media.documents.records import Block, DocumentText, HeadingTrail

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markdown_it.token import Token

__all__ = ["decode", "read_markdown", "read_text"]

# UTF-32's mark begins with that of UTF-16, so it is asked first.
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_DECLARED = re.compile(rb"""(?:charset|encoding)\s*=\s*["']?([A-Za-z0-9_.:-]+)""")
_DECLARATION_REACH = 2048
_BLANK_LINES = re.compile(r"\n(?:[^\S\n]*\n)+")
_FRONT_MATTER = re.compile(r"\A---[^\S\n]*\n(.*?\n)?(?:---|\.\.\.)[^\S\n]*(?:\n|\Z)", re.DOTALL)
_FRONT_TITLE = re.compile(r"^title:[^\S\n]*(.+?)[^\S\n]*$", re.MULTILINE)


def decode(data: bytes) -> str:
    r"""Decode text of unknown encoding, with newlines made `\n`.

    A byte order mark decides; then UTF-8 if the bytes are valid; then the encoding that an
    XML or HTML head declares; then cp1252, and latin-1 for what that cannot hold.

    Parameters
    ----------
    data
        The bytes of a file.

    Returns
    -------
    str
        Its text.

    Examples
    --------
    >>> decode("naïve\r\n".encode("cp1252"))
    'naïve\n'
    """
    return _decoded(data).replace("\r\n", "\n").replace("\r", "\n")


def _decoded(data: bytes) -> str:
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            return data.decode(encoding, "replace")
    declared = _DECLARED.search(data[:_DECLARATION_REACH])
    candidates = ["utf-8", *([declared[1].decode("ascii")] if declared else []), "cp1252"]
    for encoding in candidates:
        try:
            return data.decode(encoding)
        except (UnicodeDecodeError, LookupError):
            continue
    return data.decode("latin-1")


def read_text(data: bytes) -> DocumentText:
    r"""Read text as it stands; blank lines part its blocks.

    Parameters
    ----------
    data
        The bytes of a text file.

    Returns
    -------
    DocumentText
        Blocks with the lines on which they start; no title, pages or headings.

    Examples
    --------
    >>> [(block.sourceline, block.text) for block in read_text(b"one\n\ntwo").blocks]
    [(1, 'one'), (3, 'two')]
    """
    text = decode(data)
    blocks: list[Block] = []
    line, start = 1, 0
    for gap in [*_BLANK_LINES.finditer(text), None]:
        end = gap.start() if gap else len(text)
        _append(blocks, text[start:end], line, None)
        if gap:
            line += text.count("\n", start, gap.end())
            start = gap.end()
    return DocumentText(None, tuple(blocks))


def _append(blocks: list[Block], text: str, line: int, heading: str | None) -> None:
    body = text.lstrip()
    if body:
        skipped = text.count("\n", 0, len(text) - len(body))
        blocks.append(Block(body.rstrip(), heading=heading, sourceline=line + skipped))


def read_markdown(data: bytes) -> DocumentText:
    """Read Markdown: headings become the trail, other blocks keep their source.

    Parameters
    ----------
    data
        The bytes of a Markdown file; front matter between `---` lines is a block of its own.

    Returns
    -------
    DocumentText
        The title is that of the front matter, or the first heading of level 1.
    """
    from markdown_it import MarkdownIt

    text = decode(data)
    front = _FRONT_MATTER.match(text)
    title = _front_title(front[0]) if front else None
    offset = front[0].count("\n") if front else 0
    body = text[front.end() :] if front else text
    lines = body.split("\n")
    blocks: list[Block] = []
    if front:
        _append(blocks, front[0], 1, None)

    tokens = MarkdownIt("commonmark").enable("table").parse(body)
    trail, reached = HeadingTrail(), 0
    for index, token in enumerate(tokens):
        if token.level or token.map is None:
            continue
        first, last = token.map
        # What no token covers (link definitions) is text of the document all the same.
        _append(blocks, "\n".join(lines[reached:first]), offset + reached + 1, trail.path)
        reached = last
        source = "\n".join(lines[first:last])
        if token.type == "heading_open":
            source = _inline_text(tokens[index + 1].children or ())
            level = int(token.tag[1:])
            if source:
                trail.enter(level, source)
            title = title or (source if level == 1 else None)
        _append(blocks, source, offset + first + 1, trail.path)
    _append(blocks, "\n".join(lines[reached:]), offset + reached + 1, trail.path)
    return DocumentText(title or None, tuple(blocks))


def _front_title(front: str) -> str | None:
    found = _FRONT_TITLE.search(front)
    return found[1].strip("\"'") if found else None


def _inline_text(children: Sequence[Token]) -> str:
    parts = (" " if child.type.endswith("break") else child.content for child in children)
    return " ".join("".join(parts).split())
