"""Callables and types in place of expressions: in computed columns, updates, conditions."""

from __future__ import annotations

import functools
import math

import pytest

import barbule as bb
from barbule.errors import ExpressionError


@pytest.fixture
def table(session):
    return session.create_table("t", [{"n": 1, "x": 4.0}, {"n": 2, "x": 9.0}])


def _add(table, expression):
    table.add_computed_column(y=expression)


def _view(table, expression):
    bb.create_view("v", table, computed_columns={"y": expression})


def _update(table, expression):
    table.update({"y" if "y" in table.columns else "x": expression})


VERBS = [_add, _view, _update]


def _of_two(first, second):
    return first.x + second


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    ("expression", "raised"),
    [
        (lambda t: math.sqrt(t.n), "TypeError"),
        (lambda a, b: a + b, "TypeError: .*missing 1 required positional argument: 'b'"),
        (lambda: 1, "TypeError: .*takes 0 positional arguments"),
        (math.sqrt, "TypeError: must be real number"),
        (lambda t: [][t.n], "TypeError"),
        (lambda t: {}[str(t.n)], "KeyError"),
    ],
)
def test_failing_callable_error_names_column(session, table, verb, expression, raised):
    column = "x" if verb is _update else "y"
    expected = rf"table 't', column '{column}': the function .* failed: {raised}.*lambda t: t\.a"
    with pytest.raises(ExpressionError, match=expected) as caught:
        verb(table, expression)
    assert caught.value.__cause__ is not None
    assert session.list_tables() == ["t"]
    assert table.order_by("n").collect() == [{"n": 1, "x": 4.0}, {"n": 2, "x": 9.0}]


@pytest.mark.parametrize("verb", [_add, _view])
@pytest.mark.parametrize("expression", [bb.Int, bb.Int(), int, bb.Vector(3), bb.Image])
def test_type_as_expression_is_refused(session, table, verb, expression):
    with pytest.raises(ExpressionError, match=r"column 'y': this is a type.*add_columns"):
        verb(table, expression)
    assert (session.list_tables(), table.columns) == (["t"], ("n", "x"))


@pytest.mark.parametrize("verb", ["update", "delete"])
def test_failing_condition_callable_raises(table, verb):
    source = ({"x": 1.0},) if verb == "update" else ()
    with pytest.raises(ExpressionError, match=r"table 't': the function .* failed: TypeError"):
        getattr(table, verb)(*source, where=lambda t: math.isnan(t.x))
    assert table.count().execute() == 2


def test_callables_of_table_become_expressions(table):
    table.add_computed_column(y=lambda t: t.x + t.n, z=functools.partial(_of_two, second=1))
    table.update({"x": lambda t: t.x * 2}, where=lambda t: t.n == 1)
    assert table.order_by("n").collect()["y"] == [9.0, 11.0]
    assert table.order_by("n").collect()["z"] == [9.0, 10.0]
    assert table.delete(where=lambda t: t.y > 10).rows == 1


def test_computed_columns_of_view_must_be_a_mapping(session, table):
    with pytest.raises(ExpressionError, match="'v': computed_columns must map names to"):
        bb.create_view("v", table, computed_columns=[table.n * 2])
    assert session.list_tables() == ["t"]
