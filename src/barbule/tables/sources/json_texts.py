"""JSON strings in Arrow tables: checked, and stored unchanged.

Owns the checks. Marks on the fields tell which columns hold JSON strings; values without a mark are
values, including strings.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NoReturn

import ibis.expr.datatypes as dt

from barbule.errors import DataError
from barbule.types import declaration
from barbule.types.json_marks import is_marked_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

__all__ = ["checked_json", "holds_json_texts", "json_texts"]


def checked_json(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Check that each string of a column is JSON, and return the column."""
    for row, text in enumerate(column.to_pylist()):
        _check_json(text, row)
    return column


def holds_json_texts(arrow_dtype: pa.DataType, dtype: dt.DataType) -> bool:
    """Whether all Json in the lists and structs of an Arrow type is marked as such."""
    marks = list(_json_marks(arrow_dtype, dtype))
    return bool(marks) and all(marks)


def json_texts(
    column: pa.ChunkedArray, arrow_dtype: pa.DataType, values: list[Any]
) -> pa.ChunkedArray:
    """Check the JSON strings in lists and structs, and store them unchanged.

    Parameters
    ----------
    values
        Those of the column as Python's.
    """
    import pyarrow as pa

    for row, value in enumerate(values):
        for text in _json_texts_in(value, column.type):
            _check_json(text, row)
    return pa.chunked_array([pa.array(values, arrow_dtype)])


def _check_json(text: str | None, row: int) -> None:
    try:
        json.loads("null" if text is None else text, parse_constant=_refuse_constant)
    except ValueError as error:
        raise DataError(
            f"this is not valid JSON: {error}.",
            row=row,
            value=text,
            hint="Strings from data frames and files are parsed as JSON; encode a plain string "
            "with json.dumps.",
        ) from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"JSON has no {name}")


def _json_marks(arrow_dtype: pa.DataType, dtype: dt.DataType) -> Iterator[bool]:
    """Yield for each JSON field in a type whether it is marked; False for others."""
    import pyarrow.types as pat

    if isinstance(dtype, dt.Array) and (pat.is_list(arrow_dtype) or pat.is_large_list(arrow_dtype)):
        yield from _json_marks_of_field(arrow_dtype.value_field, dtype.value_type)
    elif isinstance(dtype, dt.Struct) and pat.is_struct(arrow_dtype):
        names = [arrow_dtype.field(position).name for position in range(arrow_dtype.num_fields)]
        if names != list(dtype.names):
            yield False
        for position, inner in enumerate(dtype.types):
            if position < arrow_dtype.num_fields:
                yield from _json_marks_of_field(arrow_dtype.field(position), inner)


def _json_marks_of_field(field: pa.Field, dtype: dt.DataType) -> Iterator[bool]:
    declared = declaration(dtype)
    if declared.json == "json":
        yield is_marked_json(field)
    elif declared.checked or isinstance(dtype, dt.Map):
        yield False
    else:
        yield from _json_marks(field.type, dtype)


def _json_texts_in(value: Any, arrow_dtype: pa.DataType) -> Iterator[Any]:
    """Yield the JSON strings in a value."""
    import pyarrow.types as pat

    if value is None:
        return
    if pat.is_struct(arrow_dtype):
        fields = [arrow_dtype.field(position) for position in range(arrow_dtype.num_fields)]
        parts = [(field, value[field.name]) for field in fields]
    elif pat.is_list(arrow_dtype) or pat.is_large_list(arrow_dtype):
        parts = [(arrow_dtype.value_field, item) for item in value]
    else:
        return
    for field, part in parts:
        if is_marked_json(field):
            yield part
        else:
            yield from _json_texts_in(part, field.type)
