"""Views over joins, aggregates and other queries that need a full refresh."""

from __future__ import annotations

import pytest
from ibis import _

import barbule as bb
from barbule.errors import DependencyError, UnsupportedError


@pytest.fixture
def films(session):
    films = bb.create_table("films", {"name": bb.String, "revenue": bb.Float, "genre": bb.String})
    films.insert(
        [
            {"name": "Up", "revenue": 1.5, "genre": "a"},
            {"name": "Soul", "revenue": 2.5, "genre": "a"},
            {"name": "Coco", "revenue": 2.5, "genre": "b"},
        ]
    )
    return films


@pytest.fixture
def genres(session):
    genres = bb.create_table("genres", {"genre": bb.String, "title": bb.String})
    genres.insert([{"genre": "a", "title": "alpha"}, {"genre": "b", "title": "beta"}])
    return genres


def _rows(table):
    return sorted(map(tuple, (row.values() for row in table.collect())), key=repr)


def _totals(films):
    return films.group_by("genre").agg(total=_.revenue.sum(), films=_.count())


def test_aggregate_view_follows_its_table(films):
    totals = bb.create_view("totals", _totals(films))
    assert _rows(totals) == [("a", 4.0, 2), ("b", 2.5, 1)]
    films.insert(name="Brave", revenue=10, genre="b")
    assert _rows(totals) == [("a", 4.0, 2), ("b", 12.5, 2)]
    films.update({"genre": "c"}, where=films.name == "Up")
    assert _rows(totals) == [("a", 2.5, 1), ("b", 12.5, 2), ("c", 1.5, 1)]
    films.delete(where=films.genre == "b")
    assert _rows(totals) == [("a", 2.5, 1), ("c", 1.5, 1)]
    films.upsert([{"name": "Up", "genre": "a"}], on="name")
    assert _rows(totals) == _rows(_totals(films)) == [("a", 4.0, 2)]


def test_join_view_follows_both_tables_and_computes_changed_rows_only(films, genres):
    calls = []

    @bb.udf
    def loud(text: str) -> str:
        calls.append(text)
        return text.upper()

    joined = bb.create_view(
        "joined",
        films.join(genres, "genre").select(films.name, genres.title),
        computed_columns={"loud": loud(_.title)},
    )
    assert _rows(joined) == [
        ("Coco", "beta", "BETA"),
        ("Soul", "alpha", "ALPHA"),
        ("Up", "alpha", "ALPHA"),
    ]
    calls.clear()
    films.insert(name="Brave", revenue=1, genre="b")
    assert calls == ["beta"]
    calls.clear()
    genres.update({"title": "second"}, where=genres.genre == "b")
    assert calls == ["second", "second"]
    calls.clear()
    films.update({"revenue": films.revenue * 2})
    films.delete(where=films.name == "Up")
    assert calls == []
    assert [row[0] for row in _rows(joined)] == ["Brave", "Coco", "Soul"]


def test_views_over_aggregate_view_are_updated_in_same_commit(films):
    totals = bb.create_view("totals", _totals(films))
    best = bb.create_view("best", totals.order_by(_.total, asc=False).limit(1))
    large = bb.create_view("large", totals.where(totals.total > 3), computed_columns={"t": _.total})
    before = [table.history()[0, "version"] for table in (totals, best, large)]
    films.insert(name="Brave", revenue=100, genre="b")
    assert _rows(best) == [("b", 102.5, 2)]
    assert _rows(large) == [("a", 4.0, 2, 4.0), ("b", 102.5, 2, 102.5)]
    assert [table.history()[0, "version"] for table in (totals, best, large)] == [
        version + 1 for version in before
    ]


def test_join_view_keeps_duplicate_rows(films):
    names = bb.create_view("names", films.join(films.view(), "genre").select("genre"))
    assert _rows(names) == [("a",)] * 4 + [("b",)]
    films.delete(where=films.name == "Up")
    assert _rows(names) == [("a",), ("b",)]


