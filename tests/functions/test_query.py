"""Parametrized queries and iterators, called with values and with columns."""

from __future__ import annotations

from collections.abc import Iterator  # noqa: TC003 - read at run time
from typing import TypedDict

import pytest

import barbule as bb
from barbule.errors import DependencyError, ExpressionError, SchemaError

EMBEDDED: list[str] = []


@bb.udf(batch_size=16)
def embed(texts: list[str]) -> list[bb.Vector(3)]:
    EMBEDDED.extend(texts)
    return [[float(text.count(letter)) + 0.1 for letter in "abc"] for text in texts]


@pytest.fixture
def films(session):
    table = bb.create_table("films", {"name": bb.String, "year": bb.Int})
    table.insert(
        [
            {"name": "alien", "year": 1979},
            {"name": "aliens", "year": 1986},
            {"name": "up", "year": 2009},
        ]
    )
    return table


@pytest.fixture
def since(films):
    @bb.query
    def since(year: int, top_k: int = 2):
        return films.where(films.year >= year).order_by("year").limit(top_k).select("name")

    return since


@pytest.fixture
def requests(session):
    table = bb.create_table(
        "requests", {"n": bb.Int, "year": bb.Int, "k": bb.Int, "text": bb.String}
    )
    table.insert(
        [
            {"n": 0, "year": 1980, "k": 1, "text": "aaa"},
            {"n": 1, "year": 1970, "k": 3, "text": "ccc"},
            {"n": 2, "year": None, "k": 1, "text": None},
            {"n": 3, "year": 2020, "k": 1, "text": "aaa"},
        ]
    )
    return table


def names(found):
    return [None if rows is None else [row["name"] for row in rows] for rows in found]


def test_query_with_values_returns_its_expression(since):
    assert since(1980).collect()["name"] == ["aliens", "up"]
    assert since(1970, top_k=1).collect()["name"] == ["alien"]
    assert since(1970).count().to_pyarrow().as_py() == 2


def test_query_with_a_column_returns_rows_per_row(since, requests):
    found = requests.order_by("n").select(x=since(requests.year)).collect()["x"]
    assert names(found) == [["aliens", "up"], ["alien", "aliens"], None, []]


def test_every_query_parameter_can_be_a_column(since, requests):
    found = requests.order_by("n").select(x=since(requests.year, requests.k)).collect()["x"]
    assert names(found) == [["aliens"], ["alien", "aliens", "up"], None, []]
    found = requests.order_by("n").select(x=since(1979, top_k=requests.k)).collect()["x"]
    assert names(found) == [["alien"], ["alien", "aliens", "up"], ["alien"], ["alien"]]


def test_query_result_is_a_list_of_structs(since, requests):
    kind = since(requests.year).type()
    assert kind.is_array()
    assert kind.value_type.fields["name"].is_string()
    first = since(requests.year)[0]["name"]
    found = requests.order_by("n").select(x=first).collect()["x"]
    assert found == ["aliens", "alien", None, None]


def test_scalar_query_returns_a_scalar(films, requests):
    @bb.query
    def how_many(year: int):
        return films.where(films.year >= year).count()

    found = requests.order_by("n").select(x=how_many(requests.year)).collect()["x"]
    assert found == [2, 3, None, 0]


def test_query_column_is_computed_for_new_rows(since, requests):
    requests.add_computed_column(found=since(requests.year))
    requests.insert(n=4, year=2000, k=1, text="x")
    assert names(requests.filter(requests.n == 4).collect()["found"]) == [["up"]]


def test_search_terms_of_many_rows_are_embedded_together(session, requests):
    notes = bb.create_table("notes", {"text": bb.String})
    notes.insert([{"text": text} for text in ("aa", "bb", "cc")])
    notes.add_embedding_index("text", embedding=embed)

    @bb.query
    def nearest(query: str, top_k: int = 1):
        by = notes.text.similarity(query)
        return notes.order_by(by, asc=False).limit(top_k).select("text", score=by)

    EMBEDDED.clear()
    found = requests.order_by("n").select(x=nearest(requests.text)).collect()["x"]
    assert [rows and [row["text"] for row in rows] for rows in found] == [
        ["aa"], ["cc"], None, ["aa"],
    ]  # fmt: skip
    assert sorted(EMBEDDED) == ["aaa", "ccc"]


def test_function_that_returns_no_query_is_rejected(requests):
    @bb.query
    def nothing(year: int):
        return 3

    with pytest.raises(ExpressionError, match=r"the query .*nothing returned an int"):
        nothing(requests.year)


class Letter(TypedDict):
    letter: str
    again: int


@bb.iterator
def letters(text: str) -> Iterator[Letter]:
    for letter in text:
        yield {"letter": letter, "again": text.count(letter)}


def test_iterator_with_values_returns_its_rows():
    assert letters("ab") == [{"letter": "a", "again": 1}, {"letter": "b", "again": 1}]


def test_iterator_produces_the_rows_of_a_view(films):
    view = bb.create_view("letters", films, iterator=letters(films.name))
    found = view.filter(view.name == "up").order_by("pos").select("pos", "letter", "year")
    assert found.collect() == [
        {"pos": 0, "letter": "u", "year": 2009},
        {"pos": 1, "letter": "p", "year": 2009},
    ]
    films.insert(name="m", year=1931)
    assert view.filter(view.year == 1931).collect()["letter"] == ["m"]


