"""Frames of videos by reference, decoded when they are read.

Owns the decoders, which stay open so that frames read in order cost one pass over the video. A few
passed frames are kept for a while; nothing is written.
"""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from barbule.errors import ConfigurationError, MediaError
from barbule.media.streams.frame_selection import split_reference
from barbule.media.streams.opening import (
    PathLike,
    open_container,
    opened,
    reading_errors,
    video_stream,
)
from barbule.media.streams.probing import is_estimated, length_of
from barbule.media.streams.rotation import Orientation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import PIL.Image
    from av.video.frame import VideoFrame

__all__ = ["FrameReader", "frame_at"]

_MAX_OPEN_DECODERS = 2  # decoders; each keeps some frames of its video
_FRAME_CACHE_BYTES = 64 << 20  # of passed frames, in each of them
_MAX_THREADS = 16  # that request neighbouring frames at the same time
_STATE_SECONDS = 2.0  # seconds for which a file is not checked again
_JUMP_SECONDS = 10  # seconds ahead from which a key frame is sought without an index
_MAX_SKIPPED_STAMPS = 4096
_SKIPPING_CODECS = frozenset({"h264", "hevc", "mpeg4"})  # decoders that skip single frames
_NO_TIMESTAMPS_FLAG = 0x80  # FFmpeg's AVFMT_NOTIMESTAMPS: raw streams


class FrameReader:
    """Decodes frames by reference.

    Parameters
    ----------
    path
        Returns a local file for the reference of a video.
    """

    def __init__(self, path: Callable[[str], Path]) -> None:
        self._path = path
        self._decoders: OrderedDict[str, _Decoder] = OrderedDict()
        self._lock = threading.Lock()

    def image(self, reference: str) -> PIL.Image.Image:
        """Return the frame of a reference.

        Raises
        ------
        MediaError
            If the video is missing or damaged.
        """
        video, stamp, step = split_reference(reference)
        return self._decoder(video).image(stamp, step)

    def close(self) -> None:
        """Close the videos that are open."""
        with self._lock:
            self._decoders.clear()

    def _decoder(self, video: str) -> _Decoder:
        with self._lock:
            decoder = self._decoders.get(video)
            if decoder is None or not decoder.is_current(lambda: self._path(video)):
                decoder = _Decoder(self._path(video))
                self._decoders[video] = decoder
            self._decoders.move_to_end(video)
            while len(self._decoders) > _MAX_OPEN_DECODERS:
                self._decoders.popitem(last=False)
            return decoder


def _state(path: Path) -> tuple[str, int, int]:
    status = path.stat()
    return str(path), status.st_mtime_ns, status.st_size


