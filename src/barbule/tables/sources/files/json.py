"""JSON files: a list of objects, one object, or one object a line."""

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

_CHARACTERS = 1 << 20
_MAX_RECORD = 64 << 20  # characters: parsed, it takes several times as much memory
_WINDOW = 256  # characters looked at for the next value
_BETWEEN = " \t\r\n,"
_BEFORE = b"\xef\xbb\xbf \t\r\n"  # a byte order mark among them


def read_lines(file: File, size: int) -> Generator[Chunk]:
    """Read a file with a JSON object in each line; empty lines are passed over.

    A list of objects, which some write under such a name too, is read as one.
    """
    with file.open_plain() as stream:
        is_list = stream.read(_WINDOW).lstrip(_BEFORE).startswith(b"[")
    if is_list:
        yield from read_json(file, size)
        return
    with file.open_plain() as stream:
        lines = io.TextIOWrapper(stream, encoding="utf-8-sig")
        yield from _in_chunks(_parsed(lines, file), file, size)


def _parsed(lines: io.TextIOWrapper, file: File) -> Iterator[Any]:
    from pydantic_core import from_json  # several times as fast as the standard library's

    # One more, by which a line that is too long is known.
    bounded = iter(functools.partial(lines.readline, _MAX_RECORD + 1), "")
    for number, line in enumerate(bounded, 1):
        if len(line) > _MAX_RECORD:
            raise _too_long(file, number)
        if line.isspace():
            continue
        try:
            yield from_json(line, cache_strings="keys")
        except ValueError as error:
            raise _broken(file, number, error) from error


def read_json(file: File, size: int) -> Generator[Chunk]:
    """Read a JSON file: a list of objects, or objects one after the other."""
    with file.open_plain() as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8-sig")
        yield from _in_chunks(_values(text, file), file, size)


def _in_chunks(values: Iterator[Any], file: File, size: int) -> Generator[Chunk]:
    while rows := list(itertools.islice(values, size)):
        yield Chunk(rows, "json", file.label)


def _broken(file: File, line: int, error: ValueError) -> DataError:
    reason = getattr(error, "msg", str(error))
    return DataError(
        f"line {line} of {file.label!r} is no JSON: {reason}.",
        hint="The file may be cut off; it holds a list of objects, or one object a line.",
    )


def _too_long(file: File, line: int) -> DataError:
    return DataError(
        f"the object in line {line} of {file.label!r} has more than {_MAX_RECORD:,} characters.",
        hint="Keep large values in files of their own, and give their paths.",
    )


class _Text:
    """A text of which a part is in memory, and how much of it has been read."""

    def __init__(self, stream: io.TextIOWrapper, file: File) -> None:
        self._stream = stream
        self._file = file
        self._lines = 1  # the line in which the part begins
        self.part = ""
        self.place = 0

    def more(self) -> bool:
        """Let go of what has been read and read on; False at the end."""
        self._lines += self.part.count("\n", 0, self.place)
        rest = self.part[self.place :]
        if len(rest) > _MAX_RECORD:
            raise _too_long(self._file, self._lines)
        # As much again as is waiting, so that a long value is not parsed over and over.
        size = min(max(_CHARACTERS, len(rest)), _MAX_RECORD + 1 - len(rest))
        added = self._stream.read(size)
        self.part, self.place = rest + added, 0
        return bool(added)

    def skip(self, characters: str) -> str:
        """Pass over characters and return the next one, or nothing at the end."""
        while True:
            while window := self.part[self.place : self.place + _WINDOW]:
                rest = window.lstrip(characters)
                self.place += len(window) - len(rest)
                if rest:
                    return rest[0]
            if not self.more():
                return ""

    def broken(self, error: ValueError, further: int = 0) -> DataError:
        """Say in which line the text is no JSON, so many characters from the place."""
        end = self.place + further
        return _broken(self._file, self._lines + self.part.count("\n", 0, end), error)


def _values(stream: io.TextIOWrapper, file: File) -> Iterator[Any]:
    """Parse the items of a list, or values one after the other, as they are needed."""
    text = _Text(stream, file)
    listed = text.skip(_BETWEEN) == "["
    if listed:
        text.place += 1
    decoder = json.JSONDecoder()
    while (following := text.skip(_BETWEEN)) and not (listed and following == "]"):
        try:
            value, text.place = decoder.raw_decode(text.part, text.place)
        except ValueError as error:
            start = text.place
            if not text.more():
                raise text.broken(error, getattr(error, "pos", start) - start) from error
            continue
        yield value
    if listed and not following:
        raise text.broken(ValueError("the list does not end"))
