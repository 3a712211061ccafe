"""Arrow rows as the driver copies and returns them, and as Ibis promises them.

Owns the conversions in both directions, batch by batch.
"""

from __future__ import annotations

import decimal
import json
import re
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from ibis.formats.pyarrow import PyArrowType

from barbule.backends.base import type_mismatch
from barbule.backends.intervals import durations
from barbule.backends.postgres.sql.literals import (
    json_paths,
    json_reader,
    restore_json,
    to_json_value,
)
from barbule.errors import DataError
from barbule.json_codec import to_ascii

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import ibis.expr.datatypes as dt
    import ibis.expr.schema as sch

    from barbule.backends.postgres.sql.literals import JSONPaths

__all__ = ["to_copy_format", "to_query_result"]

_UUID_BYTES = 16
_UUID_GROUPS = ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32))
_TYPE_MODIFIER = re.compile(r"\(\d+\)")  # for example `timestamp(6) without time zone`
_JSONB_VERSION = b"\x01"  # before the text of a `jsonb` in the binary format

# The Arrow types that the driver copies into columns, by their types in Postgres.
_COPY_TYPES = {
    "bigint": pa.int64(),
    "integer": pa.int32(),
    "smallint": pa.int16(),
    "double precision": pa.float64(),
    "real": pa.float32(),
    "boolean": pa.bool_(),
    "text": pa.string(),
    "character varying": pa.string(),
    "bytea": pa.binary(),
    "date": pa.date32(),
    "time without time zone": pa.time64("us"),
    "timestamp without time zone": pa.timestamp("us"),
    "timestamp with time zone": pa.timestamp("us", "UTC"),
    "interval": pa.duration("us"),
}


# From the server


def to_query_result(
    rows: pa.Table, schema: sch.Schema, stored_name: Callable[[str], str]
) -> pa.Table:
    """Return rows with the columns and types that Ibis promises for their query.

    Ibis selects all columns of a table that it knows as `*`, which may return more.

    Parameters
    ----------
    stored_name
        Returns a name as Postgres stores it.
    """
    names = rows.schema.names
    arrow_schema = schema.to_pyarrow()
    stored_names = [stored_name(name) for name in arrow_schema.names]
    positions = range(len(names)) if names == stored_names else map(names.index, stored_names)
    columns = [
        _convert_column(rows.column(position), dtype, field)
        for position, dtype, field in zip(positions, schema.types, arrow_schema, strict=True)
    ]
    # Missing values are checked elsewhere, with their own message.
    return pa.table(columns, pa.schema([field.with_nullable(True) for field in arrow_schema]))


def _convert_column(cells: pa.ChunkedArray, dtype: dt.DataType, field: pa.Field) -> pa.ChunkedArray:
    try:
        chunks = [_from_server(chunk, dtype, field.type) for chunk in cells.chunks]
    except DataError as error:
        raise error.at(column=field.name) from error.__cause__
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OverflowError) as error:
        raise type_mismatch(field.name, field.type, error) from error
    return pa.chunked_array(chunks, field.type)


def _from_server(array: pa.Array, dtype: dt.DataType, target: pa.DataType) -> pa.Array:
    if isinstance(array.type, pa.BaseExtensionType):  # uuid, json, and numeric as text
        array = array.storage
    source = array.type
    if source.equals(target):
        return array
    if pa.types.is_null(target):
        return pa.nulls(len(array))
    if pa.types.is_fixed_size_binary(source) and pa.types.is_string(target):
        return _uuid_strings(array)
    if pa.types.is_string(source) and pa.types.is_nested(target):
        return _from_json_text(array, dtype, target)
    if pa.types.is_list(source) and not pa.types.is_string(target):
        return _convert_list(array, dtype, target)
    if pa.types.is_interval(source):
        return durations(array, target)
    if pa.types.is_string(source) and not pa.types.is_string(target):
        return _from_numeric_text(array, target)
    if pa.types.is_decimal(target) and pa.types.is_floating(source):
        return _from_numeric_text(array.cast(pa.string()), target)
    # Ibis' types of results are at times wider or narrower than Postgres'.
    return array.cast(target, safe=not pa.types.is_temporal(source))


