"""Sources of rows, read in batches of bounded size."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import math
import sqlite3
import uuid

import ibis
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pydantic
import pytest
from PIL import Image

import barbule as bb
from barbule.errors import DataError, MediaError
from barbule.media.library import MediaLibrary
from barbule.tables.sources import read_batches, read_rows
from barbule.tables.sources.arrow_streams import rechunked
from barbule.tables.sources.expressions import spooled

SCHEMA = bb.types.schema({"name": bb.String, "revenue": bb.Float, "year": bb.Int})
ROWS = [{"name": f"film {n}", "revenue": n / 2 if n % 3 else None, "year": n} for n in range(10)]


@pytest.fixture
def library(tmp_path):
    return MediaLibrary(str(tmp_path / "media"), tmp_path / "cache")


class FilmModel(pydantic.BaseModel):
    name: str
    revenue: float | None
    year: int


@dataclasses.dataclass
class FilmRecord:
    name: str
    revenue: float | None
    year: int


FilmTuple = collections.namedtuple("FilmTuple", ["name", "revenue", "year"])  # noqa: PYI024


class Exported:
    """An object of another library, with Arrow's C stream and nothing else."""

    def __arrow_c_stream__(self, requested_schema=None):
        return _arrow().__arrow_c_stream__(requested_schema)


def _arrow() -> pa.Table:
    return pa.Table.from_pylist(ROWS)


def _sqlite() -> list[sqlite3.Row]:
    con = sqlite3.connect(":memory:")
    con.row_factory = sqlite3.Row
    con.execute("create table films (name text, revenue real, year int)")
    con.executemany("insert into films values (:name, :revenue, :year)", ROWS)
    rows = con.execute("select * from films").fetchall()
    con.close()
    return rows


def _structured() -> np.ndarray:
    kinds = [("name", "U10"), ("revenue", object), ("year", "i2")]
    return np.array([tuple(row.values()) for row in ROWS], dtype=kinds)


def _reader(rows: int) -> pa.RecordBatchReader:
    table = _arrow()
    return pa.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=rows))


SOURCES = {
    "list": lambda: ROWS,
    "tuple": lambda: tuple(ROWS),
    "values of a dict": lambda: dict(enumerate(ROWS)).values(),
    "generator": lambda: (row for row in ROWS),
    "map": lambda: map(dict, ROWS),
    "other mappings": lambda: [collections.ChainMap(row) for row in ROWS],
    "defaultdicts": lambda: [collections.defaultdict(lambda: 7, row) for row in ROWS],
    "pydantic": lambda: [FilmModel(**row) for row in ROWS],
    "dataclasses": lambda: [FilmRecord(**row) for row in ROWS],
    "named tuples": lambda: [FilmTuple(**row) for row in ROWS],
    "rows of sqlite": _sqlite,
    "all sorts": lambda: [*ROWS[:4], FilmModel(**ROWS[4]), *(FilmTuple(**row) for row in ROWS[5:])],
    "pandas": lambda: pd.DataFrame(ROWS),
    "pandas, nullable": lambda: pd.DataFrame(ROWS).convert_dtypes(),
    "pandas, objects": lambda: pd.DataFrame(ROWS).astype(object),
    "pandas, categories": lambda: pd.DataFrame(ROWS).astype({"name": "category"}),
    "pandas, Arrow": lambda: pd.DataFrame(ROWS).convert_dtypes(dtype_backend="pyarrow"),
    "polars": lambda: pl.DataFrame(ROWS),
    "polars, lazy": lambda: pl.LazyFrame(ROWS).filter(pl.col("year") >= 0),
    "polars, categories": lambda: pl.DataFrame(ROWS).cast({"name": pl.Categorical}),
    "numpy": _structured,
    "numpy records": lambda: _structured().view(np.recarray),
    "arrow": _arrow,
    "record batch": lambda: _arrow().to_batches()[0],
    "reader": lambda: _reader(3),
    "reader of single rows": lambda: _reader(1),
    "dataset": lambda: ds.dataset(_arrow()),
    "scanner": lambda: ds.dataset(_arrow()).scanner(),
    "C stream": Exported,
    "batches": lambda: iter(_arrow().to_batches(max_chunksize=4)),
    "frames": lambda: (pd.DataFrame(ROWS[start : start + 5]) for start in (0, 5)),
    "memtable": lambda: ibis.memtable(_arrow()).order_by("year"),
    "raw table": lambda: _raw().order_by("year"),
    "dictionaries": lambda: _arrow().set_column(0, "name", _arrow()["name"].dictionary_encode()),
    "other types": lambda: _arrow().cast(
        pa.schema({"name": pa.large_string(), "revenue": pa.float32(), "year": pa.uint8()})
    ),
    "decimals": lambda: _arrow().set_column(
        1, "revenue", _arrow()["revenue"].cast(pa.decimal128(8, 2))
    ),
}  # fmt: skip


