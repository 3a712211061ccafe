"""Timestamps, dates and times: comparisons with ISO strings and each other, in zones and not."""

from __future__ import annotations

import datetime

import ibis
import pytest
from ibis import _

import barbule as bb
from barbule.errors import DataError, ExpressionError

UTC = datetime.UTC
EAST = datetime.timezone(datetime.timedelta(hours=2))
M = datetime.datetime
ROWS = [
    {"n": 1, "ts": "2025-12-31T23:59:59.999999", "tz": "2026-01-01T01:00:00+02:00",
     "day": "2025-12-31", "clock": "08:59:59"},
    {"n": 2, "ts": "2026-01-01", "tz": "2026-01-01T00:00:00", "day": "2026-01-01",
     "clock": "09:00"},
    {"n": 3, "ts": "2026-01-01T10:00:00+02:00", "tz": "2026-01-01T10:00:00+02:00",
     "day": "2026-02-28", "clock": "09:00:00.5"},
    {"n": 4, "ts": None, "tz": None, "day": None, "clock": None},
    {"n": 5, "ts": "1969-07-20T20:17:40", "tz": "1969-07-20T20:17:40Z", "day": "1969-07-20",
     "clock": "23:59:59.999999"},
]  # fmt: skip


@pytest.fixture(scope="module")
def table(shared):
    kinds = {
        "n": bb.Int,
        "ts": bb.Timestamp,
        "tz": bb.Timestamp("UTC"),
        "day": bb.Date,
        "clock": bb.Time,
    }
    table = shared.create_table("times", kinds)
    table.insert([*ROWS, *({**row, "n": row["n"] + 100} for row in ROWS)])
    table.delete(where=table.n > 100)
    return table


KEPT = {
    "timestamp after a day": (lambda t: t.ts > "2026-01-01", [3]),
    "timestamp at a day": (lambda t: t.ts >= "2026-01-01", [2, 3]),
    "day on the left": (lambda t: "2026-01-01" <= t.ts, [2, 3]),  # noqa: SIM300
    "timestamp with seconds": (lambda t: t.ts < "2025-12-31T23:59:59.999999", [5]),
    "timestamp equals": (lambda t: t.ts == "2026-01-01T00:00:00", [2]),
    "space for the T": (lambda t: t.ts == "2026-01-01 00:00:00", [2]),
    "not equals": (lambda t: t.ts != "2026-01-01", [1, 3, 5]),
    "a zone beside none is turned into UTC": (lambda t: t.ts == "2026-01-01T10:00:00+02:00", [3]),
    "Z beside none": (lambda t: t.ts == "2026-01-01T08:00:00Z", [3]),
    "between": (lambda t: t.ts.between("2025-12-31", "2026-01-01"), [1, 2]),
    "between a string and a datetime": (
        lambda t: t.ts.between("2026-01-01", M(2026, 2, 1, tzinfo=UTC)),
        [2, 3],
    ),
    "in": (lambda t: t.ts.isin(["2026-01-01", "1969-07-20T20:17:40"]), [2, 5]),
    "not in": (lambda t: t.ts.notin(["2026-01-01"]), [1, 3, 5]),
    "datetime": (lambda t: t.ts == M(2026, 1, 1), [2]),
    "datetime with a zone": (lambda t: t.ts == M(2026, 1, 1, 10, tzinfo=EAST), [3]),
    "date": (lambda t: t.ts > datetime.date(2026, 1, 1), [3]),
    "literal": (lambda t: t.ts > ibis.timestamp("2026-01-01"), [3]),
    "before 1970": (lambda t: t.ts < "1970-01-01", [5]),
    "zone after a day": (lambda t: t.tz > "2026-01-01", [3]),
    "zone equals in another zone": (lambda t: t.tz == "2026-01-01T08:00:00Z", [3]),
    "zone equals without one, which is UTC": (lambda t: t.tz == "2026-01-01T08:00:00", [3]),
    "zone and datetime": (lambda t: t.tz == M(2026, 1, 1, 10, tzinfo=EAST), [3]),
    "zone and datetime without": (lambda t: t.tz == M(2026, 1, 1), [2]),
    "zone between": (
        lambda t: t.tz.between("2026-01-01T01:00:00+02:00", "2026-01-01T02:00:00+02:00"),
        [1, 2],
    ),
    "zone in": (lambda t: t.tz.isin(["2026-01-01T03:00:00+03:00", "2026-01-01T08:00Z"]), [2, 3]),
    "day equals": (lambda t: t.day == "2026-01-01", [2]),
    "day after": (lambda t: t.day > "2025-12-31", [2, 3]),
    "day after a timestamp": (lambda t: t.day > "2025-12-31T12:00:00", [2, 3]),
    "day between": (lambda t: t.day.between("2025-12-31", "2026-01-31"), [1, 2]),
    "day in": (lambda t: t.day.isin(["2026-02-28", "2026-02-27"]), [3]),
    "day basic form": (lambda t: t.day == "20260101", [2]),
    "clock equals": (lambda t: t.clock == "09:00", [2]),
    "clock after": (lambda t: t.clock > "09:00:00", [3, 5]),
    "clock between": (lambda t: t.clock.between("08:00", "09:00"), [1, 2]),
    "timestamp and day": (lambda t: t.ts > t.day, [1, 5]),
    "timestamp and zone": (lambda t: t.ts == t.tz, [2, 3, 5]),
    "date of a timestamp": (lambda t: t.ts.date() == "2026-01-01", [2, 3]),
    "null": (lambda t: t.ts == None, [4]),  # noqa: E711
    "not null": (lambda t: t.day != None, [1, 2, 3, 5]),  # noqa: E711
    "filled": (lambda t: t.ts.fill_null("2026-01-01") == "2026-01-01", [2, 4]),
    "filled zone": (lambda t: t.tz.fill_null("2026-01-01T02:00+02:00") == "2026-01-01", [2, 4]),
    "both": (lambda t: (t.ts > "2025-01-01") & (t.clock < "09:00"), [1]),
}


