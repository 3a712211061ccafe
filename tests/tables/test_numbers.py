"""Numbers behave as in Python: literals, widths of integers, decimals, division."""

from __future__ import annotations

import decimal
import functools
import math
import operator
import random

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import barbule as bb
from barbule.errors import DataError, SchemaError

D = decimal.Decimal
INT_MAX = 2**63 - 1


def _reals(count: int) -> list[float]:
    draw = random.Random(1)
    special = [0.1, 1e300, 5e-324, 1.7976931348623157e308, -0.5, 1e-7]
    return [draw.random() for _ in range(count)] + special


def one(query):
    """Return the value of a query that gives one."""
    return query.collect()[0, query.columns[0]]


# Literals


def test_float_literal_equals_stored_value(session):
    values = _reals(100)
    t = bb.create_table("t", [{"x": value} for value in values])
    read = t.collect()["x"]
    assert sorted(read) == sorted(values)
    for value in read:
        assert t.where(t.x == value).count().to_pyarrow().as_py() == 1
        assert t.where(t.x.isin([value, 7.5])).count().to_pyarrow().as_py() == 1
        assert t.where(t.x.between(value, value)).count().to_pyarrow().as_py() == 1
    rows = t.where(t.x > 1e-300).select("x", y=t.x * 0.1).collect()
    assert rows["y"] == [value * 0.1 for value in rows["x"]]


def test_update_and_delete_match_float_exactly(session):
    value = 0.9452706955395223
    t = bb.create_table("t", [{"x": value, "n": 1}, {"x": 0.25, "n": 2}])
    assert t.update({"n": 3}, where=t.x == value).rows == 1
    assert t.update({"x": 0.30000000000000004}, where=t.n == 2).rows == 1
    assert t.where(t.n == 2).collect()[0, "x"] == 0.30000000000000004
    assert t.delete(where=t.x == value).rows == 1


@pytest.mark.parametrize("stored", [False, True])
def test_float_literal_in_a_computed_column_is_exact(session, stored):
    values = _reals(50)[:50]
    t = bb.create_table("t", [{"x": value} for value in values])
    t.add_computed_column(y=t.x * 0.1, same=t.x == values[0], stored=stored)
    t.insert(x=0.3)
    for row in t.collect():
        assert row["y"] == row["x"] * 0.1
        assert row["same"] == (row["x"] == values[0])


def test_float_literals_in_branches_arrays_structs_and_windows_are_exact(session):
    value = 0.9452706955395223
    t = bb.create_table("t", [{"x": value}, {"x": None}])
    row = (
        t.select(
            filled=t.x.fill_null(value),
            chosen=ibis.ifelse(t.x.fill_null(0.0) == 0.0, value, 0.0),
            cased=ibis.cases((t.x == value, value), else_=-0.0),
            listed=ibis.literal([value, 0.1]),
            kept=ibis.struct({"a": value}),
            looked=ibis.literal(value),
            before=t.x.lag(default=value).over(order_by=t.x),
        )
        .order_by("cased")
        .collect()
    )
    assert row["filled"] == [value, value]
    assert sorted(row["chosen"]) == [0.0, value]
    assert row["cased"] == [0.0, value]
    assert row[0, "listed"] == [value, 0.1]
    assert row[0, "kept"] == {"a": value}
    assert row[0, "looked"] == value
    assert value in row["before"]


def test_infinite_and_nan_literals(session):
    t = bb.create_table("t", [{"x": math.inf}, {"x": -math.inf}, {"x": -0.0}])
    assert t.where(t.x == math.inf).count().to_pyarrow().as_py() == 1
    assert t.where(t.x == -math.inf).count().to_pyarrow().as_py() == 1
    assert t.where(t.x == 0.0).count().to_pyarrow().as_py() == 1
    assert math.isnan(t.select(n=ibis.literal(math.nan)).collect()[0, "n"])
    assert math.copysign(1, t.select(n=ibis.literal(-0.0)).collect()[0, "n"]) == -1


def test_numpy_scalars_are_literals(session):
    t = bb.create_table("t", {"f": "float32", "d": bb.Float, "n": "int8"})
    t.insert(f=0.1, d=0.1, n=7)
    read = t.collect()[0]
    for same in (
        t.f == np.float32(0.1),
        t.f == read["f"],
        t.d == np.float64(0.1),
        t.d == 0.1,
        t.n == np.int8(7),
        t.n == np.uint64(7),
    ):
        assert t.where(same).count().to_pyarrow().as_py() == 1


