"""Damaged, wrong or unusual videos and audio: an error that names the file, or a result."""

from __future__ import annotations

import base64
import subprocess
import sys
from pathlib import Path

import pytest

import barbule as bb
from barbule.errors import ConfigurationError, MediaError
from barbule.functions import audio, video
from barbule.media.library import MediaLibrary
from fakes.films import film, grey_of, shade, tone, turn

SMALL = {"frames": 8, "size": (32, 32), "gop": 4}


@pytest.fixture
def library(tmp_path):
    return MediaLibrary(str(tmp_path / "store"), tmp_path / "cache")


@pytest.mark.parametrize("kind", ["Video", "Audio"])
@pytest.mark.parametrize(
    ("content", "message"), [(b"", "is empty"), (b"<html>no</html>" * 50, "cannot be read")]
)
def test_non_media_file_aborts_the_insert_and_is_named(session, kind, content, message):
    good = film("good.mp4", sound="aac", **SMALL)
    Path("bad.mp4").write_bytes(content)
    table = bb.create_table("films", {"file": getattr(bb, kind)})

    with pytest.raises(MediaError, match=rf"column 'file', row 1: .*bad\.mp4 {message}"):
        table.insert([{"file": str(good)}, {"file": "bad.mp4"}])
    assert len(table.collect()) == 0


def test_audio_is_no_video_and_silent_video_no_audio(session):
    tone("tone.mp3", codec="libmp3lame")
    film("silent.mp4", **SMALL)
    table = bb.create_table("films", {"video": bb.Video, "sound": bb.Audio})

    with pytest.raises(MediaError, match="has no video frames"):
        table.insert(video="tone.mp3")
    with pytest.raises(MediaError, match="has no sound"):
        table.insert(sound="silent.mp4")


def test_wrong_kind_and_unnamed_content_are_named_in_errors(session):
    import PIL.Image

    PIL.Image.new("RGB", (32, 32)).save("picture.mp4", format="JPEG")
    table = bb.create_table("films", {"file": bb.Video})
    with pytest.raises(
        MediaError, match=r"row 0: .*picture\.mp4 cannot be read: it is not an audio"
    ):
        table.insert(file="picture.mp4")
    half = film("good.mp4", **SMALL).read_bytes()[:700]
    with pytest.raises(
        MediaError, match=r"'file', row 0: the content that is stored as media:.* c"
    ):
        table.insert(file=half)


def test_fetched_video_is_named_by_its_url(session):
    data = film("good.mp4", **SMALL).read_bytes()[:700]
    address = f"data:video/mp4;base64,{base64.b64encode(data).decode()}"
    table = bb.create_table("films", {"file": bb.Video})
    with pytest.raises(MediaError, match=r"'file', row 0: .*data:.* cannot be read"):
        table.insert(file=address)


def test_file_extension_is_ignored(session):
    film("film.mp4", sound="aac", **SMALL).rename("film.avi")
    tone("tone.mp3", codec="libmp3lame").rename("tone.wav")
    table = bb.create_table("films", {"video": bb.Video, "sound": bb.Audio})
    table.insert(video="film.avi", sound="tone.wav")

    row = table.select(v=table.video.duration(), s=table.sound.duration()).collect()[0]
    assert row["v"] == pytest.approx(0.8, abs=0.1)
    assert row["s"] == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize(
    "text", ["#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", "ffconcat version 1.0\nfile a"]
)
def test_playlists_are_rejected(session, text):
    Path("list.mp4").write_text(text)
    with pytest.raises(MediaError, match=r"list\.mp4 cannot be read"):
        video.get_metadata("list.mp4")


def test_audio_of_a_silent_video_is_null(session):
    film("silent.mp4", **SMALL)
    film("loud.mp4", sound="aac", **SMALL)
    table = bb.create_table("films", {"video": bb.Video})
    table.insert([{"video": "silent.mp4"}, {"video": "loud.mp4"}])
    table.add_computed_column(sound=table.video.extract_audio(format="flac"))
    table.add_computed_column(other=table.video.extract_audio(stream_idx=3))

    flags = table.select(s=table.sound.isnull(), o=table.other.isnull()).collect()
    assert sorted(flags["s"]) == [False, True]
    assert flags["o"] == [True, True]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fps": 0}, "fps must be a number above 0"),
        ({"fps": -1}, "fps"),
        ({"fps": float("nan")}, "fps"),
        ({"every": 0}, "every"),
        ({"num_frames": 0}, "num_frames"),
        ({"num_frames": 1.5}, "must be an integer"),
        ({"fps": 1, "keyframes_only": True}, "cannot be combined"),
    ],
)
def test_invalid_frame_options_fail_before_any_read(session, options, message):
    table = bb.create_table("films", {"video": bb.Video})
    with pytest.raises(ConfigurationError, match=message):
        bb.functions.FrameIterator.create(video=table.video, **options)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f: video.clip(f, -1), "start"),
        (lambda f: video.clip(f, 2, 1), "no length"),
        (lambda f: video.clip(f, 0, 1, 1), "Pass one"),
        (lambda f: video.clip(f, float("inf")), "start"),
        (lambda f: video.clip(f, 0, 1, mode="quick"), "mode"),
        (lambda f: video.extract_frame(f, -1), "timestamp"),
        (video.segment, "Pass one"),
        (lambda f: video.segment(f, -1), "duration"),
        (lambda f: video.segment(f, segment_times=[2, 1]), "increasing"),
        (video.resample, "fps, width or height"),
        (lambda f: video.resample(f, fps=0), "fps"),
        (lambda f: video.overlay_text(f, "a", color="bluish"), "colour"),
        (lambda f: video.overlay_text(f, "a", opacity=2), "opacity"),
        (lambda f: video.overlay_text(f, "a", font="none.ttf"), "font"),
        (lambda f: video.overlay_text(f, "a", vertical_align="left"), "vertical_align"),
        (lambda f: video.extract_audio(f, format="wma"), "wma"),
        (lambda f: video.scene_detect_content(f, fps=0), "fps"),
        (lambda f: video.scene_detect_threshold(f, method="roof"), "method"),
        (lambda _: video.make_video([None], fps=0), "fps"),
    ],
)
def test_invalid_arguments_are_rejected(session, call, message):
    path = film("film.mp4", **SMALL)
    with pytest.raises(ConfigurationError, match=message):
        call(path)


