"""The XML reader: it keeps the source, cut where its elements begin.

Owns which elements become blocks, and that XML is parsed without harm: entities are refused,
nothing is loaded from elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from xml.parsers import expat

from barbule.media.bounds import Tally
from barbule.media.documents.plain import decode
from barbule.media.documents.records import Block, DamagedTreeError, DocumentText

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Handlers", "check_xml", "parse_xml", "read_xml"]

# An element up to this length is one block; a longer one is cut where those in it begin.
_PART = 1000
_DEEPEST = 10_000
_LONGEST_PATH = 20
_TITLE_DEPTH = 4


def check_xml(data: bytes) -> None:
    """Make sure that XML is whole, and harmless.

    Raises
    ------
    DamagedTreeError
        Where it is not.
    """
    parse_xml(decode(data).encode(), _Tree())


def read_xml(data: bytes, encoding: str | None = None) -> DocumentText:
    """Read XML; elements are blocks, the names of those around them their headings.

    Parameters
    ----------
    data
        The bytes of the file.
    encoding
        Its encoding; None finds out.

    Returns
    -------
    DocumentText
        Blocks as they stand in the file, tags included. The title is that of a `title` element
        near the root.

    Raises
    ------
    DamagedTreeError
        If it is not XML, or declares entities.

    Examples
    --------
    >>> found = read_xml(b"<page><title>Birds</title>They have feathers.</page>")
    >>> found.title, found.blocks[0].text
    ('Birds', '<page><title>Birds</title>They have feathers.</page>')
    """
    source = decode(data, encoding).encode()
    tree = _Tree()
    parse_xml(source, tree)
    blocks = []
    tally = Tally("max_text")  # names of elements are repeated as headings
    for start, end, line, path in tree.parts(len(source)):
        piece = source[start:end].decode()
        if text := piece.strip():
            skipped = piece[: piece.index(text[0])].count("\n")
            heading = " > ".join(path)
            tally.add(len(text) + len(heading))
            blocks.append(Block(text, None, heading or None, line + skipped))
    return DocumentText(" ".join("".join(tree.title).split()) or None, tuple(blocks))


def parse_xml(source: bytes, handlers: Handlers) -> None:
    """Parse XML without harm: entities are refused and nothing is loaded.

    Parameters
    ----------
    source
        The bytes; those of a file that says how it is encoded, or UTF-8.
    handlers
        What is told of elements and text; `follow` gets the parser.

    Raises
    ------
    DamagedTreeError
        If it is not XML, or declares entities.
    """
    parser = expat.ParserCreate(handlers.encoding)
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
    parser.EntityDeclHandler = _refused
    parser.buffer_text = True
    handlers.follow(parser)
    try:
        parser.Parse(source, True)
    except expat.ExpatError as error:
        reason = expat.ErrorString(error.code)
        raise DamagedTreeError(f"line {error.lineno}: {reason}") from None


class Handlers(Protocol):
    """What follows a parser."""

    @property
    def encoding(self) -> str | None:
        """How the source is encoded; None where it says so itself."""

    def follow(self, parser: expat.XMLParserType) -> None:
        """Take what a parser finds."""


class _Open(NamedTuple):
    name: str
    start: int
    line: int
    cuts: int  # how many there were before it


class _Cut(NamedTuple):
    start: int
    line: int
    path: tuple[str, ...]
    name: str  # of an element that holds no others; else empty
    length: int


class _Tree:
    """Where the source is cut: before elements that are short enough, in those that are not."""

    encoding = "utf-8"  # whatever the file says: it is decoded already

    def __init__(self) -> None:
        self.title: list[str] = []
        self._open: list[_Open] = []
        self._cuts: list[_Cut] = []
        self._title_depth = 0

    def follow(self, parser: expat.XMLParserType) -> None:
        """Take what a parser finds."""
        self._parser = parser
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters

    def _start(self, tag: str, _: dict[str, str]) -> None:
        name = tag.rsplit(":", 1)[-1]
        if len(self._open) >= _DEEPEST:
            raise DamagedTreeError(f"it is nested more than {_DEEPEST:,} elements deep")
        parser = self._parser
        begun = _Open(name, parser.CurrentByteIndex, parser.CurrentLineNumber, len(self._cuts))
        self._open.append(begun)
        if name == "title" and not self.title and len(self._open) <= _TITLE_DEPTH:
            self._title_depth = len(self._open)

    def _end(self, _: str) -> None:
        name, start, line, cuts = self._open.pop()
        if len(self._open) < self._title_depth:
            self._title_depth = 0
        # Where the closing tag begins: near enough to tell long from short.
        length = self._parser.CurrentByteIndex - start
        path = tuple(each.name for each in self._open[:_LONGEST_PATH])
        if length <= _PART:
            field = name if len(self._cuts) == cuts else ""
            del self._cuts[cuts:]
            self._cuts.append(_Cut(start, line, path, field, length))
        else:
            self._cuts.insert(cuts, _Cut(start, line, path, "", length))

    def _characters(self, text: str) -> None:
        if self._title_depth:
            self.title.append(text)

    def parts(self, length: int) -> Iterator[tuple[int, int, int, tuple[str, ...]]]:
        """Yield start, end, line and path of each block; all of the source is in one."""
        kept: list[_Cut] = []
        last = ""
        for cut in self._cuts:
            # Elements without others, of different names, are the fields of one record.
            joins = (
                kept
                and cut.name
                and last not in {"", cut.name}
                and kept[-1].path == cut.path
                and cut.start + cut.length - kept[-1].start <= _PART
            )
            last = cut.name
            if not joins:
                kept.append(cut)
        start, line = 0, 1
        for index, cut in enumerate(kept):
            end = kept[index + 1].start if index + 1 < len(kept) else length
            first = (start, line) if not index else (cut.start, cut.line)
            yield first[0], end, first[1], cut.path


def _refused(name: str, *_: Any) -> None:
    raise DamagedTreeError(f"it declares the entity {name!r}, and entities are not read")
