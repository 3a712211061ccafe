"""Idioms of other libraries for results, versions and sources: errors with hints."""

from __future__ import annotations

import datetime

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import barbule as bb
from barbule.errors import BarbuleError, ColumnNotFoundError, DataError, VersionError

DAY = datetime.date(2026, 1, 5)


@pytest.fixture
def t(session):
    return session.create_table("t", [{"a": "Up", "n": 1}])


def test_attribute_access_on_result_error_suggests_item(t):
    rows = t.collect()
    with pytest.raises(
        ColumnNotFoundError, match=r"is not an attribute of a result: 'a'"
    ) as caught:
        rows.a  # noqa: B018 - what is tested
    assert "Did you mean" not in caught.value.hint
    assert "rows['a']" in caught.value.hint
    assert rows["a"] == ["Up"]
    with pytest.raises(ColumnNotFoundError, match=r"not an attribute of a row: 'a'.*row\['a'\]"):
        rows[0].a  # noqa: B018 - what is tested
    assert rows[0]["a"] == "Up"
    with pytest.raises(ColumnNotFoundError, match="Did you mean 'n'"):
        rows.N  # noqa: B018 - what is tested
    with pytest.raises(ColumnNotFoundError, match="Did you mean 'n'"):
        rows[0].N  # noqa: B018 - what is tested


@pytest.mark.parametrize("day", [DAY, "2026-01-05", np.datetime64("2026-01-05")], ids=repr)
def test_date_as_version_is_refused(session, t, day):
    for ask in (
        lambda: t.at(day),
        lambda: t.diff(0, day),
        lambda: t.revert(day),
        lambda: session.at(day),
    ):
        with pytest.raises(VersionError) as caught:
            ask()
        assert "datetime.datetime(2026, 1, 5) is the start" in caught.value.hint
        assert "datetime.datetime(2026, 1, 6) is its end" in caught.value.hint


@pytest.mark.parametrize("text", ["2026-01-05T03:00", "2026-01-05 03:00:00+01:00"])
def test_timestamp_string_as_version_is_refused(session, t, text):
    for ask in (lambda: t.at(text), lambda: session.at(text)):
        with pytest.raises(VersionError, match=r"datetime\.datetime\.fromisoformat\('2026-01-05T"):
            ask()
    t.checkpoint(text)
    assert t.at(text).count().to_pyarrow().as_py() == 1


@pytest.mark.parametrize("zone", [None, "UTC", "Asia/Tokyo"])
def test_pandas_timestamp_selects_version(session, t, zone):
    later = pd.Timestamp.now(tz=zone) + pd.Timedelta(days=1)
    t.insert(a="b", n=2)
    assert t.at(later).count().to_pyarrow().as_py() == 2
    assert session.at(later).get_table("t").count().to_pyarrow().as_py() == 2
    with pytest.raises(VersionError, match="the table had no version at 2020-01-05"):
        t.at(pd.Timestamp("2020-01-05 12:00", tz=zone))
    with pytest.raises(VersionError, match="there is no version NaT"):
        t.at(pd.NaT)


SERIES = {
    "pandas": pd.Series([1, 2], name="n"),
    "pandas row": pd.Series({"a": "x", "n": 5}),
    "index": pd.Index([1, 2]),
    "polars": pl.Series("n", [1, 2]),
    "array": pa.array([1, 2]),
    "chunked": pa.chunked_array([[1], [2]]),
}


@pytest.mark.parametrize("name", SERIES)
def test_series_as_table_is_refused(session, t, name):
    series = SERIES[name]
    for ask in (lambda: t.insert(series), lambda: session.create_table("made", series)):
        with pytest.raises(BarbuleError, match="is a single column: pass") as caught:
            ask()
        assert "ArrowSchema" not in str(caught.value)
    assert session.list_tables() == ["t"]


def test_hints_for_series_work(session, t):
    t.insert(SERIES["pandas"].to_frame("n"))
    t.insert(SERIES["pandas row"].to_dict())
    t.insert(SERIES["index"].to_frame(name="n").reset_index(drop=True))
    t.insert(SERIES["polars"].to_frame("n"))
    t.insert(pa.table({"n": SERIES["array"]}))
    t.insert(pa.table({"n": SERIES["chunked"]}))
    assert t.count().to_pyarrow().as_py() == 12
    with pytest.raises(DataError, match=r"(?s)not a Series.*series\.to_dict\(\)"):
        t.insert([SERIES["pandas row"]])
    assert bb.create_table("made", SERIES["polars"].to_frame("n")).columns == ("n",)
