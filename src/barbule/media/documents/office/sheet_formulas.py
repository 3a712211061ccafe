"""Formulas of spreadsheets without cached values, as written by programs that compute none.

Owns their cells, and which parts of a workbook have no cells. `spreadsheets` reads the cells.
"""

from __future__ import annotations

import posixpath
import re
import zipfile
from typing import TYPE_CHECKING

from barbule.media.documents.text.xml_text import parse_xml

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from xml.parsers import expat

__all__ = ["Formulas", "formulas_without_values"]

# The formulas of a sheet by row and column, both from 0.
Formulas = dict[tuple[int, int], str]

_WORKBOOK = "xl/workbook.xml"
_RELATIONSHIPS = "xl/_rels/workbook.xml.rels"
_NO_VALUE = re.compile(rb"(?:</f>|<f[^<>]*/>)\s*+(?:(?:<v\s*+/>|<v>\s*+</v>)\s*+)?</c>")
_CELL_REFERENCE = re.compile(r"([A-Z]{1,3})([0-9]{1,7})")
_PARTS_WITHOUT_CELLS = {
    "comments": ("xl/comments", "xl/threadedComments/"),
    "charts": ("xl/charts/chart", "xl/charts/chartEx"),
}
_DRAWING = "xl/drawings/drawing"


def formulas_without_values(path: Path) -> tuple[dict[str, Formulas], tuple[str, ...]]:
    """Return the formulas without values by the names of their sheets, and what is skipped.

    Parameters
    ----------
    path
        A file that is known to be a workbook.
    """
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        left_out = tuple(_left_out(archive, names))
        if not {_WORKBOOK, _RELATIONSHIPS} <= set(names):
            return {}, left_out
        targets, sheets = _Targets(), _Sheets()
        parse_xml(archive.read(_RELATIONSHIPS), targets)
        parse_xml(archive.read(_WORKBOOK), sheets)
        formulas_by_sheet: dict[str, Formulas] = {}
        for name, identifier in sheets.entries:
            part = posixpath.normpath(posixpath.join("/xl", targets.entries.get(identifier, "")))[
                1:
            ]
            source = archive.read(part) if part in names else b""
            if b"<f" in source and _NO_VALUE.search(source):
                cells = _Cells()
                parse_xml(source, cells)
                formulas_by_sheet[name] = cells.entries
        return formulas_by_sheet, left_out


def _left_out(archive: zipfile.ZipFile, names: list[str]) -> Iterator[str]:
    for content, prefixes in _PARTS_WITHOUT_CELLS.items():
        if any(name.startswith(prefixes) for name in names):
            yield content
    if any(name.startswith(_DRAWING) and b"<a:t>" in archive.read(name) for name in names):
        yield "text boxes"


class _Targets:
    """The parts that a workbook refers to."""

    encoding = None

    def __init__(self) -> None:
        self.entries: dict[str, str] = {}

    def attach(self, parser: expat.XMLParserType) -> None:
        parser.StartElementHandler = self._start

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if _local_name(tag) == "Relationship":
            self.entries[attributes.get("Id", "")] = attributes.get("Target", "")


class _Sheets:
    """The names of sheets, and the relationships to their parts."""

    encoding = None

    def __init__(self) -> None:
        self.entries: list[tuple[str, str]] = []

    def attach(self, parser: expat.XMLParserType) -> None:
        parser.StartElementHandler = self._start

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if _local_name(tag) == "sheet":
            identifier = next(
                (value for key, value in attributes.items() if key.endswith(":id")), ""
            )
            self.entries.append((attributes.get("name", ""), identifier))


class _Cells:
    """The formulas without values of a sheet."""

    encoding = None

    def __init__(self) -> None:
        self.entries: Formulas = {}
        self._shared_formulas: dict[str, str] = {}
        self._texts: dict[str, list[str]] = {}
        self._cell: dict[str, str] = {}
        self._formula: dict[str, str] = {}
        self._open: str | None = None

    def attach(self, parser: expat.XMLParserType) -> None:
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        name = _local_name(tag)
        if name == "c":
            self._cell, self._texts = attributes, {}
        elif name in {"f", "v"}:
            self._open = name
            self._texts[name] = []
            if name == "f":
                self._formula = attributes

    def _characters(self, text: str) -> None:
        if self._open:
            self._texts[self._open].append(text)

    def _end(self, tag: str) -> None:
        name = _local_name(tag)
        if name in {"f", "v"}:
            self._open = None
        elif name == "c" and "f" in self._texts:
            self._add()

    def _add(self) -> None:
        text = "".join(self._texts["f"]).strip()
        shared_index = self._formula.get("si")
        if shared_index is not None:
            text = self._shared_formulas.setdefault(shared_index, text) or text
        # A text may have an empty value.
        has_value = "".join(self._texts.get("v", ())).strip() or self._cell.get("t") == "str"
        reference = _CELL_REFERENCE.fullmatch(self._cell.get("r", ""))
        if text and reference and not has_value:
            column = 0
            for letter in reference[1]:
                column = column * 26 + ord(letter) - ord("A") + 1
            self.entries[int(reference[2]) - 1, column - 1] = f"={text}"


def _local_name(tag: str) -> str:
    return tag.rsplit(":", 1)[-1]
