"""Videos split into segments, or converted to another rate or size.

Owns where segments begin and end. `clips` and `video_encoding` write them.
"""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from barbule.errors import ConfigurationError, MediaError
from barbule.media.streams.editing.clips import check_mode, copy_clip
from barbule.media.streams.editing.sound_tracks import Span, check_cuts, split_at, split_length
from barbule.media.streams.editing.video_encoding import rewrite
from barbule.media.streams.probing import Timeline, key_at, read_timeline, stamp_at

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from av.video.frame import VideoFrame

    from barbule.media.streams.opening import PathLike
    from barbule.media.streams.temporary_files import TemporaryFile

__all__ = ["Part", "check_parts", "resample", "write_parts"]

# A video with more segments has damaged timestamps: nearly all segments would show the same frame.
_MAX_PARTS = 1000
_MAX_PARTS_PER_FRAME = 100


@dataclass(frozen=True)
class Part:
    """A segment of a video: seconds from the first frame, stream units, and a file."""

    start: float
    start_pts: int
    end: float
    end_pts: int
    file: TemporaryFile


def check_parts(
    duration: float | None,
    segment_times: Sequence[float] | None,
    overlap: float = 0.0,
    min_duration: float = 0.0,
    mode: str = "accurate",
) -> None:
    """Check that a video can be split like this.

    Raises
    ------
    ConfigurationError
        If it cannot.
    """
    check_mode(mode)
    check_cuts("a video", duration, segment_times, overlap, min_duration)


def write_parts(
    path: PathLike,
    duration: float | None,
    segment_times: Sequence[float] | None,
    *,
    overlap: float = 0.0,
    min_duration: float = 0.0,
    mode: str = "accurate",
) -> list[Part]:
    """Write the segments of a video.

    Raises
    ------
    ConfigurationError
        If it cannot be split like this.
    MediaError
        If it is damaged, or has far fewer frames than segments.
    """
    check_parts(duration, segment_times, overlap, min_duration, mode)
    timeline = read_timeline(path)
    length = float(timeline.length)
    if duration is not None:
        part_spans = _limited_spans(
            path, timeline, split_length(length, duration, overlap, min_duration)
        )
    else:
        part_spans = split_at(length, segment_times or (), min_duration)
    can_copy = mode == "fast" and timeline.has_timestamps  # a raw stream cannot be copied
    written = (
        _copy_parts(path, timeline, part_spans)
        if can_copy
        else _encode_parts(path, timeline, part_spans)
    )
    return list(written)


def _limited_spans(path: PathLike, timeline: Timeline, part_spans: Iterator[Span]) -> list[Span]:
    frames = len(timeline.stamps)
    max_parts = _MAX_PARTS + _MAX_PARTS_PER_FRAME * frames
    limited = list(itertools.islice(part_spans, max_parts + 1))
    if len(limited) > max_parts:
        raise MediaError(
            f"{os.fspath(path)} cannot be split into more than {max_parts:,} parts: it has "
            f"{frames:,} frames in {float(timeline.length):,.0f} seconds.",
            hint="Check that the file plays, or split it into longer parts.",
        )
    return limited


def _encode_parts(path: PathLike, timeline: Timeline, part_spans: list[Span]) -> Iterator[Part]:
    for span in part_spans:
        file = rewrite(path, timeline, span)
        start, end = (
            stamp_at(timeline, span.start),
            stamp_at(timeline, span.end or float(timeline.length)),
        )
        yield Part(
            span.start, start, span.end or float(timeline.length), min(end, timeline.end), file
        )


def _copy_parts(path: PathLike, timeline: Timeline, part_spans: list[Span]) -> Iterator[Part]:
    """Copy segments whose ends move to the next key frame, and whose starts follow them."""
    last_copy: tuple[Span, int] | None = None
    for span in part_spans:
        start = int(timeline.stamps[0])
        if last_copy is not None:
            previous, previous_end = last_copy
            shared = max(0.0, (previous.end or 0.0) - span.start)
            start = (
                key_at(timeline, timeline.seconds(previous_end) - shared)
                if shared
                else previous_end
            )
        end = key_at(timeline, span.end, after=True) if span.end is not None else timeline.end
        if end <= start or start >= timeline.end:
            continue  # no key frame in between: the previous segment already contains it
        file = copy_clip(path, timeline, start, None if end >= timeline.end else end)
        yield Part(timeline.seconds(start), start, timeline.seconds(end), end, file)
        last_copy = span, end


def resample(
    path: PathLike, fps: float | None, width: int | None, height: int | None
) -> TemporaryFile:
    """Re-encode a video at another rate or size.

    Raises
    ------
    ConfigurationError
        If no option is set, or a number is not above zero.
    """
    options = {"fps": fps, "width": width, "height": height}
    if all(value is None for value in options.values()):
        raise ConfigurationError("resampling a video requires fps, width or height.")
    for name, value in options.items():
        if value is not None and not value > 0:
            raise ConfigurationError(f"{name} must be a number above 0.", value=value)

    def scale(frame: VideoFrame) -> VideoFrame:
        new_width = width or max(1, round(frame.width * (height or frame.height) / frame.height))
        new_height = height or max(1, round(frame.height * new_width / frame.width))
        return frame.reformat(width=new_width, height=new_height)

    change = scale if width or height else None
    return rewrite(path, change=change, fps=None if fps is None else Fraction(fps))
