"""JSON files: a list of objects, one object, or one object per line."""

from __future__ import annotations

import functools
import io
import itertools
import json
from typing import TYPE_CHECKING, Any

from barbule.errors import DataError
from barbule.tables.sources.target import Chunk

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from barbule.io.input_files import File

__all__ = ["read_json", "read_lines"]

_READ_CHARACTERS = 1 << 20
_MAX_RECORD_CHARACTERS = 64 << 20  # characters: parsed, they take several times as much memory
_MAX_VALUES, _VALUE_RATIO = 2_000_000, 2  # of compressed files
_WINDOW_CHARACTERS = 256  # characters that are examined for the next value
_SEPARATORS = " \t\r\n,"
_LEADING_BYTES = b"\xef\xbb\xbf \t\r\n"  # including a byte order mark


def read_lines(file: File, size: int) -> Generator[Chunk]:
    """Read a file with a JSON object on each line; empty lines are skipped.

    A list of objects, which some programs write with the same suffix, is read as well.
    """
    with file.open_plain(_MAX_VALUES, _VALUE_RATIO) as stream:
        is_list = stream.read(_WINDOW_CHARACTERS).lstrip(_LEADING_BYTES).startswith(b"[")
    if is_list:
        yield from read_json(file, size)
        return
    with file.open_plain(_MAX_VALUES, _VALUE_RATIO) as stream:
        lines = io.TextIOWrapper(stream, encoding="utf-8-sig")
        yield from _in_chunks(_parse_lines(lines, file), file, size)


def _parse_lines(lines: io.TextIOWrapper, file: File) -> Iterator[Any]:
    from pydantic_core import from_json  # several times as fast as the standard library's

    # One more character, which identifies a line that is too long.
    bounded = iter(functools.partial(lines.readline, _MAX_RECORD_CHARACTERS + 1), "")
    for number, line in enumerate(bounded, 1):
        if len(line) > _MAX_RECORD_CHARACTERS:
            raise _too_long_error(file, number)
        if line.isspace():
            continue
        try:
            yield from_json(line, cache_strings="keys")
        except ValueError as error:
            raise _parse_error(file, number, error) from error


def read_json(file: File, size: int) -> Generator[Chunk]:
    """Read a JSON file: a list of objects, or objects one after the other."""
    with file.open_plain(_MAX_VALUES, _VALUE_RATIO) as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8-sig")
        yield from _in_chunks(_values(text, file), file, size)


def _in_chunks(values: Iterator[Any], file: File, size: int) -> Generator[Chunk]:
    while rows := list(itertools.islice(values, size)):
        yield Chunk(rows, "json", file.label)


def _parse_error(file: File, line: int, error: ValueError) -> DataError:
    reason = getattr(error, "msg", str(error))
    return DataError(
        f"line {line} of {file.label!r} is not valid JSON: {reason}.",
        hint="The file may be truncated; it must hold a list of objects, or one object per line.",
    )


def _too_long_error(file: File, line: int) -> DataError:
    return DataError(
        f"the object on line {line} of {file.label!r} has more than {_MAX_RECORD_CHARACTERS:,} "
        "characters.",
        hint="Store large values in separate files, and write their paths.",
    )


class _JsonStream:
    """A stream of characters with a buffer in memory, and its position."""

    def __init__(self, stream: io.TextIOWrapper, file: File) -> None:
        self._stream = stream
        self._file = file
        self._lines = 1  # the line in which the part starts
        self.buffer = ""
        self.position = 0

    def read_more(self) -> bool:
        """Drop the consumed part of the buffer and read more; False at the end."""
        self._lines += self.buffer.count("\n", 0, self.position)
        unread = self.buffer[self.position :]
        if len(unread) > _MAX_RECORD_CHARACTERS:
            raise _too_long_error(self._file, self._lines)
        # At least as much again as is waiting, so that a long value is not parsed repeatedly.
        size = min(max(_READ_CHARACTERS, len(unread)), _MAX_RECORD_CHARACTERS + 1 - len(unread))
        added = self._stream.read(size)
        self.buffer, self.position = unread + added, 0
        return bool(added)

    def skip(self, characters: str) -> str:
        """Skip characters and return the next one; "" at the end."""
        while True:
            while window := self.buffer[self.position : self.position + _WINDOW_CHARACTERS]:
                unread = window.lstrip(characters)
                self.position += len(window) - len(unread)
                if unread:
                    return unread[0]
            if not self.read_more():
                return ""

    def parse_error_at(self, error: ValueError, further: int = 0) -> DataError:
        """Return an error that names the line of a position, relative to the current one."""
        end = self.position + further
        return _parse_error(self._file, self._lines + self.buffer.count("\n", 0, end), error)


def _values(characters: io.TextIOWrapper, file: File) -> Iterator[Any]:
    """Parse the items of a list, or consecutive values, on demand."""
    stream = _JsonStream(characters, file)
    listed = stream.skip(_SEPARATORS) == "["
    if listed:
        stream.position += 1
    decoder = json.JSONDecoder()
    while (following := stream.skip(_SEPARATORS)) and not (listed and following == "]"):
        try:
            value, stream.position = decoder.raw_decode(stream.buffer, stream.position)
        except ValueError as error:
            start = stream.position
            if not stream.read_more():
                raise stream.parse_error_at(error, getattr(error, "pos", start) - start) from error
            continue
        yield value
    if listed and not following:
        raise stream.parse_error_at(ValueError("the list does not end"))
