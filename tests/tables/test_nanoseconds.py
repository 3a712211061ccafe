"""Nanoseconds are stored where the database supports them, and refused elsewhere."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import barbule as bb
from barbule.errors import DataError

TEXT = "2024-01-01T00:00:00.123456789"
FINE = np.array([TEXT, "NaT"], "datetime64[ns]")
PLAIN = np.array(["2024-01-01T00:00:00.123456"], "datetime64[ns]")
COUNT = int(FINE[0].astype("int64"))
FORMS = {
    "pandas": lambda values: pd.DataFrame({"x": values}),
    "arrow": lambda values: pa.table({"x": pa.array(values)}),
    "polars": lambda values: pl.DataFrame({"x": pl.Series(values)}),
}

VALUES = {
    "numpy datetime64": FINE[0],
    "pandas Timestamp": pd.Timestamp(TEXT),
    "string with nanoseconds": TEXT,
}


def counted(table):
    """Return the timestamps of a table as nanoseconds since 1970."""
    cells = table.to_pyarrow()["x"].combine_chunks()
    return cells.cast(pa.timestamp("ns")).cast(pa.int64()).to_pylist()


@pytest.mark.never("postgres", raises=DataError, reason="timestamps have microsecond precision")
@pytest.mark.parametrize("operation", [f"nanoseconds of {form}" for form in FORMS])
def test_nanoseconds_of_frames_are_kept(session, operation):
    form = operation.removeprefix("nanoseconds of ")
    t = bb.create_table("t", FORMS[form](FINE))
    assert str(t.schema()["x"]) == "timestamp(9)"
    assert counted(t) == [COUNT, None]
    t.insert(FORMS[form](FINE[:1]))
    assert t.collect()["x"][2].nanosecond == 789


@pytest.mark.never("postgres", raises=DataError, reason="timestamps have microsecond precision")
@pytest.mark.parametrize("operation", VALUES)
def test_nanosecond_column_keeps_nanoseconds(session, operation):
    value = VALUES[operation]
    t = bb.create_table("t", {"x": "timestamp(9)"})
    t.insert([{"x": value}, {"x": "2024-01-01"}, {"x": None}])
    assert counted(t) == [COUNT, COUNT // 10**9 * 10**9, None]
    assert t.where(t.x == pd.Timestamp(TEXT)).count().to_pyarrow().as_py() == 1


@pytest.mark.parametrize("form", FORMS)
def test_microsecond_timestamps_fit_each_column(session, form):
    t = bb.create_table("t", {"x": bb.Timestamp})
    t.insert(FORMS[form](PLAIN))
    assert counted(t) == [COUNT // 1000 * 1000]
    assert str(bb.create_table("p", pd.DataFrame({"x": PLAIN})).schema()["x"]) == "timestamp"


def test_nanoseconds_in_microsecond_column_are_refused(session, tmp_path):
    t = bb.create_table("t", {"x": bb.Timestamp})
    file = tmp_path / "x.csv"
    file.write_text(f"x\n2024-01-01\n{TEXT}\n")
    for rows in (
        *(make(np.array([PLAIN[0], FINE[0]])) for make in FORMS.values()),
        [{"x": PLAIN[0]}, {"x": FINE[0]}],
        [{"x": None}, {"x": pd.Timestamp(TEXT)}],
        [{"x": None}, {"x": TEXT}],
        file,
    ):
        with pytest.raises(DataError, match=r"column 'x', row 1: .* has nanoseconds"):
            t.insert(rows)
    with pytest.raises(DataError, match="has nanoseconds"):
        t.update({"x": pd.Timestamp(TEXT)})
    assert t.count().to_pyarrow().as_py() == 0
    t.insert(x=TEXT[:-3])
    assert counted(t) == [COUNT // 1000 * 1000]


def test_backend_without_nanoseconds_raises_for_column(session, backend_name):
    if backend_name == "duckdb":
        pytest.skip("it has them")
    t = bb.create_table("t", {"n": bb.Int, "x": "timestamp(9)"})
    with pytest.raises(DataError, match=r"table 't', column 'x': .*would lose data"):
        t.insert(n=1, x=TEXT)
    t.insert(n=1, x=TEXT[:-3])
    assert counted(t) == [COUNT // 1000 * 1000]
