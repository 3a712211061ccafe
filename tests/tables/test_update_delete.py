"""Update and delete: conditions, values and refusals."""

# ruff: noqa: ARG005 - all forms take the table

from __future__ import annotations

import datetime
import decimal
import math

import ibis
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from ibis import _

import barbule as bb
from barbule.errors import (
    BarbuleError,
    ColumnNotFoundError,
    DataError,
    ExpressionError,
    UnsupportedError,
)


@pytest.fixture
def table(session):
    table = session.create_table(
        "t", {"k": bb.Int, "name": bb.String(nullable=False), "x": bb.Float, "meta": bb.Json}
    )
    table.insert([{"k": n, "name": f"n{n}", "x": n / 2, "meta": {"n": n}} for n in range(5)])
    return table


def _by_key(table, column: str) -> dict[int, object]:
    return {row["k"]: row[column] for row in table.collect()}


def test_update_sets_values_and_expressions(table):
    result = table.update({"name": "new", "x": table.x * 10, "meta": [1]}, where=table.k >= 3)
    assert (result.rows, result.version) == (2, 2)
    assert _by_key(table, "name") == {0: "n0", 1: "n1", 2: "n2", 3: "new", 4: "new"}
    assert _by_key(table, "x") == {0: 0.0, 1: 0.5, 2: 1.0, 3: 15.0, 4: 20.0}
    assert _by_key(table, "meta")[4] == [1]


def test_update_expressions_read_old_values(session):
    table = session.create_table("swap", {"a": bb.Int, "b": bb.Int})
    table.insert(a=1, b=2)
    table.update({"a": table.b, "b": table.a})
    assert table.collect() == [{"a": 2, "b": 1}]


@pytest.mark.parametrize(
    "value",
    [lambda t: t.x + t.k, lambda t: _.x + _.k, lambda t: lambda u: u.x + u.k],
    ids=["expression", "deferred", "callable"],
)
def test_update_takes_each_form_of_expression(table, value):
    table.update({"x": value(table)}, where=table.k == 4)
    assert _by_key(table, "x")[4] == 6.0


@pytest.mark.parametrize(
    ("where", "keys"),
    [
        (lambda t: None, {0, 1, 2, 3, 4}),
        (lambda t: t.k == 2, {2}),
        (lambda t: (t.k > 0) & (t.x < 2), {1, 2, 3}),
        (lambda t: [t.k > 0, t.x < 2], {1, 2, 3}),
        (lambda t: _.k.isin([0, 4]), {0, 4}),
        (lambda t: lambda u: u.name == "n3", {3}),
        (lambda t: t.meta.n.int == 2, {2}),
        (lambda t: t.x == t.x.max(), {4}),
        (lambda t: t.k.isin(t.filter(t.x > 1).k), {3, 4}),
        (lambda t: ibis.literal(False), set()),
        (lambda t: t.x > None, set()),
    ],
)
def test_update_takes_each_form_of_where(table, where, keys):
    result = table.update({"name": "hit"}, where=where(table))
    assert result.rows == len(keys)
    assert {k for k, name in _by_key(table, "name").items() if name == "hit"} == keys


@pytest.mark.parametrize(
    ("where", "keys"),
    [
        (lambda t: None, {0, 1, 2, 3, 4}),
        (lambda t: [t.k > 0, _.x < 2], {1, 2, 3}),
        (lambda t: lambda u: u.name == "n3", {3}),
        (lambda t: t.x == t.x.max(), {4}),
        (lambda t: t.x > None, set()),
    ],
)
def test_delete_takes_each_form_of_where(table, where, keys):
    assert table.delete(where=where(table)).rows == len(keys)
    assert set(_by_key(table, "k")) == {0, 1, 2, 3, 4} - keys


def test_update_sets_floats_exactly(table):
    table.update({"x": 0.7}, where=table.k == 0)
    table.update({"x": ibis.literal(0.6)}, where=table.k == 1)
    assert _by_key(table, "x")[0] == 0.7
    assert _by_key(table, "x")[1] == 0.6
    assert table.filter(table.x == 0.7).count().to_pyarrow().as_py() == 1
    assert table.select(table.k, y=ibis.literal(0.7)).collect()[0, "y"] == 0.7


