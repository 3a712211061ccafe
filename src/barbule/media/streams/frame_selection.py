"""Which frames of a video are chosen, and how one is referred to.

Owns the form of a frame's reference. Opens no file.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from barbule.errors import ConfigurationError, MediaError

if TYPE_CHECKING:
    import numpy as np

    from barbule.media.streams.probing import Timeline

__all__ = [
    "FRAME",
    "check_choice",
    "chosen",
    "frame_reference",
    "split_reference",
    "step_of",
]

FRAME = "frame:"

_REFERENCE = re.compile(r"frame:(-?\d+)\+(\d+):(.+)", re.DOTALL)


def frame_reference(video: str, stamp: int, step: int = 0) -> str:
    """Return the reference of one frame.

    Parameters
    ----------
    video
        The reference of the video.
    stamp
        When the frame is shown, in the time base of the stream.
    step
        About how far apart the frames are that will be asked for, 0 when not known. What is
        shown between them need not be decoded where no other frame depends on it, and those
        that are passed are kept for a while, as threads do not ask in order.
    """
    return f"{FRAME}{stamp}+{step}:{video}"


def split_reference(reference: str) -> tuple[str, int, int]:
    """Return video, time and step of a frame's reference.

    Raises
    ------
    MediaError
        When it is none.

    Examples
    --------
    >>> split_reference("frame:512+0:/films/up.mp4")
    ('/films/up.mp4', 512, 0)
    """
    found = _REFERENCE.fullmatch(reference)
    if not found:
        raise MediaError(
            "the reference of a frame is malformed.",
            value=reference,
            hint="Use what FrameIterator gave.",
        )
    return found[3], int(found[1]), int(found[2])


def check_choice(
    fps: float | None,
    num_frames: int | None,
    keyframes_only: bool,
    every: float | None,
) -> None:
    """Make sure that frames are chosen in one way.

    Raises
    ------
    ConfigurationError
        When there are several, or a number is not above zero.
    """
    given = {"fps": fps, "num_frames": num_frames, "every": every}
    ways = [name for name, value in given.items() if value is not None]
    ways += ["keyframes_only"] if keyframes_only else []
    if len(ways) > 1:
        raise ConfigurationError(
            f"frames are chosen in one way, not by {' and '.join(ways)}.", hint="Give one of them."
        )
    for name, value in given.items():
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
            raise ConfigurationError(
                f"{name} is a number above 0.", value=value, hint=f"{name}=1, for example."
            )
        if name == "num_frames" and not isinstance(value, int):
            raise ConfigurationError("num_frames is a whole number.", value=value)


def chosen(
    line: Timeline,
    fps: float | None = None,
    num_frames: int | None = None,
    keyframes_only: bool = False,
    every: float | None = None,
) -> np.ndarray:
    """Return the numbers of the chosen frames, counted from 0 in the order of showing.

    For a rate these are the frames nearest to each of its moments, the first moment being that
    of the first frame; for a number, those nearest to the middles of so many equal parts. No
    frame comes twice.
    """
    import numpy as np

    stamps, total = line.stamps, len(line.stamps)
    if keyframes_only:
        return np.flatnonzero(line.keys)
    if every is not None:
        fps = 1 / every
    if fps is not None:
        step = float(1 / line.time_base) / fps
        moments = stamps[0] + np.arange(int((stamps[-1] - stamps[0]) / step + 1e-6) + 1) * step
    elif num_frames is not None and num_frames < total:
        step = (line.end - int(stamps[0])) / num_frames
        moments = stamps[0] + (np.arange(num_frames) + 0.5) * step
    else:
        return np.arange(total)
    after = np.clip(np.searchsorted(stamps, moments), 1, max(total - 1, 1)) if total > 1 else None
    if after is None:
        return np.zeros(1, dtype=np.int64)
    nearer_before = moments - stamps[after - 1] <= stamps[after] - moments
    return np.unique(np.where(nearer_before, after - 1, after))


def step_of(
    line: Timeline,
    fps: float | None = None,
    num_frames: int | None = None,
    keyframes_only: bool = False,
    every: float | None = None,
) -> int:
    """Return about how far apart chosen frames are, in the time base; 0 for key frames."""
    if keyframes_only:
        return 0
    total = len(line.stamps)
    interval = max(1, int(line.stamps[-1] - line.stamps[0]) // max(1, total - 1))
    if every is not None:
        fps = 1 / every
    if fps is not None:
        return max(interval, round(float(1 / line.time_base) / fps))
    if num_frames is not None and num_frames < total:
        return (line.end - int(line.stamps[0])) // num_frames
    return interval
