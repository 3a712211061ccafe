"""Statements of shapes: those of queries that differ in constants and names of tables."""

from __future__ import annotations

import datetime
import decimal
import math
from typing import Any, NamedTuple

import ibis
import ibis.expr.operations as ops
import pytest
from ibis import _

from barbule.backends.duckdb import reader
from barbule.backends.duckdb.sql.shapes import StatementShapes

COLUMNS = {
    "a": "int64",
    "b": "int8",
    "s": "string",
    "f": "float64",
    "d": "decimal(10, 2)",
    "day": "date",
    "ts": "timestamp",
    "items": "array<string>",
    "flag": "boolean",
}


def stored(name="bb_rows_1"):
    source = reader._STORED_TABLES
    return ops.DatabaseTable(name=name, schema=ibis.schema(COLUMNS), source=source).to_expr()


@pytest.fixture
def compiled():
    """The queries that were compiled."""
    return []


@pytest.fixture
def shapes(compiled):
    def compile_query(root):
        compiled.append(root)
        return reader._compile_for_any_database(root)

    return StatementShapes(compile_query)


class Parts(NamedTuple):
    """What two queries of a shape may differ in: two tables, an integer and a string."""

    t: Any
    u: Any
    n: int
    s: str


QUERIES = {
    "key": lambda q: q.t.filter(q.t.a == q.n),
    "name": lambda q: q.t.filter(q.t.s == q.s).select("a"),
    "both sides": lambda q: q.t.filter(ibis.literal(q.n, "int64") < q.t.a, q.t.s != q.s),
    "small column": lambda q: q.t.filter(q.t.b >= q.n),
    "nested": lambda q: q.t.filter((q.t.a > q.n) | ~((q.t.s <= q.s) & (q.t.f > 0.5))),
    "computed": lambda q: q.t.mutate(is_it=q.t.a == q.n, other=q.t.s == q.s).order_by("a"),
    "condition": lambda q: q.t.select(x=(q.t.a > q.n).ifelse(q.t.s, q.s)),
    "aggregate": lambda q: q.t.filter(q.t.a > q.n).group_by("s").agg(c=_.count(where=_.s == q.s)),
    "join": lambda q: q.t.join(q.u, "a").filter(_.s == q.s, _.a < q.n).select("a", "s_right"),
    "self join": lambda q: q.t.join(q.t.view(), "a").filter(_.a == q.n).select("a"),
    "union": lambda q: q.t.filter(q.t.a == q.n).union(q.u.filter(q.u.a == q.n)),
    "union of equal parts": lambda q: q.t.filter(q.t.a == q.n).union(q.t.filter(q.t.a == q.n)),
    "subquery": lambda q: q.t.filter(q.t.a.isin(q.u.filter(q.u.s == q.s).a)),
    "scalar subquery": lambda q: q.t.filter(q.t.a > q.u.filter(q.u.a != q.n).a.max()),
    "window": lambda q: q.t.mutate(r=ibis.row_number().over(group_by=q.t.s, order_by="a")).filter(
        _.r < q.n
    ),
    "limit": lambda q: q.t.filter(q.t.s > q.s).limit(3, offset=1),
    "equal constants": lambda q: q.t.filter(
        (q.t.a > q.n) & (q.t.b < q.n), (q.t.s == q.s) | (q.s == q.t.s)
    ),
    "constant of a format": lambda q: (
        q.t.filter(q.t.s == "%Y").mutate(y=q.t.ts.strftime("%Y")).filter(_.s != q.s)
    ),
    "constant elsewhere": lambda q: q.t.filter(q.t.a == q.n).mutate(
        n=ibis.literal(q.n), s=ibis.literal(q.s)
    ),
    "other types": lambda q: q.t.filter(
        q.t.d > decimal.Decimal("1.50"),
        q.t.day == datetime.date(2020, 1, 2),
        q.t.ts < ibis.timestamp("2020-01-02T03:00:00"),
        q.t.flag == True,  # noqa: E712 - the comparison is tested
        q.t.f != math.inf,
        q.t.a == q.n,
    ),
    "structs": lambda q: q.t.mutate(
        r=ibis.struct({"x": q.t.a, "y": q.t.s}), c=ibis.literal({"x": 1, "y": "z"})
    ).filter(_.r.x == q.n, _.r.y != q.s, _.c.x < q.n),
    "times and strings": lambda q: q.t.filter(
        q.t.ts > "2020-01-01", q.t.ts.date() == "2020-01-02", q.t.day <= "2021-01-01", q.t.a == q.n
    ),
    "integers and other numbers": lambda q: q.t.filter(q.t.f > q.n, q.t.d < q.n, q.t.a / 2 != q.n),
    "null": lambda q: q.t.filter(q.t.s == ibis.null("string"), q.t.a == q.n),
    "items": lambda q: q.t.filter(q.t.items[0] == q.s, q.t.items.contains("x")),
    "patterns": lambda q: q.t.filter(q.t.s.like("a%"), q.t.s.re_search("^b"), q.t.s == q.s),
}
# Queries of these have shapes of their own: a constant is no operand, a table has a new alias.
OWN_SHAPES = {"constant elsewhere", "condition", "self join"}
NUMBERS = (5, 0, -5, 127, -128, 300, 2**31, 2**63 - 1, -(2**63) + 1)
STRINGS = ("x", "", "it's", '"', "a\\b", "line\nline", "%Y", "é😀", "$1 ? :x", "' OR 1=1 --")


