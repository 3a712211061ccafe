"""Sources of rows for inserts."""

from __future__ import annotations

import dataclasses

import ibis
import pandas as pd
import polars as pl
import pyarrow as pa
import pydantic
import pytest

import barbule as bb

ROWS = [
    {"name": "Up", "revenue": 735.1, "year": 2009},
    {"name": "Cars", "revenue": None, "year": 2006},
]


class FilmModel(pydantic.BaseModel):
    name: str
    revenue: float | None
    year: int


@dataclasses.dataclass
class FilmRecord:
    name: str
    revenue: float | None
    year: int


@pytest.fixture
def films(shared):
    schema = {"name": bb.String, "revenue": bb.Float, "year": bb.Int}
    return shared.create_table("films", schema, if_exists="replace")


def _arrow() -> pa.Table:
    return pa.Table.from_pylist(ROWS)


SOURCES = {
    "list": lambda: ROWS,
    "tuple": lambda: tuple(ROWS),
    "pydantic": lambda: [FilmModel(**row) for row in ROWS],
    "dataclasses": lambda: [FilmRecord(**row) for row in ROWS],
    "mixed": lambda: [ROWS[0], FilmModel(**ROWS[1])],
    "pandas": lambda: pd.DataFrame(ROWS),
    "pandas with an index": lambda: pd.DataFrame(ROWS, index=[7, 3]),
    "polars": lambda: pl.DataFrame(ROWS),
    "arrow": _arrow,
    "record batch": lambda: _arrow().to_batches()[0],
    "reader": lambda: pa.RecordBatchReader.from_batches(_arrow().schema, _arrow().to_batches()),
    "memtable": lambda: ibis.memtable(_arrow()),
    "other column order": lambda: _arrow().select(["year", "revenue", "name"]),
    "narrower types": lambda: _arrow().cast(
        pa.schema({"name": pa.large_string(), "revenue": pa.float32(), "year": pa.int16()})
    ),
}


@pytest.mark.parametrize("source", SOURCES)
def test_rows_are_inserted_from_each_source(films, source):
    result = films.insert(SOURCES[source]())
    assert (result.rows, result.errors, result.version) == (2, 0, 1)
    rows = films.collect()
    assert rows["name"] == ["Up", "Cars"]
    assert rows["revenue"] == [pytest.approx(735.1), None]
    assert rows["year"] == [2009, 2006]


def test_single_row_may_be_dict_keywords_or_object(films):
    films.insert({"name": "Up", "year": 2009})
    films.insert(name="Cars", revenue=1.5)
    films.insert(FilmModel(name="Coco", revenue=None, year=2017))
    films.insert(FilmRecord(name="Soul", revenue=None, year=2020))
    assert films.collect()["name"] == ["Up", "Cars", "Coco", "Soul"]
    assert films.collect()["year"] == [2009, None, 2017, 2020]


def test_query_over_managed_table_can_be_inserted(shared, films):
    films.insert(ROWS)
    other = shared.create_table("old", {"name": bb.String, "year": bb.Int})
    result = other.insert(films.filter(films.year < 2008).select("name", year=films.year + 1))
    assert result.rows == 1
    assert other.collect() == [{"name": "Cars", "year": 2007}]


def test_a_table_may_be_inserted_into_itself(films):
    films.insert(ROWS)
    films.insert(films)
    assert len(films.collect()) == 4


def test_empty_insert_adds_no_version(films):
    films.insert(ROWS)
    for empty in ([], pd.DataFrame(ROWS).head(0), _arrow().slice(0, 0)):
        result = films.insert(empty)
        assert (result.rows, result.version) == (0, 1)
    assert len(films.history()) == 2


def test_omitted_columns_are_null(films):
    films.insert(pd.DataFrame({"name": ["Up"]}))
    films.insert([{"name": "Cars"}, {"year": 3}])
    assert films.collect() == [
        {"name": "Up", "revenue": None, "year": None},
        {"name": "Cars", "revenue": None, "year": None},
        {"name": None, "revenue": None, "year": 3},
    ]


def test_missing_values_of_pandas_are_null(films):
    frame = pd.DataFrame({"name": ["Up", None], "revenue": [float("nan"), 1.0], "year": [1, pd.NA]})
    films.insert(frame)
    assert films.collect() == [
        {"name": "Up", "revenue": None, "year": 1},
        {"name": None, "revenue": 1.0, "year": None},
    ]


def test_whole_floats_fit_integer_columns(films):
    films.insert(pd.DataFrame({"year": [2009.0, float("nan")]}))
    films.insert([{"year": 2006.0}])
    assert films.collect()["year"] == [2009, None, 2006]


def test_rows_keep_their_order_over_several_inserts(shared):
    table = shared.create_table("many", {"n": bb.Int})
    for start in range(0, 50, 10):
        table.insert([{"n": n} for n in range(start, start + 10)])
    assert table.collect()["n"] == list(range(50))
