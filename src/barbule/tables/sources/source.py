"""The dispatch over all sources of an insert, each read in chunks.

Owns the reading of records and Arrow streams; data frames, files and expressions have their own
modules.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeVar

import ibis.expr.types as ir

from barbule.errors import BarbuleError, DataError, with_article
from barbule.io.lazy_rows import Rows
from barbule.tables.sources.arrow_streams import MAX_READ_ROWS, empty_table, rechunked
from barbule.tables.sources.data_frames import read_array, read_pandas, read_polars
from barbule.tables.sources.expressions import spooled
from barbule.tables.sources.files import is_file_name, read_files
from barbule.tables.sources.records import is_record
from barbule.tables.sources.target import Chunk
from barbule.types.inference.frame_schemas import series_hint

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from barbule.tables.arguments import RowSource
    from barbule.tables.sources.target import Target

__all__ = ["as_rows", "open_source"]

SourceT = TypeVar("SourceT")

_MAX_CHUNK_BYTES = 64 << 20  # bytes of media in rows, before they go into the store


def open_source(source: RowSource, target: Target, size: int) -> Iterator[Chunk]:
    """Read a source in chunks of at most `size` rows.

    Raises
    ------
    DataError
        If it cannot be inserted, or has columns that the table does not have.

    Examples
    --------
    >>> import ibis
    >>> from barbule.tables.sources.target import Target
    >>> target = Target(ibis.schema({"n": "int64"}), "t", None, {})
    >>> [chunk.rows for chunk in open_source([{"n": 1}, {"n": 2}], target, 1)]
    [[{'n': 1}], [{'n': 2}]]
    """
    if isinstance(source, str | os.PathLike):
        return read_files([source], target, size)
    if isinstance(source, list | tuple) and source and all(map(is_file_name, source)):
        return read_files(source, target, size)
    if isinstance(source, Mapping) or is_record(source):
        return _from_list([source], target, size)
    if isinstance(source, list | tuple):
        return _from_list(source, target, size)
    if isinstance(source, ir.Table):
        return _from_arrow(spooled(source, size), size)
    source = as_rows(source)
    if isinstance(source, Rows):
        return _from_rows(source, size)
    frames = _from_frames(source, target, size)
    if frames is not None:
        return frames
    if (stream := _arrow_stream(source, size)) is not None:
        return _from_arrow(stream, size)
    other_types = type | AbstractSet | bytes | bytearray | memoryview | ir.Expr
    if isinstance(source, Iterable) and not isinstance(source, other_types):
        return _from_iterable(source, target, size)
    raise DataError(
        f"{with_article(type(source).__name__)} cannot be inserted.",
        table=target.table,
        hint="Insert dicts, a list of dicts, a pandas or polars data frame, an Arrow table, "
        "the path of a file or an Ibis expression.",
    )


def as_rows(source: SourceT) -> SourceT | Rows:
    """Convert a data set of another library to `Rows`; return all else unchanged."""
    if type(source).__module__.split(".")[0] != "datasets":
        return source
    from barbule.io.formats.huggingface import is_dataset, read_huggingface

    return read_huggingface(source) if is_dataset(source) else source


def _from_rows(source: Rows, size: int) -> Iterator[Chunk]:
    """Read the rows of a data set; rows that carry their media in small batches."""
    for origin, group in itertools.groupby(source.with_origins(), key=itemgetter(0)):
        rows: list[dict[str, Any]] = []
        size_in_bytes = 0
        for _, row in group:
            rows.append(row)
            size_in_bytes += sum(map(_byte_size, row.values()))
            if len(rows) >= size or size_in_bytes > _MAX_CHUNK_BYTES:
                yield Chunk(rows, source.form, origin=origin)
                rows, size_in_bytes = [], 0
        if rows:
            yield Chunk(rows, source.form, origin=origin)


def _byte_size(value: object) -> int:
    """Return the bytes of a value that may be large; 0 for others."""
    if isinstance(value, bytes):
        return len(value)
    if isinstance(value, dict):
        return sum(map(_byte_size, value.values()))
    if hasattr(value, "size") and hasattr(value, "getbands"):
        return int(value.size[0] * value.size[1] * len(value.getbands()))
    return int(getattr(value, "nbytes", 0))


def _from_frames(source: object, target: Target, size: int) -> Iterator[Chunk] | None:
    """Read a data frame or array of a library that is loaded; None for other sources."""
    if hint := series_hint(source):
        name = type(source).__name__
        raise DataError(
            f"this {name} is a single column, not a table.", table=target.table, hint=hint
        )
    pandas, polars, numpy = (sys.modules.get(name) for name in ("pandas", "polars", "numpy"))
    if pandas is not None and isinstance(source, pandas.DataFrame):
        return read_pandas(source, target, size)
    if polars is not None and isinstance(source, polars.DataFrame | polars.LazyFrame):
        return _from_arrow(read_polars(source, size), size)
    if numpy is not None and isinstance(source, numpy.ndarray):
        return read_array(source, target, size)
    return None


def _from_list(rows: Sequence[Any], target: Target, size: int) -> Iterator[Chunk]:
    # The keys of all records before the values of any: a misspelt key is reported at once.
    keys = target.check_keys(rows) if set(map(type, rows)) == {dict} else None
    for start in range(0, len(rows), size):
        yield Chunk(rows[start : start + size], "records", keys=keys)


def _from_iterable(source: Iterable[Any], target: Target, size: int) -> Iterator[Chunk]:
    """Read records, Arrow tables or data frames from an iterable."""
    rows = _with_row_notes(source, target)
    for first in rows:
        if isinstance(first, Mapping) or is_record(first) or not _is_tabular(first):
            count = min(size, MAX_READ_ROWS) - 1  # records need much more memory than values
            yield Chunk([first, *itertools.islice(rows, count)], "records")
        else:
            yield from open_source(first, target, size)


def _is_tabular(value: object) -> bool:
    exported = hasattr(value, "__arrow_c_stream__") or hasattr(value, "__arrow_c_array__")
    return exported and not isinstance(value, type)


def _with_row_notes(source: Iterable[Any], target: Target) -> Iterator[Any]:
    """Iterate over a source; errors of the source get a note with the row."""
    row = -1
    rows = iter(source)
    while True:
        row += 1
        try:
            item = next(rows)
        except StopIteration:
            return
        except Exception as error:
            error.add_note(
                f"This was raised by the source of an insert into table {target.table!r}, while "
                f"it produced row {row}; nothing was inserted."
            )
            raise
        yield item


def _arrow_stream(source: object, size: int) -> Iterator[pa.Table] | None:
    """Return the Arrow tables of a source; None if it has none."""
    import pyarrow as pa

    if isinstance(source, type):
        return None
    if isinstance(source, pa.Table):
        return iter([source])
    if isinstance(source, pa.RecordBatch):
        return iter([pa.Table.from_batches([source])])
    if isinstance(source, pa.RecordBatchReader):
        return _reader_tables(source)
    if type(source).__module__ == "pyarrow._dataset":
        return _reader_tables(_dataset_reader(source, size))
    try:
        if hasattr(source, "__arrow_c_stream__"):
            return _reader_tables(pa.RecordBatchReader.from_stream(source))
        if hasattr(source, "__arrow_c_array__"):
            return iter([pa.Table.from_batches([pa.record_batch(source)])])
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise DataError(
            f"{with_article(type(source).__name__)} cannot be read as a table: {error}.",
            hint="Insert a table with named columns.",
        ) from error
    return None


def _dataset_reader(
    source: pa.dataset.Dataset | pa.dataset.Scanner, size: int
) -> pa.RecordBatchReader:
    if not hasattr(source, "scanner"):
        return source.to_reader()  # it is already a scanner
    # Little read-ahead, so that memory stays bounded.
    scanner = source.scanner(
        batch_size=min(size, MAX_READ_ROWS), batch_readahead=4, fragment_readahead=1
    )
    return scanner.to_reader()


def _reader_tables(reader: pa.RecordBatchReader) -> Iterator[pa.Table]:
    import pyarrow as pa

    yield empty_table(reader.schema)  # its columns are known even if it has no rows
    try:
        for batch in reader:
            yield pa.Table.from_batches([batch], reader.schema)
    except BarbuleError:
        raise
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"the Arrow data cannot be read: {error}.", hint="Check the source of the data."
        ) from error


def _from_arrow(tables: Iterator[pa.Table], size: int) -> Iterator[Chunk]:
    for rows in rechunked(tables, size):
        yield Chunk(rows)
