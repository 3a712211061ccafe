"""Markdown tables in GitHub's syntax: a row of names, a row of dashes, rows of cells.

Owns which lines of a block are a table, and where its cells end. Must not read the markup in
the cells.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from barbule.media.documents.blocks import Rows
    from barbule.media.read_limits import Tally

__all__ = ["Table", "find_tables"]

_DELIMITER_ROW = re.compile(r" {0,3}\|?(?:[ \t]*+:?+-++:?+[ \t]*+(?:\||$))++[ \t]*+$")
_CELL_END = re.compile(r"(?<!\\)\|")
# The start of another block ends a table: a quote, a list item, a heading, HTML, code.
_OTHER_BLOCK = re.compile(r" {0,3}(?:>|[-+*][ \t]|\d{1,9}[.)][ \t]|<|```|~~~|#{1,6}[ \t])|    |\t")


class Table(NamedTuple):
    """A table among the lines of a block.

    Parameters
    ----------
    first, last
        Its lines: from the first up to, but excluding, the last.
    rows
        Its cells, row by row; the first row contains the column names.
    """

    first: int
    last: int
    rows: Rows


def find_tables(source: str, tally: Tally | None = None) -> Sequence[Table]:
    r"""Find the tables in a block of Markdown, which has no blank lines.

    Parameters
    ----------
    source
        The block.
    tally
        Counts the cells: a row of one sign has as many as the names above it.

    Examples
    --------
    >>> find_tables("Birds:\n| bird | hooks |\n|---|--:|\n| jay | many |")
    [Table(first=1, last=4, rows=(('bird', 'hooks'), ('jay', 'many')))]
    """
    if "|" not in source or "-" not in source or "\n" not in source:
        return []
    lines = source.split("\n")
    tables: list[Table] = []
    index = 1
    while index < len(lines):
        header_line = lines[index - 1]
        is_delimiter = "|" in lines[index] and _DELIMITER_ROW.match(lines[index])
        if not is_delimiter or _OTHER_BLOCK.match(header_line):
            index += 1
            continue
        header = _cells(header_line)
        if len(header) != len(_cells(lines[index])):
            index += 1
            continue
        last = index + 1
        while last < len(lines) and not _OTHER_BLOCK.match(lines[last]):
            last += 1
        if tally is not None:
            tally.add(len(header) * (last - index))
        rows = (_cells(line) for line in lines[index + 1 : last])
        padded_rows = (tuple((*row, *[""] * len(header))[: len(header)]) for row in rows)
        tables.append(Table(index - 1, last, (tuple(header), *padded_rows)))
        index = last + 1
    return tables


def _cells(line: str) -> list[str]:
    inner = line.strip().removeprefix("|")
    cells = _CELL_END.split(inner)
    if len(cells) > 1 and not cells[-1].strip():
        cells.pop()
    return [cell.replace("\\|", "|").strip() for cell in cells]
