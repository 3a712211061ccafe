"""Values of each column type round-trip."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import math
import uuid

import numpy as np
import pyarrow as pa
import pydantic
import pytest

import barbule as bb


class Point(pydantic.BaseModel):
    x: int
    y: int | None = None


@dataclasses.dataclass
class Pair:
    x: int
    y: int


UTC = datetime.UTC
LEAP = datetime.datetime(2024, 2, 29, 12, 30, 15, 123456)  # noqa: DTZ001 - without a zone
KEY = uuid.UUID("12345678-1234-5678-1234-567812345678")
PAIR = bb.Struct({"x": bb.Int, "y": bb.Int})
CASES = [
    (bb.String, "naïve 表 \x00?".replace("\x00", ""), None),
    (bb.String, "", None),
    (bb.Int, 2**63 - 1, None),
    (bb.Int, -(2**63), None),
    (bb.Int, np.int32(7), 7),
    ("int8", -128, None),
    ("uint64", 2**64 - 1, None),
    (bb.Float, 0.1, None),
    (bb.Float, 3, 3.0),
    (bb.Float, math.inf, None),
    (bb.Bool, False, None),
    (bb.Bool, np.True_, True),
    (bb.Timestamp, LEAP.isoformat(), LEAP),
    (bb.Timestamp, LEAP.replace(year=1904), None),
    ("timestamp('UTC')", "2024-02-29T14:30:15.123456+02:00", LEAP.replace(tzinfo=UTC)),
    (bb.Date, "2024-02-29", datetime.date(2024, 2, 29)),
    (bb.Date, datetime.date(1, 1, 1), None),
    (bb.Time, "23:59:58", datetime.time(23, 59, 58)),
    (bb.Time, datetime.time(1, 2, 3), None),
    (bb.UUID, KEY, str(KEY)),
    (bb.UUID, str(KEY).upper(), str(KEY)),
    (bb.Binary, b"\x00\xff'\"", None),
    (bb.Binary, bytearray(b"ab"), b"ab"),
    ("decimal(10, 2)", decimal.Decimal("-12345678.90"), None),
    ("decimal(10, 2)", "3.14", decimal.Decimal("3.14")),
    ("decimal(10, 2)", 3.5, decimal.Decimal("3.50")),
    ("decimal(10, 2)", 3, decimal.Decimal("3.00")),
    (bb.Json, {"a": [1, None, {"b": "ü"}], "c": 1.5}, None),
    (bb.Json, [1, "two"], None),
    (bb.Json, "a plain text", None),
    (bb.Json, 12, None),
    (bb.Json, Point(x=1), {"x": 1, "y": None}),
    (bb.Json, {"when": datetime.date(2024, 1, 1)}, {"when": "2024-01-01"}),
    (PAIR, {"x": 1, "y": 2}, None),
    (PAIR, {"x": 1}, {"x": 1, "y": None}),
    (PAIR, Point(x=1, y=2), {"x": 1, "y": 2}),
    (PAIR, Pair(1, 2), {"x": 1, "y": 2}),
    (bb.Struct({"meta": bb.Json, "when": bb.Date}), {"meta": {"a": 1}, "when": "2024-01-01"},
     {"meta": {"a": 1}, "when": datetime.date(2024, 1, 1)}),
    (bb.Array(bb.String), ["a", None, ""], None),
    (bb.Array(bb.Int), [], None),
    (bb.Array(bb.Int), (1, 2), [1, 2]),
    (bb.Array(bb.Array(bb.Int)), [[1], [], None], None),
    (bb.Array(bb.Array(bb.Float, 3), 2), [[0.5, 1.0, 2.0], [3.0, 4.0, 5.0]], None),
    (bb.Array(bb.Array(bb.Array(bb.Int, 1), 2)), [[[1], [2]], [[3], [4]]], None),
    (bb.Array(bb.Vector(2)), [[1.0, 2.0], [3.0, 4.0]], None),
    (bb.Array(bb.Struct({"v": bb.Vector(2)}), 1), [{"v": [1.0, 2.0]}], None),
    (bb.Array(bb.UUID, 2), [str(KEY), None], None),
    (bb.Array("decimal(8, 2)", 2), [decimal.Decimal("1.25"), None], None),
    (bb.Array(bb.Json, 2), [{"a": 1}, [2]], None),
    (bb.Array(bb.Json), [{"a": 1}, None], None),
    (bb.Array(PAIR), [{"x": 1, "y": 2}], None),
    (bb.Vector(3), [1, 2.5, -3], [1.0, 2.5, -3.0]),
    (bb.Vector(3), np.array([1.0, 2.5, -3.0]), [1.0, 2.5, -3.0]),
    ("map<string, int64>", {"a": 1}, {"a": 1}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "value", "stored"), CASES, ids=lambda value: str(value)[:40])
def test_value_round_trips(shared, kind, value, stored):
    table = shared.create_table("cells", {"c": kind}, if_exists="replace")
    table.insert([{"c": value}, {"c": None}])
    table.update({"c": value}, where=table.c.isnull())
    table.insert(c=value)
    expected = value if stored is None else stored
    assert table.collect()["c"] == [expected] * 3
    assert type(table.collect()[0, "c"]) is type(expected)


@pytest.mark.parametrize("kind", [bb.String, bb.Json, bb.UUID, bb.Vector(2), PAIR, bb.Timestamp])
def test_null_round_trips_in_each_type(shared, kind):
    table = shared.create_table("cells", {"n": bb.Int, "c": kind}, if_exists="replace")
    table.insert([{"n": 1, "c": None}, {"n": 2}])
    assert table.collect()["c"] == [None, None]
    assert table.filter(table.c.isnull()).count().to_pyarrow().as_py() == 2


def test_nested_arrow_types_are_converted(shared):
    table = shared.create_table(
        "nested", {"v": bb.Vector(2), "s": PAIR, "j": bb.Json, "u": bb.UUID, "w": bb.Array(bb.Int)}
    )
    table.insert(
        pa.table(
            {
                "v": pa.array([[1.0, 2.0]], pa.list_(pa.float64())),
                "s": [{"x": 1, "y": 2}],
                "j": ['{"a": 1}'],
                "u": [str(KEY)],
                "w": pa.array([[1, 2]], pa.list_(pa.int32())),
            }
        )
    )
    assert table.collect() == [
        {"v": [1.0, 2.0], "s": {"x": 1, "y": 2}, "j": {"a": 1}, "u": str(KEY), "w": [1, 2]}
    ]


def test_json_paths_read_inserted_values(shared):
    table = shared.create_table("cells", {"j": bb.Json}, if_exists="replace")
    table.insert([{"j": {"a": {"b": [10, 20]}}}, {"j": {"a": 1}}, {"j": None}])
    assert table.j.a.b[1].int.to_pyarrow().to_pylist() == [20, None, None]


def test_zoned_timestamp_keeps_its_instant_in_utc(shared):
    table = shared.create_table("cells", {"moment": "timestamp('UTC')"}, if_exists="replace")
    zone = datetime.timezone(datetime.timedelta(hours=5))
    moment = datetime.datetime(2024, 1, 1, 4, tzinfo=zone)
    table.insert(moment=moment)
    assert table.collect()[0, "moment"] == moment
