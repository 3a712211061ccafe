"""Columns of Arrow tables and of text files, converted to the types of a table.

Owns which Arrow types are cast to which others, and how strings are parsed. If the cast of a column
fails, its values are converted one by one, which finds the row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt

from barbule.errors import DataError
from barbule.tables.sources.json_texts import checked_json, holds_json_texts, json_texts
from barbule.tables.sources.text_values import read_value, text_reader
from barbule.types import declaration
from barbule.types.declarations import is_vector
from barbule.types.declarations.nested import leaves
from barbule.values.cells import arrow_type, to_array

if TYPE_CHECKING:
    import pyarrow as pa

    from barbule.media.library import MediaLibrary

__all__ = ["cast_column", "read_texts"]

_TRANSPARENT_EXTENSIONS = {"arrow.json", "arrow.fixed_shape_tensor"}
_UUID_PATTERN = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"


def cast_column(
    column: pa.ChunkedArray | pa.Array, dtype: dt.DataType, library: MediaLibrary
) -> pa.ChunkedArray | pa.Array:
    """Convert a column of an Arrow table to the storage form of `dtype`.

    Raises
    ------
    DataError
        If a value does not fit; the error names its row and shows it.
    """
    import pyarrow as pa

    arrow_dtype = arrow_type(dtype)
    column = _unwrapped(pa.chunked_array([column]) if isinstance(column, pa.Array) else column)
    if pa.types.is_null(column.type):
        return pa.nulls(len(column), arrow_dtype)
    if column.type == pa.time64("ns"):
        _refuse_nanoseconds(column)
    if declaration(dtype).json == "json" and _is_string(column.type):
        return checked_json(column.cast(arrow_dtype))
    if holds_json_texts(column.type, dtype):
        return json_texts(column, arrow_dtype, _python_values(column))
    if isinstance(dtype, dt.UUID) and _is_string(column.type) and _all_uuids(column):
        return column.cast(arrow_dtype)
    if _lacks_numbers(column, dtype):
        return to_array(_python_values(column), dtype, library)  # which finds the row
    if column.type == arrow_dtype and _has_arrow_values(dtype):
        return column
    if _can_cast(column.type, dtype):
        column = _widen_floats(column, dtype)
        cast = _cast_exactly(column, dtype, library.zone)
        if cast is not None:
            return cast  # otherwise value by value, which finds the row that does not fit
    return to_array(_python_values(column), dtype, library)


def _lacks_numbers(column: pa.ChunkedArray, dtype: dt.DataType) -> bool:
    """Whether a vector has a missing number."""
    if not is_vector(dtype) or not hasattr(column.type, "value_type"):
        return False
    return any(chunk.flatten().null_count for chunk in column.chunks)


def _unwrapped(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Decode dictionaries, runs and views, and unwrap extension types of plain storage."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(column.type):
        return _decode_dictionary(column)
    if pa.types.is_run_end_encoded(column.type) and _has_plain_runs(column.type):
        return _unwrapped(
            pa.chunked_array(
                [pc.run_end_decode(chunk) for chunk in column.chunks], column.type.value_type
            )
        )
    if pa.types.is_string_view(column.type):
        return column.cast(pa.string())
    if pa.types.is_binary_view(column.type):
        return column.cast(pa.binary())
    if getattr(column.type, "extension_name", None) in _TRANSPARENT_EXTENSIONS:
        return column.cast(column.type.storage_type)
    return column


def _has_plain_runs(run_type: pa.RunEndEncodedType) -> bool:
    """Whether Arrow has a function that decodes runs of these values."""
    import pyarrow as pa

    value_type = run_type.value_type
    return not (pa.types.is_nested(value_type) or str(value_type).endswith("_view"))


def _decode_dictionary(column: pa.ChunkedArray) -> pa.ChunkedArray:
    import pyarrow as pa

    value_type = column.type.value_type
    decoded_type = (
        pa.string() if _is_string(value_type) else value_type
    )  # string views have no cast of their own
    chunks = [
        pa.DictionaryArray.from_arrays(chunk.indices, chunk.dictionary.cast(decoded_type))
        for chunk in column.chunks
    ]
    return pa.chunked_array([chunk.dictionary_decode() for chunk in chunks], decoded_type)


def _is_string(arrow_dtype: pa.DataType) -> bool:
    import pyarrow as pa

    return (
        pa.types.is_string(arrow_dtype) or pa.types.is_large_string(arrow_dtype)
        or pa.types.is_string_view(arrow_dtype)
    )  # fmt: skip


def _has_arrow_values(dtype: dt.DataType) -> bool:
    """Whether every Arrow value of the storage form is a value of `dtype`."""
    return not any(declaration(leaf).checked for leaf in leaves(dtype, into=(dt.Array, dt.Struct)))


def _can_cast(source: pa.DataType, target: dt.DataType) -> bool:
    """Whether a cast of Arrow from one type to the other keeps the meaning of values."""
    import pyarrow as pa

    if isinstance(target, dt.Array):
        lists = pa.types.is_list(source) or pa.types.is_large_list(source)
        if not (lists or pa.types.is_fixed_size_list(source)):
            return False
        return _can_cast(source.value_type, target.value_type)
    return declaration(target).takes_arrow(source)


def _may_round(source: pa.DataType, target: dt.DataType) -> bool:
    """Whether Arrow's cast rounds floats to the digits of a decimal."""
    import pyarrow as pa

    if isinstance(target, dt.Array):
        return _may_round(source.value_type, target.value_type)
    return isinstance(target, dt.Decimal) and pa.types.is_floating(source)


