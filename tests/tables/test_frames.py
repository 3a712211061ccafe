"""Data frames and Arrow tables of each encoding: they round-trip or are refused."""

from __future__ import annotations

import datetime
import decimal
import uuid

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import barbule as bb
from barbule.errors import DataError, SchemaError

KEY = uuid.UUID(int=6)
KEYS = pa.array([KEY.bytes, None], pa.uuid())

ENCODINGS = {
    "string views": (pa.array(["a", None], pa.string_view()), "string"),
    "binary views": (pa.array([b"a", None], pa.binary_view()), "binary"),
    "fixed-size binary": (pa.array([b"ab", None], pa.binary(2)), "binary"),
    "list views": (pa.array([[1, 2], None], pa.list_view(pa.int64())), "array<int64>"),
    "large list views": (pa.array([[1, 2], None], pa.large_list_view(pa.int64())), "array<int64>"),
    "string views in list views": (
        pa.array([["x"], None], pa.list_view(pa.string_view())),
        "array<string>",
    ),
    "binary views in lists": (
        pa.array([[b"x", None], None], pa.list_(pa.binary_view())),
        "array<binary>",
    ),
    "string views in structs": (
        pa.array([{"a": "x"}, None], pa.struct({"a": pa.string_view()})),
        "struct<a: string>",
    ),
    "run-end encoded strings": (pa.RunEndEncodedArray.from_arrays([1, 2], ["a", "b"]), "string"),
    "run-end encoded numbers": (
        pa.RunEndEncodedArray.from_arrays([1, 2], pa.array([1, None])),
        "int64",
    ),
    "run-end encoded views": (
        pa.RunEndEncodedArray.from_arrays([1, 2], pa.array(["a", None], pa.string_view())),
        "string",
    ),
    "dictionaries": (pa.array(["a", None]).dictionary_encode(), "string"),
    "uuids": (KEYS, "uuid"),
    "uuids in lists": (pa.ListArray.from_arrays([0, 1, 2], KEYS), "array<uuid>"),
    "uuids in structs": (pa.StructArray.from_arrays([KEYS], ["k"]), "struct<k: uuid>"),
    "booleans in bytes": (
        pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1, None], pa.int8())),
        "boolean",
    ),
    "an unknown extension": (
        pa.ExtensionArray.from_storage(pa.opaque(pa.string(), "x", "y"), pa.array(["a", None])),
        "string",
    ),
    "float16": (pa.array([np.float16(1.5), None], pa.float16()), "float32"),
    "float16 in lists": (
        pa.array([[np.float16(1.5)], None], pa.list_(pa.float16())),
        "array<float32>",
    ),
    "wide decimals that fit": (
        pa.array([decimal.Decimal("1.50"), None], pa.decimal256(20, 2)),
        "decimal(20, 2)",
    ),
    "small decimals": (
        pa.array([decimal.Decimal("1.50"), None], pa.decimal64(12, 2)),
        "decimal(12, 2)",
    ),
}


def _read(value):
    """Return the expected value of an Arrow cell that is read back: UUIDs are strings."""
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, list):
        return [*map(_read, value)]
    return {k: _read(v) for k, v in value.items()} if isinstance(value, dict) else value


@pytest.mark.parametrize("name", ENCODINGS)
def test_columns_of_each_arrow_encoding_round_trip(session, name):
    column, kind = ENCODINGS[name]
    rows = pa.table({"n": [1, 2], "x": column})
    made = session.create_table("made", rows)
    assert str(made.schema()["x"]) == kind
    declared = session.create_table("declared", {"n": "int64", "x": kind})
    declared.insert(rows)
    of_schema = session.create_table("of_schema", rows.schema)
    of_schema.insert(rows)
    expected = [_read(value) for value in column.to_pylist()]
    for table in (made, declared, of_schema):
        assert table.order_by("n").collect()["x"] == expected
    empty = session.create_table("empty", {"n": "int64", "x": kind})
    assert empty.insert(rows.slice(0, 0)).rows == 0


