"""What cannot be stored or shown is refused when it is built; nothing makes a table unreadable."""

from __future__ import annotations

import ibis
import pytest

import barbule as bb
from barbule.errors import ExpressionError


@pytest.mark.parametrize("stored", [None, True])
def test_a_computed_column_has_a_type(session, stored):
    t = bb.create_table("t", [{"x": 1}])
    for nothing in (ibis.null(), ibis.array([ibis.null()]), ibis.struct({"a": ibis.null()})):
        with pytest.raises(ExpressionError, match="table 't', column 'c': a column holds no null"):
            t.add_computed_column(c=nothing, stored=stored)
    assert t.collect() == [{"x": 1}]
    t.add_computed_column(c=ibis.null("int64"), stored=stored)
    t.insert(x=2)
    assert t.order_by("x").collect() == [{"x": 1, "c": None}, {"x": 2, "c": None}]


def test_a_column_of_a_view_has_a_type(session):
    t = bb.create_table("t", [{"x": 1}])
    for query in (t.mutate(c=ibis.null()), t.group_by("x").agg(c=ibis.null())):
        with pytest.raises(ExpressionError, match="table 'v', column 'c': a column holds no null"):
            bb.create_view("v", query)
    with pytest.raises(ExpressionError, match="column 'c': a column holds no null"):
        bb.create_view("v", t, computed_columns={"c": ibis.null()})
    assert bb.list_tables() == ["t"]


def test_nothing_is_selected(session):
    t = bb.create_table("t", [{"x": 1}, {"x": 2}])
    query = t.select("x", a=None, b=ibis.null()).order_by("x")
    assert query.collect() == [{"x": 1, "a": None, "b": None}, {"x": 2, "a": None, "b": None}]
    assert query.to_pyarrow()["a"].to_pylist() == [None, None]
    assert query.to_pandas()["b"].tolist() == [None, None]
