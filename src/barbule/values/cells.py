"""Conversion between Python values and Arrow cells, by data type.

Owns the conversion in both directions, which inserts, functions and result sets share. Columns are
converted at once if the types of their values allow it; otherwise value by value, which also finds
the value that does not fit. Media content is passed to the library, which returns the reference for
the cell.
"""

from __future__ import annotations

import bisect
import contextlib
import functools
import itertools
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt

from barbule.config import TIMEZONE
from barbule.errors import BarbuleError, DataError
from barbule.json_codec import json_cell
from barbule.types import Media, declaration, storage, values_of
from barbule.types.declarations import is_vector
from barbule.types.declarations.nested import CellForm
from barbule.types.declarations.python_values import is_missing
from barbule.values.arrays import arrow_array

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import pyarrow as pa

    from barbule.types.declarations.media_access import MediaAccess

__all__ = ["arrow_type", "cell_media", "media_writer", "reader", "to_array"]


@functools.lru_cache(maxsize=1024)
def arrow_type(kind: dt.DataType) -> pa.DataType:
    """Return the Arrow type for values of `kind`."""
    return storage(kind).to_pyarrow()


def to_array(values: Sequence[Any], kind: dt.DataType, library: MediaAccess) -> pa.Array:
    """Convert Python values to an Arrow array of the storage form of `kind`.

    NaN is a value in a column of floats, an error in a column of decimals or JSON, and missing in
    all others, as are `pandas.NA` and `pandas.NaT`. A timestamp without a time zone is taken as
    local time of the default zone in a column with a zone; one with a zone is converted to the
    default zone in a column without.

    Raises
    ------
    DataError
        If a value does not fit; the error names its row and shows it.
    """
    import pyarrow as pa

    all_types = set(map(type, values))
    types = all_types - {type(None)}
    if not types:
        return pa.nulls(len(values), arrow_type(kind))
    if root_models := {
        type_ for type_ in types if getattr(type_, "__pydantic_root_model__", False)
    }:
        return to_array([v.root if type(v) in root_models else v for v in values], kind, library)
    if isinstance(kind, dt.Struct):
        return _struct_array(values, kind, library)
    if isinstance(kind, dt.Array):
        return _list_array(values, types, kind, library)
    # If this fails, values are converted one by one, for conversions that Arrow lacks and to find
    # the invalid row.
    if types <= _exact_types(kind, library.zone):
        with contextlib.suppress(*_CONVERSION_ERRORS):
            return arrow_array(values, arrow_type(kind), types=all_types)
    if declaration(kind).json == "json" and types <= _JSON_TYPES:
        with contextlib.suppress(*_CONVERSION_ERRORS):
            texts = [None if value is None else json_cell(value) for value in values]
            return arrow_array(texts, arrow_type(kind))
    return _convert_by_value(values, kind, library)


_JSON_TYPES = {dict, list, str, int, bool}  # none of which stands for a missing value
_CONVERSION_ERRORS = (TypeError, ValueError, ArithmeticError)  # Arrow's own are among these


def _exact_types(kind: dt.DataType, zone: str) -> frozenset[type]:
    """Return the Python types that Arrow converts to `kind` exactly.

    For Arrow a timestamp without a zone is UTC.
    """
    if isinstance(kind, dt.Timestamp) and zone != TIMEZONE:
        return frozenset()
    return declaration(kind).python


def _convert_by_value(values: Sequence[Any], kind: dt.DataType, library: MediaAccess) -> pa.Array:
    declared = declaration(kind)
    convert = declared.write(kind, library)
    plain = list(values)
    for row, value in enumerate(values):
        if value is None or convert is None:
            continue
        try:
            missing = is_missing(value, nan_is_missing=declared.nan_is_missing)
            plain[row] = None if missing else convert(value)
        except BarbuleError as error:
            raise error.at(row=row) from error.__cause__
        except _CONVERSION_ERRORS as error:
            raise _type_error(kind, str(error), row, value) from error
    target_type = arrow_type(kind)
    try:
        return arrow_array(plain, target_type, nan_is_missing=declared.nan_is_missing)
    except _CONVERSION_ERRORS as error:
        raise _first_misfit(plain, values, target_type, kind, error) from error


def _type_error(kind: dt.DataType, reason: str, row: int, value: object) -> DataError:
    return DataError(
        f"this is not a valid {kind}: {reason}.",
        row=row,
        value=value,
        hint="Correct the value, or give the column another type.",
    )


def _first_misfit(
    plain: Sequence[Any],
    values: Sequence[Any],
    target_type: pa.DataType,
    kind: dt.DataType,
    error: Exception,
) -> DataError:
    for row, value in enumerate(plain):
        try:
            arrow_array([value], target_type, nan_is_missing=True)
        except _CONVERSION_ERRORS as cause:
            return _type_error(kind, str(cause).rstrip("."), row, values[row])
    return DataError(
        f"the values cannot be converted to {kind}: {error}.", hint="Correct the values."
    )


def _struct_array(values: Sequence[Any], kind: dt.Struct, library: MediaAccess) -> pa.Array:
    import pyarrow as pa

    records: list[dict[str, Any] | None] = []
    for row, value in enumerate(values):
        try:
            records.append(None if value is None else _to_record(value, kind))
        except _CONVERSION_ERRORS as error:
            raise _type_error(kind, str(error), row, value) from error
    fields = []
    for name, inner in kind.fields.items():
        items = [None if record is None else record.get(name) for record in records]
        try:
            fields.append(to_array(items, inner, library))
        except DataError as error:
            row = error.row or 0
            reason = f"its field {name!r}: {error.message.rstrip('.')}"
            raise _type_error(kind, reason, row, values[row]) from error
    empty = arrow_array([record is None for record in records], pa.bool_())
    return pa.StructArray.from_arrays(fields, fields=list(arrow_type(kind)), mask=empty)


