"""`metadata.jsonl`, the metadata of the files of a folder, as in Hugging Face's ImageFolder.

Finds such files in a folder, and which file each of their lines describes.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt

from barbule.errors import DataError, SchemaError
from barbule.types import Json, infer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from barbule.io.containment import DataSetRoot

__all__ = ["FILE_NAME", "METADATA", "FolderMetadata"]

METADATA = "metadata.jsonl"
FILE_NAME = "file_name"


class FolderMetadata:
    r"""The records of the metadata files in a folder and its subfolders.

    Parameters
    ----------
    folder
        The folder; None for no records.
    containment
        Refuses files outside the folder.

    Raises
    ------
    DataError
        If a line is not a JSON object, or its file does not exist.

    Attributes
    ----------
    by_path
        The record of each file, by its absolute path.
    unassigned
        Records without a file.

    Examples
    --------
    >>> from pathlib import Path
    >>> Path("down.png").touch()
    >>> _ = Path("metadata.jsonl").write_text('{"file_name": "down.png", "hooks": 0}\n')
    >>> FolderMetadata(Path()).columns()
    {'hooks': Int64(nullable=True)}
    """

    def __init__(self, folder: Path | None, containment: DataSetRoot | None = None) -> None:
        self._containment = containment
        self.by_path: dict[str, dict[str, Any]] = {}
        self.unassigned: list[dict[str, Any]] = []
        if folder is not None:
            for file in sorted(folder.rglob(METADATA)):
                if not any(part.startswith(".") for part in file.relative_to(folder).parts):
                    self._read(file)

    def columns(self) -> Mapping[str, dt.DataType]:
        """Return the types of the columns: string if all values are missing, Json for mixtures."""
        records = [*self.by_path.values(), *self.unassigned]
        names = dict.fromkeys(name for record in records for name in record)
        return {name: _type_of([record.get(name) for record in records]) for name in names}

    def _read(self, file: Path) -> None:
        if self._containment is not None:
            self._containment.check(file)
        for line_number, data in enumerate(file.read_bytes().split(b"\n"), 1):
            try:
                line = data.decode()
            except UnicodeDecodeError as error:
                raise _invalid_line(file, line_number, "is not UTF-8") from error
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except json.JSONDecodeError as error:
                raise _invalid_line(file, line_number, f"is not valid JSON: {error}") from error
            if not isinstance(record, dict):
                raise _invalid_line(file, line_number, "is not a JSON object")
            name = record.pop(FILE_NAME, None)
            if name is None:
                self.unassigned.append(record)
                continue
            path = file.parent.absolute() / str(name)
            if self._containment is not None and "\0" not in str(name):
                self._containment.check(Path(os.path.normpath(path)))
            if not path.is_file():
                raise _invalid_line(file, line_number, f"describes {name!r}, which does not exist")
            self.by_path[os.path.normpath(path)] = record


def _type_of(values: list[Any]) -> dt.DataType:
    if all(value is None for value in values):
        return dt.string
    try:
        return infer([{"value": value} for value in values])["value"]
    except SchemaError:
        return Json()


def _invalid_line(file: Path, line: int, problem: str) -> DataError:
    return DataError(
        f"line {line} of {str(file)!r} {problem}.",
        hint=f'Each line must look like {{"{FILE_NAME}": "a.png", "label": 1}}.',
    )
