"""An invalid value is named with its position, and the insert writes nothing."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import barbule as bb
from barbule.errors import BarbuleError, DataError

SCHEMA = {
    "name": bb.String(nullable=False),
    "n": bb.Int,
    "small": "int8",
    "x": bb.Float,
    "b": bb.Bool,
    "moment": bb.Timestamp,
    "day": bb.Date,
    "clock": bb.Time,
    "key": bb.UUID,
    "raw": bb.Binary,
    "cost": "decimal(6, 2)",
    "meta": bb.Json,
    "rec": bb.Struct({"x": bb.Int}),
    "words": bb.Array(bb.Int),
    "v": bb.Vector(3),
}


@pytest.fixture(scope="module")
def table(shared):
    """A table that no test of this module changes."""
    table = shared.create_table("cells", SCHEMA)
    table.insert(name="first", n=1)
    return table


def _unchanged(table) -> bool:
    return len(table.collect()) == 1 and len(table.history()) == 2


WRONG = [
    ("name", 7, "got int, not a string"),
    ("n", "12", "this is not a valid int64"),
    ("n", 1.5, "1.5 is not an integer"),
    ("n", True, "got bool"),
    ("n", 2**70, "this is not a valid int64.*too large"),
    ("n", [1], "this is not a valid int64"),
    ("small", 300, "300 is too large"),
    ("x", "many", "this is not a valid float64"),
    ("b", "yes", "got str, not a bool"),
    ("b", 1, "got int, not a bool"),
    ("moment", "yesterday", "Invalid isoformat string"),
    ("moment", 1700000000, "is a number, not a datetime"),
    ("day", "2024-02-30", "this is not a valid date"),
    ("clock", "25:00", "this is not a valid time"),
    ("key", "not-a-key", "this is not a valid uuid"),
    ("raw", "text", "got str, not bytes"),
    ("cost", "cheap", "'cheap' is not a number"),
    ("cost", 3.145, "would lose data"),
    ("cost", 1234567.5, "this is not a valid decimal"),
    ("meta", 1j, "a complex cannot be written as JSON"),
    ("rec", {"y": 1}, "unknown fields 'y'"),
    ("rec", "x", "got str, not a record"),
    ("words", "12", "got str, not a list"),
    ("words", [1, "two"], "this is not a valid array"),
    ("v", [1.0, 2.0], "it has 2 items, not 3"),
    ("v", np.zeros(4), "it has 4 items, not 3"),
    ("v", ["a", "b", "c"], "this is not a valid array"),
]


@pytest.mark.parametrize(("column", "value", "message"), WRONG, ids=lambda v: str(v)[:25])
def test_invalid_value_error_names_table_column_row_and_value(table, column, value, message):
    rows = [{"name": "a"}, {"name": "b", column: value}, {"name": "c"}]
    with pytest.raises(DataError, match=message) as caught:
        table.insert(rows)
    assert caught.value.table == "cells"
    assert caught.value.column == column
    assert caught.value.row == 1
    assert f"table 'cells', column '{column}', row 1: " in str(caught.value)
    assert "(value: " in str(caught.value)
    assert _unchanged(table)


@pytest.mark.parametrize(("column", "value", "message"), WRONG, ids=lambda v: str(v)[:25])
def test_update_refuses_the_same_values(table, column, value, message):
    with pytest.raises(DataError, match=message) as caught:
        table.update({column: value})
    assert (caught.value.table, caught.value.column) == ("cells", column)
    assert _unchanged(table)


def _arrow(column: str, values: list[object], kind: pa.DataType | None = None) -> pa.Table:
    return pa.table({"name": ["a", "b"], column: pa.array(values, kind)})


@pytest.mark.parametrize(
    ("column", "source", "message"),
    [
        ("n", _arrow("n", [1.0, 1.5]), "1.5 is not an integer"),
        ("n", _arrow("n", ["1", "2"]), "this is not a valid int64"),
        ("n", _arrow("n", [0, 2**64 - 1], pa.uint64()), "this is not a valid int64"),
        ("small", _arrow("small", [1, 300]), "300 is too large"),
        ("key", _arrow("key", [None, "nope"]), "this is not a valid uuid"),
        ("meta", _arrow("meta", ["{}", "{broken"]), "this is not valid JSON"),
        ("v", _arrow("v", [[1.0, 2.0, 3.0], [1.0]]), "it has 1 items, not 3"),
        ("b", _arrow("b", [1, 0]), "got int, not a bool"),
        ("name", pa.table({"name": [1, 2]}), "got int, not a string"),
        ("n", pl.DataFrame({"name": ["a", "b"], "n": [None, "x"]}), "this is not a valid int64"),
        ("n", pd.DataFrame({"name": ["a", "b"], "n": [1, "x"]}), "this is not a valid int64"),
        ("name", pd.DataFrame({"name": ["a", 5]}), "got int, not a string"),
    ],
)  # fmt: skip
def test_frames_and_arrow_tables_are_validated(table, column, source, message):
    with pytest.raises(DataError, match=message) as caught:
        table.insert(source)
    assert (caught.value.table, caught.value.column) == ("cells", column)
    assert caught.value.row is not None
    assert _unchanged(table)


@pytest.mark.parametrize(
    "source",
    [
        [{"name": "a"}, {"name": "b", "nmae": 2}],
        pd.DataFrame({"name": ["a"], "nmae": [1]}),
        pa.table({"name": ["a"], "nmae": [1]}),
    ],
    ids=["list", "pandas", "arrow"],
)
def test_unknown_column_error_lists_columns(table, source):
    with pytest.raises(
        DataError, match=r"column 'nmae'.*no such data column.*Its data columns are name, n, small"
    ):
        table.insert(source)
    assert _unchanged(table)


@pytest.mark.parametrize(
    ("source", "row"),
    [
        ([{"name": "a"}, {"n": 1}], 1),
        ([{"name": "a"}, {"name": "b"}, {"name": None}], 2),
        (pd.DataFrame({"n": [1, 2]}), 0),
        (pa.table({"name": ["a", None]}), 1),
    ],
)
def test_a_missing_required_value_is_named_with_its_row(table, source, row):
    message = f"table 'cells', column 'name', row {row}: the column is required"
    with pytest.raises(DataError, match=message):
        table.insert(source)
    assert _unchanged(table)


def test_update_to_null_of_required_column_is_refused(table):
    with pytest.raises(DataError, match=r"column 'name'.*required"):
        table.update({"name": None})
    with pytest.raises(DataError, match=r"column 'name'.*required"):
        table.update({"name": table.name.nullif("first")})
    assert _unchanged(table)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ([1, 2], "row 0: a row must be a mapping of column names to values, not an int"),
        ([{"name": "a"}, "b"], "row 1: a row must be a mapping"),
        ({1, 2}, "a set cannot be inserted"),
        (12, "an int cannot be inserted"),
        (dataclasses.make_dataclass("Kind", ["name"]), "a type cannot be inserted"),
        (pa.table([["a"], ["b"]], names=["name", "name"]), "column 'name'.*twice"),
    ],
)
def test_unsupported_row_sources_are_refused(table, source, message):
    with pytest.raises(DataError, match=message):
        table.insert(source)
    assert _unchanged(table)


def test_insert_takes_rows_or_values_not_both_or_neither(table):
    with pytest.raises(DataError, match="takes either rows or the values of one row"):
        table.insert()
    with pytest.raises(DataError, match="takes either rows or the values of one row"):
        table.insert([{"name": "a"}], name="b")
    assert _unchanged(table)


@pytest.mark.parametrize("verb", ["insert", "upsert", "batch_update"])
def test_data_for_computed_column_is_refused(session, verb):
    table = session.create_table("doubles", {"n": bb.Int})
    table.insert(n=2)
    table.add_computed_column(double=table.n * 2)
    key = {} if verb == "insert" else {"on": "n"}
    for rows in ([{"n": 2, "double": 4}], pa.table({"n": [2], "double": [4]})):
        with pytest.raises(DataError, match=r"'doubles', column 'double'.*column is computed"):
            getattr(table, verb)(rows, **key)
    assert table.collect() == [{"n": 2, "double": 4}]


def test_data_error_is_barbule_error_and_value_error(table):
    with pytest.raises(ValueError, match="not a valid int64") as caught:
        table.insert(name="a", n="x")
    assert isinstance(caught.value, BarbuleError)