def _raw():
    return ibis.duckdb.connect().create_table("films", _arrow())


@pytest.mark.parametrize("size", [1, 3, 10, 65536])
@pytest.mark.parametrize("source", SOURCES)
def test_source_is_read_in_batches(source, size, library):
    batches = list(read_batches(SOURCES[source](), SCHEMA, "films", library, size=size))
    assert [row for batch in batches for row in batch.to_pylist()] == ROWS
    assert all(0 < batch.num_rows <= size for batch in batches)
    expected = pa.schema({"name": pa.string(), "revenue": pa.float64(), "year": pa.int64()})
    assert all(batch.schema.equals(expected) for batch in batches)


@pytest.mark.parametrize(
    "source",
    [[], (), iter(()), pd.DataFrame(ROWS).head(0), pl.DataFrame(ROWS).head(0), _arrow().slice(0, 0),
     pd.DataFrame(), pa.table({}), _structured()[:0]],
    ids=lambda source: type(source).__name__,
)  # fmt: skip
def test_empty_source_yields_no_batch(source, library):
    assert list(read_batches(source, SCHEMA, "films", library)) == []
    empty = read_rows([], SCHEMA, "films", library)
    assert (empty.num_rows, empty.column_names) == (0, ["name", "revenue", "year"])


def test_generator_is_read_lazily(library):
    drained = []

    def rows():
        for n in range(10**9):
            drained.append(n)
            yield {"year": n}

    batches = read_batches(rows(), SCHEMA, "films", library, size=100)
    assert next(batches)["year"].to_pylist() == list(range(100))
    assert len(drained) == 100
    batches.close()


def test_generator_error_propagates_with_row(library):
    def rows():
        yield from ROWS
        raise ConnectionError("the line is down")

    batches = read_batches(rows(), SCHEMA, "films", library, size=4)
    assert next(batches).num_rows == 4
    with pytest.raises(ConnectionError, match="the line is down") as caught:
        list(batches)
    assert "table 'films', while it produced row 10" in caught.value.__notes__[0]


def test_matching_arrow_is_not_copied(library):
    table = pa.table({"name": ["a", "b"], "revenue": [1.0, 2.0], "year": [1, 2]})
    (batch,) = read_batches(table, SCHEMA, "films", library)
    for name in table.column_names:
        source, read = table[name].chunk(0).buffers(), batch[name].chunk(0).buffers()
        assert [b and b.address for b in source] == [b and b.address for b in read]


# Omitted columns


def test_defaults_fill_omitted_keys_but_not_none(library):
    defaults = {"revenue": 1.5, "year": 1900}
    rows = [{"name": "a"}, {"name": "b", "year": None}, {"name": "c", "year": 3}]
    actual = read_rows(rows, SCHEMA, "films", library, defaults=defaults)
    assert actual["revenue"].to_pylist() == [1.5] * 3
    assert actual["year"].to_pylist() == [1900, None, 3]


