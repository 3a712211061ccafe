"""Unnested arrays: queries and views return the same rows as Ibis."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir
import pytest
from ibis import _

import barbule as bb
from barbule.catalog import codec
from barbule.catalog.records import TableRecord, View
from barbule.errors import DependencyError, ExpressionError, UnsupportedError
from barbule.tables.commit import run_transaction
from barbule.tables.views.incremental import write_view_rows

COLUMNS = {"k": "string", "n": "int64", "items": "array<string>"}
ROWS = [
    {"k": "x", "n": 1, "items": ["a", "b", "c"]},
    {"k": "y", "n": 2, "items": ["d"]},
    {"k": "z", "n": 3, "items": []},
    {"k": None, "n": 4, "items": None},
    {"k": "x", "n": 5, "items": ["b", None]},
]

QUERIES = {
    "count": lambda q: q.count(),
    "the other columns": lambda q: q.select("k"),
    "the column dropped": lambda q: q.drop("item"),
    "the column replaced": lambda q: q.mutate(item=ibis.literal(1)),
    "the column renamed": lambda q: q.rename(other="item").select("k").count(),
    "groups": lambda q: q.group_by("k").agg(rows=_.count()),
    "groups filtered": lambda q: q.group_by("k").agg(rows=_.count()).filter(_.rows > 1),
    "an aggregate": lambda q: q.agg(rows=_.count(), kinds=_.k.nunique()),
    "value counts": lambda q: q.k.value_counts(),
    "a filter": lambda q: q.filter(_.k == "x").select("k"),
    "a filter counted": lambda q: q.filter(_.k == "x").count(),
    "a filter of the items": lambda q: q.filter(_.item != "b").select("k"),
    "an order": lambda q: q.order_by("k").select("k"),
    "an order and a limit": lambda q: q.order_by("k", "item").limit(3).select("k"),
    "a limit counted": lambda q: q.limit(5).count(),
    "distinct": lambda q: q.select("k").distinct(),
    "distinct on": lambda q: q.distinct(on="k", keep="first").count(),
    "a join": lambda q: q.join(q.view(), "k").select("k").count(),
    "a semi join": lambda q: q.semi_join(q.filter(_.item == "b").view(), "k").select("k"),
    "a subquery": lambda q: q.filter(_.k.isin(q.filter(_.item == "b").k)).select("k"),
    "a scalar subquery": lambda q: q.mutate(rows=q.count()).select("rows"),
    "a union": lambda q: q.select("k").union(q.select("k")),
    "a window": lambda q: q.mutate(rows=_.count().over(group_by="k")).select("k", "rows"),
    "a filter of a window": lambda q: (
        q.mutate(r=ibis.row_number().over(group_by="k", order_by="item"))
        .filter(_.r == 0)
        .select("k")
    ),
    "a second unnest": lambda q: q.mutate(two=ibis.array([1, 2]).unnest()).select("k"),
    "missing items filled": lambda q: q.fill_null({"item": "-"}).select("k"),
    "missing items dropped": lambda q: q.drop_null("item").select("k"),
    "a sample of all": lambda q: q.sample(1.0).select("k").count(),
}


def _items(table):
    return table.select("k", "n", item=table["items"].unnest())


def _answer(expr):
    if not isinstance(expr, ir.Table):
        return expr.to_pyarrow().as_py()
    return sorted(map(repr, expr.to_pyarrow().to_pylist()))


@pytest.fixture
def table(session):
    table = session.create_table("t", COLUMNS)
    table.insert(ROWS)
    return table


@pytest.fixture
def sources(session, table):
    """Return each kind of source of the first items; the table has changed since."""
    view = session.create_view("items", _items(table))
    upper_view = session.create_view("above", view.filter(view.n < 10))
    version, view_version = table.checkpoint("v"), view.checkpoint("v")
    actual = {
        "query": _items(table.filter(_.n < 10)),
        "view": view.filter(_.n < 10),
        "view on it": upper_view,
        "old version": _items(table.at(version)),
        "old version of the view": view.at(view_version),
    }
    table.insert(k="x", n=10, items=["a", "q"])
    return actual


def test_unnest_queries_match_ibis(sources):
    plain = _items(ibis.memtable(ROWS, schema=COLUMNS))
    for name, ask in QUERIES.items():
        expected = _answer(ask(plain))
        assert {source: _answer(ask(q)) for source, q in sources.items()} == dict.fromkeys(
            sources, expected
        ), name


def test_unnest_of_json_arrays(session):
    table = session.create_table("j", {"id": "int64", "data": bb.Json})
    table.insert([{"id": 1, "data": {"a": [1, 2, 3]}}, {"id": 2, "data": {"a": []}}])
    table.insert([{"id": 3, "data": {"b": 1}}, {"id": 4, "data": None}])
    query = table.select("id", item=table.data.a.array.unnest())
    view = session.create_view("v", query)
    for unnested in (query, view):
        assert unnested.count().execute() == 3
        assert unnested.select("id").collect()["id"] == [1, 1, 1]
        assert unnested.group_by("id").agg(rows=_.count()).collect() == [{"id": 1, "rows": 3}]


def test_unnest_after_join(session, table):
    other = session.create_table("other", [{"k": "x"}, {"k": "y"}])
    joined = table.join(other, "k").select("k", item=_["items"].unnest())
    assert joined.count().execute() == 6
    view = session.create_view("v", joined)
    assert view.select("k").count().execute() == 6
    table.insert(k="y", n=6, items=["e", "f"])
    assert view.filter(_.k == "y").count().execute() == 3


def test_unnest_view_updates_incrementally(session, table):
    calls = []

    @bb.udf
    def loud(text: str) -> str:
        calls.append(text)
        return str(text).upper()

    view = session.create_view("v", _items(table), computed_columns={"loud": loud(_.item)})
    assert sorted(filter(None, calls)) == ["a", "b", "b", "c", "d"]
    calls.clear()
    table.insert(k="z", n=6, items=["e", "f"])
    assert calls == ["e", "f"]
    calls.clear()
    table.update({"k": "w"}, where=table.n == 1)
    assert calls == []
    table.update({"items": ["q"]}, where=table.n == 2)
    assert calls == ["q"]
    table.delete(where=table.n == 5)
    assert _answer(view.select("k", "item", "loud")) == _answer(
        ibis.memtable(
            [("w", "a"), ("w", "b"), ("w", "c"), ("y", "q"), ("z", "e"), ("z", "f")],
            columns=["k", "item"],
        ).mutate(loud=_.item.upper())
    )
    assert view.count().execute() == 6


def test_functions_over_items_and_over_other_columns(session, table):
    @bb.udf
    def loud(text: str) -> str:
        return text.upper()

    some = table.filter(_.n < 3)
    view = session.create_view(
        "v", _items(some).mutate(loud=lambda q: loud(q.item), key=lambda q: loud(q.k))
    )
    assert view.collect()["loud"] == ["A", "B", "C", "D"]
    assert view.collect()["key"] == ["X", "X", "X", "Y"]
    remaining = session.create_view("kept", _items(some).filter(lambda q: loud(q.item) != "B"))
    assert (remaining.count().execute(), remaining.collect()["item"]) == (3, ["a", "c", "d"])
    view.add_computed_column(again=loud(view.item))
    assert view.collect()["again"] == ["A", "B", "C", "D"]
    direct = some.select("k", loud=loud(some["items"].unnest()))
    assert sorted(direct.collect()["loud"]) == ["A", "B", "C", "D"]
    neighbour = some.select(loud=loud(some.k), item=some["items"].unnest())
    assert sorted(neighbour.select("loud").collect()["loud"]) == ["X", "X", "X", "Y"]
    with pytest.raises(UnsupportedError, match="Select the items as a column as well"):
        session.create_view("w", direct)


def test_view_with_only_unnested_column(session, table):
    view = session.create_view("v", table.select(item=table["items"].unnest()))
    assert view.columns == ("item",)
    assert view.collect()["item"] == ["a", "b", "c", "d", "b", None]
    assert view.count().execute() == 6
    upper_view = session.create_view("above", view.filter(view.item != "a"))
    table.insert(k="x", n=6, items=["a", "e"])
    assert upper_view.collect()["item"] == ["b", "c", "d", "b", "e"]


def test_view_columns_keep_query_order(session, table):
    query = table.select(item=table["items"].unnest(), k=table.k, r=ibis.random(), m=table.n)
    view = session.create_view("v", query, computed_columns={"later": _.m + 1})
    assert view.columns == ("item", "k", "r", "m", "later")
    upper_view = session.create_view("above", view)
    view.rename_column("item", "thing")
    assert view.columns == ("thing", "k", "r", "m", "later")
    assert upper_view.columns == ("thing", "k", "r", "m", "later")
    view.drop_column("r")
    table.insert(k="w", n=9, items=["e"])
    row = view.filter(_.k == "w").collect()[0]
    assert row == {"thing": "e", "k": "w", "m": 9, "later": 10}
    assert list(row) == ["thing", "k", "m", "later"]


def test_update_of_inherited_column_writes_no_view_version(session, table):
    view = session.create_view("v", table.select("k", "n", item=table["items"].unnest()))
    with pytest.raises(DependencyError, match="it is used by the view 'v'"):
        table.drop_column("items")
    version = view.history()[0, "version"]
    table.update({"n": table.n + 1})
    assert sorted(view.collect()["n"]) == [2, 2, 2, 3, 6, 6]
    assert view.history()[0, "version"] == version


def test_rename_in_base_and_in_unnest_view(session, table):
    view = session.create_view("v", _items(table))
    upper_view = session.create_view("above", view.select("item", "k"))
    table.rename_column("items", "things")
    view.rename_column("item", "thing")
    table.insert(k="new", n=7, things=["e", "f"])
    assert view.filter(_.k == "new").collect()["thing"] == ["e", "f"]
    assert upper_view.filter(_.k == "new").count().execute() == 2


def test_view_over_table_unnest_with_offset(session, table):
    query = table.unnest("items", offset="place", keep_empty=True)
    view = session.create_view("v", query)
    table.add_columns({"later": "int64"})
    table.rename_column("items", "things")
    table.insert(k="y", n=6, things=["e", "f"], later=1)
    assert view.columns == ("k", "n", "items", "place")
    assert view.count().execute() == 10
    assert sorted(view.filter(_.n == 6).collect()["items"]) == ["e", "f"]


def test_unnest_as_column_value_is_refused(session, table):
    with pytest.raises(ExpressionError, match=r"column 'item': a computed column has one value"):
        table.add_computed_column(item=table["items"].unnest())
    for value in (table["items"].unnest(), _["items"].unnest().upper()):
        with pytest.raises(
            ExpressionError, match=r"column 'k': a new value must be one value for each row"
        ):
            table.update({"k": value})
    assert table.count().execute() == len(ROWS)


def test_iterator_over_unnest_query_needs_a_view(session, table):
    @bb.iterator(return_type={"letter": str})
    def twice(text: str):
        yield {"letter": text}
        yield {"letter": text}

    with pytest.raises(UnsupportedError, match="Create a view of the query, and a view with"):
        session.create_view("v", _items(table), iterator=twice(_.item))
    items = session.create_view("items", _items(table.filter(_.n < 3)))
    view = session.create_view("v", items, iterator=twice(items.item))
    assert view.collect()["letter"] == ["a", "a", "b", "b", "c", "c", "d", "d"]


def test_views_of_version_0_1_0_show_all_rows(session, table):
    """They store one row for each row of the base and unnest at reading."""

    def prepare(transaction):
        catalog = transaction.engine.catalog
        view = View(catalog.find("t").id, codec.dump(_items(table).op()))
        record = TableRecord(catalog.next_table_id(), "v", (), view=view)
        transaction.put_record(record)
        transaction.create_storage(record)
        write_view_rows(transaction, record, catalog.find("t"), None)

    engine = table.op().source
    run_transaction(engine, "create view", prepare, since=engine.catalog.refresh())
    view = session.get_table("v")
    plain = _items(ibis.memtable(ROWS, schema=COLUMNS))
    for name, ask in QUERIES.items():
        assert _answer(ask(view)) == _answer(ask(plain)), name
    table.insert(k="y", n=6, items=["e", "f"])
    assert view.filter(_.k == "y").count().execute() == 3
