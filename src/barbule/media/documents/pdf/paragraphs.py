"""How the lines of a page become paragraphs.

Owns which lines are joined, and the words that a hyphen splits. Must not know where the lines come
from.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from barbule.media.documents.blocks import Sides

__all__ = ["LINE_HYPHEN", "Line", "Paragraph", "paragraphs", "words_of"]

# The sign for a hyphen at the end of a line, whose line break PDFium drops.
LINE_HYPHEN = "\ufffe"
_SOFT_HYPHEN = "\u00ad"
_HYPHENATED = re.compile(rf"(?<![\w-])([\w-]++)(?:{LINE_HYPHEN}|\u00ad)([\w-]++)(\S*+) ?")
_WORD = re.compile(r"[\w-]+")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u00ad\ufffe\uffff]")
_BULLET = re.compile(r"[•◦▪‣·●○■–—*-]\s|\(?\d{1,3}[.)]\s|\[\d+\]\s")
_SENTENCE_ENDS = ".!?:;。！？」』…"
_FULL_WIDTH_SHARE = 0.7
_MIN_WIDTH = 40


class Line(NamedTuple):
    """A line of a page.

    Parameters
    ----------
    text
        Its text; a hyphen that PDFium found at the end of a line is `LINE_HYPHEN`.
    box
        Its position: the sides of its box.
    alone
        Whether it is a separate paragraph, as headings and rows of tables are.
    """

    text: str
    box: Sides | None = None
    standalone: bool = False


class Paragraph(NamedTuple):
    """Consecutive lines: their text, and where each of them starts in it."""

    text: str
    boxes: tuple[tuple[int, Sides], ...] = ()


def words_of(texts: Iterable[str]) -> frozenset[str]:
    """Return the words of a document, which decide about a hyphen at the end of a line.

    It is empty if no line ends with one.
    """
    text = "\n".join(texts)
    if LINE_HYPHEN not in text and _SOFT_HYPHEN not in text:
        return frozenset()
    return frozenset(_WORD.findall(text.lower()))


def paragraphs(lines: Iterable[Line], words: frozenset[str]) -> Iterator[Paragraph]:
    """Join the lines of a page that belong together.

    There are no blank lines between paragraphs, so a line that is much shorter than the page's
    other lines ends one. Words that were hyphenated at the end of a line are joined, unless the
    document writes them with a hyphen elsewhere.
    """
    clean = list(_clean_lines(lines, words))
    if not clean:
        return
    widths = [_width(line.text) for line in clean]
    full = _FULL_WIDTH_SHARE * max(sorted(widths)[int(len(widths) * 0.9)], _MIN_WIDTH)
    first = 0
    for index in range(1, len(clean)):
        if not _continues(clean[index - 1], clean[index], full=widths[index - 1] >= full):
            yield _join_lines(clean[first:index])
            first = index
    yield _join_lines(clean[first:])


def _clean_lines(lines: Iterable[Line], words: frozenset[str]) -> Iterator[Line]:
    for line in lines:
        raw, box, standalone = line
        if raw.isprintable():  # which hyphens at ends of lines are not
            # Checking whether there is anything to do takes less time than doing it.
            if raw and "  " not in raw and raw.strip(" ") == raw:
                yield line
            elif text := " ".join(raw.split()):
                yield Line(text, box, standalone)
            continue
        for part in _split_at_hyphens(raw, words):
            if text := " ".join(_CONTROL.sub("", part).split()):
                yield Line(text, box, standalone)


def _split_at_hyphens(text: str, words: frozenset[str]) -> Sequence[str]:
    if LINE_HYPHEN not in text and _SOFT_HYPHEN not in text:
        return (text,)
    return _HYPHENATED.sub(lambda match: _join_hyphenated(match, words), text).split("\n")


def _join_hyphenated(match: re.Match[str], words: frozenset[str]) -> str:
    """Decide whether the hyphen between two lines belongs to the word; break after the word."""
    left, right, tail = match.groups()
    joined, hyphenated = left + right, f"{left}-{right}"
    if joined.lower() in words:
        return f"{joined}{tail}\n"
    compound = "-" in right or "-" in left or not right[0].islower()
    keeps_hyphen = compound or hyphenated.lower() in words
    return f"{hyphenated if keeps_hyphen else joined}{tail}\n"


def _join_lines(lines: Sequence[Line]) -> Paragraph:
    if len(lines) == 1:
        line = lines[0]
        return Paragraph(line.text, ((0, line.box),) if line.box else ())
    parts: list[str] = []
    boxes: list[tuple[int, Sides]] = []
    offset = 0
    for text, box, _ in lines:
        if parts and (text[0].isascii() or not (_is_wide(parts[-1][-1]) and _is_wide(text[0]))):
            parts.append(" ")
            offset += 1
        if box:
            boxes.append((offset, box))
        parts.append(text)
        offset += len(text)
    return Paragraph("".join(parts), tuple(boxes))


def _continues(line: Line, following: Line, *, full: bool) -> bool:
    if line.standalone or following.standalone:
        return False
    first_character = following.text[0]
    if not first_character.isalpha() and _BULLET.match(following.text):
        return False
    return full or (first_character.islower() and line.text[-1] not in _SENTENCE_ENDS)


def _width(line: str) -> int:
    return len(line) if line.isascii() else len(line) + sum(map(_is_wide, line))


def _is_wide(char: str) -> bool:
    return unicodedata.east_asian_width(char) in {"W", "F"}
