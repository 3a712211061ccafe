"""Headers, durations and timestamps of audio and video files.

Owns what is read without decoding; packets are counted if headers have no data.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from barbule.errors import MediaError
from barbule.media.streams.opening import (
    PathLike,
    decode_frames,
    first_video,
    open_container,
    opened,
    video_stream,
)

if TYPE_CHECKING:
    import numpy as np
    from av.container import InputContainer
    from av.stream import Stream

__all__ = [
    "UNINDEXED",
    "Timeline",
    "duration",
    "is_estimated",
    "key_at",
    "length_of",
    "metadata",
    "open_at",
    "read_timeline",
    "stamp_at",
]

_MICROSECONDS = 1_000_000
# Seconds that a frame is shown. Above that, a damaged number would be split into thousands of empty
# parts.
_MAX_FRAME_SECONDS = 600
# FFmpeg's names of streams without a reliable header, and without timestamps.
UNINDEXED = frozenset(
    ("aac", "ac3", "amr", "dts", "eac3", "h264", "hevc", "m4v", "mjpeg", "mpegvideo", "obu")
)
_ID3_HEADER_BYTES = 10
_FIRST_FRAME_BYTES = 4096  # bytes, in which it begins and its tag lies
_COUNT_FLAGS = 3  # flags of the numbers of frames and of bytes
_TAG_BYTES = 1 << 12


def duration(path: PathLike) -> float | None:
    """Return the duration of a file in seconds; None if not even its packets have times."""
    with opened(path) as container:
        length = length_of(container)
        return None if length is None else float(length)


def length_of(container: InputContainer) -> Fraction | None:
    """Return the duration of a container; reads its packets if the header has none."""
    if is_estimated(container):
        return _length_by_packets(container)
    if container.duration is not None and container.duration > 0:
        return Fraction(container.duration, _MICROSECONDS)
    lengths = [
        stream.duration * stream.time_base
        for stream in container.streams
        if stream.duration and stream.duration > 0 and stream.time_base
    ]
    return max(lengths) if lengths else _length_by_packets(container)


def is_estimated(container: InputContainer) -> bool:
    """Whether the duration of a container is an estimate from its size and its initial bit rate.

    FFmpeg estimates it for streams without an index. If the bit rate varies, the error may be
    large.
    """
    if container.format.name == "mp3":
        return not _has_mp3_index(container.name)
    return container.format.name in UNINDEXED


def _has_mp3_index(path: str) -> bool:
    """Whether the first frame of an MP3 file declares their number, and the size of this file.

    The tags of Xing, LAME and Fraunhofer, read as in libavformat/mp3dec.c.
    """
    with open(path, "rb") as file:  # noqa: PTH123
        head = file.read(_ID3_HEADER_BYTES)
        start = 0
        if head[:3] == b"ID3":
            start = _ID3_HEADER_BYTES + sum(
                (byte & 0x7F) << 7 * (3 - n) for n, byte in enumerate(head[6:])
            )
        file.seek(start)
        frame = file.read(_FIRST_FRAME_BYTES)
        size = file.seek(0, os.SEEK_END) - start
    for tag in (b"Xing", b"Info"):
        position = frame.find(tag)
        if position >= 0:
            flags, _, declared = (
                int.from_bytes(frame[position + n : position + n + 4]) for n in (4, 8, 12)
            )
            return flags & _COUNT_FLAGS == _COUNT_FLAGS and _is_plausible_size(declared, size)
    position = frame.find(b"VBRI")
    return position >= 0 and _is_plausible_size(
        int.from_bytes(frame[position + 10 : position + 14]), size
    )


def _is_plausible_size(declared: int, size: int) -> bool:
    """Whether a file has its declared size, without end tags: neither cut nor concatenated."""
    return abs(declared - size) <= max(size >> 4, _TAG_BYTES)


def _length_by_packets(container: InputContainer) -> Fraction | None:
    first: Fraction | None = None
    last: Fraction | None = None
    packets = 0
    for packet in container.demux():
        packets += bool(packet.size)
        stamp = packet.pts if packet.pts is not None else packet.dts
        if stamp is None or packet.time_base is None:
            continue
        time = stamp * packet.time_base
        end = time + (packet.duration or 0) * packet.time_base
        first = time if first is None else min(first, time)
        last = end if last is None else max(last, end)
    if first is not None and last is not None:
        return last - first
    video = first_video(container)
    rate = video.average_rate if video is not None else None
    return Fraction(packets) / rate if packets and rate else None


def metadata(path: PathLike) -> dict[str, Any]:
    """Return the metadata of a file's headers, in the form of Pixeltable's `get_metadata`."""
    with opened(path) as container:
        return {
            "bit_exact": False,
            "bit_rate": container.bit_rate,
            "size": os.path.getsize(path),  # noqa: PTH202
            "format": container.format.name,
            "duration_seconds": _seconds(length_of_header(container)),
            "metadata": dict(container.metadata),
            "streams": [_stream_metadata(stream) for stream in container.streams],
        }


def length_of_header(container: InputContainer) -> Fraction | None:
    """Return the duration in the header, None if it has none."""
    is_declared = container.duration is not None and container.duration > 0
    return Fraction(container.duration or 0, _MICROSECONDS) if is_declared else None


def _seconds(value: Fraction | None) -> float | None:
    return None if value is None else float(value)


def _stream_metadata(stream: Stream) -> dict[str, Any]:
    length = stream.duration * stream.time_base if stream.duration and stream.time_base else None
    description: dict[str, Any] = {
        "type": stream.type,
        "frames": stream.frames,
        "duration": stream.duration,
        "duration_seconds": _seconds(length),
        "time_base": _seconds(stream.time_base),
        "metadata": dict(stream.metadata),
    }
    codec: Any = stream.codec_context
    if codec is None:
        return description
    description["codec_context"] = {
        "name": codec.name,
        "codec_tag": codec.codec_tag.rstrip("\x00"),
        "profile": codec.profile,
    }
    details: Any = stream
    if stream.type == "video":
        description |= {"width": details.width, "height": details.height}
        for name in ("average_rate", "base_rate", "guessed_rate"):
            description[name] = _seconds(getattr(details, name))
        description["codec_context"]["pix_fmt"] = codec.pix_fmt
    elif stream.type == "audio":
        description["sample_rate"] = codec.sample_rate
        description["codec_context"] |= {"channels": codec.channels, "layout": codec.layout.name}
    return description


@dataclass(frozen=True)
class Timeline:
    """The display times of the frames of a video.

    Attributes
    ----------
    stamps
        The time of each frame in units of `time_base`, increasing.
    keys
        Whether each frame is a key frame.
    end
        The end of the last frame, in the same units.
    timed
        Whether packets carry these times, so that they can be copied.
    """

    stamps: np.ndarray
    keys: np.ndarray
    time_base: Fraction
    end: int
    has_timestamps: bool = True

    def seconds(self, stamp: int) -> float:
        """Return a time as seconds from the first frame."""
        return float((stamp - int(self.stamps[0])) * self.time_base)

    @property
    def length(self) -> Fraction:
        """The time from the first frame to the end of the last, in seconds."""
        return (self.end - int(self.stamps[0])) * self.time_base


def read_timeline(path: PathLike) -> Timeline:
    """Read the display times of the frames of a video, from its packets.

    Nothing is decoded, unless packets carry no times (raw streams): then times are computed from
    the frame rate.

    Raises
    ------
    MediaError
        If it is not a video, or has no frame.
    """
    with opened(path) as container:
        stream = video_stream(container)
        rate = stream.average_rate or Fraction(25)
        step = 1 / (rate * stream.time_base) if stream.time_base else Fraction(1)
        frames, length = [], 0
        for packet in container.demux(stream):
            if packet.size and not packet.is_discard:
                frames.append((packet.pts, packet.is_keyframe))
                length = packet.duration or length
        base = stream.time_base or 1 / rate
    if any(stamp is None for stamp, _ in frames):
        return _counted_timeline(path)
    return _build_timeline(path, frames, base, length or max(1, int(step)))


def _counted_timeline(path: PathLike) -> Timeline:
    with opened(path) as container:
        stream = video_stream(container)
        rate = stream.average_rate or Fraction(25)
        frames = [(frame.pts, bool(frame.key_frame)) for frame in decode_frames(container, stream)]
        base = stream.time_base or 1 / rate
    if any(stamp is None for stamp, _ in frames):
        frames = [(index, key) for index, (_, key) in enumerate(frames)]
        base = 1 / rate
    return _build_timeline(path, frames, base, max(1, int(1 / (rate * base))), has_timestamps=False)


def _build_timeline(
    path: PathLike,
    frames: list[tuple[Any, bool]],
    base: Fraction,
    step: int,
    *,
    has_timestamps: bool = True,
) -> Timeline:
    """Make a timeline of stamps and whether they are of key frames; the last lasts a step."""
    import numpy as np

    if not frames:
        raise MediaError(f"{os.fspath(path)} has no frames.", hint="Check that the file plays.")
    key_by_stamp = dict(sorted(frames))
    stamps = np.fromiter(key_by_stamp, dtype=np.int64, count=len(key_by_stamp))
    keys = np.fromiter(key_by_stamp.values(), dtype=bool, count=len(key_by_stamp))
    longest = float(max(int(np.diff(stamps).max(initial=0)), step) * base)
    if longest > _MAX_FRAME_SECONDS:
        raise MediaError(
            f"{os.fspath(path)} has a frame that is shown for {longest:,.0f} seconds: its "
            "timestamps are damaged.",
            hint="Re-encode the video so that its timestamps are continuous.",
        )
    return Timeline(stamps, keys, base, int(stamps[-1]) + step, has_timestamps=has_timestamps)


def stamp_at(timeline: Timeline, seconds: float) -> int:
    """Return a time from the first frame in units of the stream."""
    # A thousandth of a unit for the rounding of floats.
    return int(timeline.stamps[0]) + math.ceil(
        Fraction(seconds) / timeline.time_base - Fraction(1, 1000)
    )


def key_at(timeline: Timeline, seconds: float, *, after: bool = False) -> int:
    """Return the key frame at or before a time; or after it, the end if there is none."""
    keys, stamp = timeline.stamps[timeline.keys], stamp_at(timeline, seconds)
    if after:
        following = keys[keys >= stamp]
        return int(following[0]) if len(following) else timeline.end
    previous = keys[keys <= stamp]
    return int(previous[-1]) if len(previous) else int(timeline.stamps[0])


def open_at(path: PathLike, timeline: Timeline, stamp: int) -> InputContainer:
    """Open a video at a key frame; at its beginning if it is not seekable."""
    from av.error import FFmpegError

    container = open_container(path)
    if stamp <= timeline.stamps[0]:
        return container
    try:
        stream = video_stream(container)
        container.seek(stamp, stream=stream, backward=True)
        key = next((packet for packet in container.demux(stream) if packet.is_keyframe), None)
        if key is not None and key.pts is not None and key.pts <= stamp:
            container.seek(stamp, stream=stream, backward=True)
            return container
    except FFmpegError:
        pass
    container.close()
    return open_container(path)
