"""Database errors at an insert name the view whose rows could not be computed."""

from __future__ import annotations

import pytest

import barbule as bb
from barbule.errors import DataError


@pytest.fixture
def t(session):
    return session.create_table("t", {"g": bb.Int, "n": bb.Int, "s": bb.String})


def test_sum_overflow_names_view_and_column(t):
    bb.create_view("totals", t.group_by("g").agg(rows=t.count(), total=t.n.sum()))
    t.insert(g=1, n=2**62)
    with pytest.raises(DataError, match=r"a view over 't': nothing was changed") as caught:
        t.insert(g=1, n=2**62)
    assert (caught.value.table, caught.value.column) == ("totals", "total")
    assert t.count().to_pyarrow().as_py() == 1
    t.insert(g=2, n=1)
    assert bb.get_table("totals").order_by("g").collect()["total"] == [2**62, 1]


def test_failed_cast_in_aggregate_or_join_names_view_and_column(t):
    bb.create_view("largest", t.group_by("g").agg(most=t.s.cast("int64").max()))
    other = bb.create_table("other", [{"g": 1}])
    joined = t.join(other, "g").select("g", parsed=t.s.cast("int64"))
    bb.create_view("joined", joined)
    t.insert(g=1, s="1")
    with pytest.raises(DataError) as caught:
        t.insert(g=2, s="x")
    assert (caught.value.table, caught.value.column) == ("largest", "most")
    bb.drop_table("largest")
    with pytest.raises(DataError, match=r"a view over 't', 'other'") as caught:
        t.insert(g=1, s="x")
    assert (caught.value.table, caught.value.column) == ("joined", "parsed")
    assert t.collect()["s"] == ["1"]


def test_failed_cast_at_creation_names_view_and_column(t):
    t.insert(g=1, s="x")
    with pytest.raises(DataError) as caught:
        bb.create_view("v", t.group_by("g").agg(n=t.count(), most=t.s.cast("int64").max()))
    assert (caught.value.table, caught.value.column) == ("v", "most")
    assert bb.list_tables() == ["t"]


FILTERS = {
    "cast": lambda t: t.filter(t.s.cast("int64") > 0),
    "one of several": lambda t: t.filter(t.n > 0, t.s.cast("int64") > 0),
    "below another": lambda t: t.filter(t.s.cast("int64") > 0).filter(t.n > 0),
    "above another": lambda t: t.filter(t.n > 0).filter(t.s.cast("int64") > 0),
    "with columns": lambda t: t.filter(t.s.cast("int64") > 0).select("g", m=t.n + 1),
}


@pytest.mark.parametrize("name", FILTERS)
def test_failed_cast_in_filter_names_view_and_column(t, name):
    view = bb.create_view("v", FILTERS[name](t))
    t.insert(g=1, n=1, s="1")
    for ask in (lambda: t.insert(g=2, n=2, s="x"), lambda: t.update({"s": "x"})):
        with pytest.raises(DataError, match="a filter of the view: nothing was changed") as caught:
            ask()
        assert (caught.value.table, caught.value.column) == ("v", "s")
        assert "source column" not in str(caught.value)
    assert t.collect()["s"] == ["1"]
    t.insert(g=3, n=3, s="3")
    assert sorted(view.collect()["g"]) == [1, 3]


def test_error_of_filter_on_two_columns_names_no_column(t):
    bb.create_view("v", t.filter((t.s + t.n.cast("string")).cast("int64") > 0))
    with pytest.raises(DataError, match="a filter of the view") as caught:
        t.insert(g=2, n=2, s="x")
    assert (caught.value.table, caught.value.column) == ("v", None)


def test_failed_filter_at_creation_names_view_and_column(t):
    t.insert(g=1, n=1, s="x")
    with pytest.raises(DataError) as caught:
        bb.create_view("v", t.filter(t.s.cast("int64") > 0))
    assert (caught.value.table, caught.value.column) == ("v", "s")
    assert bb.list_tables() == ["t"]


def test_failed_filter_before_iterator_names_view_and_column(t):
    parts = bb.functions.StringSplitter.create(t.s, "sentence")
    bb.create_view("v", t.filter(t.s.cast("int64") > 0), iterator=parts)
    with pytest.raises(DataError, match="a filter of the view") as caught:
        t.insert(g=1, n=1, s="x")
    assert (caught.value.table, caught.value.column) == ("v", "s")
