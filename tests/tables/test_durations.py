"""Durations: what lies between two moments, as a type that is read, stored and shown."""

from __future__ import annotations

import datetime

import ibis
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import barbule as bb
from barbule.errors import DataError, ExpressionError, SchemaError

T, M = datetime.timedelta, datetime.datetime
LONG, SHORT = T(days=1, hours=1, microseconds=2), T(minutes=1)


@pytest.fixture
def jobs(session):
    """Give jobs with a beginning and an end, of which one has neither."""
    t = bb.create_table("jobs", {"id": bb.Int, "began": bb.Timestamp, "ended": bb.Timestamp})
    t.insert(
        [
            {"id": 1, "began": M(2024, 1, 1, 12), "ended": M(2024, 1, 2, 13, 0, 0, 2)},
            {"id": 2, "began": M(2024, 1, 1), "ended": M(2024, 1, 1, 0, 1)},
            {"id": 3},
        ]
    )
    return t


def test_the_difference_of_two_moments_is_a_duration(jobs):
    query = jobs.order_by("id").select(took=jobs.ended - jobs.began)
    assert query.schema()["took"] == bb.Duration
    assert query.collect()["took"] == [LONG, SHORT, None]
    assert query.to_pyarrow()["took"].type == pa.duration("us")
    assert query.to_pyarrow_batches().read_all()["took"].to_pylist() == [LONG, SHORT, None]
    assert query.to_polars()["took"].to_list() == [LONG, SHORT, None]
    frame = query.to_pandas()
    assert frame["took"].dtype == "m8[us]"
    assert frame["took"].tolist() == [pd.Timedelta(LONG), pd.Timedelta(SHORT), pd.NaT]
    assert query.took.to_pandas().tolist() == frame["took"].tolist()
    assert "1 day, 1:00:00.000002" in repr(query.collect())


def test_differences_of_days_times_and_zoned_moments(session):
    t = bb.create_table("t", {"d": bb.Date, "t": bb.Time, "z": bb.Timestamp("UTC")})
    t.insert(d=datetime.date(2024, 3, 1), t=datetime.time(12), z=M(2024, 3, 1, tzinfo=datetime.UTC))
    q = t.select(
        d=t.d - datetime.date(2024, 2, 1),
        t=t.t - datetime.time(11, 30),
        z=t.z - M(2024, 2, 1, tzinfo=datetime.UTC),
        back=datetime.date(2024, 2, 1) - t.d,
    )
    assert q.collect()[0] == {"d": T(29), "t": T(minutes=30), "z": T(29), "back": T(-29)}


@pytest.mark.parametrize("stored", [None, True])
def test_a_computed_duration_stays_readable(jobs, stored):
    jobs.add_computed_column(took=jobs.ended - jobs.began, stored=stored)
    jobs.insert(id=4, began=M(2024, 1, 1, 1), ended=M(2024, 1, 1))
    assert jobs.order_by("id").collect()["took"] == [LONG, SHORT, None, T(hours=-1)]
    assert jobs.at(1).count().to_pyarrow().as_py() == 3
    jobs.update({"ended": jobs.began}, where=jobs.id == 4)
    assert jobs.where(jobs.id == 4).collect()[0, "took"] == T(0)
    view = bb.create_view("v", jobs.mutate(again=jobs.ended - jobs.began))
    assert view.order_by("id").collect()["again"] == [LONG, SHORT, None, T(0)]
    longest = bb.create_view("w", jobs.group_by(few=jobs.id < 3).agg(most=jobs.took.max()))
    assert longest.order_by("few").collect()["most"] == [T(0), LONG]


def test_durations_are_compared_and_computed_with(jobs):
    jobs.add_computed_column(took=jobs.ended - jobs.began)

    def ids(condition):
        return jobs.where(condition).order_by("id").collect()["id"]

    assert ids(jobs.took > T(hours=1)) == [1]
    assert ids(jobs.took == SHORT) == [2]
    assert ids(jobs.took <= ibis.interval(minutes=1)) == [2]
    assert ids(jobs.took.between(T(0), SHORT)) == [2]
    assert ids(jobs.took.isin([SHORT, T(5)])) == [2]
    assert ids(jobs.took.notin([SHORT])) == [1]
    row = (
        jobs.where(jobs.id == 2)
        .select(
            end=jobs.began + jobs.took,
            more=jobs.took + T(days=1),
            less=jobs.took - T(seconds=30),
            twice=jobs.took * 2,
            none=jobs.took - jobs.took,
            gone=jobs.took.nullif(SHORT),
            seconds=jobs.took.total_seconds(),
            constant=ibis.interval(days=3),
        )
        .collect()[0]
    )
    assert row == {
        "end": M(2024, 1, 1, 0, 1),
        "more": T(days=1, minutes=1),
        "less": T(seconds=30),
        "twice": T(minutes=2),
        "none": T(0),
        "gone": None,
        "seconds": 60.0,
        "constant": T(days=3),
    }
    assert jobs.where(jobs.took.fill_null(T(0)) == T(0)).collect()["id"] == [3]
    totals = jobs.agg(
        n=jobs.took.min(), m=jobs.took.max(), s=jobs.took.sum(), a=jobs.took.mean(),
        some=jobs.took.sum(where=jobs.id == 2),
    ).collect()[0]  # fmt: skip
    assert totals == {"n": SHORT, "m": LONG, "s": LONG + SHORT, "a": (LONG + SHORT) / 2,
                      "some": SHORT}  # fmt: skip
    assert jobs.order_by(jobs.took.desc()).limit(2).collect()["id"] == [1, 2]


