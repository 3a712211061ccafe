"""The selection of frames of a video, and references to single ones.

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
    "check_selection",
    "frame_reference",
    "frame_step",
    "select_frames",
    "split_reference",
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
        The time of the frame, in the time base of the stream.
    step
        The approximate distance of the frames that will be read, 0 if it is unknown. Frames in
        between need not be decoded if no other frame depends on them, and passed ones are kept for
        a while, because threads do not request frames in order.
    """
    return f"{FRAME}{stamp}+{step}:{video}"


def split_reference(reference: str) -> tuple[str, int, int]:
    """Return video, time and step of a frame's reference.

    Raises
    ------
    MediaError
        If it is not one.

    Examples
    --------
    >>> split_reference("frame:512+0:/films/up.mp4")
    ('/films/up.mp4', 512, 0)
    """
    match = _REFERENCE.fullmatch(reference)
    if not match:
        raise MediaError(
            "the reference of a frame is malformed.",
            value=reference,
            hint="Use a reference that FrameIterator returned.",
        )
    return match[3], int(match[1]), int(match[2])


def check_selection(
    fps: float | None,
    num_frames: int | None,
    keyframes_only: bool,
    every: float | None,
) -> None:
    """Check that frames are selected by one option.

    Raises
    ------
    ConfigurationError
        If there are several, or a number is not above zero.
    """
    numbers = {"fps": fps, "num_frames": num_frames, "every": every}
    choices = [name for name, value in numbers.items() if value is not None]
    choices += ["keyframes_only"] if keyframes_only else []
    if len(choices) > 1:
        raise ConfigurationError(
            f"{' and '.join(choices)} cannot be combined to choose frames.",
            hint="Pass one of them.",
        )
    for name, value in numbers.items():
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
            raise ConfigurationError(
                f"{name} must be a number above 0.", value=value, hint=f"{name}=1, for example."
            )
        if name == "num_frames" and not isinstance(value, int):
            raise ConfigurationError("num_frames must be an integer.", value=value)


def select_frames(
    timeline: Timeline,
    fps: float | None = None,
    num_frames: int | None = None,
    keyframes_only: bool = False,
    every: float | None = None,
) -> np.ndarray:
    """Return the indexes of the selected frames, from 0 in display order.

    For a rate these are the frames nearest to each of its timestamps, starting with that of the
    first frame; for a number, those nearest to the middles of that many equal parts. No frame is
    selected twice.
    """
    import numpy as np

    stamps, total = timeline.stamps, len(timeline.stamps)
    if keyframes_only:
        return np.flatnonzero(timeline.keys)
    if every is not None:
        fps = 1 / every
    if fps is not None:
        step = float(1 / timeline.time_base) / fps
        timestamps = stamps[0] + np.arange(int((stamps[-1] - stamps[0]) / step + 1e-6) + 1) * step
    elif num_frames is not None and num_frames < total:
        step = (timeline.end - int(stamps[0])) / num_frames
        timestamps = stamps[0] + (np.arange(num_frames) + 0.5) * step
    else:
        return np.arange(total)
    following = (
        np.clip(np.searchsorted(stamps, timestamps), 1, max(total - 1, 1)) if total > 1 else None
    )
    if following is None:
        return np.zeros(1, dtype=np.int64)
    is_previous_nearer = timestamps - stamps[following - 1] <= stamps[following] - timestamps
    return np.unique(np.where(is_previous_nearer, following - 1, following))


def frame_step(
    timeline: Timeline,
    fps: float | None = None,
    num_frames: int | None = None,
    keyframes_only: bool = False,
    every: float | None = None,
) -> int:
    """Return the approximate distance of selected frames, in the time base; 0 for key frames."""
    if keyframes_only:
        return 0
    total = len(timeline.stamps)
    interval = max(1, int(timeline.stamps[-1] - timeline.stamps[0]) // max(1, total - 1))
    if every is not None:
        fps = 1 / every
    if fps is not None:
        return max(interval, round(float(1 / timeline.time_base) / fps))
    if num_frames is not None and num_frames < total:
        return (timeline.end - int(timeline.stamps[0])) // num_frames
    return interval
