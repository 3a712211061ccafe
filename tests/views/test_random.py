"""Random columns, filters and samples of views are evaluated once for each row."""

from __future__ import annotations

import ibis
import pytest
from ibis import _

import barbule as bb
from barbule.errors import UnsupportedError


@pytest.fixture
def table(session):
    return session.create_table("t", [{"a": n, "b": [1, 2]} for n in range(100)])


QUERIES = {
    "random": lambda t: t.mutate(r=ibis.random()),
    "uuid": lambda t: t.mutate(r=ibis.uuid()),
    "now": lambda t: t.mutate(r=ibis.now()),
    "today": lambda t: t.mutate(r=ibis.today()),
    "within expressions": lambda t: t.mutate(r=(ibis.random() * 10).floor() + t.a),
    "a filter": lambda t: t.filter(ibis.random() < 0.5).mutate(r=_.a),
    "a filter of a column": lambda t: t.mutate(r=ibis.random()).filter(_.r < 0.5),
    "a sample": lambda t: t.sample(0.5).mutate(r=_.a),
    "a sample of blocks": lambda t: t.sample(0.5, method="block").mutate(r=_.a),
    "a sample of a filter": lambda t: t.filter(t.a < 50).sample(0.5).mutate(r=_.a + 1),
    "beside an aggregate": lambda t: t.group_by("a").agg(b=_.count()).mutate(r=ibis.random()),
    "beside a join": lambda t: t.join(t.view(), "a").select("a", "b", r=ibis.uuid()),
    "within a join": lambda t: t.join(t.view().mutate(r=ibis.random()), "a").select("a", "b", "r"),
}


def _rows(table):
    return [(row["a"], row["r"]) for row in table.order_by("a").select("a", "r").collect()]


@pytest.mark.parametrize("name", QUERIES)
def test_random_values_of_view_are_stable_between_reads(session, table, name):
    view = session.create_view("v", QUERIES[name](table))
    first = _rows(view)
    assert _rows(view) == first == _rows(view.filter(view.a >= 0))
    assert view.count().execute() == len(first)
    version = view.checkpoint("before")
    table.insert(a=1000, b=[3])
    if name != "within a join":  # fully refreshed at each change of the table
        assert [row for row in _rows(view) if row[0] < 1000] == first
    assert _rows(view.at(version)) == first


def test_random_values_stay_when_other_columns_change(session, table):
    view = session.create_view("v", table.mutate(r=ibis.random()))
    sample = session.create_view("s", table.sample(0.5).mutate(r=_.a))
    before, sampled = _rows(view), _rows(sample)
    table.update({"b": [7]})
    assert (_rows(view), _rows(sample)) == (before, sampled)
    table.delete(where=table.a > 10)
    assert _rows(view) == before[:11]
    assert _rows(sample) == [row for row in sampled if row[0] <= 10]


def test_sample_view_grows_with_its_table(session, table):
    view = session.create_view("v", table.sample(0.5))
    before = view.count().execute()
    table.insert([{"a": n, "b": None} for n in range(1000)])
    assert 300 < view.count().execute() - before < 700


def test_filter_and_column_share_one_random_value(session, table):
    view = session.create_view("v", table.mutate(r=ibis.random()).filter(_.r < 0.5))
    assert 10 < view.count().execute() < 90
    assert view.r.max().execute() < 0.5


def test_function_receives_stored_random_value(session, table):
    @bb.udf
    def same(value: float) -> float:
        return value

    view = session.create_view(
        "v", table.mutate(r=ibis.random()).mutate(f=lambda q: same(q.r), g=lambda q: same(q.r * 2))
    )
    rows = view.collect()
    assert [row["f"] for row in rows] == rows["r"]
    assert [row["g"] for row in rows] == [2 * r for r in rows["r"]]


def test_nested_views_read_stored_random_values(session, table):
    drawn = session.create_view("drawn", table.mutate(r=ibis.random()))
    high = session.create_view("high", drawn.filter(drawn.r > 0.5).mutate(s=ibis.random()))
    assert (
        high.select("a", "r")
        .to_pandas()
        .equals(drawn.filter(drawn.r > 0.5).select("a", "r").to_pandas())
    )
    items = session.create_view("items", table.select("a", i=table.b.unnest(), r=ibis.random()))
    assert len(set(items.collect()["r"])) == 200
    assert items.collect()["r"] == items.collect()["r"]


def test_query_redraws_random_values_and_table_stores_them(session, table):
    query = table.mutate(r=ibis.random())
    assert _rows(query) != _rows(query)
    copy = session.create_table("copy", query)
    assert _rows(copy) == _rows(copy)
    table.add_computed_column(r=ibis.random(), now=ibis.now())
    assert _rows(table) == _rows(table)
    assert table.collect()["now"] == table.collect()["now"]


def test_search_in_sample_returns_requested_number_of_rows(session, table):
    @bb.udf
    def embed(text: str) -> bb.Vector(2):
        return [len(text), 1.0]

    table.add_computed_column(text=table.a.cast("string"), stored=True)
    table.add_embedding_index("text", string_embed=embed)
    near = table.sample(0.9).order_by(_.text.similarity("ab"), asc=False).limit(50)
    assert len(near.collect()) == 50


def test_iterator_over_sample_query_is_refused(session, table):
    @bb.iterator(return_type={"n": int})
    def count(upto: int):
        yield {"n": upto}

    with pytest.raises(UnsupportedError, match="Create a view of the query, and a view with"):
        session.create_view("v", table.sample(0.5), iterator=count(table.a))
    sample = session.create_view("s", table.sample(0.5))
    view = session.create_view("v", sample, iterator=count(sample.a))
    assert view.collect()["n"] == sample.collect()["a"]