def test_where_may_read_another_table(session, table):
    other = session.create_table("gone", {"k": bb.Int})
    other.insert([{"k": 1}, {"k": 2}])
    assert table.delete(where=table.k.isin(other.k)).rows == 2
    assert set(_by_key(table, "k")) == {0, 3, 4}


def test_an_update_may_set_null(table):
    table.update({"x": None, "meta": None}, where=table.k < 2)
    assert _by_key(table, "x") == {0: None, 1: None, 2: 1.0, 3: 1.5, 4: 2.0}
    assert _by_key(table, "meta")[0] is None


def test_update_of_required_column_to_null_is_refused(table):
    table.update({"name": table.name.upper()}, where=table.k == 1)
    assert _by_key(table, "name")[1] == "N1"
    for missing in (None, ibis.null("string"), table.name.nullif("n2")):
        with pytest.raises(DataError, match=r"table 't', column 'name'.*required"):
            table.update({"name": missing})
    assert table.history()[0, "version"] == 2


def test_failed_update_expression_changes_nothing(table):
    before = table.collect().to_pyarrow()
    with pytest.raises(Exception, match="n0"):
        table.update({"k": table.name.cast("int64")})
    assert table.collect().to_pyarrow().equals(before)
    assert len(table.history()) == 2


MORNING = datetime.datetime(2024, 1, 2, 7, 30)  # noqa: DTZ001
LOSSES = {
    "a half": ("i", lambda t: t.i / 2, "1.5 is not an integer"),
    "a constant": ("i", lambda t: ibis.literal(0.5), "0.5 is not an integer"),
    "another column": ("i", lambda t: t.f, "2.5 is not an integer"),
    "a decimal": ("i", lambda t: t.d, "1.25.* is not an integer"),
    "a value too large": ("small", lambda t: t.f * 1000, "too large"),
    "a random value": ("i", lambda t: ibis.random() / 2 + 0.25, "is not an integer"),
    "items": ("counts", lambda t: ibis.array([t.f, t.f]), "item 0.*2.5 is not an integer"),
    "a product of decimals": ("d", lambda t: t.d * decimal.Decimal("1.19"), "lose data"),
    "a product of columns": ("d", lambda t: t.d * t.d, "1.5625.*lose data|lose data.*1.5625"),
    "a quotient of decimals": ("d", lambda t: t.d / 7, "lose data"),
    "a constant of decimals": ("d", lambda t: ibis.literal(decimal.Decimal("1.239")), "lose data"),
    "a float for a decimal": ("d", lambda t: t.f / 100, "0.025.*lose data|lose data.*0.025"),
    "a float too large": ("d", lambda t: t.f * 10000, "at most 4 digits before the decimal point"),
    "decimals in a list": ("costs", lambda t: ibis.array([t.d / 7]), "item 0.*lose data"),
    "a string for a number": ("i", lambda t: t.s, "got str, not a number"),
    "a string for a float": ("f", lambda t: t.s, "got str, not a number"),
    "a string for a boolean": ("yes", lambda t: ibis.literal("no"), "got str, not a bool"),
    "a number for a boolean": ("yes", lambda t: t.i, "got int, not a bool"),
    "a boolean for a number": ("i", lambda t: t.i > 0, "got bool, not a number"),
    "a number for a string": ("s", lambda t: t.i, "got int, not a string"),
    "strings in a list": ("counts", lambda t: ibis.array([t.s]), "item 0.*not a number"),
    "a timestamp": ("day", lambda t: t.moment, "has a time of day"),
    "a zoned timestamp": ("day", lambda t: t.moment.cast("timestamp('UTC')"), "has a time of day"),
    "later": ("day", lambda t: t.moment + ibis.interval(seconds=1), "has a time of day"),
}


