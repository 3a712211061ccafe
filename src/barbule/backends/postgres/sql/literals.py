"""How cells are kept in Postgres, and written in SQL.

Owns the JSON form of what Postgres has no type for (structs, maps, arrays of arrays) and cells
as text of SQL.
"""

from __future__ import annotations

import datetime
import decimal
import json
import math
import re
from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ["array_text", "cell_text", "from_json", "json_places", "jsonable", "with_json"]


# As JSON: what a cast of the text by Postgres gives back, so that SQL reads it too


def jsonable(value: Any, dtype: dt.DataType) -> Any:
    r"""Turn a value into what `json` writes, in the form that `to_jsonb` has.

    Examples
    --------
    >>> jsonable({"b": b"a"}, dt.Struct({"b": dt.binary}))
    {'b': '\\x61'}
    """
    convert = _to_json(dtype)
    return convert(value) if value is not None and convert else value


def _to_json(dtype: dt.DataType) -> Callable[[Any], Any] | None:
    """Make what turns a value that is not None into JSON; None where it is the value itself."""
    if isinstance(dtype, dt.Struct):
        fields = {name: _to_json(kind) for name, kind in dtype.fields.items()}
        return lambda value: {name: _apply(fields[name], value.get(name)) for name in fields}
    if isinstance(dtype, dt.Map):
        inner = _to_json(dtype.value_type)
        return lambda value: {key: _apply(inner, item) for key, item in _pairs(value)}
    if isinstance(dtype, dt.Array):
        inner = _to_json(dtype.value_type)
        return lambda value: [_apply(inner, item) for item in value]
    if isinstance(dtype, dt.JSON):
        return lambda value: json.loads(value) if isinstance(value, str) else value
    if isinstance(dtype, dt.Floating):
        return lambda value: value if math.isfinite(value) else cell_text(value, dtype)
    if isinstance(dtype, dt.Boolean | dt.Integer | dt.String):
        return None
    return lambda value: cell_text(value, dtype)


def _apply(convert: Callable[[Any], Any] | None, value: Any) -> Any:
    return value if value is None or convert is None else convert(value)


def _pairs(value: Any) -> Any:
    """Return the entries of a map; Arrow gives them as a list of pairs."""
    return value.items() if hasattr(value, "items") else value


def from_json(dtype: dt.DataType) -> Callable[[Any], Any] | None:
    """Make what turns parsed JSON, not None, into the value that Arrow takes for a type."""
    if isinstance(dtype, dt.Struct):
        fields = {name: from_json(kind) for name, kind in dtype.fields.items()}
        return lambda value: {name: _apply(fields[name], value.get(name)) for name in fields}
    if isinstance(dtype, dt.Map):
        inner = from_json(dtype.value_type)
        return lambda value: [(key, _apply(inner, item)) for key, item in value.items()]
    if isinstance(dtype, dt.Array):
        inner = from_json(dtype.value_type)
        return lambda value: [_apply(inner, item) for item in value]
    if isinstance(dtype, dt.JSON):
        return json.dumps
    for kind, convert in _FROM_TEXT.items():
        if isinstance(dtype, kind):
            return convert
    return None


_INTERVAL = re.compile(
    r"(?:(?P<years>-?\d+) years? ?)?(?:(?P<months>-?\d+) mons? ?)?(?:(?P<days>-?\d+) days? ?)?"
    r"(?:(?P<sign>[-+]?)(?P<hours>\d+):(?P<minutes>\d+):(?P<seconds>\d+(?:\.\d+)?))?"
)
_DAYS = {"years": 360, "months": 30, "days": 1}  # as where Postgres compares intervals


