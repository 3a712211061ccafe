"""What the messages of an Arrow file unpack to, told by their heads before any is unpacked.

Owns the reading of those heads, which are FlatBuffers. Compressed buffers say how long they are
unpacked, and rows need no bytes at all where a column has only missing values: who made a file
may write any number there.
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
_HEAD = 8  # bytes before the head of a message, and behind a footer with the mark of the format
_DICTIONARY, _RECORDS = 2, 3  # kinds of messages
_BLOCK = struct.Struct("<qi4xq")  # where a message begins, the length of its head and of its body
_PAIR = struct.Struct("<qq")  # of a column: its length and missing values; of a buffer: its place
_FORMER = b"ARROW:experimental_compression"  # where the head did not say it yet


def check_stream(stream: pa.NativeFile, extent: Extent) -> Iterator[None]:
    """Go through an Arrow stream, and count what each message holds.

    Raises
    ------
    DataError
        When it is more than honest files have, or damaged.
    """
    position, size = 0, stream.size()
    while position < size:
        length, position = _head_length(stream, position)
        if length <= 0:
            return
        position = _count(stream, position, length, extent)
        yield


def check_file(stream: pa.NativeFile, extent: Extent) -> Iterator[None]:
    """Count what the dictionaries of an Arrow file hold, then what each batch of rows does.

    It gives a value before each batch.

    Raises
    ------
    DataError
        When it is more than honest files have, or damaged.
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
    """Return how long the head of a message is, and where it begins."""
    stream.seek(position)
    data = stream.read(_HEAD)
    if data[:4] == _CONTINUES:
        return int.from_bytes(data[4:], "little", signed=True), position + _HEAD
    return int.from_bytes(data[:4], "little", signed=True), position + 4  # as versions before 0.15


def _count(stream: pa.NativeFile, position: int, length: int, extent: Extent) -> int:
    """Count what a message holds; return where it ends."""
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
    """A table of FlatBuffers: its fields by their numbers."""

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