@pytest.fixture
def kinds(session):
    table = session.create_table(
        "kinds",
        {
            "i": bb.Int,
            "small": "int8",
            "f": bb.Float,
            "d": "decimal(6, 2)",
            "s": bb.String,
            "yes": bb.Bool,
            "costs": "array<decimal(6, 2)>",
            "counts": bb.Array(bb.Int),
            "day": bb.Date,
            "moment": bb.Timestamp,
        },
    )
    full = {"i": 2, "f": 2.0, "d": 3, "s": "12", "moment": MORNING.replace(hour=0, minute=0)}
    table.insert([full, {"i": 3, "f": 2.5, "d": decimal.Decimal("1.25"), "moment": MORNING}, {}])
    return table


@pytest.mark.parametrize("with_view", [False, True])
@pytest.mark.parametrize("loss", LOSSES)
def test_lossy_update_expression_is_refused(session, kinds, loss, with_view):
    if with_view:
        session.create_view("view", kinds.where(kinds.i > 0))
    column, value, reported = LOSSES[loss]
    before = kinds.collect().to_pyarrow()
    with pytest.raises(DataError, match=f"table 'kinds', column '{column}': .*{reported}.*cast"):
        kinds.update({column: value(kinds)})
    assert kinds.collect().to_pyarrow().equals(before)
    assert len(kinds.history()) == 2


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_nan_or_infinity_in_integer_column_is_refused(kinds, number):
    kinds.insert(i=9, f=number)
    with pytest.raises(DataError, match="table 'kinds', column 'i': "):
        kinds.update({"i": kinds.f}, where=kinds.i == 9)
    with pytest.raises(DataError, match="table 'kinds', column 'counts': "):
        kinds.update({"counts": ibis.array([kinds.f, 1.0])}, where=kinds.i == 9)
    assert 9 in kinds.collect()["i"]


@pytest.mark.parametrize("with_view", [False, True])
def test_update_expression_with_lossless_values_is_accepted(session, kinds, with_view):
    if with_view:
        session.create_view("view", kinds.where(kinds.i > 0))
    first = kinds.i == 2
    values = {
        "i": kinds.i / 2,
        "small": kinds.d,
        "d": kinds.f * 1.25,
        "costs": ibis.array([kinds.f]),
        "counts": ibis.array([kinds.f]),
        "day": kinds.moment,
    }
    assert kinds.update(values, where=first).rows == 1
    assert kinds.where(kinds.i == 1).collect()[0] == {
        "i": 1, "small": 3, "f": 2.0, "d": decimal.Decimal("2.5"), "s": "12", "yes": None,
        "costs": [2], "counts": [2], "day": MORNING.date(),
        "moment": MORNING.replace(hour=0, minute=0),
    }  # fmt: skip
    assert kinds.update({"i": kinds.f, "day": kinds.moment}, where=kinds.i.isnull()).rows == 0  # noqa: PD003
    second = kinds.where(kinds.i == 3)
    kinds.update(
        {"small": kinds.f.round().cast("int8"), "day": kinds.moment.date()}, where=kinds.i == 3
    )
    assert second.collect()[0, "day"] == MORNING.date()


CAST = {
    "rounded": ("d", lambda t: (t.d * decimal.Decimal("1.19")).round(2), decimal.Decimal("1.49")),
    "a float rounded": ("d", lambda t: (t.d / 7).round(2), decimal.Decimal("0.18")),
    "cast": ("d", lambda t: (t.d / 7).cast("decimal(6, 2)"), decimal.Decimal("0.18")),
    "a sum": ("d", lambda t: t.d + decimal.Decimal("0.10"), decimal.Decimal("1.35")),
    "more digits": ("d", lambda t: t.d * decimal.Decimal("2.00"), decimal.Decimal("2.50")),
    "a decimal as string": ("d", lambda t: t.s, decimal.Decimal("7.25")),
    "a string cast": ("i", lambda t: ibis.literal("12").cast(int), 12),
    "null": ("i", lambda t: ibis.null(), None),
    "null of strings": ("i", lambda t: ibis.null("string"), None),
    "a number cast": ("s", lambda t: t.i.cast(str), "3"),
    "a boolean cast": ("i", lambda t: (t.i > 0).cast(int), 1),
}


