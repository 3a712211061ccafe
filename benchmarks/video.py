"""Frames of a 60 s 720p video at one a second: a view of them and a cheap function over each.

Beside it, in the same run, a bare PyAV loop on all cores that decodes the video once and calls
the same function on the same frames.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import av
import numpy as np

import barbule as bb

ROUNDS = 5
SECONDS, RATE, SIZE = 60, 30, (1280, 720)
LIMITS = {"frames at 1 fps, percent of bare PyAV": 120.0}


def _video(path: Path) -> None:
    """Write a moving picture with some noise in it, as a camera would."""
    noise = np.random.default_rng(0)
    scene = noise.integers(0, 255, (45, 160, 3), dtype=np.uint8).repeat(16, 0).repeat(16, 1)
    grain = noise.integers(0, 12, (8, SIZE[1], SIZE[0], 3), dtype=np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"preset": "veryfast"})
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        for count in range(SECONDS * RATE):
            left = count % (scene.shape[1] - SIZE[0])
            pixels = scene[:, left : left + SIZE[0]] // 2 + grain[count % 8]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())


def _brightness(image) -> float:
    return image.resize((16, 9)).convert("L").getpixel((8, 4)) / 255


def _bare(path: Path) -> list[float]:
    found, due = [], 0.0
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        for frame in container.decode(stream):
            if frame.time + 1e-6 >= due:
                found.append(_brightness(frame.to_image()))
                due += 1
    return found


def _view(path: Path) -> list[float]:
    @bb.udf
    def brightness(image: bb.Image) -> float:
        return _brightness(image)

    table = bb.create_table("videos", {"video": bb.Video}, if_exists="replace_force")
    table.insert(video=str(path))
    started = time.perf_counter()
    frames = bb.create_view(
        "frames",
        table,
        iterator=bb.functions.FrameIterator.create(video=table.video, fps=1),
        if_exists="replace",
    )
    frames.add_computed_column(brightness=brightness(frames.frame))
    found = frames.order_by("pos").collect()["brightness"]
    _view.seconds = time.perf_counter() - started
    return found


def measure() -> dict[str, float]:
    """Return milliseconds, and their ratio in percent."""
    with tempfile.TemporaryDirectory() as folder:
        bb.connect(home=folder, vectors="exact:")
        path = Path(folder) / "video.mp4"
        _video(path)
        ours, bare = [], []
        for turn in range(ROUNDS + 1):
            started = time.perf_counter()
            plain = _bare(path)
            seconds = time.perf_counter() - started
            same = _view(path)
            if same != plain or len(same) != SECONDS:
                raise SystemExit("the frames are not those of the bare loop")
            if turn:  # the first fills caches and loads libraries
                bare.append(seconds * 1000)
                ours.append(_view.seconds * 1000)
        bb.session.current().close()
    return {
        "frames at 1 fps, view and function": statistics.median(ours),
        "frames at 1 fps, bare PyAV": statistics.median(bare),
        "frames at 1 fps, percent of bare PyAV": 100
        * statistics.median(a / b for a, b in zip(ours, bare, strict=True)),
    }
