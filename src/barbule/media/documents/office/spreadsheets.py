"""The readers for table files: CSV and spreadsheets.

Owns how rows become text that is readable without the rest of the table: if the first row contains
column names, each row includes them.
"""

from __future__ import annotations

import csv
import datetime
import io
import re
from typing import TYPE_CHECKING, Any

from barbule.media.documents.blocks import Block, DocumentText
from barbule.media.documents.office.sheet_formulas import formulas_without_values
from barbule.media.documents.text.plain_text import decode, read_text
from barbule.media.read_limits import Tally

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from barbule.media.documents.office.sheet_formulas import Formulas

__all__ = ["read_csv", "read_xlsx"]

_SAMPLE_CHARACTERS = 16_384
_DELIMITERS = ",;\t|"
# The line in which files declare their separator for Excel.
_SEPARATOR = re.compile(r'"?sep=([^\n"])"?[ \t]*(?:\n|\Z)', re.IGNORECASE)
_NUMBER = re.compile(r"[-+]?[\d.,]*\d\s*%?|")


def read_csv(data: bytes, encoding: str | None = None) -> DocumentText:
    r"""Read a table of separated values; each row is a block.

    Parameters
    ----------
    data
        The bytes of the file; commas, semicolons, tabs or bars between its values.
    encoding
        Its encoding; None detects it.

    Returns
    -------
    DocumentText
        Rows with their line numbers. Content that cannot be read as a table is text.

    Examples
    --------
    >>> [block.text for block in read_csv(b"name,revenue\nUp,735.1\n").blocks]
    ['name | revenue', 'name: Up | revenue: 735.1']
    """
    text = decode(data, encoding, None)
    separator_line = _SEPARATOR.match(text)
    lines_before = 1 if separator_line else 0
    body = text[separator_line.end() :] if separator_line else text
    sample = body[:_SAMPLE_CHARACTERS]
    reader = csv.reader(
        io.StringIO(body),
        _separator_dialect(separator_line[1]) if separator_line else _dialect(sample),
    )
    rows: list[tuple[str, ...]] = []
    lines: list[int] = []
    skipped = lines_before
    try:
        for row in reader:
            if cells := _trim_row(" ".join(cell.split()) for cell in row):
                rows.append(cells)
                lines.append(lines_before + 1)
            lines_before = skipped + reader.line_num
    except csv.Error:
        return read_text(data, encoding)
    blocks = [
        Block(text, None, None, line, (row,))
        for text, line, row in zip(_row_texts(rows), lines, rows, strict=True)
    ]
    return DocumentText(None, tuple(blocks))


def _separator_dialect(separator: str) -> type[csv.Dialect]:
    """Return the dialect of a file that declares its separator."""

    class Dialect(csv.excel):
        delimiter = separator

    return Dialect


def _dialect(sample: str) -> type[csv.Dialect]:
    try:
        return csv.Sniffer().sniff(sample[: sample.rfind("\n") + 1] or sample, _DELIMITERS)
    except csv.Error:
        return csv.excel


def _trim_row(cells: Iterable[str]) -> tuple[str, ...]:
    """Return a row without the empty cells at its end."""
    row = list(cells)
    while row and not row[-1]:
        row.pop()
    return tuple(row)


def _row_texts(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Write rows as text, with column names if the first row is a header."""
    names = rows[0] if rows and _is_header(rows) else None
    tally = Tally("max_text")  # a long name is repeated in each row
    for text in _join_cells(rows, names):
        tally.add(len(text))
        yield text


def _join_cells(rows: Sequence[Sequence[str]], names: Sequence[str] | None) -> Iterator[str]:
    for index, row in enumerate(rows):
        if names is None or not index:
            yield " | ".join(row)
        else:
            named_cells = zip(names, row, strict=False)
            unnamed_cells = row[len(names) :]
            yield " | ".join(
                [*(f"{name}: {cell}" for name, cell in named_cells if cell), *unnamed_cells]
            )


def _is_header(rows: Sequence[Sequence[str]]) -> bool:
    first = rows[0]
    are_names = len(first) > 1 and all(first) and len(set(first)) == len(first)
    return are_names and len(rows) > 1 and not any(map(_NUMBER.fullmatch, first))


def read_xlsx(path: Path) -> DocumentText:
    """Read a spreadsheet: its sheets are pages, their names headings, each row is a block.

    Parameters
    ----------
    path
        The file. Cached values of formulas are read; a formula without one is read as its text.

    Returns
    -------
    DocumentText
        Hidden sheets are read too. The title is that of its properties.
    """
    from python_calamine import CalamineError, load_workbook

    blocks: list[Block] = []
    number = 0
    formulas, left_out = formulas_without_values(path)
    try:
        with load_workbook(str(path)) as workbook:
            for number, name in enumerate(workbook.sheet_names, start=1):
                sheet = workbook.get_sheet_by_name(name)
                cells = sheet.to_python(skip_empty_area=True)
                if name in formulas:
                    cells = _with_formulas(cells, sheet.start or (0, 0), formulas[name])
                rows = [trimmed for row in cells if (trimmed := _trim_row(map(_cell_text, row)))]
                blocks.extend(
                    Block(text, number, name, None, (row,))
                    for text, row in zip(_row_texts(rows), rows, strict=True)
                )
    except CalamineError as error:
        raise ValueError(str(error)) from error
    return DocumentText(None, tuple(blocks), pages=number, left_out=left_out)


def _with_formulas(
    cells: list[list[Any]], start: tuple[int, int], formulas: Formulas
) -> list[list[Any]]:
    """Insert formulas into the cells of a sheet, whose first cell is at `start`."""
    rows = {start[0] + index: row for index, row in enumerate(cells)}
    # Cells to the left of all others: each row gets this many in front.
    first_column = min([start[1], *(column for _, column in formulas)])
    if first_column < start[1]:
        rows = {number: [""] * (start[1] - first_column) + row for number, row in rows.items()}
    for (number, column), formula in formulas.items():
        row = rows.setdefault(number, [])
        row.extend([""] * (column - first_column + 1 - len(row)))
        row[column - first_column] = formula
    return [rows[number] for number in sorted(rows)]


def _cell_text(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, datetime.datetime) and value.time() == datetime.time():
        value = value.date()
    if isinstance(value, datetime.datetime):
        return value.isoformat(" ")
    return " ".join(str(value).split())