def _convert_list(array: pa.Array, dtype: dt.DataType, target: pa.DataType) -> pa.Array:
    """Convert an array and its values."""
    if not array.type.value_type.equals(target.value_type):
        array = _with_values(
            array, lambda inner: _from_server(inner, dtype.value_type, target.value_type)
        )
    return array if array.type.equals(target) else array.cast(target)


def _from_json_text(array: pa.Array, dtype: dt.DataType, target: pa.DataType) -> pa.Array:
    """Parse structs, maps and arrays, which are returned as JSON."""
    convert = json_reader(dtype)
    # Numbers are exact, unless they are written as JSON again.
    parse_float = None if json_paths(dtype) else decimal.Decimal
    try:
        values = [
            None
            if text is None or (value := json.loads(text, parse_float=parse_float)) is None
            else convert(value)
            if convert
            else value
            for text in array.to_pylist()
        ]
        return pa.array(values, target)
    except (AttributeError, TypeError, ValueError, pa.ArrowInvalid) as error:
        raise DataError(
            f"a JSON value cannot be converted to {dtype}: {error}",
            hint="Read its parts by their paths, and cast those.",
        ) from error


def _from_numeric_text(array: pa.Array, target: pa.DataType) -> pa.Array:
    """Parse numerics, which are returned as text."""
    if not (pa.types.is_integer(target) or pa.types.is_decimal(target)):
        return array.cast(target)
    try:
        return array.cast(target)
    except pa.ArrowInvalid:  # more decimals than the type of the result has
        exact = [None if text is None else decimal.Decimal(text) for text in array.to_pylist()]
    if not all(value is None or value.is_finite() for value in exact):
        raise DataError(
            f"a result that is NaN or infinite does not fit {target}.",
            hint="Cast it to float64.",
        )
    scale = 0 if pa.types.is_integer(target) else target.scale
    step = decimal.Decimal(1).scaleb(-scale)
    with decimal.localcontext(prec=100, rounding=decimal.ROUND_HALF_UP):
        rounded = [None if value is None else value.quantize(step) for value in exact]
    if pa.types.is_integer(target):
        return pa.array([None if value is None else int(value) for value in rounded], target)
    return pa.array(rounded, target)


def _uuid_strings(array: pa.Array) -> pa.Array:
    """Format UUIDs as strings, all at once."""
    count = len(array)
    filled = array.fill_null(bytes(_UUID_BYTES)) if array.null_count else array
    start = filled.offset * _UUID_BYTES
    raw = memoryview(filled.buffers()[1])[start : start + count * _UUID_BYTES]
    digits = np.frombuffer(raw.hex().encode(), "S1").reshape(count, 2 * _UUID_BYTES)
    strings = np.full((count, 36), b"-", "S1")
    for dashes, (begin, end) in enumerate(_UUID_GROUPS):
        strings[:, begin + dashes : end + dashes] = digits[:, begin:end]
    offsets = np.arange(count + 1, dtype=np.int32) * 36
    buffers = pa.py_buffer(offsets), pa.py_buffer(strings.tobytes())
    uuids = pa.StringArray.from_buffers(count, *buffers)
    return pc.if_else(array.is_valid(), uuids, None) if array.null_count else uuids


def _with_values(array: pa.Array, convert: Callable[[pa.Array], pa.Array]) -> pa.Array:
    """Convert the values of a list array."""
    offsets = array.offsets.to_numpy()
    first, last = offsets[0], offsets[-1]
    values = convert(array.values.slice(first, last - first))
    new_offsets = pa.array(offsets - first, pa.int32())
    mask = array.is_null() if array.null_count else None
    return pa.ListArray.from_arrays(new_offsets, values, mask=mask)