def _duration(text: str) -> datetime.timedelta:
    """Read an interval as Postgres writes one.

    Examples
    --------
    >>> str(_duration("1 day 02:00:00.5")), str(_duration("-00:00:01"))
    ('1 day, 2:00:00.500000', '-1 day, 23:59:59')
    """
    if text.endswith(" microseconds"):
        return datetime.timedelta(microseconds=int(text.removesuffix(" microseconds")))
    parts = _INTERVAL.fullmatch(text)
    if parts is None:
        raise ValueError(f"{text!r} is no interval")
    days = sum(int(parts[name] or 0) * length for name, length in _DAYS.items())
    clock = datetime.timedelta(
        hours=int(parts["hours"] or 0),
        minutes=int(parts["minutes"] or 0),
        microseconds=int(decimal.Decimal(parts["seconds"] or 0) * 1_000_000),
    )
    return datetime.timedelta(days) + (-clock if parts["sign"] == "-" else clock)


_FROM_TEXT: Mapping[Any, Callable[[Any], Any]] = {
    dt.Floating: float,
    dt.Integer: int,
    dt.Decimal: lambda value: decimal.Decimal(str(value)),
    dt.Timestamp: datetime.datetime.fromisoformat,
    dt.Date: datetime.date.fromisoformat,
    dt.Time: datetime.time.fromisoformat,
    dt.Interval: _duration,
    dt.Binary: lambda value: bytes.fromhex(value.removeprefix("\\x")),
    dt.String: lambda value: value if isinstance(value, str) else json.dumps(value),
}


# Where there is JSON: an Arrow type does not tell it from text


def json_places(dtype: dt.DataType) -> Any:
    """Tell where a type holds JSON, as something that `json` writes; None for nowhere.

    Examples
    --------
    >>> json_places(dt.Struct({"a": dt.Array(dt.json), "b": dt.string}))
    {'a': [True]}
    """
    if isinstance(dtype, dt.JSON):
        return True
    if isinstance(dtype, dt.Struct):
        fields = {name: json_places(kind) for name, kind in dtype.fields.items()}
        return {name: places for name, places in fields.items() if places} or None
    if isinstance(dtype, dt.Array | dt.Map):
        places = json_places(dtype.value_type)
        return [places] if places else None
    return None


def with_json(dtype: dt.DataType, places: Any) -> dt.DataType:
    """Put JSON where `json_places` has found it."""
    if not places:
        return dtype
    if isinstance(dtype, dt.Struct):
        fields = dtype.fields.items()
        return dt.Struct({name: with_json(kind, places.get(name)) for name, kind in fields})
    if isinstance(dtype, dt.Array):
        return dt.Array(with_json(dtype.value_type, places[0]))
    if isinstance(dtype, dt.Map):
        return dt.Map(dtype.key_type, with_json(dtype.value_type, places[0]))
    return dt.json


# As text of SQL


def cell_text(value: Any, dtype: dt.DataType | None = None) -> str:
    r"""Write a value, not None, as a text that Postgres reads as its column's type.

    Examples
    --------
    >>> cell_text(b"a"), cell_text(float("inf")), cell_text([1, None], dt.Array(dt.int64))
    ('\\x61', 'Infinity', '{1,NULL}')
    """
    if isinstance(dtype, dt.Array):
        return array_text(value, dtype)
    if isinstance(dtype, dt.Struct | dt.Map):
        return json.dumps(jsonable(value, dtype))
    if isinstance(dtype, dt.JSON):
        return value if isinstance(value, str) else json.dumps(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes | bytearray | memoryview):
        return "\\x" + bytes(value).hex()
    if isinstance(value, float):
        if math.isnan(value):
            return "NaN"
        return repr(value) if math.isfinite(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return f"{value // datetime.timedelta(microseconds=1)} microseconds"
    return str(value)


def array_text(value: Any, dtype: dt.Array) -> str:
    """Write an array as a text (https://www.postgresql.org/docs/15/arrays.html#ARRAYS-IO)."""
    inside = dtype.value_type
    if isinstance(inside, dt.Array):
        texts = (None if item is None else json.dumps(jsonable(item, inside)) for item in value)
        return _braced(texts)
    return _braced(None if item is None else cell_text(item, inside) for item in value)


def _braced(items: Iterable[str | None]) -> str:
    written = ("NULL" if item is None else _quoted(item) for item in items)
    return "{" + ",".join(written) + "}"


def _quoted(text: str) -> str:
    if text.replace(".", "").replace("-", "").isalnum() and text.upper() != "NULL":
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
