"""Zoned timestamps: their parts are local, as in pandas."""

from __future__ import annotations

import datetime
from zoneinfo import ZoneInfo

import ibis
import pandas as pd
import pytest
from ibis import _

import barbule as bb
from barbule.errors import ExpressionError, SchemaError, UnsupportedError

ZONES = ["America/Los_Angeles", "Asia/Kolkata", "Europe/Berlin", "UTC"]
# Around changes of daylight saving time and midnights of the zones, with fractions.
TIMESTAMPS = [
    "2024-08-10T03:00:00",
    "2024-03-10T09:59:59.999999",
    "2024-03-10T10:00:00",
    "2024-11-03T08:30:00",
    "2024-11-03T09:30:00",
    "2024-03-31T00:59:59",
    "2024-03-31T01:00:00",
    "2024-12-31T18:30:00.250000",
    "2024-12-31T23:15:00",
    "1969-12-31T23:59:59.500000",
]

PARTS = {
    "year": (lambda c: c.year(), lambda s: s.dt.year),
    "quarter": (lambda c: c.quarter(), lambda s: s.dt.quarter),
    "month": (lambda c: c.month(), lambda s: s.dt.month),
    "day": (lambda c: c.day(), lambda s: s.dt.day),
    "hour": (lambda c: c.hour(), lambda s: s.dt.hour),
    "minute": (lambda c: c.minute(), lambda s: s.dt.minute),
    "second": (lambda c: c.second(), lambda s: s.dt.second),
    "microsecond": (lambda c: c.microsecond(), lambda s: s.dt.microsecond),
    "day_of_year": (lambda c: c.day_of_year(), lambda s: s.dt.day_of_year),
    "week": (lambda c: c.week_of_year(), lambda s: s.dt.isocalendar().week),
    "iso_year": (lambda c: c.iso_year(), lambda s: s.dt.isocalendar().year),
    "weekday": (lambda c: c.day_of_week.index(), lambda s: s.dt.day_of_week),
    "weekday name": (lambda c: c.day_of_week.full_name(), lambda s: s.dt.day_name()),
    "date": (lambda c: c.date(), lambda s: s.dt.date),
    "cast to a date": (lambda c: c.cast("date"), lambda s: s.dt.date),
    "time": (lambda c: c.time(), lambda s: s.dt.time),
    "epoch of the minute": (
        lambda c: (
            (c - c.second().as_interval("s") - c.microsecond().as_interval("us"))
            .cast("timestamp('UTC')")
            .epoch_seconds()
        ),
        lambda s: s.map(lambda m: int(m.timestamp() // 60 * 60)),
    ),
    "text": (
        lambda c: c.strftime("%Y-%m-%d %H:%M:%S"),
        lambda s: s.dt.strftime("%Y-%m-%d %H:%M:%S"),
    ),
    "text with offset": (
        lambda c: c.strftime("%d.%m. %H:%M %z"),
        lambda s: s.dt.strftime("%d.%m. %H:%M %z"),
    ),
    "truncated to days": (
        lambda c: c.truncate("D"),
        lambda s: s.dt.tz_localize(None).dt.floor("D"),
    ),
    "truncated to hours": (
        lambda c: c.truncate("h"),
        lambda s: s.dt.tz_localize(None).dt.floor("h"),
    ),
    "truncated to months": (
        lambda c: c.truncate("M"),
        lambda s: s.dt.tz_localize(None).dt.to_period("M").dt.start_time,
    ),
    "in buckets": (
        lambda c: c.bucket(hours=6),
        lambda s: s.dt.tz_localize(None).dt.floor("6h"),
    ),
}


def _timestamps(zone):
    return pd.Series(pd.to_datetime(TIMESTAMPS, utc=True, format="ISO8601")).dt.tz_convert(zone)


def _column(query):
    return query.order_by("n").collect()


@pytest.fixture
def table(session, request):
    zone = getattr(request, "param", "America/Los_Angeles")
    made = session.create_table("t", {"n": "int64", "dt": bb.Timestamp(timezone=zone)})
    made.insert([{"n": n, "dt": m.to_pydatetime()} for n, m in enumerate(_timestamps(zone))])
    made.insert(n=len(TIMESTAMPS), dt=None)
    return made


@pytest.mark.parametrize("table", ZONES, indirect=True)
def test_timestamp_parts_are_local(session, table):
    zone = table.dt.type().timezone
    expected = {
        name: [*map(_plain, ask(_timestamps(zone))), None] for name, (_, ask) in PARTS.items()
    }
    calls = {name: ask(table.dt) for name, (ask, _) in PARTS.items()}
    view = session.create_view("v", table.filter(table.n >= 0).mutate(**calls))
    joined = table.join(table.view(), "n").select("n", "dt")
    sources = {
        "query": table.mutate(**calls),
        "joined": joined.mutate(**{name: ask(joined.dt) for name, (ask, _) in PARTS.items()}),
        "view": view,
        "cast": table.mutate(dt=table.dt.cast(bb.Timestamp(timezone="Asia/Tokyo"))).mutate(
            **{
                name: ask(_.dt.cast(bb.Timestamp(timezone=zone)))
                for name, (ask, _w) in PARTS.items()
            }
        ),
    }
    for source, query in sources.items():
        actual = _column(query)
        for name, values in expected.items():
            assert list(map(_plain, actual[name])) == values, (source, name)


def _plain(value):
    if isinstance(value, pd.Timestamp):
        return value.to_pydatetime()
    return value if isinstance(value, datetime.date | datetime.time | str | None) else int(value)


def test_local_parts_in_computed_columns_filters_and_groups(table):
    table.add_computed_column(day=table.dt.date(), hour=table.dt.hour())
    table.add_computed_column(kept=table.dt.day(), stored=True)
    local = _timestamps("America/Los_Angeles")
    rows = _column(table)
    assert rows["day"] == [*local.dt.date, None]
    assert rows["kept"] == [*local.dt.day, None]
    evening = _column(table.filter(table.dt.hour() >= 18))
    assert evening["n"] == [n for n, m in enumerate(local) if m.hour >= 18]
    days = table.group_by(day=table.dt.date()).agg(rows=_.count()).order_by("day").collect()
    counted = local.dt.date.value_counts().sort_index()
    assert [(row["day"], row["rows"]) for row in days if row["day"]] == list(counted.items())
    assert table.update({"n": table.dt.hour()}, where=table.dt.day() == 9).rows == 1
    assert table.filter(table.dt.day() == 9).collect()["n"] == [20]


def test_strings_of_zoned_timestamps_have_utc_offset(session):
    table = session.create_table("t", {"n": "int64", "dt": "timestamp('Asia/Kolkata')"})
    table.insert(n=0, dt="2024-01-31T04:00:00.500+00:00")
    zones = ["Asia/Kolkata", "America/St_Johns", "Europe/Berlin", "UTC"]
    texts = table.select(
        **{zone: table.dt.cast(bb.Timestamp(timezone=zone)).cast("string") for zone in zones}
    )
    assert dict(texts.collect()[0]) == {
        "Asia/Kolkata": "2024-01-31 09:30:00.5+05:30",
        "America/St_Johns": "2024-01-31 00:30:00.5-03:30",
        "Europe/Berlin": "2024-01-31 05:00:00.5+01",
        "UTC": "2024-01-31 04:00:00.5+00",
    }
    written = table.select(x=table.dt.strftime("%z is%%z%z"))
    assert written.collect()["x"] == ["+0530 is%z+0530"]
    with pytest.raises(UnsupportedError, match="Use %z for the offset from UTC, or write"):
        table.select(x=table.dt.strftime("%H %Z")).collect()


def test_days_are_added_by_calendar_and_hours_by_elapsed_time(session):
    zone = ZoneInfo("America/Los_Angeles")
    noon = datetime.datetime(2024, 3, 9, 12, tzinfo=zone)  # the day before clocks go forward
    table = session.create_table("t", {"dt": bb.Timestamp(timezone=zone.key)})
    table.insert(dt=noon)
    row = table.select(
        day=table.dt + ibis.interval(days=1),
        hours=table.dt + ibis.interval(hours=24),
        back=table.dt + ibis.interval(days=2) - ibis.interval(weeks=1),
        month=table.dt + ibis.interval(months=1),
    ).collect()[0]
    assert row == {
        "day": noon.replace(day=10),
        "hours": noon.replace(day=10, hour=13),
        "back": noon.replace(day=4),
        "month": noon.replace(month=4),
    }
    assert {value.utcoffset() for value in row.values()} == {
        datetime.timedelta(hours=-7),
        datetime.timedelta(hours=-8),
    }
    later = table.mutate(end=table.dt + ibis.interval(days=1))
    assert later.select(x=later.end.delta(later.dt, unit="hour")).collect()["x"] == [23]
    assert later.select(x=later.end.delta(later.dt, unit="day")).collect()["x"] == [1]
    night = table.mutate(end=table.dt + ibis.interval(hours=11))  # not yet midnight there
    assert night.select(x=night.end.delta(night.dt, unit="day")).collect()["x"] == [0]


def test_date_comparison_uses_midnight_of_zone(table):
    local = _timestamps("America/Los_Angeles")
    day = datetime.date(2024, 11, 3)
    expected = [n for n, m in enumerate(local) if m.date() >= day]
    assert _column(table.filter(table.dt >= day))["n"] == expected
    assert _column(table.filter(table.dt >= "2024-11-03"))["n"] == expected
    expected = [n for n, m in enumerate(local) if day <= m.date() < datetime.date(2024, 11, 4)]
    nextday = datetime.date(2024, 11, 4)
    assert _column(table.filter(table.dt.between(day, nextday)))["n"] == expected
    midnight = datetime.datetime(2024, 11, 3, tzinfo=ZoneInfo("America/Los_Angeles"))
    cast = table.filter(table.n == 0).select(
        x=ibis.literal(day).cast(bb.Timestamp(timezone="America/Los_Angeles"))
    )
    assert cast.collect()["x"] == [midnight]


def test_connection_time_zone_has_no_effect(session, table):
    bare = table.dt.cast("timestamp")
    later = table.dt + ibis.interval(days=1)
    calls = {
        "day": table.dt.day(),
        "bare": bare,
        "again": bare.cast(bb.Timestamp(timezone="Asia/Tokyo")).hour(),
        "text": table.dt.cast("string"),
        "later": later.strftime("%d %H:%M %z"),
        "after": table.dt > bare - ibis.interval(hours=1),
        "days": later.delta(table.dt, unit="day"),
        "of a day": ibis.literal(datetime.date(2024, 8, 9)) <= table.dt,
    }
    sql = table.op().source.compile(table.select("n", **calls).order_by("n"))
    actual = []
    for zone in ("UTC", "Pacific/Auckland"):
        session.ibis.raw_sql(f"SET TimeZone = '{zone}'")
        actual.append(session.ibis.raw_sql(sql).fetchall())
    session.ibis.raw_sql("SET TimeZone = 'UTC'")
    assert actual[0] == actual[1]
    assert actual[0][0][1:] == (
        *(9, _bare(2024, 8, 10, 3), 12, "2024-08-09 20:00:00-07"),
        *("10 20:00 -0700", True, 1, True),
    )


def _bare(*parts):
    return datetime.datetime(*parts)  # noqa: DTZ001 - without a zone


def test_naive_timestamps_are_utc(session, table):
    bare = _bare(2024, 8, 10, 3)
    rows = table.mutate(bare=table.dt.cast("timestamp"))
    assert _column(rows)["bare"][0] == bare
    assert _column(rows.filter(rows.bare == rows.dt))["n"] == list(range(10))
    assert _column(table.filter(table.dt == bare))["n"] == [0]
    assert _column(rows.filter(rows.bare.cast("timestamp('Asia/Tokyo')") == rows.dt))["n"] == list(
        range(10)
    )


@pytest.fixture
def berlin(backend_url):
    """Connect with another default zone than UTC."""
    return bb.connect(backend_url or "duckdb://", vectors="exact:", timezone="Europe/Berlin")


def test_naive_timestamps_use_default_zone(berlin):
    """An insert, a comparison, a cast and an update mean the same instant."""
    made = berlin.create_table(
        "t",
        {"n": "int64", "zoned": "timestamp('America/New_York')", "bare": bb.Timestamp},
    )
    noon = datetime.datetime(2024, 7, 1, 12, tzinfo=ZoneInfo("Europe/Berlin"))
    bare = _bare(2024, 7, 1, 12)
    rows = [
        {"n": 1, "zoned": bare, "bare": noon},
        {"n": 2, "zoned": "2024-07-01 12:00", "bare": bare},
    ]
    made.insert(rows)
    made.insert(
        pd.DataFrame({"n": [3], "zoned": [pd.Timestamp(bare)], "bare": [pd.Timestamp(noon)]})
    )
    made.insert(made.filter(made.n == 1).select(n=4, zoned=made.bare, bare=made.zoned))
    made.insert(n=5)
    made.update({"zoned": bare, "bare": noon}, where=made.n == 5)
    made.insert(n=6)
    made.update({"zoned": made.bare.fill_null(bare), "bare": made.zoned}, where=made.n == 6)
    made.update({"bare": made.zoned}, where=made.n == 6)
    rows = made.order_by("n").collect()
    assert rows["zoned"] == [noon] * 6
    assert rows["bare"] == [bare] * 6
    assert made.filter(made.zoned == bare).count().execute() == 6
    assert made.filter(made.bare == noon).count().execute() == 6
    assert made.filter(made.bare == made.zoned).count().execute() == 6
    row = (
        made.limit(1)
        .select(
            hour=made.zoned.hour(),
            cast=made.zoned.cast("timestamp"),
            back=made.bare.cast("timestamp('UTC')"),
            read=ibis.literal("2024-07-01 12:00").cast("timestamp('UTC')"),
            named=ibis.literal("2024-07-01 12:00:00+00").cast("timestamp('UTC')"),
            today=ibis.today(),
            now=ibis.now(),
        )
        .collect()[0]
    )
    assert row["hour"] == 6
    assert (row["cast"], row["back"], row["read"]) == (bare, noon, noon)
    assert row["named"] == noon + datetime.timedelta(hours=2)
    now = datetime.datetime.now(ZoneInfo("Europe/Berlin"))
    assert abs(row["now"] - now.replace(tzinfo=None)) < datetime.timedelta(minutes=5)
    assert row["today"] in {now.date(), row["now"].date()}


def test_naive_timestamps_of_files_use_default_zone(berlin, tmp_path):
    made = berlin.create_table("t", {"zoned": "timestamp('UTC')", "bare": bb.Timestamp})
    noon = datetime.datetime(2024, 7, 1, 12, tzinfo=ZoneInfo("Europe/Berlin"))
    file = tmp_path / "moments.csv"
    file.write_text("zoned,bare\n2024-07-01 12:00:00,2024-07-01T10:00:00Z\n")
    made.insert(file)
    made.insert(zoned=noon, bare=noon)
    assert made.collect()["zoned"] == [noon, noon]
    assert made.collect()["bare"] == [noon.replace(tzinfo=None)] * 2
    seconds = int(noon.timestamp())
    row = made.limit(1).select(
        zoned=made.zoned.epoch_seconds(),
        bare=made.bare.epoch_seconds(),
        back=made.zoned.epoch_seconds().as_timestamp("s"),
        cast=made.zoned.epoch_seconds().cast("timestamp"),
    )
    assert dict(row.collect()[0]) == {
        "zoned": seconds,
        "bare": seconds,
        "back": noon.replace(tzinfo=None),
        "cast": noon.replace(tzinfo=None),
    }


def test_inserted_date_is_midnight_of_zone(session):
    made = session.create_table("t", {"dt": "timestamp('Asia/Tokyo')"})
    day = datetime.date(2024, 7, 1)
    made.insert([{"dt": day}])
    made.insert(pd.DataFrame({"dt": [day]}).convert_dtypes(dtype_backend="pyarrow"))
    midnight = datetime.datetime(2024, 7, 1, tzinfo=ZoneInfo("Asia/Tokyo"))
    assert made.collect()["dt"] == [midnight, midnight]
    assert made.filter(made.dt.date() == day).count().execute() == 2


def test_time_zone_is_a_name_or_utc_offset(session):
    frame = pd.DataFrame({"dt": [pd.Timestamp("2024-07-01 05:00+05:30")]})
    made = session.create_table("t", frame)
    assert made.schema()["dt"].timezone == "+05:30"
    row = made.select(
        hour=made.dt.hour(),
        text=made.dt.strftime("%H:%M %z"),
        later=(made.dt + ibis.interval(days=1)).cast("string"),
        lower=made.dt.cast("timestamp('europe/berlin')").hour(),
        west=made.dt.cast("timestamp('UTC-03:00')").hour(),
    ).collect()[0]
    assert dict(row) == {
        "hour": 5,
        "text": "05:00 +0530",
        "later": "2024-07-02 05:00:00+05:30",
        "lower": 1,
        "west": 20,
    }
    assert made.collect()["dt"][0].utcoffset() == datetime.timedelta(hours=5.5)
    for kind in ("timestamp('Mars/Phobos')", "array<timestamp('EDT')>"):
        with pytest.raises(SchemaError, match=r"column 'dt': there is no time zone"):
            session.create_table("bad", {"dt": kind})
    for value in (made.dt.cast("timestamp('Mars/Phobos')"), ibis.now().cast("timestamp('EDT')")):
        with pytest.raises(ExpressionError, match="there is no time zone"):
            made.select(x=value.hour()).collect()


def test_zoned_literals_keep_their_instant(session):
    made = session.create_table("t", [{"n": 1}])
    moment = datetime.datetime(2024, 7, 1, 5, tzinfo=ZoneInfo("America/New_York"))
    row = made.select(
        literal=ibis.literal(moment),
        hour=ibis.literal(moment).hour(),
        other=ibis.literal(moment, "timestamp('UTC')"),
        other_hour=ibis.literal(moment, "timestamp('UTC')").hour(),
    ).collect()[0]
    assert (row["literal"], row["hour"]) == (moment, 5)
    assert (row["other"], row["other_hour"]) == (moment, 9)


def test_timestamps_returned_by_functions_keep_their_instant(backend_url):
    bb.connect(backend_url or "duckdb://", vectors="exact:", timezone="Asia/Tokyo")
    paris = bb.Timestamp("Europe/Paris")
    t = bb.create_table("t", {"n": bb.Int, "m": bb.Timestamp, "z": paris})
    at = datetime.timezone(datetime.timedelta(hours=5))
    aware = datetime.datetime(2024, 1, 1, 12, tzinfo=at)
    naive = datetime.datetime(2024, 1, 1, 12)  # noqa: DTZ001 - without a zone

    @bb.udf(return_type=paris)
    def zoned(n: int):
        return aware if n else naive

    @bb.udf
    def plain(n: int) -> datetime.datetime:
        return aware if n else naive

    @bb.udf(batch_size=2)
    def batched(n: list[int]) -> list[datetime.datetime]:
        return [aware if is_aware else naive for is_aware in n]

    @bb.udf
    def listed(n: int) -> list[datetime.datetime]:
        return [aware if n else naive]

    t.insert([{"n": 1, "m": aware, "z": aware}, {"n": 0, "m": naive, "z": naive}])
    t.add_computed_column(kept=plain(t.n), there=zoned(t.n))
    query = t.select("m", "z", "kept", "there", a=plain(t.n), b=batched(t.n), c=zoned(t.n),
                     d=listed(t.n)[0])  # fmt: skip
    for row in query.collect():
        # As in inserts: a timestamp without a zone is one of the default zone.
        assert row["kept"] == row["a"] == row["b"] == row["d"] == row["m"]
        assert row["there"] == row["c"] == row["z"]
    assert t.where(t.n == 1).collect()[0, "there"] == aware
    assert t.where(t.n == 1).collect()[0, "m"] == naive + datetime.timedelta(hours=4)
