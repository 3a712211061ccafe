"""What iterators over media are given: columns of the right type, texts that are paths, nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

import barbule as bb
from barbule.errors import ConfigurationError, ExpressionError

MAKERS = {
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


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("column", ["n", "image"])
def test_a_column_of_another_type_is_refused_by_its_name(session, table, maker, column):
    kind = KINDS[maker]
    message = f"table 't', column '{column}'.*parameter '{kind}' takes {kind}, and '{column}' is"
    with pytest.raises(ExpressionError, match=message):
        bb.create_view("v", table, iterator=MAKERS[maker](table[column]))
    assert session.list_tables() == ["t"]


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("source", [None, 5, b"bytes", ["a.mp4"]])
def test_what_is_no_column_and_no_path_is_refused(maker, source):
    kind, name = KINDS[maker], type(source).__name__
    with pytest.raises(ExpressionError, match=f"a column of type {kind} as {kind}, .* a {name}"):
        MAKERS[maker](source)


def test_texts_in_a_column_are_paths_of_videos(table, tmp_path):
    film = bb.functions.video.blank(1.0, size=(32, 24), fps=5)
    path = tmp_path / "film.mp4"
    path.write_bytes(Path(film).read_bytes())
    frames = bb.create_view("frames", table, iterator=MAKERS["video"](table.path))
    table.insert([{"n": 1, "path": str(path)}, {"n": 2}])
    assert frames.count().execute() == 5
    assert frames.order_by("pos").collect()[4, "frame"].size == (32, 24)
    assert frames.select(w=frames.frame.width()).collect()["w"] == [32] * 5


def test_no_samples_are_no_sound(session):
    encode = bb.functions.audio.encode
    rows = [{"n": 1, "x": [0.0] * 800, "rate": 8000}, {"n": 2, "rate": 8000}, {"n": 3, "x": [0.5]}]
    table = bb.create_table("t", rows)
    table.add_computed_column(sound=encode(table.x, table.rate))
    lengths = table.select("n", s=table.sound.duration()).order_by("n").collect()["s"]
    assert lengths == [0.1, None, None]
    for wrong in ([0.1, None], [float("nan")], [float("inf")]):
        with pytest.raises(ConfigurationError, match="samples are numbers, and one is missing"):
            encode(wrong, 8000)
