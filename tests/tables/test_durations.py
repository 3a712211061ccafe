"""Durations: differences of timestamps, as a type that is read, stored and shown."""

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
    """Return jobs with a start and an end, one of them with neither."""
    t = bb.create_table("jobs", {"id": bb.Int, "began": bb.Timestamp, "ended": bb.Timestamp})
    t.insert(
        [
            {"id": 1, "began": M(2024, 1, 1, 12), "ended": M(2024, 1, 2, 13, 0, 0, 2)},
            {"id": 2, "began": M(2024, 1, 1), "ended": M(2024, 1, 1, 0, 1)},
            {"id": 3},
        ]
    )
    return t


def test_difference_of_timestamps_is_a_duration(jobs):
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


def test_differences_of_dates_times_and_zoned_timestamps(session):
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
def test_computed_duration_column_is_readable(jobs, stored):
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


def test_duration_columns_support_comparison_and_arithmetic(jobs):
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


def one(query, **values):
    return query.select(**values).collect()[0]


def test_timestamp_differences_support_comparison_and_arithmetic(jobs):
    took = jobs.ended - jobs.began

    def ids(condition):
        return jobs.where(condition).order_by("id").collect()["id"]

    assert ids(took > T(hours=1)) == ids(T(hours=1) < took) == [1]
    assert ids(took == SHORT) == [2]
    assert ids(took != SHORT) == [1]
    assert ids(took <= ibis.interval(minutes=1)) == [2]
    assert ids(took.between(T(0), SHORT)) == ids(took.isin([SHORT])) == [2]
    assert ids(took.total_seconds() == 60) == [2]
    assert ids(took + SHORT > T(days=1)) == [1]
    assert ids(jobs.ended > jobs.began + T(hours=1)) == [1]
    totals = jobs.agg(a=took.sum() > T(1), b=took.mean() * 2, c=took.max()).collect()[0]
    assert totals == {"a": True, "b": LONG + SHORT, "c": LONG}
    grouped = jobs.group_by(few=jobs.id < 2).having(took.sum() > T(hours=1)).agg(n=took.count())
    assert grouped.collect() == [{"few": True, "n": 1}]


