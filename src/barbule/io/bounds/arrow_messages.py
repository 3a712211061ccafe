"""The unpacked size of the messages of an Arrow file, read from their headers.

Owns the reading of those headers, which are FlatBuffers. Compressed buffers declare their unpacked
size, and rows need no bytes at all if a column has only missing values: a malicious file may
declare any number.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from barbule.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from barbule.io.bounds.extent import Extent

__all__ = ["check_file", "check_stream"]

_MARK = b"ARROW1"
_CONTINUES = b"\xff\xff\xff\xff"
_HEAD = 8  # bytes before the header of a message, and after a footer with the format's magic
_DICTIONARY, _RECORDS = 2, 3  # types of messages
_BLOCK = struct.Struct("<qi4xq")  # the start of a message, the length of its header and of its body
_PAIR = struct.Struct("<qq")  # of a column: length and missing values; of a buffer: position
_FORMER = b"ARROW:experimental_compression"  # if the header does not contain it yet


def check_stream(stream: pa.NativeFile, extent: Extent) -> Iterator[None]:
    """Read an Arrow stream, and count the content of each message.

    Raises
    ------
    DataError
        If it exceeds the limits, or is damaged.
    """
    position, size = 0, stream.size()
    while position < size:
        length, position = _head_length(stream, position)
        if length <= 0:
            return
        position = _count(stream, position, length, extent)
        yield


def check_file(stream: pa.NativeFile, extent: Extent) -> Iterator[None]:
    """Count the content of the dictionaries of an Arrow file, then of each batch of rows.

    It yields a value before each batch.

    Raises
    ------
    DataError
        If it exceeds the limits, or is damaged.
    """
    end = stream.size() - len(_MARK) - 4
    stream.seek(end)
    length = int.from_bytes(stream.read(4), "little")
    stream.seek(max(0, end - length))
    footer = _Table.root(stream.read(length))
    for block in footer.structs(2, _BLOCK):
        _count_block(stream, block, extent)
    for block in footer.structs(3, _BLOCK):
        _count_block(stream, block, extent)
        yield


def _count_block(stream: pa.NativeFile, block: tuple[int, ...], extent: Extent) -> None:
    length, position = _head_length(stream, block[0])
    _count(stream, position, length, extent)


def _head_length(stream: pa.NativeFile, position: int) -> tuple[int, int]:
    """Return the length of the header of a message, and its start."""
    stream.seek(position)
    data = stream.read(_HEAD)
    if data[:4] == _CONTINUES:
        return int.from_bytes(data[4:], "little", signed=True), position + _HEAD
    return int.from_bytes(data[:4], "little", signed=True), position + 4  # before version 0.15


def _count(stream: pa.NativeFile, position: int, length: int, extent: Extent) -> int:
    """Count the content of a message; return its end."""
    stream.seek(position)
    data = stream.read(length)
    message = _Table.root(data)
    body = position + length
    kind = message.number(1, "B")
    if kind in {_DICTIONARY, _RECORDS}:
        records = message.table(2)
        if kind == _DICTIONARY:
            records = records.table(1)
        values = records.number(0, "q")
        for count, _ in records.structs(1, _PAIR):
            values += _least(count)
        extent.add(values=_least(values))
        packed = records.has(3) or _FORMER in data
        for start, size in records.structs(2, _PAIR):
            unpacked = _least(size)
            if packed and size >= _HEAD:
                stream.seek(body + _least(start))
                unpacked = max(unpacked, int.from_bytes(stream.read(_HEAD), "little", signed=True))
            extent.add(unpacked=unpacked)
    return body + _least(message.number(3, "q"))


def _least(number: int) -> int:
    if number < 0:
        raise _damaged()
    return number


def _damaged() -> DataError:
    return DataError(
        "the file cannot be read: a message header is damaged.",
        hint="It may be truncated, or not an Arrow file.",
    )


class _Table:
    """A FlatBuffers table: its fields by their numbers."""

    def __init__(self, data: bytes, position: int) -> None:
        self._data, self._position = data, position
        fields = position - self._read("i", position)
        self._size = self._read("H", fields)
        self._fields = fields

    @classmethod
    def root(cls, data: bytes) -> _Table:
        if len(data) < 4:  # noqa: PLR2004 - of the place of the table
            raise _damaged()
        return cls(data, int.from_bytes(data[:4], "little"))

    def _read(self, form: str, position: int) -> Any:
        if position < 0 or position + struct.calcsize(f"<{form}") > len(self._data):
            raise _damaged()
        return struct.unpack_from(f"<{form}", self._data, position)[0]

    def _at(self, field: int) -> int | None:
        entry = 4 + 2 * field
        if entry + 2 > self._size:
            return None
        offset = self._read("H", self._fields + entry)
        return self._position + offset if offset else None

    def has(self, field: int) -> bool:
        return self._at(field) is not None

    def number(self, field: int, form: str) -> int:
        at = self._at(field)
        return 0 if at is None else int(self._read(form, at))

    def table(self, field: int) -> _Table:
        at = self._at(field)
        if at is None:
            raise _damaged()
        return _Table(self._data, at + self._read("I", at))

    def structs(self, field: int, form: struct.Struct) -> Iterator[tuple[int, ...]]:
        at = self._at(field)
        if at is None:
            return
        start = at + self._read("I", at)
        count, begin = self._read("I", start), start + 4
        if begin + count * form.size > len(self._data):
            raise _damaged()
        yield from form.iter_unpack(self._data[begin : begin + count * form.size])
