"""The list form of separators: strings at which text is cut.

Owns the pieces between them, their merging up to a size, and what is repeated of the chunk
before.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

from barbule.media.chunking.fitting import by_characters

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from barbule.media.chunking.source import Span

__all__ = ["merged", "pieces", "small_enough"]

_SPACE = re.compile(r"\s+")


def pieces(text: str, separators: tuple[str, ...]) -> Iterator[Span]:
    """Cut behind each separator; pieces have no blank edges."""
    place, length = 0, len(text)
    if separators:
        # The longest first, and a run of them ("?!") is one end.
        ordered = sorted(separators, key=len, reverse=True)
        # Written as "one, then more": `re` scans for a first character only in that form.
        one = f"(?:{'|'.join(map(re.escape, ordered))})"
        for match in re.finditer(f"{one}{one}*", text):
            end = match.end()
            piece = text[place:end]
            body = piece.strip()
            if body:
                start = place if piece[0] == body[0] else end - len(piece.lstrip())
                yield start, start + len(body)
            place = end
    rest = text[place:].lstrip()
    if rest:
        yield length - len(rest), length - len(rest) + len(rest.rstrip())


def small_enough(text: str, spans: Iterable[Span], chunk_size: int, overlap: int) -> Iterator[Span]:
    """Cut what is longer than a chunk at the best places within."""
    # Parts of a long piece leave room for what is repeated before them.
    fitting = by_characters(chunk_size - overlap)
    for span in spans:
        if span[1] - span[0] <= chunk_size:
            yield span
        else:
            yield from fitting.cut(text, span)


def merged(text: str, spans: Iterable[Span], chunk_size: int, overlap: int) -> Iterator[Span]:
    """Fill chunks up with pieces that follow each other."""
    given = list(spans)
    starts = [start for start, _ in given]
    ends = [end for _, end in given]
    index, count = 0, len(given)
    while index < count:
        start = starts[index]
        if overlap and index:
            start = _overlapped(text, starts, ends[index - 1], given[index], (chunk_size, overlap))
        index = bisect_right(ends, start + chunk_size, index + 1)
        yield start, ends[index - 1]


def _overlapped(
    text: str, starts: list[int], before: int, piece: Span, sizes: tuple[int, int]
) -> int:
    """Find where a chunk that begins with `piece` starts, given where the one before ended."""
    chunk_size, overlap = sizes
    lowest = before - overlap
    lowest = max(lowest, piece[1] - chunk_size)
    lowest = max(lowest, 0)
    if lowest >= before:
        return piece[0]
    boundary = starts[bisect_left(starts, lowest)]
    if boundary < before:
        return boundary
    space = _SPACE.search(text, max(lowest - 1, 0), before)
    if space is None:
        return lowest  # One long word, or a script without spaces.
    return max(space.end(), lowest)
