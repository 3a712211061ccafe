"""Decimals store values exactly: conversion from floats, and widening."""

from __future__ import annotations

import decimal
import math
import random

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import barbule as bb
from barbule.errors import DataError, SchemaError

D = decimal.Decimal


# Decimals of floats


FLOATS = {
    "pandas": lambda values: pd.DataFrame({"k": range(len(values)), "d": values}),
    "narrow floats of pandas": lambda values: pd.DataFrame(
        {"k": range(len(values)), "d": pd.Series(values, dtype="float32")}
    ),
    "polars": lambda values: pl.DataFrame({"k": range(len(values)), "d": values}),
    "arrow": lambda values: pa.table({"k": range(len(values)), "d": values}),
    "encoded": lambda values: pa.table(
        {"k": range(len(values)), "d": pa.array(values, pa.float64()).dictionary_encode()}
    ),
    "rows": lambda values: [{"k": k, "d": value} for k, value in enumerate(values)],
    "rows of NumPy": lambda values: [
        {"k": k, "d": None if value is None else np.float32(value)}
        for k, value in enumerate(values)
    ],
}


@pytest.fixture
def prices(session):
    table = session.create_table("prices", {"k": bb.Int, "d": "decimal(8, 2)"})
    table.insert(k=0, d=D("0.50"))
    return table


@pytest.mark.parametrize("verb", ["insert", "upsert"])
@pytest.mark.parametrize("source", FLOATS)
def test_floats_become_decimals_of_shortest_repr(prices, source, verb):
    values = [9.99, None, 0.1, -1.5, 2.0, -0.01, 0.0, 1234.5]
    prices.delete()
    getattr(prices, verb)(FLOATS[source](values), **({} if verb == "insert" else {"on": "k"}))
    read = prices.order_by("k").collect()["d"]
    assert read == [None if value is None else D(repr(value)) for value in values]


@pytest.mark.parametrize("verb", ["insert", "upsert", "batch_update"])
@pytest.mark.parametrize("source", FLOATS)
@pytest.mark.parametrize("wrong", [9.999, 0.001, 1234567.0, math.inf])
def test_float_that_decimal_would_round_is_refused(prices, source, verb, wrong):
    message = r"table 'prices', column 'd', row 1: this is not a valid decimal\(8, 2\)"
    with pytest.raises(DataError, match=message) as caught:
        getattr(prices, verb)(
            FLOATS[source]([0.25, wrong]), **({} if verb == "insert" else {"on": "k"})
        )
    assert float(str(caught.value.value)) == wrong
    assert prices.collect()["d"] == [D("0.50")]


def test_nearest_float_converts_to_decimal_and_neighbours_are_refused(session):
    t = session.create_table("t", {"a": "decimal(15, 2)", "b": "decimal(38, 20)"})
    draw = random.Random(3)
    texts = [
        f"{draw.randrange(-(10 ** draw.randrange(1, 13)), 10**12)}.{n % 100:02}" for n in range(500)
    ]
    t.insert(pa.table({"a": [float(text) for text in texts]}))
    assert t.collect()["a"] == [D(text) for text in texts]
    for neighbour in (math.nextafter(9.99, 0), math.nextafter(9.99, 10)):
        with pytest.raises(DataError, match=r"row 0: .*lose data"):
            t.insert(pa.table({"a": [neighbour]}))
    t.delete()
    long = [0.1, 1 / 3, 12345678901234567.0, 1e-20]
    t.insert(pa.table({"b": long}))
    assert t.collect()["b"] == [D(repr(value)) for value in long]


@pytest.mark.parametrize(
    "kind", [pa.list_(pa.float64()), pa.list_(pa.float32(), 2), pa.large_list(pa.float32())]
)
def test_floats_in_lists_become_decimals_or_are_refused(session, kind):
    t = session.create_table("t", {"l": "array<decimal(8, 2)>"})
    t.insert(pa.table({"l": pa.array([[0.1, None], None, [9.99, 2.0]], kind)}))
    assert [row["l"] for row in t.collect()] == [[D("0.1"), None], None, [D("9.99"), 2]]
    with pytest.raises(DataError, match=r"table 't', column 'l', row 1: .*item 1.*lose data"):
        t.insert(pa.table({"l": pa.array([[0.1, None], [1.0, 9.999]], kind)}))


