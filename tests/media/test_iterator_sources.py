"""Sources of media iterators: column types, string paths and null values."""

from __future__ import annotations

from pathlib import Path

import pytest

import barbule as bb
from barbule.errors import ConfigurationError, ExpressionError

FACTORIES = {
    "video": lambda source: bb.functions.FrameIterator.create(video=source),
    "pieces": lambda source: bb.functions.VideoSplitter.create(video=source, duration=1.0),
    "audio": lambda source: bb.functions.AudioSplitter.create(audio=source, duration=1.0),
    "document": lambda source: bb.functions.DocumentSplitter.create(document=source),
}
KINDS = {"video": "video", "pieces": "video", "audio": "audio", "document": "document"}


@pytest.fixture
def table(session):
    return bb.create_table(
        "t", {"n": bb.Int, "image": bb.Image, "video": bb.Video, "path": bb.String}
    )


@pytest.mark.parametrize("factory", FACTORIES)
@pytest.mark.parametrize("column", ["n", "image"])
def test_column_of_another_type_is_rejected_by_name(session, table, factory, column):
    kind = KINDS[factory]
    message = f"table 't', column '{column}'.*parameter '{kind}' takes {kind}, but '{column}' is"
    with pytest.raises(ExpressionError, match=message):
        bb.create_view("v", table, iterator=FACTORIES[factory](table[column]))
    assert session.list_tables() == ["t"]


@pytest.mark.parametrize("factory", FACTORIES)
@pytest.mark.parametrize("source", [None, 5, b"bytes", ["a.mp4"]])
def test_source_that_is_no_column_and_no_path_is_rejected(factory, source):
    kind, name = KINDS[factory], type(source).__name__
    message = f"a column of type {kind} as {kind}, but this is an? {name}"
    with pytest.raises(ExpressionError, match=message):
        FACTORIES[factory](source)


def test_string_column_holds_video_paths(table, tmp_path):
    film = bb.functions.video.blank(1.0, size=(32, 24), fps=5)
    path = tmp_path / "film.mp4"
    path.write_bytes(Path(film).read_bytes())
    frames = bb.create_view("frames", table, iterator=FACTORIES["video"](table.path))
    table.insert([{"n": 1, "path": str(path)}, {"n": 2}])
    assert frames.count().execute() == 5
    assert frames.order_by("pos").collect()[4, "frame"].size == (32, 24)
    assert frames.select(w=frames.frame.width()).collect()["w"] == [32] * 5


def test_null_samples_give_null_audio(session):
    encode = bb.functions.audio.encode
    rows = [{"n": 1, "x": [0.0] * 800, "rate": 8000}, {"n": 2, "rate": 8000}, {"n": 3, "x": [0.5]}]
    table = bb.create_table("t", rows)
    table.add_computed_column(sound=encode(table.x, table.rate))
    lengths = table.select("n", s=table.sound.duration()).order_by("n").collect()["s"]
    assert lengths == [0.1, None, None]
    for wrong in ([0.1, None], [float("nan")], [float("inf")]):
        with pytest.raises(ConfigurationError, match="samples must be numbers; one is missing"):
            encode(wrong, 8000)
