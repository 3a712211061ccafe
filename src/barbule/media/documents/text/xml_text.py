"""The XML reader: the text of elements, in blocks cut where elements begin.

Owns which elements become blocks, which of them stand on lines of their own, and that XML is
parsed without harm: entities are refused, nothing is loaded from elsewhere.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from xml.parsers import expat

from barbule.media.documents.blocks import Block, DamagedTreeError, DocumentText
from barbule.media.documents.text.plain_text import decode
from barbule.media.read_limits import Tally

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
    r"""Read XML; elements are blocks, the names of those around them their headings.

    Parameters
    ----------
    data
        The bytes of the file.
    encoding
        Its encoding; None finds out.

    Returns
    -------
    DocumentText
        The text without tags: elements stand on lines of their own, except within an element
        that has text of its own beside them, which is one line. Attributes, comments and
        instructions are left out. The title is that of a `title` element near the root.

    Raises
    ------
    DamagedTreeError
        If it is not XML, or declares entities.

    Examples
    --------
    >>> found = read_xml(b"<page><title>Birds</title><p>They have <b>feathers</b>.</p></page>")
    >>> found.title, found.blocks[0].text
    ('Birds', 'Birds\nThey have feathers.')
    """
    tree = _TextTree()
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
    events: int  # how many pieces of text and borders of elements


class _Cut(NamedTuple):
    start: int
    events: int
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
        place, line = parser.CurrentByteIndex, parser.CurrentLineNumber
        self._open.append(_Open(name, place, line, len(self._cuts), self._events()))
        if name == "title" and not self.title and len(self._open) <= _TITLE_DEPTH:
            self._title_depth = len(self._open)

    def _end(self, _: str) -> None:
        name, start, line, cuts, events = self._open.pop()
        if len(self._open) < self._title_depth:
            self._title_depth = 0
        # Where the closing tag begins: near enough to tell long from short.
        length = self._parser.CurrentByteIndex - start
        path = tuple(each.name for each in self._open[:_LONGEST_PATH])
        if length <= _PART:
            field = name if len(self._cuts) == cuts else ""
            del self._cuts[cuts:]
            self._cuts.append(_Cut(start, events, line, path, field, length))
        else:
            self._cuts.insert(cuts, _Cut(start, events, line, path, "", length))

    def _characters(self, text: str) -> None:
        if self._title_depth:
            self.title.append(text)

    def _events(self) -> int:
        return 0

    def _parts(self) -> Iterator[_Cut]:
        """Yield where each block begins."""
        kept: _Cut | None = None
        last = ""
        for cut in self._cuts:
            # Elements without others, of different names, are the fields of one record.
            joins = (
                kept
                and cut.name
                and last not in {"", cut.name}
                and kept.path == cut.path
                and cut.start + cut.length - kept.start <= _PART
            )
            last = cut.name
            if not joins:
                kept = cut
                yield cut


class _TextTree(_Tree):
    """The same with the text between the cuts."""

    def __init__(self) -> None:
        super().__init__()
        self.left_out: dict[str, None] = {}
        # Pieces of text, and at the borders of elements the number of the element around them.
        self._found: list[str | int] = []
        self._numbers = [0]  # those of the open elements; 0 is the document
        self._around = array("q", [0])
        self._flows = bytearray(1)  # whether an element has text beside other elements

    def follow(self, parser: expat.XMLParserType) -> None:
        """Take what a parser finds."""
        super().follow(parser)
        parser.CommentHandler = self._comment

    def _comment(self, text: str) -> None:
        if text.strip():
            self.left_out["comments"] = None

    def _events(self) -> int:
        return len(self._found)

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        around = self._numbers[-1]
        self._found.append(around)
        super()._start(tag, attributes)
        self._around.append(around)
        self._numbers.append(len(self._flows))
        self._flows.append(0)
        if attributes and any(not name.startswith("xml") for name in attributes):
            self.left_out["attributes"] = None

    def _end(self, tag: str) -> None:
        super()._end(tag)
        self._numbers.pop()
        self._found.append(self._numbers[-1])

    def _characters(self, text: str) -> None:
        super()._characters(text)
        self._found.append(text)
        if not text.isspace():
            self._flows[self._numbers[-1]] = 1

    def blocks(self) -> Iterator[tuple[str, int, tuple[str, ...]]]:
        """Yield text, line and path of each block that has text."""
        for number in range(1, len(self._flows)):  # one within a line is in the line
            self._flows[number] |= self._flows[self._around[number]]
        cuts = list(self._parts())
        for cut, following in zip(cuts, [*cuts[1:], None], strict=True):
            start = 0 if cut is cuts[0] else cut.events
            text = self._text(start, following.events if following else len(self._found))
            if text:
                yield text, cut.line, cut.path

    def _text(self, start: int, end: int) -> str:
        flows = self._flows
        pieces = [
            each if isinstance(each, str) else "" if flows[each] else "\n"
            for each in self._found[start:end]
        ]
        lines = "".join(pieces).split("\n")
        return "\n".join([flat for line in lines if (flat := " ".join(line.split()))])


def _refused(name: str, *_: Any) -> None:
    raise DamagedTreeError(f"it declares the entity {name!r}, and entities are not read")
