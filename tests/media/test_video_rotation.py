"""Rotated and mirrored videos: all results are upright."""

from __future__ import annotations

import av
import numpy as np
import pytest

import barbule as bb
from barbule.functions import FrameIterator, video
from fakes.films import turn

WIDTH, HEIGHT = 96, 64
CORNERS = {(0, 0): "red", (1, 0): "green", (0, 1): "blue", (1, 1): "black"}
COLOURS = {"red": (250, 0, 0), "green": (0, 250, 0), "blue": (0, 0, 250), "black": (0, 0, 0)}
MATRICES = {
    "upright": (1, 0, 0, 1),
    "mirrored": (-1, 0, 0, 1),
    "upside down": (1, 0, 0, -1),
    "rotated by 180": (-1, 0, 0, -1),
    "transposed": (0, 1, 1, 0),
    "rotated by 90": (0, 1, -1, 0),
    "rotated by 270": (0, -1, 1, 0),
    "transversed": (0, -1, -1, 0),
}


@pytest.fixture(params=MATRICES)
def rotated(request, tmp_path):
    """Return a video and the displayed colours of its corners, row by row."""
    path = tmp_path / "rotated.mp4"
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for (x, y), colour in CORNERS.items():
        pixels[y * 32 : y * 32 + 32, x * 48 : x * 48 + 48] = COLOURS[colour]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "4"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for _ in range(20):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    a, b, c, d = matrix = MATRICES[request.param]
    colours = {}
    for (x, y), colour in CORNERS.items():
        across, down = a * x + c * y, b * x + d * y
        colours[across + (a + c < 0), down + (b + d < 0)] = colour
    corners = [colours[corner] for corner in ((0, 0), (1, 0), (0, 1), (1, 1))]
    return turn(path, matrix), corners, (HEIGHT, WIDTH) if b else (WIDTH, HEIGHT)


def corners_of(image) -> list[str]:
    width, height = image.size
    points = [(8, 8), (width - 9, 8), (8, height - 9), (width - 9, height - 9)]
    return [
        min(COLOURS, key=lambda name: np.abs(np.subtract(COLOURS[name], pixel)).sum())
        for pixel in map(image.getpixel, points)
    ]


def check(image, rotated) -> None:
    _, corners, size = rotated
    assert (corners_of(image), image.size) == (corners, size)


def test_frames_are_upright(session, rotated):
    path = rotated[0]
    check(video.extract_frame(path, 0.5), rotated)
    t = bb.create_table("films", {"video": bb.Video})
    t.insert(video=path)
    frames = bb.create_view("frames", t, iterator=FrameIterator.create(video=t.video, fps=5))
    for image in frames.collect()["frame"]:
        check(image, rotated)


@pytest.mark.parametrize("mode", ["accurate", "fast"])
def test_clips_and_segments_are_upright(session, rotated, mode):
    path = rotated[0]
    check(video.extract_frame(video.clip(path, 0, 1, mode=mode), 0.0), rotated)
    for part in video.segment(path, 1.0, mode=mode):
        check(video.extract_frame(part, 0.0), rotated)


def test_reencoded_videos_are_upright(session, rotated):
    path = rotated[0]
    check(video.extract_frame(video.resample(path, fps=5), 0.0), rotated)
    check(video.extract_frame(video.concat(path, path), 0.0), rotated)
