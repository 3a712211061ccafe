"""Valid names of columns."""

from __future__ import annotations

import pytest

import barbule as bb
from barbule.errors import SchemaError


@pytest.fixture
def films(session):
    table = session.create_table("films", {"name": bb.String, "year": bb.Int})
    table.insert(name="Up", year=2009)
    return table


OTHER_CASE = {
    "created": lambda _films: bb.create_table("t", {"a": bb.Int, "A": bb.Int}),
    "added": lambda films: films.add_columns({"Name": bb.String}),
    "added together": lambda films: films.add_columns({"more": bb.Int, "MORE": bb.Int}),
    "computed": lambda films: films.add_computed_column(YEAR=films.year + 1),
    "renamed": lambda films: films.rename_column("year", "Name"),
    "of a view": lambda films: bb.create_view(
        "v", films, computed_columns={"Year": films.year + 1}
    ),
}


@pytest.mark.parametrize("verb", OTHER_CASE.values(), ids=OTHER_CASE)
def test_column_names_that_differ_only_in_case_are_refused(films, verb):
    with pytest.raises(SchemaError, match="only in case"):
        verb(films)
    assert films.history()[0, "version"] == 1
    assert films.collect() == [{"name": "Up", "year": 2009}]
    assert bb.list_tables() == ["films"]


def test_column_can_be_renamed_to_other_case(films):
    films.rename_column("year", "Year")
    films = bb.get_table("films")
    films.add_computed_column(next=films.Year + 1)
    films.add_computed_column(next=films.Year + 2, if_exists="replace")
    assert bb.get_table("films").collect() == [{"name": "Up", "Year": 2009, "next": 2011}]
