"""Managed tables together with raw tables of the same database, in either order."""

from __future__ import annotations

import ibis
import pyarrow as pa
import pytest

import barbule as bb


@pytest.fixture
def films(session):
    table = session.create_table("films", {"a": bb.Int, "s": bb.Float})
    table.insert([{"a": 1, "s": 2.5}, {"a": 2, "s": None}, {"a": 3, "s": 1.0}])
    table.delete(where=table.a == 3)
    return table


@pytest.fixture
def raw(session):
    return session.ibis.create_table("raw", pa.table({"a": [1, 7, 3], "r": ["x", "y", "z"]}))


def _orders(films, raw):
    return [raw.join(films, "a"), films.join(raw, "a")]


def test_joins_with_raw_tables(films, raw):
    for joined in _orders(films, raw):
        query = joined.select("a", "s", "r")
        assert query.to_pyarrow().to_pylist() == [{"a": 1, "s": 2.5, "r": "x"}]
        assert query.execute().to_dict("records") == [{"a": 1, "s": 2.5, "r": "x"}]
        assert query.to_pandas().shape == (1, 3)
        assert query.to_polars().rows() == [(1, 2.5, "x")]
        assert query.to_pyarrow_batches().read_all().num_rows == 1
        assert query.count().execute() == 1
        assert joined.s.sum().to_pyarrow().as_py() == 2.5
        assert (joined.s + 1).execute().tolist() == [3.5]


def test_set_operations_with_raw_tables(films, raw):
    mine, theirs = films.select("a"), raw.select("a")
    for one, other in ((mine, theirs), (theirs, mine)):
        assert sorted(one.union(other).execute()["a"]) == [1, 1, 2, 3, 7]
        assert one.intersect(other).execute()["a"].tolist() == [1]
    assert mine.difference(theirs).execute()["a"].tolist() == [2]
    assert sorted(theirs.difference(mine).execute()["a"]) == [3, 7]


def test_subqueries_over_raw_tables(films, raw):
    assert raw.filter(raw.a.isin(films.a)).to_pandas()["r"].tolist() == ["x"]
    assert films.filter(films.a.isin(raw.a)).to_pandas()["a"].tolist() == [1]
    upper = raw.filter(raw.a > films.a.max()).order_by("a")
    assert upper.execute()["a"].tolist() == [3, 7]
    exists = raw.filter((raw.a == films.a).any())
    assert exists.execute()["r"].tolist() == ["x"]


def test_functions_over_joins_with_raw_tables(films, raw):
    @bb.udf
    def twice(number: int) -> int:
        return 2 * number

    joined = raw.join(films, "a")
    assert joined.select(two=twice(joined.a)).to_pyarrow().to_pylist() == [{"two": 2}]


def test_joins_with_raw_and_in_memory_tables(films, raw):
    memory = ibis.memtable({"a": [1, 2], "m": ["p", "q"]})
    query = raw.join(films, "a").join(memory, "a").select("r", "m")
    assert query.to_pyarrow().to_pylist() == [{"r": "x", "m": "p"}]


def test_exports_of_joins_with_raw_tables(films, raw, tmp_path):
    raw.join(films, "a").to_parquet(tmp_path / "a.parquet")
    raw.join(films, "a").to_csv(tmp_path / "a.csv")
    assert ibis.duckdb.connect().read_parquet(tmp_path / "a.parquet").count().execute() == 1
    assert (tmp_path / "a.csv").read_text().splitlines()[1:] == ["1,x,2.5"]


def test_ibis_connection_reads_raw_and_managed_tables(films, raw, session):
    assert raw.count().execute() == 3
    assert session.ibis.to_pyarrow(films.filter(films.a > 1)).to_pylist() == [{"a": 2, "s": None}]
    assert "films" not in session.ibis.compile(raw)
    assert "bb_rows" in raw.join(films, "a").compile()
