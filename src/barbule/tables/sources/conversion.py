"""Columns of Arrow tables and of text files, made to fit the types of a table.

Owns which Arrow types become which others by a cast, and how texts are parsed. Where a whole
column does not fit, its values are looked at one by one, which finds the row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt

from barbule.errors import DataError
from barbule.tables.sources.json_texts import checked_json, holds_json_texts, json_texts
from barbule.tables.sources.text_values import read_value, text_reader
from barbule.types import Media
from barbule.values.cells import arrow_type, is_vector, to_array

if TYPE_CHECKING:
    import pyarrow as pa

    from barbule.media.library import MediaLibrary

__all__ = ["cast_column", "read_texts"]

_TRANSPARENT = {"arrow.json", "arrow.fixed_shape_tensor"}
_KEY = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"


def cast_column(
    column: pa.ChunkedArray | pa.Array, kind: dt.DataType, library: MediaLibrary
) -> pa.ChunkedArray | pa.Array:
    """Turn a column of an Arrow table into the storage form of `kind`.

    Raises
    ------
    DataError
        When a value does not fit; the error names its row and shows it.
    """
    import pyarrow as pa

    wanted = arrow_type(kind)
    column = _unwrapped(pa.chunked_array([column]) if isinstance(column, pa.Array) else column)
    if pa.types.is_null(column.type):
        return pa.nulls(len(column), wanted)
    if column.type == pa.time64("ns"):
        _refuse_nanoseconds(column)
    if isinstance(kind, dt.JSON) and _is_text(column.type):
        return checked_json(column.cast(wanted))
    if holds_json_texts(column.type, kind):
        return json_texts(column, wanted, _values(column))
    if isinstance(kind, dt.UUID) and _is_text(column.type) and _all_keys(column):
        return column.cast(wanted)
    if _lacks_numbers(column, kind):
        return to_array(_values(column), kind, library)  # which finds the row
    if column.type == wanted and _means_itself(kind):
        return column
    if _casts(column.type, kind):
        column = _as_doubles(column, kind)
        cast = _cast_exactly(column, kind, library.zone)
        if cast is not None:
            return cast  # otherwise value by value, which finds the row that does not fit
    return to_array(_values(column), kind, library)


def _lacks_numbers(column: pa.ChunkedArray, kind: dt.DataType) -> bool:
    """Whether a vector lacks one of its numbers."""
    if not is_vector(kind) or not hasattr(column.type, "value_type"):
        return False
    return any(chunk.flatten().null_count for chunk in column.chunks)


def _unwrapped(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Take off other encodings of the same values, and extension types that mean their storage."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(column.type):
        return _decoded(column)
    if pa.types.is_run_end_encoded(column.type) and _has_plain_runs(column.type):
        return _unwrapped(
            pa.chunked_array(
                [pc.run_end_decode(each) for each in column.chunks], column.type.value_type
            )
        )
    if pa.types.is_string_view(column.type):
        return column.cast(pa.string())
    if pa.types.is_binary_view(column.type):
        return column.cast(pa.binary())
    if getattr(column.type, "extension_name", None) in _TRANSPARENT:
        return column.cast(column.type.storage_type)
    return column


def _has_plain_runs(kind: pa.RunEndEncodedType) -> bool:
    """Whether Arrow has a function that decodes runs of these values."""
    import pyarrow as pa

    inside = kind.value_type
    return not (pa.types.is_nested(inside) or str(inside).endswith("_view"))


def _decoded(column: pa.ChunkedArray) -> pa.ChunkedArray:
    import pyarrow as pa

    kind = column.type.value_type
    wanted = pa.string() if _is_text(kind) else kind  # views of texts have no cast of their own
    chunks = [
        pa.DictionaryArray.from_arrays(chunk.indices, chunk.dictionary.cast(wanted))
        for chunk in column.chunks
    ]
    return pa.chunked_array([chunk.dictionary_decode() for chunk in chunks], wanted)


def _is_text(given: pa.DataType) -> bool:
    import pyarrow as pa

    return (
        pa.types.is_string(given) or pa.types.is_large_string(given)
        or pa.types.is_string_view(given)
    )  # fmt: skip


def _means_itself(kind: dt.DataType) -> bool:
    """Whether every Arrow value of the storage form is a value of `kind`."""
    if isinstance(kind, dt.Array):
        return _means_itself(kind.value_type)
    if isinstance(kind, dt.Struct):
        return all(map(_means_itself, kind.fields.values()))
    return not isinstance(kind, Media | dt.UUID | dt.JSON)


def _casts(given: pa.DataType, kind: dt.DataType) -> bool:
    """Whether Arrow turns one type into the other as we mean it."""
    import pyarrow as pa

    if isinstance(kind, dt.Array):
        lists = pa.types.is_list(given) or pa.types.is_large_list(given)
        if not (lists or pa.types.is_fixed_size_list(given)):
            return False
        return _casts(given.value_type, kind.value_type)
    if isinstance(kind, dt.Timestamp):
        return pa.types.is_timestamp(given) or pa.types.is_date(given)
    if isinstance(kind, dt.Time):
        return pa.types.is_time(given)
    if isinstance(kind, dt.Date):
        return pa.types.is_date(given)
    if isinstance(kind, dt.Interval):
        return pa.types.is_duration(given)
    if isinstance(kind, dt.String):
        return _is_text(given) and not isinstance(kind, Media)
    if isinstance(kind, dt.Boolean):
        return pa.types.is_boolean(given)
    if isinstance(kind, dt.Binary):
        return pa.types.is_large_binary(given) or pa.types.is_fixed_size_binary(given)
    numbers = pa.types.is_integer(given) or pa.types.is_floating(given)
    return (numbers or pa.types.is_decimal(given)) and isinstance(
        kind, dt.Integer | dt.Floating | dt.Decimal
    )


def _may_round(given: pa.DataType, kind: dt.DataType) -> bool:
    """Whether Arrow's cast rounds floats to the digits of a decimal."""
    import pyarrow as pa

    if isinstance(kind, dt.Array):
        return _may_round(given.value_type, kind.value_type)
    return isinstance(kind, dt.Decimal) and pa.types.is_floating(given)


