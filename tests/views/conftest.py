"""A small table of sentences and an iterator over their words that counts its calls."""

from __future__ import annotations

import pytest

import barbule as bb


@pytest.fixture
def notes(session):
    table = bb.create_table("notes", {"text": bb.String, "stars": bb.Int})
    table.insert([{"text": "strands of a feather", "stars": 1}, {"text": "one vane", "stars": 2}])
    return table


@pytest.fixture
def split():
    """Cut a text into words; `split.calls` lists the texts it was called with."""
    calls: list[str] = []

    @bb.iterator(return_type={"word": str})
    def split(text: str):
        calls.append(text)
        if "boom" in text:
            raise ValueError("it went boom")
        for word in text.split():
            yield {"word": word}

    split.__dict__["calls"] = calls
    return split


@pytest.fixture
def words(notes, split):
    view = bb.create_view("words", notes, iterator=split(notes.text))
    split.calls.clear()
    return view
