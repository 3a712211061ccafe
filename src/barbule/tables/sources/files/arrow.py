"""Parquet, Feather and Arrow files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from barbule.io.containment import DataSetRoot, contained_media
from barbule.tables.sources.arrow_streams import MAX_READ_ROWS, empty_table, rechunked
from barbule.tables.sources.target import Chunk

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    import pyarrow as pa

    from barbule.io.input_files import File

__all__ = ["read_feather", "read_parquet"]

_OUTSIDE_HINT = (
    "Insert read_parquet(…, root=folder) with a folder that holds it, if you trust the file."
)
_BUFFER_BYTES = 1 << 20  # bytes of a column that are read at a time


def read_parquet(file: File, size: int) -> Generator[Chunk]:
    """Read a Parquet file, batch by batch."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with (
        file.open() as stream,
        pq.ParquetFile(stream, buffer_size=_BUFFER_BYTES, pre_buffer=False) as opened,
    ):
        schema = opened.schema_arrow
        yield Chunk(empty_table(schema), origin=file.label)
        read = opened.iter_batches(min(size, MAX_READ_ROWS))
        batches = (pa.Table.from_batches([batch], schema) for batch in read)
        yield from _valid_chunks(batches, file, size)


def read_feather(file: File, size: int) -> Generator[Chunk]:
    """Read an Arrow file (Feather version 2) or stream."""
    import pyarrow as pa

    with file.open() as stream:
        start = stream.read(6)
        stream.seek(0)
        if start == b"ARROW1":
            opened = pa.ipc.open_file(stream)
            schema = opened.schema
            batches = (opened.get_batch(position) for position in range(opened.num_record_batches))
        else:
            opened = pa.ipc.open_stream(stream)
            schema, batches = opened.schema, iter(opened)
        yield Chunk(empty_table(schema), origin=file.label)
        tables = (pa.Table.from_batches([batch], schema) for batch in batches)
        yield from _valid_chunks(tables, file, size)


def _valid_chunks(tables: Iterator[pa.Table], file: File, size: int) -> Generator[Chunk]:
    root = DataSetRoot.of(file, hint=_OUTSIDE_HINT)
    for rows in rechunked(tables, size):
        rows.validate(full=True)  # texts that are no UTF-8, among others
        yield Chunk(contained_media(rows, root), origin=file.label)
