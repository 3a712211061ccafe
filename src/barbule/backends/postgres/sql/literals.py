"""Values as Postgres stores them: as JSON, and as strings in SQL.

Owns the JSON form of types that Postgres lacks (structs, maps, arrays of arrays), and the strings
that Postgres casts to the type of a column.
"""

from __future__ import annotations

import datetime
import decimal
import functools
import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import ibis.expr.datatypes as dt

from barbule.json_codec import to_ascii
from barbule.types import declaration
from barbule.types.declarations import by_class
from barbule.types.declarations.nested import CellForm, Convert, optional

if TYPE_CHECKING:
    from collections.abc import Callable

JSONPaths: TypeAlias = "dict[str, JSONPaths] | list[JSONPaths] | bool | None"
"""Where a type contains JSON: True for JSON itself, fields of structs, elements of lists."""

__all__ = [
    "JSONPaths",
    "array_text",
    "is_jsonb",
    "json_paths",
    "json_reader",
    "restore_json",
    "to_json_value",
    "value_text",
]


def is_jsonb(dtype: dt.DataType) -> bool:
    """Whether values of a type are stored as `jsonb`."""
    return isinstance(dtype, dt.JSON | dt.Struct | dt.Map)


# As JSON, in the form of `to_jsonb`, so that SQL reads it too


def to_json_value(value: Any, dtype: dt.DataType) -> Any:
    r"""Convert a value for `json`, in the form of `to_jsonb`.

    Examples
    --------
    >>> to_json_value({"b": b"a"}, dt.Struct({"b": dt.binary}))
    {'b': '\\x61'}
    """
    return optional(_json_writer(dtype), value)


@functools.lru_cache(maxsize=256)
def _json_writer(dtype: dt.DataType) -> Convert | None:
    return _WRITTEN.converter(dtype)


def _leaf_writer(dtype: dt.DataType) -> Convert | None:
    if isinstance(dtype, dt.Floating):
        return lambda value: value if math.isfinite(value) else value_text(value, dtype)
    form = declaration(dtype).json
    if form == "json":
        return lambda value: json.loads(value) if isinstance(value, str) else value
    return None if form in {"boolean", "integer", "string"} else value_text


def _unchanged(_: dt.DataType) -> None:
    """Leave the keys of maps as they are."""


_WRITTEN = CellForm(_leaf_writer, key=_unchanged, complete=True)


def json_reader(dtype: dt.DataType) -> Callable[[Any], Any] | None:
    """Return the function that converts parsed JSON to what Arrow accepts for a type, if needed."""
    return _READ.converter(dtype)


_INTERVAL = re.compile(
    r"(?:(?P<years>-?\d+) years? ?)?(?:(?P<months>-?\d+) mons? ?)?(?:(?P<days>-?\d+) days? ?)?"
    r"(?:(?P<sign>[-+]?)(?P<hours>\d+):(?P<minutes>\d+):(?P<seconds>\d+(?:\.\d+)?))?"
)
_DAYS_PER_UNIT = {"years": 360, "months": 30, "days": 1}  # as Postgres compares intervals


def _parse_interval(text: str) -> datetime.timedelta:
    """Parse an interval as Postgres prints it.

    Examples
    --------
    >>> str(_parse_interval("1 day 02:00:00.5")), str(_parse_interval("-00:00:01"))
    ('1 day, 2:00:00.500000', '-1 day, 23:59:59')
    """
    if text.endswith(" microseconds"):
        return datetime.timedelta(microseconds=int(text.removesuffix(" microseconds")))
    parts = _INTERVAL.fullmatch(text)
    if parts is None:
        raise ValueError(f"{text!r} is not an interval")
    days = sum(int(parts[name] or 0) * length for name, length in _DAYS_PER_UNIT.items())
    clock = datetime.timedelta(
        hours=int(parts["hours"] or 0),
        minutes=int(parts["minutes"] or 0),
        microseconds=int(decimal.Decimal(parts["seconds"] or 0) * 1_000_000),
    )
    return datetime.timedelta(days) + (-clock if parts["sign"] == "-" else clock)


_PARSERS: Mapping[Any, Callable[[Any], Any]] = {
    dt.Floating: float,
    dt.Integer: int,
    dt.Decimal: lambda value: decimal.Decimal(str(value)),
    dt.Timestamp: datetime.datetime.fromisoformat,
    dt.Date: datetime.date.fromisoformat,
    dt.Time: datetime.time.fromisoformat,
    dt.Interval: _parse_interval,
    dt.Binary: lambda value: bytes.fromhex(value.removeprefix("\\x")),
    dt.String: lambda value: value if isinstance(value, str) else to_ascii(value),
    dt.JSON: to_ascii,
}
_READ = CellForm(lambda leaf: by_class(_PARSERS, leaf), key=_unchanged, maps=list, complete=True)


# Paths of JSON in a type: an Arrow type does not distinguish it from strings


def json_paths(dtype: dt.DataType) -> JSONPaths:
    """Return where a type contains JSON, as a tree of JSON values; None for nowhere.

    Examples
    --------
    >>> json_paths(dt.Struct({"a": dt.Array(dt.json), "b": dt.string}))
    {'a': [True]}
    """
    if isinstance(dtype, dt.JSON):
        return True
    if isinstance(dtype, dt.Struct):
        fields = {name: json_paths(kind) for name, kind in dtype.fields.items()}
        return {name: paths for name, paths in fields.items() if paths} or None
    if isinstance(dtype, dt.Array | dt.Map):
        inner = json_paths(dtype.value_type)
        return [inner] if inner else None
    return None


def restore_json(dtype: dt.DataType, paths: JSONPaths) -> dt.DataType:
    """Return a type with JSON at the paths that `json_paths` has returned."""
    if not paths:
        return dtype
    if isinstance(dtype, dt.Struct) and isinstance(paths, dict):
        fields = dtype.fields.items()
        return dt.Struct({name: restore_json(kind, paths.get(name)) for name, kind in fields})
    if isinstance(dtype, dt.Array) and isinstance(paths, list):
        return dt.Array(restore_json(dtype.value_type, paths[0]))
    if isinstance(dtype, dt.Map) and isinstance(paths, list):
        return dt.Map(dtype.key_type, restore_json(dtype.value_type, paths[0]))
    return dt.json


# As strings in SQL


def value_text(value: object, dtype: dt.DataType | None = None) -> str:
    r"""Write a value as the string that Postgres casts to the type of its column.

    Examples
    --------
    >>> value_text(b"a"), value_text(float("inf")), value_text([1, None], dt.Array(dt.int64))
    ('\\x61', 'Infinity', '{1,NULL}')
    """
    if isinstance(dtype, dt.Array) and isinstance(value, Iterable):
        return array_text(value, dtype)
    if dtype is not None and is_jsonb(dtype):
        return value if isinstance(value, str) else to_ascii(to_json_value(value, dtype))
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


def array_text(value: Iterable[Any], dtype: dt.Array) -> str:
    """Write an array as a string (https://www.postgresql.org/docs/15/arrays.html#ARRAYS-IO)."""
    value_type = dtype.value_type

    def text(element: object) -> str:
        if element is None:
            return "NULL"
        if isinstance(value_type, dt.Array):
            return _quoted(to_ascii(to_json_value(element, value_type)))
        return _quoted(value_text(element, value_type))

    return "{" + ",".join(map(text, value)) + "}"


def _quoted(text: str) -> str:
    if text.replace(".", "").replace("-", "").isalnum() and text.upper() != "NULL":
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
