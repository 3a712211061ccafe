"""Videos cut into parts, and brought to another rate or size.

Owns where parts begin and end. How they are written is the business of `writing`.
"""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from barbule.errors import ConfigurationError, MediaError
from barbule.media.streams.editing.clips import check_mode, copied
from barbule.media.streams.editing.sound_tracks import Span, check_cuts, spans, spans_between
from barbule.media.streams.editing.video_encoding import rewrite
from barbule.media.streams.probing import Timeline, key_at, stamp_at, timeline

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from av.video.frame import VideoFrame

    from barbule.media.streams.opening import PathLike
    from barbule.media.streams.temporary_files import MadeFile

__all__ = ["Part", "check_parts", "parts", "resampled"]

# What is cut into more parts has damaged times: nearly all of them would show the same still.
_MOST_PARTS = 1000
_MOST_PARTS_OF_A_FRAME = 100


@dataclass(frozen=True)
class Part:
    """A part of a video: seconds from the first frame, the same in units of the stream, a file."""

    start: float
    start_pts: int
    end: float
    end_pts: int
    file: MadeFile


def check_parts(
    duration: float | None,
    segment_times: Sequence[float] | None,
    overlap: float = 0.0,
    min_duration: float = 0.0,
    mode: str = "accurate",
) -> None:
    """Make sure that a video can be cut so.

    Raises
    ------
    ConfigurationError
        When it cannot.
    """
    check_mode(mode)
    check_cuts("a video", duration, segment_times, overlap, min_duration)


def parts(
    path: PathLike,
    duration: float | None,
    segment_times: Sequence[float] | None,
    *,
    overlap: float = 0.0,
    min_duration: float = 0.0,
    mode: str = "accurate",
) -> list[Part]:
    """Write the parts of a video.

    Raises
    ------
    ConfigurationError
        When it cannot be cut so.
    MediaError
        When it is damaged, or has far fewer frames than parts.
    """
    check_parts(duration, segment_times, overlap, min_duration, mode)
    line = timeline(path)
    length = float(line.length)
    if duration is not None:
        wanted = _limited(path, line, spans(length, duration, overlap, min_duration))
    else:
        wanted = spans_between(length, segment_times or (), min_duration)
    copies = mode == "fast" and line.timed  # a raw stream cannot be copied
    found = _copies(path, line, wanted) if copies else _anew(path, line, wanted)
    return list(found)


def _limited(path: PathLike, line: Timeline, wanted: Iterator[Span]) -> list[Span]:
    frames = len(line.stamps)
    most = _MOST_PARTS + _MOST_PARTS_OF_A_FRAME * frames
    found = list(itertools.islice(wanted, most + 1))
    if len(found) > most:
        raise MediaError(
            f"{os.fspath(path)} is not cut into more than {most:,} parts: it has {frames:,} "
            f"frames in {float(line.length):,.0f} seconds.",
            hint="Check that the file plays, or cut it into longer parts.",
        )
    return found


def _anew(path: PathLike, line: Timeline, wanted: list[Span]) -> Iterator[Part]:
    for span in wanted:
        file = rewrite(path, line, span)
        start, end = stamp_at(line, span.start), stamp_at(line, span.end or float(line.length))
        yield Part(span.start, start, span.end or float(line.length), min(end, line.end), file)


def _copies(path: PathLike, line: Timeline, wanted: list[Span]) -> Iterator[Part]:
    """Copy parts whose ends move on to the next key frame, and whose starts follow them."""
    before: tuple[Span, int] | None = None
    for span in wanted:
        start = int(line.stamps[0])
        if before is not None:
            previous, ended = before
            shared = max(0.0, (previous.end or 0.0) - span.start)
            start = key_at(line, line.seconds(ended) - shared) if shared else ended
        end = key_at(line, span.end, after=True) if span.end is not None else line.end
        if end <= start or start >= line.end:
            continue  # no key frame in between: the part before holds it already
        file = copied(path, line, start, None if end >= line.end else end)
        yield Part(line.seconds(start), start, line.seconds(end), end, file)
        before = span, end


def resampled(path: PathLike, fps: float | None, width: int | None, height: int | None) -> MadeFile:
    """Encode a video anew at another rate or size.

    Raises
    ------
    ConfigurationError
        When nothing is asked for, or a number is not above zero.
    """
    given = {"fps": fps, "width": width, "height": height}
    if all(value is None for value in given.values()):
        raise ConfigurationError("a video is resampled to fps, width or height.")
    for name, value in given.items():
        if value is not None and not value > 0:
            raise ConfigurationError(f"{name} is a number above 0.", value=value)

    def scaled(frame: VideoFrame) -> VideoFrame:
        wide = width or max(1, round(frame.width * (height or frame.height) / frame.height))
        high = height or max(1, round(frame.height * wide / frame.width))
        return frame.reformat(width=wide, height=high)

    change = scaled if width or height else None
    return rewrite(path, change=change, fps=None if fps is None else Fraction(fps))
