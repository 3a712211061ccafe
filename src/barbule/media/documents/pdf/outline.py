"""The outline of a PDF: its headings, and the lines of text that they match.

Owns how a line is matched with an entry. Must be called only by `pdf`, which calls PDFium from one
thread at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument

    from barbule.media.documents.pdf.paragraphs import Line

__all__ = ["OutlineEntry", "entry_index", "mark_headings", "read_outline"]

_MAX_OUTLINE_DEPTH = 6


class OutlineEntry(NamedTuple):
    """A heading of the outline."""

    level: int
    title: str
    letters: str


def read_outline(document: PdfDocument) -> dict[int, list[OutlineEntry]]:
    """Return the headings of the outline by their pages, from 1."""
    entries_by_page: dict[int, list[OutlineEntry]] = {}
    for bookmark in document.get_toc(max_depth=_MAX_OUTLINE_DEPTH):
        title = " ".join(bookmark.get_title().split())
        target = bookmark.get_dest()
        index = target.get_index() if target is not None else None
        if letters := _letters(title):
            page = 0 if index is None else index + 1
            entries_by_page.setdefault(page, []).append(
                OutlineEntry(bookmark.level + 1, title, letters)
            )
    return entries_by_page


def mark_headings(lines: list[Line], entries: list[OutlineEntry]) -> list[Line]:
    """Return lines of a page, with headings as separate paragraphs."""
    return [
        line._replace(standalone=True) if entry_index(line.text, entries) is not None else line
        for line in lines
    ]


def entry_index(text: str, entries: list[OutlineEntry]) -> int | None:
    """Find the heading that a line matches, with or without the number before it."""
    if len(text) > 2 * max(len(entry.title) for entry in entries) + 12:
        return None
    letters = _letters(text)
    for index, entry in enumerate(entries):
        if letters.endswith(entry.letters) and len(letters) <= len(entry.letters) + 6:
            return index
    return None


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text)).lower()
