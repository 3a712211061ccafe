"""Views follow changes of their base: which rows are recomputed."""

from __future__ import annotations

import pytest

import barbule as bb
from barbule.errors import FunctionError


def listed(view, *names):
    return sorted(tuple(row[name] for name in names) for row in view.collect())


def test_insert_calls_iterator_for_new_rows_only(notes, words, split):
    notes.insert(text="two barbs", stars=3)

    assert listed(words.where(words.stars == 3), "word") == [("barbs",), ("two",)]
    assert split.calls == ["two barbs"]
    assert len(words.collect()) == 8


def test_update_of_iterator_input_recomputes_that_row(notes, words, split):
    notes.update({"text": "three vanes now"}, where=notes.stars == 2)

    assert split.calls == ["three vanes now"]
    assert listed(words.where(words.stars == 2), "pos", "word") == [
        (0, "three"),
        (1, "vanes"),
        (2, "now"),
    ]
    assert len(words.where(words.stars == 1).collect()) == 4


def test_update_of_other_column_keeps_view_rows_and_shows_new_value(notes, words, split):
    before = len(words.history())

    notes.update({"stars": 9}, where=notes.stars == 2)

    assert split.calls == []
    assert len(words.history()) == before
    assert listed(words.where(words.stars == 9), "word") == [("one",), ("vane",)]
    assert listed(words.where(words.stars == 2), "word") == []


def test_delete_removes_view_rows_of_deleted_row(notes, words, split):
    notes.delete(where=notes.stars == 1)

    assert listed(words, "word") == [("one",), ("vane",)]
    assert split.calls == []


def test_base_and_view_get_new_versions_in_one_commit(notes, words):
    before = len(notes.history()), len(words.history())

    notes.insert(text="two barbs", stars=3)

    assert (len(notes.history()), len(words.history())) == (before[0] + 1, before[1] + 1)
    timestamps = notes.history()[0]["at"], words.history()[0]["at"]
    assert timestamps[0] == timestamps[1]


def test_failing_iterator_aborts_insert_of_base_and_view(notes, words, split):
    before = len(notes.history()), len(words.history())

    with pytest.raises(FunctionError, match="it went boom") as caught:
        notes.insert([{"text": "fine words", "stars": 4}, {"text": "boom", "stars": 5}])

    assert "words" in str(caught.value)
    assert len(notes.collect()) == 2
    assert len(words.collect()) == 6
    assert (len(notes.history()), len(words.history())) == before
    notes.insert(text="fine words", stars=4)
    assert len(words.collect()) == 8


def test_failing_iterator_aborts_update(notes, words):
    with pytest.raises(FunctionError, match="it went boom"):
        notes.update({"text": "boom"}, where=notes.stars == 2)

    assert listed(words.where(words.stars == 2), "word") == [("one",), ("vane",)]


def test_failing_iterator_aborts_view_creation(notes, split):
    notes.insert(text="boom", stars=3)

    with pytest.raises(FunctionError, match="it went boom"):
        bb.create_view("words", notes, iterator=split(notes.text))
    assert bb.list_tables() == ["notes"]


def test_update_adds_and_removes_rows_of_filtered_view(notes):
    good = bb.create_view("good", notes.where(notes.stars >= 2))
    assert listed(good, "text") == [("one vane",)]

    notes.update({"stars": 5}, where=notes.stars == 1)
    notes.update({"stars": 0}, where=notes.stars == 2)

    assert listed(good, "text", "stars") == [("strands of a feather", 5)]


def test_computed_column_of_view_is_computed_for_its_rows_only(notes):
    calls: list[str] = []

    @bb.udf
    def shout(text: str) -> str:
        calls.append(text)
        return text.upper()

    good = bb.create_view(
        "good", notes.where(notes.stars >= 2), computed_columns={"loud": shout(notes.text)}
    )
    assert calls == ["one vane"]

    notes.insert([{"text": "bad", "stars": 0}, {"text": "best", "stars": 9}])

    assert calls == ["one vane", "best"]
    assert listed(good, "text", "loud") == [("best", "BEST"), ("one vane", "ONE VANE")]


def test_computed_column_of_view_follows_update_of_its_input(notes):
    @bb.udf
    def shout(text: str) -> str:
        return text.upper()

    loud = bb.create_view("loud", notes, computed_columns={"loud": shout(notes.text)})

    notes.update({"text": "quiet"}, where=notes.stars == 1)

    assert listed(loud, "stars", "loud") == [(1, "QUIET"), (2, "ONE VANE")]


def test_a_view_reads_computed_columns_of_its_base(notes, split):
    notes.add_computed_column(padded=notes.text + " end")
    words = bb.create_view("words", notes, iterator=split(notes.padded))
    split.calls.clear()

    notes.update({"text": "fresh"}, where=notes.stars == 2)

    assert split.calls == ["fresh end"]
    assert listed(words.where(words.stars == 2), "word") == [("end",), ("fresh",)]


def test_changes_reach_views_on_views(notes, words):
    long = bb.create_view("long", words.where(words.word.length() > 3))
    assert listed(long, "word") == [("feather",), ("strands",), ("vane",)]

    notes.insert(text="a barbule", stars=3)
    notes.delete(where=notes.stars == 1)

    assert listed(long, "word", "stars") == [("barbule", 3), ("vane", 2)]


def test_filter_on_inherited_column_follows_base_update(notes, words):
    starred = bb.create_view("starred", words.where(words.stars == 2))

    notes.update({"stars": 2}, where=notes.stars == 1)

    assert len(starred.collect()) == 6


def test_computed_column_over_inherited_column_follows_base_update(notes, words):
    @bb.udf
    def rated(word: str, stars: int) -> str:
        return f"{word}{stars}"

    words.add_computed_column(rated=rated(words.word, words.stars))
    notes.update({"stars": 7}, where=notes.stars == 2)

    assert listed(words.where(words.stars == 7), "rated") == [("one7",), ("vane7",)]


def test_filter_on_renamed_column_follows_base_update(notes):
    rated = bb.create_view("rated", notes.select(notes.text, rating=notes.stars).where(is_high))
    assert listed(rated, "text") == [("one vane",)]

    notes.update({"stars": 3}, where=notes.stars == 1)

    assert listed(rated, "rating") == [(2,), (3,)]


def is_high(table):
    return table.rating >= 2


def test_stored_column_over_renamed_column_follows_base_update(notes):
    @bb.udf
    def stars(n: int) -> str:
        return "*" * n

    rated = bb.create_view("rated", notes.select(notes.text, rating=notes.stars))
    rated.add_computed_column(shown=stars(rated.rating))
    notes.update({"stars": 4}, where=notes.stars == 1)

    assert listed(rated, "shown") == [("**",), ("****",)]


def test_update_of_unread_column_calls_nothing_in_nested_view(notes, words):
    calls: list[str] = []

    @bb.udf
    def shout(word: str) -> str:
        calls.append(word)
        return word.upper()

    loud = bb.create_view("loud", words, computed_columns={"loud": shout(words.word)})
    calls.clear()
    notes.update({"stars": 5})

    assert calls == []
    assert {row["stars"] for row in loud.collect()} == {5}
