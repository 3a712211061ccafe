"""Audio durations where headers declare no length or a wrong one."""

from __future__ import annotations

import struct
from fractions import Fraction

import av
import numpy as np
import pytest

import barbule as bb
from barbule.functions import AudioSplitter, audio
from barbule.media.library import MediaLibrary
from barbule.media.previews import media_html
from barbule.types import Audio
from fakes.films import samples_of, tone

RATE = 44100


def quiet_then_loud(path, codec, seconds=20, *, level=None, bit_rate=None, index=True):
    """Write noise whose second half takes many more bytes than the first."""
    noise = np.random.default_rng(0)
    bare = {"write_xing": "0", "id3v2_version": "0"}
    with av.open(str(path), "w", container_options={} if index else bare) as out:
        stream = out.add_stream(codec, rate=RATE, layout="mono", options={"reservoir": "0"})
        if bit_rate:
            stream.bit_rate = bit_rate
        resampler = av.AudioResampler(stream.format.name, "mono", RATE)
        step = RATE // 10
        for step_number in range(seconds * 10):
            loud = (0.6 if step_number >= seconds * 5 else 0.0) if level is None else level
            samples = (noise.normal(size=(1, step)) * loud).clip(-1, 1).astype(np.float32)
            frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = (
                RATE,
                step_number * step,
                Fraction(1, RATE),
            )
            for resampled in resampler.resample(frame):
                out.mux(stream.encode(resampled))
        out.mux(stream.encode(None))
    return path


def varying_mp3(path):
    """Write an MP3 of two bit rates without an index."""
    halves = []
    for level, bit_rate in ((0.0, 32_000), (0.6, 320_000)):
        options = {"level": level, "bit_rate": bit_rate, "index": False}
        half = quiet_then_loud(path, "libmp3lame", 10, **options)
        halves.append(half.read_bytes())
    path.write_bytes(b"".join(halves))
    return path


@pytest.fixture(params=["mp3", "aac"])
def unindexed(request, tmp_path):
    if request.param == "aac":
        return quiet_then_loud(tmp_path / "a.aac", "aac")
    return varying_mp3(tmp_path / "a.mp3")


def decoded_length(path) -> float:
    samples, rate = samples_of(path)
    return samples.shape[1] / rate


def test_duration_without_an_index_is_measured(session, unindexed):
    true = decoded_length(unindexed)
    assert true == pytest.approx(20, abs=0.1)
    with av.open(str(unindexed)) as container:  # the container's estimate is wrong
        assert abs(container.duration / 1e6 - true) > 2
    assert audio.duration(unindexed) == pytest.approx(true, abs=0.01)


def test_audio_without_an_index_is_split_completely(session, unindexed):
    true = decoded_length(unindexed)
    t = bb.create_table("songs", {"sound": bb.Audio})
    t.insert(sound=unindexed)
    pieces = bb.create_view("pieces", t, iterator=AudioSplitter.create(audio=t.sound, duration=6.0))
    rows = pieces.order_by("pos").collect()
    assert rows["segment_start"] == [0.0, 6.0, 12.0, 18.0]
    assert rows[-1]["segment_end"] == pytest.approx(true, abs=0.01)
    assert sum(map(decoded_length, rows["audio_segment"])) == pytest.approx(true, abs=0.001)


def test_clips_of_audio_without_an_index_are_exact(session, unindexed):
    loud = samples_of(audio.clip(unindexed, 15.0, 16.0))[0]
    assert loud.shape == (1, RATE)
    assert np.abs(loud).mean() > 0.1
    assert np.abs(samples_of(audio.clip(unindexed, 4.0, 5.0))[0]).mean() < 0.01
    assert audio.clip(unindexed, 21.0, 22.0) is None


def test_mp3_with_an_index_is_not_decoded_for_its_duration(session, tmp_path):
    path = quiet_then_loud(tmp_path / "a.mp3", "libmp3lame")
    assert audio.duration(path) == pytest.approx(20.0)
    tagged = tmp_path / "tagged.mp3"  # after another tag as large as a cover
    tagged.write_bytes(b"ID3\x04\0\0\0\x00\x40\x00" + bytes(1 << 13) + path.read_bytes())
    assert audio.duration(tagged) == pytest.approx(20.0, abs=0.1)


def test_concatenated_mp3_files_are_read_completely(session, tmp_path):
    path = quiet_then_loud(tmp_path / "a.mp3", "libmp3lame", 6)
    path.write_bytes(path.read_bytes() * 2)
    assert audio.duration(path) == pytest.approx(12, abs=0.2)
    pieces = audio.split(path, 5.0)
    assert [piece["segment_start"] for piece in pieces] == [0.0, 5.0, 10.0]


@pytest.mark.parametrize("ending", ["mp3", "aiff", "mka", "flac"])
def test_audio_shorter_than_its_header_is_split_at_its_end(session, tmp_path, ending):
    codec = {"mp3": "libmp3lame", "aiff": "pcm_s16be", "mka": "flac", "flac": "flac"}[ending]
    path = tone(tmp_path / f"a.{ending}", 8.0, rate=RATE, codec=codec)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    pieces = audio.split(path, 1.5)
    true = sum(audio.duration(piece["audio_segment"]) for piece in pieces)
    assert 2 < true < 6
    assert pieces[-1]["segment_end"] == pytest.approx(true, abs=0.11)
    assert audio.clip(path, 7.0, 7.5) is None
    assert audio.clip(path, 1.0, 1.5) is not None
    short = audio.split(path, 1.5, min_duration=1.5)
    assert all(piece["segment_end"] - piece["segment_start"] == 1.5 for piece in short)


def test_flac_of_unknown_length_is_measured(session, tmp_path):
    path = tone(tmp_path / "a.flac", 5.0, codec="flac")
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0  # the number of samples in STREAMINFO, 36 bits
    data[22:26] = bytes(4)
    path.write_bytes(data)
    assert audio.duration(path) == pytest.approx(5.0)
    assert [piece["segment_end"] for piece in audio.split(path, 2.0)] == [2.0, 4.0, 5.0]


@pytest.mark.parametrize("declared", [0, 0xFFFFFFFF, 0x7FFFFFFF, 500_000])
def test_wav_with_a_streaming_header_is_measured(session, tmp_path, declared):
    path = tone(tmp_path / "a.wav", 5.0, codec="pcm_s16le")
    data = bytearray(path.read_bytes())
    offset = data.index(b"data") + 4
    data[offset : offset + 4] = data[4:8] = struct.pack("<I", declared)
    path.write_bytes(data)
    assert audio.duration(path) == pytest.approx(5.0)
    assert [piece["segment_end"] for piece in audio.split(path, 2.0)] == [2.0, 4.0, 5.0]
    assert audio.duration(audio.clip(path, 4.5)) == pytest.approx(0.5)


def test_notebook_shows_the_measured_duration(unindexed, tmp_path):
    library = MediaLibrary(str(tmp_path / "media"), tmp_path / "cache")
    assert "0:20: its first 20 seconds" in media_html(
        str(unindexed), Audio(), library, max_bytes=1000
    )