def _widen_floats(column: pa.ChunkedArray, dtype: dt.DataType) -> pa.ChunkedArray:
    """Widen narrow floats that become decimals to the doubles of the same shortest string."""
    import pyarrow as pa

    double_type = _with_item_type(column.type, pa.float64())
    if column.type == double_type or not _may_round(column.type, dtype):
        return column
    single = column.cast(_with_item_type(column.type, pa.float32()))
    return single.cast(_with_item_type(column.type, pa.string())).cast(double_type)


def _with_item_type(arrow_dtype: pa.DataType, item: pa.DataType) -> pa.DataType:
    """Return a type with another item type, within the same lists."""
    import pyarrow as pa

    if pa.types.is_fixed_size_list(arrow_dtype):
        return pa.list_(_with_item_type(arrow_dtype.value_type, item), arrow_dtype.list_size)
    if pa.types.is_large_list(arrow_dtype):
        return pa.large_list(_with_item_type(arrow_dtype.value_type, item))
    if pa.types.is_list(arrow_dtype):
        return pa.list_(_with_item_type(arrow_dtype.value_type, item))
    return item


def _are_exact_decimals(doubles: pa.ChunkedArray, dtype: dt.DataType) -> bool:
    """Whether the shortest strings of all doubles are decimals with the digits of a type.

    No two decimals of up to 15 digits are the same double, and powers of ten up to 22 are exact
    doubles: division returns the double nearest to the decimal. For other numbers the result is
    false.
    """
    import numpy as np
    import pyarrow.compute as pc

    while isinstance(dtype, dt.Array):
        doubles, dtype = pc.list_flatten(doubles), dtype.value_type
    if not isinstance(dtype, dt.Decimal) or (dtype.scale or 0) > _MAX_EXACT_POWER:
        return False
    numbers = doubles.drop_null().to_numpy()
    power = 10.0 ** (dtype.scale or 0)
    with np.errstate(all="ignore"):
        counted = np.rint(numbers * power)
        return bool(np.all((np.abs(counted) < _MAX_EXACT_COUNT) & (counted / power == numbers)))


_MAX_EXACT_POWER = 22
_MAX_EXACT_COUNT = 1e15
_TIME_UNITS = ["s", "ms", "us", "ns"]