@pytest.mark.parametrize(
    "source",
    [pd.DataFrame({"name": ["a", None]}), pl.DataFrame({"name": ["a", None]}),
     pa.table({"name": ["a", None]}), ibis.memtable(pa.table({"name": ["a", None]}))],
    ids=lambda source: type(source).__module__,
)  # fmt: skip
def test_defaults_fill_missing_columns(source, library):
    defaults = {"revenue": 1.5, "name": "?"}
    actual = read_rows(source, SCHEMA, "films", library, defaults=defaults)
    assert actual.to_pylist() == [
        {"name": "a", "revenue": 1.5, "year": None},
        {"name": None, "revenue": 1.5, "year": None},
    ]


def test_a_default_may_be_of_any_type(library):
    schema = bb.types.schema({"n": bb.Int, "j": bb.Json, "v": bb.Vector(2), "d": bb.Date})
    defaults = {"j": {"a": [1]}, "v": [1, 2], "d": "2024-01-02"}
    expected = {"j": '{"a": [1]}', "v": [1.0, 2.0], "d": datetime.date(2024, 1, 2)}
    for source in ([{"n": 1}, {"n": 2}], pa.table({"n": [1, 2]})):
        rows = read_rows(source, schema, "t", library, defaults=defaults).to_pylist()
        assert rows == [{"n": n, **expected} for n in (1, 2)]


def test_invalid_default_is_named(library):
    with pytest.raises(
        DataError, match=r"table 'films', column 'year', row 0: this is not a valid int64"
    ):
        read_rows([{"name": "a"}], SCHEMA, "films", library, defaults={"year": "x"})


def test_a_required_column_takes_its_default(library):
    schema = bb.types.schema({"a": bb.Int, "b": bb.String(nullable=False)})
    assert read_rows({"a": 1}, schema, "t", library, defaults={"b": "x"})["b"].to_pylist() == ["x"]
    with pytest.raises(DataError, match=r"column 'b', row 1: the column is required"):
        read_rows([{"a": 1}, {"b": None}], schema, "t", library, defaults={"b": "x"})


# Missing values and NaN


def test_nan_is_a_float_value_and_null_in_other_types(library):
    nan = float("nan")
    actual = read_rows(
        [{"revenue": nan}, {"revenue": math.inf}, {"name": nan, "revenue": -math.inf, "year": nan}],
        SCHEMA, "films", library,
    )  # fmt: skip
    revenue = actual["revenue"].to_pylist()
    assert math.isnan(revenue[0])
    assert revenue[1:] == [math.inf, -math.inf]
    assert actual["year"].to_pylist() == [None] * 3
    assert actual["name"].to_pylist() == [None] * 3


@pytest.mark.parametrize("source", [pl.DataFrame, pa.table], ids=["polars", "arrow"])
def test_nan_from_polars_and_arrow_is_a_value(source, library):
    revenue = read_rows(source({"revenue": [float("nan"), None]}), SCHEMA, "films", library)[
        "revenue"
    ].to_pylist()
    assert math.isnan(revenue[0])
    assert revenue[1] is None


@pytest.mark.parametrize("missing", [None, pd.NA, pd.NaT, float("nan"), np.nan])
def test_pandas_missing_values_become_null(missing, library):
    schema = bb.types.schema(
        {"s": bb.String, "n": bb.Int, "t": bb.Timestamp, "j": bb.Json, "d": "decimal(6, 2)"}
    )
    frame = pd.DataFrame({name: [missing] for name in schema}, dtype=object)
    nothing = dict.fromkeys(schema)
    assert read_rows(frame, schema, "t", library).to_pylist() == [nothing]
    record = frame.loc[0].to_dict()
    if isinstance(missing, float):  # outside of a frame it is a number
        for name in ("j", "d"):
            with pytest.raises(DataError, match=rf"table 't', column '{name}', row 0: .*nan"):
                read_rows([{name: missing}], schema, "t", library)
            record[name] = None
    assert read_rows([record], schema, "t", library).to_pylist() == [nothing]