@pytest.mark.parametrize("with_view", [False, True])
@pytest.mark.parametrize("new_value", CAST)
def test_rounded_or_cast_update_expression_is_accepted(session, kinds, new_value, with_view):
    kinds.update({"s": "7.25"})
    if with_view:
        session.create_view("view", kinds.where(kinds.f > 0))
    column, value, stored = CAST[new_value]
    kinds.update({column: value(kinds)}, where=kinds.f == 2.5)
    assert kinds.where(kinds.f == 2.5).collect()[column] == [stored]


def test_decimal_overflow_in_update_is_refused(kinds):
    with pytest.raises(DataError, match="table 'kinds', column 'd'"):
        kinds.update({"d": kinds.d + 10000})
    assert len(kinds.history()) == 2


def test_update_of_computed_column_is_refused(table):
    table.add_computed_column(y=table.x + 1)
    with pytest.raises(ExpressionError, match="table 't', column 'y': the column is computed"):
        table.update({"y": 2.0})


def test_unknown_column_error_lists_columns(table):
    with pytest.raises(ColumnNotFoundError, match=r"column 'nmae'.*It has k, name, x, meta"):
        table.update({"nmae": "a"})
    with pytest.raises(AttributeError, match="nmae"):
        table.delete(where=_.nmae == 1)
    assert len(table.history()) == 2


def test_write_to_view_is_refused(session, table):
    view = session.create_view("v", table.where(table.k > 2))
    for write in (
        lambda: view.insert(k=1, name="a"),
        lambda: view.update({"x": 1.0}),
        view.delete,
    ):
        with pytest.raises(UnsupportedError, match="table 'v': the rows of a view follow"):
            write()
    assert sorted(view.collect()["k"]) == [3, 4]


def test_write_to_old_version_is_refused(table):
    old = table.at(1)
    for write in (
        lambda: old.insert(k=1, name="a"),
        lambda: old.update({"x": 1.0}),
        old.delete,
        lambda: old.add_computed_column(z=old.x + 1),
        lambda: old.checkpoint("late"),
    ):
        with pytest.raises(BarbuleError, match="table 't': this is an old version"):
            write()
    assert len(table.history()) == 2


def test_table_accepts_rows_after_delete_of_all_rows(table):
    assert table.delete().rows == 5
    assert len(table.collect()) == 0
    table.insert(k=9, name="again")
    assert _by_key(table, "name") == {9: "again"}
    assert len(table.at(1).collect()) == 5


def test_many_updates_of_one_row_keep_one_row(table):
    for n in range(1, 11):
        table.update({"x": float(n)}, where=table.k == 0)
    assert len(table.collect()) == 5
    assert _by_key(table, "x")[0] == 10.0
    assert table.count().to_pyarrow().as_py() == 5
    assert [table.at(v).filter(_.k == 0).collect()[0, "x"] for v in range(1, 12)] == [
        *map(float, range(11)),
    ]  # fmt: skip


def test_empty_update_is_refused(table):
    with pytest.raises(ExpressionError, match="table 't': update needs at least one column"):
        table.update({})
    assert len(table.history()) == 2


ROWS = [{"k": 1, "x": 7.0}]
NO_VALUES = {
    "pandas": lambda: pd.DataFrame(ROWS),
    "a row of pandas": lambda: pd.DataFrame(ROWS).iloc[0],
    "polars": lambda: pl.DataFrame(ROWS),
    "arrow": lambda: pa.Table.from_pylist(ROWS),
    "records": lambda: ROWS,
    "a name": lambda: "k",
    "nothing": lambda: None,
}


