"""Clips of videos: checked, re-encoded, or copied from key frame to key frame.

Owns how packets are copied. `video_encoding` encodes frames.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from barbule.errors import ConfigurationError
from barbule.media.streams.editing.sound_tracks import Span
from barbule.media.streams.editing.video_encoding import rewrite
from barbule.media.streams.opening import PathLike, first_audio, first_video, reading_errors
from barbule.media.streams.probing import Timeline, key_at, open_at, read_timeline, stamp_at
from barbule.media.streams.temporary_files import TemporaryFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from fractions import Fraction

    from av.container import InputContainer, OutputContainer

__all__ = ["check_mode", "check_times", "clip", "copy_clip"]

_MP4_CODECS = frozenset(
    ("h264", "hevc", "av1", "vp9", "mpeg4", "mjpeg", "aac", "mp3", "ac3", "eac3", "alac", "opus",
     "flac")
)  # fmt: skip


def check_times(start: float, end: float | None, duration: float | None) -> Span:
    """Return a time range from a start and an end or a duration.

    Raises
    ------
    ConfigurationError
        If they are negative, both given, or leave nothing.
    """
    if end is not None and duration is not None:
        raise ConfigurationError(
            "a clip takes either an end or a duration.", hint="Pass one of them."
        )
    for name, value in {"start": start, "end": end, "duration": duration}.items():
        if value is not None and not math.isfinite(value):
            raise ConfigurationError(f"{name} must be a number of seconds.", value=value)
    if start < 0:
        raise ConfigurationError("start must be a number of seconds of 0 or more.", value=start)
    if duration is not None:
        end = start + duration
    if end is not None and end <= start:
        raise ConfigurationError(f"a clip from {start} to {end} s has no length.")
    return Span(start, end)


def clip(path: PathLike, span: Span, mode: str = "accurate") -> TemporaryFile | None:
    """Write a clip of a video; None if it starts beyond the end."""
    check_mode(mode)
    timeline = read_timeline(path)
    if span.start >= timeline.length:
        return None
    if mode == "fast" and timeline.has_timestamps:
        end = None if span.end is None else stamp_at(timeline, span.end)
        return copy_clip(path, timeline, key_at(timeline, span.start), end)
    return rewrite(path, timeline, span)


def check_mode(mode: str) -> None:
    """Check the cutting mode."""
    if mode not in {"fast", "accurate"}:
        raise ConfigurationError(
            "mode must be 'fast' (copied from key frame to key frame) or 'accurate' (re-encoded).",
            value=mode,
        )


def copy_clip(path: PathLike, timeline: Timeline, first: int, end: int | None) -> TemporaryFile:
    """Copy the packets of a video from a key frame up to a time, without re-encoding.

    Frames after that time are included if others before it are decoded from them. Videos that no
    supported container can hold (Windows Media, Flash) are re-encoded.
    """
    import av

    with open_at(path, timeline, first) as container, reading_errors(path):
        video, audio = first_video(container), first_audio(container)
        streams: list[Any] = [stream for stream in (video, audio) if stream is not None]
        codecs = {stream.codec_context.codec.canonical_name for stream in streams}
        kind, suffix = ("mp4", "mp4") if codecs <= _MP4_CODECS else ("matroska", "mkv")
        file = TemporaryFile(suffix)
        start = first * timeline.time_base
        stop = None if end is None else end * timeline.time_base
        with av.open(str(file), "w", format=kind) as out:
            if not codecs <= out.supported_codecs:
                span = Span(timeline.seconds(first), None if end is None else timeline.seconds(end))
                return rewrite(path, timeline, span)
            output_streams = {
                stream.index: out.add_stream_from_template(stream, opaque=True)
                for stream in streams
            }
            _copy(container, streams, output_streams, out, (start, stop))
    return file


def _with_decoding_times(container: InputContainer, streams: list[Any]) -> Iterator[Any]:
    """Yield packets, with decoding times if a container omits the first of them."""
    waiting: list[Any] = []
    for packet in container.demux(*streams):
        if packet.pts is None or not packet.size:
            continue
        if packet.dts is None:
            waiting.append(packet)
            continue
        if waiting and packet.stream is waiting[0].stream:
            step = packet.duration or 1
            for index, waiting_packet in enumerate(waiting):
                waiting_packet.dts = packet.dts - step * (len(waiting) - index)
            yield from waiting
            waiting = []
        yield packet


def _copy(
    container: InputContainer,
    streams: list[Any],
    output_streams: dict[int, Any],
    out: OutputContainer,
    span: tuple[Fraction, Fraction | None],
) -> None:
    start, stop = span
    ended_streams: set[int] = set()
    has_begun = False
    deferred: list[Any] = []  # shown after the end; others before it may depend on them

    def write(packet: Any) -> None:
        shift = round(start / packet.time_base)
        packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
        packet.stream = output_streams[packet.stream.index]
        out.mux(packet)

    for packet in _with_decoding_times(container, streams):
        time, is_video = packet.pts * packet.time_base, packet.stream.type == "video"
        if stop is not None and packet.dts * packet.time_base >= stop:
            ended_streams.add(packet.stream.index)
            if len(ended_streams) == len(streams):
                return
        has_begun = has_begun or (is_video and packet.is_keyframe and time >= start)
        if time < start or (is_video and not has_begun):
            continue
        if stop is not None and time >= stop:
            deferred += [packet] if is_video else []
            continue
        if is_video and deferred:
            for deferred_packet in deferred:
                write(deferred_packet)
            deferred = []
        write(packet)
