"""Pieces between separators, their merging up to a size, and what chunks repeat.

Owns the list form of separators, and what is repeated of the chunk before in both forms.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from itertools import pairwise
from typing import TYPE_CHECKING

from barbule.media.chunking.clusters import character_start
from barbule.media.chunking.fitting import by_characters

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from barbule.media.chunking.fitting import Fitting
    from barbule.media.chunking.source import Span

__all__ = ["merged", "pieces", "repeating", "small_enough"]

_SPACE = re.compile(r"\s+")
_LINES = re.compile(r"\n(?:[^\S\n]*\n)*")


def pieces(text: str, separators: tuple[str, ...]) -> Iterator[Span]:
    """Cut behind each separator; pieces have no blank edges."""
    place, length = 0, len(text)
    for end in _ends(text, separators):
        piece = text[place:end]
        body = piece.strip()
        if body:
            start = place if piece[0] == body[0] else end - len(piece.lstrip())
            yield start, start + len(body)
        place = end
    rest = text[place:].lstrip()
    if rest:
        yield length - len(rest), length - len(rest) + len(rest.rstrip())


def _ends(text: str, separators: tuple[str, ...]) -> Iterable[int]:
    """Return where separators end; a run of them ("?!") is one."""
    signs = [sign for separator in separators for sign in set(separator)]
    if len(signs) == len(set(signs)):
        return _ends_apart(text, separators)
    # The longest first where one may hold another. Written as "one, then more": `re` scans for
    # a first character only in that form.
    ordered = sorted(separators, key=len, reverse=True)
    one = f"(?:{'|'.join(map(re.escape, ordered))})"
    return (match.end() for match in re.finditer(f"{one}{one}*", text))


def _ends_apart(text: str, separators: tuple[str, ...]) -> Iterable[int]:
    """Return where separators end that share no sign, so that each can be looked for alone.

    Looking for a few strings takes less than half of the time of a pattern of them all.
    """
    found = [
        match.end()
        for separator in separators
        if separator in text
        for match in re.finditer(re.escape(separator), text)
    ]
    found.sort()
    longest = max(map(len, separators), default=0)
    return [
        end
        for end, following in pairwise([*found, len(text) + longest + 1])
        if following - end > longest or not text.startswith(separators, end)
    ]


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
    starts: list[int] = []
    ends: list[int] = []
    for start, end in spans:
        starts.append(start)
        ends.append(end)
    index, count = 0, len(starts)
    while index < count:
        start = starts[index]
        if overlap and index:
            before = ends[index - 1]
            lowest = max(before - overlap, ends[index] - chunk_size)
            # Pieces have at least one character, so it is one of these that is repeated.
            first = max(index - overlap, 0)
            start = _repeated(text, starts, range(first, index), lowest, before)
        most = start + chunk_size
        index += 1
        if index < count and ends[index] <= most:
            index = bisect_right(ends, most, index + 1, min(index + chunk_size, count))
        yield start, ends[index - 1]


def repeating(
    text: str, spans: Iterable[Span], fitting: Fitting, *, by_lines: bool = False
) -> Iterator[Span]:
    """Let each part begin with as much of those before it as the overlap and the limit allow.

    The pieces of a part that is longer than a chunk repeat each other already.

    Parameters
    ----------
    by_lines
        Whether what is repeated of a part begins with a line, and not with a word.
    """
    starts: list[int] = []
    before = 0
    for start, end in spans:
        starts.append(start)
        begin, index = start, len(starts) - 1
        if index and start >= before:
            lowest = fitting.reach_back(text, before, end)
            begin = _repeated(text, starts, range(index), lowest, before, by_lines=by_lines)
            # Fewer characters may be more tokens.
            begin = begin if fitting.fits(text[begin:end]) else start
        before = end
        yield begin, end


def _repeated(
    text: str,
    starts: Sequence[int],
    earlier: range,
    lowest: int,
    before: int,
    *,
    by_lines: bool = False,
) -> int:
    """Return where a chunk begins that repeats what stands between `lowest` and `before`.

    That is with a whole one of the pieces `earlier` than its own, else with a word.
    """
    index = earlier.stop
    if starts[index - 1] >= lowest:
        return starts[bisect_left(starts, lowest, earlier.start, index)]
    if lowest >= before:
        return starts[index]
    space = (_LINES if by_lines else _SPACE).search(text, max(lowest - 1, 0), before)
    if space:
        return space.end()
    if by_lines:
        return starts[index]
    # One long word, or a script without spaces, is cut where it must be.
    found = character_start(text, lowest, before)
    return found if found < before else starts[index]
