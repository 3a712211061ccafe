"""The text of a document in one string, and what is known of each place in it.

Owns what a chunk tells of where it comes from. Must not decide where chunks begin and end.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, NamedTuple

from barbule.media.documents.records import Box

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from barbule.media.documents import Block, DocumentText

__all__ = ["BETWEEN_BLOCKS", "Chunk", "Source", "Span"]

Span = tuple[int, int]
BETWEEN_BLOCKS = "\n\n"


class Chunk(NamedTuple):
    """A piece of a document.

    Parameters
    ----------
    text
        The text, never empty and without blank edges.
    pos
        Its place among the document's chunks, from 0.
    page, heading, sourceline
        Those of its first character; None where the format has none.
    title
        The title of the document.
    bounding_box
        What its lines cover of the page on which it begins; None where lines have no places.
    """

    text: str
    pos: int
    page: int | None = None
    heading: str | None = None
    title: str | None = None
    sourceline: int | None = None
    bounding_box: Box | None = None


class Source:
    """The text of a document in one string, and what is known of each place in it."""

    def __init__(self, doc: DocumentText) -> None:
        self.title = doc.title
        self.blocks = doc.blocks
        self.text = BETWEEN_BLOCKS.join([block.text for block in doc.blocks])
        self.starts: list[int] = []
        position = 0
        for block in doc.blocks:
            self.starts.append(position)
            position += len(block.text) + len(BETWEEN_BLOCKS)
        # Of each line that has a place: where it begins, its page and its box.
        self._lines = [
            (start + place, block.page, box)
            for start, block in zip(self.starts, self.blocks, strict=True)
            for place, box in block.boxes
        ]
        self._line_starts = [start for start, _, _ in self._lines]

    def runs(self, key: Callable[[Block], object]) -> Iterator[Span]:
        """Yield the spans of neighbouring blocks that share a key."""
        first = 0
        for index in range(1, len(self.blocks) + 1):
            ends = index == len(self.blocks)
            if ends or key(self.blocks[index]) != key(self.blocks[first]):
                yield self.starts[first], len(self.text) if ends else self.starts[index]
                first = index

    def chunks(self, spans: Iterable[Span]) -> list[Chunk]:
        """Make the chunks of spans that come in order."""
        text, starts, blocks, title = self.text, self.starts, self.blocks, self.title
        found: list[Chunk] = []
        last = len(blocks) - 1
        index = seen = lines = 0
        for pos, (start, end) in enumerate(spans):
            while index < last and starts[index + 1] <= start:
                index += 1
                seen, lines = starts[index], 0
            block = blocks[index]
            line = block.sourceline
            if line is not None:
                if start > seen:
                    # Counted on from the chunk before, so a long block is read once.
                    lines += text.count("\n", seen, start)
                    seen = start
                line += lines
            box = self._box(start, end) if block.boxes else None
            found.append(Chunk(text[start:end], pos, block.page, block.heading, title, line, box))
        return found

    def _box(self, start: int, end: int) -> Box | None:
        """Return what the lines of a span cover of the page on which it begins."""
        first = bisect_right(self._line_starts, start) - 1
        last = bisect_left(self._line_starts, end, max(first, 0))
        lines = self._lines[max(first, 0) : last]
        if not lines:
            return None
        page = lines[0][1]
        left, low, right, high = lines[0][2]
        for _, other, box in lines[1:]:
            if other != page:
                break
            left, low = min(left, box[0]), min(low, box[1])
            right, high = max(right, box[2]), max(high, box[3])
        return Box(left, low, right, high)
