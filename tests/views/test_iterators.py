"""User-defined iterators: functions and classes, typed rows, errors of single rows."""

from __future__ import annotations

import dataclasses
import sys
import textwrap
from collections.abc import Iterator  # noqa: TC003 - read when the iterator is declared
from typing import NamedTuple, TypedDict

import pytest

import barbule as bb
import programs
from barbule.errors import ExpressionError, FunctionError, SchemaError
from patience import PATIENCE


class Word(TypedDict):
    word: str
    size: int


@dataclasses.dataclass
class Letter:
    letter: str


class Half(NamedTuple):
    half: str


@pytest.fixture
def fragile():
    """Split texts into words and fail on "boom"; `fragile.mended` makes it accept all."""

    @bb.iterator
    def fragile(text: str) -> Iterator[Word]:
        if "boom" in text and not mended:
            raise ValueError("it went boom")
        for word in text.split():
            yield {"word": word, "size": "long" if word == "odd" else len(word)}

    mended: list[bool] = []
    fragile.__dict__["mended"] = mended
    return fragile


def rows_of(view) -> list[tuple]:
    rows = view.order_by("stars", "pos").select("stars", "pos", "word").collect()
    return [tuple(row.values()) for row in rows]


def test_class_iterator_is_iterated_and_closed(notes):
    closed = []

    @bb.iterator
    class Words:
        """Cut a text."""

        def __init__(self, text: str, between: str = " ") -> None:
            self._parts = iter(text.split(between))

        def __next__(self) -> Word:
            word = next(self._parts)
            return {"word": word, "size": len(word)}

        def close(self) -> None:
            closed.append(self)

    assert Words("a bc") == [{"word": "a", "size": 1}, {"word": "bc", "size": 2}]
    view = bb.create_view("words", notes, iterator=Words(notes.text, between=" of "))
    assert rows_of(view) == [(1, 0, "strands"), (1, 1, "a feather"), (2, 0, "one vane")]
    assert view.schema()["size"] == bb.Int(nullable=False)
    assert len(closed) == 3


def test_iterator_may_yield_dataclasses_and_named_tuples(notes):
    @bb.iterator
    class Letters:
        def __init__(self, text: str) -> None:
            self.text = text

        def __iter__(self) -> Iterator[Letter]:
            return map(Letter, self.text[:2])

    @bb.iterator(return_type={"half": str})
    def halves(text: str):
        middle = len(text) // 2
        return [Half(text[:middle]), Half(text[middle:])]

    letters = bb.create_view("letters", notes, iterator=Letters(notes.text))
    assert sorted(letters.collect()["letter"]) == ["n", "o", "s", "t"]
    parts = bb.create_view("parts", notes.where(notes.stars == 2), iterator=halves(notes.text))
    assert parts.order_by("pos").collect()["half"] == ["one ", "vane"]


def test_invalid_iterator_definitions_are_refused():
    with pytest.raises(SchemaError, match="does not declare the columns of its rows"):

        @bb.iterator
        def untyped(text: str): ...

    with pytest.raises(ExpressionError, match="__iter__ or __next__"):

        @bb.iterator
        class Nothing: ...

    with pytest.raises(ExpressionError, match="plain function or a class"):

        @bb.iterator(return_type=Word)
        async def waiting(text: str): ...

    with pytest.raises(ExpressionError, match="must be 'abort' or 'null'"):

        @bb.iterator(return_type=Word, on_error="skip")
        def skipping(text: str): ...


def test_iterator_error_aborts_insert_and_names_row(notes, fragile):
    view = bb.create_view("words", notes, iterator=fragile(notes.text))
    with pytest.raises(FunctionError, match=r"table 'words', row 1: .*fragile failed: .*boom"):
        notes.insert([{"text": "fine", "stars": 3}, {"text": "boom", "stars": 4}])
    assert notes.count().execute() == 2
    assert len(rows_of(view)) == 6


def test_on_error_null_keeps_other_rows_and_records_errors(notes, fragile):
    view = bb.create_view("words", notes, iterator=fragile(notes.text), on_error="null")
    reported = notes.insert(
        [
            {"text": "ok", "stars": 3},
            {"text": "boom", "stars": 4},
            {"text": "odd", "stars": 5},
            {"text": None, "stars": 6},
        ]
    )
    assert reported.errors == 2
    assert rows_of(view)[6:] == [(3, 0, "ok"), (4, None, None), (5, None, None)]
    errors = view.errors().order_by("row").collect()
    assert errors["column"] == ["word", "word"]
    assert errors["type"] == ["ValueError", "DataError"]
    assert errors[0, "message"] == "it went boom"
    assert "item 0" in errors[1, "message"]
    assert "it went boom" in view._repr_mimebundle_()["text/html"]
    why = view.where(view.word.error.notnull()).select("stars", why=view.word.error["type"])
    assert sorted(why.collect()["stars"]) == [4, 5]

    notes.update({"text": "now fine"}, where=notes.stars == 4)
    notes.delete(where=notes.stars == 5)
    assert rows_of(view)[6:] == [(3, 0, "ok"), (4, 0, "now"), (4, 1, "fine")]
    assert len(view.errors().collect()) == 0
    assert [row[2] for row in rows_of(view.at(1))[6:]] == ["ok", None, None]


