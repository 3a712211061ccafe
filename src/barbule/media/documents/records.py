"""What a document is once it is read: blocks of text that know where they stood.

Owns the records that every reader fills and the chunker takes, and the trail of headings
above a block. Must not read files.
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Block", "DocumentText", "HeadingTrail"]


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph, heading, table or the like of a document.

    Parameters
    ----------
    text
        The text, without blank edges.
    page
        The page or slide it stands on, from 1; None where the format has no pages.
    heading
        The headings above it, joined by " > "; a heading's own block ends with itself.
    sourceline
        The line of the file on which it starts, from 1; None where lines mean nothing.
    """

    text: str
    page: int | None = None
    heading: str | None = None
    sourceline: int | None = None


@dataclass(frozen=True, slots=True)
class DocumentText:
    """The text of a document, in reading order.

    Parameters
    ----------
    title
        What the document calls itself, if it does.
    blocks
        Its blocks, none of them empty.
    """

    title: str | None
    blocks: tuple[Block, ...]


@dataclass(slots=True)
class HeadingTrail:
    """The headings above the place that a reader has reached."""

    _open: list[tuple[int, str]] = field(default_factory=list)

    def enter(self, level: int, text: str) -> None:
        """Take a heading of `level` (1 is the highest); it ends those of its level and below."""
        self._open = [entry for entry in self._open if entry[0] < level]
        self._open.append((level, text))

    @property
    def path(self) -> str | None:
        """The open headings joined by " > ", or None before the first."""
        return " > ".join(text for _, text in self._open) or None
