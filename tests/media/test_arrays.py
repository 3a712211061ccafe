"""Arrow arrays built without pandas equal those that pyarrow builds."""

from __future__ import annotations

import datetime
import os
import subprocess
import sys

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from barbule.values.arrays import arrow_array

INTEGERS = st.integers(-(2**63), 2**63 - 1)
TIMESTAMPS = st.datetimes(datetime.datetime(1, 1, 1), datetime.datetime(9999, 12, 31))  # noqa: DTZ001
COLUMNS = st.one_of(
    *(
        st.tuples(st.just(kind), st.lists(st.none() | values, max_size=20))
        for kind, values in [
            (pa.int64(), INTEGERS),
            (pa.int8(), st.integers(-128, 127)),
            (pa.uint64(), st.integers(0, 2**64 - 1)),
            (pa.float64(), st.floats(allow_nan=False)),
            (pa.float64(), st.integers(-(2**53), 2**53)),
            (pa.float32(), st.floats(allow_nan=False, width=32)),
            (pa.bool_(), st.booleans()),
            (pa.string(), st.text(st.characters(codec="utf-8"))),
            (pa.binary(), st.binary()),
            (pa.date32(), st.dates()),
            (pa.timestamp("us"), TIMESTAMPS),
            (pa.timestamp("us", "UTC"), TIMESTAMPS.map(lambda m: m.replace(tzinfo=datetime.UTC))),
            (pa.time64("ns"), st.times()),
        ]
    )
)


@pytest.fixture
def without_pandas(monkeypatch):
    monkeypatch.delitem(sys.modules, "pandas", raising=False)


@given(COLUMNS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_arrays_equal_those_of_pyarrow(without_pandas, column):
    kind, values = column
    array = arrow_array(values, kind)
    array.validate(full=True)
    assert array.equals(pa.array(values, kind))
    assert array.null_count == values.count(None)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([2**63], pa.int64()),
        ([300], pa.int8()),
        (["x"], pa.int64()),
        ([1], pa.string()),
        (["\ud800"], pa.string()),
        ([True, 2], pa.bool_()),
    ],
)
def test_values_of_another_type_are_rejected(without_pandas, values, kind):
    with pytest.raises((ValueError, TypeError, OverflowError)):
        arrow_array(values, kind)


def test_small_insert_does_not_import_pandas():
    program = """
import sys
from pathlib import Path
import barbule as bb
from barbule.media.library import MediaLibrary
from barbule.tables.sources import read_rows

schema = bb.types.schema({
    "name": bb.String, "n": bb.Int, "x": bb.Float, "b": bb.Bool, "t": bb.Timestamp, "d": bb.Date,
    "j": bb.Json, "v": bb.Vector(2), "s": bb.Struct({"a": bb.Int}), "m": bb.Image, "z": bb.Binary,
})
library = MediaLibrary("memory://m", Path("cache"))
row = {"name": "Up", "n": 1, "x": 1, "b": True, "t": "2024-01-02", "d": "2024-01-02", "j": {"a": 1},
       "v": [1, 2.5], "s": {"a": 1}, "z": b"x"}
assert read_rows([row, {"name": None}], schema, "t", library).num_rows == 2
assert "pandas" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True, env=dict(os.environ))
