"""Damaged videos and audio of every format: a result or one clear error, no crash, hang or leak."""

from __future__ import annotations

import gc
import os
import random
import sys
import threading
import time
from pathlib import Path

import pytest

from barbule.errors import MediaError
from barbule.functions import audio, video
from barbule.media.library import MediaLibrary
from barbule.media.streams.opening import validate_audio, validate_video
from fakes.films import film, tone

# Read at import: tests run without the barbule variables.
MUTATIONS = int(os.environ.get("BARBULE_TEST_MUTATIONS", "8"))  # per file
SLOWEST = 300.0  # seconds per file, with room for a slow machine
SMALL = {"frames": 8, "size": (32, 32), "gop": 4}
FILMS = {
    "mp4": ("a.mp4", {"codec": "libx264", "sound": "aac"}),
    "mp4-hevc": ("a.mp4", {"codec": "libx265"}),
    "mov": ("a.mov", {"codec": "mpeg4"}),
    "mkv": ("a.mkv", {"codec": "libx264", "sound": "libmp3lame"}),
    "webm": ("a.webm", {"codec": "libvpx", "sound": "libopus"}),
    "webm-vp9": ("a.webm", {"codec": "libvpx-vp9"}),
    "avi": ("a.avi", {"codec": "mpeg4"}),
    "flv": ("a.flv", {"codec": "flv"}),
    "wmv": ("a.wmv", {"codec": "wmv2"}),
    "mpg": ("a.mpg", {"codec": "mpeg2video", "fps": 25}),
    "ts": ("a.ts", {"codec": "libx264", "sound": "aac"}),
    "raw-h264": ("a.h264", {"codec": "libx264"}),
}
TONES = {
    "wav": ("a.wav", "pcm_s16le"),
    "aiff": ("a.aiff", "pcm_s16be"),
    "mp3": ("a.mp3", "libmp3lame"),
    "flac": ("a.flac", "flac"),
    "m4a": ("a.m4a", "aac"),
    "aac": ("a.aac", "aac"),
    "ogg": ("a.ogg", "flac"),
    "opus": ("a.opus", "libopus"),
    "wma": ("a.wma", "wmav2"),
}
DAMAGES = ("cut", "flip", "head", "hole", "noise", "number", "repeat")


def mutated(data: bytes, kind: str, chance: random.Random) -> bytes:
    """Damage the bytes of a file in one way."""
    changed = bytearray(data)
    start = chance.randrange(len(data))
    if kind == "cut":
        del changed[start:]
    elif kind == "flip":
        for _ in range(chance.randint(1, 40)):
            changed[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    elif kind == "head":
        for _ in range(chance.randint(1, 20)):
            changed[chance.randrange(min(600, len(data)))] = chance.randrange(256)
    elif kind == "hole":
        del changed[start : start + chance.randint(1, 600)]
    elif kind == "noise":
        size = min(chance.randint(1, 400), len(data) - start)
        changed[start : start + size] = chance.randbytes(size)
    elif kind == "number":
        at = chance.randrange(min(2000, len(data)))
        changed[at : at + 4] = chance.choice((b"\xff" * 4, b"\x7f" + b"\xff" * 3, bytes(4)))
    else:
        changed[start:start] = changed[start : start + chance.randint(1, 300)]
    return bytes(changed)


@pytest.fixture
def library(tmp_path):
    return MediaLibrary(str(tmp_path / "store"), tmp_path / "cache")


def use_video(path: Path, library: MediaLibrary) -> None:
    """Run the video operations."""
    validate_video(path)
    video.get_metadata(path)
    video.duration(path)
    for row in video.frames(str(path), str(path), num_frames=3):
        library.image(row["frame"])
    video.extract_frame(path, 0.3)
    video.extract_audio(path)
    video.clip(path, 0.2, 0.5)
    video.clip(path, 0.2, 0.5, mode="fast")
    video.split(path, 0.5)


def use_sound(path: Path, library: MediaLibrary) -> None:
    """Run the audio operations."""
    validate_audio(path)
    audio.get_metadata(path)
    audio.duration(path)
    audio.split(path, 0.2)
    audio.resample(path, 8000)


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir()) if sys.platform == "linux" else 0


def intact_file(name: str, folder: Path) -> Path:
    """Write a valid file of a format."""
    if name in FILMS:
        file, options = FILMS[name]
        return film(folder / file, **SMALL, **options)
    file, codec = TONES[name]
    options = {"bit_rate": 32000} if name == "wma" else {}
    return tone(folder / file, 0.5, codec=codec, **options)


@pytest.mark.parametrize("name", [*FILMS, *TONES])
def test_damaged_stream_is_processed_or_rejected(library, tmp_path, name):
    good = intact_file(name, tmp_path)
    use = use_video if name in FILMS else use_sound
    use(good, library)
    data, chance = good.read_bytes(), random.Random(f"barbule {name}")
    damaged = tmp_path / f"damaged{good.suffix}"
    refused, before, threads = 0, open_files(), threading.active_count()
    for mutation in range(MUTATIONS):
        # The first mutation is fatal to every format.
        hurt = mutated(data, DAMAGES[mutation % len(DAMAGES)], chance) if mutation else data[:9]
        damaged.write_bytes(hurt)
        started = time.monotonic()
        try:
            use(damaged, library)
        except MediaError as error:
            assert damaged.name in str(error)  # noqa: PT017 - most do not raise
            refused += 1
        assert time.monotonic() - started < SLOWEST
    library.frames.close()
    gc.collect()
    assert refused
    assert open_files() <= before + 4
    assert threading.active_count() <= threads


@pytest.mark.parametrize("name", ["mp4", "mkv", "mp3", "flac"])
def test_truncated_stream_is_processed_or_rejected(library, tmp_path, name):
    """Files of an interrupted download, cut at any byte."""
    good = intact_file(name, tmp_path)
    data, cut = good.read_bytes(), tmp_path / f"cut{good.suffix}"
    use = use_video if name in FILMS else use_sound
    step = max(1, len(data) // MUTATIONS)
    for size in range(0, len(data), step):
        cut.write_bytes(data[:size])
        try:
            use(cut, library)
        except MediaError as error:
            assert cut.name in str(error)  # noqa: PT017