def test_floats_of_queries_and_files_become_decimals_or_are_refused(session, prices, tmp_path):
    source = session.create_table("source", [{"k": 1, "x": 9.99}])
    prices.insert(source.select("k", d=source.x))
    prices.upsert(source.select("k", d=(source.x * 1.19).round(2)), on="k")
    assert prices.where(prices.k == 1).collect()["d"] == [D("11.89")]
    for verb in ("insert", "upsert", "batch_update"):
        with pytest.raises(
            DataError, match=r"column 'd', row 0: .*at most 2 digits after the decimal point"
        ):
            getattr(prices, verb)(
                source.select("k", d=source.x * 1.19), **({} if verb == "insert" else {"on": "k"})
            )
    pd.DataFrame({"k": [2], "d": [9.999]}).to_parquet(tmp_path / "prices.parquet")
    with pytest.raises(DataError, match=r"column 'd', row 0: .*lose data"):
        prices.insert(str(tmp_path / "prices.parquet"))


@pytest.mark.parametrize("value", [1234567, D(1234567), 1234567.5, "1234567", D("1e9")])
def test_decimal_overflow_error_states_digits_that_fit(prices, value):
    with pytest.raises(
        DataError, match=r"column 'd'.*at most 6 digits before the decimal point fit"
    ):
        prices.insert(k=1, d=value)
    with pytest.raises(
        DataError, match=r"column 'd'.*at most 6 digits before the decimal point fit"
    ):
        prices.update({"d": value})
    wide = prices.insert(k=1, d=D("123456.780000"))
    assert wide.rows == 1


def test_decimal_without_integer_digits(session):
    t = session.create_table("t", {"d": "decimal(2, 2)"})
    t.insert(d=0.25)
    with pytest.raises(DataError, match="no digits before the decimal point fit, but it has 1"):
        t.insert(d=1.5)


# Wider decimals


@pytest.mark.parametrize("wider", [(10, 2), (9, 3), (10, 3), (10, 4), (20, 6), (38, 32)])
def test_decimal_can_be_widened(session, wider):
    t = session.create_table("t", {"d": "decimal(8, 2)"})
    t.insert([{"d": D("123456.78")}, {"d": D("-0.01")}, {"d": None}])
    t.add_computed_column(below=-t.d)
    t.add_computed_column(kept=t.d.abs(), stored=True)
    view = session.create_view("v", t.where(t.d > 0))
    kind = f"decimal({wider[0]}, {wider[1]})"
    t.change_type("d", kind)
    assert str(t.schema()["d"]) == str(view.schema()["d"]) == kind
    assert t.collect()["d"] == [D("123456.78"), D("-0.01"), None]
    assert t.collect()["below"] == [D("-123456.78"), D("0.01"), None]
    assert view.collect()["kept"] == [D("123456.78")]
    fine = D(1).scaleb(-wider[1])
    t.insert(d=fine)
    assert t.where(t.d == fine).collect()["kept"] == [fine]
    assert view.where(view.d == fine).collect()["below"] == [-fine]
    assert str(t.at(1).schema()["d"]) == "decimal(8, 2)"


@pytest.mark.parametrize(
    "narrower", ["decimal(8, 3)", "decimal(7, 2)", "decimal(20, 1)", "decimal(9, 4)"]
)
def test_narrowing_decimal_is_refused(session, narrower):
    t = session.create_table("t", {"d": "decimal(8, 2)"})
    with pytest.raises(SchemaError, match=r"table 't', column 'd': decimal\(8, 2\) cannot become"):
        t.change_type("d", narrower)


COMPUTED = {
    "sum": lambda t: t.d + 1,
    "product": lambda t: t.d * D("1.19"),
    "product of columns": lambda t: t.d * t.d,
    "cast": lambda t: t.d.cast("decimal(9, 1)"),
}


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("computed", COMPUTED)
def test_decimal_read_by_computed_column_is_not_widened(session, computed, stored):
    t = session.create_table("t", {"d": "decimal(8, 2)"})
    t.insert(d=D("9.99"))
    t.add_computed_column(made=COMPUTED[computed](t), stored=stored)
    created = t.collect()["made"]
    with pytest.raises(SchemaError, match=r"table 't'.*the column 'made' cannot be computed"):
        t.change_type("d", "decimal(10, 3)")
    assert str(t.schema()["d"]) == "decimal(8, 2)"
    assert t.collect()["made"] == created
    t.drop_column("made")
    t.change_type("d", "decimal(10, 3)")


def test_decimal_read_by_view_is_not_widened(session):
    t = session.create_table("t", {"d": "decimal(8, 2)"})
    session.create_view("v", t.select("d", more=t.d + 1))
    with pytest.raises(SchemaError, match=r"table 't'.*the view 'v' cannot be computed"):
        t.change_type("d", "decimal(10, 3)")
    session.drop_table("v")
    session.create_view("v", t.agg(total=t.d.sum()))
    t.change_type("d", "decimal(10, 3)")
    t.insert(d=D("0.001"))
    assert session.get_table("v").collect()["total"] == [D("0.001")]