def test_duration_division_matches_timedelta(session):
    t = bb.create_table("t", {"w": bb.Duration, "n": bb.Int, "x": bb.Float, "d": "decimal(6, 2)"})
    rows = [(T(hours=2), 3, 0.5, "0.25"), (T(seconds=-7), -2, -2.0, "4.00"), (None, 1, 1.0, "1.00")]
    t.insert([{"w": w, "n": n, "x": x, "d": d} for w, n, x, d in rows])
    hour = T(hours=1)
    got = t.order_by(t.w.desc()).select(
        half=t.w / 2, third=t.w / t.n, more=t.w / t.x, exact=t.w / t.d, floor=t.w // t.n,
        times=t.w * t.n, double=2 * t.w, times_x=t.w * 1.5, hours=t.w / hour, of=hour / t.w,
        whole=t.w // hour, left=t.w % hour, ratio=t.w / t.w, length=abs(t.w), minus=-t.w,
    ).collect()  # fmt: skip
    for row, (w, n, x, d) in zip(got, rows[:2], strict=False):
        assert row == {
            "half": w / 2, "third": w / n, "more": w / x, "exact": w / float(d), "floor": w // n,
            "times": w * n, "double": w * 2, "times_x": w * 1.5, "hours": w / hour, "of": hour / w,
            "whole": w // hour, "left": w % hour, "ratio": 1.0, "length": abs(w), "minus": -w,
        }  # fmt: skip
    assert set(got[2].values()) == {None}
    nothing = one(t.limit(1), a=t.w / 0, b=t.w // 0, c=t.w % T(0), d=t.w / (t.n - t.n))
    assert nothing == {"a": None, "b": None, "c": None, "d": None}
    t.add_computed_column(half=t.w / 2, hours=t.w / hour)
    t.insert(w=T(hours=3), n=1)
    assert t.where(t.w == T(hours=3)).collect()[0, "half"] == T(minutes=90)


def test_durations_can_be_added_to_dates_and_timestamps(session):
    t = bb.create_table(
        "t",
        {"day": bb.Date, "a": bb.Timestamp, "z": bb.Timestamp("Europe/Paris"), "w": bb.Duration},
    )
    day, w = datetime.date(2024, 1, 31), T(hours=30)
    t.insert(day=day, a=M(2024, 2, 1, 6), z=M(2024, 2, 1, tzinfo=datetime.UTC), w=w)
    midnight = M(2024, 1, 31)
    full = one(t, a=t.day + T(days=1), b=T(days=1) + t.day, c=t.day - T(days=31),
                d=t.day + ibis.interval(months=1), e=t.day - ibis.interval(years=1))  # fmt: skip
    assert full == {
        "a": day + T(1), "b": day + T(1), "c": day - T(31), "d": datetime.date(2024, 2, 29),
        "e": datetime.date(2023, 1, 31),
    }  # fmt: skip
    # With a time of day it is a timestamp, as in pandas and in databases.
    moments = one(t, a=t.day + T(hours=1), b=t.day + t.w, c=t.w + t.day, d=t.day - t.w,
                  e=T(hours=1) + t.day, f=t.day + (t.a - t.day), g=t.day + (t.day - t.day),
                  h=t.day + ibis.interval(hours=2), i=t.w + day, j=t.w + midnight)  # fmt: skip
    assert moments == {
        "a": midnight + T(hours=1), "b": midnight + w, "c": midnight + w, "d": midnight - w,
        "e": midnight + T(hours=1), "f": M(2024, 2, 1, 6), "g": midnight,
        "h": midnight + T(hours=2), "i": midnight + w, "j": midnight + w,
    }  # fmt: skip
    differences = one(t, a=t.a - t.day, b=t.day - t.a, c=t.day - M(2024, 1, 30, 12),
                      d=M(2024, 2, 1) - t.day, e=t.a - day, f=t.z + t.w - t.z)  # fmt: skip
    assert differences == {"a": T(hours=30), "b": T(hours=-30), "c": T(hours=12), "d": T(1),
                           "e": T(hours=30), "f": w}  # fmt: skip


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda t: t.took > 1, r"column 'took': > .*and 1\..*timedelta\(hours=1\).*total_seconds"),
        (lambda t: t.took == 1, r"column 'took': =="),
        (lambda t: t.id > T(1), r"column 'id': > .*total_seconds"),
        (lambda t: t.took + 1, r"\+ .*timedelta\(hours=1\)"),
        (lambda t: t.took > "1 hour", r"> .*Write a duration"),
        (lambda t: t.id + T(1), r"\+ is not supported between 'id' \(int64\)"),
        (lambda t: t.id / t.took, r"/ is not supported between 'id'"),
        (lambda t: 1 // t.took, r"// is not supported between 1 and"),
        (lambda t: t.took % 2, r"% is not supported between"),
        (lambda t: t.began + 1, r"\+ .*timedelta\(days=1\).*as_interval"),
        (lambda t: t.began + t.ended, r"\+ .*Subtract a timestamp"),
        (lambda t: t.began - "2024-01-01", r"- .*datetime\.datetime\(2026.*try_cast"),
        (lambda t: t.took > M(2024, 1, 1), r"> is not supported between"),
        (lambda t: t.began.date() + 1, r"\+ .*timedelta"),
        (lambda t: -t.began, r"- is not supported for 'began'"),
    ],
)
def test_invalid_duration_operations_are_refused(jobs, ask, message):
    jobs.add_computed_column(took=jobs.ended - jobs.began)
    with pytest.raises(ExpressionError, match=message) as caught:
        ask(jobs)
    assert caught.value.table == "jobs"


def test_functions_take_and_return_durations(jobs):
    @bb.udf
    def seconds(x: T, by: T) -> float:
        return x.total_seconds() * by.total_seconds()

    @bb.udf
    def twice(x: T) -> T:
        return x * 2

    took = jobs.ended - jobs.began
    query = jobs.order_by("id").select(a=seconds(took, T(seconds=2)), b=twice(took))
    for _ in range(2):  # computed, then from the ledger
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
    with pytest.raises(DataError, match="column 'a', row 0: this is not a valid duration"):
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
def test_foreign_durations_become_a_duration_column(session, rows):
    t = bb.create_table("t", rows)
    assert t.schema()["x"] == bb.Duration
    t.insert(rows)
    assert t.collect()["x"] == [T(hours=1), None, T(hours=1), None]


def test_duration_finer_than_a_microsecond_is_refused(session):
    t = bb.create_table("t", {"x": bb.Duration})
    for rows in (
        pa.table({"x": pa.array([1000, 2001], pa.duration("ns"))}),
        [{"x": T(0)}, {"x": np.timedelta64(2001, "ns")}],
        [{"x": T(0)}, {"x": pd.Timedelta(2001, "ns")}],
    ):
        with pytest.raises(DataError, match="column 'x', row 1: this is not a valid duration"):
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


def test_month_interval_as_duration_column_is_refused(jobs):
    with pytest.raises(ExpressionError, match="column 'm': a column holds durations of a fixed"):
        jobs.add_computed_column(m=ibis.interval(months=3))
    with pytest.raises(SchemaError, match="column 'm': a column holds durations of a fixed"):
        bb.create_table("t", {"m": "interval('M')"})
    shifted = jobs.order_by("id").select(x=jobs.began + ibis.interval(months=1))
    assert shifted.collect()[0, "x"] == M(2024, 2, 1, 12)