@pytest.mark.parametrize("kind", [bb.Json, "decimal(6, 2)"])
@pytest.mark.parametrize(
    "number",
    [math.nan, np.float32("nan"), decimal.Decimal("NaN"), math.inf, decimal.Decimal("-Infinity")],
    ids=repr,
)
def test_nan_and_infinity_in_decimal_and_json_are_refused(number, kind, library):
    schema = bb.types.schema({"n": bb.Int, "c": kind})
    rows = [{"n": 1, "c": None}, {"n": 2, "c": number}]
    with pytest.raises(DataError, match="table 't', column 'c', row 1: this is no"):
        read_rows(rows, schema, "t", library)
    if isinstance(number, float):
        with pytest.raises(DataError, match="table 't', column 'c', row 1: this is no"):
            read_rows(pa.table({"c": [1.0, number]}), schema, "t", library)
    listed = bb.types.schema({"c": bb.Array(kind)})
    with pytest.raises(DataError, match=r"table 't', column 'c', row 0: this is no.*item 1"):
        read_rows([{"c": [None, number]}], listed, "t", library)


SERIES = {
    "pandas": lambda value: pd.Series([value]),
    "pandas index": lambda value: pd.Index([value]),
    "pandas of two": lambda value: pd.Series([value, value]),
    "polars": lambda value: pl.Series([value]),
}


@pytest.mark.parametrize("series", SERIES)
@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (1, bb.Int),
        (0.5, bb.Float),
        (True, bb.Bool),
        (2, "decimal(6, 2)"),
        (datetime.datetime(2024, 1, 2), bb.Timestamp),  # noqa: DTZ001
        (datetime.datetime(2024, 1, 2), bb.Date),  # noqa: DTZ001
        (datetime.timedelta(1), "interval('us')"),
        ("a", bb.String),
    ],
    ids=str,
)
def test_series_as_cell_is_refused(series, value, kind, library):
    schema = bb.types.schema({"c": kind})
    with pytest.raises(DataError, match="table 't', column 'c', row 0: this is no"):
        read_rows({"c": SERIES[series](value)}, schema, "t", library)


# Types of data frames


def _cells(source, kind, library):
    schema = bb.types.schema({"c": kind})
    return read_rows(source, schema, "t", library)["c"].to_pylist()


