"""Python values and Arrow cells: how one becomes the other, by data type.

Owns the conversion in both directions, which inserts, functions and result sets share. Media
content is handed to the library; what it returns is the reference that the cell holds.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import json
import math
import uuid
from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt

from barbule.errors import DataError
from barbule.types import Json, Media, storage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pyarrow as pa

    from barbule.media.library import MediaLibrary

__all__ = ["arrow_type", "reader", "to_array"]


def arrow_type(kind: dt.DataType) -> pa.DataType:
    """Return the Arrow type in which values of `kind` travel."""
    return storage(kind).to_pyarrow()


def to_array(values: Sequence[Any], kind: dt.DataType, library: MediaLibrary) -> pa.Array:
    """Turn Python values into an Arrow array of the storage form of `kind`.

    Raises
    ------
    DataError
        When a value does not fit; the error names its row and shows it.
    """
    import pyarrow as pa

    convert = _writer(kind, library)
    if isinstance(kind, dt.Integer) and {type(value) for value in values} <= {int, type(None)}:
        convert = None  # the usual case, without a call for each value
    plain = values if convert is None else _converted(values, convert, kind)
    wanted = arrow_type(kind)
    try:
        return pa.array(plain, wanted, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError, TypeError, ValueError, OverflowError) as error:
        raise _misfit(plain, wanted, kind, error) from error


def _converted(
    values: Sequence[Any], convert: Callable[[Any], Any], kind: dt.DataType
) -> list[Any]:
    plain = []
    for row, value in enumerate(values):
        try:
            plain.append(None if value is None else convert(value))
        except (TypeError, ValueError) as error:
            if isinstance(error, DataError) or hasattr(error, "hint"):
                raise error.at(row=row) from error.__cause__  # type: ignore[union-attr]
            raise DataError(
                f"this is no {kind}: {error}.", row=row, value=value, hint="Correct the value."
            ) from error
    return plain


def _misfit(
    values: Sequence[Any], wanted: pa.DataType, kind: dt.DataType, error: Exception
) -> DataError:
    import pyarrow as pa

    for row, value in enumerate(values):
        try:
            pa.array([value], wanted, from_pandas=True)
        except (pa.ArrowInvalid, pa.ArrowTypeError, TypeError, ValueError, OverflowError) as cause:
            return DataError(
                f"this is no {kind}: {cause}.",
                row=row,
                value=value,
                hint="Correct the value, or give the column another type.",
            )
    return DataError(f"the values are no {kind}: {error}.", hint="Correct the values.")


def _writer(kind: dt.DataType, library: MediaLibrary) -> Callable[[Any], Any] | None:
    """Return what turns a value of `kind` into what Arrow takes; None where nothing does."""
    if isinstance(kind, Media):
        return lambda value: library.refer(value, kind)
    if isinstance(kind, dt.JSON):
        return _to_json
    if isinstance(kind, dt.Struct):
        inner = {name: _writer(each, library) for name, each in kind.fields.items()}
        return lambda value: _to_struct(value, inner)
    if isinstance(kind, dt.Array):
        return _array_writer(kind, library)
    for each, convert in _PLAIN.items():
        if isinstance(kind, each):
            return convert
    return None


def _array_writer(kind: dt.Array, library: MediaLibrary) -> Callable[[Any], Any]:
    inner = _writer(kind.value_type, library)

    def write(value: Any) -> list[Any]:
        items = value.tolist() if hasattr(value, "tolist") else value
        if isinstance(items, str | bytes) or not hasattr(items, "__iter__"):
            raise TypeError(f"a {type(value).__name__} is no list")
        items = list(items)
        if kind.length is not None and len(items) != kind.length:
            raise ValueError(f"it has {len(items)} items, not {kind.length}")
        if inner is None:
            return items
        return [None if item is None else inner(item) for item in items]

    return write


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a {type(value).__name__} is no text")
    return value


def _truth(value: Any) -> bool:
    plain = value.item() if hasattr(value, "item") else value
    if not isinstance(plain, bool):
        raise TypeError(f"a {type(value).__name__} is no bool")
    return plain


def _whole(value: Any) -> Any:
    # Arrow cuts off the fraction without a word.
    if isinstance(value, float) and not value.is_integer() and not math.isnan(value):
        raise ValueError(f"{value!r} is no whole number")
    return value


def _bytes(value: Any) -> Any:
    if isinstance(value, str):
        raise TypeError("a text is no bytes")
    return value


def _decimal(value: Any) -> Any:
    try:
        return decimal.Decimal(str(value)) if isinstance(value, str | float) else value
    except decimal.InvalidOperation:
        raise ValueError(f"{value!r} is no number") from None


def _moment(kind: type) -> Callable[[Any], Any]:
    def convert(value: Any) -> Any:
        if isinstance(value, int | float):  # which Arrow takes for a count since 1970
            raise TypeError(f"{value!r} is a number, no {kind.__name__}")
        return kind.fromisoformat(value) if isinstance(value, str) else value  # type: ignore[attr-defined]

    return convert


_PLAIN: dict[type[dt.DataType], Callable[[Any], Any]] = {
    dt.Timestamp: _moment(datetime.datetime),
    dt.Date: _moment(datetime.date),
    dt.Time: _moment(datetime.time),
    dt.String: _text,
    dt.UUID: lambda value: str(uuid.UUID(str(value))),
    dt.Boolean: _truth,
    dt.Integer: _whole,
    dt.Decimal: _decimal,
    dt.Binary: _bytes,
}


def plain(value: Any) -> Any:
    """Turn pydantic models, dataclasses and NumPy's values into plain Python."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, set | frozenset | tuple):
        return list(value)
    raise TypeError(f"a {type(value).__name__} cannot be written as JSON")


def _to_json(value: Any) -> str:
    return json.dumps(value, default=plain, ensure_ascii=False)


def _to_struct(value: Any, inner: dict[str, Callable[[Any], Any] | None]) -> dict[str, Any]:
    fields = value if isinstance(value, dict) else _fields(value)
    unknown = [name for name in fields if name not in inner]
    if unknown:
        raise ValueError(f"it has the unknown fields {', '.join(map(repr, unknown))}")
    return {
        name: fields.get(name) if write is None or fields.get(name) is None else write(fields[name])
        for name, write in inner.items()
    }


def _fields(value: Any) -> dict[str, Any]:
    if hasattr(value, "model_dump"):
        return value.model_dump()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    raise TypeError(f"a {type(value).__name__} is no record")


def reader(kind: dt.DataType) -> Callable[[Any], Any] | None:
    """Return what turns an Arrow cell (as Python) into the value that users see.

    Media cells stay references here; None where nothing has to be done.
    """
    if isinstance(kind, Json | dt.JSON):
        return json.loads
    if isinstance(kind, dt.Array) and (inner := reader(kind.value_type)):
        return lambda items: [None if item is None else inner(item) for item in items]
    if isinstance(kind, dt.Struct):
        readers = {name: read for name, each in kind.fields.items() if (read := reader(each))}
        if readers:
            return lambda record: {
                name: readers[name](item) if name in readers and item is not None else item
                for name, item in record.items()
            }
    return None
