"""The type of a column of Python values.

Finds the type that fits all values of a list: the type of a mixture, and how NumPy arrays are read.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import itertools
import math
import pathlib
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt

from barbule.errors import SchemaError
from barbule.types.annotations import dtype
from barbule.types.data_types import Image, Json
from barbule.types.declarations.storage_forms import canonical

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["no_value_error", "type_of_column"]


def type_of_column(name: str, values: Sequence[Any]) -> dt.DataType:
    """Infer the type of a column of Python values."""
    data_type = _common_type(values)
    if data_type is None:
        raise no_value_error(name)
    if isinstance(data_type, _Mixture):
        raise SchemaError(
            f"it holds values of several types: {data_type}.",
            column=name,
            hint=f"Convert them to one type, or declare the type: {{{name!r}: bb.Json}} stores "
            "values of any type.",
        )
    return canonical(data_type)


def no_value_error(name: str) -> SchemaError:
    """Return the error for a column without values, whose type is unknown."""
    return SchemaError(
        "it holds only NULL, so its type cannot be inferred.",
        column=name,
        hint=f"Declare the type, for example {{{name!r}: bb.String}} in a schema.",
    )


class _Mixture:
    """The types of values that have no common type."""

    def __init__(self, kinds: Iterable[type]) -> None:
        self._names = [kind.__name__ for kind in kinds]

    def __str__(self) -> str:
        return ", ".join(self._names)


def _is_missing(value: object) -> bool:
    return value is None or type(value).__name__ in {"NAType", "NaTType"}


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _common_type(values: Iterable[Any]) -> dt.DataType | _Mixture | None:
    """Infer the common type of values; None if there are none."""
    plain = (_python_value(value) for value in values if not _is_missing(value))
    present = [value for value in plain if value is not None]  # as NumPy's NaT is
    kinds = dict.fromkeys(map(type, present))
    if not all(issubclass(kind, _NUMBERS) for kind in kinds):
        # pandas uses NaN for missing strings.
        present = [value for value in present if not _is_nan(value)]
        kinds = dict.fromkeys(map(type, present))
    if not kinds:
        return None
    for fits, find in _FINDERS:
        if all(fits(kind) for kind in kinds):
            return find(present)
    return _Mixture(kinds)


def _python_value(value: Any) -> Any:
    if isinstance(value, enum.Enum):
        return value.value
    if hasattr(value, "dtype") and not getattr(value, "shape", True):  # a NumPy scalar
        if value.dtype.kind in "mM":
            return value.astype(f"{value.dtype.kind}8[us]").item()
        return value.item()
    return value


_NUMBERS = (int, float, decimal.Decimal)
_INT64 = range(-(2**63), 2**63)


def _subclass_of(*classes: type, excluded: tuple[type, ...] = ()) -> Callable[[type], bool]:
    return lambda kind: issubclass(kind, classes) and not issubclass(kind, excluded)


def _constant(kind: dt.DataType) -> Callable[[list[Any]], dt.DataType]:
    return lambda _: kind


def _integer_type(values: list[int]) -> dt.DataType:
    return dt.int64 if min(values) in _INT64 and max(values) in _INT64 else dt.Decimal(38, 0)


def _decimal_type(values: list[Any]) -> dt.DataType:
    scales = [-int(value.as_tuple().exponent) for value in values if _is_finite(value)]
    return dt.Decimal(38, max([0, *scales]))


def _is_finite(value: object) -> bool:
    return isinstance(value, decimal.Decimal) and value.is_finite()


def _timestamp_type(values: list[Any]) -> dt.DataType | _Mixture:
    zones = {getattr(value, "tzinfo", None) is not None for value in values}
    if len(zones) == 1:
        return dt.Timestamp("UTC") if zones.pop() else dt.timestamp
    return _Mixture([type("datetime with a zone", (), {}), type("datetime without", (), {})])


def _list_type(values: list[Any]) -> dt.DataType | None:
    item_type = _common_type(item for value in values for item in value)
    if item_type is None:
        return None
    return Json() if isinstance(item_type, _Mixture | Json) else dt.Array(item_type)


_FLOAT32_BYTES = 4


def _array_type(values: list[Any]) -> dt.DataType | _Mixture:
    """Infer the type of NumPy arrays: vectors, lists of numbers, or images."""
    shapes, kinds = {array.shape for array in values}, {array.dtype.kind for array in values}
    ranks = {len(shape) for shape in shapes}
    if ranks == {1} and kinds == {"f"}:
        wide = any(v.dtype.itemsize > _FLOAT32_BYTES for v in values)
        length = values[0].shape[0] if len(shapes) == 1 else 0
        return dt.Array(dt.float64 if wide else dt.float32, length=length or None)
    if ranks == {1}:
        return _list_type([array.tolist() for array in values]) or dt.Array(dt.float64)
    if ranks <= {2, 3} and all(array.dtype == "uint8" for array in values):
        return Image()
    if len(ranks) == 1 and (item := _number_type(values, kinds)) is not None:
        return _nested_array(item, shapes)
    names = dict.fromkeys(f"array of {len(v.shape)} dimensions, {v.dtype}" for v in values)
    return _Mixture(type(name, (), {}) for name in names)


def _number_type(values: list[Any], kinds: set[str]) -> dt.DataType | None:
    """Infer the type of the numbers in matrices; None if they hold other values."""
    if kinds == {"f"}:
        wide = any(array.dtype.itemsize > _FLOAT32_BYTES for array in values)
        return dt.float64 if wide else dt.float32
    if kinds <= {"i", "u", "b", "f"} and (kinds == {"b"} or "b" not in kinds):
        items = itertools.chain.from_iterable(array.ravel().tolist() for array in values)
        number_type = _common_type(items)
        return (
            dt.int64
            if number_type is None
            else number_type
            if isinstance(number_type, dt.DataType)
            else None
        )
    return None


def _nested_array(item: dt.DataType, shapes: set[tuple[int, ...]]) -> dt.DataType:
    """Return the type of matrices; for floats it has the lengths that all share, as for vectors."""
    array_type = item
    for axis in reversed(tuple(zip(*shapes, strict=True))):
        length = axis[0] if len(set(axis)) == 1 and isinstance(item, dt.Floating) else 0
        array_type = dt.Array(array_type, length=length or None)
    return array_type


def _record_type(values: list[Any]) -> dt.DataType:
    kinds = set(map(type, values))
    return dtype(kinds.pop()) if len(kinds) == 1 else Json()


def _is_record(kind: type) -> bool:
    return hasattr(kind, "model_fields") or dataclasses.is_dataclass(kind)


# The first entry that fits all values of a column determines its type.
_FINDERS: tuple[tuple[Callable[[type], bool], Callable[[list[Any]], Any]], ...] = (
    (_subclass_of(bool), _constant(dt.boolean)),
    (_subclass_of(int, excluded=(bool,)), _integer_type),
    (_subclass_of(int, decimal.Decimal, excluded=(bool,)), _decimal_type),
    (_subclass_of(*_NUMBERS, excluded=(bool,)), _constant(dt.float64)),
    (_subclass_of(str, pathlib.PurePath), _constant(dt.string)),
    (_subclass_of(bytes, bytearray, memoryview), _constant(dt.binary)),
    (_subclass_of(datetime.date, excluded=(datetime.datetime,)), _constant(dt.date)),
    (_subclass_of(datetime.date), _timestamp_type),
    (_subclass_of(datetime.time), _constant(dt.time)),
    (_subclass_of(datetime.timedelta), _constant(dt.Interval("us"))),
    (_subclass_of(uuid.UUID), _constant(dt.uuid)),
    (lambda kind: kind.__module__.startswith("PIL."), _constant(Image())),
    (lambda kind: (kind.__module__, kind.__name__) == ("numpy", "ndarray"), _array_type),
    (_is_record, _record_type),
    (_subclass_of(Mapping), _constant(Json())),
    (lambda kind: issubclass(kind, Mapping) or _is_record(kind), _constant(Json())),
    (_subclass_of(list, tuple, set, frozenset), _list_type),
    (_subclass_of(list, tuple, set, frozenset, Mapping), _constant(Json())),
)
