"""Cached rows, values of parameters, limits, and exports that Ibis does not support."""

from __future__ import annotations

import datetime
import itertools

import ibis
import openpyxl
import polars as pl
import pytest
from ibis import _

import barbule as bb
from barbule.errors import BarbuleError, ExpressionError, UnsupportedError
from barbule.relations import Query

# Ibis calls a deprecated function of DuckDB to get the schema of a piece of SQL.
SQL = pytest.mark.filterwarnings("ignore:fetch_arrow_table:DeprecationWarning")


@pytest.fixture
def table(session):
    table = session.create_table(
        "things", {"id": bb.Int, "meta": bb.Json, "at_": bb.Timestamp("UTC"), "u": bb.UUID}
    )
    moment = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    table.insert([{"id": n, "meta": {"n": [n]}, "at_": moment} for n in range(6)])
    return table


def test_cached_rows_are_stable_and_can_be_queried(table):
    calls = []

    @bb.udf
    def slow(n: int) -> int:
        calls.append(n)
        return n * 10

    with table.select("id", "meta", ten=slow(table.id)).cache() as held:
        assert sorted(calls) == list(range(6))
        table.delete(where=table.id > 2)
        assert isinstance(held.filter(_.id > 1), Query)
        assert held.count().to_pyarrow().as_py() == 6
        assert held.where(held.meta.n[0] > 3).order_by("id").collect()["ten"] == [40, 50]
        assert sorted(held.join(table, "id").select("id").collect()["id"]) == [0, 1, 2]
        assert held.to_pandas().shape == (6, 3)
    assert sorted(calls) == list(range(6))
    assert held.collect()["id"]  # they are released with the last reference


def test_cached_rows_can_be_inserted_but_not_viewed(session, table):
    held = table.filter(_.id < 2).cache()
    assert session.create_table("copy", held).count().to_pyarrow().as_py() == 2
    with pytest.raises(UnsupportedError, match="a view needs a query over barbule tables"):
        session.create_view("v", held)


@pytest.mark.parametrize(
    "read",
    [
        lambda q, p: q.collect(params=p)["id"],
        lambda q, p: q.to_pyarrow(params=p)["id"].to_pylist(),
        lambda q, p: q.to_pandas(params=p)["id"].tolist(),
        lambda q, p: q.to_polars(params=p)["id"].to_list(),
        lambda q, p: q.to_pyarrow_batches(params=p).read_all()["id"].to_pylist(),
        lambda q, p: list(range(5, 5 - q.count().execute(params=p), -1)),
    ],
    ids=["collect", "arrow", "pandas", "polars", "batches", "scalar"],
)
def test_parameters_are_bound_in_each_export(table, read):
    least = ibis.param("int64")
    query = table.where(table.id > least).order_by("id", asc=False)
    assert read(query, {least: 3}) == [5, 4]
    assert read(query, {least: 4}) == [5]


def test_parameter_without_value_raises(table):
    least, most = ibis.param("int64"), ibis.param("int64")
    query = table.where(table.id > least, table.id < most)
    with pytest.raises(ExpressionError, match="a parameter of type int64 has no value"):
        query.collect(params={least: 3})
    for run in (query.collect, query.to_pandas, query.show, query.explain):
        with pytest.raises(ExpressionError, match="a parameter of type int64 has no value"):
            run()
    with pytest.raises(ExpressionError, match="a parameter of type int64 has no value"):
        table.delete(where=table.id > least)
    assert table.count().execute() == 6


def test_parameter_in_stored_expression_is_refused(table):
    least = ibis.param("int64")
    for keep in (
        lambda: table.add_computed_column(more=table.id + least),
        lambda: bb.create_view("some", table.where(table.id > least)),
    ):
        with pytest.raises(ExpressionError, match="a parameter of type int64 cannot be saved"):
            keep()
    assert "more" not in table.columns


def test_limit_applies_to_each_export(table):
    assert table.to_pyarrow(limit=2).num_rows == 2
    assert table.to_polars(limit=2).height == 2
    assert len(table.to_pandas(limit=2)) == 2
    assert table.to_pyarrow_batches(limit=2).read_all().num_rows == 2


def test_polars_export_supports_json_columns_and_scalars(table):
    frame = table.order_by("id").to_polars()
    assert frame["meta"].str.json_decode(pl.Struct({"n": pl.List(pl.Int64)}))[2] == {"n": [2]}
    assert table.id.max().to_polars() == 5
    assert sorted(table.id.to_polars()) == list(range(6))


def test_excel_file_round_trips(session, table, tmp_path):
    path = tmp_path / "things.xlsx"
    table.order_by("id").to_xlsx(path, sheet="Things", header=True)
    page = openpyxl.load_workbook(path)["Things"]
    rows = list(page.iter_rows(values_only=True))
    assert rows[0] == ("id", "meta", "at_", "u")
    assert rows[3] == (2, '{"n": [2]}', "2026-01-01T00:00:00+00:00", None)
    copy = session.create_table("copy", {"id": bb.Int, "at_": bb.Timestamp("UTC")})
    table.select("id", "at_").to_xlsx(path, header=True)
    copy.insert(str(path))
    assert copy.order_by("id").collect() == table.select("id", "at_").order_by("id").collect()


@SQL
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("selec nope from things", "this SQL cannot be parsed"),
        ("select nope from things", "nope"),
        ("select * from elsewhere", "elsewhere"),
    ],
)
def test_invalid_sql_raises(table, text, message):
    with pytest.raises(BarbuleError, match=message):
        table.sql(text)
    assert table.count().to_pyarrow().as_py() == 6


def test_select_keeps_column_order(session):
    table = bb.create_table("t", {"a": bb.Int, "b": bb.Int, "c": bb.Int})
    table.insert(a=1, b=2, c=3)
    for names in itertools.permutations("abc"):
        actual = table.select(*names).to_pyarrow()
        assert actual.schema.names == list(names)
        assert actual.to_pylist() == [{"a": 1, "b": 2, "c": 3}]
        assert list(table.select(*names).to_pandas().columns) == list(names)
        assert table.select(*names).collect().columns == tuple(names)