NOON = datetime.datetime(2024, 1, 2, 12)  # noqa: DTZ001
NOON_UTC = NOON.replace(tzinfo=datetime.UTC)
KEY = uuid.UUID("12345678-1234-5678-1234-567812345678")


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        (pd.Series([NOON], dtype="datetime64[ns]"), bb.Timestamp, NOON),
        (pd.Series([NOON_UTC]).dt.tz_convert("Europe/Berlin"), bb.Timestamp, NOON),
        (pd.Series([NOON_UTC]).dt.tz_convert("Asia/Tokyo"), "timestamp('UTC')", NOON_UTC),
        (pd.Series([NOON]), "timestamp('UTC')", NOON_UTC),
        (pd.Series(pd.to_datetime(["2024-01-02 00:00"])), bb.Date, NOON.date()),
        (pd.Series([NOON.date()]), bb.Timestamp, NOON.replace(hour=0)),
        (pd.Series(["2024-01-02T12:00"]), bb.Timestamp, NOON),
        (pd.Series(["2024-01-02"]), bb.Date, NOON.date()),
        (pd.Series([NOON.time()]), bb.Time, NOON.time()),
        (pd.Series(["12:00"]), bb.Time, NOON.time()),
        (pd.Series([decimal.Decimal("1.50")]), "decimal(6, 2)", decimal.Decimal("1.50")),
        (pd.Series([decimal.Decimal(2)]), bb.Int, 2),
        (pd.Series([3.0]), bb.Int, 3),
        (pd.Series([3]), bb.Float, 3.0),
        (pd.Series([2**60 + 1]), bb.Float, float(2**60)),
        (pd.Series([1, 2], dtype="category").head(1), bb.Int, 1),
        (pd.Series([1.5], dtype="Sparse[float]"), bb.Float, 1.5),
        (pd.Series([True], dtype="boolean"), bb.Bool, True),
        (pd.Series([KEY]), bb.UUID, str(KEY)),
        (pd.Series([str(KEY).upper()]), bb.UUID, str(KEY)),
        (pd.Series([{"a": [1]}]), bb.Json, '{"a": [1]}'),
        (pd.Series(['{"a": [1]}']), bb.Json, '{"a": [1]}'),
        (pd.Series(['{"a": [1]}'], dtype=object), bb.Json, '{"a": [1]}'),
        (pd.Series([np.array([1.0, 2.0])]), bb.Vector(2), [1.0, 2.0]),
        (pd.Series([[1, 2]]), bb.Array(bb.Int), [1, 2]),
        (pd.Series([b"\x00"]), bb.Binary, b"\x00"),
    ],
)  # fmt: skip
def test_pandas_column_is_converted(values, kind, expected, library):
    assert _cells(pd.DataFrame({"c": values}), kind, library) == [expected]


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        (pl.Series([[1.0, 2.0]], dtype=pl.Array(pl.Float64, 2)), bb.Vector(2), [1.0, 2.0]),
        (pl.Series([[1.0, 2.0]]), bb.Vector(2), [1.0, 2.0]),
        (pl.Series([{"a": 1}]), bb.Json, '{"a": 1}'),
        (pl.Series([{"a": 1}]), bb.Struct({"a": bb.Int, "b": bb.Int}), {"a": 1, "b": None}),
        (pl.Series([NOON]).dt.cast_time_unit("ns"), bb.Timestamp, NOON),
        (pl.Series([NOON.time()]), bb.Time, NOON.time()),
        (pl.Series([1], dtype=pl.UInt64), "uint64", 1),
        (pl.Series(["a"], dtype=pl.Enum(["a"])), bb.String, "a"),
        (pl.Series([None]), bb.Int, None),
    ],
)  # fmt: skip
def test_polars_column_is_converted(values, kind, expected, library):
    assert _cells(pl.DataFrame({"c": values}), kind, library) == [expected]


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        (pa.array([NOON], pa.timestamp("ns", "Asia/Tokyo")), bb.Timestamp, NOON),
        (pa.array([1704196800123456000], pa.timestamp("ns")), bb.Timestamp,
         NOON.replace(microsecond=123456)),
        (pa.array([NOON.date()], pa.date64()), bb.Date, NOON.date()),
        (pa.array([NOON.time()], pa.time32("s")), bb.Time, NOON.time()),
        (pa.array([KEY.bytes], pa.binary(16)), bb.UUID, str(KEY)),
        (pa.array([KEY.bytes], pa.uuid()), bb.UUID, str(KEY)),
        (pa.array(["[1]"], pa.json_()), bb.Json, "[1]"),
        (pa.array([[1, None]], pa.large_list(pa.int8())), bb.Array(bb.Int), [1, None]),
        (pa.array([[1, 2]], pa.list_(pa.float64(), 2)), bb.Vector(2), [1.0, 2.0]),
        (pa.array(["x"], pa.string_view()), bb.String, "x"),
        (pa.array([b"x"], pa.binary(1)), bb.Binary, b"x"),
        (pa.array([{"b": "x", "a": 1}]), bb.Struct({"a": bb.Int, "b": bb.String}),
         {"a": 1, "b": "x"}),
        (pa.array([decimal.Decimal("1.50")]), bb.Float, 1.5),
        (pa.nulls(1), bb.Vector(2), None),
    ],
)  # fmt: skip
def test_arrow_column_is_converted(values, kind, expected, library):
    assert _cells(pa.table({"c": values}), kind, library) == [expected]


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (np.float32(0.5), bb.Float, 0.5),
        (np.int8(3), bb.Float, 3.0),
        (np.float64(3.0), bb.Int, 3),
        (np.str_("x"), bb.String, "x"),
        (np.datetime64("2024-01-02T12:00"), bb.Timestamp, NOON),
        (np.datetime64("2024-01-02", "D"), bb.Date, NOON.date()),
        (np.datetime64("NaT"), bb.Timestamp, None),
        (pd.Timestamp(NOON), bb.Timestamp, NOON),
        (pd.Timestamp(NOON).normalize(), bb.Date, NOON.date()),
        (NOON.date(), bb.Timestamp, NOON.replace(hour=0)),
        (NOON_UTC.astimezone(datetime.timezone(datetime.timedelta(hours=5))), bb.Timestamp, NOON),
        (NOON, "timestamp('UTC')", NOON_UTC),
        ("2024-01-02T12:00:00Z", "timestamp('UTC')", NOON_UTC),
        (decimal.Decimal("2.5"), bb.Float, 2.5),
        (decimal.Decimal(2), bb.Int, 2),
        (2**70, bb.Float, 2.0**70),
        (np.array([1, 2]), bb.Vector(2), [1.0, 2.0]),
        (np.array([[1, 2]]), bb.Array(bb.Array(bb.Int)), [[1, 2]]),
        (range(2), bb.Array(bb.Int), [0, 1]),
        (FilmTuple("a", 1.0, 2), bb.Struct(dict(SCHEMA)),
         {"name": "a", "revenue": 1.0, "year": 2}),
        (KEY, bb.Json, f'"{KEY}"'),
        (memoryview(b"ab"), bb.Binary, b"ab"),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_python_value_is_converted(value, kind, expected, library):
    assert _cells([{"c": value}, {"c": None}], kind, library) == [expected, None]


