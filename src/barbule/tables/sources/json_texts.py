"""Texts of Arrow tables that are JSON already: checked, and kept as they stand.

Owns the checks. What holds no mark of JSON below its top is values, texts among them.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NoReturn

import ibis.expr.datatypes as dt

from barbule.errors import DataError
from barbule.types import Media
from barbule.types.json_marks import is_marked_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

__all__ = ["checked_json", "holds_json_texts", "json_texts"]


def checked_json(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Check that each text of a column is JSON, as it stands."""
    for row, text in enumerate(column.to_pylist()):
        _check(text, row)
    return column


def holds_json_texts(given: pa.DataType, kind: dt.DataType) -> bool:
    """Whether all Json within lists and structs of a type of Arrow is marked as such."""
    places = list(_places(given, kind))
    return bool(places) and all(places)


def json_texts(column: pa.ChunkedArray, wanted: pa.DataType, values: list[Any]) -> pa.ChunkedArray:
    """Check the JSON within lists and structs, and keep its texts.

    Parameters
    ----------
    values
        Those of the column as Python's.
    """
    import pyarrow as pa

    for row, value in enumerate(values):
        for text in _texts(value, column.type):
            _check(text, row)
    return pa.chunked_array([pa.array(values, wanted)])


def _check(text: str | None, row: int) -> None:
    try:
        json.loads("null" if text is None else text, parse_constant=_no_constant)
    except ValueError as error:
        raise DataError(
            f"this is no json: {error}.",
            row=row,
            value=text,
            hint="Texts of data frames and files are read as JSON; write a plain text as "
            "json.dumps does.",
        ) from error


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"JSON has no {name}")


def _places(given: pa.DataType, kind: dt.DataType) -> Iterator[bool]:
    """Say of each Json within a type whether it is marked, and of what is read otherwise, no."""
    import pyarrow.types as pat

    if isinstance(kind, dt.Array) and (pat.is_list(given) or pat.is_large_list(given)):
        yield from _place(given.value_field, kind.value_type)
    elif isinstance(kind, dt.Struct) and pat.is_struct(given):
        names = [given.field(place).name for place in range(given.num_fields)]
        if names != list(kind.names):
            yield False
        for place, inner in enumerate(kind.types):
            if place < given.num_fields:
                yield from _place(given.field(place), inner)


def _place(field: pa.Field, kind: dt.DataType) -> Iterator[bool]:
    if isinstance(kind, dt.JSON):
        yield is_marked_json(field)
    elif isinstance(kind, Media | dt.UUID | dt.Map):
        yield False
    else:
        yield from _places(field.type, kind)


def _texts(value: Any, given: pa.DataType) -> Iterator[Any]:
    """Give the texts of JSON within a value."""
    import pyarrow.types as pat

    if value is None:
        return
    if pat.is_struct(given):
        fields = [given.field(place) for place in range(given.num_fields)]
        parts = [(field, value[field.name]) for field in fields]
    elif pat.is_list(given) or pat.is_large_list(given):
        parts = [(given.value_field, item) for item in value]
    else:
        return
    for field, part in parts:
        if is_marked_json(field):
            yield part
        else:
            yield from _texts(part, field.type)
