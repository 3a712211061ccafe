"""The text of a document that has been read: blocks, with their pages and lines.

Owns the records that every reader returns and the chunker takes, and the path of headings above a
block. Must not read files.
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
# The fields of a `Box`. A book has a hundred thousand lines: unlike objects of a class, plain
# tuples of numbers cost the garbage collector no time.
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
    """A paragraph, heading, table or similar part of a document.

    Parameters
    ----------
    text
        The text, without leading and trailing white space except the indentation of a verbatim
        first line.
    page
        Its page, slide or sheet, from 1; None if the format has none.
    heading
        The headings above it, joined by " > "; a heading's own block ends with itself.
    sourceline
        The line of the file on which it starts, from 1; None if the format has no lines.
    rows
        The cells of a table, row by row; None if it is not a table.
    boxes
        Its lines on the page: the offset in `text` at which each starts, and the sides of its box.
    section
        The number of its nearest heading: two neighbouring sections may share a heading. 0 if the
        format has none.
    verbatim
        Whether the indentation of its lines matters, as in code.
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
        The title in the document's metadata, if it has one.
    blocks
        Its blocks, none of them empty.
    metadata
        Other metadata of the file: "author", "created" and so on.
    pages
        The number of pages, slides or sheets; None if the format has none.
    scanned
        The pages, from 1, that are images without text.
    left_out
        Parts with text that are skipped on purpose: "navigation", "comments" and so on.
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
        """Add a heading of `level` (1 is the highest); it ends those of its level and below.

        One without text ends them as well.
        """
        self.section += 1
        self._open = [entry for entry in self._open if entry[0] < level]
        if text:
            self._open.append((level, text))
        # Read for each block, so it is joined here and not there.
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
    """An invalid JSON or XML file; the message says where and why."""
