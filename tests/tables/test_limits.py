"""Limits of queries, and methods of queries that are called on results."""

from __future__ import annotations

import functools
import operator

import ibis
import numpy as np
import pandas as pd
import pytest

import barbule as bb
from barbule.errors import ExpressionError
from barbule.fast_paths import fast_paths_enabled


@pytest.fixture
def t(session):
    return session.create_table("t", [{"n": n, "name": "ab"[n % 2]} for n in range(6)])


def numbers(query):
    return query.collect()["n"]


def test_limit_takes_whole_numbers(t):
    ordered = t.order_by("n")
    assert numbers(ordered.limit(2, offset=1)) == [1, 2]
    assert numbers(ordered.limit(np.int64(2))) == numbers(ordered.head(np.int8(2))) == [0, 1]
    assert numbers(ordered.limit(None, offset=4)) == numbers(ordered[4:]) == [4, 5]
    assert numbers(ordered.limit(0)) == numbers(ordered.head(0)) == []
    assert numbers(ordered.limit(ibis.literal(2))) == [0, 1]
    assert numbers(ordered.limit(ordered.count() // 3)) == [0, 1]
    assert numbers(ordered[1:-2]) == [1, 2, 3]
    assert len(t.head().collect()) == 5
    assert len(t.join(t.view(), "n").limit(2).collect()) == 2


def test_expressions_of_many_terms_are_computed(t):
    value = functools.reduce(operator.add, [t.n] * 200)
    condition = functools.reduce(operator.or_, [t.n == number for number in range(1, 400)])
    assert numbers(t.select(n=value).order_by("n")) == [200 * n for n in range(6)]
    assert numbers(t.filter(condition).order_by("n")) == [1, 2, 3, 4, 5]


@pytest.fixture
def nested(t):
    """Return a value with more nested operations than Python walks recursively."""
    value = t.n
    for _ in range(3000):
        value = value + 1
    return value


@pytest.mark.parametrize(
    "verb",
    [
        lambda t, value: t.select(n=value),
        lambda t, value: t.add_computed_column(deep=value),
    ],
)
def test_expression_that_is_nested_too_deeply_is_refused(t, nested, verb):
    with pytest.raises(ExpressionError, match="nested too deeply"):
        verb(t, nested)
    assert t.columns == ("n", "name")


def test_deep_condition_and_update_are_computed_or_refused(t, nested, backend_name):
    if backend_name == "duckdb":
        for verb in (lambda: t.filter(nested > 3003).collect(), lambda: t.update({"n": nested})):
            with pytest.raises(ExpressionError, match="nested too deeply"):
                verb()
        assert sorted(numbers(t)) == [0, 1, 2, 3, 4, 5]
    else:  # the limit of Postgres is the memory of its stack
        if fast_paths_enabled():  # Ibis binds a condition recursively, in Python
            assert sorted(numbers(t.filter(nested > 3003))) == [4, 5]
        t.update({"n": nested})
        assert sorted(numbers(t)) == [3000, 3001, 3002, 3003, 3004, 3005]


@pytest.mark.parametrize("wrong", ["3", -1, 1.5, True, np.float64(2), [1], float("nan")])
@pytest.mark.parametrize(
    "ask",
    [
        lambda q, n: q.limit(n),
        lambda q, n: q.limit(1, offset=n),
        lambda q, n: q.head(n),
        lambda q, n: q.show(n),
        lambda q, n: q.filter(q.n > 1).limit(n),
        lambda q, n: q.join(q.view(), "n").limit(n),
    ],
)
def test_invalid_row_counts_are_refused(t, ask, wrong):
    with pytest.raises(ExpressionError, match=r"a number of rows: .*zero or more\. \(value: .*int"):
        ask(t, wrong)


def test_column_as_limit_is_refused(t):
    with pytest.raises(
        ExpressionError, match=r"^table 't': limit\(\) .*'n' is int64, with a value"
    ):
        t.limit(t.n)
    with pytest.raises(ExpressionError, match=r"limit\(\) takes one number.*string"):
        t.limit(t.name.max())


def test_samples_take_a_fraction(t):
    assert len(t.sample(1.0).collect()) == len(t.sample(1).collect()) == 6
    assert numbers(t.sample(0)) == []
    for wrong in ("x", 1.5, -1, True, None, [0.5], t.n):
        with pytest.raises(ExpressionError, match=r"^table 't': sample\(\) .*between 0 and 1"):
            t.sample(wrong)
    with pytest.raises(ExpressionError, match=r"must be one of 'row', 'block'"):
        t.sample(0.5, method="rows")
    for wrong in ("x", 1.5, True):
        with pytest.raises(ExpressionError, match=r"must be an integer"):
            t.sample(0.5, seed=wrong)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda t: t[::2], r"takes integers and no step.*t\.limit\(10, offset=10\)"),
        (lambda t: t[:"a"], r"takes integers"),
        (lambda t: t[True:], r"takes integers"),
        (lambda t: t[0, "n"], r"no cells before it is executed.*t\.collect\(\)\[0"),
        (lambda t: t[1.5], r"by name or position.*value: 1\.5"),
        (lambda t: t[None], r"by name or position"),
        (lambda t: t.filter(t.n > 1)[False], r"by name or position"),
        (lambda t: t.offset(3), r"t\.limit\(None, offset=10\)"),
        (lambda t: t.tail(3), r"order_by\(t\.n\.desc\(\)\)"),
        (lambda t: t.iloc, r"t\[10:20\]"),
        (lambda t: t.group_by("n").collect(), r"grouped query has no .*'collect'.*\.agg\("),
        (lambda t: t.group_by("n").show(), r"grouped query has no .*'show'.*\.agg\("),
        (lambda t: t.n.show(), r'method of tables: t.select\("n"\)\.show\(\)'),
        (lambda t: (t.n + 1).head(), r"method of tables: t\.select\(x=\.\.\.\)\.head\(\)"),
        (lambda t: t.n.sum().collect(), r"single value.*t\.agg\(x=\.\.\.\)\.collect\(\)"),
        (lambda t: t.count().collect(), r"single value.*to_pyarrow\(\)\.as_py\(\)"),
        (lambda t: t.count().show(), r"no method 'show'.*single value"),
        (lambda t: t.collect().filter(t.n > 1), r"filter\(\) is a method of queries.*rows\[:10\]"),
        (lambda t: t.collect().show(), r"show\(\) is a method of queries"),
        (lambda t: t.insert(n=9).collect(), r"InsertResult has no.*'collect'.*t\.collect\(\)"),
        (lambda t: t.delete().rowz, r"DeleteResult has no.*'rowz'. Did you mean 'rows'"),
        (lambda t: t.diff(0, 0).collect(), r"Diff has no.*diff\.added\.collect\(\)"),
        (lambda t: t.checkpoint("x").collect(), r"Checkpoint has no attribute 'collect'"),
        (lambda t: t.definition("n").collect(), r"ColumnDefinition has no attribute 'collect'"),
        (lambda t: t.explain().collect(), r"Plan has no attribute 'collect'"),
    ],
)
def test_misplaced_methods_raise_with_alternative(t, ask, message):
    with pytest.raises(bb.errors.BarbuleError, match=message):
        ask(t)


