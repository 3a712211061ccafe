"""What a view shows: inherited columns, columns of its own, its old versions."""

from __future__ import annotations

import barbule as bb


def test_columns_of_the_base_stand_beside_those_of_the_iterator(words):
    assert set(words.columns) == {"text", "stars", "pos", "word"}
    row = words.where(words.word == "vane").collect()[0]
    assert row == {"text": "one vane", "stars": 2, "pos": 1, "word": "vane"}


def test_a_view_is_a_table_for_every_query(notes, words):
    per_note = words.group_by("stars").agg(n=words.count()).order_by("stars").collect()
    joined = len(words.join(notes, words.text == notes.text).collect())

    assert [(row["stars"], row["n"]) for row in per_note] == [(1, 4), (2, 2)]
    assert joined == 6


def test_a_new_column_of_the_base_appears_in_the_view(notes, words):
    notes.add_computed_column(double=notes.stars * 2)

    assert "double" in words.columns
    assert set(words.where(words.stars == 2).collect()["double"]) == {4}


def test_a_view_over_a_projection_shows_what_it_selects(notes):
    narrow = bb.create_view("narrow", notes.select(notes.text, twice=notes.stars * 2))

    assert set(narrow.columns) == {"text", "twice"}
    assert sorted(narrow.collect()["twice"]) == [2, 4]


def test_a_view_takes_computed_columns_later(words):
    words.add_computed_column(length=words.word.length())

    assert words.where(words.word == "feather").collect()[0, "length"] == 7


def test_a_view_filtered_by_its_own_computed_column(notes):
    view = bb.create_view("v", notes, computed_columns={"twice": notes.stars * 2})

    assert view.where(view.twice == 4).collect()["text"] == ["one vane"]


def test_a_version_of_a_view_shows_its_old_rows_with_the_old_inherited_values(notes, words):
    words.checkpoint("before")
    notes.update({"text": "other words here", "stars": 8}, where=notes.stars == 2)

    old = words.at("before")
    assert sorted(old.where(old.stars == 2).collect()["word"]) == ["one", "vane"]
    assert sorted(words.where(words.stars == 8).collect()["word"]) == ["here", "other", "words"]


def test_a_version_of_a_view_keeps_inherited_values_that_changed_alone(notes, words):
    words.checkpoint("before")
    notes.update({"stars": 8}, where=notes.stars == 2)

    assert set(words.at("before").collect()["stars"]) == {1, 2}
    assert set(words.collect()["stars"]) == {1, 8}


def test_a_view_is_there_again_in_a_second_session(notes, words, backend_url):
    bb.connect(backend_url, vectors="exact:")

    again = bb.get_table("words")

    assert sorted(again.collect()["word"]) == ["a", "feather", "of", "one", "strands", "vane"]
    bb.get_table("notes").insert(text="barb", stars=3)
    assert len(again.collect()) == 7


def test_an_iterator_may_be_annotated_with_a_record_and_give_nothing(notes):
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
