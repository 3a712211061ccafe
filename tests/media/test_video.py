"""Video functions: length, frames and sound of their results."""

from __future__ import annotations

import doctest
from pathlib import Path

import av
import PIL.Image
import pytest

import barbule as bb
from barbule.errors import ConfigurationError, MediaError
from barbule.functions import VideoSplitter, audio, video
from barbule.media.streams.probing import read_timeline
from fakes.films import film, grey_of, pitch, samples_of, shade

REAL = Path(__file__).parents[3] / "shared" / "data"
REAL_VIDEO = REAL / "videos" / "bangkok_half_res.mp4"


@pytest.fixture
def path(session):
    return film("film.mp4", frames=50, sound="aac")


@pytest.fixture
def films(path):
    table = bb.create_table("films", {"video": bb.Video, "start": bb.Float})
    table.insert(video=str(path), start=1.5)
    return table


def shades(file) -> list[int]:
    with av.open(str(file)) as container:
        return [grey_of(frame.to_image()) for frame in container.decode(video=0)]


def looks_like(file, frames) -> bool:
    actual = shades(file)
    expected = [shade(frame) for frame in frames]
    return (
        len(actual) == len(expected)
        and max(abs(a - b) for a, b in zip(actual, expected, strict=True)) < 6
    )


def test_metadata_and_duration_are_read(films):
    row = films.select(meta=films.video.get_metadata(), seconds=films.video.duration()).collect()[0]
    picture, sound = row["meta"]["streams"]
    assert (picture["width"], picture["height"], picture["average_rate"]) == (64, 48, 10.0)
    assert (sound["type"], sound["sample_rate"]) == ("audio", 44100)
    assert row["seconds"] == pytest.approx(5, abs=0.1)


def test_accurate_clip_has_exact_frames_and_sound(path):
    clip = video.clip(path, 1.5, 3.0)
    assert looks_like(clip, range(15, 30))
    samples, rate = samples_of(clip)
    assert samples.shape[1] / rate == pytest.approx(1.5, abs=0.05)
    assert pitch(clip) == pytest.approx(440, abs=2)


def test_fast_clip_starts_at_a_key_frame(path):
    clip = video.clip(path, 1.5, 3.0, mode="fast")
    assert shades(clip)[:18] == pytest.approx([shade(frame) for frame in range(12, 30)], abs=5)
    assert len(shades(clip)) <= 18 + 3  # frames needed to decode the last ones
    assert pitch(clip) == pytest.approx(440, abs=2)


def test_clip_by_duration_and_clip_to_the_end(path):
    assert looks_like(video.clip(path, 1.0, duration=0.5), range(10, 15))
    assert looks_like(video.clip(path, 4.0), range(40, 50))


def test_clips_are_stored_and_accept_columns(films):
    films.add_computed_column(clip=films.video.clip(films.start, films.start + 1))
    row = films.select(films.clip, uri=films.clip.uri()).collect()[0]
    assert row["uri"].startswith("media:")
    assert row["uri"].endswith(".mp4")
    assert looks_like(row["clip"], range(15, 25))
    seconds = films.select(s=films.video.clip(0, 2).extract_audio().duration()).collect()["s"]
    assert seconds == [pytest.approx(2.0, abs=0.05)]


def test_temporary_file_is_deleted_with_its_last_reference(path):
    clip = video.clip(path, 0, 1)
    path_of_clip = clip.path
    assert path_of_clip.is_file()
    del clip
    assert not path_of_clip.exists()


def test_user_function_can_return_a_temporary_file_or_bytes(films, tmp_path):
    @bb.udf
    def copied(source: bb.Video) -> bb.Video:
        target = tmp_path / "copy.mp4"
        target.write_bytes(Path(source).read_bytes())
        return str(target)

    @bb.udf
    def loaded(source: bb.Video) -> bb.Video:
        return Path(source).read_bytes()

    films.add_computed_column(copied=copied(films.video))
    films.add_computed_column(loaded=loaded(films.video))
    (tmp_path / "copy.mp4").unlink()
    row = films.select(films.copied, films.loaded, uri=films.loaded.uri()).collect()[0]
    assert row["copied"] == row["loaded"]
    assert row["uri"].endswith(".mp4")
    assert video.duration(row["copied"]) == pytest.approx(5, abs=0.1)


@pytest.mark.parametrize("ending", ["wav", "flac", "mp3", "m4a", "ogg"])
def test_audio_is_extracted(path, ending):
    sound = video.extract_audio(path, format=ending)
    assert pitch(sound) == pytest.approx(440, abs=2)
    assert audio.duration(sound) == pytest.approx(5, abs=0.1)