# Invalid values and sources


@pytest.mark.parametrize(
    ("value", "kind", "message"),
    [
        (True, bb.Int, "got bool"),
        (True, bb.Float, "got bool"),
        (np.True_, bb.Int, "not a number"),
        ("1", bb.Int, "got str"),
        (math.inf, bb.Int, "inf is not an integer"),
        (2**70, bb.Int, "1180591620717411303424 is too large; the range is -9223372036854775808"),
        (-129, "int8", "-129 is too small; the range is -128 to 127"),
        (10**400, bb.Float, "too large"),
        (datetime.timedelta(1), bb.Timestamp, "got timedelta, not a datetime"),
        (np.timedelta64(1, "s"), bb.Timestamp, "got timedelta64, not a datetime"),
        (datetime.timedelta(1), bb.Time, "got timedelta, not a time"),
        (NOON, bb.Date, "has a time of day"),
        (NOON, bb.Time, "got datetime, not a time"),
        (b"x", bb.String, "got bytes, not a string"),
        (KEY, bb.String, "got UUID, not a string"),
        ("\ud800", bb.String, "surrogates not allowed"),
        (5, bb.Binary, "got int, not bytes"),
        ({"a": float("nan")}, bb.Json, "not JSON compliant"),
        ([1.5], bb.Array(bb.Int), "item 0: this is not a valid int64: 1.5 is not an integer"),
        ([[1], ["x"]], bb.Array(bb.Array(bb.Int)), "item 1: .*item 0: .*got str"),
        ({"a": "x"}, bb.Struct({"a": bb.Int}), "its field 'a': this is not a valid int64: got str"),
        (True, "decimal(6, 2)", "got bool"),
        ({"a": 1}, bb.Array(bb.Int), "got dict, not a list"),
        (7, bb.UUID, "got int, not a string"),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_invalid_value_is_refused_with_row(value, kind, message, library):
    good = [{"c": None}] * 5
    schema = bb.types.schema({"c": kind})
    with pytest.raises(DataError, match=f"^table 't', column 'c', row 5: .*{message}") as caught:
        list(read_batches([*good, {"c": value}], schema, "t", library, size=2))
    assert caught.value.row == 5
    assert "(value: " in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (pd.DataFrame({"c": pd.to_timedelta(["1s"])}), "got timedelta"),
        (pd.DataFrame({"c": pd.period_range("2024", periods=1)}), "got Period"),
        (pd.DataFrame({"c": [True]}), "got bool"),
        (pd.DataFrame({"c": [2**70]}), "too large"),
        (pl.DataFrame({"c": [datetime.timedelta(1)]}), "got timedelta"),
        (pa.table({"c": pa.array([1.0, math.inf])}), "inf is not an integer"),
        (pa.table({"c": pa.array([2**63], pa.uint64())}), "9223372036854775808 is too large"),
        (pa.table({"c": [b"1"]}), "got bytes"),
        (pa.table({"c": [[1]]}), "got list"),
    ],
)
def test_invalid_column_of_source_is_refused(source, message, library):
    with pytest.raises(
        DataError, match=rf"column 'c', row \d: this is not a valid int64: .*{message}"
    ):
        _cells(source, bb.Int, library)


