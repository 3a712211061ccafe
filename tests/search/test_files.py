"""Video search with files of several kinds, given as paths, URLs or bytes."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

import barbule as bb
from barbule.errors import BarbuleError
from fakes.films import film, tone

# The similarity of (1, 2, 3) to a query shows which function embedded it.
KINDS = {1: "video", 2: "image", 3: "text"}


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "my files"
    folder.mkdir()
    PIL.Image.new("RGB", (16, 12), "red").save(folder / "red.png")
    PIL.Image.new("RGB", (16, 12), "red").save(folder / "RED.JPG")
    PIL.Image.new("RGB", (16, 12), "red").save(folder / "moving.gif")
    film(folder / "film.mp4", 10)
    (folder / "plain").write_bytes((folder / "film.mp4").read_bytes())
    tone(folder / "tone.wav", 0.5, codec="pcm_s16le")
    return folder


@pytest.fixture
def films(session, folder):
    @bb.udf
    def of_video(video: bb.Video) -> bb.Vector(3):
        return [1, 2, 3] if "stored" in Path(video).parts else [1, 0, 0]

    @bb.udf
    def of_image(image: bb.Image) -> bb.Vector(3):
        assert image.convert("RGB").getpixel((3, 3))[0] > 200
        return [0, 1, 0]

    @bb.udf
    def of_text(text: str) -> bb.Vector(3):
        return [0, 0, 1]

    table = bb.create_table("films", {"video": bb.Video})
    stored = folder / "stored"
    stored.mkdir()
    table.insert(video=film(stored / "film.mp4", 12))
    table.add_embedding_index(
        "video", embedding=of_video, image_embed=of_image, string_embed=of_text
    )
    return table


def kind_of(films, query) -> str:
    (score,) = films.select(s=films.video.similarity(query)).collect()["s"]
    return KINDS[round(score * math.sqrt(14))]


@pytest.mark.parametrize(
    ("query", "kind"),
    [
        (lambda folder: str(folder / "red.png"), "image"),
        (lambda folder: str(folder / "RED.JPG"), "image"),
        (lambda folder: folder / "red.png", "image"),
        (lambda folder: (folder / "red.png").as_uri(), "image"),
        (lambda folder: (folder / "red.png").read_bytes(), "image"),
        (lambda folder: PIL.Image.open(folder / "red.png"), "image"),
        (lambda folder: np.asarray(PIL.Image.open(folder / "red.png")), "image"),
        (lambda folder: str(folder / "film.mp4"), "video"),
        (lambda folder: folder / "film.mp4", "video"),
        (lambda folder: folder / "plain", "video"),
        (lambda folder: (folder / "film.mp4").as_uri(), "video"),
        (lambda folder: (folder / "film.mp4").read_bytes(), "video"),
        (lambda folder: folder / "moving.gif", "video"),
        (lambda _: "pink", "text"),
        (lambda _: "what is shown in red.png", "text"),
        (lambda _: "README.md", "text"),
        (lambda _: "cats and/or dogs", "text"),
    ],
)
def test_query_is_embedded_by_its_kind(films, folder, query, kind):
    assert kind_of(films, query(folder)) == kind


def test_query_url_kind_follows_its_extension(films):
    for query in ("https://example.com/a.jpg?size=2", "s3://bucket/a.png"):
        kind = films.video.similarity(query).op().query.dtype
        assert isinstance(kind, bb.Image)
    assert isinstance(films.video.similarity("https://example.com/film").op().query.dtype, bb.Video)


@pytest.mark.parametrize("query", ["/no/such/file.png", "/no/such/file.mp4", "file.mp4"])
def test_missing_query_file_raises(films, query):
    with pytest.raises(BarbuleError, match="does not exist"):
        films.select(s=films.video.similarity(query)).collect()


def test_unsupported_query_kind_is_refused(films, folder):
    with pytest.raises(BarbuleError, match="not an audio file"):
        films.select(s=films.video.similarity(str(folder / "tone.wav"))).collect()


def test_path_query_on_text_column_is_a_text(session, folder):
    @bb.udf
    def of_text(text: str) -> bb.Vector(3):
        return [0, 0, 1]

    table = bb.create_table("names", {"name": bb.String})
    table.insert(name="red.png")
    table.add_embedding_index("name", string_embed=of_text)
    assert table.select(s=table.name.similarity(str(folder / "red.png"))).collect()["s"] == [1.0]
