"""Source code, cut between its definitions.

Owns which lines of code begin something new, by their indentation alone: that holds for
Python as for languages with braces. Must not parse.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from barbule.media.chunking.fitting import Fitting
    from barbule.media.chunking.source import Span

__all__ = ["code_spans"]

# What goes on with the lines before it, whatever its indentation.
_GOES_ON = re.compile(r"\s*(?:[})\]]|(?:else|elif|except|finally|catch|end|then|do)\b)")
# What belongs to the lines after it: comments, decorators, attributes.
_LEADS = re.compile(r"\s*(?:@|#|//|/\*|\*|--|\[[A-Za-z]|template\b)")
_TAB = 4


class _Line(NamedTuple):
    start: int
    end: int
    indent: int  # -1 of a blank line


def code_spans(text: str, span: Span, fitting: Fitting) -> Iterator[Span]:
    """Cut code into spans within a limit, each beginning at a line of the least indentation.

    Parameters
    ----------
    text
        The text that holds the code.
    span
        Where it stands.
    fitting
        The limit.
    """
    lines = _lines(text, span)
    starts = _beginnings(text, lines)
    pending = [(0, len(lines))]
    while pending:
        first, last = pending.pop()
        found = _trimmed(text, lines, first, last)
        if found is None:
            continue
        inner = [index for index in starts if first < index < last]
        if fitting.fits(text[found[0] : found[1]]):
            yield found
        elif not inner:
            yield from fitting.cut(text, found)
        else:
            least = min(starts[index] for index in inner)
            edges = [first, *(index for index in inner if starts[index] == least), last]
            pending.extend(reversed(_merged(text, lines, edges, fitting)))


def _lines(text: str, span: Span) -> list[_Line]:
    found: list[_Line] = []
    place, last = span
    while place < last:
        end = text.find("\n", place, last) + 1 or last
        line = text[place:end]
        body = line.lstrip()
        indent = len(line[: len(line) - len(body)].expandtabs(_TAB)) if body else -1
        found.append(_Line(place, end, indent))
        place = end
    return found


def _beginnings(text: str, lines: Sequence[_Line]) -> dict[int, int]:
    """Return the lines before which a cut may be made, with their indentation."""
    found: dict[int, int] = {}
    before: int | None = None  # the last line that is not blank
    leading: int | None = None  # the first of the comments and decorators right above
    for index, line in enumerate(lines):
        if line.indent < 0:
            leading = None
            continue
        source = text[line.start : line.end]
        if before is not None and leading is None and not _GOES_ON.match(source):
            apart = index > before + 1
            if apart or line.indent <= lines[before].indent:
                found[index] = line.indent
        if not _LEADS.match(source):
            leading = None
        elif leading is None:
            leading = index
        before = index
    return found


def _merged(
    text: str, lines: Sequence[_Line], edges: Sequence[int], fitting: Fitting
) -> list[tuple[int, int]]:
    """Join pieces that fit together."""
    joined: list[tuple[int, int]] = []
    for first, last in pairwise(edges):
        whole = _trimmed(text, lines, joined[-1][0], last) if joined else None
        if whole and fitting.fits(text[whole[0] : whole[1]]):
            joined[-1] = (joined[-1][0], last)
        else:
            joined.append((first, last))
    return joined


def _trimmed(text: str, lines: Sequence[_Line], first: int, last: int) -> Span | None:
    """Leave blank lines out, but not the indentation of the first line."""
    while first < last and lines[first].indent < 0:
        first += 1
    while last > first and lines[last - 1].indent < 0:
        last -= 1
    if first == last:
        return None
    start, end = lines[first].start, lines[last - 1].end
    return start, start + len(text[start:end].rstrip())