def statement(query):
    return reader._compile_for_any_database(query.op())


@pytest.mark.parametrize("name", QUERIES)
def test_statement_is_that_of_the_query(shapes, compiled, name):
    tables = [(stored("bb_rows_1"), stored("bb_rows_2")), (stored('odd"name'), stored("it's"))]
    for (one, two), (n, s) in zip(
        tables * len(NUMBERS), zip(NUMBERS * 2, STRINGS * 2, strict=False), strict=False
    ):
        query = QUERIES[name](Parts(one, two, n, s))
        shown, schema, long_join = shapes.compile(query.op())
        assert (shown, schema, long_join) == statement(query)


@pytest.mark.parametrize("name", sorted(QUERIES.keys() - OWN_SHAPES))
def test_query_of_a_known_shape_is_not_compiled(shapes, compiled, name):
    make = QUERIES[name]
    shapes.compile(make(Parts(stored("bb_rows_1"), stored("bb_rows_2"), 1000, "one")).op())
    first = len(compiled)
    for number in range(3):
        parts = Parts(stored("bb_rows_7"), stored("bb_rows_8"), 2000 + number, f"two {number}")
        query = make(parts)
        shapes.compile(query.op())
    assert len(compiled) == first


def test_different_queries_have_different_shapes(shapes, compiled):
    t = stored()
    queries = [
        t.filter(t.a == 1000),
        t.filter(t.a != 1000),
        t.filter(t.a == t.b),
        t.filter(t.s == "1000"),
        t.filter(t.f == 0.5),
        t.filter(t.f == 0.25),
        t.filter(t.f == -0.0),
        t.filter(t.f == 0.0),
        t.filter(t.a == 1000).limit(1),
        t.filter(t.a == 1000).limit(2),
        t.filter((t.a == 1000) & (t.b == 1000)),
        t.filter((t.a == 1000) & (t.b == 1001)),
        t.filter(t.d == decimal.Decimal("1.5")),
        t.filter(t.a == 1000).select("a"),
        t.filter(t.a == 1000).select("b"),
    ]
    for query in queries:
        assert shapes.compile(query.op()) == statement(query)
    assert len(compiled) == len(queries)


def test_shapes_are_bounded(shapes):
    t = stored()
    for number in range(600):
        shapes.compile(t.limit(number).op())
    assert len(shapes._templates) == 512


def test_deep_queries_are_compiled(shapes):
    t = stored()
    condition = t.a == 0
    for number in range(1, 200):
        condition |= t.a == number * 1000
    query = t.filter(condition)
    assert shapes.compile(query.op()) == statement(query)
    wide = t.mutate(**{f"c{number}": t.a == number * 1000 for number in range(1200)})
    assert shapes.compile(wide.op()) == statement(wide)
