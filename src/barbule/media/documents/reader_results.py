"""The check of documents that readers of installed packages return.

Owns the errors that name the reader, the file and the wrong value. The result consists of plain
values, which other processes can send and every function can use.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from barbule.json_codec import to_readable
from barbule.media.documents.blocks import Block, DocumentText

if TYPE_CHECKING:
    from pathlib import Path

    from barbule.errors import ConfigurationError
    from barbule.extensions import Extension

__all__ = ["checked_document"]

_HINT = "The reader must return a DocumentText with a tuple of Blocks."


class _WrongValueError(ValueError):
    """A value that a reader must not return; the message says what and where."""


def checked_document(document: object, reader: Extension, path: Path) -> DocumentText:
    """Return a document with plain values.

    Raises
    ------
    ConfigurationError
        If a reader has returned something else than a `DocumentText` with valid fields.
    """
    if not isinstance(document, DocumentText):
        raise _error(reader, f"returned {_name(document)}, not DocumentText", path)
    try:
        blocks = _blocks(document.blocks)
        pages = _number(document.pages, "pages", 0)
        _check_pages(blocks, pages)
        return DocumentText(
            _text(document.title, "title"),
            blocks,
            _metadata(document.metadata),
            pages,
            tuple(_required(page, "scanned") for page in _items(document.scanned, "scanned")),
            tuple(str(part) for part in _items(document.left_out, "left_out")),
        )
    except _WrongValueError as error:
        raise _error(reader, f"returned a DocumentText whose {error}", path) from None


def _error(reader: Extension, problem: str, path: Path) -> ConfigurationError:
    return reader.problem(f"{problem}, for {path}", _HINT)


def _name(value: object) -> str:
    return "None" if value is None else type(value).__name__


def _items(value: Any, field: str) -> list[Any]:
    if not isinstance(value, tuple | list):
        raise _WrongValueError(f"{field} is {_name(value)}, not a tuple")
    return list(value)


def _text(value: object, field: str) -> str | None:
    if value is not None and not isinstance(value, str):
        raise _WrongValueError(f"{field} is {_name(value)}, not str or None")
    return None if value is None else str(value)


def _number(value: Any, field: str, least: int) -> int | None:
    if value is None:
        return None
    try:
        number = operator.index(value)
    except TypeError:
        raise _WrongValueError(f"{field} is {_name(value)}, not int or None") from None
    if number < least:
        raise _WrongValueError(f"{field} is {number}, less than {least}")
    return number


def _required(value: Any, field: str, least: int = 1) -> int:
    number = _number(value, field, least)
    if number is None:
        raise _WrongValueError(f"{field} contains None")
    return number


def _metadata(value: object) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise _WrongValueError(f"metadata is {_name(value)}, not a mapping")
    try:
        plain: dict[str, Any] = json.loads(to_readable(dict(value)))
    except (TypeError, ValueError) as error:
        raise _WrongValueError(f"metadata is not valid JSON ({error})") from None
    return plain


def _blocks(value: object) -> tuple[Block, ...]:
    return tuple(_block(block, f"blocks[{i}]") for i, block in enumerate(_items(value, "blocks")))


def _block(block: object, field: str) -> Block:
    if not isinstance(block, Block):
        raise _WrongValueError(f"{field} is {_name(block)}, not Block")
    text = _text(block.text, f"{field}.text")
    if text is None or not text.strip():
        raise _WrongValueError(f"{field}.text is empty")
    return Block(
        text,
        _number(block.page, f"{field}.page", 1),
        _text(block.heading, f"{field}.heading"),
        _number(block.sourceline, f"{field}.sourceline", 1),
        None if block.rows is None else _rows(block.rows, f"{field}.rows"),
        _boxes(block.boxes, f"{field}.boxes"),
        _required(block.section, f"{field}.section", 0),
        bool(block.verbatim),
    )


def _rows(value: object, field: str) -> tuple[tuple[str, ...], ...]:
    rows = [_items(row, f"{field}[{i}]") for i, row in enumerate(_items(value, field))]
    return tuple(
        tuple(_text(cell, f"{field}[{i}]") or "" for cell in row) for i, row in enumerate(rows)
    )


def _boxes(value: object, field: str) -> tuple[tuple[int, tuple[float, float, float, float]], ...]:
    boxes = []
    for box in _items(value, field):
        try:
            offset, (x1, y1, x2, y2) = box
            boxes.append((operator.index(offset), (float(x1), float(y1), float(x2), float(y2))))
        except (TypeError, ValueError):
            raise _WrongValueError(
                f"{field} contains {box!r:.80}, not an offset and four numbers"
            ) from None
    return tuple(boxes)


def _check_pages(blocks: tuple[Block, ...], pages: int | None) -> None:
    last = max((block.page or 0 for block in blocks), default=0)
    if last > (pages or 0):
        stated = "pages is None" if pages is None else f"pages is {pages}"
        raise _WrongValueError(f"{stated}, but a block is on page {last}")