@pytest.mark.parametrize("size", [1, 2, 100])
@pytest.mark.parametrize(
    "make_source", [list, iter, pd.DataFrame, pl.DataFrame, pa.Table.from_pylist]
)
def test_error_row_number_counts_whole_source(make_source, size, library):
    rows = [{"name": "a", "year": n} for n in range(7)]
    rows[5]["year"] = 1000
    schema = bb.types.schema({"name": bb.String, "year": "int8"})
    with pytest.raises(DataError, match=r"column 'year', row 5: .*1000 is too large") as caught:
        list(read_batches(make_source(rows), schema, "films", library, size=size))
    assert caught.value.row == 5
    assert caught.value.value == 1000


@pytest.mark.parametrize(
    "source",
    [
        [*ROWS, {"nmae": 1}],
        iter([{"nmae": 1}]),
        [FilmTuple("a", 1, 2)._replace(name="b"), collections.namedtuple("T", "nmae")(1)],  # noqa: PYI024
        pd.DataFrame({"nmae": [1]}),
        pl.DataFrame({"nmae": [1]}),
        pl.LazyFrame({"nmae": [1]}),
        pa.table({"nmae": [1]}).to_reader(),
        pa.table({"nmae": pa.nulls(0)}),
        ds.dataset(pa.table({"nmae": [1]})),
        np.array([(1,)], dtype=[("nmae", "i4")]),
        ibis.memtable({"nmae": [1]}),
    ],
    ids=lambda source: type(source).__name__,
)
def test_an_unknown_column_is_named_before_the_first_batch(source, library):
    batches = read_batches(source, SCHEMA, "films", library, size=20)
    with pytest.raises(
        DataError, match=r"table 'films', column 'nmae'.*no such data column.*Its data columns are"
    ):
        next(batches)


def test_misspelt_key_in_list_is_refused_before_first_batch(library):
    rows = [{"name": "a"}] * 50 + [{"name": "b", "nmae": 2}]
    batches = read_batches(rows, SCHEMA, "films", library, size=10)
    with pytest.raises(DataError, match=r"column 'nmae', row 50"):
        next(batches)


