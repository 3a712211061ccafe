"""Invalid views and changes of views are refused and leave nothing behind."""

from __future__ import annotations

import pytest

import barbule as bb
from barbule.errors import (
    ConfigurationError,
    DependencyError,
    ExpressionError,
    SchemaError,
    TableExistsError,
    TableNotFoundError,
    UnsupportedError,
)


def test_a_view_of_an_old_version_is_refused(notes):
    notes.checkpoint("v1")
    with pytest.raises(UnsupportedError, match="over the table itself"):
        bb.create_view("v", notes.at("v1"))


def test_scalar_function_as_iterator_is_refused(notes):
    @bb.udf
    def count(text: str) -> int:
        return len(text)

    with pytest.raises(ExpressionError, match="not rows"):
        bb.create_view("v", notes, iterator=count(notes.text))


def test_iterator_without_row_schema_is_refused_at_definition():
    with pytest.raises(SchemaError, match="does not declare the columns of its rows"):

        @bb.iterator
        def parts(text: str):
            yield {"part": text}


def test_rows_of_a_view_cannot_be_changed(words):
    for change in (
        lambda: words.insert(word="x"),
        lambda: words.update({"word": "x"}),
        words.delete,
    ):
        with pytest.raises(UnsupportedError, match="rows of the base table"):
            change()


def test_iterator_column_with_name_of_base_column_is_refused(notes):
    @bb.iterator(return_type={"text": str})
    def again(text: str):
        yield {"text": text}

    with pytest.raises(SchemaError, match=r"column 'text'.*the base already has"):
        bb.create_view("v", notes, iterator=again(notes.text))
    assert bb.list_tables() == ["notes"]


def test_a_computed_column_with_a_name_of_the_base_is_refused(notes):
    with pytest.raises(SchemaError, match="column 'stars'"):
        bb.create_view("v", notes, computed_columns={"stars": notes.stars + 1})
    assert bb.list_tables() == ["notes"]


def test_a_computed_column_with_a_name_of_the_iterator_is_refused(notes, split):
    with pytest.raises(SchemaError, match="column 'word'"):
        bb.create_view(
            "v", notes, iterator=split(notes.text), computed_columns={"word": notes.text}
        )
    assert bb.list_tables() == ["notes"]


def test_view_with_name_of_table_is_refused(notes):
    with pytest.raises(TableExistsError, match="a table with this name already exists"):
        bb.create_view("notes", notes)


def test_if_exists_ignores_or_replaces_view(notes, words):
    same = bb.create_view("words", notes, if_exists="ignore")
    assert "word" in same.columns

    other = bb.create_view("words", notes.where(notes.stars == 2), if_exists="replace")
    assert other.columns == ("text", "stars")
    assert len(other.collect()) == 1


def test_unknown_if_exists_value_is_refused(notes):
    with pytest.raises(ConfigurationError, match="if_exists must be one of"):
        bb.create_view("v", notes, if_exists="overwrite")


def test_dropping_base_with_views_needs_cascade(notes, words):
    bb.create_view("good", notes.where(notes.stars > 1))

    with pytest.raises(DependencyError, match="'good'") as caught:
        bb.drop_table("notes")
    assert "'words'" in str(caught.value)
    assert bb.list_tables() == ["good", "notes", "words"]

    bb.drop_table("notes", cascade=True)
    assert bb.list_tables() == []


def test_replacing_a_base_needs_force(notes, words):
    bb.create_view("long", words.where(words.word.length() > 3))

    with pytest.raises(DependencyError, match="'words'"):
        bb.create_table("notes", {"a": bb.Int}, if_exists="replace")

    bb.create_table("notes", {"a": bb.Int}, if_exists="replace_force")
    assert bb.list_tables() == ["notes"]


def test_dropped_view_is_not_found(notes, words):
    bb.drop_table("words")

    with pytest.raises(TableNotFoundError, match="'notes'"):
        bb.get_table("words")
    notes.insert(text="still works", stars=3)
    assert len(notes.collect()) == 3