REFUSED = {
    "decimals of too many digits": pa.array([decimal.Decimal(1)], pa.decimal256(60, 2)),
    "unions": pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1])]),
    "month intervals": pa.array([pa.MonthDayNano([1, 2, 3])]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_unsupported_arrow_types_are_refused_at_creation(session, name):
    with pytest.raises(SchemaError, match="table 't', column 'x': "):
        session.create_table("t", pa.table({"x": REFUSED[name]}))
    assert session.list_tables() == []


def test_polars_export_can_be_inserted(session):
    table = session.create_table("t", {"id": bb.UUID, "n": bb.Int, "meta": bb.Json, "b": "binary"})
    table.insert(id=KEY, n=1, meta={"a": [1]}, b=b"x")
    first = table.collect()
    for frame in (table.to_polars(), first.to_polars(), table.to_polars().lazy()):
        assert table.insert(frame).rows == 1
    assert table.distinct(on="n").count().execute() == 1
    assert list(table.collect()) == [first[0]] * 4
    frame = pl.DataFrame({"id": [str(KEY), "no key"]})
    with pytest.raises(DataError, match=r"table 't', column 'id', row 1: this is not a valid uuid"):
        table.insert(frame)


def test_named_pandas_index_becomes_a_column(session):
    sales = pd.DataFrame({"shop": ["a", "a", "b"], "sold": [1, 2, 5]})
    totals = sales.groupby("shop").sum()
    expected = [{"shop": "a", "sold": 3}, {"shop": "b", "sold": 5}]
    table = session.create_table("totals", {"shop": bb.String, "sold": bb.Int})
    table.insert(totals)
    made = session.create_table("made", totals)
    assert made.columns == ("shop", "sold")
    for variant in (table, made):
        assert variant.order_by("shop").collect() == expected
    table.upsert(totals.assign(sold=7), on="shop")
    assert table.order_by("shop").collect()["sold"] == [7, 7]
    pair = sales.set_index(["shop", "sold"]).assign(x=1)
    assert session.create_table("pairs", pair).columns == ("shop", "sold", "x")
    half = pair.set_axis(pair.index.set_names(["shop", None]))
    assert session.create_table("half", half).columns == ("shop", "x")
    assert totals.columns.tolist() == ["sold"]  # the frame is unchanged


LABELS = {
    "strings": ["p", "q", "r"],
    "timestamps": pd.date_range("2024-01-01", periods=3),
    "periods": pd.period_range("2024-01", periods=3, freq="M"),
    "floats": [0.5, 1.5, 2.5],
    "categories": pd.CategoricalIndex(["p", "q", "p"]),
    "mixed types": ["p", 1, None],
    "multi-index": pd.MultiIndex.from_tuples([(1, "p"), (1, "q"), (2, "p")]),
    "unnamed level beside a named one": pd.MultiIndex.from_tuples(
        [(1, "p"), (2, "q"), (3, "p")], names=["n", None]
    ),
}


@pytest.mark.parametrize("labels", LABELS)
def test_unnamed_pandas_index_is_refused(session, labels):
    frame = pd.DataFrame({"n": [1, 2, 3]}, index=LABELS[labels])
    table = session.create_table("t", {"n": bb.Int, "label": bb.String})
    message = r"table '\w+': the index .* has no name.*rename_axis.*reset_index\(drop=True\)"
    for write in (
        lambda: session.create_table("made", frame),
        lambda: table.insert(frame),
        lambda: table.upsert(frame, on="n"),
        lambda: table.insert(iter([frame])),
    ):
        with pytest.raises(DataError, match=message):
            write()
    assert session.list_tables() == ["t"]
    assert table.count().execute() == 0
    assert table.insert(frame.reset_index(drop=True)).rows == 3


def test_hint_for_unnamed_index_works(session):
    frame = pd.DataFrame({"n": [1, 2]}, index=["p", "q"])
    table = session.create_table("made", frame.rename_axis("label").reset_index())
    assert table.order_by("n").collect() == [{"label": "p", "n": 1}, {"label": "q", "n": 2}]


def test_default_row_number_index_is_ignored(session):
    frame = pd.DataFrame({"n": [3, 1, 2], "x": ["a", "b", "a"]})
    parts = frame.set_axis(pd.MultiIndex.from_tuples([(0, 0), (0, 1), (1, 0)]))
    table = session.create_table("t", frame[frame.n > 1])
    for part in (frame.sort_values("n"), pd.concat([frame, frame]), frame[frame.n > 5], parts):
        assert table.insert(part).rows == len(part)
    assert table.insert(frame.convert_dtypes().set_index("n", drop=False)).rows == 3
    assert table.insert(pd.DataFrame({"n": [], "x": []}, index=pd.Index([], dtype=str))).rows == 0
    assert table.columns == ("n", "x")
    assert sorted(table.collect()["n"]) == sorted([3, 2] + [1, 2, 3] * 5)


def test_named_index_without_matching_column_is_refused(session):
    table = session.create_table("t", {"sold": bb.Int})
    frame = pd.DataFrame({"shop": ["a"], "sold": [1]}).set_index("shop")
    with pytest.raises(
        DataError,
        match=r"column 'shop': the name of the data frame's index .*reset_index\(drop=True\)",
    ):
        table.insert(frame)
    assert table.insert(frame.reset_index(drop=True)).rows == 1


NANO = 1704103200123456789

FINER = {
    "arrow": pa.table({"x": pa.array([0, NANO], pa.timestamp("ns", "UTC"))}),
    "pandas": pd.DataFrame({"x": pd.to_datetime([0, NANO], utc=True)}),
    "polars": pl.DataFrame({"x": [0, NANO]}).select(
        pl.col("x").cast(pl.Datetime("ns")).dt.replace_time_zone("UTC")
    ),
    "values of pandas": [{"x": pd.Timestamp(0, tz="UTC")}, {"x": pd.Timestamp(NANO, tz="UTC")}],
    "values of numpy": [{"x": np.datetime64(0, "ns")}, {"x": np.datetime64(NANO, "ns")}],
}


@pytest.mark.parametrize("name", FINER)
def test_zoned_nanoseconds_are_refused(session, name):
    rows = FINER[name]
    table = session.create_table("t", {"x": "timestamp('UTC')"})
    refused = r"table 't', column 'x', row 1: .*it has nanoseconds"
    with pytest.raises(DataError, match=refused):
        table.insert(rows)
    assert table.count().execute() == 0
    if not isinstance(rows, list):
        with pytest.raises(DataError, match=r"column 'x', row 1: .*it has nanoseconds"):
            session.create_table("made", rows)


def test_zoned_nanosecond_type_with_whole_microseconds_is_kept(session):
    full = NANO // 1000 * 1000
    rows = pa.table({"x": pa.array([full, None], pa.timestamp("ns", "Europe/Berlin"))})
    table = session.create_table("made", rows)
    assert table.schema()["x"].scale == 6
    assert table.to_pyarrow()["x"].drop_null().cast("int64").to_pylist() == [full // 1000]
    first = next(moment for moment in table.collect()["x"] if moment is not None)
    assert first.utcoffset() == datetime.timedelta(hours=1)


def test_nanoseconds_in_time_column_are_refused(session):
    table = session.create_table("t", {"x": bb.Time})
    times = pa.table({"x": pa.array([3723000001000, None], pa.time64("ns"))})
    table.insert(times)
    assert table.collect()["x"] == [datetime.time(1, 2, 3, 1), None]
    finer = pa.table({"x": pa.array([None, 3723000000001], pa.time64("ns"))})
    with pytest.raises(DataError, match="column 'x', row 1: it has nanoseconds"):
        table.insert(finer)
