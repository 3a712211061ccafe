"""The number of cells of a spreadsheet, before they are read.

The reader of sheets allocates the rectangle from the first cell to the last, and a copy of shared
text for each cell: two distant cells, or many that share a long text, would crash the process. Owns
the count of both; `spreadsheets` reads the cells.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from barbule.media.read_limits import check_limit, limit_of

if TYPE_CHECKING:
    import zipfile

__all__ = ["refuse_extent"]

_CELL_REFERENCE = re.compile(rb"""\sr\s*+=\s*+["']([A-Za-z]{1,3})([0-9]{1,7})""")
_ROW_REFERENCE = re.compile(rb"""\sr\s*+=\s*+["']([0-9]{1,7})""")
_CELL = re.compile(rb"<(?:\w++:)?c(?=[\s/>])")
_ROW = re.compile(rb"<(?:\w++:)?row(?=[\s/>])")
_VALUE = re.compile(rb"<(?:\w++:)?(?:v|is)(?=[\s/>])")
_NO_VALUE = re.compile(rb"<(?:\w++:)?v\s*+(?:/>|></)")
_FORMULA = re.compile(rb"<(?:\w++:)?f(?=[\s/>])")
_STRING = re.compile(rb"<(?:\w++:)?si(?=[\s/>])")
_IS_SHARED = re.compile(rb"""\st\s*+=\s*+["']s["']""")
_NUMBER = re.compile(rb"v>\s*+([0-9]{1,9})")


def refuse_extent(archive: zipfile.ZipFile) -> None:
    """Refuse a spreadsheet with more cells or text than the limits.

    Regardless of the names of its parts: a workbook may name any of them as a sheet.

    Raises
    ------
    ExceededError
        If there are more.
    """
    text_lengths: list[int] = []
    cells = 0
    shared_texts: list[int] = []
    for part in archive.infolist():
        source = archive.read(part)
        text_lengths += map(len, _STRING.split(source)[1:])
        if _CELL.search(source) is not None:
            sheet = _Sheet(source)
            cells += sheet.extent
            check_limit("max_cells", cells)
            shared_texts += sheet.shared_texts
    if len(shared_texts) * max(text_lengths, default=0) > limit_of("max_text"):
        count = len(text_lengths)
        check_limit(
            "max_text", sum(text_lengths[number] for number in shared_texts if number < count)
        )


class _Sheet:
    """The cells of a sheet: the number that is allocated, and the shared texts that they hold.

    Cells with values form a rectangle. Formulas without values are put into separate rows, each as
    wide as the sheet.
    """

    def __init__(self, source: bytes) -> None:
        self.shared_texts: list[int] = []
        self._rows, self._columns = _NumberRange(), _NumberRange()
        self._formula_rows: set[int] = set()
        cells = _CELL.split(source)[1:]
        check_limit("max_cells", len(cells))
        if sum([self._count_cell(cell) for cell in cells]) < len(cells):
            self._count_unreferenced(source)
        self.extent = max(len(self._rows), len(self._formula_rows)) * len(self._columns)

    def _count_cell(self, cell: bytes) -> bool:
        """Count a cell with a reference; return False if it has none."""
        head = cell.partition(b">")[0]
        if _IS_SHARED.search(head) and (number := _NUMBER.search(cell)):
            self.shared_texts.append(int(number[1]))
        reference = _CELL_REFERENCE.search(head)
        if reference is None:
            return False
        row = int(reference[2])
        if len(_VALUE.findall(cell)) > len(_NO_VALUE.findall(cell)):
            self._rows.include(row)
        elif _FORMULA.search(cell):
            self._formula_rows.add(row)
        else:
            return True
        self._columns.include(_column_number(reference[1]))
        return True

    def _count_unreferenced(self, source: bytes) -> None:
        """Count cells without references, which follow each other, as rows without numbers do."""
        rows = _ROW.split(source)
        self._rows.include(1)
        self._columns.include(1)
        for row in rows:
            if reference := _ROW_REFERENCE.search(row.partition(b">")[0]):
                self._rows.include(int(reference[1]))
        self._rows.include(self._rows.last + len(rows) - 1)
        self._columns.include(self._columns.last + max(len(_CELL.findall(row)) for row in rows))


class _NumberRange:
    """From the first to the last of some numbers."""

    def __init__(self) -> None:
        self.first, self.last = 1 << 40, 0

    def include(self, number: int) -> None:
        self.first = min(self.first, number)
        self.last = max(self.last, number)

    def __len__(self) -> int:
        return max(0, self.last - self.first + 1)


def _column_number(letters: bytes) -> int:
    number = 0
    for code in letters.upper():
        number = number * 26 + code - ord("A") + 1
    return number
