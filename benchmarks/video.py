"""Frames of videos: a view of them and a cheap function of each, beside PyAV and Pixeltable.

A minute of 720p at one frame a second, where a bare PyAV loop on all cores decodes the video once
and calls the same function with the same frames; and the memory that two hours take.
"""

from __future__ import annotations

import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent / "peers"))

from images import in_turns, present
from pictures import LONG, RATE, SECONDS, SIZE, write_long_video, write_pictures, write_video
from sides import Side

ROUNDS = 5
FRAMES = "frames of a minute of 720p at 1 fps, view and function"
SHARE = "frames at 1 fps, percent of bare PyAV (%)"
PEAK = "peak memory for a two-hour video (MB)"
LIMITS = {SHARE: 120.0, PEAK: 500.0}
DETAILS: dict[str, Any] = {}


def measure(*, seconds: int = SECONDS, long: int = LONG, rounds: int = ROUNDS) -> dict[str, float]:
    """Return milliseconds, their ratio in percent, and the peak of memory."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        write_pictures(folder / "png", 1, "png", 64)
        write_video(folder / "minute.mp4", seconds, SIZE, RATE)
        write_long_video(folder / "hours.mp4", long)
        options = ("media", "--folder", str(folder))
        with Side("barbule", *options) as side:
            side.ask("warm")
            count, peak = side.ask("hours")["answer"]
        sides = [stack.enter_context(Side(each, *options)) for each in present()]
        libraries = {side.name: side.ask("library")["library"] for side in sides}
        times, answers = in_turns(sides, ("frames",), rounds)
    found = answers["frames"]
    if found["barbule"] != found["bare"] or {*map(len, found.values())} != {seconds}:
        raise SystemExit(f"the frames are not those of the bare loop: {found}")
    if count != long:
        raise SystemExit(f"{count} frames of {long}")
    taken = times["frames"]
    DETAILS.update(rounds=rounds, libraries=libraries, sides_ms={FRAMES: taken})
    share = 100 * taken["barbule"] / taken["bare"]
    return {FRAMES: taken["barbule"], SHARE: share, PEAK: peak}
