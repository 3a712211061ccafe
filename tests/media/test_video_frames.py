"""Video frames as rows: selection, content and cost of access."""

from __future__ import annotations

import gc
import random
import shutil
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import pytest

import barbule as bb
from barbule.functions import FrameIterator, video
from barbule.media.streams import frames as decoding
from barbule.media.streams.frames import FrameReader
from fakes.films import film, grey_of, shade

CODECS = [
    ("a.mp4", "libx264"),
    ("b.mkv", "libx265"),
    ("c.webm", "libvpx-vp9"),
    ("d.avi", "mpeg4"),
    ("e.ts", "libx264"),
    ("f.h264", "libx264"),
]
CHOICES = [{}, {"fps": 2}, {"num_frames": 7}, {"keyframes_only": True}, {"every": 0.7}]


@pytest.fixture(scope="module", params=CODECS, ids=lambda codec: codec[0])
def clip(request, tmp_path_factory):
    name, codec = request.param
    return film(tmp_path_factory.mktemp("clips") / name, frames=50, codec=codec)


@pytest.fixture
def films(session):
    return bb.create_table("films", {"video": bb.Video, "title": bb.String})


@pytest.mark.parametrize("order", ["forward", "backward", "shuffled", "threads"])
def test_frames_are_correct_in_any_access_order(clip, order):
    for choice in CHOICES:
        rows = list(video.frames(str(clip), str(clip), **choice))
        if order == "backward":
            rows.reverse()
        if order == "shuffled":
            random.Random(1).shuffle(rows)
        read = FrameReader(Path).image
        references = [row["frame"] for row in rows]
        if order == "threads":
            with ThreadPoolExecutor(8) as pool:
                images = list(pool.map(read, references))
        else:
            images = list(map(read, references))
        apart = [
            abs(grey_of(image) - shade(row["pos_frame"]))
            for image, row in zip(images, rows, strict=True)
        ]
        assert max(apart) < 5


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({}, list(range(50))),
        ({"fps": 1}, [0, 10, 20, 30, 40]),
        ({"every": 2}, [0, 20, 40]),
        ({"fps": 1000}, list(range(50))),
        ({"num_frames": 5}, [5, 15, 25, 35, 45]),
        ({"num_frames": 1}, [25]),
        ({"num_frames": 99}, list(range(50))),
        ({"keyframes_only": True}, [0, 12, 24, 36, 48]),
    ],
)
def test_frame_options_select_frames(choice, expected):
    path = str(film("film.mp4", frames=50))
    rows = video.frames(path, path, **choice)
    assert [row["pos_frame"] for row in rows] == expected
    assert [row["frame_idx"] for row in rows] == list(range(len(expected)))
    assert [round(row["pos_msec"]) for row in rows] == [number * 100 for number in expected]
    assert all(row["key_frame"] for row in rows if row["pos_frame"] % 12 == 0)


def test_single_frame_video_has_one_frame(session):
    path = str(film("film.mp4", frames=1))
    assert [row["pos_frame"] for row in video.frames(path, path, fps=1)] == [0]


def test_view_of_frames_is_an_image_column(films):
    films.insert([{"video": str(film("a.mp4", frames=30)), "title": "a"}])
    rows = bb.create_view("frames", films, iterator=FrameIterator.create(video=films.video, fps=1))
    films.insert(video=str(film("b.mp4", frames=20, size=(32, 32))), title="b")

    frame_rows = rows.order_by("title", "pos").select("title", "pos", "frame").collect()
    assert frame_rows["title"] == ["a"] * 3 + ["b"] * 2
    assert [image.size for image in frame_rows["frame"]] == [(64, 48)] * 3 + [(32, 32)] * 2
    assert [
        abs(grey_of(image) - shade(10 * p)) < 5
        for image, p in zip(frame_rows["frame"], frame_rows["pos"], strict=True)
    ] == [True] * 5
    widths = rows.where(rows.title == "b").select(w=rows.frame.width()).collect()["w"]
    assert widths == [32, 32]

    films.delete(where=films.title == "a")
    assert len(rows.collect()) == 2


def test_frames_are_not_stored_and_derived_images_are(films, tmp_path):
    @bb.udf
    def mirrored(image: bb.Image) -> bb.Image:
        return image.transpose(0)

    films.insert(video=str(film("a.mp4", frames=30)), title="a")
    rows = bb.create_view("frames", films, iterator=FrameIterator.create(video=films.video, fps=1))
    stored = set((tmp_path / "home").rglob("*.png"))
    assert rows.select(s=rows.frame.height()).collect()["s"] == [48] * 3
    assert set((tmp_path / "home").rglob("*.png")) == stored

    rows.add_computed_column(mirrored=mirrored(rows.frame))
    uris = rows.select(u=rows.mirrored.uri(), f=rows.frame.uri()).collect()
    assert all(uri.startswith("media:") for uri in uris["u"])
    assert all(uri.startswith("frame:") for uri in uris["f"])


