"""Parquet, Feather and Arrow files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from barbule.io.bounds.arrow_messages import check_file, check_stream
from barbule.io.bounds.extent import Extent
from barbule.io.bounds.parquet_pages import open_parquet
from barbule.io.bounds.repeated_values import spread
from barbule.io.containment import DataSetRoot, contained_media
from barbule.tables.sources.arrow_streams import MAX_READ_ROWS, empty_table, rechunked
from barbule.tables.sources.target import Chunk

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    import pyarrow as pa

    from barbule.io.input_files import File

__all__ = ["read_feather", "read_parquet"]

_OUTSIDE_HINT = (
    "If you trust the file, insert read_parquet(…, root=folder) with a folder that contains it."
)


def read_parquet(file: File, size: int) -> Generator[Chunk]:
    """Read a Parquet file, batch by batch."""
    import pyarrow as pa

    with open_parquet(file) as opened:
        schema = opened.file.schema_arrow
        yield Chunk(empty_table(schema), origin=file.label)
        read = opened.batches(min(size, MAX_READ_ROWS))
        batches = (pa.Table.from_batches([batch], schema) for batch in read)
        yield from _valid_chunks(batches, file, size)


def read_feather(file: File, size: int) -> Generator[Chunk]:
    """Read an Arrow file (Feather version 2) or stream."""
    import pyarrow as pa

    with file.open() as stream:
        extent = Extent(stream.size(), file.label)
        start = stream.read(6)
        stream.seek(0)
        if start == b"ARROW1":
            opened = pa.ipc.open_file(stream)
            schema, batches = opened.schema, _file_batches(opened, stream, extent)
        else:
            for _ in check_stream(stream, extent):
                pass
            stream.seek(0)
            opened = pa.ipc.open_stream(stream)
            schema, batches = opened.schema, iter(opened)
        yield Chunk(empty_table(schema), origin=file.label)
        tables = (pa.Table.from_batches([batch], schema) for batch in batches)
        yield from _valid_chunks(_counted(tables, extent), file, size)


def _file_batches(
    opened: pa.ipc.RecordBatchFileReader, stream: pa.NativeFile, extent: Extent
) -> Iterator[pa.RecordBatch]:
    for position, _ in enumerate(check_file(stream, extent)):
        yield opened.get_batch(position)


def _counted(tables: Iterable[pa.Table], extent: Extent) -> Iterator[pa.Table]:
    for rows in tables:
        extent.add(decoded=spread(rows).total)
        yield rows


def _valid_chunks(tables: Iterator[pa.Table], file: File, size: int) -> Generator[Chunk]:
    root = DataSetRoot.of(file, hint=_OUTSIDE_HINT)
    for rows in rechunked(tables, size):
        rows.validate(full=True)  # among others, strings that are not UTF-8
        yield Chunk(contained_media(rows, root), origin=file.label)
