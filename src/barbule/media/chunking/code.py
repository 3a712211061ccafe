"""Source code, split between its definitions.

Owns which lines of code start something new, only by their indentation: this works for Python and
for languages with braces. Must not parse.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from barbule.media.chunking.size_limit import SizeLimit
    from barbule.media.chunking.source import Span

__all__ = ["code_spans"]

# Lines that continue the lines before them, regardless of their indentation.
_CONTINUATION = re.compile(r"\s*(?:[})\]]|(?:else|elif|except|finally|catch|end|then|do)\b)")
# Lines that belong to the lines after them: comments, decorators, attributes.
_LEADING_LINE = re.compile(r"\s*(?:@|#|//|/\*|\*|--|\[[A-Za-z]|template\b)")
_TAB_WIDTH = 4


class _Line(NamedTuple):
    start: int
    end: int
    indent: int  # -1 of a blank line


def code_spans(text: str, span: Span, size_limit: SizeLimit) -> Iterator[Span]:
    """Split code into spans within a limit, each starting at a line of the least indentation.

    Parameters
    ----------
    text
        The text that holds the code.
    span
        Its position.
    fitting
        The limit.
    """
    lines = _lines(text, span)
    starts = _definition_starts(text, lines)
    pending = [(0, len(lines))]
    while pending:
        first, last = pending.pop()
        piece = _without_blank_lines(text, lines, first, last)
        if piece is None:
            continue
        inner = [index for index in starts if first < index < last]
        if size_limit.fits(text[piece[0] : piece[1]]):
            yield piece
        elif not inner:
            yield from size_limit.cut(text, piece)
        else:
            min_indent = min(starts[index] for index in inner)
            edges = [first, *(index for index in inner if starts[index] == min_indent), last]
            pending.extend(reversed(_merge_spans(text, lines, edges, size_limit)))


def _lines(text: str, span: Span) -> list[_Line]:
    lines: list[_Line] = []
    offset, last = span
    while offset < last:
        end = text.find("\n", offset, last) + 1 or last
        line = text[offset:end]
        body = line.lstrip()
        indent = len(line[: len(line) - len(body)].expandtabs(_TAB_WIDTH)) if body else -1
        lines.append(_Line(offset, end, indent))
        offset = end
    return lines


def _definition_starts(text: str, lines: Sequence[_Line]) -> dict[int, int]:
    """Return the lines before which a split is possible, with their indentation."""
    starts: dict[int, int] = {}
    previous: int | None = None  # the last line that is not blank
    leading: int | None = None  # the first of the comments and decorators right above
    for index, line in enumerate(lines):
        if line.indent < 0:
            leading = None
            continue
        source = text[line.start : line.end]
        if previous is not None and leading is None and not _CONTINUATION.match(source):
            follows_gap = index > previous + 1
            if follows_gap or line.indent <= lines[previous].indent:
                starts[index] = line.indent
        if not _LEADING_LINE.match(source):
            leading = None
        elif leading is None:
            leading = index
        previous = index
    return starts


def _merge_spans(
    text: str, lines: Sequence[_Line], edges: Sequence[int], size_limit: SizeLimit
) -> list[tuple[int, int]]:
    """Join pieces that fit together."""
    joined: list[tuple[int, int]] = []
    for first, last in pairwise(edges):
        merged = _without_blank_lines(text, lines, joined[-1][0], last) if joined else None
        if merged and size_limit.fits(text[merged[0] : merged[1]]):
            joined[-1] = (joined[-1][0], last)
        else:
            joined.append((first, last))
    return joined


def _without_blank_lines(text: str, lines: Sequence[_Line], first: int, last: int) -> Span | None:
    """Drop blank lines, but not the indentation of the first line."""
    while first < last and lines[first].indent < 0:
        first += 1
    while last > first and lines[last - 1].indent < 0:
        last -= 1
    if first == last:
        return None
    start, end = lines[first].start, lines[last - 1].end
    return start, start + len(text[start:end].rstrip())