def test_iterator_may_set_on_error_itself(notes):
    @bb.iterator(return_type=Word, on_error="null")
    def never(text: str):
        raise OSError("no disk")

    view = bb.create_view("kept", notes, iterator=never(notes.text))
    assert view.errors().collect()["type"] == ["OSError"] * 2
    with pytest.raises(ExpressionError, match="is declared with"):
        bb.create_view("ended", notes, iterator=never(notes.text), on_error="abort")
    assert "ended" not in bb.list_tables()


def test_recompute_retries_failed_iterator_rows(notes, fragile):
    view = bb.create_view("words", notes, iterator=fragile(notes.text), on_error="null")
    view.add_computed_column(loud=view.word.upper(), stored=True)
    notes.insert([{"text": "boom", "stars": 3}, {"text": "boom boom", "stars": 4}])
    lower_view = bb.create_view("below", view.where(view.word == "boom"))
    assert view.recompute("word", errors_only=True).errors == 2
    fragile.mended.append(True)
    assert view.recompute(errors_only=True).errors == 0
    assert rows_of(view)[6:] == [(3, 0, "boom"), (4, 0, "boom"), (4, 1, "boom")]
    assert lower_view.collect()["loud"] == ["BOOM"] * 3


def test_on_error_null_covers_nested_calls_but_not_filters(notes, fragile):
    @bb.udf
    def careful(text: str) -> str:
        if "vane" in text:
            raise KeyError("vane")
        return text

    view = bb.create_view("words", notes, iterator=fragile(careful(notes.text)), on_error="null")
    assert [row[:2] for row in rows_of(view)] == [(1, 0), (1, 1), (1, 2), (1, 3), (2, None)]
    assert view.errors().collect()["type"] == ["KeyError"]
    chosen = notes.where(careful(notes.text) != "")
    with pytest.raises(FunctionError, match="careful failed"):
        bb.create_view("chosen", chosen, iterator=fragile(notes.text), on_error="null")


def test_iterator_view_over_iterator_view_has_columns_of_both(notes, fragile):
    @bb.iterator
    def letters(word: str) -> Iterator[Letter]:
        yield from map(Letter, word[:2])

    words = bb.create_view("words", notes, iterator=fragile(notes.text), on_error="null")
    short = words.where(words.size < 4).select("stars", "word", place=words.pos)
    view = bb.create_view("letters", short, iterator=letters(words.word))
    notes.insert([{"text": "up", "stars": 3}, {"text": "boom", "stars": 4}])
    rows = view.order_by("stars", "place", "pos").collect()
    assert rows["letter"] == ["o", "f", "a", "o", "n", "u", "p"]
    assert rows["pos"] == [0, 1, 0, 0, 1, 0, 1]
    assert rows["place"] == [1, 1, 2, 0, 0, 0, 0]
    notes.delete(where=notes.stars == 1)
    assert view.count().execute() == 4


def test_view_with_on_error_null_is_updated_in_another_process(tmp_path):
    """The stored view can be updated once the iterator is defined."""
    program = textwrap.dedent(
        """
        import sys
        import barbule as bb
        bb.connect(home=sys.argv[1], vectors="exact:")
        @bb.iterator(return_type={"word": str})
        def words(text: str):
            if "boom" in text:
                raise ValueError("it went boom")
            yield from ({"word": word} for word in text.split())
        if "notes" not in bb.list_tables():
            notes = bb.create_table("notes", [{"text": "boom"}])
            bb.create_view("words", notes, iterator=words(notes.text), on_error="null")
        bb.get_table("notes").insert([{"text": "one vane"}, {"text": "boom"}])
        view = bb.get_table("words")
        print(view.count().execute(), view.errors().collect()["message"])
        """
    )
    (tmp_path / "program.py").write_text(program)
    for expected in ("4 ['it went boom', 'it went boom']", "7 ['it went boom', "):
        command = [sys.executable, str(tmp_path / "program.py"), str(tmp_path / "home")]
        done = programs.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE)
        assert done.stdout.startswith(expected)
