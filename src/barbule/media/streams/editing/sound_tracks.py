"""Audio tracks cut exactly to the sample, and concatenated.

Owns which samples belong to which time range. `sound_encoding` converts and encodes samples.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import os
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Self

from barbule.errors import ConfigurationError, MediaError
from barbule.media.streams.editing.sound_encoding import (
    SoundForm,
    SoundWriter,
    layout_of,
    sound_format,
    write_all,
)
from barbule.media.streams.opening import PathLike, audio_stream, decode_frames, first_audio, opened
from barbule.media.streams.probing import UNINDEXED, is_estimated, length_of
from barbule.media.streams.temporary_files import TemporaryFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer, OutputContainer

__all__ = [
    "Span",
    "check_spans",
    "cut_sound",
    "has_sound",
    "join_sound",
    "sound_length",
    "split_length",
    "split_sound",
]


_PADDING = 0.1  # seconds that codecs add to audio, or remove


@dataclass(frozen=True)
class Span:
    """A time range in seconds; `end` None is the end of the file."""

    start: float
    end: float | None


def split_length(
    length: float, duration: float, overlap: float = 0.0, min_duration: float = 0.0
) -> Iterator[Span]:
    """Split a length into overlapping time ranges of a duration.

    Examples
    --------
    >>> [(span.start, span.end) for span in split_length(5.0, 2.0)]
    [(0.0, 2.0), (2.0, 4.0), (4.0, 5.0)]
    """
    index = 0
    while True:
        start = index * (duration - overlap)
        if start >= length or (index and start + overlap >= length):
            return
        end = min(start + duration, length)
        if end - start >= min_duration:
            yield Span(start, end)
        index += 1


def check_spans(duration: float, overlap: float, min_duration: float) -> None:
    """Check that time ranges of these lengths are possible.

    Raises
    ------
    ConfigurationError
        If they are not.
    """
    if not duration > 0:
        raise ConfigurationError("duration must be a number of seconds above 0.", value=duration)
    if not 0 <= overlap < duration:
        raise ConfigurationError(
            f"overlap must be at least 0 and less than the duration of {duration} s.", value=overlap
        )
    if not 0 <= min_duration <= duration:
        raise ConfigurationError(
            f"min_duration must be from 0 to the duration of {duration} s.", value=min_duration
        )


def split_at(length: float, times: Sequence[float], min_duration: float) -> list[Span]:
    """Split a length at increasing times.

    Examples
    --------
    >>> [(span.start, span.end) for span in split_at(5.0, [2.0, 9.0], 0.0)]
    [(0.0, 2.0), (2.0, 5.0)]
    """
    edges = [0.0, *(time for time in times if time < length), length]
    return [
        Span(*edge_pair)
        for edge_pair in itertools.pairwise(edges)
        if edge_pair[1] - edge_pair[0] >= min_duration
    ]


def check_cuts(
    subject: str,
    duration: float | None,
    segment_times: Sequence[float] | None,
    overlap: float = 0.0,
    min_duration: float = 0.0,
) -> None:
    """Check that a file can be split like this: by a duration or at times.

    Raises
    ------
    ConfigurationError
        If it cannot.
    """
    if (duration is None) == (segment_times is None):
        raise ConfigurationError(
            f"{subject} is split either by duration or by segment_times.", hint="Pass one of them."
        )
    if duration is not None:
        check_spans(duration, overlap, min_duration)
        return
    times = list(segment_times or ())
    if overlap:
        raise ConfigurationError("overlap can be used with duration, not with segment_times.")
    if any(not math.isfinite(time) or time <= 0 for time in times) or times != sorted(set(times)):
        raise ConfigurationError(
            "segment_times must be increasing numbers of seconds above 0.", value=times
        )


def cut_sound(
    path: PathLike,
    span: Span,
    *,
    format: str,  # noqa: A002 - the name that users know
    rate: int | None = None,
    channels: int | None = None,
    track: int = 0,
) -> TemporaryFile | None:
    """Write a time range of an audio track as a file; None if it starts beyond the end.

    Parameters
    ----------
    path
        An audio or video file.
    span
        The time range to write, exact to the sample.
    format
        A key of `FORMATS`.
    rate, channels
        Samples per second and channels (1 or 2); by default those of the track.
    track
        The index of the audio track.

    Raises
    ------
    MediaError
        If the file is damaged or has no such track.
    """
    cutter = _cut_track(path, iter((span,)), format, track, rate, channels)
    return cutter.parts[0][1] if cutter.parts else None


def split_sound(
    path: PathLike,
    part_spans: Iterator[Span],
    *,
    format: str,  # noqa: A002 - the name that users know
    overlap: float = 0.0,
    min_duration: float = 0.0,
) -> list[tuple[Span, TemporaryFile]]:
    """Write time ranges of an audio track as files, reading it once.

    Parameters
    ----------
    part_spans
        Time ranges in order of their start. Regardless of the declared length, those that start
        beyond the last sample are not written, and none ends beyond it.
    overlap, min_duration
        The values with which the time ranges were computed: they also apply to the actual end.

    Raises
    ------
    MediaError
        If the file is damaged or has no audio.
    """
    cutter = _cut_track(path, part_spans, format)
    if cutter.end is None:
        return cutter.parts
    parts = []
    for span, file in cutter.parts:
        end = span.end
        if end is None or end - cutter.end > _PADDING:
            end = cutter.end
        is_repeated = span.start > 0 and span.start + overlap >= end
        if not is_repeated and end - span.start >= min_duration:
            parts.append((Span(span.start, end), file))
    return parts


def _cut_track(
    path: PathLike,
    part_spans: Iterator[Span],
    format: str,  # noqa: A002 - the name that users know
    track: int = 0,
    rate: int | None = None,
    channels: int | None = None,
) -> _Cutter:
    with opened(path) as container:
        stream = audio_stream(container, track)
        form = SoundForm(
            sound_format(format),
            rate or stream.codec_context.sample_rate,
            layout_of(stream, channels),
        )
        with _Cutter(form, part_spans) as cutter:
            has_sought = _seek_before(container, stream, cutter.first)
            cutter.cut(_timed_frames(container, stream))
        if cutter.sample_count == 0 and not has_sought:
            raise MediaError(
                f"{os.fspath(path)} has no sound that can be decoded.",
                hint="Download or export the file again, and check that it plays.",
            )
    return cutter


def _seek_before(container: InputContainer, stream: AudioStream, start: float) -> bool:
    from av.error import FFmpegError

    seek_start = start - 1.0  # codecs need the preceding data to start
    can_seek = container.format.name not in UNINDEXED | {"mp3"}  # not only from the beginning
    if seek_start <= 0 or stream.time_base is None or not can_seek:
        return False
    with contextlib.suppress(FFmpegError):  # else it is read from the beginning
        container.seek(
            int(seek_start / stream.time_base) + (stream.start_time or 0),
            stream=stream,
            backward=True,
        )
        return True
    return False


def _timed_frames(
    container: InputContainer, stream: AudioStream
) -> Iterator[tuple[Fraction | None, AudioFrame]]:
    """Yield frames and their times, in seconds from the beginning of the track."""
    base = stream.time_base or Fraction(1, stream.codec_context.sample_rate or 1)
    origin = (stream.start_time or 0) * base
    for frame in decode_frames(container, stream):
        time = None if frame.pts is None else frame.pts * (frame.time_base or base) - origin
        yield time, frame


class _Cutter:
    """Writes time ranges of one track."""

    def __init__(self, form: SoundForm, part_spans: Iterator[Span]) -> None:
        self._form = form
        self._part_spans = part_spans
        self._next_span = next(part_spans, None)  # the first that has not begun
        self._open_parts: list[tuple[SoundWriter, int, int | None, OutputContainer]] = []
        self.first = self._next_span.start if self._next_span else 0.0
        self.parts: list[tuple[Span, TemporaryFile]] = []
        self.sample_count = 0
        self.end: float | None = None  # of the sound in seconds, once it was read to there

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for *_, container in self._open_parts:
            container.close()

    def cut(self, frames: Iterator[tuple[Fraction | None, AudioFrame]]) -> None:
        """Send samples to all time ranges that contain them."""
        position: int | None = None
        for time, frame in frames:
            if position is None:
                position = round((time or 0) * self._form.rate)
            for samples in self._form.samples(frame):
                position = self._write(samples, position)
            if self._next_span is None and not self._open_parts:
                return
        for samples in self._form.samples(None) if position is not None else ():
            position = self._write(samples, position or 0)
        for entry in list(self._open_parts):
            self._finish(entry)
        if position is not None:
            self.end = position / self._form.rate

    def _begin(self, span: Span) -> None:
        import av

        file = TemporaryFile(self._form.kind.suffix)
        self.parts.append((span, file))
        container = av.open(str(file), "w", format=self._form.kind.container)
        writer = SoundWriter(container, self._form)
        end = None if span.end is None else round(span.end * self._form.rate)
        self._open_parts.append((writer, round(span.start * self._form.rate), end, container))

    def _finish(self, entry: tuple[SoundWriter, int, int | None, OutputContainer]) -> None:
        entry[0].close()
        entry[-1].close()
        self._open_parts.remove(entry)

    def _write(self, samples: np.ndarray, position: int) -> int:
        count = self._form.count(samples)
        self.sample_count += count
        while self._next_span and self._next_span.start * self._form.rate < position + count:
            self._begin(self._next_span)
            self._next_span = next(self._part_spans, None)
        for entry in list(self._open_parts):
            writer, start, end, _ = entry
            low = max(0, start - position)
            high = count if end is None else min(count, end - position)
            if high > low:
                writer.write(self._form.part(samples, low, high))
            if end is not None and position + count >= end:
                self._finish(entry)
        return position + count


def join_sound(paths: Sequence[PathLike], *, format: str) -> TemporaryFile:  # noqa: A002 - users' name
    """Concatenate audio files, in the form of the first.

    Raises
    ------
    MediaError
        If one of them is damaged or has no audio.
    """
    import av

    kind = sound_format(format)
    file = TemporaryFile(kind.suffix)
    with opened(paths[0]) as container:
        stream = audio_stream(container)
        rate, layout = stream.codec_context.sample_rate, layout_of(stream)
    with av.open(str(file), "w", format=kind.container) as out:
        writer = SoundWriter(out, SoundForm(kind, rate, layout))
        for path in paths:
            with opened(path) as container:
                write_all(writer, container, audio_stream(container))
        writer.close()
    return file


def has_sound(path: PathLike, track: int = 0) -> bool:
    """Whether a file has an audio track that can be decoded."""
    with opened(path) as container:
        return first_audio(container, track) is not None


def sound_length(path: PathLike, track: int = 0) -> float:
    """Return the duration of an audio track in seconds; decodes it if headers have none."""
    with opened(path) as container:
        stream = audio_stream(container, track)
        declared = stream.duration if not is_estimated(container) else None
        if declared and declared > 0 and stream.time_base:
            return float(declared * stream.time_base)
        length = length_of(container)
    if length is not None and length > 0:
        return float(length)
    with opened(path) as container:
        stream = audio_stream(container, track)
        rate = stream.codec_context.sample_rate
        return sum(frame.samples for frame in decode_frames(container, stream)) / rate
