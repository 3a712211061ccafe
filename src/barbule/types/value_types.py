"""The type of a column of Python values.

Owns which type fits all values of a list: what a mixture becomes, and how NumPy's arrays are read.
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
from barbule.types.kinds import Image, Json, canonical

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["no_value", "type_of_column"]


def type_of_column(name: Any, values: Sequence[Any]) -> dt.DataType:
    """Find the type of a column of Python values."""
    found = _type_of(values)
    if found is None:
        raise no_value(name)
    if isinstance(found, _Mixture):
        raise SchemaError(
            f"it holds values of several types: {found}.",
            column=name,
            hint=f"Make them alike, or say its type: {{{name!r}: bb.Json}} takes any mixture.",
        )
    return canonical(found)


def no_value(name: str) -> SchemaError:
    """Make the error of a column that has no value to tell its type."""
    return SchemaError(
        "it holds no value, so its type cannot be told.",
        column=name,
        hint=f"Say it: {{{name!r}: bb.String}} in a schema.",
    )


class _Mixture:
    """Values that no single type holds, by the names of their types."""

    def __init__(self, kinds: Iterable[type]) -> None:
        self._names = [kind.__name__ for kind in kinds]

    def __str__(self) -> str:
        return ", ".join(self._names)


def _missing(value: Any) -> bool:
    return value is None or type(value).__name__ in {"NAType", "NaTType"}


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _type_of(values: Iterable[Any]) -> dt.DataType | _Mixture | None:
    """Find the type of values; None where none is there."""
    plain = (_plain(each) for each in values if not _missing(each))
    there = [each for each in plain if each is not None]  # as NumPy's NaT is
    kinds = dict.fromkeys(map(type, there))
    if not all(issubclass(kind, _NUMBERS) for kind in kinds):
        # pandas writes NaN for what is missing among texts.
        there = [each for each in there if not _is_nan(each)]
        kinds = dict.fromkeys(map(type, there))
    if not kinds:
        return None
    for fits, find in _FINDERS:
        if all(fits(kind) for kind in kinds):
            return find(there)
    return _Mixture(kinds)


def _plain(value: Any) -> Any:
    if isinstance(value, enum.Enum):
        return value.value
    if hasattr(value, "dtype") and not getattr(value, "shape", True):  # a scalar of NumPy
        if value.dtype.kind in "mM":
            return value.astype(f"{value.dtype.kind}8[us]").item()
        return value.item()
    return value


_NUMBERS = (int, float, decimal.Decimal)
_INT64 = range(-(2**63), 2**63)


def _of_class(*classes: type, but: tuple[type, ...] = ()) -> Callable[[type], bool]:
    return lambda kind: issubclass(kind, classes) and not issubclass(kind, but)


def _is(kind: dt.DataType) -> Callable[[list[Any]], dt.DataType]:
    return lambda _: kind


def _whole(values: list[int]) -> dt.DataType:
    return dt.int64 if min(values) in _INT64 and max(values) in _INT64 else dt.Decimal(38, 0)


def _exact(values: list[Any]) -> dt.DataType:
    places = [-int(each.as_tuple().exponent) for each in values if _is_finite(each)]
    return dt.Decimal(38, max([0, *places]))


def _is_finite(value: Any) -> bool:
    return isinstance(value, decimal.Decimal) and value.is_finite()


def _moment(values: list[Any]) -> dt.DataType | _Mixture:
    zones = {getattr(each, "tzinfo", None) is not None for each in values}
    if len(zones) == 1:
        return dt.Timestamp("UTC") if zones.pop() else dt.timestamp
    return _Mixture([type("datetime with a zone", (), {}), type("datetime without", (), {})])


def _listed(values: list[Any]) -> dt.DataType | None:
    inner = _type_of(item for each in values for item in each)
    if inner is None:
        return None
    return Json() if isinstance(inner, _Mixture | Json) else dt.Array(inner)


_FLOAT32_BYTES = 4


def _arrays(values: list[Any]) -> dt.DataType | _Mixture:
    """Find the type of NumPy's arrays: vectors, lists of numbers, or the pixels of an image."""
    shapes, kinds = {each.shape for each in values}, {each.dtype.kind for each in values}
    ranks = {len(shape) for shape in shapes}
    if ranks == {1} and kinds == {"f"}:
        wide = any(v.dtype.itemsize > _FLOAT32_BYTES for v in values)
        length = values[0].shape[0] if len(shapes) == 1 else 0
        return dt.Array(dt.float64 if wide else dt.float32, length=length or None)
    if ranks == {1}:
        return _listed([each.tolist() for each in values]) or dt.Array(dt.float64)
    if ranks <= {2, 3} and all(each.dtype == "uint8" for each in values):
        return Image()
    if len(ranks) == 1 and (item := _item_of(values, kinds)) is not None:
        return _nested(item, shapes)
    names = dict.fromkeys(f"array of {len(v.shape)} dimensions, {v.dtype}" for v in values)
    return _Mixture(type(name, (), {}) for name in names)


