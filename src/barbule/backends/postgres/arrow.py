"""Arrow as the driver takes and gives it, and as Ibis promises it.

Owns the conversions at both ends of the wire; what they cost is bounded by a batch.
"""

from __future__ import annotations

import decimal
import json
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from ibis.formats.pyarrow import PyArrowType

from barbule.backends.base import type_mismatch
from barbule.backends.intervals import durations
from barbule.backends.postgres.sql.literals import from_json, json_places, jsonable, with_json
from barbule.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import ibis.expr.datatypes as dt
    import ibis.expr.schema as sch

__all__ = ["outgoing", "received"]

_UUID_BYTES = 16
_UUID_PARTS = ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32))
_MODIFIER = re.compile(r"\(\d+\)")  # of `timestamp(6) without time zone`, say
_JSONB_VERSION = b"\x01"  # precedes the text of a `jsonb` on the wire

# In which type of Arrow a column travels to the server, by its type there.
_WIRE = {
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


def received(rows: pa.Table, schema: sch.Schema, called: Callable[[str], str]) -> pa.Table:
    """Give rows that came the columns and types that their query has for Ibis.

    `called` tells how a name was shortened on the way.

    Ibis reads all columns that it knows of a table as `*`, which may be more than it knows.
    """
    names = rows.schema.names
    wanted = schema.to_pyarrow()
    sought = [called(name) for name in wanted.names]
    places = range(len(names)) if names == sought else map(names.index, sought)
    columns = [
        _column(rows.column(place), kind, field)
        for place, kind, field in zip(places, schema.types, wanted, strict=True)
    ]
    # Whether a value may be missing is checked where it matters, with a message of its own.
    return pa.table(columns, pa.schema([field.with_nullable(True) for field in wanted]))


def _column(cells: pa.ChunkedArray, kind: dt.DataType, field: pa.Field) -> pa.ChunkedArray:
    try:
        parts = [_read(chunk, kind, field.type) for chunk in cells.chunks]
    except DataError as error:
        raise error.at(column=field.name) from error.__cause__
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OverflowError) as error:
        raise type_mismatch(field.name, field.type, error) from error
    return pa.chunked_array(parts, field.type)


def _read(array: pa.Array, dtype: dt.DataType, wanted: pa.DataType) -> pa.Array:
    if isinstance(array.type, pa.BaseExtensionType):  # uuid, json, and numeric as text
        array = array.storage
    kind = array.type
    if kind.equals(wanted):
        return array
    if pa.types.is_null(wanted):
        return pa.nulls(len(array))
    if pa.types.is_fixed_size_binary(kind) and pa.types.is_string(wanted):
        return _uuid_texts(array)
    if pa.types.is_string(kind) and pa.types.is_nested(wanted):
        return _from_texts(array, dtype, wanted)
    if pa.types.is_list(kind) and not pa.types.is_string(wanted):
        return _list(array, dtype, wanted)
    if pa.types.is_interval(kind):
        return durations(array, wanted)
    if pa.types.is_string(kind) and not pa.types.is_string(wanted):
        return _numbers(array, wanted)
    if pa.types.is_decimal(wanted) and pa.types.is_floating(kind):
        return _numbers(array.cast(pa.string()), wanted)
    # Ibis' own types of results are at times wider or narrower than Postgres'.
    return array.cast(wanted, safe=not pa.types.is_temporal(kind))


def _list(array: pa.Array, dtype: dt.DataType, wanted: pa.DataType) -> pa.Array:
    """Read an array, whose values may have to be read themselves."""
    if not array.type.value_type.equals(wanted.value_type):
        array = _with_values(array, lambda inner: _read(inner, dtype.value_type, wanted.value_type))
    return array if array.type.equals(wanted) else array.cast(wanted)


def _from_texts(array: pa.Array, dtype: dt.DataType, wanted: pa.DataType) -> pa.Array:
    """Read structs, maps and arrays, which travel as JSON."""
    convert = from_json(dtype)
    # Exact numbers, where no JSON is written back.
    exact = None if json_places(dtype) else decimal.Decimal
    try:
        plain = [
            None
            if text is None or (value := json.loads(text, parse_float=exact)) is None
            else convert(value)
            if convert
            else value
            for text in array.to_pylist()
        ]
        return pa.array(plain, wanted)
    except (AttributeError, TypeError, ValueError, pa.ArrowInvalid) as error:
        raise DataError(
            f"a JSON value is no {dtype}: {error}",
            hint="Take its parts by their paths, and cast those.",
        ) from error


def _numbers(array: pa.Array, wanted: pa.DataType) -> pa.Array:
    """Read numerics, which travel as text."""
    if not (pa.types.is_integer(wanted) or pa.types.is_decimal(wanted)):
        return array.cast(wanted)
    try:
        return array.cast(wanted)
    except pa.ArrowInvalid:  # more digits behind the point than the type of the result has
        exact = [None if text is None else decimal.Decimal(text) for text in array.to_pylist()]
    if not all(value is None or value.is_finite() for value in exact):
        raise DataError(
            f"a result that is NaN or infinite does not fit {wanted}.",
            hint="Cast it to float64.",
        )
    scale = 0 if pa.types.is_integer(wanted) else wanted.scale
    step = decimal.Decimal(1).scaleb(-scale)
    with decimal.localcontext(prec=100, rounding=decimal.ROUND_HALF_UP):
        rounded = [None if value is None else value.quantize(step) for value in exact]
    if pa.types.is_integer(wanted):
        return pa.array([None if value is None else int(value) for value in rounded], wanted)
    return pa.array(rounded, wanted)


