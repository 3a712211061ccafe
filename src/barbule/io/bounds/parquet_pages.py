"""The unpacked size of the pages of a Parquet file, read from their headers before any is unpacked.

Owns the reading of those headers, which use Thrift's compact protocol, and how many rows may be
read at once. The footer contains lengths, too; but a reader relies only on the headers, and a few
bytes may claim two billion values, or a page of two gigabytes.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from barbule.errors import DataError
from barbule.io.bounds.extent import Extent
from barbule.io.bounds.repeated_values import spread

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa
    import pyarrow.parquet as pq

    from barbule.io.input_files import File

__all__ = ["ParquetPages", "open_parquet"]

_BUFFER = 1 << 20  # bytes of a column that are read at once
_FOOTER = 8  # bytes: its length, and the format's magic
_BYTES_PER_ITEM = 4  # minimum size of a list item in the footer; unpacked it takes hundreds
_FEW_ITEMS = 1000
_HEADS = (1 << 9, 1 << 14, 1 << 24)  # bytes in which a header ends; it may contain a string
_PIECE = 16 << 20  # bytes of values that are read at once
_SHORT = 1000  # bytes of a dictionary up to which their distribution does not matter
_BEYOND = 100  # bytes after a column, which readers of old files treat as a part of it
_DICTIONARY = 2  # of the types of pages
_DATA = {0: 5, 3: 8}  # types of pages with values, and the fields that describe them
_ENCODING = {0: 2, 3: 4}  # and which of these fields is the encoding
_PREFIXES = 7  # the encoding in which values repeat prefixes of others
_NUMBER, _STRUCT = 5, 12  # of Thrift's types those that matter here
_LENGTH = 4  # bytes, before each string of a dictionary


@dataclass(frozen=True)
class ParquetPages:
    """An opened Parquet file.

    Attributes
    ----------
    file
        The file, as pyarrow reads it.
    """

    file: pq.ParquetFile
    _extent: Extent
    _most: int

    def batches(self, rows: int) -> Iterator[pa.RecordBatch]:
        """Yield the rows in batches of at most a number of rows, fewer if they are wide.

        Raises
        ------
        DataError
            If their values exceed the limits.
        """
        for batch in self.file.iter_batches(min(rows, self._most)):
            self._extent.add(decoded=spread(batch).total)
            yield batch


@contextlib.contextmanager
def open_parquet(file: File) -> Iterator[ParquetPages]:
    """Open a Parquet file whose pages stay within the limits.

    Raises
    ------
    DataError
        If they exceed the limits, or their headers are damaged.
    """
    import pyarrow.parquet as pq

    with file.open() as stream:
        size = stream.size()
        items = max(_FEW_ITEMS, _footer(stream, size) // _BYTES_PER_ITEM)
        options = {"buffer_size": _BUFFER, "pre_buffer": False}
        with pq.ParquetFile(stream, thrift_container_size_limit=items, **options) as opened:
            extent = Extent(size, file.label)
            yield ParquetPages(opened, extent, _rows_at_a_time(opened, stream, extent, file.label))


def _footer(stream: pa.NativeFile, size: int) -> int:
    """Return the length of the footer; at most that of the file."""
    if size < _FOOTER:
        return 0
    stream.seek(size - _FOOTER)
    length = int.from_bytes(stream.read(4), "little")
    stream.seek(0)
    return min(length, size)


@dataclass
class _Chunk:
    """One column in one row group.

    Attributes
    ----------
    values
        The number of values in its pages, including missing ones.
    unpacked
        Bytes of its pages.
    widest
        Maximum bytes of one of its values, if values can be repeated; else 0.
    """

    values: int = 0
    unpacked: int = 0
    widest: int = 0


def _rows_at_a_time(
    opened: pq.ParquetFile, stream: pa.NativeFile, extent: Extent, label: str
) -> int:
    metadata = opened.metadata
    extent.add(values=metadata.num_rows)
    columns = [opened.schema.column(index) for index in range(metadata.num_columns)]
    fewest = 1 << 30
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        widest = unpacked = 0
        for index, column in enumerate(columns):
            chunk = _chunk(group.column(index), column, stream, extent, label)
            unpacked += chunk.unpacked
            if column.max_repetition_level:
                extent.refuse_repeated(chunk.values * chunk.widest)
            else:
                widest += chunk.widest
        row_bytes = max(widest, unpacked // max(1, group.num_rows), 1)
        fewest = min(fewest, max(1, _PIECE // row_bytes))
    return fewest


def _chunk(
    column_chunk: Any, column: Any, stream: pa.NativeFile, extent: Extent, label: str
) -> _Chunk:
    chunk = _Chunk()
    if column.physical_type == "FIXED_LEN_BYTE_ARRAY":
        chunk.widest = column.length
    texts = column.physical_type == "BYTE_ARRAY"
    for page in _pages(column_chunk, stream, label):
        extent.add(values=page.values, unpacked=page.unpacked)
        chunk.values += page.values
        chunk.unpacked += page.unpacked
        if texts and page.encoding == _PREFIXES:
            chunk.widest = max(chunk.widest, chunk.unpacked)
        elif texts and page.kind == _DICTIONARY:
            long = page.unpacked > _SHORT
            widest = _widest(stream, page, column_chunk.compression) if long else page.unpacked
            chunk.widest = max(chunk.widest, widest)
    return chunk


class _Page(NamedTuple):
    kind: int
    values: int
    encoding: int
    unpacked: int
    packed: int
    position: int

    @classmethod
    def of(cls, head: dict[int, Any], position: int) -> _Page:
        """Create it from a header; `place` is the position after it."""
        kind, values, encoding = head[1], 0, 0
        if kind in _DATA:
            inner = head[_DATA[kind]]
            values, encoding = inner[1], inner[_ENCODING[kind]]
        page = cls(kind, values, encoding, head[2], head[3], position)
        if min(page.values, page.unpacked, page.packed) < 0:
            raise ValueError(page)
        return page


def _pages(column_chunk: Any, stream: pa.NativeFile, label: str) -> Iterator[_Page]:
    """Yield the pages that a reader reads: until all values are read."""
    position = column_chunk.data_page_offset
    first = column_chunk.dictionary_page_offset
    if column_chunk.has_dictionary_page and first is not None and 0 < first < position:
        position = first
    end = position + column_chunk.total_compressed_size + _BEYOND
    values = 0
    while values < column_chunk.num_values and position < end:
        try:
            page = _Page.of(*_header(stream, position, end))
        except (LookupError, TypeError, ValueError, RecursionError) as error:
            raise _damaged(label) from error
        values += page.values
        position = page.position + page.packed
        yield page


def _header(stream: pa.NativeFile, position: int, end: int) -> tuple[dict[int, Any], int]:
    for most in _HEADS:
        stream.seek(position)
        data = stream.read(min(most, end - position))
        reader = _Compact(data)
        try:
            return reader.struct(), position + reader.position
        except IndexError:
            if len(data) < most:
                raise
    raise ValueError(position)


class _Compact:
    """Reads a struct in Thrift's compact protocol: its 32-bit numbers, and nested structs."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.position = 0

    def struct(self) -> dict[int, Any]:
        fields: dict[int, Any] = {}
        number = 0
        while head := self._byte():
            kind = head & 15
            number = number + (head >> 4) if head >> 4 else self._zigzag()
            value = self._value(kind)
            if kind in {_NUMBER, _STRUCT}:
                fields[number] = value
        return fields

    def _byte(self) -> int:
        self.position += 1
        return self._data[self.position - 1]

    def _varint(self) -> int:
        number = shift = 0
        while True:
            byte = self._byte()
            number |= (byte & 127) << shift
            if byte < 128:  # noqa: PLR2004 - which says that another follows
                return number
            shift += 7
            if shift > 63:  # noqa: PLR2004 - of bits of a number
                raise ValueError(self.position)

    def _zigzag(self) -> int:
        number = self._varint()
        number = (number >> 1) ^ -(number & 1)
        return (number + (1 << 31)) % (1 << 32) - (1 << 31)  # as readers truncate it

    def _value(self, kind: int) -> Any:
        if kind in {1, 2}:
            return kind == 1
        if kind in {4, 5, 6}:
            return self._zigzag()
        if kind == _STRUCT:
            return self.struct()
        if kind in {9, 10}:
            head = self._byte()
            count = self._varint() if head >> 4 == 15 else head >> 4  # noqa: PLR2004
            for _ in range(count):
                self._value(3 if head & 15 in {1, 2} else head & 15)
        elif kind in {3, 7, 8}:
            length = {3: 1, 7: 8}.get(kind) or self._varint()
            self.position += length
            if self.position > len(self._data):
                raise IndexError(self.position)
        else:
            raise ValueError(kind)
        return None


def _widest(stream: pa.NativeFile, page: _Page, compression: str) -> int:
    """Return the length of the longest string of a dictionary, or its size if that is unknown."""
    import pyarrow as pa

    stream.seek(page.position)
    data = stream.read(page.packed)
    codec = {"LZ4": "lz4_raw"}.get(compression, compression.lower())
    try:
        plain = data
        if codec != "uncompressed":
            plain = pa.decompress(data, page.unpacked, codec, asbytes=True)
    except (pa.ArrowException, OSError, ValueError):
        return page.unpacked
    longest, at = 0, 0
    while at + _LENGTH <= len(plain):
        length = int.from_bytes(plain[at : at + _LENGTH], "little")
        longest = max(longest, length)
        at += _LENGTH + length
    return min(longest, page.unpacked)


def _damaged(label: str) -> DataError:
    return DataError(
        f"the file {label!r} cannot be read: a page header is damaged.",
        hint="It may be truncated, or not a Parquet file.",
    )
