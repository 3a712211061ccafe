"""Plain text: its encoding, its lines, its paragraphs.

Owns how bytes become text and how text is split into blocks. Must not interpret any markup.
"""

from __future__ import annotations

import re

from barbule.media.documents.blocks import Block, DocumentText
from barbule.media.documents.text.encodings import decode_bytes

__all__ = ["BLANK_LINES", "CODING_DECLARATION", "decode", "indentation", "read_lines", "read_text"]

# Encoding declarations of HTML and XML; of Python (PEP 263) and style sheets.
_MARKUP_DECLARATION = re.compile(rb"""(?:charset|encoding)\s*=\s*["']?([A-Za-z0-9_.:-]+)""")
CODING_DECLARATION = re.compile(
    rb"""\A(?:(?:[^\n]{0,200}\n)?[ \t\f]*#[^\n]{0,80}?coding[=:][ \t]*|@charset ")([-\w.]+)"""
)
_DECLARATION_REACH_BYTES = 2048
BLANK_LINES = re.compile(r"\n(?:[^\S\n]*\n)+")


def decode(
    data: bytes,
    encoding: str | None = None,
    declaration: re.Pattern[bytes] | None = _MARKUP_DECLARATION,
) -> str:
    r"""Decode text of unknown encoding, with newlines converted to `\n`.

    Parameters
    ----------
    data
        The bytes of a file.
    encoding
        Its encoding; None detects it.
    declaration
        A pattern for the encoding in its head, which is the first group; None does not read the
        head.

    Returns
    -------
    str
        Its text.

    Examples
    --------
    >>> decode("naïve\r\n".encode("cp1252"))
    'naïve\n'
    """
    declared = declaration.search(data[:_DECLARATION_REACH_BYTES]) if declaration else None
    text = decode_bytes(data, encoding, declared[1] if declared else None)
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def read_text(data: bytes, encoding: str | None = None) -> DocumentText:
    r"""Read plain text; blank lines separate its blocks.

    Parameters
    ----------
    data
        The bytes of a text file.
    encoding
        Its encoding; None detects it.

    Returns
    -------
    DocumentText
        Blocks with the lines on which they start; no title, pages or headings.

    Examples
    --------
    >>> [(block.sourceline, block.text) for block in read_text(b"one\n\ntwo").blocks]
    [(1, 'one'), (3, 'two')]
    """
    text = decode(data, encoding, None)
    blocks: list[Block] = []
    line, start = 1, 0
    for gap in BLANK_LINES.finditer(text):
        first, last = gap.span()
        piece = text[start:first]
        if body := piece.strip():
            if piece[0] == body[0]:
                blocks.append(Block(body, None, None, line))
            else:
                skipped = piece[: piece.index(body[0])].count("\n")
                blocks.append(_indented_block(piece, body, line + skipped))
        line += text.count("\n", start, last)
        start = last
    if body := text[start:].strip():
        line += text.count("\n", start, text.index(body[0], start))
        blocks.append(_indented_block(text[start:], body, line))
    return DocumentText(None, tuple(blocks))


def _indented_block(piece: str, body: str, line: int) -> Block:
    indent = "" if piece[0] == body[0] else indentation(piece)
    return Block(indent + body, None, None, line, verbatim=bool(indent))


def indentation(piece: str) -> str:
    r"""Return the indentation of the first line of a piece of text, if it matters.

    It matters if the next line is indented at least as far, as in code and in lists: without it the
    lines would no longer be aligned.

    Examples
    --------
    >>> indentation("\n    if x:\n        y\n"), indentation("  A paragraph\nand its lines")
    ('    ', '')
    """
    first = len(piece) - len(piece.lstrip())
    start = piece.rfind("\n", 0, first) + 1
    indent = piece[start:first]
    if indent.strip(" \t"):
        return ""  # other blanks, such as those before a paragraph of Chinese
    end = piece.find("\n", first) + 1
    return indent if end and piece.startswith(indent, end) else ""


def read_lines(data: bytes, encoding: str | None = None) -> DocumentText:
    r"""Read text whose indentation matters, such as code: all of it is one block.

    Parameters
    ----------
    data
        The bytes of a text file.
    encoding
        Its encoding; None detects it.

    Examples
    --------
    >>> read_lines(b"\n    if x:\n\n        y\n").blocks[0][0]
    '    if x:\n\n        y'
    """
    text = decode(data, encoding, CODING_DECLARATION)
    body = text.strip()
    if not body:
        return DocumentText(None, ())
    start = text.rfind("\n", 0, text.index(body[0])) + 1
    return DocumentText(
        None,
        (Block(text[start:].rstrip(), None, None, text.count("\n", 0, start) + 1, verbatim=True),),
    )