def test_float_literal_in_a_view_and_at_an_old_version(session):
    value = 0.9452706955395223
    t = bb.create_table("t", [{"x": value}, {"x": 0.5}])
    view = bb.create_view("v", t.where(t.x == value).mutate(y=t.x * 0.1))
    assert view.select("x", "y").collect() == [{"x": value, "y": value * 0.1}]
    t.insert(x=value)
    assert view.count().to_pyarrow().as_py() == 2
    assert t.at(0).where(lambda old: old.x == value).count().to_pyarrow().as_py() == 1


def test_float_literal_is_passed_exactly_to_function(session):
    @bb.udf
    def text_of(x: float) -> str:
        return repr(x)

    t = bb.create_table("t", [{"x": 1.0}])
    row = t.select(
        a=text_of(t.x * 0.9452706955395223), b=text_of(ibis.literal(0.1) + 0.2)
    ).collect()
    assert row[0] == {"a": "0.9452706955395223", "b": "0.30000000000000004"}


# Whole numbers


def test_narrow_integers_are_computed_as_int64(session):
    t = bb.create_table(
        "t", {"i8": "int8", "u8": "uint8", "i16": "int16", "i32": "int32", "u32": "uint32"}
    )
    t.insert(i8=-128, u8=200, i16=30000, i32=2**31 - 1, u32=2**32 - 1)
    q = t.select(
        times=t.i8 * 100,
        square=t.i16 * t.i16,
        more=t.i32 + 1,
        minus=-t.u8,
        turned=-t.i8,
        size=t.i8.abs(),
        less=t.u8 - 201,
        mixed=t.u32 - t.u8 * 2,
        shifted=t.i8 << 8,
        inverted=~t.u8,
        rest=t.i8 % 200,
        by_unsigned=t.i8 % t.u8,
        constant=ibis.literal(100_000) * 100_000,
        left=5 - t.u8,
    )
    assert q.collect()[0] == {
        "times": -12800,
        "square": 900_000_000,
        "more": 2**31,
        "minus": -200,
        "turned": 128,
        "size": 128,
        "less": -1,
        "mixed": 2**32 - 1 - 400,
        "shifted": -32768,
        "inverted": -201,
        "rest": 72,
        "by_unsigned": 72,
        "constant": 10**10,
        "left": -195,
    }
    assert set(map(str, q.schema().types)) == {"int64"}


@pytest.mark.parametrize("stored", [False, True])
def test_computed_column_over_narrow_integers_is_int64(session, stored):
    t = bb.create_table("t", {"n": "int8", "u": "uint8"})
    t.insert(n=100, u=1)
    t.add_computed_column(big=t.n * 100, minus=-t.u, stored=stored)
    t.insert(n=-100, u=255)
    assert str(t.schema()["big"]) == "int64"
    assert t.order_by("n").collect()["big"] == [-10000, 10000]
    assert t.order_by("n").collect()["minus"] == [-255, -1]
    assert t.agg(s=t.big.sum(), m=(t.n * 100).max()).collect()[0] == {"s": 0, "m": 10000}
    view = bb.create_view("v", t.where(t.n * 100 > 0).mutate(twice=t.n * 2))
    assert view.collect()["twice"] == [200]
    assert str(view.schema()["twice"]) == "int64"


