"""Small videos and sounds with known content, created with PyAV."""

from __future__ import annotations

import struct
from pathlib import Path

import av
import numpy as np

LEVELS = 8  # grey levels between adjacent frames


def film(  # noqa: PLR0913 - tests vary each parameter
    path: Path | str,
    frames: int = 30,
    *,
    fps: int = 10,
    size: tuple[int, int] = (64, 48),
    codec: str = "libx264",
    sound: str | None = None,
    gop: int = 12,
    stamps: list[int] | None = None,
    colors: list[int] | None = None,
) -> Path:
    """Write a video whose frame i is grey of shade `shade(i)`, with a bright bar at the left."""
    options = {
        "libx264": {"crf": "4", "x264-params": "scenecut=0"},
        "libx265": {"crf": "4", "x265-params": "log-level=none:scenecut=0"},
    }
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps, options=options.get(codec, {}))
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.gop_size = gop
        rate = 48000 if sound == "libopus" else 44100
        track = container.add_stream(sound, rate=rate, layout="stereo") if sound else None
        for place in range(frames):
            grey = shade(place) if colors is None else colors[place]
            pixels = np.full((size[1], size[0], 3), grey, np.uint8)
            pixels[:, : size[0] // 4] = 250
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            if stamps is not None:
                frame.pts = stamps[place]
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if track is not None:
            wave = np.sin(np.arange(rate * frames // fps) * 440 * 2 * np.pi / rate)
            samples = np.stack([wave, wave]).astype(np.float32) * 0.5
            for start in range(0, samples.shape[1], rate // 10):
                part = np.ascontiguousarray(samples[:, start : start + rate // 10])
                sounding = av.AudioFrame.from_ndarray(part, format="fltp", layout="stereo")
                sounding.sample_rate, sounding.pts = rate, start
                container.mux(track.encode(sounding))
            container.mux(track.encode())
    return Path(path)


def shade(place: int) -> int:
    """Return the grey of a frame."""
    return 16 + place * LEVELS % 200


def grey_of(image) -> int:
    """Return the grey of an image away from its bar."""
    return image.convert("L").getpixel((image.width - 8, image.height // 2))


SIDEWAYS = (0, 1, -1, 0)


def turn(path: Path, matrix: tuple[int, int, int, int] = SIDEWAYS) -> Path:
    """Set the display matrix of an MP4 file: by default rotated by 90 degrees clockwise.

    A pixel (x, y) is displayed at (a x + c y, b x + d y), shifted to positive coordinates.
    """
    a, b, c, d = (number << 16 for number in matrix)
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 4 + 40  # after version, times, layer and volume
    data[place : place + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


def tone(
    path: Path | str, seconds: float = 2.0, *, rate: int = 16000, codec: str, **options
) -> Path:
    """Write a sound of 440 Hz."""
    samples = np.sin(np.arange(int(rate * seconds)) * 440 * 2 * np.pi / rate).astype(np.float32)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout="mono", **options)
        for start in range(0, len(samples), rate // 10):
            part = np.ascontiguousarray(samples[None, start : start + rate // 10] * 0.5)
            frame = av.AudioFrame.from_ndarray(part, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = rate, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return Path(path)


def samples_of(path) -> tuple[np.ndarray, int]:
    """Return the samples of the first track as floats, and their rate."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        resampler = av.AudioResampler("fltp", stream.layout.name, stream.rate)
        found = [
            each.to_ndarray()
            for frame in [*container.decode(stream), None]
            for each in resampler.resample(frame)
        ]
        return np.concatenate(found, axis=1), stream.rate


def pitch(path) -> float:
    """Return the strongest frequency of a sound."""
    samples, rate = samples_of(path)
    size = samples.shape[1]
    return float(np.argmax(np.abs(np.fft.rfft(samples[0]))[1:]) + 1) * rate / size