@pytest.mark.parametrize("values", NO_VALUES)
def test_rows_as_update_values_are_refused(table, values):
    before = table.collect().to_pyarrow()
    message = (
        r"table 't': update takes a mapping of columns to new values.*where=.*"
        r"batch_update\(.*upsert\("
    )
    for where in (None, 5, table.k == 1):
        with pytest.raises(DataError, match=message):
            table.update(NO_VALUES[values](), where)
    assert table.collect().to_pyarrow().equals(before)
    assert len(table.history()) == 2


@pytest.mark.parametrize("column", ["k", "x", "name"])
def test_series_as_update_value_is_refused(table, column):
    for value in (pd.Series([1]), pl.Series([1]), pd.DataFrame(ROWS)):
        with pytest.raises(DataError, match=f"table 't', column '{column}'.*: this is no"):
            table.update({column: value})
    assert len(table.history()) == 2


@pytest.mark.parametrize(
    "run",
    [
        lambda t: t.delete(where=t.count != 3),
        lambda t: t.update({"n": 0}, where=t.count == 3),
        lambda t: t.recompute("far", where=t.count != 3),
        lambda t: t.recompute("far", where=t.count != 3, errors_only=True),
        lambda t: t.where(t.count != 3).collect(),
    ],
    ids=["delete", "update", "recompute", "errors", "where"],
)
@pytest.mark.filterwarnings("ignore:table 'counted'")
def test_condition_on_method_name_is_refused(session, run):
    @bb.udf(on_error="null")
    def far(n: int) -> int:
        return n * 2

    counted = session.create_table("counted", {"n": bb.Int, "count": bb.Int})
    counted.insert([{"n": 1, "count": 3}, {"n": 2, "count": 4}])
    counted.add_computed_column(far=far(counted.n))
    with pytest.raises(
        ExpressionError, match=r'this one is the constant (True|False).*t\["count"\]'
    ):
        run(counted)
    assert sorted(counted.collect()["n"]) == [1, 2]
    assert counted.delete(where=counted["count"] != 3).rows == 1


@pytest.mark.parametrize(
    "rows",
    [
        [{"name": "Up", "year": 2009, "n": 1}, {"name": None, "year": 2010, "n": 2}],
        [{"name": "Up", "year": None, "n": 1}],
        [{"name": "Up", "year": 2009, "n": 1}, {"name": "Soul", "year": None}],
        pd.DataFrame({"name": ["Up", None], "year": [2009, 2010], "n": [1, 2]}),
        pa.table({"name": ["Up", None], "year": [2009, 2010], "n": [1, 2]}),
    ],
    ids=["record", "part", "group", "frame", "arrow"],
)
def test_null_key_is_refused(session, rows):
    table = bb.create_table("t", {"name": bb.String, "year": bb.Int, "n": bb.Int})
    table.insert([{"name": "Up", "year": 2009, "n": 0}, {"name": None, "year": None, "n": 0}])
    before = table.collect()
    for verb in (table.upsert, table.batch_update):
        with pytest.raises(
            DataError, match="a key value is NULL, so it identifies no row"
        ) as raised:
            verb(rows, on=["name", "year"])
        assert raised.value.table == "t"
        assert raised.value.column in {"name", "year"}
    with pytest.raises(DataError, match="a key value is NULL"):
        table.batch_update(rows, on=["name", "year"], if_not_exists="ignore")
    assert table.collect() == before


@pytest.mark.parametrize(
    "change",
    [
        lambda t, where: t.delete(where),
        lambda t, where: t.delete(where=where, purge=True),
        lambda t, where: t.update({"x": 9.0}, where=where),
        lambda t, where: t.update({"x": t.x + 1}, where),
    ],
    ids=["delete", "purge", "update", "expression"],
)
def test_condition_callable_that_returns_none_is_refused(table, change):
    before = table.order_by("k").collect()
    with pytest.raises(ExpressionError, match="table 't': the condition is None"):
        change(table, lambda t: None)
    assert table.order_by("k").collect() == before
    assert table.history()[0, "version"] == 1


def test_update_and_delete_without_condition_affect_all_rows(table):
    assert table.update({"x": 9.0}).rows == 5
    assert table.delete(purge=True).rows == 5