def _uuid_texts(array: pa.Array) -> pa.Array:
    """Write UUIDs as text, all at once."""
    count = len(array)
    plain = array.fill_null(bytes(_UUID_BYTES)) if array.null_count else array
    start = plain.offset * _UUID_BYTES
    data = memoryview(plain.buffers()[1])[start : start + count * _UUID_BYTES]
    digits = np.frombuffer(data.hex().encode(), "S1").reshape(count, 2 * _UUID_BYTES)
    texts = np.full((count, 36), b"-", "S1")
    for place, (begin, end) in enumerate(_UUID_PARTS):
        texts[:, begin + place : end + place] = digits[:, begin:end]
    offsets = np.arange(count + 1, dtype=np.int32) * 36
    made = pa.StringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(texts.tobytes()))
    return pc.if_else(array.is_valid(), made, None) if array.null_count else made


def _with_values(array: pa.Array, convert: Callable[[pa.Array], pa.Array]) -> pa.Array:
    """Convert the values of a list array."""
    offsets = array.offsets.to_numpy()
    first, last = offsets[0], offsets[-1]
    values = convert(array.values.slice(first, last - first))
    made = pa.array(offsets - first, pa.int32())
    mask = array.is_null() if array.null_count else None
    return pa.ListArray.from_arrays(made, values, mask=mask)


# To the server


def outgoing(rows: pa.Table, types: Mapping[str, tuple[str, Any]]) -> pa.Table:
    """Turn rows into what the driver copies into columns of a table.

    `types` has the type of each column in Postgres, and where it holds JSON.

    Raises
    ------
    DataError
        When a column cannot be turned into its type; it is named.
    """
    columns = []
    for name, column in zip(rows.column_names, rows.columns, strict=True):
        kind, places = types[name]
        try:
            chunks = [_write(chunk, kind, places) for chunk in column.chunks]
            columns.append(pa.chunked_array(chunks, None if chunks else _write_type(kind)))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
            raise DataError(
                f"values of type {column.type} do not fit a column of type {kind}: {error}",
                column=name,
            ) from error
    return pa.table(columns, names=rows.column_names)


def _write_type(kind: str) -> pa.DataType:
    if kind.endswith("[]"):
        return pa.list_(_write_type(kind.removesuffix("[]")))
    if kind == "uuid":
        return pa.binary(_UUID_BYTES)
    if kind == "jsonb":
        return pa.binary()
    if kind.startswith("numeric"):
        digits = kind.partition("(")[2].rstrip(")").split(",")
        return pa.decimal128(*map(int, digits)) if digits[0] else pa.decimal128(38, 9)
    return _WIRE[_MODIFIER.sub("", kind)]


def _write(array: pa.Array, kind: str, places: Any) -> pa.Array:
    if isinstance(array.type, pa.BaseExtensionType):
        array = array.storage
    given = array.type
    if pa.types.is_null(given):
        return pa.nulls(len(array), _write_type(kind))
    if pa.types.is_dictionary(given):
        return _write(array.dictionary_decode(), kind, places)
    if kind == "jsonb":
        return _write_json(array, places)
    if kind == "uuid":
        return _uuids(array)
    if kind.endswith("[]"):
        if not pa.types.is_list(given):
            array = array.cast(pa.list_(given.value_type))
        inside = kind.removesuffix("[]")
        within = places[0] if places else None
        return _with_values(array, lambda inner: _write(inner, inside, within))
    if kind == "numeric" and pa.types.is_decimal(given):
        return array
    wanted = _write_type(kind)
    if pa.types.is_timestamp(given) and pa.types.is_timestamp(wanted):
        return array.cast(wanted)  # with an error where there are nanoseconds
    return array.cast(wanted, safe=not pa.types.is_temporal(given))


def _write_json(array: pa.Array, places: Any) -> pa.Array:
    if pa.types.is_nested(array.type):
        dtype = with_json(PyArrowType.to_ibis(array.type), places)
        texts = [
            None if value is None else json.dumps(jsonable(value, dtype))
            for value in array.to_pylist()
        ]
        array = pa.array(texts, pa.string())
    return pc.binary_join_element_wise(_JSONB_VERSION, array.cast(pa.binary()), b"")


def _uuids(array: pa.Array) -> pa.Array:
    if pa.types.is_fixed_size_binary(array.type):
        return array
    digits = pc.replace_substring_regex(array.cast(pa.string()), "[-{}]", "")
    digits = digits.fill_null("0" * 2 * _UUID_BYTES)
    if not pc.all(pc.equal(pc.utf8_length(digits), 2 * _UUID_BYTES)).as_py():
        raise ValueError("a UUID has 32 hexadecimal digits")
    data = bytes.fromhex("".join(digits.to_pylist()))
    made = pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(_UUID_BYTES), len(array), [None, pa.py_buffer(data)]
    )
    return pc.if_else(array.is_valid(), made, None) if array.null_count else made
