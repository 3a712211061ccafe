"""Frames of videos by reference, decoded when they are touched.

Owns the decoders, which stay open so that frames asked for in their order cost one pass over the
video. A few that were passed are kept for a while; nothing is written.
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
    reading,
    video_stream,
)
from barbule.media.streams.probing import is_estimated, length_of
from barbule.media.streams.rotation import Orientation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import PIL.Image
    from av.video.frame import VideoFrame

__all__ = ["FrameReader", "frame_at"]

_OPEN = 2  # decoders; each keeps some frames of its video
_KEPT_BYTES = 64 << 20  # of frames that were passed, in each of them
_MOST_THREADS = 16  # that ask for neighbouring frames at the same time
_FRESH = 2.0  # seconds for which a file is not looked at again
_FAR = 10  # seconds ahead from which a key frame is looked for blindly
_SKIPPED = 4096
_SKIPPING = frozenset({"h264", "hevc", "mpeg4"})  # decoders that leave single frames out
_NO_TIMES = 0x80  # FFmpeg's AVFMT_NOTIMESTAMPS: raw streams


class FrameReader:
    """Decodes frames by reference.

    Parameters
    ----------
    path
        Gives a local file for the reference of a video.
    """

    def __init__(self, path: Callable[[str], Path]) -> None:
        self._path = path
        self._decoders: OrderedDict[str, _Decoder] = OrderedDict()
        self._lock = threading.Lock()

    def image(self, reference: str) -> PIL.Image.Image:
        """Return the frame that a reference names.

        Raises
        ------
        MediaError
            When the video is missing or damaged.
        """
        video, stamp, step = split_reference(reference)
        return self._decoder(video).image(stamp, step)

    def close(self) -> None:
        """Close the videos that are open."""
        with self._lock:
            self._decoders.clear()

    def _decoder(self, video: str) -> _Decoder:
        with self._lock:
            known = self._decoders.get(video)
            if known is None or not known.fresh(lambda: self._path(video)):
                known = _Decoder(self._path(video))
                self._decoders[video] = known
            self._decoders.move_to_end(video)
            while len(self._decoders) > _OPEN:
                self._decoders.popitem(last=False)
            return known


def _state(path: Path) -> tuple[str, int, int]:
    found = path.stat()
    return str(path), found.st_mtime_ns, found.st_size


class _Decoder:
    """One open video and the place in it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._state = _state(path)
        self._checked = time.monotonic()
        self._lock = threading.Lock()
        self._orientation = Orientation()
        self._blind = True  # whether a jump ahead may be tried without an index
        self._open()

    def fresh(self, path: Callable[[], Path]) -> bool:
        """Whether the file is still the one that was opened."""
        now = time.monotonic()
        if now - self._checked > _FRESH:
            self._checked = now
            try:
                return _state(path()) == self._state
            except OSError:
                return False
        return True

    def image(self, stamp: int, step: int) -> PIL.Image.Image:
        """Return the frame that is shown at a time."""
        with reading(self._path):
            with self._lock:
                frame = self._frame(stamp, step)
            return self._orientation.image(frame)

    def _open(self) -> None:
        """Begin at the beginning."""
        self._container = open_container(self._path)
        self._stream = video_stream(self._container)
        self._timed = not int(self._container.format.flags) & _NO_TIMES
        self._skips = self._timed and self._stream.codec_context.name in _SKIPPING
        rate, base = self._stream.average_rate, self._stream.time_base
        self._interval = int(1 / (rate * base)) if rate and base else 1
        self._kept: OrderedDict[int, VideoFrame] = OrderedDict()
        self._begin(at_start=True)

    def _begin(self, *, at_start: bool) -> None:
        self._walk = self._frames()
        self._last: tuple[int, VideoFrame] | None = None
        self._at_start = at_start
        self._sent: int | None = None  # the decoding time of the last packet
        self._passed: set[int] = set()  # times of frames that were left out
        self._ended = False

    def _frame(self, stamp: int, step: int) -> VideoFrame:
        if stamp in self._kept:
            return self._kept[stamp]
        self._wanted, self._step = stamp, step
        if self._is_behind(stamp):
            self._seek(stamp)
        elif not self._skips_others(stamp) and self._key_ahead(stamp):
            self._jump(stamp)
        found = self._shown_at(stamp)
        if found is None and not self._at_start:  # it began later than was asked
            self._seek(stamp - int(_FAR / (self._stream.time_base or 1)))
            found = self._shown_at(stamp)
        if found is None and not self._at_start:
            self._open()
            found = self._shown_at(stamp)
        if found is None:
            raise MediaError(
                f"{os.fspath(self._path)} has no frame at {stamp} that can be decoded.",
                hint="The video is damaged, or was replaced by a shorter one.",
            )
        return found

    def _is_behind(self, stamp: int) -> bool:
        return stamp in self._passed or (self._last is not None and stamp < self._last[0])

    def _skips_others(self, stamp: int) -> bool:
        """Whether frames lie between that another thread probably asks for in a moment."""
        if not self._step or self._last is None:
            return False
        steps = (stamp - self._last[0] - self._interval) // self._step
        return 1 <= steps <= _MOST_THREADS

    def _key_ahead(self, stamp: int) -> bool:
        """Whether a key frame before the wanted one is worth a jump."""
        if not self._timed:
            return False
        entries = self._stream.index_entries
        if len(entries) > 1:
            place = entries.search_timestamp(stamp, backward=True)
            return place > 0 and entries[place].timestamp > (self._sent or 0)
        here = self._last[0] if self._last else (self._stream.start_time or 0)
        return self._blind and (stamp - here) * (self._stream.time_base or 0) > _FAR

    def _jump(self, stamp: int) -> None:
        here = self._last[0] if self._last else None
        self._seek(stamp)
        step = next(self._walk, None)
        self._last = step
        if step is None or (here is not None and step[0] <= here):
            self._blind = False

    def _seek(self, stamp: int) -> None:
        if not self._timed:
            self._open()
            return
        from av.error import FFmpegError

        try:
            self._container.seek(stamp, stream=self._stream, backward=True)
        except FFmpegError:  # it cannot be sought: from the beginning
            self._open()
            return
        self._begin(at_start=False)

    def _shown_at(self, stamp: int) -> VideoFrame | None:
        """Go on to a frame; None when this walk began after it."""
        before = self._last
        if before is not None and before[0] >= stamp:
            return before[1] if before[0] == stamp else None
        for at, frame in self._walk:
            self._last = at, frame
            if self._step and self._is_near(at):
                self._keep(at, frame)
            if at == stamp:
                return frame
            if at > stamp:
                first = before is None and self._at_start
                return frame if first else before and before[1]
            before = self._last
        return before and before[1]

    def _frames(self) -> Iterator[tuple[int, VideoFrame]]:
        from av.error import FFmpegError

        counted = 0
        context: Any = self._stream.codec_context
        for packet in self._container.demux(self._stream):
            context.skip_frame = "NONREF" if self._is_idle(packet.pts) else "DEFAULT"
            if packet.dts is not None:
                self._sent = packet.dts
            try:
                frames = packet.decode()
            except FFmpegError:
                continue  # as players do; the frame before it is shown for it
            for frame in frames:
                yield (counted if frame.pts is None else frame.pts), frame
                counted += 1

    def _keep(self, stamp: int, frame: VideoFrame) -> None:
        size = sum(plane.buffer_size for plane in frame.planes)
        self._kept[stamp] = frame
        while len(self._kept) > 1 and len(self._kept) * size > _KEPT_BYTES:
            self._kept.popitem(last=False)

    def _is_near(self, stamp: int) -> bool:
        """Whether somebody may ask for a frame, judging by the one that is wanted now."""
        if not self._step:
            return stamp >= self._wanted
        apart = (stamp - self._wanted) % self._step
        return min(apart, self._step - apart) <= self._interval

    def _is_idle(self, stamp: int | None) -> bool:
        """Whether nobody asks for the frame of a packet, as far as is known."""
        if stamp is None or not self._skips or self._is_near(stamp):
            return False
        if len(self._passed) > _SKIPPED:
            here = self._last[0] if self._last else self._wanted
            self._passed = {each for each in self._passed if each > here}
        self._passed.add(stamp)
        return True


def frame_at(path: PathLike, seconds: float) -> PIL.Image.Image | None:
    """Return the frame that is shown at a time after the first; None beyond the end.

    Raises
    ------
    ConfigurationError
        When the time is below zero.
    MediaError
        When the video is damaged.
    """
    if not seconds >= 0:
        raise ConfigurationError("timestamp is a number of seconds from 0.", value=seconds)
    with opened(path) as container:
        stream = video_stream(container)
        base, rate, start = stream.time_base, stream.average_rate, stream.start_time
        timed = not int(container.format.flags) & _NO_TIMES
        told = stream.duration if base and not is_estimated(container) else None
        length = told * base if told and base else length_of(container)
    if length is not None and seconds >= length:
        return None
    if not timed or base is None:
        return _Decoder(Path(path)).image(int(seconds * (rate or 25)), 0)
    return _Decoder(Path(path)).image((start or 0) + int(seconds / base), 0)