def _cast_exactly(column: pa.ChunkedArray, dtype: dt.DataType, zone: str) -> pa.ChunkedArray | None:
    """Cast a column with Arrow; None if a value does not fit, or must not be cast."""
    import pyarrow as pa

    if _may_round(column.type, dtype) and not _are_exact_decimals(column, dtype):
        return None
    try:
        return _cast(column, arrow_type(dtype), zone)
    except pa.ArrowException:
        return None


def _cast(column: pa.ChunkedArray, target: pa.DataType, zone: str) -> pa.ChunkedArray:
    import pyarrow as pa

    if pa.types.is_timestamp(target):
        column = _in_zone(column, target.tz, zone)
    source = column.type
    finer = (
        pa.types.is_timestamp(source)
        and pa.types.is_timestamp(target)
        and target.tz is None
        and _TIME_UNITS.index(source.unit) > _TIME_UNITS.index(target.unit)
        and target.unit != "us"
    )  # Digits beyond the precision that a column was declared with are cut off, as in databases.
    return column.cast(target, safe=not finer)


def _in_zone(column: pa.ChunkedArray, zone: str | None, default: str) -> pa.ChunkedArray:
    """Add or remove the time zone of timestamps, using the default zone; dates are midnights."""
    import pyarrow as pa
    import pyarrow.compute as pc

    source = column.type
    if not pa.types.is_timestamp(source):
        if zone is None:
            return column
        column, default = column.cast(pa.timestamp("s")), zone
    elif (source.tz is None) == (zone is None):
        return column
    elif source.tz is not None:
        return pc.local_timestamp(column.cast(pa.timestamp(source.unit, default)))
    return pc.assume_timezone(column, default, ambiguous="earliest", nonexistent="latest")


def _all_uuids(column: pa.ChunkedArray) -> bool:
    import pyarrow.compute as pc

    matched = pc.match_substring_regex(column, _UUID_PATTERN)
    return pc.all(matched, min_count=0).as_py() is not False


def _refuse_nanoseconds(column: pa.ChunkedArray) -> None:
    """Refuse times of day with nanoseconds, which Python would truncate."""
    import pyarrow as pa
    import pyarrow.compute as pc

    nanoseconds = column.cast(pa.int64())
    microseconds = pc.multiply(pc.divide(nanoseconds, 1000), 1000)
    has_nanoseconds = pc.fill_null(pc.not_equal(nanoseconds, microseconds), False).to_pylist()
    if True in has_nanoseconds:
        raise DataError(
            "it has nanoseconds, but times of day are stored in microseconds.",
            row=(row := has_nanoseconds.index(True)),
            value=str(column[row]),
            hint="Round it first.",
        )


def _python_values(column: pa.ChunkedArray) -> list[Any]:
    try:
        return column.to_pylist()
    except (ValueError, OverflowError) as error:
        raise DataError(
            f"the column of type {column.type} holds values that Python cannot read: {error}.",
            hint="Cast the column before you insert it.",
        ) from error


def read_texts(
    column: pa.ChunkedArray, dtype: dt.DataType, library: MediaLibrary
) -> pa.ChunkedArray | pa.Array:
    """Parse a column of strings, as in CSV files, into the storage form of `dtype`.

    Raises
    ------
    DataError
        If a string is not a valid `dtype`; the error names its row and shows it.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    declared = declaration(dtype)
    if not declared.empty_text:  # "" means missing
        column = pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.string()), column)
    if declared.text_cast == "text":
        return cast_column(column, dtype, library)
    if declared.text_cast == "arrow":
        try:
            return column.cast(arrow_type(dtype))
        except pa.ArrowException:
            pass  # string by string, which supports more formats and finds the invalid one
    values = column.to_pylist()
    if (read := text_reader(dtype)) is not None:
        values = [read_value(text, row, dtype, read) for row, text in enumerate(values)]
    return to_array(values, dtype, library)