def test_times_beyond_the_end_return_null(session):
    path = film("film.mp4", sound="aac", **SMALL)
    assert video.extract_frame(path, 60) is None
    assert video.clip(path, 60) is None
    assert video.clip(path, 60, mode="fast") is None
    assert audio.clip(path, 60) is None


def test_error_names_its_row(session):
    film("good.mp4", **SMALL)
    film("bad.mp4", **SMALL)
    table = bb.create_table("films", {"video": bb.Video})
    table.insert([{"video": "good.mp4"}, {"video": "bad.mp4"}])
    Path("bad.mp4").write_bytes(b"gone")

    with pytest.raises(MediaError, match=r"row 1: .*bad\.mp4 cannot be read"):
        table.add_computed_column(seconds=table.video.duration())


def test_rotated_video_is_shown_upright(session):
    path = turn(film("film.mp4", **SMALL | {"size": (64, 32)}))

    still = video.extract_frame(path, 0.0)
    assert still.size == (32, 64)
    top, bottom = (still.convert("L").getpixel((16, y)) for y in (4, 60))
    assert top > 200  # the left bar is at the top
    assert bottom < 60
    for mode in ("accurate", "fast"):
        assert video.extract_frame(video.clip(path, 0, 0.5, mode=mode), 0.0).size == (32, 64)


def test_frames_of_uneven_timestamps_are_the_nearest(library):
    stamps = [0, 1, 2, 9, 10, 11, 25, 30, 31, 39]
    path = film("film.mkv", frames=10, stamps=stamps, gop=3)

    rows = video.frames(str(path), str(path), fps=1)
    assert [row["pos_frame"] for row in rows] == [0, 4, 6, 7]
    assert [round(row["pos_msec"]) for row in rows] == [0, 1000, 2500, 3000]
    images = [library.image(row["frame"]) for row in rows]
    assert [
        abs(grey_of(i) - shade(r["pos_frame"])) < 5 for i, r in zip(images, rows, strict=True)
    ] == [True] * 4


def test_missing_container_duration_is_measured(session):
    program = (
        "import av, sys\n"
        "with av.open(sys.argv[1]) as i, av.open(sys.stdout.buffer, 'w', format='matroska') as o:\n"
        "    s = o.add_stream_from_template(i.streams.video[0])\n"
        "    for p in i.demux(video=0):\n"
        "        if p.dts is not None: p.stream = s; o.mux(p)\n"
    )
    path = film("film.mkv", frames=20, codec="mpeg4")
    piped = subprocess.run([sys.executable, "-c", program, path], capture_output=True, check=True)
    Path("piped.mkv").write_bytes(piped.stdout)

    assert video.get_metadata("piped.mkv")["duration_seconds"] is None
    assert video.duration("piped.mkv") == pytest.approx(2.0, abs=0.15)
    assert len(video.frames("piped.mkv", "piped.mkv", num_frames=4)) == 4


def test_excessive_timestamp_gap_is_rejected_by_split(tmp_path):
    path = film(tmp_path / "leaps.mkv", 3, fps=1, codec="mpeg4", stamps=[0, 1, 100_000])
    with pytest.raises(MediaError, match=r"leaps\.mkv has a frame that is shown for 99,999 s"):
        video.split(path, 0.5)
    assert video.duration(path) > 99_999


@pytest.mark.parametrize("sound", [None, "aac"])
def test_excessive_last_frame_duration_is_rejected(tmp_path, sound):
    path = film(tmp_path / "last.mp4", 1, codec="mpeg4", sound=sound)
    data = bytearray(path.read_bytes())
    times = data.find(b"stts")  # frame durations: flags, entries, frames, units
    data[times + 16 : times + 20] = b"\x7f" + b"\xff" * 3
    path.write_bytes(data)
    for use in (
        lambda: video.clip(path, 0.02),
        lambda: video.clip(path, 0.02, mode="fast"),
        lambda: video.split(path, 0.5),
    ):
        with pytest.raises(MediaError, match=r"last\.mp4 has a frame that is shown for 209,715 s"):
            use()


@pytest.mark.parametrize("mode", ["accurate", "fast"])
def test_very_low_frame_rate_does_not_give_thousands_of_segments(tmp_path, mode):
    path = film(tmp_path / "slow.avi", 8, size=(32, 32), codec="mpeg4", gop=4)
    data = bytearray(path.read_bytes())
    header = data.find(b"strh") + 8
    data[header + 20 : header + 28] = (500).to_bytes(4, "little") + (1).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(MediaError, match=r"slow\.avi cannot be split into more than 1,800 parts"):
        video.split(path, 0.5, mode=mode)
    assert len(video.split(path, 500.0)) == 8
