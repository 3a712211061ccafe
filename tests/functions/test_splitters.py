"""Splitters and iterators share one order and naming of arguments."""

from __future__ import annotations

import inspect

import pytest

import barbule as bb
from barbule import functions

COLUMNS = {
    "DocumentSplitter": "document",
    "StringSplitter": "text",
    "AudioSplitter": "audio",
    "VideoSplitter": "video",
    "FrameIterator": "video",
}
# Arguments with the same meaning share one name and order.
ORDERED = [
    "separators", "duration", "fps", "segment_times", "chunk_size", "overlap", "min_duration",
    "limit", "metadata", "ocr", "skip_tags", "tiktoken_encoding", "tiktoken_target_model", "mode",
    "format", "num_frames", "keyframes_only", "every", "encoding",
]  # fmt: skip


@pytest.mark.parametrize("name", COLUMNS)
def test_splitter_arguments_follow_one_order(name):
    parameters = list(inspect.signature(getattr(functions, name).create).parameters.values())
    column, way, *others = parameters
    assert column.name == COLUMNS[name]
    assert column.kind is way.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    assert way.default is None
    assert all(other.kind is inspect.Parameter.KEYWORD_ONLY for other in others)
    places = [ORDERED.index(parameter.name) for parameter in parameters[1:]]
    assert places == sorted(places)


def test_splitter_arguments_are_positional_or_named(session):
    table = bb.create_table(
        "t", {"doc": bb.Document, "text": bb.String, "sound": bb.Audio, "film": bb.Video}
    )
    for name, column, way in (
        ("DocumentSplitter", table.doc, "sentence"),
        ("StringSplitter", table.text, "sentence"),
        ("AudioSplitter", table.sound, 2.0),
        ("VideoSplitter", table.film, 2.0),
        ("FrameIterator", table.film, 1.0),
    ):
        create = getattr(functions, name).create
        second = list(inspect.signature(create).parameters)[1]
        named = create(**{COLUMNS[name]: column, second: way})
        assert create(column, way).equals(named)


def test_nested_splitter_views_have_distinct_position_columns(session):
    notes = bb.create_table("notes", {"note": bb.String})
    notes.insert(note="One. Two. Three.")
    create = functions.StringSplitter.create
    chunks = bb.create_view("chunks", notes, iterator=create(notes.note, "sentence"))
    assert list(chunks.columns) == ["note", "pos", "text"]
    base = chunks.select("pos", sentence=chunks.text)
    words = bb.create_view("words", base, iterator=create(base.sentence, [" ", "."]))
    assert list(words.columns) == ["pos", "sentence", "pos_2", "text"]
    rows = words.where(words.pos == 1).order_by("pos_2").collect()
    assert [(row["pos_2"], row["text"]) for row in rows] == [(0, "Two.")]
