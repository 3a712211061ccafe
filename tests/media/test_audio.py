"""Audio functions: sample-exact clips, conversion of rate and format, and splitting into rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import barbule as bb
from barbule.errors import ConfigurationError, MediaError
from barbule.functions import AudioSplitter, audio
from fakes.films import pitch, samples_of, tone

REAL = Path(__file__).parents[3] / "shared" / "data" / "audio" / "sample.mp3"
FILES = [
    ("a.wav", "pcm_s16le"),
    ("b.mp3", "libmp3lame"),
    ("c.flac", "flac"),
    ("d.m4a", "aac"),
    ("e.ogg", "flac"),
]


@pytest.fixture(params=FILES, ids=lambda file: file[0])
def path(session, request):
    name, codec = request.param
    return tone(name, 2.5, codec=codec)


@pytest.fixture
def ramp(session):
    """Return a sound whose sample values encode their position."""
    return audio.encode((np.arange(40000) / 40000).tolist(), 16000)


@pytest.fixture
def songs(session):
    table = bb.create_table("songs", {"sound": bb.Audio})
    table.insert(sound=str(tone("a.wav", 2.5, codec="pcm_s16le")))
    return table


def test_metadata_and_duration_are_read(path):
    (stream,) = audio.get_metadata(path)["streams"]
    assert (stream["sample_rate"], stream["codec_context"]["channels"]) == (16000, 1)
    assert audio.duration(path) == pytest.approx(2.5, abs=0.1)


@pytest.mark.parametrize("ending", ["wav", "flac", "mp3", "m4a", "ogg"])
def test_every_format_is_read_and_written(path, ending):
    converted = audio.convert(path, ending)
    assert converted.suffix == ending
    assert pitch(converted) == pytest.approx(440, abs=2)
    assert audio.duration(converted) == pytest.approx(2.5, abs=0.15)


def test_clip_is_exact_to_the_sample(ramp):
    samples, rate = samples_of(audio.clip(ramp, 0.5, 1.25))
    assert samples.shape == (1, 12000)
    assert samples[0, 0] == pytest.approx(8000 / 40000, abs=1e-4)
    assert samples[0, -1] == pytest.approx(19999 / 40000, abs=1e-4)
    assert rate == 16000
    assert samples_of(audio.clip(ramp, 2.0))[0].shape == (1, 8000)
    assert samples_of(audio.clip(ramp, 1.0, duration=0.1))[0].shape == (1, 1600)


def test_clip_deep_in_a_file_matches_sequential_decoding(session):
    long = audio.encode((np.arange(160000) % 16000 / 16000).tolist(), 16000, format="m4a")
    samples, _ = samples_of(long)
    part, _ = samples_of(audio.clip(long, 7.25, 7.5))
    assert np.abs(samples[:, 116000:120000] - part).max() < 1e-3


def test_segments_together_equal_the_sound(ramp):
    samples, _ = samples_of(ramp)
    pieces = [samples_of(piece)[0] for piece in audio.segment(ramp, 0.7)]
    assert [piece.shape[1] for piece in pieces] == [11200, 11200, 11200, 6400]
    assert np.array_equal(np.concatenate(pieces, axis=1), samples)


def test_resample_changes_rate_and_channels(session):
    stereo = audio.encode(np.stack([np.ones(44100) * 0.5, np.zeros(44100)]), 44100)
    resampled = audio.resample(stereo, 16000, channels=1, format="wav")
    samples, rate = samples_of(resampled)
    assert (rate, samples.shape[0]) == (16000, 1)
    assert samples.shape[1] == pytest.approx(16000, abs=20)
    assert samples[0, 8000] == pytest.approx(0.25, abs=0.05)
    assert samples_of(audio.resample(stereo, 8000))[0].shape[0] == 2


def test_concat_joins_sounds(ramp):
    other = audio.encode([0.5] * 8000, 8000)
    samples, rate = samples_of(audio.concat(ramp, None, other))
    assert (rate, samples.shape[1]) == (16000, pytest.approx(56000, abs=20))
    assert samples[0, 50000] == pytest.approx(0.5, abs=0.01)
    assert audio.concat([]) is None


def test_view_of_segments_with_overlap(songs):
    pieces = bb.create_view(
        "pieces",
        songs,
        iterator=AudioSplitter.create(audio=songs.sound, duration=1.0, overlap=0.25),
    )
    rows = pieces.order_by("pos").collect()
    assert rows["segment_start"] == [0.0, 0.75, 1.5]
    assert rows["segment_end"] == [1.0, 1.75, 2.5]
    seconds = pieces.select(s=pieces.audio_segment.duration()).collect()["s"]
    assert seconds == [pytest.approx(1.0)] * 3
    assert all(
        u.startswith("media:") for u in pieces.select(u=pieces.audio_segment.uri()).collect()["u"]
    )

    songs.insert(sound=str(tone("b.mp3", 0.5, codec="libmp3lame")))
    assert len(pieces.collect()) == 4


def test_view_of_segments_between_times(songs):
    pieces = bb.create_view(
        "pieces", songs, iterator=AudioSplitter.create(songs.sound, segment_times=[0.5, 2.0])
    )
    rows = pieces.order_by("pos").collect()
    assert rows["segment_start"] == [0.0, 0.5, 2.0]
    assert rows["segment_end"] == [0.5, 2.0, 2.5]
    seconds = pieces.order_by("pos").select(s=pieces.audio_segment.duration()).collect()["s"]
    assert seconds == pytest.approx([0.5, 1.5, 0.5])


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({"duration": 2.0}, 2),
        ({"duration": 2.0, "min_duration": 1.0}, 1),
        ({"duration": 2.5}, 1),
        ({"duration": 9.0}, 1),
        ({"duration": 1.0, "overlap": 0.5}, 4),
        ({"segment_times": [1.0, 2.0]}, 3),
        ({"segment_times": [1.0, 2.0], "min_duration": 1.0}, 2),
        ({"segment_times": [9.0]}, 1),
        ({"segment_times": []}, 1),
    ],
)
def test_segment_count_follows_the_options(ramp, options, count):
    assert len(audio.split(ramp, **options)) == count


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"duration": 0}, "duration"),
        ({"duration": 1, "overlap": 1}, "overlap"),
        ({"duration": 1, "overlap": -0.1}, "overlap"),
        ({"duration": 1, "min_duration": 2}, "min_duration"),
        ({"duration": 1, "format": "wma"}, "wma"),
        ({}, "a sound is split either by duration or by segment_times"),
        (
            {"duration": 1, "segment_times": [1]},
            "a sound is split either by duration or by segment_times",
        ),
        ({"segment_times": [2, 1]}, "increasing numbers of seconds above 0"),
        ({"segment_times": [1], "overlap": 0.5}, "overlap can be used with duration"),
    ],
)
def test_invalid_splitter_options_fail_before_any_read(songs, options, message):
    with pytest.raises(ConfigurationError, match=message):
        AudioSplitter.create(audio=songs.sound, **options)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: audio.resample(s, 0), "rate"),
        (lambda s: audio.resample(s, 8000, channels=6), "channels"),
        (lambda s: audio.clip(s, -1), "start"),
        (lambda _: audio.encode([[[0.0]]], 8000), "shape"),
        (lambda _: audio.encode([0.0], 0), "rate"),
        (lambda s: audio.convert(s, "wma"), "wma"),
    ],
)
def test_invalid_arguments_are_rejected(ramp, call, message):
    with pytest.raises(ConfigurationError, match=message):
        call(ramp)


def test_inserted_bytes_get_the_suffix_of_their_format(songs):
    for name, codec in FILES:
        songs.insert(sound=tone(name, 0.3, codec=codec).read_bytes())
    uris = (
        songs.where(songs.sound.uri().startswith("media:"))
        .select(u=songs.sound.uri())
        .collect()["u"]
    )
    assert sorted(uri.rpartition(".")[2] for uri in uris) == ["flac", "m4a", "mp3", "ogg", "wav"]


@pytest.mark.skipif(not REAL.exists(), reason="the real recordings are not beside the project")
def test_recordings_are_read_and_segmented(session):
    assert audio.duration(REAL) > 5
    flac = REAL.with_name("jfk_1961_0109_cityuponahill-excerpt.flac")
    assert audio.duration(flac) == pytest.approx(60.0)
    assert len(audio.segment(flac, 20.0)) == 3
    with pytest.raises(MediaError, match="cannot be read"):
        audio.duration(REAL.with_name("bad_audio.mp3"))


def test_split_ignores_an_excessive_declared_length(tmp_path):
    path = tone(tmp_path / "a.flac", 0.5, codec="flac")
    data = bytearray(path.read_bytes())
    data[21] |= 0x0F  # the number of samples in STREAMINFO, 36 bits
    data[22:26] = b"\xff" * 4
    path.write_bytes(data)
    assert audio.duration(path) > 1_000_000
    pieces = audio.split(path, 0.2)
    assert [piece["segment_start"] for piece in pieces] == pytest.approx([0.0, 0.2, 0.4])
    assert audio.duration(pieces[2]["audio_segment"]) == pytest.approx(0.1, abs=0.05)