def test_frames_of_a_stored_video_are_read_from_the_store(films):
    content = film("a.mp4", frames=20).read_bytes()
    Path("a.mp4").unlink()
    films.insert(video=content, title="a")
    rows = bb.create_view("frames", films, iterator=FrameIterator.create(video=films.video, fps=1))
    assert [grey_of(i) // 10 for i in rows.order_by("pos").collect()["frame"]] == [
        shade(0) // 10, shade(10) // 10,
    ]  # fmt: skip


def test_frames_work_as_cached_function_arguments(films):
    films.insert(video=str(film("a.mp4", frames=20)), title="a")
    rows = bb.create_view("frames", films, iterator=FrameIterator.create(video=films.video, fps=1))
    contents: list[bytes] = []

    @bb.udf(cache=True)
    def brightness(image: bb.Image) -> int:
        contents.append(image.tobytes())
        return grey_of(image)

    first = rows.select(b=brightness(rows.frame)).collect()["b"]
    again = rows.select(b=brightness(rows.frame)).collect()["b"]
    assert first == again
    assert len(contents) == 2


def test_replaced_video_is_reopened(tmp_path, monkeypatch):
    monkeypatch.setattr(decoding, "_STATE_SECONDS", -1.0)
    film("a.mp4", frames=3, colors=[40] * 3)
    film("b.mp4", frames=3, colors=[200] * 3, size=(32, 32))
    reader = FrameReader(Path)
    assert grey_of(reader.image("frame:0+0:a.mp4")) < 60
    shutil.copy("b.mp4", "a.mp4")
    assert grey_of(reader.image("frame:0+0:a.mp4")) > 180


def test_frames_in_order_are_decoded_once(monkeypatch):
    path = film("film.mp4", frames=200, gop=250)
    decoded, seeks = [], []
    plain_walk, plain_seek = decoding._Decoder._frames, decoding._Decoder._seek

    def counting(self):
        for item in plain_walk(self):
            decoded.append(item[0])
            yield item

    def seeking(self, stamp):
        seeks.append(stamp)
        plain_seek(self, stamp)

    monkeypatch.setattr(decoding._Decoder, "_frames", counting)
    monkeypatch.setattr(decoding._Decoder, "_seek", seeking)
    reader = FrameReader(Path)
    rows = video.frames(str(path), str(path), fps=1)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda row: reader.image(row["frame"]), rows))
    assert not seeks
    assert len(decoded) == len(set(decoded)) <= 200


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of memory as Linux counts it")
def test_long_video_is_streamed_in_little_memory(tmp_path):
    minutes = 20
    path = film(
        "long.mp4", frames=minutes * 60, fps=1, size=(320, 240), gop=60, colors=[90] * minutes * 60
    )
    program = f"""
        import resource
        import barbule as bb
        from barbule.functions import FrameIterator
        bb.connect(vectors="exact:")
        table = bb.create_table("films", {{"video": bb.Video}})
        table.insert(video={str(path)!r})
        @bb.udf
        def grey(image: bb.Image) -> int:
            return image.convert("L").getpixel((300, 100))
        few = FrameIterator.create(video=table.video, num_frames=50)
        first = bb.create_view("few", table, iterator=few)
        first.add_computed_column(grey=grey(first.frame))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        rows = bb.create_view("frames", table, iterator=FrameIterator.create(video=table.video))
        rows.add_computed_column(grey=grey(rows.frame))
        print(rows.count().execute(), rows.grey.min().execute() // 10)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True
    )
    shape, grown = done.stdout.splitlines()
    assert shape == f"{minutes * 60} 9" or shape == f"{minutes * 60} 8"
    assert int(grown) < 120_000  # kilobytes; all frames would take 276 MB


def test_frames_are_freed_without_the_garbage_collector(tmp_path, monkeypatch):
    monkeypatch.setattr(decoding, "_FRAME_CACHE_BYTES", 0)
    path = str(film(tmp_path / "film.mp4", frames=300))
    reader = FrameReader(Path)
    references = [row["frame"] for row in video.frames(path, path)]

    def frames_alive():
        return sum(isinstance(value, av.VideoFrame) for value in gc.get_objects())

    gc.collect()
    gc.disable()
    try:
        before = frames_alive()
        for reference in references:
            reader.image(reference)
        after = frames_alive()
    finally:
        gc.enable()
    assert len(references) == 300
    assert after - before < 10
