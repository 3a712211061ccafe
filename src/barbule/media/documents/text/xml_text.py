"""The XML reader: the text of elements, in blocks split where elements begin.

Owns which elements become blocks, which of them are on separate lines, and safe parsing: entities
are refused, nothing is loaded from elsewhere.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, NamedTuple, Protocol
from xml.parsers import expat

from barbule.media.documents.blocks import Block, DamagedTreeError, DocumentText
from barbule.media.documents.text.plain_text import decode
from barbule.media.read_limits import Tally

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Handlers", "check_xml", "parse_xml", "read_xml"]

# An element up to this length is one block; a longer one is split at its child elements.
_MAX_BLOCK_CHARACTERS = 1000
_MAX_DEPTH = 10_000
_MAX_PATH_NAMES = 20
_MAX_TITLE_DEPTH = 4


def check_xml(data: bytes) -> None:
    """Check that XML is complete and safe.

    Raises
    ------
    DamagedTreeError
        If it is not.
    """
    parse_xml(decode(data).encode(), _CutFinder())


def read_xml(data: bytes, encoding: str | None = None) -> DocumentText:
    r"""Read XML; elements are blocks, the names of those around them their headings.

    Parameters
    ----------
    data
        The bytes of the file.
    encoding
        Its encoding; None detects it.

    Returns
    -------
    DocumentText
        The text without tags: elements are on separate lines, except within an element that has
        text of its own next to them, which is one line. Attributes, comments and instructions are
        left out. The title is that of a `title` element near the root.

    Raises
    ------
    DamagedTreeError
        If it is not XML, or declares entities.

    Examples
    --------
    >>> page = read_xml(b"<page><title>Birds</title><p>They have <b>feathers</b>.</p></page>")
    >>> page.title, page.blocks[0].text
    ('Birds', 'Birds\nThey have feathers.')
    """
    tree = _TextCutter()
    parse_xml(decode(data, encoding).encode(), tree)
    blocks = []
    tally = Tally("max_text")  # names of elements are repeated as headings
    for text, line, path in tree.blocks():
        heading = " > ".join(path)
        tally.add(len(text) + len(heading))
        blocks.append(Block(text, None, heading or None, line))
    title = " ".join("".join(tree.title).split()) or None
    return DocumentText(title, tuple(blocks), left_out=tuple(tree.left_out))


def parse_xml(source: bytes, handlers: Handlers) -> None:
    """Parse XML safely: entities are refused and nothing is loaded.

    Parameters
    ----------
    source
        The bytes; those of a file that declares its encoding, or UTF-8.
    handlers
        The handlers of elements and text; `attach` gets the parser.

    Raises
    ------
    DamagedTreeError
        If it is not XML, or declares entities.
    """
    parser = expat.ParserCreate(handlers.encoding)
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
    parser.EntityDeclHandler = _refuse_entity
    parser.buffer_text = True
    handlers.attach(parser)
    try:
        parser.Parse(source, True)
    except expat.ExpatError as error:
        reason = expat.ErrorString(error.code)
        raise DamagedTreeError(f"line {error.lineno}: {reason}") from None


class Handlers(Protocol):
    """Handlers of the events of a parser."""

    @property
    def encoding(self) -> str | None:
        """The encoding of the source; None if it declares it."""

    def attach(self, parser: expat.XMLParserType) -> None:
        """Register the handlers with a parser."""


class _OpenElement(NamedTuple):
    name: str
    start: int
    line: int
    cuts: int  # how many there were before it
    piece_count: int  # how many pieces of text and borders of elements


class _Cut(NamedTuple):
    start: int
    piece_count: int
    line: int
    path: tuple[str, ...]
    name: str  # of an element that holds no others; else empty
    length: int


class _CutFinder:
    """Where the source is split: before short elements, within long ones."""

    encoding = "utf-8"  # regardless of the file's declaration: it is already decoded

    def __init__(self) -> None:
        self.title: list[str] = []
        self._open: list[_OpenElement] = []
        self._cuts: list[_Cut] = []
        self._title_depth = 0

    def attach(self, parser: expat.XMLParserType) -> None:
        """Register the handlers with a parser."""
        self._parser = parser
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters

    def _start(self, tag: str, _: dict[str, str]) -> None:
        name = tag.rsplit(":", 1)[-1]
        if len(self._open) >= _MAX_DEPTH:
            raise DamagedTreeError(f"it is nested more than {_MAX_DEPTH:,} elements deep")
        parser = self._parser
        offset, line = parser.CurrentByteIndex, parser.CurrentLineNumber
        self._open.append(_OpenElement(name, offset, line, len(self._cuts), self._piece_count()))
        if name == "title" and not self.title and len(self._open) <= _MAX_TITLE_DEPTH:
            self._title_depth = len(self._open)

    def _end(self, _: str) -> None:
        name, start, line, cuts, piece_count = self._open.pop()
        if len(self._open) < self._title_depth:
            self._title_depth = 0
        # The start of the closing tag: near enough to distinguish long from short.
        length = self._parser.CurrentByteIndex - start
        path = tuple(element.name for element in self._open[:_MAX_PATH_NAMES])
        if length <= _MAX_BLOCK_CHARACTERS:
            field = name if len(self._cuts) == cuts else ""
            del self._cuts[cuts:]
            self._cuts.append(_Cut(start, piece_count, line, path, field, length))
        else:
            self._cuts.insert(cuts, _Cut(start, piece_count, line, path, "", length))

    def _characters(self, text: str) -> None:
        if self._title_depth:
            self.title.append(text)

    def _piece_count(self) -> int:
        return 0

    def _parts(self) -> Iterator[_Cut]:
        """Yield where each block begins."""
        record_start: _Cut | None = None
        last_name = ""
        for cut in self._cuts:
            # Consecutive leaf elements with different names are the fields of one record.
            joins = (
                record_start
                and cut.name
                and last_name not in {"", cut.name}
                and record_start.path == cut.path
                and cut.start + cut.length - record_start.start <= _MAX_BLOCK_CHARACTERS
            )
            last_name = cut.name
            if not joins:
                record_start = cut
                yield cut


class _TextCutter(_CutFinder):
    """The same with the text between the splits."""

    def __init__(self) -> None:
        super().__init__()
        self.left_out: dict[str, None] = {}
        # Pieces of text, and at the borders of elements the number of the element around them.
        self._pieces: list[str | int] = []
        self._open_numbers = [0]  # those of the open elements; 0 is the document
        self._parents = array("q", [0])
        self._are_inline = bytearray(1)  # whether an element has text next to other elements

    def attach(self, parser: expat.XMLParserType) -> None:
        """Register the handlers with a parser."""
        super().attach(parser)
        parser.CommentHandler = self._comment

    def _comment(self, text: str) -> None:
        if text.strip():
            self.left_out["comments"] = None

    def _piece_count(self) -> int:
        return len(self._pieces)

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        parent = self._open_numbers[-1]
        self._pieces.append(parent)
        super()._start(tag, attributes)
        self._parents.append(parent)
        self._open_numbers.append(len(self._are_inline))
        self._are_inline.append(0)
        if attributes and any(not name.startswith("xml") for name in attributes):
            self.left_out["attributes"] = None

    def _end(self, tag: str) -> None:
        super()._end(tag)
        self._open_numbers.pop()
        self._pieces.append(self._open_numbers[-1])

    def _characters(self, text: str) -> None:
        super()._characters(text)
        self._pieces.append(text)
        if not text.isspace():
            self._are_inline[self._open_numbers[-1]] = 1

    def blocks(self) -> Iterator[tuple[str, int, tuple[str, ...]]]:
        """Yield text, line and path of each block that has text."""
        for number in range(1, len(self._are_inline)):  # one within a line is in the line
            self._are_inline[number] |= self._are_inline[self._parents[number]]
        cuts = list(self._parts())
        for cut, following in zip(cuts, [*cuts[1:], None], strict=True):
            start = 0 if cut is cuts[0] else cut.piece_count
            text = self._text(start, following.piece_count if following else len(self._pieces))
            if text:
                yield text, cut.line, cut.path

    def _text(self, start: int, end: int) -> str:
        are_inline = self._are_inline
        pieces = [
            piece if isinstance(piece, str) else "" if are_inline[piece] else "\n"
            for piece in self._pieces[start:end]
        ]
        lines = "".join(pieces).split("\n")
        return "\n".join([flat for line in lines if (flat := " ".join(line.split()))])


def _refuse_entity(name: str, *_: object) -> None:
    raise DamagedTreeError(f"it declares the entity {name!r}, and entities are not read")