def test_frame_at_a_time_is_extracted(films):
    times = {"first": 0, "between": 1.55, "last": 4.95}
    row = films.select(
        **{name: films.video.extract_frame(time) for name, time in times.items()},
        beyond=films.video.extract_frame(films.start * 10),
    ).collect()[0]
    for name, frame in {"first": 0, "between": 15, "last": 49}.items():
        assert grey_of(row[name]) == pytest.approx(shade(frame), abs=5)
    assert row["beyond"] is None


def test_segments_hold_every_frame_once(path):
    parts = video.segment(path, 2.0)
    assert [len(shades(part)) for part in parts] == [20, 20, 10]
    assert looks_like(parts[1], range(20, 40))
    fast = video.segment(path, 2.0, mode="fast")
    assert [len(shades(part)) for part in fast] == [24, 24, 2]
    assert looks_like(fast[1], range(24, 48))
    assert [len(shades(p)) for p in video.segment(path, segment_times=[1.0, 4.5])] == [10, 35, 5]


def test_concat_joins_videos(path):
    short = video.clip(path, 0, 1)
    silent = film("silent.mp4", frames=5)
    joined = video.concat(short, silent, None, short)
    assert looks_like(joined, [*range(10), *range(5), *range(10)])
    samples, rate = samples_of(joined)
    loud = abs(samples[0])
    assert loud[: rate * 9 // 10].max() > 0.3
    assert loud[int(rate * 1.1) : int(rate * 1.4)].max() < 0.01
    assert loud[int(rate * 1.6) :].max() > 0.3
    assert video.concat([None]) is None
    with pytest.raises(MediaError, match="32 x 32"):
        video.concat(short, film("small.mp4", frames=2, size=(32, 32)))


def test_concat_joins_columns(films):
    films.add_computed_column(twice=films.video.concat(films.video.clip(0, 1)))
    assert len(shades(films.collect()[0, "twice"])) == 60


def test_resample_changes_rate_and_size(path):
    slow = video.resample(path, fps=5)
    assert looks_like(slow, range(0, 50, 2))
    assert len(shades(video.resample(path, fps=20))) == 100
    assert video.extract_frame(video.resample(path, width=32), 0).size == (32, 24)
    assert video.extract_frame(video.resample(path, height=24, width=20), 0).size == (20, 24)


def test_text_is_overlaid_at_its_position():
    path = film("film.mp4", frames=3, size=(320, 240), colors=[0] * 3)
    overlaid = video.overlay_text(
        path, "HELLO", font_size=40, color="#ff0000", horizontal_align="right",
        vertical_align="bottom", vertical_margin=10, horizontal_margin=5,
    )  # fmt: skip
    red, *_ = video.extract_frame(overlaid, 0.1).split()
    box = red.crop((100, 0, 320, 240)).point(lambda value: 255 * (value > 120)).getbbox()
    assert box is not None
    left, top, right, bottom = box
    assert right > 200
    assert left > 40
    assert top > 170
    assert 220 < bottom <= 232


def test_text_box_is_blended():
    path = film("film.mp4", frames=2, size=(320, 240), colors=[0, 0])
    overlaid = video.overlay_text(
        path, ".", font_size=10, box=True, box_color="white", box_opacity=0.5, box_border=[40]
    )
    assert 110 < video.extract_frame(overlaid, 0).convert("L").getpixel((190, 120)) < 145


@pytest.mark.parametrize(
    "detect",
    [
        video.scene_detect_content,
        video.scene_detect_adaptive,
        video.scene_detect_histogram,
    ],
)
def test_cut_starts_a_scene(detect):
    path = film("film.mp4", frames=60, colors=[30] * 20 + [200] * 25 + [90] * 15)
    scenes = detect(path, min_scene_len=5)
    assert [round(scene["start_time"], 3) for scene in scenes] == [0.0, 2.0, 4.5]
    assert [round(scene["duration"], 3) for scene in scenes] == [2.0, 2.5, 1.5]
    assert len(detect(path, min_scene_len=30)) == 2
    assert [round(s["start_time"], 3) for s in detect(path, fps=2, min_scene_len=1)] == [
        0.0,
        2.0,
        4.5,
    ]


def test_hash_detector_finds_a_cut():
    images = []
    for position in range(40):
        image = PIL.Image.new("L", (128, 96))
        for x in range(0, 128, 16):
            image.paste(200, (x, 0, x + 8, 96) if position < 20 else (0, x, 128, x + 8))
        images.append(image)
    file = video.make_video(images, fps=10)
    assert [s["start_time"] for s in video.scene_detect_hash(file)] == [0.0, 2.0]


def test_fade_to_black_separates_scenes():
    path = film("film.mp4", frames=60, size=(64, 48), colors=[90] * 60)
    shades_ = [120] * 20 + [0] * 10 + [120] * 20
    file = video.make_video([PIL.Image.new("L", (64, 48), level) for level in shades_], fps=10)
    scenes = video.scene_detect_threshold(file)
    assert [scene["start_time"] for scene in scenes] == [0.0, 2.5]
    assert len(video.scene_detect_threshold(path)) == 1


def test_scenes_are_typed_columns(films):
    films.add_computed_column(scenes=films.video.scene_detect_content())
    assert films.select(n=films.scenes.length(), s=films.scenes[0].start_time).collect()[0] == {
        "n": 2,  # the shades restart
        "s": 0.0,
    }


def test_view_of_segments(films):
    parts = bb.create_view(
        "parts", films, iterator=VideoSplitter.create(video=films.video, duration=2, overlap=0.5)
    )
    rows = parts.order_by("pos").collect()
    assert rows["segment_start"] == [0.0, 1.5, 3.0]
    assert rows["segment_end"] == [2.0, 3.5, 5.0]
    assert looks_like(rows[1, "video_segment"], range(15, 35))
    fast = bb.create_view(
        "fast",
        films,
        iterator=VideoSplitter.create(video=films.video, segment_times=[2.0], mode="fast"),
    )
    assert fast.order_by("pos").collect()["segment_end"] == [2.4, 5.0]
    with pytest.raises(ConfigurationError, match="overlap"):
        VideoSplitter.create(video=films.video, duration=1, overlap=1)


def test_short_last_segment_is_omitted(path):
    rows = video.split(path, duration=2.0, min_duration=1.5)
    assert [row["segment_start"] for row in rows] == [0.0, 2.0]


@pytest.mark.parametrize(("name", "codec"), [("a.wmv", "wmv2"), ("a.flv", "flv")])
def test_fast_mode_reencodes_what_cannot_be_copied(name, codec):
    path = film(name, frames=30, codec=codec, gop=10)
    clip = video.clip(path, 1.0, 2.0, mode="fast")
    assert video.duration(clip) == pytest.approx(1.0, abs=0.15)
    assert len(video.segment(path, duration=1.0, mode="fast")) == 3


def test_images_become_a_video():
    greys = (10, 100, None, 200)
    images = [
        None if grey is None else PIL.Image.new("RGB", (65, 49), (grey,) * 3) for grey in greys
    ]
    file = video.make_video(images, fps=4)
    assert [abs(a - b) < 6 for a, b in zip(shades(file), (10, 100, 200), strict=True)] == [True] * 3
    assert video.duration(file) == pytest.approx(0.75)
    assert video.make_video([]) is None


def test_frames_are_aggregated_to_videos(films):
    """Groups are encoded in turn in the requested order; frames are opened on use."""
    films.insert(video=str(film("b.mp4", frames=20, colors=range(20, 220, 10))), start=0.0)
    frames = bb.create_view(
        "frames", films, iterator=bb.functions.FrameIterator.create(video=films.video)
    )
    backwards = video.make_video(frames.frame, fps=10, order_by=frames.pos.desc())
    videos = {row["start"]: row["v"] for row in frames.group_by("start").agg(v=backwards).collect()}
    assert [
        abs(a - b) < 6 for a, b in zip(shades(videos[0.0]), range(210, 10, -10), strict=True)
    ] == [True] * 20
    films.add_computed_column(parts=films.video.segment(duration=1.0))
    joined = films.where(films.start == 0).select(s=video.concat(films.parts).duration())
    assert joined.collect()["s"] == [2.0]
    (parts,) = films.where(films.start == 0).collect()["parts"]
    assert [video.duration(part) for part in parts] == [1.0, 1.0]


@pytest.mark.skipif(not REAL_VIDEO.exists(), reason="the real video is not beside the project")
def test_sample_video_is_clipped_and_sampled(session):
    line = read_timeline(REAL_VIDEO)
    assert len(line.stamps) == 462
    clip = video.clip(REAL_VIDEO, 5, 7)
    assert video.duration(clip) == pytest.approx(2, abs=0.1)
    assert len(video.frames(REAL_VIDEO, str(REAL_VIDEO), fps=1)) == 19


def _documented():
    return [
        (module, name)
        for module in (audio, video)
        for name in module.__all__
        if isinstance(getattr(module, name), bb.functions.registry.Function)
    ]


@pytest.mark.parametrize(("module", "name"), _documented())
def test_docstring_example_runs(module, name, session):
    text = getattr(module, name).__doc__
    test = doctest.DocTestParser().get_doctest(text, {}, name, None, 0)
    report: list[str] = []
    runner = doctest.DocTestRunner(verbose=False)
    runner.run(test, out=report.append)
    assert not runner.failures, "".join(report)
    assert text