def test_collect_of_result_returns_itself(t):
    rows = t.collect()
    assert rows.collect() is rows
    for result in (t.stale(), t.history(), t.columns_info):
        assert result.collect() is result
    assert t.errors().collect() == []
    assert t[0].equals(t.n)  # Ibis' columns by place
    assert t.select(all=t.n.collect()).limit(1).collect()[0, "all"] == [0, 1, 2, 3, 4, 5]
    assert "has not been executed" in repr(t.n.collect())
    assert not hasattr(t.insert(n=9), "__len__")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda t: t.collect(), r"ResultSet of barbule.*bb\.create_table\(name, data\)"),
        (lambda t: t.to_pandas(), r"DataFrame of pandas.*bb\.create_table\(name, data\)"),
        (lambda t: t.to_pyarrow(), r"Table of pyarrow.*bb\.create_table\(name, data\)"),
        (lambda _: [{"a": 1}], r"list of builtins.*bb\.create_table"),
        (lambda _: None, r"NoneType of builtins"),
        (lambda t: t.n, r"a column\. .*t\.select\(x=\.\.\.\)"),
        (lambda t: t.group_by("n"), r"a grouped query.*\.agg\("),
        (lambda t: t.get_name(), r"a name.*bb\.get_table\('t'\)"),
        (lambda t: lambda: t, r"Write the query itself"),
    ],
)
def test_view_of_non_query_is_refused(t, make, message):
    with pytest.raises(ExpressionError, match=rf"^table 'v': a view needs a query.*{message}"):
        bb.create_view("v", make(t))
    assert bb.list_tables() == ["t"]
    data = make(t)
    if isinstance(data, list | pd.DataFrame):
        table = bb.create_table("data", data)
        assert bb.create_view("v", table).count().to_pyarrow().as_py() == len(data)