@pytest.mark.parametrize("name", KEPT)
def test_temporal_comparison_with_string(table, name):
    make, expected = KEPT[name]
    assert sorted(table.where(make(table)).collect()["n"]) == expected
    assert sorted(table.where(make(_)).collect()["n"]) == expected
    derived = table.mutate(more=1).filter(_.n < 50)
    assert sorted(derived.where(make(derived)).collect()["n"]) == expected


def test_machine_time_zone_has_no_effect(table, monkeypatch):
    import time

    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        for name in (
            "zone after a day",
            "zone equals without one, which is UTC",
            "timestamp and zone",
        ):
            make, expected = KEPT[name]
            assert sorted(table.where(make(table)).collect()["n"]) == expected
    finally:
        monkeypatch.undo()
        time.tzset()


def test_timestamps_and_times_round_trip(table):
    row = table.where(_.n == 3).collect()[0]
    assert row["ts"] == M(2026, 1, 1, 8)
    assert row["tz"] == M(2026, 1, 1, 10, tzinfo=EAST)
    assert row["tz"].tzinfo is not None
    assert table.where(_.n == 5).collect()[0, "clock"] == datetime.time(23, 59, 59, 999999)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda t: t.ts > "2026-13-01",
            "column 'ts': this string is not a valid timestamp.*2026-13-01",
        ),
        (lambda t: t.ts > "yesterday", "this string is not a valid timestamp.*ISO 8601"),
        (lambda t: t.ts > "01/02/2026", "this string is not a valid timestamp"),
        (lambda t: t.ts > "", "this string is not a valid timestamp"),
        (
            lambda t: t.tz == "2026-01-01T10:00:00+99:00",
            "column 'tz': this string is not a valid timestamp",
        ),
        (
            lambda t: t.day == "2026-02-30",
            "column 'day': this string is not a valid date.*'2026-01-31'",
        ),
        (
            lambda t: t.clock > "25:00",
            "column 'clock': this string is not a valid time of day.*'09:30:00'",
        ),
        (lambda t: t.ts.between("2026-01-01", "soon"), "this string is not a valid timestamp"),
        (lambda t: t.ts.isin(["2026-01-01", "soon"]), "this string is not a valid timestamp"),
        (lambda t: "soon" < t.ts, "this string is not a valid timestamp"),  # noqa: SIM300
    ],
)
def test_invalid_temporal_string_is_refused(table, make, message):
    with pytest.raises(ExpressionError, match=message):
        make(table)


def test_temporal_comparison_in_updates_views_and_columns(session):
    table = session.create_table("t", {"ts": bb.Timestamp, "late": bb.Bool})
    table.insert([{"ts": "2026-01-01T10:00:00"}, {"ts": "2025-01-01"}])
    table.add_computed_column(new=table.ts > "2026-01-01")
    assert table.update({"late": True}, where=table.ts > "2026-01-01").rows == 1
    view = session.create_view("recent", table.where(table.ts.between("2026-01-01", "2027-01-01")))
    assert view.collect() == [{"ts": M(2026, 1, 1, 10), "late": True, "new": True}]
    assert table.delete(where=table.ts < "2026-01-01").rows == 1


def test_truncate_and_strftime_of_time(session):
    t = bb.create_table("t", {"clock": bb.Time})
    t.insert([{"clock": "08:59:59.5"}, {"clock": None}])
    created = {"hour": t.clock.truncate("h"), "second": t.clock.truncate("s"),
            "text": t.clock.strftime("%H:%M")}  # fmt: skip
    rows = t.order_by("clock").select(**created).collect()
    assert rows["hour"] == [datetime.time(8), None]
    assert rows["second"] == [datetime.time(8, 59, 59), None]
    assert rows["text"] == ["08:59", None]
    t.add_computed_column(hour=t.clock.truncate("h"), stored=True)
    assert t.where(t.hour == "08:00").count().to_pyarrow().as_py() == 1


@pytest.mark.parametrize("filled", ["2020-07-01T00:00:00+00:00", M(2020, 7, 1, tzinfo=UTC)])
def test_fill_null_keeps_time_zone_of_column(session, filled):
    t = bb.create_table("t", {"n": bb.Int, "ts": bb.Timestamp(timezone="America/New_York")})
    t.insert([{"n": 1, "ts": "2020-07-01T12:00:00+00:00"}, {"n": 2, "ts": None}])
    full = t.ts.fill_null(filled)
    assert full.type().timezone == "America/New_York"
    rows = t.order_by("n").select(ts=full, hour=full.hour()).collect()
    assert [str(timestamp) for timestamp in rows["ts"]] == [
        "2020-07-01 08:00:00-04:00",
        "2020-06-30 20:00:00-04:00",
    ]
    assert rows["hour"] == [8, 20]


def test_date_beyond_python_range_raises(session):
    t = bb.create_table("t", {"n": bb.Int, "day": bb.Date})
    t.insert([{"n": 1, "day": "2024-02-29"}, {"n": 2, "day": "9999-12-31"}])
    later = t.order_by("n").select("n", next=t.day + ibis.interval(days=1)).collect()
    for read in (list, lambda rows: rows["next"], lambda rows: rows[1]):
        with pytest.raises(DataError, match=r"column 'next', row 1: .*date.*years 1 to 9999"):
            read(later)
    assert later[0, "next"] == datetime.date(2024, 3, 1)
    assert later.to_pyarrow()["next"].null_count == 0