def _to_record(value: object, kind: dt.Struct) -> dict[str, Any] | None:
    if is_missing(value, nan_is_missing=True):
        return None
    fields = value if isinstance(value, dict) else _record_fields(value)
    if unknown := fields.keys() - kind.fields.keys():
        names = ", ".join(sorted(map(repr, unknown)))
        raise ValueError(f"it has the unknown fields {names}")
    return fields


def _record_fields(value: object) -> dict[str, Any]:
    if not isinstance(value, type) and (values := values_of(value)) is not None:
        return values
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return value._asdict()
    raise TypeError(f"got {type(value).__name__}, not a record")


def _list_array(
    values: Sequence[Any], types: set[type], kind: dt.Array, library: MediaAccess
) -> pa.Array:
    import pyarrow as pa

    target_type = arrow_type(kind)
    if types == {_ndarray()} and (stacked := _stack_vectors(values, kind, target_type)) is not None:
        return stacked
    lists: list[list[Any] | None] = []
    for row, value in enumerate(values):
        try:
            lists.append(None if value is None else _list_items(value, kind))
        except _CONVERSION_ERRORS as error:
            raise _type_error(kind, str(error), row, value) from error
    filler = [None] * (kind.length or 0)
    filled = [filler if items is None else items for items in lists]
    offsets = list(itertools.accumulate(map(len, filled), initial=0))
    try:
        flat = to_array(list(itertools.chain.from_iterable(filled)), kind.value_type, library)
    except DataError as error:
        row = bisect.bisect_right(offsets, error.row or 0) - 1
        reason = f"its item {(error.row or 0) - offsets[row]}: {error.message.rstrip('.')}"
        raise _type_error(kind, reason, row, values[row]) from error
    empty = None
    if any(items is None for items in lists):
        empty = arrow_array([items is None for items in lists], pa.bool_())
    if kind.length is not None:
        return pa.FixedSizeListArray.from_arrays(flat, type=target_type, mask=empty)
    return pa.ListArray.from_arrays(
        arrow_array(offsets, pa.int32()), flat, type=target_type, mask=empty
    )


def _ndarray() -> type:
    import numpy as np

    return np.ndarray


def _stack_vectors(
    values: Sequence[Any], kind: dt.Array, target_type: pa.DataType
) -> pa.Array | None:
    """Stack vectors at once if none is missing and all have the same length."""
    import numpy as np
    import pyarrow as pa

    if not is_vector(kind) or any(value is None for value in values):
        return None
    if any(value.shape != (kind.length,) or value.dtype.kind not in "fiu" for value in values):
        return None
    flat = np.concatenate(values, dtype=kind.value_type.to_numpy(), casting="unsafe")
    inner = pa.Array.from_buffers(target_type.value_type, flat.size, [None, pa.py_buffer(flat)])
    return pa.FixedSizeListArray.from_arrays(inner, type=target_type)


def _list_items(value: object, kind: dt.Array) -> list[Any] | None:
    if is_missing(value, nan_is_missing=True):
        return None
    items = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(items, str | bytes | dict) or not isinstance(items, Iterable):
        raise TypeError(f"got {type(value).__name__}, not a list")
    items = items if isinstance(items, list) else list(items)
    if kind.length is not None and len(items) != kind.length:
        raise ValueError(f"it has {len(items)} items, not {kind.length}")
    if None in items and is_vector(kind):
        raise ValueError(
            f"its item {items.index(None)} is NULL, so it cannot be compared by similarity"
        )
    return items


def media_writer(kind: dt.DataType, library: MediaAccess) -> Callable[[Any], Any] | None:
    """Return a function that stores the media of a value and leaves their references.

    None if `kind` holds no media.
    """
    if isinstance(kind, Media):
        return lambda value: library.refer(value, kind, computed=True)
    if isinstance(kind, dt.Array) and (inner := media_writer(kind.value_type, library)):
        return lambda items: [None if item is None else inner(item) for item in items]
    if isinstance(kind, dt.Struct):
        fields = {name: media_writer(field, library) for name, field in kind.fields.items()}
        field_writers = {name: keeper for name, keeper in fields.items() if keeper is not None}
        if field_writers:
            return lambda value: _store_fields(value, field_writers)
    return None


def _store_fields(value: object, field_writers: dict[str, Callable[[Any], Any]]) -> dict[str, Any]:
    fields = value if isinstance(value, dict) else _record_fields(value)
    return {
        name: field_writers[name](item) if name in field_writers and item is not None else item
        for name, item in fields.items()
    }


def cell_media(value: Any, kind: dt.DataType) -> Iterator[tuple[Media, str]]:
    """Yield the references to media in an Arrow cell (as Python), each with its type."""
    if value is None:
        return
    if isinstance(kind, Media):
        yield kind, value
    elif isinstance(kind, dt.Array):
        for item in value:
            yield from cell_media(item, kind.value_type)
    elif isinstance(kind, dt.Struct):
        for name, inner in kind.fields.items():
            yield from cell_media(value[name], inner)


def reader(kind: dt.DataType, library: MediaAccess | None = None) -> Callable[[Any], Any] | None:
    """Return a function that converts an Arrow cell (as Python) to the value that users see.

    Parameters
    ----------
    library
        Opens media at any depth of the value: images become PIL images, others local paths. Without
        it they stay references.

    Returns
    -------
    callable or None
        None if no conversion is needed.
    """
    return CellForm(lambda leaf: declaration(leaf).read(library)).converter(kind)
