"""The Markdown reader: blocks keep their source, headings become the path.

Owns where the blocks of Markdown begin and end, as in CommonMark for the outermost ones. The
content of a block is not parsed, except comments and the cells of tables; a full Markdown parser
takes fifteen times as long, mostly for that.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from barbule.media.documents.blocks import Block, DocumentText, HeadingTrail
from barbule.media.documents.text.markdown_tables import Table, find_tables
from barbule.media.documents.text.plain_text import BLANK_LINES, decode, indentation
from barbule.media.read_limits import Tally

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from markdown_it import MarkdownIt
    from markdown_it.token import Token

__all__ = ["read_markdown"]

_FRONT_MATTER = re.compile(r"\A---[^\S\n]*\n(.*?\n)?(?:---|\.\.\.)[^\S\n]*(?:\n|\Z)", re.DOTALL)
_FRONT_FIELD = re.compile(r"^(title|author|date|description|lang|keywords):(.+)$", re.MULTILINE)
_FRONT_METADATA_NAMES = {"date": "created", "lang": "language"}

# The first or other lines of a piece between blank lines that may be more than a paragraph.
_BLOCK_OPENERS = "#`~<"
_INNER_BLOCK = re.compile(
    r"\n[ ]{0,3}(?:#{1,6}(?:[ \t]|$|\n)|```|~~~|<|=+[ \t]*(?:\n|$)|-+[ \t]*(?:\n|$))"
)
_ATX_HEADING = re.compile(r" {0,3}(#{1,6})(?:[ \t](.*))?$")
_INDENTED_CODE = re.compile(r"\n*( {4}[ \t]*| {0,3}\t[ \t]*)(?=\S)")
_SETEXT_UNDERLINE = re.compile(r" {0,3}(=+|-+)[ \t]*$")
_FENCE = re.compile(r" {0,3}(`{3,}(?=[^`]*$)|~{3,})")
_CONTAINER = re.compile(r" {0,3}(?:[-+*]|\d{1,9}[.)])(?:\s|$)| {0,3}>|    |\t")
# HTML blocks that end with their own end tag, and those that end with a blank line.
_RAW_HTML = re.compile(
    r" {0,3}<(?:(!--)|(\?)|(!\[CDATA\[)|(pre|script|style|textarea)(?=[\s>]|$))", re.IGNORECASE
)
_RAW_HTML_ENDS = (r"-->", r"\?>", r"\]\]>", r"</(?:pre|script|style|textarea)>")
_HTML_BLOCK = re.compile(
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
    r"""Read Markdown: headings become the path, other blocks keep their source.

    Parameters
    ----------
    data
        The bytes of a Markdown file; front matter between `---` lines is a block of its own.
    encoding
        Its encoding; None detects it.

    Returns
    -------
    DocumentText
        The title is that of the front matter, or the first heading of level 1.

    Examples
    --------
    >>> note = read_markdown(b"# On *feathers*\n\nA barbule hooks.")
    >>> note.title, note.blocks[1].heading, note.blocks[1].sourceline
    ('On feathers', 'On feathers', 3)
    """
    text = decode(data, encoding, None)
    front_matter = _FRONT_MATTER.match(text)
    metadata: dict[str, str] = {}
    title = None
    if front_matter:
        fields = [(name, value.strip()) for name, value in _FRONT_FIELD.findall(front_matter[0])]
        title = next((_unquote(value) for name, value in fields if name == "title"), None)
        metadata = {
            _FRONT_METADATA_NAMES.get(name, name): _unquote(value)
            for name, value in fields
            if value and name != "title"
        }
    trail = HeadingTrail()
    blocks: list[Block] = [Block(front_matter[0].strip(), None, None, 1)] if front_matter else []
    left_out: dict[str, None] = {}
    cells = Tally("max_cells")
    counted_to, line = 0, 1
    for piece in _split_blocks(text, front_matter.end() if front_matter else 0):
        line += text.count("\n", counted_to, piece.start)
        counted_to = piece.start
        source = piece.text
        if "<!--" in source and not _is_code(piece):
            source = _remove_comments(source)
            if source != piece.text:
                left_out["comments"] = None
        if piece.level:
            source = _strip_inline_markup(source)
            trail.enter(piece.level, source)
            title = title or (source if piece.level == 1 and source else None)
        if not source:
            continue
        if "|" in source and not piece.level and not _is_code(piece):
            tables = find_tables(source, cells)
            blocks += _blocks(source, tables, trail, line, verbatim=piece.verbatim)
            continue
        section, verbatim = trail.section, piece.verbatim
        blocks.append(Block(source, None, trail.path, line, None, (), section, verbatim))
    return DocumentText(title or None, tuple(blocks), metadata, left_out=tuple(left_out))


def _is_code(piece: _SourceBlock) -> bool:
    first = piece.text.partition("\n")[0]
    return not piece.level and bool(_FENCE.match(first) or _INDENTED_CODE.match(first))


def _remove_comments(source: str) -> str:
    """Return the source of a block without HTML comments; code may contain them."""
    parts: list[str] = []
    start = offset = 0
    unclosed_markers: set[str] = set()  # code delimiters that do not occur again
    while (opening := _COMMENT_OR_CODE.search(source, offset)) is not None:
        marker = opening[0]
        offset = opening.end()
        if marker in unclosed_markers:
            continue
        if marker == "<!--":
            close_start = source.find("-->", opening.start() + 2)
            if close_start >= 0:
                parts.append(source[start : opening.start()])
                start = offset = close_start + 3
        else:
            closing = re.compile(rf"(?<!`){marker}(?!`)").search(source, offset)
            close_start = closing.start() if closing else -1
            offset = closing.end() if closing else offset
        if close_start < 0:
            unclosed_markers.add(marker)
    return "".join((*parts, source[start:])).strip("\n").rstrip()


def _blocks(
    source: str, tables: Sequence[Table], trail: HeadingTrail, line: int, *, verbatim: bool
) -> Iterator[Block]:
    """Split the lines of a block into tables and the lines around them."""
    lines = source.split("\n") if tables else [source]
    next_index = 0
    for table in (*tables, Table(len(lines), len(lines), ())):
        for first, last, rows in ((next_index, table.first, ()), table):
            if text := "\n".join(lines[first:last]).rstrip():
                cells = tuple(tuple(map(_strip_inline_markup, row)) for row in rows) or None
                path, section = trail.path, trail.section
                yield Block(text, None, path, line + first, cells, (), section, verbatim)
        next_index = table.last


def _unquote(value: str) -> str:
    return value.strip("\"'")


class _SourceBlock(NamedTuple):
    start: int
    text: str
    level: int = 0  # of a heading; 0 for all else
    verbatim: bool = False


def _split_blocks(text: str, start: int) -> Iterator[_SourceBlock]:
    """Split between blank lines, and further where a line starts another block."""
    length = len(text)
    while start < length:
        gap = BLANK_LINES.search(text, start)
        end = gap.start() if gap else length
        piece = text[start:end]
        body = piece.strip()
        if not body:
            start = gap.end() if gap else length
        elif body[0] in _BLOCK_OPENERS or ("\n" in piece and _INNER_BLOCK.search(piece)):
            while start < end:
                start = yield from _split_lines(text, start, end)
        else:
            yield _located_block(piece, body, start)
            start = gap.end() if gap else length


def _located_block(piece: str, body: str, start: int) -> _SourceBlock:
    """Return a block with its start; the indentation of code and of list items stays."""
    if piece[0] == body[0]:
        return _SourceBlock(start, body)
    code = _INDENTED_CODE.match(piece)
    indent = code[1] if code else indentation(piece)
    return _SourceBlock(start + piece.index(body[0]) - len(indent), indent + body, 0, bool(indent))


def _split_lines(text: str, start: int, end: int) -> Generator[_SourceBlock, None, int]:
    """Traverse the lines up to a blank one; return where to continue."""
    block_start = line_start = start
    while line_start < end:
        line_end = text.find("\n", line_start, end)
        line_end = end if line_end < 0 else line_end
        line = text[line_start:line_end]
        heading = _ATX_HEADING.match(line)
        underline = _SETEXT_UNDERLINE.match(line) if block_start < line_start else None
        raw_end = _raw_end(text, line, line_start)
        if heading:
            yield from _plain_block(text, block_start, line_start)
            yield _SourceBlock(line_start, _heading_text(heading[2] or ""), len(heading[1]))
        elif (
            underline
            and not _CONTAINER.match(text, block_start)
            and text[block_start:line_start].strip()
        ):
            level = 1 if underline[1][0] == "=" else 2
            yield _SourceBlock(block_start, " ".join(text[block_start:line_start].split()), level)
        elif raw_end is not None:
            yield from _plain_block(text, block_start, line_start)
            yield from _plain_block(text, line_start, raw_end)
            return raw_end
        elif _HTML_BLOCK.match(line) or (
            _ANY_TAG.match(line) and _BLANK.fullmatch(text, block_start, line_start)
        ):
            yield from _plain_block(text, block_start, line_start)
            yield from _plain_block(text, line_start, end)
            return end
        else:
            line_start = line_end + 1
            continue
        block_start = line_start = line_end + 1
    yield from _plain_block(text, block_start, end)
    return end


def _heading_text(heading: str) -> str:
    """Return the text of a heading, without its closing signs."""
    words = heading.strip()
    unmarked = words.rstrip("#")
    return unmarked.rstrip() if not unmarked or unmarked[-1] in " \t" else words


def _raw_end(text: str, line: str, line_start: int) -> int | None:
    """Find where a fence or a block of raw HTML that starts here ends, past blank lines."""
    if fence := _FENCE.match(line):
        fence_signs = fence[1]
        closing = re.compile(
            rf"^ {{0,3}}{fence_signs[0]}{{{len(fence_signs)},}}[ \t]*$", re.MULTILINE
        )
        end = closing.search(text, line_start + len(line))
    elif (raw := _RAW_HTML.match(line)) and raw.lastindex:
        closing = re.compile(rf"{_RAW_HTML_ENDS[raw.lastindex - 1]}[^\n]*", re.IGNORECASE)
        end = closing.search(text, line_start + raw.end())
    else:
        return None
    return end.end() if end else len(text)


def _plain_block(text: str, start: int, end: int) -> Iterator[_SourceBlock]:
    piece = text[start:end]
    if body := piece.strip():
        yield _located_block(piece, body, start)


def _strip_inline_markup(source: str) -> str:
    """Return the words of a heading without their markup."""
    if not _MARKUP.search(source):
        return source
    return " ".join(_token_text(_parser().parseInline(source)[0].children or ()).split())


def _token_text(children: Sequence[Token]) -> str:
    return "".join(" " if child.type.endswith("break") else child.content for child in children)


@lru_cache(maxsize=1)
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark")
