"""Documents in live rows whose reader is not installed.

Owns their search by file extension. The content of a file is looked at only if its extension is
unknown; nothing is downloaded.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from barbule.backends.base import FOREVER, TO
from barbule.errors import MediaError, StoreError
from barbule.executor.search.row_states import row_states
from barbule.extensions import READERS, extension_names
from barbule.types import declaration, holds_media
from barbule.values.cells import cell_media

if TYPE_CHECKING:
    from collections.abc import Iterator

    from barbule.catalog.records import Column, TableRecord
    from barbule.executor.engine import Engine

__all__ = ["DocumentCheck", "documents_without_reader"]

_BATCH_ROWS = 16_384


@dataclass(frozen=True)
class DocumentCheck:
    """The documents of one column with one file extension, for which no reader is installed.

    Attributes
    ----------
    extension
        The file extension without its dot.
    files
        The number of different files in live rows.
    package
        The package that has read such files for the database; None if none has.
    """

    table: str
    column: str
    extension: str
    files: int
    package: str | None = None

    def __str__(self) -> str:
        files = "1 file" if self.files == 1 else f"{self.files} files"
        read = f"; {self.package} has read them" if self.package else ""
        return (
            f"{self.table}, column {self.column!r}: {files} with the extension "
            f".{self.extension}, for which no reader is installed{read}"
        )


def documents_without_reader(engine: Engine) -> tuple[DocumentCheck, ...]:
    """Find the documents whose reader is not installed, by table, column and file extension."""
    former = engine.catalog.metadata.identity.readers
    return tuple(
        DocumentCheck(record.name, column.name, extension, files, former.get(extension))
        for record in engine.catalog.tables()
        for column in record.columns
        if column.kind != "virtual" and holds_media(column.dtype)
        for extension, files in sorted(_extensions(engine, record, column).items())
    )


def _extensions(engine: Engine, record: TableRecord, column: Column) -> Counter[str]:
    """Count the files of a column by their extension, if it has no reader."""
    from barbule.media.documents import is_open_extension

    former = engine.catalog.metadata.identity.readers.keys() - set(extension_names(READERS))
    missing = {extension for extension in former if is_open_extension(f".{extension}")}
    return Counter(
        extension
        for reference in set(_documents(engine, record, column))
        if (extension := _extension_of(reference))
        and (extension in missing or _needs_reader(engine, reference, extension))
    )


def _documents(engine: Engine, record: TableRecord, column: Column) -> Iterator[str]:
    rows = row_states(engine.backend, record)
    cells = rows.filter(rows[TO] == FOREVER, rows[column.physical].notnull())
    for batch in engine.backend.batches(cells.select(column.physical), {}, _BATCH_ROWS):
        for cell in batch.column(0).to_pylist():
            for kind, reference in cell_media(cell, column.dtype):
                if declaration(kind).modality == "document":
                    yield reference


def _extension_of(reference: str) -> str:
    path = urlsplit(reference).path if "://" in reference else reference
    return Path(path).suffix.lower().removeprefix(".")


def _needs_reader(engine: Engine, reference: str, extension: str) -> bool:
    from barbule.media.documents import is_unknown_extension, needs_reader

    library = engine.library
    if not is_unknown_extension(f".{extension}") or not library.is_lasting(reference):
        return False
    try:
        return needs_reader(library.path(reference))
    except (MediaError, StoreError):  # a missing file is reported elsewhere
        return False
