"""Expressions that cannot be stored or computed are refused at creation."""

from __future__ import annotations

import ibis
import pytest

import barbule as bb
from barbule.errors import DataError, ExpressionError


@pytest.mark.parametrize("stored", [None, True])
def test_computed_column_of_null_type_is_refused(session, stored):
    t = bb.create_table("t", [{"x": 1}])
    for nothing in (ibis.null(), ibis.array([ibis.null()]), ibis.struct({"a": ibis.null()})):
        with pytest.raises(
            ExpressionError, match="table 't', column 'c': the type null is not supported"
        ):
            t.add_computed_column(c=nothing, stored=stored)
    assert t.collect() == [{"x": 1}]
    t.add_computed_column(c=ibis.null("int64"), stored=stored)
    t.insert(x=2)
    assert t.order_by("x").collect() == [{"x": 1, "c": None}, {"x": 2, "c": None}]


def test_view_column_of_null_type_is_refused(session):
    t = bb.create_table("t", [{"x": 1}])
    for query in (t.mutate(c=ibis.null()), t.group_by("x").agg(c=ibis.null())):
        with pytest.raises(
            ExpressionError, match="table 'v', column 'c': the type null is not supported"
        ):
            bb.create_view("v", query)
    with pytest.raises(ExpressionError, match="column 'c': the type null is not supported"):
        bb.create_view("v", t, computed_columns={"c": ibis.null()})
    assert bb.list_tables() == ["t"]


def test_untyped_nulls_can_be_selected(session):
    t = bb.create_table("t", [{"x": 1}, {"x": 2}])
    query = t.select("x", a=None, b=ibis.null()).order_by("x")
    assert query.collect() == [{"x": 1, "a": None, "b": None}, {"x": 2, "a": None, "b": None}]
    assert query.to_pyarrow()["a"].to_pylist() == [None, None]
    assert query.to_pandas()["b"].tolist() == [None, None]


FAILING = {
    "overflow": lambda t: t.n * 4,
    "string that is no number": lambda t: t.s.cast("int64"),
    "condition": lambda t: t.n * t.n > 0,
    "decimal without room": lambda t: (t.n * t.d).cast("decimal(5, 2)"),
}


@pytest.fixture
def numbers(session):
    """Return rows, one of them with a value too large for arithmetic."""
    t = bb.create_table("t", {"n": bb.Int, "s": bb.String, "d": "decimal(10, 2)"})
    t.insert([{"n": 1, "s": "1", "d": 1}, {"n": 2**62, "s": "one", "d": 1}])
    return t


@pytest.mark.parametrize("name", FAILING)
@pytest.mark.parametrize("stored", [None, False, True])
def test_uncomputable_expression_adds_no_column(numbers, name, stored):
    with pytest.raises(DataError, match="table 't', column 'c'"):
        numbers.add_computed_column(c=FAILING[name](numbers), stored=stored)
    assert numbers.columns == ("n", "s", "d")
    assert len(numbers.collect()) == 2
    few = numbers.where(numbers.n < 5)
    assert few.select(c=FAILING[name](few)).collect()[0, "c"] is not None


@pytest.mark.parametrize("name", FAILING)
def test_uncomputable_expression_creates_no_view(numbers, name):
    with pytest.raises(DataError, match="table 'v', column 'c'"):
        bb.create_view("v", numbers.mutate(c=FAILING[name](numbers)))
    assert bb.list_tables() == ["t"]
    few = numbers.where(numbers.n < 5)
    assert len(bb.create_view("v", few.mutate(c=FAILING[name](few))).collect()) == 1


def test_a_guarded_column_is_computed(numbers):
    guarded = (numbers.n < 5).ifelse(numbers.n * 4, None)
    numbers.add_computed_column(c=guarded, d_=numbers.s.try_cast("int64"))
    assert sorted(numbers.collect()["c"], key=str) == [4, None]