# To the server


def to_copy_format(rows: pa.Table, formats: Mapping[str, tuple[str, JSONPaths]]) -> pa.Table:
    """Convert rows to what the driver copies into columns of a table.

    Parameters
    ----------
    formats
        The type of each column in Postgres, and the paths of JSON in it.

    Raises
    ------
    DataError
        If a column cannot be converted to its type; the message names it.
    """
    columns = []
    for name, column in zip(rows.column_names, rows.columns, strict=True):
        type_name, paths = formats[name]
        try:
            chunks = [_to_server(chunk, type_name, paths) for chunk in column.chunks]
            columns.append(pa.chunked_array(chunks, None if chunks else _copy_type(type_name)))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
            raise DataError(
                f"values of type {column.type} do not fit a column of type {type_name}: {error}",
                column=name,
            ) from error
    return pa.table(columns, names=rows.column_names)


def _copy_type(type_name: str) -> pa.DataType:
    if type_name.endswith("[]"):
        return pa.list_(_copy_type(type_name.removesuffix("[]")))
    if type_name == "uuid":
        return pa.binary(_UUID_BYTES)
    if type_name == "jsonb":
        return pa.binary()
    if type_name.startswith("numeric"):
        digits = type_name.partition("(")[2].rstrip(")").split(",")
        return pa.decimal128(*map(int, digits)) if digits[0] else pa.decimal128(38, 9)
    return _COPY_TYPES[_TYPE_MODIFIER.sub("", type_name)]


def _to_server(array: pa.Array, type_name: str, paths: JSONPaths) -> pa.Array:
    if isinstance(array.type, pa.BaseExtensionType):
        array = array.storage
    source = array.type
    if pa.types.is_null(source):
        return pa.nulls(len(array), _copy_type(type_name))
    if pa.types.is_dictionary(source):
        return _to_server(array.dictionary_decode(), type_name, paths)
    if type_name == "jsonb":
        return _to_jsonb(array, paths)
    if type_name == "uuid":
        return _to_uuids(array)
    if type_name.endswith("[]"):
        if not pa.types.is_list(source):
            array = array.cast(pa.list_(source.value_type))
        value_type = type_name.removesuffix("[]")
        value_paths = paths[0] if isinstance(paths, list) else None
        return _with_values(array, lambda inner: _to_server(inner, value_type, value_paths))
    if type_name == "numeric" and pa.types.is_decimal(source):
        return array
    target = _copy_type(type_name)
    if pa.types.is_timestamp(source) and pa.types.is_timestamp(target):
        return array.cast(target)  # raises an error for nanoseconds
    return array.cast(target, safe=not pa.types.is_temporal(source))


def _to_jsonb(array: pa.Array, paths: JSONPaths) -> pa.Array:
    if pa.types.is_nested(array.type):
        dtype = restore_json(PyArrowType.to_ibis(array.type), paths)
        texts = [
            None if value is None else to_ascii(to_json_value(value, dtype))
            for value in array.to_pylist()
        ]
        array = pa.array(texts, pa.string())
    return pc.binary_join_element_wise(_JSONB_VERSION, array.cast(pa.binary()), b"")


def _to_uuids(array: pa.Array) -> pa.Array:
    if pa.types.is_fixed_size_binary(array.type):
        return array
    digits = pc.replace_substring_regex(array.cast(pa.string()), "[-{}]", "")
    digits = digits.fill_null("0" * 2 * _UUID_BYTES)
    if not pc.all(pc.equal(pc.utf8_length(digits), 2 * _UUID_BYTES)).as_py():
        raise ValueError("a UUID has 32 hexadecimal digits")
    raw = bytes.fromhex("".join(digits.to_pylist()))
    uuids = pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(_UUID_BYTES), len(array), [None, pa.py_buffer(raw)]
    )
    return pc.if_else(array.is_valid(), uuids, None) if array.null_count else uuids
