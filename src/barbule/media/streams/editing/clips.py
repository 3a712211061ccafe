"""Stretches of videos: checked, encoded anew, or copied from key frame to key frame.

Owns how packets are copied. How pictures are encoded is the business of `writing`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from barbule.errors import ConfigurationError
from barbule.media.streams.editing.sound_tracks import Span
from barbule.media.streams.editing.video_encoding import rewrite
from barbule.media.streams.opening import PathLike, first_audio, first_video, reading
from barbule.media.streams.probing import Timeline, key_at, open_at, stamp_at, timeline
from barbule.media.streams.temporary_files import MadeFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from fractions import Fraction

    from av.container import InputContainer, OutputContainer

__all__ = ["check_mode", "check_times", "clip", "copied"]

_IN_MP4 = frozenset(
    ("h264", "hevc", "av1", "vp9", "mpeg4", "mjpeg", "aac", "mp3", "ac3", "eac3", "alac", "opus",
     "flac")
)  # fmt: skip


def check_times(start: float, end: float | None, duration: float | None) -> Span:
    """Make a stretch of a start and an end or a duration.

    Raises
    ------
    ConfigurationError
        When they are below zero, both given, or leave nothing.
    """
    if end is not None and duration is not None:
        raise ConfigurationError("a clip has an end or a duration.", hint="Give one of them.")
    for name, value in {"start": start, "end": end, "duration": duration}.items():
        if value is not None and not math.isfinite(value):
            raise ConfigurationError(f"{name} is a number of seconds.", value=value)
    if start < 0:
        raise ConfigurationError("start is a number of seconds from 0.", value=start)
    if duration is not None:
        end = start + duration
    if end is not None and end <= start:
        raise ConfigurationError(f"a clip from {start} to {end} s has no length.")
    return Span(start, end)


def clip(path: PathLike, span: Span, mode: str = "accurate") -> MadeFile | None:
    """Write a stretch of a video; None when it lies beyond the end."""
    check_mode(mode)
    line = timeline(path)
    if span.start >= line.length:
        return None
    if mode == "fast" and line.timed:
        end = None if span.end is None else stamp_at(line, span.end)
        return copied(path, line, key_at(line, span.start), end)
    return rewrite(path, line, span)


def check_mode(mode: str) -> None:
    """Make sure that there is such a mode of cutting."""
    if mode not in {"fast", "accurate"}:
        raise ConfigurationError(
            "mode is 'fast' (copied from key frame to key frame) or 'accurate' (encoded anew).",
            value=mode,
        )


def copied(path: PathLike, line: Timeline, first: int, end: int | None) -> MadeFile:
    """Copy the packets of a video from a key frame up to a time, without encoding anew.

    Frames after that time come along where others before it are decoded from them. What no
    container of ours holds (Windows Media, Flash) is encoded anew.
    """
    import av

    with open_at(path, line, first) as container, reading(path):
        video, audio = first_video(container), first_audio(container)
        streams: list[Any] = [each for each in (video, audio) if each is not None]
        codecs = {each.codec_context.codec.canonical_name for each in streams}
        kind, suffix = ("mp4", "mp4") if codecs <= _IN_MP4 else ("matroska", "mkv")
        made = MadeFile(suffix)
        start = first * line.time_base
        stop = None if end is None else end * line.time_base
        with av.open(str(made), "w", format=kind) as out:
            if not codecs <= out.supported_codecs:
                span = Span(line.seconds(first), None if end is None else line.seconds(end))
                return rewrite(path, line, span)
            outs = {each.index: out.add_stream_from_template(each, opaque=True) for each in streams}
            _copy(container, streams, outs, out, (start, stop))
    return made


def _ordered(container: InputContainer, streams: list[Any]) -> Iterator[Any]:
    """Give packets, with decoding times where a container leaves out the first of them."""
    waiting: list[Any] = []
    for packet in container.demux(*streams):
        if packet.pts is None or not packet.size:
            continue
        if packet.dts is None:
            waiting.append(packet)
            continue
        if waiting and packet.stream is waiting[0].stream:
            step = packet.duration or 1
            for place, each in enumerate(waiting):
                each.dts = packet.dts - step * (len(waiting) - place)
            yield from waiting
            waiting = []
        yield packet


def _copy(
    container: InputContainer,
    streams: list[Any],
    outs: dict[int, Any],
    out: OutputContainer,
    span: tuple[Fraction, Fraction | None],
) -> None:
    start, stop = span
    done: set[int] = set()
    begun = False
    beyond: list[Any] = []  # shown after the end; others before it may depend on them

    def write(packet: Any) -> None:
        shift = round(start / packet.time_base)
        packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
        packet.stream = outs[packet.stream.index]
        out.mux(packet)

    for packet in _ordered(container, streams):
        at, pictures = packet.pts * packet.time_base, packet.stream.type == "video"
        if stop is not None and packet.dts * packet.time_base >= stop:
            done.add(packet.stream.index)
            if len(done) == len(streams):
                return
        begun = begun or (pictures and packet.is_keyframe and at >= start)
        if at < start or (pictures and not begun):
            continue
        if stop is not None and at >= stop:
            beyond += [packet] if pictures else []
            continue
        if pictures and beyond:
            for each in beyond:
                write(each)
            beyond = []
        write(packet)