class _Decoder:
    """An open video and the current position."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._state = _state(path)
        self._checked = time.monotonic()
        self._lock = threading.Lock()
        self._orientation = Orientation()
        self._may_jump_blindly = True  # whether a jump ahead may be tried without an index
        self._open()

    def is_current(self, path: Callable[[], Path]) -> bool:
        """Whether the file is still the one that was opened."""
        now = time.monotonic()
        if now - self._checked > _STATE_SECONDS:
            self._checked = now
            try:
                return _state(path()) == self._state
            except OSError:
                return False
        return True

    def image(self, stamp: int, step: int) -> PIL.Image.Image:
        """Return the frame that is shown at a time."""
        with reading_errors(self._path):
            with self._lock:
                frame = self._frame_at(stamp, step)
            return self._orientation.image(frame)

    def _open(self) -> None:
        """Begin at the beginning."""
        self._container = open_container(self._path)
        self._stream = video_stream(self._container)
        self._has_timestamps = not int(self._container.format.flags) & _NO_TIMESTAMPS_FLAG
        self._can_skip = (
            self._has_timestamps and self._stream.codec_context.name in _SKIPPING_CODECS
        )
        rate, base = self._stream.average_rate, self._stream.time_base
        self._interval = int(1 / (rate * base)) if rate and base else 1
        self._cached_frames: OrderedDict[int, VideoFrame] = OrderedDict()
        self._begin(began_at_start=True)

    def _begin(self, *, began_at_start: bool) -> None:
        self._remaining_frames = self._frames()
        self._last_frame: tuple[int, VideoFrame] | None = None
        self._began_at_start = began_at_start
        self._last_packet_dts: int | None = None  # the decoding time of the last packet
        self._skipped_stamps: set[int] = set()  # times of skipped frames

    def _frame_at(self, stamp: int, step: int) -> VideoFrame:
        if stamp in self._cached_frames:
            return self._cached_frames[stamp]
        self._requested_stamp, self._step = stamp, step
        if self._is_behind(stamp):
            self._seek(stamp)
        elif not self._skips_others(stamp) and self._has_key_frame_ahead(stamp):
            self._jump(stamp)
        frame = self._advance_to(stamp)
        if frame is None and not self._began_at_start:  # it started later than requested
            self._seek(stamp - int(_JUMP_SECONDS / (self._stream.time_base or 1)))
            frame = self._advance_to(stamp)
        if frame is None and not self._began_at_start:
            self._open()
            frame = self._advance_to(stamp)
        if frame is None:
            raise MediaError(
                f"{os.fspath(self._path)} has no frame at {stamp} that can be decoded.",
                hint="The video is damaged, or was replaced with a shorter one.",
            )
        return frame

    def _is_behind(self, stamp: int) -> bool:
        return stamp in self._skipped_stamps or (
            self._last_frame is not None and stamp < self._last_frame[0]
        )

    def _skips_others(self, stamp: int) -> bool:
        """Whether other threads will probably read frames in between soon."""
        if not self._step or self._last_frame is None:
            return False
        steps = (stamp - self._last_frame[0] - self._interval) // self._step
        return 1 <= steps <= _MAX_THREADS

    def _has_key_frame_ahead(self, stamp: int) -> bool:
        """Whether jumping to a key frame before the requested one is worthwhile."""
        if not self._has_timestamps:
            return False
        entries = self._stream.index_entries
        if len(entries) > 1:
            entry_index = entries.search_timestamp(stamp, backward=True)
            return entry_index > 0 and entries[entry_index].timestamp > (self._last_packet_dts or 0)
        current = self._last_frame[0] if self._last_frame else (self._stream.start_time or 0)
        return (
            self._may_jump_blindly
            and (stamp - current) * (self._stream.time_base or 0) > _JUMP_SECONDS
        )

    def _jump(self, stamp: int) -> None:
        current = self._last_frame[0] if self._last_frame else None
        self._seek(stamp)
        step = next(self._remaining_frames, None)
        self._last_frame = step
        if step is None or (current is not None and step[0] <= current):
            self._may_jump_blindly = False

    def _seek(self, stamp: int) -> None:
        if not self._has_timestamps:
            self._open()
            return
        from av.error import FFmpegError

        try:
            self._container.seek(stamp, stream=self._stream, backward=True)
        except FFmpegError:  # it is not seekable: from the beginning
            self._open()
            return
        self._begin(began_at_start=False)

    def _advance_to(self, stamp: int) -> VideoFrame | None:
        """Advance to a frame; None if this pass started after it."""
        previous = self._last_frame
        if previous is not None and previous[0] >= stamp:
            return previous[1] if previous[0] == stamp else None
        for frame_stamp, frame in self._remaining_frames:
            self._last_frame = frame_stamp, frame
            if self._step and self._may_be_requested(frame_stamp):
                self._cache_frame(frame_stamp, frame)
            if frame_stamp == stamp:
                return frame
            if frame_stamp > stamp:
                is_first = previous is None and self._began_at_start
                return frame if is_first else previous and previous[1]
            previous = self._last_frame
        return previous and previous[1]

    def _frames(self) -> Iterator[tuple[int, VideoFrame]]:
        from av.error import FFmpegError

        untimed = 0
        context: Any = self._stream.codec_context
        for packet in self._container.demux(self._stream):
            context.skip_frame = "NONREF" if self._is_skippable(packet.pts) else "DEFAULT"
            if packet.dts is not None:
                self._last_packet_dts = packet.dts
            try:
                frames = packet.decode()
            except FFmpegError:
                continue  # as in players; the previous frame is shown instead
            for frame in frames:
                yield (untimed if frame.pts is None else frame.pts), frame
                untimed += 1

    def _cache_frame(self, stamp: int, frame: VideoFrame) -> None:
        size = sum(plane.buffer_size for plane in frame.planes)
        self._cached_frames[stamp] = frame
        while len(self._cached_frames) > 1 and len(self._cached_frames) * size > _FRAME_CACHE_BYTES:
            self._cached_frames.popitem(last=False)

    def _may_be_requested(self, stamp: int) -> bool:
        """Whether a frame may be requested soon, judging by the current request."""
        if not self._step:
            return stamp >= self._requested_stamp
        distance = (stamp - self._requested_stamp) % self._step
        return min(distance, self._step - distance) <= self._interval

    def _is_skippable(self, stamp: int | None) -> bool:
        """Whether nobody requests the frame of a packet, as far as is known."""
        if stamp is None or not self._can_skip or self._may_be_requested(stamp):
            return False
        if len(self._skipped_stamps) > _MAX_SKIPPED_STAMPS:
            current = self._last_frame[0] if self._last_frame else self._requested_stamp
            self._skipped_stamps = {
                skipped for skipped in self._skipped_stamps if skipped > current
            }
        self._skipped_stamps.add(stamp)
        return True


def frame_at(path: PathLike, seconds: float) -> PIL.Image.Image | None:
    """Return the frame at a time after the first; None beyond the end.

    Raises
    ------
    ConfigurationError
        If the time is negative.
    MediaError
        If the video is damaged.
    """
    if not seconds >= 0:
        raise ConfigurationError(
            "timestamp must be a number of seconds of 0 or more.", value=seconds
        )
    with opened(path) as container:
        stream = video_stream(container)
        base, rate, start = stream.time_base, stream.average_rate, stream.start_time
        has_timestamps = not int(container.format.flags) & _NO_TIMESTAMPS_FLAG
        declared = stream.duration if base and not is_estimated(container) else None
        length = declared * base if declared and base else length_of(container)
    if length is not None and seconds >= length:
        return None
    if not has_timestamps or base is None:
        return _Decoder(Path(path)).image(int(seconds * (rate or 25)), 0)
    return _Decoder(Path(path)).image((start or 0) + int(seconds / base), 0)