def _item_of(values: list[Any], kinds: set[str]) -> dt.DataType | None:
    """Find the type of the numbers in matrices; None where they hold something else."""
    if kinds == {"f"}:
        wide = any(each.dtype.itemsize > _FLOAT32_BYTES for each in values)
        return dt.float64 if wide else dt.float32
    if kinds <= {"i", "u", "b", "f"} and (kinds == {"b"} or "b" not in kinds):
        items = itertools.chain.from_iterable(each.ravel().tolist() for each in values)
        found = _type_of(items)
        return dt.int64 if found is None else found if isinstance(found, dt.DataType) else None
    return None


def _nested(item: dt.DataType, shapes: set[tuple[int, ...]]) -> dt.DataType:
    """Make the type of matrices; as of vectors, floats have the lengths that all share."""
    found = item
    for axis in reversed(tuple(zip(*shapes, strict=True))):
        length = axis[0] if len(set(axis)) == 1 and isinstance(item, dt.Floating) else 0
        found = dt.Array(found, length=length or None)
    return found


def _records(values: list[Any]) -> dt.DataType:
    kinds = set(map(type, values))
    return dtype(kinds.pop()) if len(kinds) == 1 else Json()


def _is_record(kind: type) -> bool:
    return hasattr(kind, "model_fields") or dataclasses.is_dataclass(kind)


# The first that fits all values of a column says what it is.
_FINDERS: tuple[tuple[Callable[[type], bool], Callable[[list[Any]], Any]], ...] = (
    (_of_class(bool), _is(dt.boolean)),
    (_of_class(int, but=(bool,)), _whole),
    (_of_class(int, decimal.Decimal, but=(bool,)), _exact),
    (_of_class(*_NUMBERS, but=(bool,)), _is(dt.float64)),
    (_of_class(str, pathlib.PurePath), _is(dt.string)),
    (_of_class(bytes, bytearray, memoryview), _is(dt.binary)),
    (_of_class(datetime.date, but=(datetime.datetime,)), _is(dt.date)),
    (_of_class(datetime.date), _moment),
    (_of_class(datetime.time), _is(dt.time)),
    (_of_class(datetime.timedelta), _is(dt.Interval("us"))),
    (_of_class(uuid.UUID), _is(dt.uuid)),
    (lambda kind: kind.__module__.startswith("PIL."), _is(Image())),
    (lambda kind: (kind.__module__, kind.__name__) == ("numpy", "ndarray"), _arrays),
    (_is_record, _records),
    (_of_class(Mapping), _is(Json())),
    (lambda kind: issubclass(kind, Mapping) or _is_record(kind), _is(Json())),
    (_of_class(list, tuple, set, frozenset), _listed),
    (_of_class(list, tuple, set, frozenset, Mapping), _is(Json())),
)
