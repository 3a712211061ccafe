"""The text of a document in one string, with the page, heading and line of each position.

Owns the origin that is recorded with each chunk. Must not decide where chunks begin and end.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from barbule.media.documents.blocks import Box

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from barbule.media.documents import Block, DocumentText
    from barbule.media.documents.blocks import Sides

__all__ = ["BETWEEN_BLOCKS", "Chunk", "Source", "Span"]

Span = tuple[int, int]
BETWEEN_BLOCKS = "\n\n"


class Chunk(NamedTuple):
    """A chunk of a document.

    Parameters
    ----------
    text
        The text, never empty and without leading and trailing white space.
    pos
        Its position among the document's chunks, from 0.
    page, heading, sourceline
        Those of its first character; None if the format has none.
    title
        The title of the document.
    bounding_box
        The area of its lines on its first page; None if lines have no boxes.
    """

    text: str
    pos: int
    page: int | None = None
    heading: str | None = None
    title: str | None = None
    sourceline: int | None = None
    bounding_box: Box | None = None


class Source:
    """The text of a document in one string, with the page, heading and line of each position."""

    def __init__(self, doc: DocumentText) -> None:
        self.title = doc.title
        self.blocks = doc.blocks
        texts = [block.text for block in doc.blocks]
        self.text = BETWEEN_BLOCKS.join(texts)
        gap = len(BETWEEN_BLOCKS)
        self.starts = list(accumulate([len(text) + gap for text in texts[:-1]], initial=0))
        # For each line with a box: its start, its page and its box.
        self._line_starts: list[int] = []
        self._line_pages: list[int | None] = []
        self._line_boxes: list[Sides] = []
        for start, block in zip(self.starts, self.blocks, strict=False):
            for offset, box in block.boxes:
                self._line_starts.append(start + offset)
                self._line_pages.append(block.page)
                self._line_boxes.append(box)

    def runs(self, key: Callable[[Block], object]) -> Iterator[Span]:
        """Yield the spans of neighbouring blocks that share a key."""
        first = 0
        for index in range(1, len(self.blocks) + 1):
            ends = index == len(self.blocks)
            if ends or key(self.blocks[index]) != key(self.blocks[first]):
                yield self.starts[first], len(self.text) if ends else self.starts[index]
                first = index

    def line_start(self, position: int) -> int:
        """Return the start of the line of a verbatim block, if nothing is before `position`."""
        index = bisect_right(self.starts, position) - 1
        if not self.blocks[index].verbatim:
            return position
        start = self.starts[index]
        start = max(self.text.rfind("\n", start, position) + 1, start)
        return position if self.text[start:position].strip(" \t") else start

    def chunks(self, spans: Iterable[Span]) -> list[Chunk]:
        """Create the chunks of spans in order."""
        text, title, starts, blocks = self.text, self.title, self.starts, self.blocks
        next_starts = [*starts[1:], len(text) + 1]
        self._first = self._last = 0
        records: list[Chunk] = []
        new_tuple = tuple.__new__
        index, next_start = -1, 0
        for pos, (start, end) in enumerate(spans):
            if start >= next_start:
                index += 1
                while next_starts[index] <= start:
                    index += 1
                next_start = next_starts[index]
                _, page, heading, line, _, boxes, _, _ = blocks[index]
                # The next line break: there is nothing to count up to there.
                line_break = text.find("\n", starts[index]) if line is not None else -1
            if -1 < line_break < start:
                line = (line or 0) + text.count("\n", line_break, start)
                line_break = text.find("\n", start)
            box = self._box(start, end) if boxes else None
            # `Chunk(...)` is a Python function around this.
            records.append(
                new_tuple(Chunk, (text[start:end], pos, page, heading, title, line, box))
            )
        return records

    def _box(self, start: int, end: int) -> Box | None:
        """Return the area of the lines of a span on its first page.

        Spans are in order, so the lines are searched once.
        """
        starts, pages = self._line_starts, self._line_pages
        first, last, count = self._first, self._last, len(starts)
        while first + 1 < count and starts[first + 1] <= start:
            first += 1
        last = max(first, last)
        while last < count and starts[last] < end:
            last += 1
        self._first, self._last = first, last
        if first == last:
            return None
        while pages[last - 1] != pages[first]:
            last -= 1
        if first + 1 == last:
            return Box(*self._line_boxes[first])
        left, low, right, high = zip(*self._line_boxes[first:last], strict=True)
        return Box(min(left), min(low), max(right), max(high))
