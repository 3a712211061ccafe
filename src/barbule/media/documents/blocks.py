"""The text of a document that has been read: blocks, with their pages and lines.

Owns the records that every reader returns and the chunker takes, and the trail of headings
above a block. Must not read files.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "Block", "Box", "DamagedTreeError", "DocumentText", "HeadingTrail", "Rows", "Sides", "grid",
]  # fmt: skip

Rows = tuple[tuple[str, ...], ...]
# Those of a `Box`. A book has a hundred thousand lines: unlike objects of a class, plain tuples
# of numbers cost the collector of garbage no time.
Sides = tuple[float, float, float, float]


class Box(NamedTuple):
    """A rectangle on a page, in points from its lower left corner.

    Parameters
    ----------
    x1, y1
        The corner at the lower left.
    x2, y2
        The corner at the upper right.
    """

    x1: float
    y1: float
    x2: float
    y2: float


class Block(NamedTuple):
    """A paragraph, heading, table or the like of a document.

    Parameters
    ----------
    text
        The text, without blank edges but for the indentation of a first line that is verbatim.
    page
        Its page, slide or sheet, from 1; None where the format has none.
    heading
        The headings above it, joined by " > "; a heading's own block ends with itself.
    sourceline
        The line of the file on which it starts, from 1; None where lines mean nothing.
    rows
        The cells of a table, row by row; None for what is no table.
    boxes
        Its lines on the page: the offset in `text` at which each begins, and the sides of its
        box.
    section
        The number of its nearest heading: two neighbouring sections may share a
        heading. 0 where the format has none.
    verbatim
        Whether the indentation of its lines counts, as in code.
    """

    text: str
    page: int | None = None
    heading: str | None = None
    sourceline: int | None = None
    rows: Rows | None = None
    boxes: tuple[tuple[int, Sides], ...] = ()
    section: int = 0
    verbatim: bool = False


@dataclass(frozen=True, slots=True)
class DocumentText:
    """The text of a document, in reading order.

    Parameters
    ----------
    title
        What the document calls itself, if it does.
    blocks
        Its blocks, none of them empty.
    metadata
        What else the file says of itself: "author", "created" and so on.
    pages
        How many pages, slides or sheets it has; None where the format has none.
    scanned
        The pages, from 1, that are pictures without text.
    left_out
        What has text and was left out on purpose, in words: "navigation", "comments" and so on.
    """

    title: str | None
    blocks: tuple[Block, ...]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    pages: int | None = None
    scanned: tuple[int, ...] = ()
    left_out: tuple[str, ...] = ()


@dataclass(slots=True)
class HeadingTrail:
    """The headings above the current position of a reader."""

    path: str | None = None
    section: int = 0
    _open: list[tuple[int, str]] = field(default_factory=list)

    def enter(self, level: int, text: str) -> None:
        """Take a heading of `level` (1 is the highest); it ends those of its level and below.

        One without text ends them too.
        """
        self.section += 1
        self._open = [entry for entry in self._open if entry[0] < level]
        if text:
            self._open.append((level, text))
        # Asked for each block, so it is joined here and not there.
        self.path = " > ".join(text for _, text in self._open) or None


def grid(rows: Iterable[Iterable[str]]) -> str:
    """Write the rows of a table as lines, with bars between their cells.

    Examples
    --------
    >>> print(grid([["kind", "hooks"], ["down", ""]]))
    kind | hooks
    down |
    """
    return "\n".join(" | ".join(row).rstrip() for row in rows)


class DamagedTreeError(ValueError):
    """A file of JSON or XML that is not what it should be; its text says where and why."""