def test_unchanged_null_and_nan_rows_are_not_rewritten(films):
    films.insert([{"name": None, "revenue": float("nan"), "genre": None}])
    totals = bb.create_view("totals", films.group_by("genre", "name").agg(r=_.revenue.max()))
    written = totals.history()[0, "rows"]
    assert written == 4
    films.insert(name="Brave", revenue=1, genre="b")
    assert totals.history()[0, "rows"] == 1


def test_old_version_of_aggregate_view_is_readable(films):
    totals = bb.create_view("totals", _totals(films))
    before = totals.checkpoint("before")
    films.delete(where=films.genre == "a")
    assert _rows(totals.at(before)) == [("a", 4.0, 2), ("b", 2.5, 1)]
    assert totals.diff("before", 1).counts() == {"added": 0, "removed": 1, "changed": 0}


def test_revert_of_table_restores_aggregate_view(films):
    totals = bb.create_view("totals", _totals(films))
    films.delete(where=films.genre == "a")
    films.revert()
    assert _rows(totals) == [("a", 4.0, 2), ("b", 2.5, 1)]


def test_replaced_column_updates_aggregate_view(films):
    films.add_computed_column(twice=films.revenue * 2)
    totals = bb.create_view("totals", films.group_by("genre").agg(total=_.twice.sum()))
    films.add_computed_column(twice=films.revenue * 20, if_exists="replace")
    assert _rows(totals) == [("a", 80.0), ("b", 50.0)]


def test_column_read_by_view_can_be_renamed_but_not_dropped(films):
    totals = bb.create_view("totals", _totals(films))
    films.rename_column("revenue", "gross")
    films.insert(name="Brave", gross=1, genre="b")
    assert _rows(totals) == [("a", 4.0, 2), ("b", 3.5, 2)]
    with pytest.raises(DependencyError, match=r"used by the view 'totals'.*cascade=True"):
        films.drop_column("gross")
    with pytest.raises(DependencyError, match=r"base of the view 'totals'"):
        bb.drop_table("films")
    bb.drop_table("films", cascade=True)
    assert bb.list_tables() == []


def test_failing_function_of_aggregate_view_aborts_insert(films):
    @bb.udf
    def picky(total: float) -> float:
        if total > 100:
            raise ValueError("too much")
        return total

    totals = bb.create_view("totals", _totals(films), computed_columns={"p": picky(_.total)})
    with pytest.raises(bb.BarbuleError, match="too much"):
        films.insert(name="Brave", revenue=1000, genre="b")
    assert films.count().to_pyarrow().as_py() == 3
    assert len(totals.collect()) == 2


def test_iterator_over_aggregate_is_refused(films):
    @bb.iterator(return_type={"letter": str})
    def letters(text: str):
        return [{"letter": letter} for letter in text]

    with pytest.raises(UnsupportedError, match="needs a query over one table"):
        bb.create_view("v", _totals(films), iterator=letters(_.genre))


def test_insert_updates_aggregate_over_nested_views(session):
    table = bb.create_table("numbers", {"n": bb.Int, "m": bb.Int, "k": bb.String})
    table.insert([{"n": n, "m": n, "k": "ab"[n % 2]} for n in range(4)])
    table.insert(n=9, m=9, k="a")
    table.update({"n": 8}, where=table.n == 9)
    first = bb.create_view("first", table.where(table.n > 1))
    second = bb.create_view("second", first.where(first.n > 2))
    counts = bb.create_view("counts", second.group_by("k").agg(rows=second.count()))
    table.insert(n=20, m=1, k="a")
    table.insert([{"n": 21, "m": 1, "k": "b"}, {"n": 0, "m": 1, "k": "b"}])
    assert {row["k"]: row["rows"] for row in counts.collect()} == {"a": 2, "b": 2}
    table.update({"k": "c"}, where=table.n == 20)
    table.delete(where=table.n == 21)
    assert {row["k"]: row["rows"] for row in counts.collect()} == {"a": 1, "b": 1, "c": 1}