def _as_doubles(column: pa.ChunkedArray, kind: dt.DataType) -> pa.ChunkedArray:
    """Give narrow floats that become decimals the doubles of the same shortest text."""
    import pyarrow as pa

    doubles = _with_items(column.type, pa.float64())
    if column.type == doubles or not _may_round(column.type, kind):
        return column
    single = column.cast(_with_items(column.type, pa.float32()))
    return single.cast(_with_items(column.type, pa.string())).cast(doubles)


def _with_items(given: pa.DataType, item: pa.DataType) -> pa.DataType:
    """Return a type with another at the place of its numbers, in lists as they are."""
    import pyarrow as pa

    if pa.types.is_fixed_size_list(given):
        return pa.list_(_with_items(given.value_type, item), given.list_size)
    if pa.types.is_large_list(given):
        return pa.large_list(_with_items(given.value_type, item))
    if pa.types.is_list(given):
        return pa.list_(_with_items(given.value_type, item))
    return item


def _are_exact(doubles: pa.ChunkedArray, kind: dt.DataType) -> bool:
    """Whether the shortest texts of all doubles are surely decimals of the digits of `kind`.

    Of decimals of up to 15 digits no two are one double, and up to ten to the power of 22 is
    one exactly: division gives the double nearest to the decimal. Other numbers are not told.
    """
    import numpy as np
    import pyarrow.compute as pc

    while isinstance(kind, dt.Array):
        doubles, kind = pc.list_flatten(doubles), kind.value_type
    if not isinstance(kind, dt.Decimal) or (kind.scale or 0) > _EXACT_POWER:
        return False
    numbers = doubles.drop_null().to_numpy()
    power = 10.0 ** (kind.scale or 0)
    with np.errstate(all="ignore"):
        counted = np.rint(numbers * power)
        return bool(np.all((np.abs(counted) < _EXACT_COUNT) & (counted / power == numbers)))