def test_uint64_arithmetic_and_comparison(session):
    large = 2**63 + 5
    t = bb.create_table("t", {"u": "uint64"})
    t.insert([{"u": large}, {"u": 7}])
    assert t.where(t.u == large).collect()["u"] == [large]
    assert t.where(t.u.isin([large, 3])).count().to_pyarrow().as_py() == 1
    assert t.where(t.u.between(8, 2**64 - 1)).count().to_pyarrow().as_py() == 1
    row = t.where(t.u > 7).select(a=t.u + 1, b=t.u % 10, c=t.u // 10).collect()[0]
    assert row == {"a": large + 1, "b": large % 10, "c": large // 10}
    assert t.where(t.u == 7).select(a=-t.u, b=t.u - 8).collect()[0] == {"a": -7, "b": -1}


@pytest.mark.parametrize(
    "compute",
    [
        lambda t: t.n * 4,
        lambda t: t.n + t.n,
        lambda t: -(-t.n - t.n),
        lambda t: t.n << 2,
        lambda t: t.m - t.u,
    ],
)
def test_int64_overflow_error_names_column(session, compute):
    t = bb.create_table("t", {"n": bb.Int, "m": bb.Int, "u": "uint64"})
    t.insert(n=2**62, m=-5, u=2**63)
    query = t.select("m", big=compute(t))
    for read in (query.collect, query.to_pyarrow, query.to_pandas):
        with pytest.raises(DataError, match="column 'big'"):
            read()
    with pytest.raises(DataError, match="column 'big'"):
        query.to_pyarrow_batches().read_all()
    with pytest.raises(DataError, match="table 't', column 's'"):
        t.add_computed_column(s=compute(t), stored=True)


def test_sum_overflow_error_names_column(session):
    t = bb.create_table("t", [{"n": INT_MAX}, {"n": INT_MAX}])
    with pytest.raises(DataError, match="column 'total': a result does not fit int64"):
        t.agg(total=t.n.sum()).collect()
    assert one(t.agg(total=t.n.cast("decimal(38, 0)").sum())) == 2 * INT_MAX


# Division


WHOLE = [7, -7, 6, -6, 0, 2**60 + 1, -(2**60) - 1, INT_MAX]
DIVISORS = [3, -3, 10, -10, 1, -1, 2**60]


def test_integer_mod_and_floordiv_match_python(session):
    rows = [{"x": x, "y": y} for x in WHOLE for y in DIVISORS]
    t = bb.create_table("t", rows)
    for row in t.select("x", "y", r=t.x % t.y, q=t.x // t.y).collect():
        assert (row["q"], row["r"]) == divmod(row["x"], row["y"]), row
    for divisor in DIVISORS:
        for row in t.select("x", r=t.x % divisor, q=t.x // divisor).collect():
            assert (row["q"], row["r"]) == divmod(row["x"], divisor), (row, divisor)
    for row in t.where(t.y > 0).select("y", r=-7 % t.y, q=-7 // t.y).collect():
        assert (row["q"], row["r"]) == divmod(-7, row["y"]), row


def test_float_mod_and_floordiv_match_python(session):
    values, divisors = [7.5, -7.5, 6.0, -6.0, 0.0, 1e17, 0.25], [2.0, -2.0, 3.0, 0.5]
    t = bb.create_table("t", [{"x": x, "y": y} for x in values for y in divisors])
    for row in t.select("x", "y", r=t.x % t.y, q=t.x // t.y).collect():
        assert (row["q"], row["r"]) == divmod(row["x"], row["y"]), row
    for row in t.select("x", r=t.x % -2, q=t.x // 2).collect():
        assert (row["q"], row["r"]) == (row["x"] // 2, row["x"] % -2), row


@pytest.mark.never(
    "postgres", raises=AssertionError, reason="decimal arithmetic for float remainders"
)
@pytest.mark.parametrize("operation", ["0.1 mod", "0.1 floordiv"])
def test_float_mod_and_floordiv_are_exact(session, operation):
    t = bb.create_table("t", [{"x": 1.0, "y": 0.1}, {"x": 0.3, "y": 0.1}])
    compute = operator.mod if operation == "0.1 mod" else operator.floordiv
    for row in t.select("x", "y", r=compute(t.x, t.y)).collect():
        assert row["r"] == compute(row["x"], row["y"]), row


def test_mod_and_floordiv_by_zero_are_null(session):
    t = bb.create_table("t", {"n": bb.Int, "x": bb.Float, "d": "decimal(10, 2)", "zero": bb.Int})
    t.insert(n=7, x=7.5, d=D("7.50"), zero=0)
    q = t.select(
        a=t.n % t.zero, b=t.n // t.zero, c=t.x % t.zero, d=t.x // t.zero, e=t.d % t.zero,
        f=t.x % 0.0,
    )  # fmt: skip
    assert set(q.collect()[0].values()) == {None}


@pytest.mark.parametrize("zero", [0, 0.0, ibis.literal(0), ibis.literal(0, "int8")])
def test_mod_and_floordiv_by_constant_zero_are_null(session, zero):
    t = bb.create_table("t", {"i": "int8", "u": "uint8", "n": bb.Int, "x": bb.Float})
    t.insert(i=7, u=7, n=7, x=7.5)
    for column in (t.i, t.u, t.n, t.x, t.n + 1, t.n.sum()):
        row = t.select(mod=column % zero, floor=column // zero).collect()[0]
        assert row == {"mod": None, "floor": None}
    assert t.select(a=zero % t.n).collect()[0, "a"] == 0
    t.add_computed_column(rest=t.n % zero)
    assert t.collect()[0, "rest"] is None


def test_decimal_mod_and_floordiv_match_python(session):
    t = bb.create_table("t", {"d": "decimal(10, 2)"})
    t.insert([{"d": D("7.50")}, {"d": D("-7.50")}])
    for row in t.select("d", r=t.d % 2, q=t.d // 2, exact=t.d % D("0.4")).collect():
        assert row["r"] == row["d"] % 2
        assert row["q"] == row["d"] // 2
        assert row["exact"] == row["d"] % D("0.4")


# Decimals


@pytest.fixture
def prices(session):
    """Return a table of prices."""
    t = bb.create_table("prices", {"name": str, "price": "decimal(10, 2)", "rate": "decimal(5, 4)",
                                   "qty": bb.Int})  # fmt: skip
    t.insert(
        [
            {"name": "pen", "price": D("19.99"), "rate": D("0.1250"), "qty": 3},
            {"name": "cap", "price": D("0.05"), "rate": D("0.0525"), "qty": 10},
        ]
    )
    return t


DECIMALS = {
    "price * 2": (lambda t: t.price * 2, lambda r: r["price"] * 2),
    "price * qty": (lambda t: t.price * t.qty, lambda r: r["price"] * r["qty"]),
    "price * price": (lambda t: t.price * t.price, lambda r: r["price"] * r["price"]),
    "price * rate": (lambda t: t.price * t.rate, lambda r: r["price"] * r["rate"]),
    "rate - price": (lambda t: t.rate - t.price, lambda r: r["rate"] - r["price"]),
    "price + rate": (lambda t: t.price + t.rate, lambda r: r["price"] + r["rate"]),
    "price * D": (lambda t: t.price * D("1.19"), lambda r: r["price"] * D("1.19")),
    "small D": (lambda t: t.price + D("1e-12"), lambda r: r["price"] + D("1e-12")),
    "chain": (
        lambda t: (t.price * t.price + t.price) * t.qty,
        lambda r: (r["price"] * r["price"] + r["price"]) * r["qty"],
    ),
    "price * 1.19": (lambda t: t.price * 1.19, lambda r: float(r["price"]) * 1.19),
    "price + 0.001": (lambda t: t.price + 0.001, lambda r: float(r["price"]) + 0.001),
    "1.5 * price": (lambda t: 1.5 * t.price, lambda r: 1.5 * float(r["price"])),
    "price / qty": (lambda t: t.price / t.qty, lambda r: float(r["price"]) / r["qty"]),
    "sqrt": (lambda t: t.price.sqrt(), lambda r: math.sqrt(float(r["price"]))),
    "price ** 2": (lambda t: t.price**2, lambda r: float(r["price"]) ** 2),
    "round": (lambda t: (t.price * 1.19).round(2), lambda r: round(float(r["price"]) * 1.19, 2)),
    "filled": (lambda t: t.price.nullif(D("0.05")).fill_null(0.5), None),
    "compared": (lambda t: t.price > t.rate, lambda r: r["price"] > r["rate"]),
    "equal": (lambda t: t.price == 19.99, lambda r: float(r["price"]) == 19.99),
    "either": (
        lambda t: ibis.ifelse(t.qty > 5, t.price, 0.125),
        lambda r: float(r["price"]) if r["qty"] > 5 else 0.125,
    ),
}


@pytest.mark.parametrize("name", DECIMALS)
def test_decimal_arithmetic_is_exact(prices, name):
    compute, expected = DECIMALS[name]
    query = prices.mutate(x=compute(prices))
    rows = query.collect()
    for row in rows:
        if expected is None:
            assert row["x"] in {D("19.99"), D("0.50")}
        elif isinstance(row["x"], float):
            assert row["x"] == pytest.approx(expected(row), rel=1e-15)
        else:
            assert row["x"] == expected(row)
            assert type(row["x"]) is type(expected(row))
    assert rows.schema == query.schema()
    assert query.to_pyarrow()["x"].to_pylist() == rows["x"]
    assert query.to_pandas()["x"].tolist() == rows["x"]


@pytest.mark.parametrize("stored", [False, True])
def test_computed_decimal_columns_are_readable(prices, stored):
    prices.add_computed_column(
        gross=prices.price * 1.19, area=prices.price * prices.price, stored=stored
    )
    prices.insert(name="box", price=D("99999999.99"), rate=D("1"), qty=1)
    box = prices.where(prices.name == "box").collect()[0]
    assert box["area"] == D("99999999.99") ** 2
    assert box["gross"] == pytest.approx(99999999.99 * 1.19, rel=1e-15)
    with pytest.raises(DataError, match="would lose data"):
        prices.update({"price": prices.price * 1.1}, where=prices.name == "pen")
    raised = (prices.price * 1.1).round(2)
    assert prices.update({"price": raised}, where=prices.name == "pen").rows == 1
    assert prices.where(prices.name == "pen").collect()[0, "price"] == D("21.99")


def test_decimal_aggregates(prices):
    row = prices.agg(
        total=(prices.price * prices.qty).sum(),
        mean=prices.price.mean(),
        median=prices.price.median(),
        highest=prices.price.max(),
        gross=(prices.price * 1.19).sum(),
    ).collect()[0]
    assert row["total"] == D("60.47")
    assert row["mean"] == pytest.approx(10.02)
    assert row["median"] == pytest.approx(10.02)
    assert row["highest"] == D("19.99")
    assert row["gross"] == pytest.approx(20.04 * 1.19)
    grouped = prices.group_by("name").agg(m=prices.price.mean()).order_by("name")
    assert grouped.collect()["m"] == [0.05, 19.99]
    windowed = prices.mutate(m=prices.price.mean().over(ibis.window()))
    assert windowed.collect()["m"] == [pytest.approx(10.02)] * 2


def test_epoch_seconds_are_int64(session):
    t = bb.create_table("t", {"ts": bb.Timestamp})
    t.insert([{"ts": "2024-05-01T12:00:00.500000"}, {"ts": "2050-01-01T00:00:00"},
              {"ts": "1969-12-31T23:59:59.500000"}])  # fmt: skip
    t.add_computed_column(s=t.ts.epoch_seconds())
    assert t.order_by("ts").collect()["s"] == [-1, 1714564800, 2524608000]
    assert str(t.schema()["s"]) == "int64"


# Types


def test_numpy_arrays_keep_precision(session):
    t = bb.create_table("t", [{"v": np.array([0.1, 1e300])}, {"v": np.array([16777217.0, 2])}])
    assert str(t.schema()["v"]) == "array<float64, 2>"
    assert t.collect()["v"] == [[0.1, 1e300], [16777217.0, 2.0]]
    frame = pd.DataFrame({"v": [np.array([0.1]), None]})
    assert bb.create_table("u", frame).collect()["v"] == [[0.1], None]
    lengths = bb.create_table("w", [{"v": np.array([0.1])}, {"v": np.array([0.2, 1e300])}])
    assert lengths.collect()["v"] == [[0.1], [0.2, 1e300]]
    small = bb.create_table("s", [{"v": np.array([0.5], "float32")}])
    assert str(small.schema()["v"]) == "array<float32, 1>"


def test_float64_vectors_can_be_searched(session):
    t = bb.create_table("t", [{"v": np.array([1.0, 0.0])}, {"v": np.array([0.0, 1.0])}])
    t.add_embedding_index("v")
    t.insert(v=np.array([3.0, 3.0]))
    best = t.order_by(t.v.similarity([1.0, 0.2]), asc=False).limit(2).collect()
    assert best["v"] == [[1.0, 0.0], [3.0, 3.0]]
    t.update({"v": [9.0, 0.1]}, where=t.v == [3.0, 3.0])
    assert t.select(e=t.v.embedding()).order_by("e").collect()[-1, "e"] == [
        9.0,
        pytest.approx(0.1),
    ]


@pytest.mark.parametrize(
    "rows",
    [
        pd.DataFrame({"x": np.array([1.5, np.nan], "float16")}),
        pa.table({"x": pa.array([np.float16(1.5), None], pa.float16())}),
    ],
    ids=["pandas", "arrow"],
)
def test_float16_is_stored_as_float32(session, rows):
    t = bb.create_table("t", rows)
    assert str(t.schema()["x"]) == "float32"
    assert t.collect()["x"] == [1.5, None]
    t.insert(x=np.float16(0.25))
    t.insert(rows)
    assert t.count().to_pyarrow().as_py() == 5


def test_nested_float16_is_stored_as_float32(session):
    kinds = {"l": "array<float16>", "s": "struct<a: float16>", "v": bb.Array("float16", 2)}
    t = bb.create_table("t", kinds)
    t.insert(l=[1.5], s={"a": 0.5}, v=[0.25, 0.75])
    assert t.collect()[0] == {"l": [1.5], "s": {"a": 0.5}, "v": [0.25, 0.75]}
    t.add_computed_column(h=t.s.a.cast("float16"))
    assert str(t.schema()["h"]) == "float32"
    assert t.collect()[0, "h"] == 0.5


def test_decimal_without_precision_is_decimal_38_9(session):
    t = bb.create_table("t", {"x": "decimal", "y": decimal.Decimal})
    t.insert(x=D("12345678901234567890.123456789"), y=D("0.000000001"))
    assert str(t.schema()["x"]) == str(t.schema()["y"]) == "decimal(38, 9)"
    row = t.collect()[0]
    assert row == {"x": D("12345678901234567890.123456789"), "y": D("0.000000001")}
    assert t.select(z=t.y.cast("decimal")).collect()[0, "z"] == D("0.000000001")


@pytest.mark.parametrize(
    "columns",
    [
        {"x": "decimal(60, 2)"},
        {"x": "array<decimal(60, 2)>"},
        pa.table({"x": pa.array([D(1)], pa.decimal256(60, 2))}),
    ],
    ids=["name", "array", "arrow"],
)
def test_decimals_of_more_than_38_digits_are_refused(session, columns):
    with pytest.raises(SchemaError, match="column 'x': a decimal has up to 38 digits"):
        bb.create_table("t", columns)
    assert bb.list_tables() == []


# Long expressions


def _total(table, names):
    return sum((table[name] for name in names), ibis.literal(0))


def test_a_sum_of_600_columns(session):
    names = [f"c{n}" for n in range(600)]
    t = bb.create_table("t", dict.fromkeys(names, bb.Int))
    t.insert(dict(zip(names, range(600), strict=True)))
    assert t.select(x=_total(t, names)).collect()["x"] == [sum(range(600))]
    assert t.where(_total(t, names) > 0).select("c1").collect()["c1"] == [1]


def test_sum_of_300_columns_works_in_computed_columns_and_views(session):
    names, expected = [f"c{n}" for n in range(300)], sum(range(300))
    t = bb.create_table("t", dict.fromkeys(names, bb.Int))
    t.insert(dict(zip(names, range(300), strict=True)))
    t.add_computed_column(x=_total(t, names))
    t.add_computed_column(y=_total(t, names), stored=True)
    t.rename_column("c5", "five")
    names[5] = "five"
    t.insert(dict.fromkeys(names, 1))
    assert sorted(t.collect()["x"]) == sorted(t.collect()["y"]) == [300, expected]
    view = bb.create_view("v", t.where(t.x > 300).select(s=_total(t, names)))
    assert view.collect()["s"] == [expected]
    assert t.update({"c0": t.x}, where=t.c1 == 1).rows == 2
    assert sorted(t.collect()["y"]) == [300 + 299, expected + expected]


def test_a_condition_of_600_terms(session):
    t = bb.create_table("t", [{"n": n} for n in (1, 599, 600)])
    either = functools.reduce(operator.or_, [t.n == n for n in range(600)])
    assert t.where(either).count().to_pyarrow().as_py() == 2
    t.add_computed_column(small=either)
    assert sorted(t.collect()["small"]) == [False, True, True]
    assert t.delete(where=either).rows == 2


def test_operators_keep_the_order_of_their_operands(session):
    t = bb.create_table("t", {"a": bb.Int, "b": bb.Int, "d": "decimal(5, 2)", "e": "decimal(9, 4)"})
    t.insert(a=7, b=2, d=D("1.50"), e=D("0.2500"))
    q = t.select(
        m=ibis.literal(10) - t.a,
        d=ibis.literal(7) // t.b,
        r=ibis.literal(7) % t.b,
        p=ibis.literal(2) ** t.b,
        x=(t.d * 1) - t.e,
        y=ibis.literal(10) - t.a - t.b,
    )
    assert q.collect()[0] == {"m": 3, "d": 3, "r": 1, "p": 4.0, "x": D("1.25"), "y": 1}


def test_true_division_by_zero_follows_ieee(session):
    t = bb.create_table("t", {"n": bb.Int, "x": bb.Float, "z": bb.Int})
    t.insert([{"n": 1, "x": 2.5}, {"n": -1, "x": -2.5}, {"n": 0, "x": 0.0}, {}])
    t.update({"z": 0})
    created = {"a": t.n / t.z, "b": t.x / t.z, "c": t.n / 0, "d": 1 / t.n}
    rows = t.order_by(t.n).select(**created).collect()
    infinite = [-math.inf, math.nan, math.inf, None]
    for name in ("a", "b", "c"):
        assert str(rows[name]) == str(infinite), name
    assert rows["d"] == [-1.0, math.inf, 1.0, None]
    t.add_computed_column(share=t.n / t.z, stored=True)
    assert t.where(t.share < 0).collect()["n"] == [-1]


HALVES = {
    "constant": ibis.literal(1.5, "float16"),
    "array of numpy": np.array([1.5], "float16"),
    "number of numpy": np.float16(1.5),
    "array": ibis.literal([1.5], "array<float16>"),
    "cast": ibis._.a.cast("array<float16>"),
    "struct": ibis.struct({"half": ibis.literal(1.5, "float16")}),
}


@pytest.mark.parametrize("name", HALVES)
def test_float16_expressions_become_float32(session, name):
    t = bb.create_table("t", {"a": "array<float64>"})
    t.insert(a=[1.5])
    t.add_computed_column(half=HALVES[name])
    assert "float32" in str(t.half.type())
    positive = bb.udf(lambda a: a[0] > 0, name="positive", return_type=bool)
    remaining = {"struct": {"half": 1.5}, "constant": 1.5, "number of numpy": 1.5}.get(name, [1.5])
    assert t.where(positive(t.a)).collect()["half"] == [remaining]


def test_numpy_matrices_are_constants(session):
    t = bb.create_table("t", {"n": bb.Int})
    t.insert(n=1)
    matrix, truths = np.array([[1, 2], [3, 4]]), np.array([True, False])
    t.add_computed_column(matrix=matrix, words=np.array([["a", "b"]]))
    row = t.select("matrix", "words", other=matrix * 0.5, truths=truths).collect()[0]
    assert row == {
        "matrix": [[1, 2], [3, 4]],
        "words": [["a", "b"]],
        "other": [[0.5, 1.0], [1.5, 2.0]],
        "truths": [True, False],
    }


def test_try_cast_of_out_of_range_number_is_null(session):
    t = bb.create_table("t", {"n": bb.Int, "x": bb.Float})
    t.insert(
        [{"n": 300, "x": 1e30}, {"n": -7, "x": -7.4}, {"x": math.nan}, {"n": 1, "x": math.inf}]
    )
    created = {
        "int8": t.n.try_cast("int8"),
        "uint8": t.n.try_cast("uint8"),
        "x": t.x.try_cast("int64"),
    }
    rows = {tuple(row.values()) for row in t.select(**created).collect()}
    assert rows == {(None, None, None), (-7, None, -7), (1, 1, None)}


def test_correlation_is_equal_for_sample_and_population(session):
    t = bb.create_table("t", [{"a": 1, "b": 2.0}, {"a": 2, "b": 3.5}, {"a": 4, "b": 9.0}])
    rows = t.agg(x=t.a.corr(t.b), y=t.a.corr(t.b, how="pop")).collect()[0]
    assert rows["x"] == rows["y"] == pytest.approx(np.corrcoef([1, 2, 4], [2, 3.5, 9])[0, 1])


@pytest.mark.parametrize("use", [lambda x: x.ceil(), lambda x: x // 3, round])
def test_float_beyond_int64_raises_in_rounding(session, use):
    t = bb.create_table("t", {"x": bb.Float})
    t.insert([{"x": 1.5}, {"x": 1e57}])
    with pytest.raises(DataError, match=r"return 64-bit integers.*ifelse\(t.x.ceil\(\), t.x\)"):
        t.select(y=use(t.x)).collect()
    remaining = (t.x.abs() < 2**53).ifelse(t.x.ceil(), t.x)
    t.insert([{"x": math.inf}])
    assert t.order_by("x").select(y=remaining).collect()["y"] == [2.0, 1e57, math.inf]
