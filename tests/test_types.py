"""Type and schema declarations, and type inference from data."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import itertools
import pathlib
import re
import typing
import uuid
from typing import Annotated, Any, Literal, NewType, NotRequired, Optional, TypedDict, Union

import ibis
import ibis.expr.datatypes as dt
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pydantic
import pytest
from PIL import Image as PIL

import barbule as bb
from barbule.errors import SchemaError
from barbule.types import defaults_of, dtype, infer, schema, storage, storage_schema


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Size(enum.IntEnum):
    S = 1


class Mixed(enum.Enum):
    A = 1
    B = "b"


class Name(str):
    __slots__ = ()


class Inner(pydantic.BaseModel):
    label: str
    score: float | None = None


class Outer(pydantic.BaseModel):
    name: Annotated[str, pydantic.Field(min_length=1, max_length=20)]
    year: int = pydantic.Field(gt=1900)
    price: Annotated[decimal.Decimal, pydantic.Field(max_digits=10, decimal_places=2)]
    inner: Inner
    many: list[Inner]
    picture: Annotated[Any, bb.Image]
    colour: Colour
    link: pydantic.HttpUrl | None
    rating: pydantic.PositiveInt | None = None
    tags: list[str] = []
    seen: bool = False
    meta: dict[str, Any] | None = None
    made: datetime.datetime = pydantic.Field(default_factory=datetime.datetime.now)


@dataclasses.dataclass
class Film:
    name: str
    poster: Annotated[str, bb.Image]
    year: int | None
    seen: bool = False
    tags: list[str] = dataclasses.field(default_factory=list)


class Song(TypedDict):
    title: str
    seconds: NotRequired[float]
    album: str | None


class Tree(pydantic.BaseModel):
    children: list[Tree]


class Words(pydantic.RootModel[list[str]]):
    pass


Pair = collections.namedtuple("Pair", "a b")  # noqa: PYI024 - without annotations
UserId = NewType("UserId", int)
Number = typing.TypeVar("Number", bound=float)


def _named(value: object) -> str:
    """Return the id of a case; an address would differ between workers."""
    return re.sub(r" at 0x[0-9a-f]+", "", str(value))


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        (bb.String, dt.string),
        (bb.String(nullable=False), dt.String(nullable=False)),
        (bb.Timestamp("UTC"), dt.Timestamp("UTC")),
        (dt.json, bb.Json()),
        (dt.JSON(nullable=False), bb.Json(nullable=False)),
        (dt.Array(dt.json), dt.Array(bb.Json())),
        (dt.Map(dt.string, dt.json), dt.Map(dt.string, bb.Json())),
        (dt.Struct({"a": dt.json}), dt.Struct({"a": bb.Json()})),
        ("Int64", dt.int64),
        (" image ", bb.Image()),
        ("!string", dt.String(nullable=False)),
        ("!image", bb.Image(nullable=False)),
        ("vector( 3 )", dt.Array(dt.float32, length=3)),
        ("array<image>", dt.Array(bb.Image())),
        ("array<video, 2>", dt.Array(bb.Video(), length=2)),
        ("array<json>", dt.Array(bb.Json())),
        ("struct<a: json, b: int8>", dt.Struct({"a": bb.Json(), "b": dt.int8})),
        ("map<string, int64>", dt.Map(dt.string, dt.int64)),
        ("timestamp('UTC')", dt.Timestamp("UTC")),
        ("decimal(5, 1)", dt.Decimal(5, 1)),
        (bool, dt.boolean),
        (float, dt.float64),
        (bytearray, dt.binary),
        (uuid.UUID, dt.uuid),
        (decimal.Decimal, dt.Decimal(38, 9)),
        (datetime.date, dt.date),
        (datetime.time, dt.time),
        (pathlib.Path, dt.string),
        (Name, dt.string),
        (dict[str, int], bb.Json()),
        (collections.OrderedDict[str, int], bb.Json()),
        (collections.abc.Mapping[str, int], bb.Json()),
        (Any, bb.Json()),
        (list, bb.Json()),
        (list[list[int]], dt.Array(dt.Array(dt.int64))),
        (set[str], dt.Array(dt.string)),
        (collections.abc.Sequence[float], dt.Array(dt.float64)),
        (tuple[int, ...], dt.Array(dt.int64)),
        (tuple[int, float], dt.Array(dt.float64)),
        (tuple[int, str], bb.Json()),
        (int | None, dt.int64),
        (Optional[list[str]], dt.Array(dt.string)),  # noqa: UP045 - the older way to write it
        (Union[int, float], dt.float64),  # noqa: UP007 - the older way to write it
        (Literal["a", "b"], dt.string),
        (Literal[1, 2.5], dt.float64),
        (Literal["a", None], dt.string),  # noqa: PYI061 - what some write
        (Colour, dt.string),
        (Size, dt.int64),
        (UserId, dt.int64),
        (Number, dt.float64),
        (Annotated[int, "a note"], dt.int64),
        (Annotated[Any, bb.Vector(3)], dt.Array(dt.float32, length=3)),
        (
            Annotated[decimal.Decimal, pydantic.Field(max_digits=9, decimal_places=3)],
            dt.Decimal(9, 3),
        ),
        (pydantic.HttpUrl, dt.string),
        (pydantic.SecretStr, dt.string),
        (pydantic.PositiveInt, dt.int64),
        (Words, dt.Array(dt.string)),
        (Inner, dt.Struct({"label": dt.string, "score": dt.float64})),
        (PIL.Image, bb.Image()),
        (np.float32, dt.float32),
        (np.dtype("int8"), dt.int8),
        (pd.Int64Dtype(), dt.int64),
        (pl.List(pl.Int16), dt.Array(dt.int16)),
        (pl.Array(pl.Float32, 3), dt.Array(dt.float32, length=3)),
        (pa.int32(), dt.int32),
        (pa.list_(pa.float32(), 4), dt.Array(dt.float32, length=4)),
        (pa.dictionary(pa.int8(), pa.string()), dt.string),
    ],
    ids=_named,
)
def test_type_declarations_are_parsed(written, kind):
    data_type = dtype(written)
    assert data_type == kind
    assert type(data_type) is type(kind)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("strng", "there is no type 'strng'.*int64"),
        ("", "there is no type ''"),
        ("array<strng>", "there is no type"),
        (int | str, "allows several.*bb.Json stores values of any type"),
        (int | bool, "allows several"),
        (Literal["a", 1], "allows several"),
        (Literal[None], "no value at all"),  # noqa: PYI061 - what some write
        (Mixed, "allows several"),
        (dt.Array, "Array needs a type parameter"),
        (Tree, "Tree is recursive.*bb.Json"),
        (object(), "not a supported column type"),
        (42, "not a supported column type"),
        ({"a": int}, "not a supported column type"),
        ([int], "not a supported column type"),
        (None, "not a supported column type"),
        (lambda: int, "not a supported column type"),
        (np.ndarray, "not a supported column type.*Vector"),
        (pl.Object, "not a supported column type"),
        (type("Empty", (pydantic.BaseModel,), {}), "at least one field"),
    ],
    ids=_named,
)
def test_invalid_types_are_rejected(value, message):
    with pytest.raises(SchemaError, match=message):
        dtype(value)


COLUMNS = {
    "lists": {"a": [1, 2], "b": [3, 4]},
    "tuples": {"a": ("x",), "b": ("y",)},
    "nothing": {"a": []},
    "ranges": {"a": range(3), "b": [1, 2, 3]},
    "arrays": {"a": np.arange(2), "b": pa.array([1, 2])},
    "series": {"a": pd.Series([1]), "b": pl.Series([1])},
}


@pytest.mark.parametrize("columns", COLUMNS)
def test_columns_of_values_are_rejected_as_a_schema(columns):
    with pytest.raises(SchemaError, match=r"(?s)'a': .*column of values.*rows.*pd\.DataFrame"):
        bb.types.schema(COLUMNS[columns])


@pytest.mark.parametrize("columns", [{"a": [int], "b": [1]}, {"a": [1], "b": int}, {"a": 1}])
def test_mixed_types_and_values_are_rejected_as_a_schema(columns):
    with pytest.raises(SchemaError, match="column 'a': this is not a supported column type"):
        bb.types.schema(columns)


@pytest.mark.parametrize("length", [0, -1, 1.5, True, "3", None])
def test_vector_requires_a_length(length):
    with pytest.raises(SchemaError, match="the length of a vector must be an integer of 1 or more"):
        bb.Vector(length)


def test_array_length_is_optional():
    assert bb.Array(bb.Float, 2) == dt.Array(dt.float64, length=2)
    assert bb.Array(bb.Float, nullable=False) == dt.Array(dt.float64, nullable=False)
    with pytest.raises(SchemaError, match="the length of an array"):
        bb.Array(bb.Float, 0)
    with pytest.raises(SchemaError, match="the fields of a struct must have"):
        bb.Struct([("a", int)])


def test_storage_type_is_plain_at_every_level():
    kind = bb.Struct(
        {"a": bb.Array(bb.Image), "b": bb.Struct({"c": bb.Json(nullable=False)}), "d": int}
    )
    plain = dt.Struct(
        {
            "a": dt.Array(dt.string),
            "b": dt.Struct({"c": dt.JSON()}),
            "d": dt.int64,
        }
    )
    assert storage(kind) == plain
    assert storage(dt.Map(dt.string, bb.Video())) == dt.Map(dt.string, dt.string)
    assert storage(bb.Document(nullable=False)) == dt.String(nullable=False)
    assert storage_schema(ibis.schema({"a": kind})) == ibis.schema({"a": plain})


def test_model_schema_follows_its_required_fields():
    inner = dt.Struct({"label": dt.string, "score": dt.float64})
    assert schema(Outer) == ibis.schema(
        {
            "name": "!string",
            "year": "!int64",
            "price": dt.Decimal(10, 2, nullable=False),
            "inner": inner.copy(nullable=False),
            "many": dt.Array(inner, nullable=False),
            "picture": bb.Image(),
            "colour": "!string",
            "link": "string",
            "rating": "int64",
            "tags": "array<string>",
            "seen": "boolean",
            "meta": bb.Json(),
            "made": "timestamp",
        }
    )
    assert defaults_of(Outer) == {"tags": [], "seen": False}


def test_dataclass_and_typed_dict_schemas_follow_required_fields():
    kinds = {
        "name": "!string",
        "poster": bb.Image(nullable=False),
        "year": "int64",
        "seen": "boolean",
        "tags": "array<string>",
    }
    assert schema(Film) == ibis.schema(kinds)
    assert defaults_of(Film) == {"seen": False}
    assert schema(Song) == ibis.schema(
        {"title": "!string", "seconds": "float64", "album": "string"}
    )
    assert defaults_of(Song) == {}
    assert defaults_of({"a": int}) == {}


def test_mapping_schema_follows_nullability():
    columns = schema({"a": str, "b": bb.Int(nullable=False), "c": "!float64", "d": int | None})
    assert [kind.nullable for kind in columns.types] == [True, False, False, True]


def test_ibis_arrow_and_polars_schemas_are_accepted():
    assert schema(ibis.schema({"a": "!json"})) == ibis.schema({"a": bb.Json(nullable=False)})
    fields = [pa.field("a", pa.int8(), nullable=False), pa.field("b", pa.list_(pa.string()))]
    assert schema(pa.schema(fields)) == ibis.schema({"a": "!int8", "b": "array<string>"})
    assert schema(
        pl.Schema({"a": pl.Int8(), "b": pl.Categorical(), "c": pl.Enum(["x"])})
    ) == ibis.schema({"a": "int8", "b": "string", "c": "string"})


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": "strng"}, "column 'a': there is no type 'strng'"),
        ({"": int}, "a column name must be a non-empty string"),
        ({1: int}, "a column name must be a non-empty string"),
        ({"a": "null"}, "column 'a': the type null is not supported.*Declare its type"),
        (ibis.schema({"a": "interval('M')"}), "column 'a': a column holds durations.*calendar"),
        ({"a": int, "A": int}, "column 'A': its name differs from 'a'"),
        (42, "a schema must be a mapping"),
        (str, "a schema must be a mapping"),
        ("a: int", "a schema must be a mapping"),
        (pa.table({"a": [1]}), "an Arrow Table is not a schema.*Pass its .schema"),
        (pa.schema([("a", pa.int8()), ("a", pa.int8())]), "two columns have the same name"),
        (dataclasses.make_dataclass("C", [("a", "Unknown")]), "cannot be resolved"),
    ],
    ids=_named,
)
def test_invalid_schemas_are_rejected(value, message):
    with pytest.raises(SchemaError, match=message):
        schema(value)


TIMESTAMP = datetime.datetime(2026, 1, 1, 12)  # noqa: DTZ001 - without a zone
DAY = datetime.date(2026, 1, 1)
IMAGE = PIL.new("RGB", (2, 2))
INFERRED = {
    "texts": (["a", None, ""], dt.string),
    "whole": ([1, None, -3], dt.int64),
    "truths": ([True, None], dt.boolean),
    "real": ([1.5, None], dt.float64),
    "mixed numbers": ([1, 2.5, None], dt.float64),
    "nan": ([1, float("nan")], dt.float64),
    "huge": ([2**70], dt.Decimal(38, 0)),
    "exact": ([decimal.Decimal("1.25"), 3], dt.Decimal(38, 2)),
    "exact and real": ([decimal.Decimal("1.25"), 3.5], dt.float64),
    "nan for a missing text": (["a", float("nan")], dt.string),
    "pandas missing": ([pd.NA, pd.NaT, "a"], dt.string),
    "bytes": ([b"a", bytearray(b"b")], dt.binary),
    "moments": ([TIMESTAMP, pd.Timestamp(TIMESTAMP)], dt.timestamp),
    "moments in zones": ([TIMESTAMP.replace(tzinfo=datetime.UTC)], dt.Timestamp("UTC")),
    "days": ([DAY], dt.date),
    "days and moments": ([DAY, TIMESTAMP], dt.timestamp),
    "clock": ([datetime.time(12)], dt.time),
    "keys": ([uuid.UUID(int=1)], dt.uuid),
    "enum": ([Colour.RED], dt.string),
    "paths": ([pathlib.Path("a"), "b"], dt.string),
    "numpy scalars": ([np.int8(1), np.float32(2)], dt.float64),
    "numpy moments": ([np.datetime64("2026-01-01T00:00:00")], dt.timestamp),
    "dicts": ([{"a": 1}, {"b": [2]}], bb.Json()),
    "lists": ([[1], [], None, [2.5]], dt.Array(dt.float64)),
    "lists of lists": ([[[1]], [[]]], dt.Array(dt.Array(dt.int64))),
    "tuples": ([("a",), ("b", "c")], dt.Array(dt.string)),
    "lists of dicts": ([[{"a": 1}]], bb.Json()),
    "mixed lists": ([[1, "a"]], bb.Json()),
    "lists and dicts": ([[1], {"a": 1}], bb.Json()),
    "models": ([Inner(label="a"), None], dt.Struct({"label": dt.string, "score": dt.float64})),
    "models and dicts": ([Inner(label="a"), {}], bb.Json()),
    "images": ([IMAGE, None], bb.Image()),
    "pixels": ([np.zeros((2, 2, 3), "uint8")], bb.Image()),
    "vectors": ([np.zeros(3), np.ones(3, "float32")], dt.Array(dt.float64, length=3)),
    "short vectors": ([np.zeros(3, "float32"), np.ones(3, "f2")], dt.Array(dt.float32, length=3)),
    "vectors of two lengths": ([np.zeros(3), np.ones(2)], dt.Array(dt.float64)),
    "arrays of ints": ([np.arange(3)], dt.Array(dt.int64)),
}


@pytest.mark.parametrize("name", INFERRED)
@pytest.mark.parametrize("form", ["records", "pandas", "polars objects"])
def test_types_are_inferred_from_values(name, form):
    values, kind = INFERRED[name]
    if form == "records":
        inferred = infer([{"c": value} for value in values])
    elif form == "pandas":
        inferred = infer(pd.DataFrame({"c": pd.Series(values, dtype=object)}))
    else:
        if any(isinstance(value, np.ndarray) for value in values):
            pytest.skip("polars makes lists of arrays")
        inferred = infer(pl.DataFrame({"c": pl.Series(values, dtype=pl.Object)}))
    assert inferred == ibis.schema({"c": kind})
    assert type(inferred["c"]) is type(kind)
    assert inferred["c"].nullable


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([None, None], "column 'c': it holds only NULL, so its type cannot be inferred.*bb.String"),
        ([[], []], "column 'c': it holds only NULL"),
        ([1, "a"], "column 'c': it holds values of several types: int, str.*bb.Json"),
        ([True, 1], "several types: bool, int"),
        (["a", {"b": 1}], "several types: str, dict"),
        (
            [TIMESTAMP, TIMESTAMP.replace(tzinfo=datetime.UTC)],
            "datetime without.*zone|zone.*without",
        ),
        ([object()], "several types: object"),
    ],
    ids=_named,
)
def test_column_without_an_inferable_type_is_named(values, message):
    with pytest.raises(SchemaError, match=message):
        infer([{"a": 1, "c": value} for value in values])


def test_columns_follow_their_first_occurrence():
    inferred = infer([{"b": 1}, {"a": "x", "b": 2.5}, {"c": True}])
    assert inferred == ibis.schema({"b": "float64", "a": "string", "c": "boolean"})
    assert infer({"a": 1}) == ibis.schema({"a": "int64"})
    assert infer([Pair(1, "x")]) == ibis.schema({"a": "int64", "b": "string"})


def test_objects_of_a_class_have_its_schema():
    assert infer([Inner(label="a")]) == schema(Inner)
    assert infer([Film("Up", "up.png", None)]) == schema(Film)
    mixed = infer([Inner(label="a", score=1), {"label": "b", "more": 1}])
    assert mixed == ibis.schema({"label": "string", "score": "float64", "more": "int64"})


def test_frames_and_arrow_tables_keep_their_types():
    frame = pd.DataFrame(
        {
            "i": pd.Series([1, None], dtype="Int32"),
            "f": [1.5, float("nan")],
            "s": ["a", None],
            "c": pd.Categorical(["x", "y"]),
            "n": pd.Categorical([1, 2]),
            "z": pd.to_datetime(["2026-01-01", None]).tz_localize("UTC"),
        }
    )
    inferred = infer(frame)
    assert inferred.names == ("i", "f", "s", "c", "n", "z")
    assert [str(kind) for kind in inferred.types][:5] == [
        "int32", "float64", "string", "string", "int64",
    ]  # fmt: skip
    assert inferred["z"].timezone == "UTC"
    polars = pl.DataFrame({"l": [[1]], "v": pl.Series([[1.0, 2.0]], dtype=pl.Array(pl.Float32, 2))})
    expected = ibis.schema({"l": "array<int64>", "v": bb.Vector(2)})
    assert infer(polars) == infer(polars.lazy()) == expected
    arrow = pa.table(
        {
            "d": pa.array(["a", "b"]).dictionary_encode(),
            "j": pa.array(["{}", "1"], pa.json_()),
            "t": pa.ExtensionArray.from_storage(
                pa.fixed_shape_tensor(pa.float32(), [3]),
                pa.array([[1, 2, 3], [4, 5, 6]], pa.list_(pa.float32(), 3)),
            ),
        }
    )
    expected = ibis.schema({"d": "string", "j": bb.Json(), "t": bb.Vector(3)})
    assert infer(arrow) == infer(arrow.to_reader()) == infer(arrow.schema) == expected
    assert infer(ibis.memtable({"a": [1]})) == ibis.schema({"a": "int64"})


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ([], "no row has a column"),
        ([{}], "no row has a column"),
        ([{"a": 1}, 2], "row 1: a row must be a mapping of column names to values, not an int"),
        ([{1: 1}], "a column name must be a non-empty"),
        ("a.csv", "a schema cannot be inferred from this"),
        (42, "a schema cannot be inferred from this"),
        (iter([{"a": 1}]), "a schema cannot be inferred from this.*Pass a list"),
        (pa.array([1]), "a schema cannot be inferred from this"),
        (pl.Series([1]), "a schema cannot be inferred from this"),
        (pd.Series([1]), "a schema cannot be inferred from this"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "two columns have the same name"),
        (pd.DataFrame([[1, 2]]), "a column name must be a non-empty"),
        (pa.table({"n": pa.nulls(2)}), "column 'n': it holds only NULL"),
        (pl.DataFrame({"n": [None]}), "column 'n': it holds only NULL"),
        (pd.DataFrame({"n": [None]}), "column 'n': it holds only NULL"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_sources_without_a_schema_are_rejected(source, message):
    with pytest.raises(SchemaError, match=message):
        infer(source)


def test_values_fit_their_inferred_types(session):
    columns = {name: values for name, (values, _) in INFERRED.items()}
    rows = [
        dict(zip(columns, row, strict=True)) for row in itertools.zip_longest(*columns.values())
    ]
    table = session.create_table("inferred", infer(rows))
    assert table.insert(rows).rows == len(rows)
    result = table.collect()
    assert result["mixed numbers"] == [1.0, 2.5, None, None]
    assert result["enum"][0] == "red"
    assert result["models"][0] == {"label": "a", "score": None}
    assert result["vectors"][1] == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("kind", ["inet", "macaddr", "point", "array<inet>", "geography"])
def test_geometry_and_network_types_are_rejected(kind):
    with pytest.raises(SchemaError, match=r"column 'a': the type \w+"):
        schema({"a": kind})