def test_iterator_without_a_row_type_is_rejected():
    with pytest.raises(SchemaError, match="does not declare the columns of its rows"):

        @bb.iterator
        def silent(text: str): ...


# -- Over the table of the column ------------------------------------------------------------------


def test_query_over_its_own_table_reads_the_version_before_the_row(session):
    table = bb.create_table("numbers", [{"n": 1}, {"n": 5}])

    @bb.query
    def below(n: int):
        return table.where(table.n < n).order_by("n").select("n")

    def shown():
        rows = table.order_by("n").collect()
        return {row["n"]: [each["n"] for each in row["b"]] for row in rows}

    table.add_computed_column(b=below(table.n))
    assert shown() == {1: [], 5: [1]}
    table.insert([{"n": 3}, {"n": 4}])  # rows of one insert do not see each other
    assert shown() == {1: [], 3: [1], 4: [1], 5: [1]}
    assert len(table.stale()) == 0
    assert table.recompute("b").rows == 4
    assert shown() == {1: [], 3: [1], 4: [1, 3], 5: [1, 3, 4]}
    table.update({"n": 6}, where=table.n == 1)  # the row sees its previous state
    assert shown()[6] == [1, 3, 4, 5]
    table.recompute("b")
    assert shown() == {3: [], 4: [3], 5: [3, 4], 6: [3, 4, 5]}


def test_recompute_refreshes_a_query_over_another_table(since, films, requests):
    requests.add_computed_column(found=since(requests.year))
    films.delete(where=films.name == "aliens")
    assert names(requests.order_by("n").collect()["found"])[0] == ["aliens", "up"]
    requests.recompute("found")
    assert names(requests.order_by("n").collect()["found"]) == [["up"], ["alien", "up"], None, []]


def test_table_read_by_a_query_column_cannot_be_dropped(session):
    films = session.create_table("films", [{"name": "Up", "year": 2009}])
    asked = session.create_table("asked", [{"year": 2009}])
    other = session.create_table("other", [{"year": 2009}])

    @bb.query
    def of_year(year: int):
        return films.where(films.year == year).select(films.name)

    asked.add_computed_column(found=of_year(asked.year))
    with pytest.raises(DependencyError, match=r"'films': a @bb\.query reads it for 'asked\.found'"):
        bb.drop_table("films")
    bb.drop_table("other")  # not read by any column
    assert other is not films
    assert asked.collect()[0, "found"] == [{"name": "Up"}]
    asked.drop_column("found")
    bb.drop_table("films")
    assert bb.list_tables() == ["asked"]


def test_table_read_by_a_query_column_is_dropped_with_cascade(session):
    films = session.create_table("films", [{"name": "Up", "year": 2009}])
    asked = session.create_table("asked", [{"year": 2009}])

    @bb.query
    def by_year(year: int):
        return films.where(films.year == year).select(films.name)

    asked.add_computed_column(found=by_year(asked.year))
    films.add_computed_column(same=by_year(films.year))  # dropped with its table
    bb.drop_table("films", cascade=True)
    assert asked.collect()[0, "found"] == [{"name": "Up"}]


@pytest.fixture
def asked(session):
    """Return a table with a column that queries a table in a folder."""
    films = bb.create_table("kept.films", [{"name": "up", "year": 2009}])

    @bb.query
    def named(name: str):
        return films.where(films.name == name).select("year")

    table = bb.create_table("asked", [{"name": "up"}])
    table.add_computed_column(found=named(table.name))
    return table


def test_table_read_by_a_query_column_cannot_be_replaced(session, asked):
    rows = [{"name": "up", "year": 2010}]
    for ask in (
        lambda: bb.create_table("kept.films", {"name": bb.String}, if_exists="replace"),
        lambda: bb.create_table("kept.films", rows, if_exists="replace"),
        lambda: bb.create_view("kept.films", asked, if_exists="replace"),
    ):
        with pytest.raises(DependencyError, match=r"'asked\.found'.*replace_force") as caught:
            ask()
        assert caught.value.table == "kept.films"
    asked.insert(name="up")
    assert asked.collect()["found"] == [[{"year": 2009}]] * 2
    bb.create_table("kept.films", rows, if_exists="replace_force")
    assert asked.collect()["found"] == [[{"year": 2009}]] * 2


def test_table_no_longer_read_can_be_replaced(session, asked):
    asked.drop_column("found")
    made = bb.create_table("kept.films", [{"name": "up", "year": 2010}], if_exists="replace")
    assert made.collect()["year"] == [2010]
    bb.create_table("asked", {"name": bb.String}, if_exists="replace")
    assert session.list_tables() == ["asked", "kept.films"]


def test_folder_read_by_an_outside_query_column_cannot_be_dropped(session, asked):
    with pytest.raises(DependencyError, match=r"'kept\.films': a @bb\.query reads it for 'asked"):
        bb.drop_dir("kept", cascade=True)
    asked.insert(name="up")
    asked.drop_column("found")
    bb.drop_dir("kept", cascade=True)
    assert session.list_tables() == ["asked"]


def test_folder_with_tables_that_query_each_other_is_dropped(session):
    films = bb.create_table("kept.films", [{"name": "up", "year": 2009}])

    @bb.query
    def named(name: str):
        return films.where(films.name == name).select("year")

    inside = bb.create_table("kept.asked", [{"name": "up"}])
    inside.add_computed_column(found=named(inside.name))
    bb.drop_dir("kept", cascade=True)
    assert session.list_tables() == []
