"""Pages by limit(offset=) return each row once, however many rows tie in the sort keys."""

from __future__ import annotations

import pytest
from ibis import _

import barbule as bb

ROWS = 40
PAGE = 7


@pytest.fixture
def table(session):
    table = session.create_table(
        "t", {"n": bb.Int, "s": bb.String, "v": bb.Vector(2), "j": bb.Json, "xs": bb.Array(bb.Int)}
    )
    table.insert(
        [
            {
                "n": n,
                "s": "cat" if n % 2 else "dog",
                "v": [1.0, 0.0] if n % 2 else [0.0, 1.0],
                "j": {"n": n % 2},
                "xs": [n],
            }
            for n in range(ROWS)
        ]
    )
    return table


@bb.udf(name="ordering.length")
def length(text: str) -> int:
    return len(text)


def pages(query, name="n"):
    values = []
    for start in range(0, ROWS, PAGE):
        values += query.limit(PAGE, offset=start).collect()[name]
    return values


QUERIES = {
    "column": lambda t: t.order_by("s"),
    "descending": lambda t: t.order_by("s", asc=False),
    "json": lambda t: t.order_by(t.j.n),
    "filtered": lambda t: t.filter(t.n >= 0).order_by("s"),
    "projected": lambda t: t.select("n", kind=t.s).order_by("kind"),
    "projected after": lambda t: t.order_by("s").select("n"),
    "filtered after": lambda t: t.order_by("s").filter(_.n >= 0).select("n", "s"),
    "dropped after": lambda t: t.order_by("s").drop("v"),
    "function": lambda t: t.order_by(length(t.s)),
    "function shown": lambda t: t.mutate(x=length(t.s)).order_by("x"),
    "function over the page": lambda t: t.order_by("s").mutate(x=length(t.s)),
    "join": lambda t: t.join(t.view(), "n").select("n", "s").order_by("s"),
    "aggregate": lambda t: t.group_by("n").agg(c=t.count()).order_by("c"),
    "union": lambda t: t.filter(t.n < 20).union(t.filter(t.n >= 20)).order_by("s"),
    "distinct": lambda t: t.select("n", "s").distinct().order_by("s"),
    "unnest": lambda t: t.select("s", n=t.xs.unnest()).order_by("s"),
    "unselected sort key": lambda t: t.order_by(t.s.length()).select("n"),
}


@pytest.mark.parametrize("query", QUERIES)
def test_each_row_is_on_one_page(table, query):
    assert sorted(pages(QUERIES[query](table))) == list(range(ROWS))


def test_pages_follow_the_order(table):
    numbers = pages(table.order_by("s"))
    assert numbers == [*range(1, ROWS, 2), *range(0, ROWS, 2)]
    assert numbers == table.order_by("s").limit(ROWS).collect()["n"]


def test_pages_of_views_branches_and_old_versions(session, table):
    view = session.create_view("v", table.filter(table.n >= 0), computed_columns={"d": table.n})
    second_view = session.create_view("w", view)
    branch = table.branch("other")
    branch.update({"s": "cat"}, where=branch.n < 30)
    table.update({"s": "cat"}, where=table.n < 30)
    for relation in (view, second_view, branch, table, table.at(1), view.at(0)):
        assert sorted(pages(relation.order_by("s"))) == list(range(ROWS))


def test_pages_of_a_search(session, table):
    table.add_embedding_index("v")
    for query in (
        table.order_by(table.v.similarity([1.0, 0.2]), asc=False),
        table.filter(table.n >= 0).order_by(table.v.similarity([1.0, 0.2]), asc=False),
        table.mutate(score=table.v.similarity([1.0, 0.2])).order_by("score", asc=False),
        table.order_by(table.s.search("cat"), asc=False),
    ):
        assert sorted(pages(query)) == list(range(ROWS))


def test_order_by_adds_no_columns(table):
    query = table.order_by("s").limit(3)
    assert query.columns == table.columns
    assert query.collect().columns == table.columns
    assert tuple(query.to_pyarrow().column_names) == table.columns
    assert query.count().to_pyarrow().as_py() == 3
    assert table.order_by("s").limit(3).n.sum().to_pyarrow().as_py() == 1 + 3 + 5