def test_functions_take_and_give_durations(jobs):
    @bb.udf
    def seconds(x: T, by: T) -> float:
        return x.total_seconds() * by.total_seconds()

    @bb.udf
    def twice(x: T) -> T:
        return x * 2

    took = jobs.ended - jobs.began
    query = jobs.order_by("id").select(a=seconds(took, T(seconds=2)), b=twice(took))
    for _ in range(2):  # asked, and from the ledger
        assert query.collect()["a"] == [LONG.total_seconds() * 2, 120.0, None]
        assert query.collect()["b"] == [LONG * 2, SHORT * 2, None]
    jobs.add_computed_column(doubled=twice(took))
    assert jobs.order_by("id").collect()["doubled"] == [LONG * 2, SHORT * 2, None]


KINDS = {
    "a": bb.Duration,
    "l": bb.Array(bb.Duration),
    "s": bb.Struct({"d": T}),
    "r": bb.Duration(nullable=False),
}


def test_durations_are_inserted_and_updated(session):
    t = bb.create_table("t", KINDS)
    row = {"a": T(days=-1, seconds=3), "l": [LONG, None], "s": {"d": T(2, 3, 4)}, "r": T(0)}
    t.insert(row)
    assert t.collect()[0] == row
    assert t.select(x=t.s.d, y=t.l[0]).collect()[0] == {"x": T(2, 3, 4), "y": LONG}
    t.update({"a": T(hours=2)})
    t.update({"r": t.a + T(1)})
    assert t.collect()[0] == row | {"a": T(hours=2), "r": T(days=1, hours=2)}
    assert t.upsert([{"a": T(hours=2), "r": T(5)}], on="a").updated == 1
    with pytest.raises(DataError, match=r"column 'r'.*required"):
        t.insert(a=T(1))
    with pytest.raises(DataError, match="column 'a', row 0: this is no interval"):
        t.insert(a="1 day", r=T(0))


@pytest.mark.parametrize(
    "rows",
    [
        [{"x": T(hours=1)}, {"x": None}],
        [{"x": np.timedelta64(1, "h")}, {"x": np.timedelta64("NaT")}],
        pd.DataFrame({"x": pd.to_timedelta([1, None], unit="h")}),
        pd.DataFrame({"x": pd.Series([T(hours=1), None], dtype=object)}),
        pl.DataFrame({"x": [T(hours=1), None]}),
        pa.table({"x": pa.array([3600, None], pa.duration("s"))}),
        pa.table({"x": pa.array([3600 * 10**9, None], pa.duration("ns"))}),
    ],
    ids=["records", "numpy", "pandas", "objects", "polars", "seconds", "nanoseconds"],
)
def test_durations_of_others_become_a_column(session, rows):
    t = bb.create_table("t", rows)
    assert t.schema()["x"] == bb.Duration
    t.insert(rows)
    assert t.collect()["x"] == [T(hours=1), None, T(hours=1), None]


def test_what_is_finer_than_a_microsecond_is_refused(session):
    t = bb.create_table("t", {"x": bb.Duration})
    for rows in (
        pa.table({"x": pa.array([1000, 2001], pa.duration("ns"))}),
        [{"x": T(0)}, {"x": np.timedelta64(2001, "ns")}],
        [{"x": T(0)}, {"x": pd.Timedelta(2001, "ns")}],
    ):
        with pytest.raises(DataError, match="column 'x', row 1: this is no interval"):
            t.insert(rows)
    assert t.count().to_pyarrow().as_py() == 0


def test_durations_are_written_to_files(jobs, tmp_path):
    jobs.add_computed_column(took=jobs.ended - jobs.began)
    query = jobs.order_by("id").select("id", "took")
    query.to_parquet(tmp_path / "d.parquet")
    assert pq.read_table(tmp_path / "d.parquet")["took"].to_pylist() == [LONG, SHORT, None]
    again = bb.create_table("again", {"id": bb.Int, "took": T})
    again.insert(tmp_path / "d.parquet")
    assert again.order_by("id").collect() == query.collect()


def test_months_have_no_fixed_length(jobs):
    with pytest.raises(ExpressionError, match="column 'm': a column holds durations of a fixed"):
        jobs.add_computed_column(m=ibis.interval(months=3))
    with pytest.raises(SchemaError, match="column 'm': a column holds durations of a fixed"):
        bb.create_table("t", {"m": "interval('M')"})
    moved = jobs.order_by("id").select(x=jobs.began + ibis.interval(months=1))
    assert moved.collect()[0, "x"] == M(2024, 2, 1, 12)
