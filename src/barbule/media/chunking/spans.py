"""Pieces between separators, merged up to a size, and the overlap of chunks.

Owns the list form of separators, and the overlap with the previous chunk in both forms.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from itertools import pairwise
from typing import TYPE_CHECKING

from barbule.media.chunking.clusters import character_start
from barbule.media.chunking.size_limit import by_characters

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from barbule.media.chunking.size_limit import SizeLimit
    from barbule.media.chunking.source import Span

__all__ = ["cut_long_pieces", "merge_pieces", "split_pieces", "with_overlap"]

_SPACE = re.compile(r"\s+")
_LINES = re.compile(r"\n(?:[^\S\n]*\n)*")


def split_pieces(text: str, separators: tuple[str, ...]) -> Iterator[Span]:
    """Split after each separator; pieces have no leading and trailing white space."""
    offset, length = 0, len(text)
    for end in _separator_ends(text, separators):
        piece = text[offset:end]
        body = piece.strip()
        if body:
            start = offset if piece[0] == body[0] else end - len(piece.lstrip())
            yield start, start + len(body)
        offset = end
    remaining = text[offset:].lstrip()
    if remaining:
        yield length - len(remaining), length - len(remaining) + len(remaining.rstrip())


def _separator_ends(text: str, separators: tuple[str, ...]) -> Iterable[int]:
    """Return where separators end; a run of them ("?!") is one."""
    signs = [sign for separator in separators for sign in set(separator)]
    if len(signs) == len(set(signs)):
        return _disjoint_separator_ends(text, separators)
    # The longest first if one may contain another. Written as "one, then more": `re` scans for a
    # first character only in that form.
    ordered = sorted(separators, key=len, reverse=True)
    separator_pattern = f"(?:{'|'.join(map(re.escape, ordered))})"
    return (match.end() for match in re.finditer(f"{separator_pattern}{separator_pattern}*", text))


def _disjoint_separator_ends(text: str, separators: tuple[str, ...]) -> Iterable[int]:
    """Return the ends of separators that share no sign, so that each can be searched alone.

    Searching for a few strings takes less than half of the time of a pattern of all of them.
    """
    ends = [
        match.end()
        for separator in separators
        if separator in text
        for match in re.finditer(re.escape(separator), text)
    ]
    ends.sort()
    longest = max(map(len, separators), default=0)
    return [
        end
        for end, following in pairwise([*ends, len(text) + longest + 1])
        if following - end > longest or not text.startswith(separators, end)
    ]


def cut_long_pieces(
    text: str, spans: Iterable[Span], chunk_size: int, overlap: int
) -> Iterator[Span]:
    """Split pieces that are longer than a chunk at their best positions."""
    # Parts of a long piece leave room for the text repeated before them.
    size_limit = by_characters(chunk_size - overlap)
    for span in spans:
        if span[1] - span[0] <= chunk_size:
            yield span
        else:
            yield from size_limit.cut(text, span)


def merge_pieces(text: str, spans: Iterable[Span], chunk_size: int, overlap: int) -> Iterator[Span]:
    """Fill chunks with consecutive pieces."""
    starts: list[int] = []
    ends: list[int] = []
    for start, end in spans:
        starts.append(start)
        ends.append(end)
    index, count = 0, len(starts)
    while index < count:
        start = starts[index]
        if overlap and index:
            previous_end = ends[index - 1]
            lowest = max(previous_end - overlap, ends[index] - chunk_size)
            # Pieces have at least one character, so the repeated one is among these.
            first = max(index - overlap, 0)
            start = _overlap_start(text, starts, range(first, index), lowest, previous_end)
        max_end = start + chunk_size
        index += 1
        if index < count and ends[index] <= max_end:
            index = bisect_right(ends, max_end, index + 1, min(index + chunk_size, count))
        yield start, ends[index - 1]


def with_overlap(
    text: str, spans: Iterable[Span], size_limit: SizeLimit, *, by_lines: bool = False
) -> Iterator[Span]:
    """Let each part start with as much of the preceding text as the overlap and the limit allow.

    The pieces of a part that is longer than a chunk already overlap.

    Parameters
    ----------
    by_lines
        Whether the repeated text of a part starts with a line, and not with a word.
    """
    starts: list[int] = []
    previous_end = 0
    for start, end in spans:
        starts.append(start)
        begin, index = start, len(starts) - 1
        if index and start >= previous_end:
            lowest = size_limit.overlap_start(text, previous_end, end)
            begin = _overlap_start(
                text, starts, range(index), lowest, previous_end, by_lines=by_lines
            )
            # Fewer characters may be more tokens.
            begin = begin if size_limit.fits(text[begin:end]) else start
        previous_end = end
        yield begin, end


def _overlap_start(
    text: str,
    starts: Sequence[int],
    earlier: range,
    lowest: int,
    previous_end: int,
    *,
    by_lines: bool = False,
) -> int:
    """Return the start of a chunk that repeats text between `lowest` and `previous_end`.

    It starts with a complete piece of those `earlier` than its own, otherwise with a word.
    """
    index = earlier.stop
    if starts[index - 1] >= lowest:
        return starts[bisect_left(starts, lowest, earlier.start, index)]
    if lowest >= previous_end:
        return starts[index]
    space = (_LINES if by_lines else _SPACE).search(text, max(lowest - 1, 0), previous_end)
    if space:
        return space.end()
    if by_lines:
        return starts[index]
    # A single long word, or a script without spaces, is split where necessary.
    character = character_start(text, lowest, previous_end)
    return character if character < previous_end else starts[index]