_EXACT_POWER = 22
_EXACT_COUNT = 1e15
_UNITS = ["s", "ms", "us", "ns"]


def _cast_exactly(column: pa.ChunkedArray, kind: dt.DataType, zone: str) -> pa.ChunkedArray | None:
    """Cast a whole column by Arrow; return None where a value does not fit, or may not."""
    import pyarrow as pa

    if _may_round(column.type, kind) and not _are_exact(column, kind):
        return None
    try:
        return _cast(column, arrow_type(kind), zone)
    except pa.ArrowException:
        return None


def _cast(column: pa.ChunkedArray, wanted: pa.DataType, zone: str) -> pa.ChunkedArray:
    import pyarrow as pa

    if pa.types.is_timestamp(wanted):
        column = _in_zone(column, wanted.tz, zone)
    given = column.type
    finer = (
        pa.types.is_timestamp(given)
        and pa.types.is_timestamp(wanted)
        and wanted.tz is None
        and _UNITS.index(given.unit) > _UNITS.index(wanted.unit)
        and wanted.unit != "us"
    )  # what is finer than a column that was declared so is cut off, as databases do
    return column.cast(wanted, safe=not finer)


def _in_zone(column: pa.ChunkedArray, wanted: str | None, default: str) -> pa.ChunkedArray:
    """Give moments a zone, or take it off, as the default zone says; days begin at midnight."""
    import pyarrow as pa
    import pyarrow.compute as pc

    given = column.type
    if not pa.types.is_timestamp(given):
        if wanted is None:
            return column
        column, default = column.cast(pa.timestamp("s")), wanted
    elif (given.tz is None) == (wanted is None):
        return column
    elif given.tz is not None:
        return pc.local_timestamp(column.cast(pa.timestamp(given.unit, default)))
    return pc.assume_timezone(column, default, ambiguous="earliest", nonexistent="latest")


def _all_keys(column: pa.ChunkedArray) -> bool:
    import pyarrow.compute as pc

    matched = pc.match_substring_regex(column, _KEY)
    return pc.all(matched, min_count=0).as_py() is not False


def _refuse_nanoseconds(column: pa.ChunkedArray) -> None:
    """Refuse times of day that Python, which counts them in microseconds, would cut."""
    import pyarrow as pa
    import pyarrow.compute as pc

    counted = column.cast(pa.int64())
    whole = pc.multiply(pc.divide(counted, 1000), 1000)
    finer = pc.fill_null(pc.not_equal(counted, whole), False).to_pylist()
    if True in finer:
        raise DataError(
            "it has nanoseconds, and times of day are kept in microseconds.",
            row=(row := finer.index(True)),
            value=str(column[row]),
            hint="Round it before.",
        )


def _values(column: pa.ChunkedArray) -> list[Any]:
    try:
        return column.to_pylist()
    except (ValueError, OverflowError) as error:
        raise DataError(
            f"the column of type {column.type} holds what Python cannot read: {error}.",
            hint="Cast the column before it is inserted.",
        ) from error


def read_texts(
    column: pa.ChunkedArray, kind: dt.DataType, library: MediaLibrary
) -> pa.ChunkedArray | pa.Array:
    """Parse a column of texts, as CSV files have them, into the storage form of `kind`.

    Raises
    ------
    DataError
        When a text is no `kind`; the error names its row and shows it.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if isinstance(kind, Media) or not isinstance(kind, dt.String | dt.Binary):  # "" is no value
        column = pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.string()), column)
    if isinstance(kind, dt.String | dt.UUID | dt.JSON):  # media among them
        return cast_column(column, kind, library)
    if isinstance(kind, dt.Numeric | dt.Boolean | dt.Timestamp | dt.Date):
        try:
            return column.cast(arrow_type(kind))
        except pa.ArrowException:
            pass  # text by text, which knows more ways to write one and finds what is wrong
    values = column.to_pylist()
    if (read := text_reader(kind)) is not None:
        values = [read_value(text, row, kind, read) for row, text in enumerate(values)]
    return to_array(values, kind, library)
