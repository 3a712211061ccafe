"""The JSON reader: it keeps the source, split where its parts begin.

Owns which parts of a value become blocks. Invalid JSON, or JSON nested beyond what Python reads, is
a `DamagedTreeError`.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from barbule.media.documents.blocks import Block, DamagedTreeError, DocumentText
from barbule.media.documents.text.plain_text import decode
from barbule.media.read_limits import Tally

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["check_json", "read_json"]

# A part up to this length is one block; a longer one is split at its own parts.
_MAX_BLOCK_CHARACTERS = 1000
_WHITESPACE = re.compile(r"[ \t\n\r]*")
_UNICODE_ESCAPES = re.compile(r"(?<!\\)(?:\\u[0-9a-fA-F]{4})+")
_MAX_PATH_KEYS = 200
_DECODER = json.JSONDecoder()


def check_json(data: bytes) -> None:
    """Check that JSON, or JSON lines, is complete.

    Raises
    ------
    DamagedTreeError
        If it is not.
    """
    for _ in _values(decode(data, None, None)):
        pass


def read_json(data: bytes, encoding: str | None = None) -> DocumentText:
    r"""Read JSON, or JSON lines; records are blocks, the keys above them their headings.

    Parameters
    ----------
    data
        The bytes of the file.
    encoding
        Its encoding; None detects it.

    Returns
    -------
    DocumentText
        Blocks of the source text, with escaped letters decoded. The title is that of the outermost
        object.

    Raises
    ------
    DamagedTreeError
        If it is not JSON.

    Examples
    --------
    >>> birds = read_json(b'[{"bird": "jay"},\n {"bird": "owl"}]')
    >>> [(block.text, block.sourceline) for block in birds.blocks]
    [('{"bird": "jay"}', 1), ('{"bird": "owl"}', 2)]
    """
    text = decode(data, encoding, None)
    blocks: list[Block] = []
    title: str | None = None
    counted_to, line = 0, 1
    tally = Tally("max_text")  # keys are repeated as headings
    for start, end, value in _values(text):
        if title is None and isinstance(value, dict) and isinstance(value.get("title"), str):
            title = " ".join(value["title"].split()) or None
        for first, last, path in _json_parts(text, start, end, (), outermost=True):
            line += text.count("\n", counted_to, first)
            counted_to = first
            part = _decode_escapes(text[first:last])
            heading = " > ".join(path)
            tally.add(len(part) + len(heading))
            blocks.append(Block(part, None, heading or None, line))
    return DocumentText(title, tuple(blocks))


def _values(text: str) -> Iterator[tuple[int, int, Any]]:
    """Yield the value of a file, or those of its lines if each line holds one."""
    first_line = text[: text.find("\n")]
    try:
        root = json.loads(text)
    except RecursionError:
        raise DamagedTreeError("it is nested too deeply") from None
    except ValueError as error:
        if "\n" not in text or not _is_value(first_line):
            raise _syntax_error(text, 0, error) from None
    else:
        yield 0, len(text), root
        return
    start = 0
    for line in text.split("\n"):
        if line.strip():
            try:
                value = json.loads(line)
            except RecursionError:
                raise DamagedTreeError("it is nested too deeply") from None
            except ValueError as error:
                raise _syntax_error(text, start, error) from None
            yield start, start + len(line), value
        start += len(line) + 1


def _is_value(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict | list)
    except (ValueError, RecursionError):
        return False


def _syntax_error(text: str, start: int, error: ValueError) -> DamagedTreeError:
    if isinstance(error, json.JSONDecodeError):
        line = text.count("\n", 0, start + error.pos) + 1
        return DamagedTreeError(f"line {line}: {error.msg}")
    return DamagedTreeError(str(error))  # a number with too many digits


_Part = tuple[int, int, tuple[str, ...]]


def _json_parts(
    text: str, start: int, end: int, path: tuple[str, ...], *, outermost: bool = False
) -> Iterator[_Part]:
    """Yield start, end and path of the parts of a value that has been parsed."""
    start = _skip_whitespace(text, start)
    end -= len(text[start:end]) - len(text[start:end].rstrip())
    opening = text[start : start + 1]
    is_small = end - start <= _MAX_BLOCK_CHARACTERS and not (outermost and opening == "[")
    if is_small or opening not in {"[", "{"} or len(path) > _MAX_PATH_KEYS:
        if end > start:
            yield start, end, path
    elif opening == "[":
        for _, _, value_start, value_end in _members(text, start):
            yield from _json_parts(text, value_start, value_end, path)
    else:
        yield from _object_parts(text, start, path)


def _object_parts(text: str, start: int, path: tuple[str, ...]) -> Iterator[_Part]:
    """Yield the parts of an object: small members stay together, long ones are split."""
    group: _Part | None = None
    for member_start, name, value_start, value_end in _members(text, start):
        if group and value_end - group[0] <= _MAX_BLOCK_CHARACTERS:
            group = (group[0], value_end, path)
            continue
        if group:
            yield group
        group = (member_start, value_end, path)
        if value_end - member_start > _MAX_BLOCK_CHARACTERS:
            group = None
            yield from _json_parts(text, value_start, value_end, (*path, name))
    if group:
        yield group


def _members(text: str, start: int) -> Iterator[tuple[int, str, int, int]]:
    """Yield start and name of each member of a list or object, and the span of its value."""
    is_object = text[start] == "{"
    offset = _skip_whitespace(text, start + 1)
    while text[offset] not in "]}":
        member_start, name = offset, ""
        if is_object:
            name, offset = json.decoder.scanstring(text, offset + 1)  # type: ignore[attr-defined]
            offset = _skip_whitespace(text, _skip_whitespace(text, offset) + 1)
        value_start = offset
        value_end = offset = _DECODER.raw_decode(text, offset)[1]
        yield member_start, name, value_start, value_end
        offset = _skip_whitespace(text, offset)
        if text[offset] == ",":
            offset = _skip_whitespace(text, offset + 1)


def _skip_whitespace(text: str, offset: int) -> int:
    return _WHITESPACE.match(text, offset).end()  # type: ignore[union-attr]


def _decode_escapes(part: str) -> str:
    r"""Decode escaped letters; escapes that JSON requires stay."""
    if "\\u" not in part:
        return part

    def decode_match(match: re.Match[str]) -> str:
        decoded = json.loads(f'"{match[0]}"')
        return decoded if decoded.isprintable() and not set(decoded) & {'"', "\\"} else match[0]

    return _UNICODE_ESCAPES.sub(decode_match, part)
