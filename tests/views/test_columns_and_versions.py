"""Columns of views, inherited and own, and old versions of views."""

from __future__ import annotations

import datetime
import re

import pytest

import barbule as bb
from barbule.errors import VersionError


def test_view_has_columns_of_base_and_iterator(words):
    assert set(words.columns) == {"text", "stars", "pos", "word"}
    row = words.where(words.word == "vane").collect()[0]
    assert row == {"text": "one vane", "stars": 2, "pos": 1, "word": "vane"}


def test_view_can_be_grouped_and_joined(notes, words):
    per_note = words.group_by("stars").agg(n=words.count()).order_by("stars").collect()
    joined = len(words.join(notes, words.text == notes.text).collect())

    assert [(row["stars"], row["n"]) for row in per_note] == [(1, 4), (2, 2)]
    assert joined == 6


def test_a_new_column_of_the_base_appears_in_the_view(notes, words):
    notes.add_computed_column(double=notes.stars * 2)

    assert "double" in words.columns
    assert set(words.where(words.stars == 2).collect()["double"]) == {4}


def test_view_over_projection_has_selected_columns(notes):
    narrow = bb.create_view("narrow", notes.select(notes.text, twice=notes.stars * 2))

    assert set(narrow.columns) == {"text", "twice"}
    assert sorted(narrow.collect()["twice"]) == [2, 4]


def test_computed_column_can_be_added_to_view(words):
    words.add_computed_column(length=words.word.length())

    assert words.where(words.word == "feather").collect()[0, "length"] == 7


def test_view_can_be_filtered_by_its_computed_column(notes):
    view = bb.create_view("v", notes, computed_columns={"twice": notes.stars * 2})

    assert view.where(view.twice == 4).collect()["text"] == ["one vane"]


def test_old_view_version_has_old_rows_and_inherited_values(notes, words):
    words.checkpoint("before")
    notes.update({"text": "other words here", "stars": 8}, where=notes.stars == 2)

    old = words.at("before")
    assert sorted(old.where(old.stars == 2).collect()["word"]) == ["one", "vane"]
    assert sorted(words.where(words.stars == 8).collect()["word"]) == ["here", "other", "words"]


def test_old_view_version_keeps_old_inherited_values(notes, words):
    words.checkpoint("before")
    notes.update({"stars": 8}, where=notes.stars == 2)

    assert set(words.at("before").collect()["stars"]) == {1, 2}
    assert set(words.collect()["stars"]) == {1, 8}


def test_view_survives_reconnect(notes, words, backend_url):
    bb.connect(backend_url, vectors="exact:")

    again = bb.get_table("words")

    assert sorted(again.collect()["word"]) == ["a", "feather", "of", "one", "strands", "vane"]
    bb.get_table("notes").insert(text="barb", stars=3)
    assert len(again.collect()) == 7


def test_iterator_may_be_annotated_with_dataclass_and_yield_no_rows(notes):
    from collections.abc import Iterator
    from dataclasses import dataclass

    @dataclass
    class Letter:
        letter: str
        place: int

    def letters(text):
        for position, letter in enumerate(text[:2] if "vane" in text else ""):
            yield Letter(letter, position)

    letters.__annotations__ = {"text": str, "return": Iterator[Letter]}
    view = bb.create_view("letters", notes, iterator=bb.iterator(letters)(notes.text))

    assert [(r["letter"], r["place"]) for r in view.order_by("pos").collect()] == [
        ("o", 0),
        ("n", 1),
    ]


def test_view_at_a_timestamp_has_the_inherited_values_of_that_time(session, backend_url):
    films = session.create_table("films", [{"name": "Up", "year": 2009}])
    names = session.create_view("names", films.filter(films.year > 2000).select("name"))
    films.update({"name": "Up 2"}, where=films.name == "Up")
    second = films.history()[0, "at"]
    films.update({"name": "Up 3"}, where=films.name == "Up 2")
    assert names.history()["version"] == [0]  # the view stores no names

    assert names.at(second).collect()["name"] == ["Up 2"]
    assert session.at(second).get_table("names").collect()["name"] == ["Up 2"]
    assert names.at(datetime.datetime.now(datetime.UTC)).collect()["name"] == ["Up 3"]
    with pytest.raises(VersionError, match="had no version at"):
        names.at(films.history()[-1, "at"])
    films.compact()
    with pytest.raises(VersionError, match=r"removed by drop_table\(\) or compact"):
        names.at(second)


def test_label_of_the_base_is_hinted_with_the_timestamp_of_its_version(session):
    films = session.create_table("films", [{"name": "Up", "year": 2009}])
    recent = session.create_view("recent", films.filter(films.year > 2000))
    upper = session.create_view("upper", recent.select(x=recent.name.upper()))
    films.update({"name": "Up 2"}, where=films.name == "Up")
    films.checkpoint("first")
    films.insert(name="Soul", year=2020)
    late = session.create_view("late", films.filter(films.year > 2010))

    for view in (recent, upper):
        message = r"no version 'first'.* 'first' is a label of the base table 'films'; a view has"
        with pytest.raises(VersionError, match=message) as raised:
            view.at("first")
        (hinted,) = re.findall(r"t\.at\((.*?'\))\) reads the view", str(raised.value))
        then = eval(hinted, {"datetime": datetime})
        assert [str(name).lower() for name in view.at(then).collect()[view.columns[0]]] == ["up 2"]
    with pytest.raises(VersionError, match=r"a label of the base table 'films'; .*labels\. bb\."):
        late.at("first")
    with pytest.raises(VersionError, match=r"labels are: none\.$"):
        films.branch("other").at("first")
