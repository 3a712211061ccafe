"""The list form of separators: strings at which text is cut.

Owns the pieces between them, their merging up to a size, and what is repeated of the chunk
before.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from itertools import pairwise
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
            if starts[index - 1] >= lowest:
                # Pieces have at least one character, so it is one of these that is repeated.
                start = starts[bisect_left(starts, lowest, max(index - overlap, 0), index)]
            elif lowest < before:
                space = _SPACE.search(text, lowest - 1, before)
                # One long word, or a script without spaces, is cut where it must be.
                start = space.end() if space else lowest
        most = start + chunk_size
        index += 1
        if index < count and ends[index] <= most:
            index = bisect_right(ends, most, index + 1, min(index + chunk_size, count))
        yield start, ends[index - 1]
