"""Encoding videos: frames and audio encoded into one file.

Owns the choice of codecs and the mapping of source times to output times. `clips` and `segments`
own where time ranges begin and end.
"""

from __future__ import annotations

import contextlib
import os
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Self

from barbule.errors import MediaError
from barbule.media.streams.editing.sound_encoding import FORMATS, SoundForm, SoundWriter, layout_of
from barbule.media.streams.editing.sound_tracks import Span
from barbule.media.streams.opening import (
    PathLike,
    decode_frames,
    first_audio,
    opened,
    reading_errors,
    video_stream,
)
from barbule.media.streams.probing import Timeline, key_at, open_at, read_timeline
from barbule.media.streams.rotation import Orientation, upright_frame, upright_size
from barbule.media.streams.temporary_files import TemporaryFile

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from av.audio.frame import AudioFrame
    from av.container import OutputContainer
    from av.video.frame import VideoFrame

__all__ = ["VideoWriter", "join", "rewrite"]

_TIME_BASE = Fraction(1, 90000)
_ENCODERS = ("libx264", "mpeg4")
_OPTIONS = {"libx264": {"preset": "veryfast", "crf": "20"}, "mpeg4": {"qscale": "3"}}
_SOUND_FORMAT = FORMATS["m4a"]


class VideoWriter:
    """Encodes frames, and audio if there is any, into an MP4 file.

    Parameters
    ----------
    size
        Width and height in pixels; an odd number is made even by dropping a line.
    rate
        Frames per second, as a hint for the encoder; each frame has its own timestamp.
    sound
        Samples per second and layout of the audio; None for a silent video.
    """

    def __init__(
        self,
        size: tuple[int, int],
        rate: Fraction,
        sound: tuple[int, str] | None = None,
    ) -> None:
        import av

        self.file = TemporaryFile("mp4")
        self._size = max(2, size[0] // 2 * 2), max(2, size[1] // 2 * 2)
        self._container: OutputContainer = av.open(str(self.file), "w", format="mp4")
        codec = next(name for name in _ENCODERS if name in av.codecs_available)
        rate = min(max(rate, Fraction(1, 1000)), Fraction(1000)).limit_denominator(1001)
        stream: Any = self._container.add_stream(codec, rate=rate, options=dict(_OPTIONS[codec]))
        self._stream = stream
        self._frame_duration = round(1 / rate / _TIME_BASE)
        stream.width, stream.height = self._size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = _TIME_BASE
        self._sound = sound and SoundWriter(self._container, SoundForm(_SOUND_FORMAT, *sound))
        self._last_pts = -1

    @property
    def sound(self) -> SoundWriter | None:
        """The writer of the audio."""
        return self._sound

    def show(self, frame: VideoFrame, at: Fraction) -> None:
        """Show a frame from a time on, in seconds."""
        width, height = self._size
        if (frame.width, frame.height, frame.format.name) != (width, height, "yuv420p"):
            frame = frame.reformat(width=width, height=height, format="yuv420p")
        frame.pts = max(round(at / _TIME_BASE), self._last_pts + 1)
        frame.time_base = _TIME_BASE
        frame.duration = self._frame_duration
        frame.pict_type = 0  # the source's choice is not a hint
        self._last_pts = frame.pts
        self._container.mux(self._stream.encode(frame))

    def close(self) -> TemporaryFile:
        """Finish the file and return it."""
        try:
            self._container.mux(self._stream.encode(None))
            if self._sound:
                self._sound.close()
        finally:
            self._container.close()
        return self.file

    def abandon(self) -> None:
        """Close the file unfinished."""
        with contextlib.suppress(OSError, ValueError):
            self._container.close()


def rewrite(
    path: PathLike,
    timeline: Timeline | None = None,
    span: Span | None = None,
    *,
    change: Callable[[VideoFrame], VideoFrame] | None = None,
    fps: Fraction | None = None,
) -> TemporaryFile:
    """Re-encode a time range of a video, with each frame changed by a function.

    Parameters
    ----------
    line
        The timeline of its frames, if it was read before.
    span
        The time range; by default the entire video.
    change
        The change of each upright frame.
    fps
        Frames per second, instead of those of the video.
    """
    with _Segment(path, timeline or read_timeline(path), span or Span(0.0, None)) as source:
        first = upright_frame(source.first(), Orientation())
        first = first if change is None else change(first)
        writer = VideoWriter((first.width, first.height), fps or source.rate, source.sound)
        try:
            source.send(writer, Fraction(0), _FramePacer(writer, change, fps))
        except BaseException:
            writer.abandon()
            raise
    return writer.close()


class _FramePacer:
    """Shows frames as they arrive, or at the timestamps of a rate."""

    def __init__(
        self,
        writer: VideoWriter,
        change: Callable[[VideoFrame], VideoFrame] | None = None,
        fps: Fraction | None = None,
    ) -> None:
        self._writer = writer
        self._change = change
        self._fps = fps
        self._count = 0
        self._last_frame: VideoFrame | None = None
        self._orientation = Orientation()

    def show(self, frame: VideoFrame, at: Fraction) -> None:
        """Take a frame that is shown from a time on."""
        if self._fps is None:
            self._write(frame, at)
            return
        self.end(at)
        self._last_frame = frame

    def end(self, at: Fraction) -> None:
        """Show the last frame up to a time."""
        while self._fps and self._last_frame is not None and self._count / self._fps < at:
            self._write(self._last_frame, self._count / self._fps)
            self._count += 1

    def _write(self, frame: VideoFrame, at: Fraction) -> None:
        upright = upright_frame(frame, self._orientation)
        self._writer.show(upright if self._change is None else self._change(upright), at)


class _Segment:
    """A time range of one video that is read once, frames and audio together."""

    def __init__(self, path: PathLike, timeline: Timeline, span: Span) -> None:
        self._path = path
        self._timeline = timeline
        # A second earlier than the frames need, because audio may be before them in the file.
        self._container = open_at(path, timeline, key_at(timeline, max(0.0, span.start - 1)))
        self._video = video_stream(self._container)
        self._audio = first_audio(self._container)
        self._start = Fraction(span.start)
        ends = [Fraction(span.end)] if span.end is not None else []
        self._end = min([*ends, timeline.length])
        self._origin = int(timeline.stamps[0]) * timeline.time_base
        self._untimed_frames = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._container.close()

    @property
    def length(self) -> Fraction:
        """The length of the time range."""
        return self._end - self._start

    @property
    def sound(self) -> tuple[int, str] | None:
        """Samples per second and layout of the audio."""
        audio = self._audio
        return None if audio is None else (audio.codec_context.sample_rate, layout_of(audio))

    @property
    def rate(self) -> Fraction:
        """Frames per second, on average."""
        return self._video.average_rate or Fraction(25)

    def first(self) -> VideoFrame:
        """Return a frame, to inspect its properties."""
        with opened(self._path) as container:
            first = next(decode_frames(container, video_stream(container)), None)
        if first is None:
            raise self._no_pictures_error()
        return first

    def _no_pictures_error(self) -> MediaError:
        return MediaError(
            f"{os.fspath(self._path)} has no frames between {float(self._start):g} and "
            f"{float(self._end):g} s that can be decoded.",
            hint="Download or export the file again, and check that it plays.",
        )

    def send(self, writer: VideoWriter, offset: Fraction, pace: _FramePacer) -> None:
        """Write the time range, starting at a time of the writer; it is read once."""
        with reading_errors(self._path):
            self._write_frames(writer, offset, pace)

    def _write_frames(self, writer: VideoWriter, offset: Fraction, pace: _FramePacer) -> None:
        streams: list[Any] = [self._video]
        if writer.sound is not None and self._audio is not None:
            streams.append(self._audio)
        has_ended = {stream.index: False for stream in streams}
        has_shown = False
        previous_frame: VideoFrame | None = None  # still shown when the time range starts
        for frame in decode_frames(self._container, *streams):
            if hasattr(frame, "samples"):
                has_ended[streams[-1].index] = self._write_sound(writer, frame, offset)
                continue
            time = self._time_of(frame)
            if time >= self._end:
                has_ended[self._video.index] = True
            elif time < self._start:
                previous_frame = frame
            else:
                if not has_shown and previous_frame is not None and time > self._start:
                    pace.show(previous_frame, offset)
                pace.show(frame, time - self._start + offset)
                has_shown = True
            if all(has_ended.values()):
                break
        if not has_shown:
            if previous_frame is None:
                raise self._no_pictures_error()
            pace.show(previous_frame, offset)
        pace.end(offset + self.length)
        self._end_sound(writer, offset)

    def _time_of(self, frame: VideoFrame) -> Fraction:
        if frame.pts is None:
            self._untimed_frames += 1
            return (self._untimed_frames - 1) * self._timeline.time_base
        return frame.pts * (frame.time_base or self._timeline.time_base) - self._origin

    def _write_sound(self, writer: VideoWriter, frame: AudioFrame, offset: Fraction) -> bool:
        """Write the part of an audio frame in the time range; return whether it was the last."""
        sound = writer.sound
        if sound is None or frame.pts is None or frame.time_base is None:
            return False
        time = frame.pts * frame.time_base - self._origin
        if time >= self._end:
            return True
        for samples in sound.form.samples(frame):
            rate = sound.form.rate
            start = round((time - self._start + offset) * rate)
            written = round(sound.seconds * rate)
            count = sound.form.count(samples)
            if start > written + rate // 50:  # a gap that can be heard
                sound.write_silence(Fraction(start, rate))
            low = max(0, round(offset * rate) - start) if start < written else 0
            high = min(count, round((self.length + offset) * rate) - written + low)
            if high > low:
                sound.write(sound.form.part(samples, low, high))
            time += Fraction(count, rate)
        return False

    def _end_sound(self, writer: VideoWriter, offset: Fraction) -> None:
        sound = writer.sound
        if sound is not None:
            sound.form.restart()
            sound.write_silence(offset + self.length)


def join(paths: Sequence[PathLike]) -> TemporaryFile:
    """Concatenate videos of one size; silent ones among others stay silent.

    Raises
    ------
    MediaError
        If one is damaged or has another size.
    """
    full_span = Span(0.0, None)
    sizes = [_frame_size(path) for path in paths]
    for path, size in zip(paths, sizes, strict=True):
        if size != sizes[0]:
            raise MediaError(
                f"{os.fspath(path)} is {size[0]} x {size[1]}, the first video "
                f"{sizes[0][0]} x {sizes[0][1]}.",
                hint="All videos that are joined must have the same size.",
            )
    sound = next((parameters for path in paths if (parameters := _sound_parameters(path))), None)
    with opened(paths[0]) as first:
        writer = VideoWriter(sizes[0], video_stream(first).average_rate or Fraction(25), sound)
    offset = Fraction(0)
    try:
        for path in paths:
            with _Segment(path, read_timeline(path), full_span) as source:
                source.send(writer, offset, _FramePacer(writer))
                offset += source.length
    except BaseException:
        writer.abandon()
        raise
    return writer.close()


def _frame_size(path: PathLike) -> tuple[int, int]:
    with opened(path) as container:
        first = next(decode_frames(container, video_stream(container)), None)
        if first is None:
            raise MediaError(
                f"{os.fspath(path)} has no frames that can be decoded.",
                hint="Download or export the file again, and check that it plays.",
            )
        return upright_size(first)


def _sound_parameters(path: PathLike) -> tuple[int, str] | None:
    with opened(path) as container:
        audio = first_audio(container)
        return None if audio is None else (audio.codec_context.sample_rate, layout_of(audio))