async def _async_rows():
    yield {"name": "a"}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (12, "an int cannot be inserted"),
        ({1, 2}, "a set cannot be inserted"),
        (b"name", "a bytes cannot be inserted"),
        (FilmModel, "a ModelMetaclass cannot be inserted"),
        (FilmRecord, "a type cannot be inserted"),
        (_async_rows(), "an async_generator cannot be inserted"),
        (ibis.literal(1), "an IntegerScalar cannot be inserted"),
        ([["a", 1]], "row 0: a row must be a mapping of column names to values, not a list"),
        (
            [*ROWS, FilmRecord],
            "row 10: a row must be a mapping of column names to values, not a type",
        ),
        (iter([ROWS[0], None]), "row 1: a row must be a mapping"),
        (np.zeros((2, 2)), r"array of shape \(2, 2\)"),
        (np.zeros(2), "cannot be inserted as rows"),
        (pl.Series([1, 2]), "this Series is a single column, not a table"),
        (pd.DataFrame([[1, 2]], columns=["name", "name"]), "column 'name'.*twice"),
        (pa.table([[1], [2]], names=["year", "year"]), "column 'year'.*twice"),
        (pd.DataFrame([[1]]), "column '0'.*no such data column"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_unsupported_sources_are_refused(source, message, library):
    with pytest.raises(DataError, match=f"^table 'films'.*{message}") as caught:
        list(read_batches(source, SCHEMA, "films", library))
    assert caught.value.hint


def test_broken_arrow_stream_raises(library):
    def batches():
        yield from _arrow().to_batches()
        raise OSError("the disk is gone")

    reader = pa.RecordBatchReader.from_batches(_arrow().schema, batches())
    with pytest.raises(DataError, match=r"Arrow data cannot be read.*the disk is gone"):
        list(read_batches(reader, SCHEMA, "films", library))


# Media and names


def test_invalid_media_is_refused_with_row(tmp_path, library):
    schema = bb.types.schema({"img": bb.Image})
    Image.new("RGB", (2, 2)).save("a.png")
    (tmp_path / "work" / "b.png").write_bytes(b"no image")
    for source in (["a.png", "a.png", "b.png"], ["a.png", "a.png", "missing.png"]):
        rows = [{"img": path} for path in source]
        for inputs in (rows, iter(rows), pd.DataFrame(rows), pa.Table.from_pylist(rows)):
            with pytest.raises(MediaError, match=r"table 'm', column 'img', row 2: ") as caught:
                list(read_batches(inputs, schema, "m", library, size=1))
            assert source[2] in str(caught.value)
    good = read_rows([{"img": "a.png"}, {"img": Image.new("L", (1, 1))}], schema, "m", library)
    assert good["img"].to_pylist()[0] == str(tmp_path / "work" / "a.png")


NAMES = ["select", 'a "quoted" one', "it's", "naïve 表", "with space", "_rid", "a.b", "%s", "?"]


@pytest.mark.parametrize("make_source", [list, pd.DataFrame, pl.DataFrame, pa.Table.from_pylist])
def test_any_string_may_be_a_column_name(make_source, library):
    schema = bb.types.schema(dict.fromkeys(NAMES, bb.Int))
    rows = [{name: position for position, name in enumerate(NAMES)}]
    assert read_rows(make_source(rows), schema, "t", library).to_pylist() == rows


def test_thousand_columns_are_read(library):
    schema = bb.types.schema({f"c{n}": bb.Int for n in range(1000)})
    rows = [{f"c{n}": n for n in range(row, 1000)} for row in range(3)]
    actual = read_rows(rows, schema, "t", library)
    assert actual["c999"].to_pylist() == [999] * 3
    assert actual["c0"].to_pylist() == [0, None, None]


# Batches


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("lengths", [[], [0], [5], [1] * 9, [3, 0, 8, 1], [0, 0, 4]])
def test_rechunked_tables_have_one_size(lengths, size):
    numbers = iter(range(100))
    tables = [pa.table({"n": pa.array([next(numbers) for _ in range(n)], pa.int64())})
              for n in lengths]  # fmt: skip
    pieces = [piece for piece in rechunked(tables, size) if piece.num_rows]
    assert [n for piece in pieces for n in piece["n"].to_pylist()] == list(range(sum(lengths)))
    assert all(piece.num_rows == size for piece in pieces[:-1])
    assert all(piece.num_rows <= size for piece in pieces)


def test_large_expression_is_spooled_to_file(library):
    rows = ibis.range(100_000).unnest().name("n").as_table()
    actual = list(spooled(rows, 10_000, in_memory=1000))
    assert sum(table.num_rows for table in actual) == 100_000
    assert pa.concat_tables(actual)["n"].to_pylist() == list(range(100_000))


def test_query_over_managed_table_is_a_source(session, library):
    films = session.create_table("films", {"name": bb.String, "meta": bb.Json})
    films.insert([{"name": "Up", "meta": {"a": 1}}, {"name": "Cars", "meta": None}])
    schema = bb.types.schema({"name": bb.String, "meta": bb.Json, "n": bb.Int})
    source = films.order_by("name").mutate(n=films.name.length())
    assert read_rows(source, schema, "t", library).to_pylist() == [
        {"name": "Cars", "meta": None, "n": 4},
        {"name": "Up", "meta": '{"a": 1}', "n": 2},
    ]
