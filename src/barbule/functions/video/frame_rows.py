"""Frames of videos as rows, decoded when they are read."""

from __future__ import annotations

from typing import Any

import ibis.expr.datatypes as dt
import ibis.expr.types as ir

from barbule.functions.stream_functions import Clip, source_of, stream_function, uri_of
from barbule.suggestions import FunctionNamespace, check_arguments
from barbule.types import Image, Video

__all__ = [
    "FrameIterator",
    "frames",
]

_FRAME = dt.Struct(
    {
        "frame": Image(),
        "frame_idx": dt.int64,
        "pos_msec": dt.float64,
        "pos_frame": dt.int64,
        "pts": dt.int64,
        "key_frame": dt.boolean,
    }
)


@stream_function("video", dt.Array(_FRAME), method=False)
def frames(
    video: Clip,
    source: str,
    fps: float | None = None,
    num_frames: int | None = None,
    keyframes_only: bool = False,
    every: float | None = None,
) -> list[dict[str, Any]]:
    """List frames with their references, without decoding them; see `FrameIterator.create`.

    Parameters
    ----------
    source
        The reference of the video, which is part of the references of its frames.
    """
    from barbule.media.streams.frame_selection import (
        check_selection,
        frame_reference,
        frame_step,
        select_frames,
    )
    from barbule.media.streams.probing import read_timeline

    check_selection(fps, num_frames, keyframes_only, every)
    line = read_timeline(video)
    choice = (fps, num_frames, keyframes_only, every)
    step = frame_step(line, *choice)
    rows = []
    for index, frame in enumerate(select_frames(line, *choice).tolist()):
        stamp = int(line.stamps[frame])
        rows.append(
            {
                "frame": frame_reference(source, stamp, step),
                "frame_idx": index,
                "pos_msec": line.seconds(stamp) * 1000,
                "pos_frame": frame,
                "pts": stamp,
                "key_frame": bool(line.keys[frame]),
            }
        )
    return rows


class FrameIterator(FunctionNamespace):
    """Creates the iterator that returns the frames of videos."""

    @staticmethod
    @check_arguments
    def create(
        video: object,
        fps: float | None = None,
        *,
        num_frames: int | None = None,
        keyframes_only: bool = False,
        every: float | None = None,
    ) -> ir.Value:
        """List frames of each video of a column: all, or as selected by one of the options.

        The rows of the view have `frame` (an image), `frame_idx` (its index among the selected
        frames, from 0), `pos_msec` (milliseconds from the first frame), `pos_frame` (its index in
        the video), `pts` (its time in units of the stream) and `key_frame`. Frames are not stored:
        they are decoded when they are read, in one pass if they are read in order.

        Parameters
        ----------
        video
            A column of videos.
        fps
            Frames per second: those nearest to these times; all, if the video has fewer.
        num_frames
            The total number of frames, spread evenly; all, if the video has fewer.
        keyframes_only
            Only key frames, from which decoding can start.
        every
            One frame every so many seconds.

        Raises
        ------
        ConfigurationError
            If a number is not above 0, or several options are given; before anything is read.

        Examples
        --------
        >>> import barbule as bb
        >>> films = bb.create_table("films", {"video": bb.Video})
        >>> _ = films.insert(video=bb.functions.video.blank(3.0, size=(64, 48)))
        >>> frames = bb.create_view(
        ...     "frames",
        ...     films,
        ...     iterator=bb.functions.FrameIterator.create(video=films.video, fps=1),
        ... )
        >>> sizes = frames.select(frames.pos_msec, width=frames.frame.width())
        >>> sizes.order_by("pos_msec").collect()[1]
        {'pos_msec': 1000.0, 'width': 64}
        """
        from barbule.media.streams.frame_selection import check_selection

        check_selection(fps, num_frames, keyframes_only, every)
        videos = source_of(video, "video", Video)
        # A column of another type has no reference: the call refuses it.
        is_other = isinstance(videos, ir.Value) and not isinstance(videos.type(), Video | dt.JSON)
        source = "" if is_other else uri_of(videos)
        return frames(videos, source, fps, num_frames, keyframes_only, every)
