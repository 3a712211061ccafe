"""Tables by name: created, opened, replaced and dropped."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import warnings
from typing import TypedDict

import ibis
import ibis.expr.datatypes as dt
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pydantic
import pytest

import barbule as bb
from barbule.errors import (
    ConfigurationError,
    DataError,
    DependencyError,
    SchemaError,
    TableExistsError,
    TableNotFoundError,
)


class FilmModel(pydantic.BaseModel):
    name: str
    revenue: float | None = None
    tags: list[str] = []


@dataclasses.dataclass
class FilmRecord:
    name: str
    released: datetime.date


class FilmDict(TypedDict):
    name: str
    seen: bool


def test_barbule_types_become_column_types(session):
    kinds = {
        "text": bb.String,
        "whole": bb.Int,
        "real": bb.Float,
        "truth": bb.Bool,
        "moment": bb.Timestamp,
        "day": bb.Date,
        "clock": bb.Time,
        "key": bb.UUID,
        "raw": bb.Binary,
        "meta": bb.Json,
        "picture": bb.Image,
        "sound": bb.Audio,
        "film": bb.Video,
        "paper": bb.Document,
        "words": bb.Array(bb.String),
        "vector": bb.Vector(4),
        "record": bb.Struct({"label": bb.String, "score": bb.Float}),
    }
    table = session.create_table("kinds", kinds)
    assert table.columns == tuple(kinds)
    assert isinstance(table.schema()["picture"], bb.Image)
    assert isinstance(table.schema()["meta"], bb.Json)
    assert table.schema()["vector"] == dt.Array(dt.float32, length=4)
    assert table.count().to_pyarrow().as_py() == 0


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        ("int8", dt.int8),
        ("decimal(10, 2)", dt.Decimal(10, 2)),
        ("vector(3)", dt.Array(dt.float32, length=3)),
        ("image", bb.Image()),
        ("array<string>", dt.Array(dt.string)),
        (dt.float32, dt.float32),
        (dt.Int16(nullable=False), dt.Int16(nullable=False)),
        (int, dt.int64),
        (str, dt.string),
        (bytes, dt.binary),
        (datetime.datetime, dt.timestamp),
        (list[int], dt.Array(dt.int64)),
        (str | None, dt.string),
        (dict, bb.Json()),
        (FilmRecord, dt.Struct({"name": dt.string, "released": dt.date})),
    ],
    ids=str,
)
def test_data_type_may_be_given_in_many_forms(shared, schema, kind):
    table = shared.create_table("written", {"c": schema}, if_exists="replace")
    assert table.schema()["c"] == kind
    assert type(table.schema()["c"]) is type(kind)


@pytest.mark.parametrize(
    ("schema", "columns"),
    [
        (FilmModel, {"name": "!string", "revenue": "float64", "tags": "array<string>"}),
        (FilmRecord, {"name": "!string", "released": "!date"}),
        (FilmDict, {"name": "!string", "seen": "!boolean"}),
        (ibis.schema({"a": "int32", "b": "!string"}), {"a": "int32", "b": "!string"}),
    ],
    ids=["pydantic", "dataclass", "typeddict", "ibis"],
)
def test_a_schema_may_be_a_class_or_an_ibis_schema(session, schema, columns):
    assert session.create_table("films", schema).schema() == ibis.schema(columns)


@pytest.mark.parametrize(
    ("schema", "error", "message"),
    [
        ({}, SchemaError, "at least one column"),
        ({"a": "strng"}, SchemaError, "column 'a': there is no type 'strng'"),
        ({"a": int | str}, SchemaError, "column 'a': a column has a single type"),
        ({"a": object()}, SchemaError, "column 'a': this is not a supported column type"),
        ({"": int}, SchemaError, "a non-empty string"),
        ({1: int}, SchemaError, "a non-empty string"),
        ([("a", int)], SchemaError, "a schema must be a mapping"),
        (42, SchemaError, "a schema must be a mapping"),
    ],
)
def test_invalid_schema_is_refused_and_creates_no_table(session, schema, error, message):
    with pytest.raises(error, match=message):
        session.create_table("wrong", schema)
    assert session.list_tables() == []


@pytest.mark.parametrize("name", ["_rid", "_from", "_to", "_base", "bb_x", "BB_Y"])
def test_reserved_column_names_are_refused(session, name):
    with pytest.raises(SchemaError, match=f"column '{name}': this name is reserved"):
        session.create_table("wrong", {name: bb.Int})
    table = session.create_table("right", {"a": bb.Int})
    with pytest.raises(SchemaError, match=f"column '{name}': this name is reserved"):
        table.add_computed_column(**{name: table.a + 1})


def test_duplicate_table_name_is_refused_by_default(session):
    session.create_table("films", {"a": bb.Int}).insert(a=1)
    with pytest.raises(
        TableExistsError, match="table 'films': a table with this name already exists"
    ):
        session.create_table("films", {"b": bb.Int})
    assert session.get_table("films").columns == ("a",)


def test_if_exists_ignore_returns_existing_table(session):
    session.create_table("films", {"a": bb.Int}).insert(a=1)
    same = session.create_table("films", {"b": bb.Int}, if_exists="ignore")
    assert same.collect() == [{"a": 1}]


def test_if_exists_replace_creates_empty_table_with_own_history(session):
    old = session.create_table("films", {"a": bb.Int})
    old.insert(a=1)
    new = session.create_table("films", {"b": bb.Int}, if_exists="replace")
    assert new.columns == ("b",)
    assert len(new.collect()) == 0
    assert len(new.history()) == 1
    with pytest.raises(TableNotFoundError, match="has been dropped or replaced"):
        old.collect()


def test_repr_of_dropped_table_says_it_is_dropped(session):
    table = session.create_table("films", {"a": bb.Int})
    query = table.filter(table.a > 1).select("a")
    session.drop_table("films")
    for dropped in (table, query):
        assert "'films' has been dropped or replaced" in repr(dropped)
        assert dropped._repr_mimebundle_()["text/plain"] == repr(dropped)


@pytest.mark.parametrize(("name", "kind"), [("a", bb.Int), ("b", "!string"), ("c", bb.Vector(2))])
def test_change_to_same_type_creates_no_version(session, name, kind):
    table = session.create_table("t", {"a": bb.Int, "b": "!string", "c": bb.Vector(2)})
    table.insert(a=1, b="x", c=[0.0, 1.0])
    assert table.change_type(name, kind).version == 1
    assert table.history()["operation"] == ["insert", "create table"]
    assert table.change_type("b", bb.String).version == 2


def test_replace_refuses_dependent_views_and_replace_force_drops_them(session):
    base = session.create_table("people", {"age": bb.Int})
    session.create_view("adults", base.where(base.age >= 18))
    with pytest.raises(DependencyError, match="it is the base of the view 'adults'"):
        session.create_table("people", {"a": bb.Int}, if_exists="replace")
    assert session.list_tables() == ["adults", "people"]
    session.create_table("people", {"a": bb.Int}, if_exists="replace_force")
    assert session.list_tables() == ["people"]


def test_replace_with_a_wrong_schema_keeps_the_old_table(session):
    session.create_table("films", {"a": bb.Int}).insert(a=1)
    with pytest.raises(SchemaError, match="there is no type"):
        session.create_table("films", {"a": "strng"}, if_exists="replace")
    assert session.get_table("films").collect() == [{"a": 1}]


def test_unknown_policy_error_names_allowed_values(session):
    with pytest.raises(ConfigurationError, match="if_exists must be one of 'error', 'ignore'"):
        session.create_table("films", {"a": bb.Int}, if_exists="drop")
    with pytest.raises(ConfigurationError, match="if_not_exists must be one of 'error', 'ignore'"):
        session.drop_table("films", if_not_exists="maybe")


def test_drop_table_removes_table_and_rows(session):
    session.create_table("films", {"a": bb.Int}).insert(a=1)
    rows = {name for name in session._engine.backend.tables() if name.startswith("bb_rows")}
    session.drop_table("films")
    assert session.list_tables() == []
    assert not rows & session._engine.backend.tables()
    with pytest.raises(TableNotFoundError, match="table 'films': there is no table"):
        session.drop_table("films")
    session.drop_table("films", if_not_exists="ignore")


def test_drop_table_cascades_only_on_request(session):
    base = session.create_table("people", {"age": bb.Int})
    session.create_view("adults", base.where(base.age >= 18))
    with pytest.raises(DependencyError, match="it is the base of the view 'adults'"):
        session.drop_table("people")
    session.drop_table("people", cascade=True)
    assert session.list_tables() == []


def test_missing_table_error_names_existing_tables(session):
    session.create_table("films", {"a": bb.Int})
    with pytest.raises(TableNotFoundError, match=r"table 'flims'.*There are: 'films'"):
        session.get_table("flims")


@pytest.mark.parametrize(
    "name", ["docs.reports", "a.b.c", 'say "hi"', "it's", "select", "Order", "naïve 表", "x;y--z"]
)
def test_table_names_are_kept_verbatim(session, name):
    table = session.create_table(name, {"a": bb.Int})
    table.insert(a=1)
    assert session.list_tables() == [name]
    assert session.get_table(name).collect() == [{"a": 1}]
    assert table.get_name() == name
    session.drop_table(name)
    assert session.list_tables() == []


@pytest.mark.parametrize("name", ["", ".a", "a.", "a..b", 7, None])
def test_invalid_table_name_is_refused(session, name):
    with pytest.raises(SchemaError, match="the name of a table must be a non-empty string"):
        session.create_table(name, {"a": bb.Int})


@pytest.mark.parametrize("name", ["order", "group", 'q"uote', "it's", "two words", "naïve", "A.b"])
def test_unusual_column_names_are_quoted_in_sql(session, name):
    table = session.create_table("odd", {name: bb.Int, "other": bb.Int})
    table.insert([{name: 1, "other": 5}, {name: 2, "other": 6}])
    table.add_computed_column(double=table[name] * 2)
    table.update({name: 3}, where=table[name] == 2)
    table.delete(where=table[name] == 1)
    assert table.collect() == [{name: 3, "other": 6, "double": 6}]


def test_columns_named_like_verbs_warn_and_work_by_item(session):
    with pytest.warns(UserWarning, match=r"table\['filter'\], table\['count'\]") as caught:
        table = session.create_table("verbs", {"filter": bb.Int, "count": bb.Int, "x": bb.Int})
    assert len(caught) == 1
    assert caught[0].filename == __file__
    table.insert({"filter": 1, "count": 2, "x": 3})
    assert table["filter"].to_pyarrow().to_pylist() == [1]
    assert table.filter(table["count"] == 2).select("filter").collect() == [{"filter": 1}]
    assert table.count().to_pyarrow().as_py() == 1
    table.update({"filter": 9})
    assert table["filter"].to_pyarrow().to_pylist() == [9]


def test_other_column_names_do_not_warn(session):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        session.create_table("quiet", {"name": bb.String, "revenue": bb.Float})


def test_a_table_is_an_ibis_table(session):
    table = session.create_table("films", {"a": bb.Int})
    assert isinstance(table, ibis.Table)
    assert isinstance(table, bb.Table)
    assert isinstance(session.get_table("films"), ibis.Table)
    assert table.equals(session.get_table("films"))


def test_module_functions_use_default_session(session):
    bb.create_table("films", {"a": bb.Int}).insert(a=1)
    assert bb.list_tables() == session.list_tables() == ["films"]
    assert bb.get_table("films").collect() == [{"a": 1}]
    bb.drop_table("films")
    assert session.list_tables() == []


class Genre(enum.Enum):
    DRAMA = "drama"


@dataclasses.dataclass
class SeenFilm:
    name: str
    seen: bool = False
    genre: Genre = Genre.DRAMA
    tags: list[str] = dataclasses.field(default_factory=list)


def test_class_field_defaults_become_column_defaults(shared):
    table = shared.create_table("defaulted", SeenFilm, if_exists="replace", defaults={"seen": True})
    table.insert(name="Up")
    assert list(table.collect()) == [{"name": "Up", "seen": True, "genre": "drama", "tags": None}]


@pytest.mark.parametrize(
    "make",
    [
        lambda: [{"n": 1, "word": "a"}, {"n": 2, "word": None}],
        lambda: pd.DataFrame({"n": [1, 2], "word": ["a", None]}),
        lambda: pl.DataFrame({"n": [1, 2], "word": ["a", None]}),
        lambda: pa.table({"n": [1, 2], "word": ["a", None]}),
        lambda: pa.table({"n": [1, 2], "word": ["a", None]}).to_reader(max_chunksize=1),
        lambda: ibis.memtable({"n": [1, 2], "word": ["a", None]}),
    ],
    ids=["dicts", "pandas", "polars", "Arrow", "reader", "Ibis"],
)
def test_table_is_created_from_data(shared, make):
    table = shared.create_table("schema", make(), if_exists="replace")
    assert table.schema() == ibis.schema({"n": "int64", "word": "string"})
    assert list(table.order_by("n").collect()) == [
        {"n": 1, "word": "a"},
        {"n": 2, "word": None},
    ]
    assert [(version["operation"], version["rows"]) for version in table.history()] == [
        ("create table", 2)
    ]


def test_table_can_be_replaced_by_query_over_itself(session):
    films = session.create_table("films", [{"year": 2009}, {"year": 2015}])
    newer = session.create_table("films", films.filter(films.year > 2010), if_exists="replace")
    assert list(newer.collect()) == [{"year": 2015}]


def test_data_in_many_batches_creates_one_version(session, monkeypatch):
    monkeypatch.setattr("barbule.tables.verbs.create_table.BATCH_ROWS", 3)
    table = session.create_table("long", [{"n": n} for n in range(10)])
    assert table.n.sum().to_pyarrow().as_py() == 45
    assert len(table.history()) == 1


def test_invalid_data_creates_no_table(session):
    rows = [{"photo": "here.png"}, {"photo": b"no image"}]
    with pytest.raises(SchemaError, match=r"'photo'.*several types: str, bytes"):
        session.create_table("photos", rows)
    with pytest.raises(DataError, match="table 'films', column 'released', row 1"):
        session.create_table(
            "films", [FilmRecord("Up", datetime.date(2009, 5, 29)), FilmRecord("Coco", "soon")]
        )
    assert session.list_tables() == []


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param(lambda: ({"n": n, "x": n * 1.5} for n in range(3)), id="generator"),
        pytest.param(lambda: map(dict, [[("n", 0), ("x", 0)], [("n", 1), ("x", 1.5)]]), id="map"),
        pytest.param({"a": {"n": 0, "x": 0.5}}.values, id="values of a dict"),
    ],
)
def test_table_is_created_from_row_iterator(session, rows):
    table = session.create_table("t", rows())
    assert table.schema() == ibis.schema({"n": "int64", "x": "float64"})
    assert table.order_by("n").collect() == list(rows())
    assert len(table.history()) == 1


MATRICES = {
    "of one shape": ([[[1.0, 2.0]], [[3.0, 4.0]]], "array<array<float64, 2>, 1>"),
    "of several shapes": ([[[1.0, 2.0]], [[3.0, 4.0], [5.0, 6.0]]], "array<array<float64, 2>>"),
    "of whole numbers": ([[[1, 2]], [[3], [4]]], "array<array<int64>>"),
    "of truth values": ([[[True, False]], [[False], [True]]], "array<array<boolean>>"),
    "of three dimensions": ([[[[1.0]]], [[[2.0], [3.0]]]], "array<array<array<float64, 1>>, 1>"),
}


@pytest.mark.parametrize("frame", [list, pd.DataFrame], ids=["rows", "pandas"])
@pytest.mark.parametrize(("values", "kind"), MATRICES.values(), ids=MATRICES)
def test_matrices_become_nested_arrays(session, values, kind, frame):
    source = [{"n": n, "m": np.array(value)} for n, value in enumerate(values)]
    table = session.create_table("t", frame(source))
    assert str(table.schema()["m"]) == kind
    assert table.order_by("n").collect()["m"] == values
    assert table.insert(source[:1]).rows == 1


def test_arrays_of_mixed_dimensions_are_refused(session):
    rows = [{"m": np.ones(2)}, {"m": np.ones((2, 2))}, {"m": np.ones(3)}]
    expected = (
        r"column 'm'.* types: array of 1 dimensions, float64, array of 2 dimensions, float64\."
    )
    with pytest.raises(SchemaError, match=expected):
        session.create_table("t", rows)


@pytest.mark.parametrize("schema", [[], (), iter(())])
def test_empty_data_without_schema_is_refused(session, schema):
    with pytest.raises(SchemaError, match="table 'films': there are no rows to infer types from"):
        session.create_table("films", schema)
    assert session.list_tables() == []


@pytest.mark.parametrize("schema", [["name", "year"], "films.csv", 3])
def test_schema_of_unsupported_type_is_refused(session, schema):
    with pytest.raises(SchemaError, match="table 'films': a schema must be a mapping"):
        session.create_table("films", schema)


def test_get_table_may_return_none(session):
    assert session.get_table("nope", if_not_exists="ignore") is None
    table = session.create_table("made", {"a": bb.Int})
    assert session.get_table("made", if_not_exists="ignore").equals(table)
    with pytest.raises(ConfigurationError, match="if_not_exists must be one of"):
        session.get_table("made", if_not_exists="replace")


def test_unknown_table_mode_is_refused(session):
    session.create_table("made", {"a": bb.Int}, mode="versioned")
    with pytest.raises(ConfigurationError, match="mode must be one of 'versioned'"):
        session.create_table("other", {"a": bb.Int}, mode="flat")
    assert session.list_tables() == ["made"]
