"""The Markdown reader: blocks keep their source, headings become the trail.

Owns where the blocks of Markdown begin and end, as CommonMark says for the outermost ones.
What stands within a block is not looked at, but for comments and the cells of tables; a parser
of all of Markdown takes fifteen times as long, most of it for that.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from barbule.media.documents.blocks import Block, DocumentText, HeadingTrail
from barbule.media.documents.text.markdown_tables import Table, tables_of
from barbule.media.documents.text.plain_text import BLANK_LINES, decode, indentation
from barbule.media.read_limits import Tally

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from markdown_it import MarkdownIt
    from markdown_it.token import Token

__all__ = ["read_markdown"]

_FRONT_MATTER = re.compile(r"\A---[^\S\n]*\n(.*?\n)?(?:---|\.\.\.)[^\S\n]*(?:\n|\Z)", re.DOTALL)
_FRONT_FIELD = re.compile(r"^(title|author|date|description|lang|keywords):(.+)$", re.MULTILINE)
_FRONT_NAMES = {"date": "created", "lang": "language"}

# What of a piece between blank lines may be more than a paragraph begins so, or has a line so.
_OPENERS = "#`~<"
_INNER = re.compile(
    r"\n[ ]{0,3}(?:#{1,6}(?:[ \t]|$|\n)|```|~~~|<|=+[ \t]*(?:\n|$)|-+[ \t]*(?:\n|$))"
)
_ATX = re.compile(r" {0,3}(#{1,6})(?:[ \t](.*))?$")
_CODE = re.compile(r"\n*( {4}[ \t]*| {0,3}\t[ \t]*)(?=\S)")
_SETEXT = re.compile(r" {0,3}(=+|-+)[ \t]*$")
_FENCE = re.compile(r" {0,3}(`{3,}(?=[^`]*$)|~{3,})")
_CONTAINER = re.compile(r" {0,3}(?:[-+*]|\d{1,9}[.)])(?:\s|$)| {0,3}>|    |\t")
# Blocks of HTML that end with a word of their own, and those that end with a blank line.
_RAW = re.compile(
    r" {0,3}<(?:(!--)|(\?)|(!\[CDATA\[)|(pre|script|style|textarea)(?=[\s>]|$))", re.IGNORECASE
)
_RAW_ENDS = (r"-->", r"\?>", r"\]\]>", r"</(?:pre|script|style|textarea)>")
_HTML = re.compile(
    r" {0,3}</?(?:address|article|aside|blockquote|body|center|col|dd|details|dialog|dir|div|dl|dt"
    r"|fieldset|figcaption|figure|footer|form|frame|h[1-6]|head|header|hr|html|iframe|legend|li"
    r"|link|main|menu|nav|ol|optgroup|option|p|param|section|summary|table|tbody|td|tfoot|th"
    r"|thead|title|tr|track|ul)(?=[\s/>]|$)",
    re.IGNORECASE,
)
_ANY_TAG = re.compile(r" {0,3}</?[a-z][^<>]*>\s*$", re.IGNORECASE)  # begins no block in a paragraph
_BLANK = re.compile(r"\s*+")
_COMMENT_OR_CODE = re.compile(r"<!--|`++")
_MARKUP = re.compile(r"[*_`\[\]\\!<&]")


def read_markdown(data: bytes, encoding: str | None = None) -> DocumentText:
    r"""Read Markdown: headings become the trail, other blocks keep their source.

    Parameters
    ----------
    data
        The bytes of a Markdown file; front matter between `---` lines is a block of its own.
    encoding
        Its encoding; None finds out.

    Returns
    -------
    DocumentText
        The title is that of the front matter, or the first heading of level 1.

    Examples
    --------
    >>> found = read_markdown(b"# On *feathers*\n\nA barbule hooks.")
    >>> found.title, found.blocks[1].heading, found.blocks[1].sourceline
    ('On feathers', 'On feathers', 3)
    """
    text = decode(data, encoding, None)
    front = _FRONT_MATTER.match(text)
    metadata: dict[str, str] = {}
    title = None
    if front:
        fields = [(name, value.strip()) for name, value in _FRONT_FIELD.findall(front[0])]
        title = next((_unquoted(value) for name, value in fields if name == "title"), None)
        metadata = {
            _FRONT_NAMES.get(name, name): _unquoted(value)
            for name, value in fields
            if value and name != "title"
        }
    trail = HeadingTrail()
    blocks: list[Block] = [Block(front[0].strip(), None, None, 1)] if front else []
    left_out: dict[str, None] = {}
    cells = Tally("max_cells")
    counted, line = 0, 1
    for piece in _pieces(text, front.end() if front else 0):
        line += text.count("\n", counted, piece.start)
        counted = piece.start
        words = piece.text
        if "<!--" in words and not _is_code(piece):
            words = _uncommented(words)
            if words != piece.text:
                left_out["comments"] = None
        if piece.level:
            words = _inline(words)
            trail.enter(piece.level, words)
            title = title or (words if piece.level == 1 and words else None)
        if not words:
            continue
        if "|" in words and not piece.level and not _is_code(piece):
            tables = tables_of(words, cells)
            blocks += _blocks(words, tables, trail, line, verbatim=piece.verbatim)
            continue
        section, verbatim = trail.section, piece.verbatim
        blocks.append(Block(words, None, trail.path, line, None, (), section, verbatim))
    return DocumentText(title or None, tuple(blocks), metadata, left_out=tuple(left_out))


def _is_code(piece: _Piece) -> bool:
    first = piece.text.partition("\n")[0]
    return not piece.level and bool(_FENCE.match(first) or _CODE.match(first))


def _uncommented(source: str) -> str:
    """Return the source of a block without the comments of HTML in it; code may speak of them."""
    kept: list[str] = []
    start = place = 0
    unclosed: set[str] = set()  # signs of code that do not come again
    while (opened := _COMMENT_OR_CODE.search(source, place)) is not None:
        sign = opened[0]
        place = opened.end()
        if sign in unclosed:
            continue
        if sign == "<!--":
            closed = source.find("-->", opened.start() + 2)
            if closed >= 0:
                kept.append(source[start : opened.start()])
                start = place = closed + 3
        else:
            closing = re.compile(rf"(?<!`){sign}(?!`)").search(source, place)
            closed = closing.start() if closing else -1
            place = closing.end() if closing else place
        if closed < 0:
            unclosed.add(sign)
    return "".join((*kept, source[start:])).strip("\n").rstrip()


def _blocks(
    source: str, tables: Sequence[Table], trail: HeadingTrail, line: int, *, verbatim: bool
) -> Iterator[Block]:
    """Part the lines of a block into tables and what stands around them."""
    lines = source.split("\n") if tables else [source]
    place = 0
    for table in (*tables, Table(len(lines), len(lines), ())):
        for first, last, rows in ((place, table.first, ()), table):
            if text := "\n".join(lines[first:last]).rstrip():
                cells = tuple(tuple(map(_inline, row)) for row in rows) or None
                path, section = trail.path, trail.section
                yield Block(text, None, path, line + first, cells, (), section, verbatim)
        place = table.last


def _unquoted(value: str) -> str:
    return value.strip("\"'")


class _Piece(NamedTuple):
    start: int
    text: str
    level: int = 0  # of a heading; 0 for all else
    verbatim: bool = False


def _pieces(text: str, start: int) -> Iterator[_Piece]:
    """Cut between blank lines, and further where a line begins another block."""
    length = len(text)
    while start < length:
        gap = BLANK_LINES.search(text, start)
        end = gap.start() if gap else length
        piece = text[start:end]
        body = piece.strip()
        if not body:
            start = gap.end() if gap else length
        elif body[0] in _OPENERS or ("\n" in piece and _INNER.search(piece)):
            while start < end:
                start = yield from _inspected(text, start, end)
        else:
            yield _placed(piece, body, start)
            start = gap.end() if gap else length


def _placed(piece: str, body: str, start: int) -> _Piece:
    """Give a body its place; the indentation of code and of what is in a list stays."""
    if piece[0] == body[0]:
        return _Piece(start, body)
    code = _CODE.match(piece)
    indent = code[1] if code else indentation(piece)
    return _Piece(start + piece.index(body[0]) - len(indent), indent + body, 0, bool(indent))


def _inspected(text: str, start: int, end: int) -> Generator[_Piece, None, int]:
    """Go through the lines up to a blank one; return where to go on."""
    begun = place = start
    while place < end:
        stop = text.find("\n", place, end)
        stop = end if stop < 0 else stop
        line = text[place:stop]
        heading = _ATX.match(line)
        underline = _SETEXT.match(line) if begun < place else None
        raw = _end_of_raw(text, line, place)
        if heading:
            yield from _plain(text, begun, place)
            yield _Piece(place, _unclosed(heading[2] or ""), len(heading[1]))
        elif underline and not _CONTAINER.match(text, begun) and text[begun:place].strip():
            level = 1 if underline[1][0] == "=" else 2
            yield _Piece(begun, " ".join(text[begun:place].split()), level)
        elif raw is not None:
            yield from _plain(text, begun, place)
            yield from _plain(text, place, raw)
            return raw
        elif _HTML.match(line) or (_ANY_TAG.match(line) and _BLANK.fullmatch(text, begun, place)):
            yield from _plain(text, begun, place)
            yield from _plain(text, place, end)
            return end
        else:
            place = stop + 1
            continue
        begun = place = stop + 1
    yield from _plain(text, begun, end)
    return end


def _unclosed(heading: str) -> str:
    """Return what a heading says, without the signs that may close it."""
    words = heading.strip()
    bare = words.rstrip("#")
    return bare.rstrip() if not bare or bare[-1] in " \t" else words


def _end_of_raw(text: str, line: str, place: int) -> int | None:
    """Find where a fence or a block of raw HTML that begins here ends, past blank lines."""
    if fence := _FENCE.match(line):
        mark = fence[1]
        closing = re.compile(rf"^ {{0,3}}{mark[0]}{{{len(mark)},}}[ \t]*$", re.MULTILINE)
        found = closing.search(text, place + len(line))
    elif (raw := _RAW.match(line)) and raw.lastindex:
        closing = re.compile(rf"{_RAW_ENDS[raw.lastindex - 1]}[^\n]*", re.IGNORECASE)
        found = closing.search(text, place + raw.end())
    else:
        return None
    return found.end() if found else len(text)


def _plain(text: str, start: int, end: int) -> Iterator[_Piece]:
    piece = text[start:end]
    if body := piece.strip():
        yield _placed(piece, body, start)


def _inline(source: str) -> str:
    """Return the words of a heading without their markup."""
    if not _MARKUP.search(source):
        return source
    return " ".join(_words(_parser().parseInline(source)[0].children or ()).split())


def _words(children: Sequence[Token]) -> str:
    return "".join(" " if child.type.endswith("break") else child.content for child in children)


@lru_cache(maxsize=1)
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark")
