"""Schemas from data: records, data frames, Arrow tables, Ibis expressions.

Owns what a column of Python values is taken for.
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
import ibis.expr.schema as sch
import ibis.expr.types as ir

from barbule.errors import SchemaError
from barbule.types.annotations import dtype, fields_of
from barbule.types.kinds import Image, Json, canonical
from barbule.types.schemas import schema

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["holds_rows", "infer"]


def infer(source: Any) -> sch.Schema:
    """Find the schema that fits rows.

    Numbers of which some are real become Float, images Image, mappings Json. NumPy's vectors of
    one length become `Vector(n)`, those of float64 `Array(Float, n)`. Objects of one class have
    the schema of the class.

    Parameters
    ----------
    source
        A mapping or a list of mappings, pydantic objects, dataclasses or named tuples; a pandas
        or polars data frame; an Arrow table, batch or reader; an Ibis table.

    Raises
    ------
    SchemaError
        When a column holds no value, or values of several types; the message names it.

    Examples
    --------
    >>> infer([{"name": "Up", "revenue": 735}, {"name": "Coco", "revenue": 0.5}])
    ibis.Schema {
      name     string
      revenue  float64
    }
    """
    if isinstance(source, ir.Table):
        return schema(source.schema())
    library = type(source).__module__.split(".")[0]
    if library in _FRAMES:  # a lazy frame would work out its schema only to be asked for it
        return _FRAMES[library](source)
    if _tells_its_schema(source):
        return schema(source.schema)
    if (record := _as_mapping(source)) is not None:
        return _of_records([source], [record])
    if not isinstance(source, Sequence) or isinstance(source, str | bytes):
        raise _no_rows(source)
    records = [_as_mapping(each) for each in source]
    for row, each in enumerate(records):
        if each is None:
            name = type(source[row]).__name__
            raise SchemaError(
                f"a row is a mapping of column names to values, not a {name}.",
                row=row,
                value=source[row],
                hint=series_hint(source[row]) or 'For example {"name": "Up"}.',
            )
    return _of_records(source, [each for each in records if each is not None])


def holds_rows(source: Any) -> bool:
    """Whether something is data, not a schema: a mapping is a schema, a list of mappings is data.

    Examples
    --------
    >>> holds_rows([{"name": "Up"}]), holds_rows({"name": str})
    (True, False)
    """
    if isinstance(source, ir.Table):
        return True
    if isinstance(source, type | sch.Schema | str | bytes):
        return False
    library = type(source).__module__.split(".")[0]
    if library in _FRAMES:
        return type(source).__name__ != "Schema"
    if _tells_its_schema(source):
        return True
    return isinstance(source, Sequence) and bool(source) and _as_mapping(source[0]) is not None


def _tells_its_schema(source: Any) -> bool:
    """Whether something gives rows one by one and tells their types before."""
    told = isinstance(getattr(source, "schema", None), sch.Schema)
    return told and isinstance(source, Iterable) and not isinstance(source, type)


def series_hint(source: Any) -> str:
    """Say how a column, or row, of another library is made rows; empty for all else.

    Examples
    --------
    >>> import pyarrow as pa
    >>> series_hint(pa.array([1]))
    'An array is one column: give pyarrow.table({"n": array}).'
    >>> series_hint([1])
    ''
    """
    library, name = type(source).__module__.split(".")[0], type(source).__name__
    if library == "pyarrow" and name.endswith("Array"):
        return 'An array is one column: give pyarrow.table({"n": array}).'
    if library == "pandas" and name.endswith("Index"):
        return 'An index is one column: give index.to_frame(name="n").'
    if library not in {"pandas", "polars"} or name != "Series":
        return ""
    row = ", or series.to_dict() where it is a row" if library == "pandas" else ""
    return f'A series is one column: give series.to_frame("n"){row}.'


def _no_rows(source: Any) -> SchemaError:
    return SchemaError(
        "no schema can be read from this.",
        value=source,
        hint=series_hint(source)
        or "Give a list of mappings or objects, a data frame, an Arrow table or an Ibis table.",
    )


def _as_mapping(value: Any) -> Mapping[str, Any] | None:
    if isinstance(value, type):
        return None
    if isinstance(value, Mapping):
        return value
    if hasattr(value, "_asdict"):
        return dict(value._asdict())
    fields = fields_of(value)
    return None if fields is None else {name: getattr(value, name) for name in fields}


def _of_records(given: Sequence[Any], records: Sequence[Mapping[str, Any]]) -> sch.Schema:
    kinds = set(map(type, given))
    if len(kinds) == 1 and fields_of(only := kinds.pop()) is not None:
        return schema(only)
    names = dict.fromkeys(name for record in records for name in record)
    if not names:
        raise SchemaError(
            "there is no row with a column.", hint="Give rows, or the schema: {name: type}."
        )
    return schema({name: _column(name, [each.get(name) for each in records]) for name in names})


def with_index(frame: Any) -> Any:
    """Make columns of the named levels of the index of a pandas data frame.

    A level that has the name of a column is left out, as are those without a name; what is no
    data frame of pandas stays as it is.

    Examples
    --------
    >>> import pandas
    >>> frame = pandas.DataFrame({"shop": ["a", "a"], "sold": [1, 2]}).groupby("shop").sum()
    >>> list(with_index(frame).columns)
    ['shop', 'sold']
    """
    if type(frame).__module__.split(".")[0] != "pandas" or not hasattr(frame, "index"):
        return frame
    levels = [name for name in frame.index.names if name is not None and name not in frame.columns]
    return frame.reset_index(level=levels) if levels else frame


def _of_pandas(frame: Any) -> sch.Schema:
    if not hasattr(frame, "columns"):
        raise _no_rows(frame)
    frame = with_index(frame)
    kinds: dict[str, dt.DataType] = {}
    for place, name in enumerate(frame.columns):
        column = frame.iloc[:, place]
        if name in kinds:
            raise SchemaError(
                "two columns have the same name.", column=name, hint="Rename one of them."
            )
        kind = column.dtype
        if str(kind) == "category":
            kind = kind.categories.dtype
        objects = str(kind) == "object"
        kinds[name] = _column(name, column.tolist()) if objects else _known(name, kind)
        if str(kind) == "datetime64[ns]" and _has_nanoseconds(column):
            kinds[name] = dt.Timestamp(scale=9)
    return schema(kinds)


def _has_nanoseconds(moments: Any) -> bool:
    """Whether moments of pandas, which are often counted in nanoseconds, have some."""
    return bool((moments.dropna().dt.nanosecond != 0).any())


def _of_polars(frame: Any) -> sch.Schema:
    import polars as pl

    if not isinstance(frame, pl.DataFrame | pl.LazyFrame):
        raise _no_rows(frame)
    kinds = {
        name: _column(name, frame.lazy().select(name).collect()[name].to_list())
        if kind == pl.Object
        else _known(name, kind)
        for name, kind in frame.collect_schema().items()
    }
    return schema(kinds)


def _of_arrow(rows: Any) -> sch.Schema:
    import pyarrow as pa

    found = rows if isinstance(rows, pa.Schema) else getattr(rows, "schema", None)
    if not isinstance(found, pa.Schema):
        raise _no_rows(rows)
    if len(set(found.names)) < len(found.names):
        raise SchemaError(
            "two columns have the same name.", value=found.names, hint="Rename one of them."
        )
    return schema(
        {field.name: _known(field.name, field).copy(nullable=field.nullable) for field in found}
    )


_FRAMES: dict[str, Callable[[Any], sch.Schema]] = {
    "pandas": _of_pandas,
    "polars": _of_polars,
    "pyarrow": _of_arrow,
}


def _known(name: Any, kind: Any) -> dt.DataType:
    """Read the type of a column that a data frame or an Arrow table tells."""
    try:
        found = dtype(kind)
    except SchemaError as error:
        raise error.at(column=name) from error.__cause__
    if isinstance(found, dt.Null):
        raise _no_value(name)
    return found


def _no_value(name: Any) -> SchemaError:
    return SchemaError(
        "it holds no value, so its type cannot be told.",
        column=name,
        hint=f"Say it: {{{name!r}: bb.String}} in a schema.",
    )


def _column(name: Any, values: Sequence[Any]) -> dt.DataType:
    """Find the type of a column of Python values."""
    found = _type_of(values)
    if found is None:
        raise _no_value(name)
    if isinstance(found, _Mixture):
        raise SchemaError(
            f"it holds values of several types: {found}.",
            column=name,
            hint=f"Make them alike, or say its type: {{{name!r}: bb.Json}} takes any mixture.",
        )
    return canonical(found)


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
