"""Row counts within queries: which rows are counted."""

from __future__ import annotations

import ibis
import pytest
from ibis import _

import barbule as bb
from barbule.errors import ExpressionError

LETTERS = "aabbc"


@pytest.fixture
def t(session):
    rows = [{"name": name, "n": n} for n, name in enumerate(LETTERS)]
    return session.create_table("t", rows)


def rows(query):
    return list(query.collect())


FEWER = {
    "filter": (lambda t: t.filter(t.n > 0), 4),
    "filters": (lambda t: t.filter(t.n > 0).filter(t.n < 4), 3),
    "columns": (lambda t: t.filter(t.n > 0).select("n"), 4),
    "computed": (lambda t: t.mutate(m=t.n + 1).filter(_.m > 2), 3),
    "sorted": (lambda t: t.order_by(t.n.desc()).limit(2), 2),
    "distinct": (lambda t: t.select("name").distinct(), 3),
    "dropped": (lambda t: t.drop("name").filter(t.n > 3), 1),
    "none": (lambda t: t.filter(t.n > 99), 0),
    "all": (lambda t: t.filter(True), 5),
}


@pytest.mark.parametrize("name", FEWER)
def test_table_count_in_query_counts_rows_of_query(t, name):
    make, count = FEWER[name]
    query = make(t)
    assert rows(query.agg(n=t.count())) == [{"n": count}]
    assert rows(query.agg([t.count().name("k")])) == [{"k": count}]
    assert rows(query.agg({"k": t.count() + 1})) == [{"k": count + 1}]
    assert rows(query.agg(n=query.count())) == [{"n": count}]


def test_table_count_with_condition_and_nunique(t):
    query = t.filter(t.n > 0)
    assert rows(query.agg(n=t.count(where=t.n > 2))) == [{"n": 2}]
    assert rows(query.distinct().agg(n=t.count(where=t.n > 2))) == [{"n": 2}]
    assert rows(query.rename(k="n").agg(n=t.count(where=t.n > 2))) == [{"n": 2}]
    assert rows(query.agg(n=t.nunique())) == [{"n": 4}]
    assert rows(query.agg(mean=t.n.sum() / t.count())) == [{"mean": 2.5}]


def test_table_count_in_groups(t):
    query = t.filter(t.n > 0)
    expected = [{"name": "a", "k": 1}, {"name": "b", "k": 2}, {"name": "c", "k": 1}]
    assert rows(query.group_by("name").agg(k=t.count()).order_by("name")) == expected
    assert rows(query.agg(k=t.count(), by=t.name).order_by("name")) == expected
    several = query.group_by("name").having(t.count() > 1).agg(k=t.count())
    assert rows(several) == [{"name": "b", "k": 2}]
    assert rows(query.agg(k=_.count(), by="name", having=t.count() > 1)) == [{"name": "b", "k": 2}]
    counts = query.group_by("name").mutate(k=t.count()).order_by("n").collect()["k"]
    assert counts == [1, 2, 2, 1]


def test_mixed_counts_are_refused_and_as_scalar_counts_all_rows(t):
    query = t.filter(t.n > 0)
    for share in (query.count() / t.count(), _.count() / t.count()):
        with pytest.raises(ExpressionError, match="counts the rows of another query") as caught:
            query.agg(share=share)
        assert "t.count().as_scalar()" in caught.value.hint
    assert rows(query.agg(share=_.count() / t.count().as_scalar())) == [{"share": 0.8}]
    common = query.group_by("name").having(_.count() > 0.3 * t.count()).agg(k=_.count())
    assert rows(common) == [{"name": "b", "k": 2}]


def test_count_of_differently_shaped_query_is_refused(session, t):
    view = session.create_view("v", t.filter(t.n > 1))
    created = {
        "join": t.join(view, "n"),
        "unnest": t.mutate(x=ibis.array([t.n, t.n]).unnest()),
        "view": view,
    }
    for query in created.values():
        with pytest.raises(ExpressionError, match="counts the rows of another query") as caught:
            query.agg(k=t.count())
        assert "ibis._.count()" in caught.value.hint
        assert rows(query.agg(k=ibis._.count()))
    with pytest.raises(ExpressionError, match="counts the rows of another query"):
        t.filter(t.n > 0).agg(k=t.filter(t.n > 1).count())


def test_view_over_table_count_follows(session, t):
    query = t.filter(t.n > 0)
    view = session.create_view("v", query.agg(k=t.count(), by="name"))
    t.insert([{"name": "c", "n": 9}])
    assert view.order_by("name").collect()["k"] == [1, 2, 2]


def test_plain_column_in_aggregate_is_refused_by_name(t):
    calls = (
        lambda: t.agg(x=t.n),
        lambda: t.agg(x=t.n.max(), n=t.n + 1),
        lambda: t.group_by("name").agg(t.n),
    )
    for ask in calls:
        with pytest.raises(ExpressionError, match="has one value for each row") as caught:
            ask()
        assert "object at" not in str(caught.value)
        assert caught.value.table == "t"


def test_hints_suggest_deferred_count(t):
    for ask in (lambda: t.groupby("name"), lambda: t.group_by("name").collect):
        with pytest.raises(bb.errors.BarbuleError) as caught:
            ask()
        assert "ibis._.count()" in caught.value.hint
    query = t.filter(t.n > 0).group_by(t.name).agg(n=ibis._.count())
    assert sum(query.collect()["n"]) == len(LETTERS) - 1
