"""The files that every side works on, made once for a run, and the function called with frames."""

from __future__ import annotations

import shutil
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

SIDE = 128  # of a thumbnail
SECONDS, RATE, SIZE = 60, 30, (1280, 720)
LONG, LONG_SIZE, LONG_RATE = 7200, (320, 180), 25
KINDS = 20  # files that differ; the others are copies of them


class Pictures:
    """The files in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def pngs(self) -> list[str]:
        """Photographs that are checked and made small."""
        return sorted(map(str, (self.folder / "png").iterdir()))

    @cached_property
    def jpegs(self) -> list[str]:
        """Photographs of which the headers are read."""
        return sorted(map(str, (self.folder / "jpg").iterdir()))

    @property
    def video(self) -> str:
        """A minute of 720p."""
        return str(self.folder / "minute.mp4")

    @property
    def long_video(self) -> str:
        """Two hours of small pictures."""
        return str(self.folder / "hours.mp4")


def brightness(image: Any) -> float:
    """Return how bright an image is in its middle."""
    return image.resize((16, 9)).convert("L").getpixel((8, 4)) / 255


def write_pictures(folder: Path, count: int, suffix: str, side: int) -> None:
    """Write files like photographs."""
    import PIL.Image

    folder.mkdir()
    kinds = []
    for number in range(min(KINDS, count)):
        layers = [
            PIL.Image.effect_noise((side // 32, side // 32), 40 + number).resize((side, side))
            for _ in range(3)
        ]
        kinds.append(folder / f"{number:05}.{suffix}")
        PIL.Image.merge("RGB", layers).save(kinds[-1])
    for number in range(len(kinds), count):
        shutil.copy(kinds[number % len(kinds)], folder / f"{number:05}.{suffix}")


def write_video(path: Path, seconds: int, size: tuple[int, int], rate: int) -> None:
    """Write a moving picture with some noise in it, as a camera would."""
    import av
    import numpy as np

    noise = np.random.default_rng(0)
    width, height = size
    shape = (height // 16 + 1, width // 8, 3)
    scene = noise.integers(0, 255, shape, dtype=np.uint8).repeat(16, 0).repeat(16, 1)[:height]
    grain = noise.integers(0, 12, (8, height, width, 3), dtype=np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"preset": "veryfast"})
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        for count in range(seconds * rate):
            left = count % (scene.shape[1] - width)
            pixels = scene[:, left : left + width] // 2 + grain[count % 8]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())


def write_long_video(path: Path, seconds: int) -> None:
    """Write hours of video: a minute is encoded, and its packets are written again and again."""
    import av

    minute = path.with_suffix(".minute.mp4")
    write_video(minute, min(SECONDS, seconds), LONG_SIZE, LONG_RATE)
    with av.open(str(path), "w") as out:
        stream, shift = None, 0
        for _ in range(max(1, seconds // SECONDS)):
            with av.open(str(minute)) as container:
                source = container.streams.video[0]
                stream = stream or out.add_stream_from_template(source)
                for packet in container.demux(source):
                    if packet.dts is not None:
                        packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                        packet.stream = stream
                        out.mux(packet)
                shift += source.duration
    minute.unlink()
