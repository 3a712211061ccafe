"""Segments of videos as rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ibis.expr.datatypes as dt
import ibis.expr.types as ir

from barbule.functions.stream_functions import Clip, source_of, stream_function
from barbule.suggestions import FunctionNamespace, check_arguments
from barbule.types import Video

__all__ = [
    "VideoSplitter",
    "split",
]

_PART = dt.Struct(
    {
        "segment_start": dt.float64,
        "segment_start_pts": dt.int64,
        "segment_end": dt.float64,
        "segment_end_pts": dt.int64,
        "video_segment": Video(),
    }
)


@stream_function("video", dt.Array(_PART), method=False)
def split(
    video: Clip,
    duration: float | None = None,
    segment_times: list[float] | None = None,
    overlap: float = 0.0,
    min_duration: float = 0.0,
    mode: str = "accurate",
) -> list[dict[str, Any]]:
    """Split into segments with their times; see `VideoSplitter.create`."""
    from barbule.media.streams.editing.segments import write_parts

    return [
        {
            "segment_start": part.start,
            "segment_start_pts": part.start_pts,
            "segment_end": part.end,
            "segment_end_pts": part.end_pts,
            "video_segment": part.file,
        }
        for part in write_parts(
            video, duration, segment_times, overlap=overlap, min_duration=min_duration, mode=mode
        )
    ]


class VideoSplitter(FunctionNamespace):
    """Creates the iterator that splits videos into segments."""

    @staticmethod
    @check_arguments
    def create(
        video: object,
        duration: float | None = None,
        *,
        segment_times: Sequence[float] | None = None,
        overlap: float = 0.0,
        min_duration: float = 0.0,
        mode: str = "accurate",
    ) -> ir.Value:
        """Split each video of a column into segments.

        The rows of the view have `segment_start` and `segment_end` in seconds from the first
        frame, the same as `segment_start_pts` and `segment_end_pts` in units of the stream, and
        `video_segment`.

        Parameters
        ----------
        video
            A column of videos.
        duration
            Duration of each segment in seconds; the last may be shorter.
        segment_times
            Times at which to split, instead of `duration`.
        overlap
            Overlap of each segment with the previous one in seconds; with `duration`.
        min_duration
            A shorter last segment is dropped.
        mode
            "accurate": exact to the frame, re-encoded. "fast": copied, at the key frame that
            follows each time.

        Raises
        ------
        ConfigurationError
            If an option is invalid; before anything is read.

        Examples
        --------
        >>> import barbule as bb
        >>> films = bb.create_table("films", {"video": bb.Video})
        >>> _ = films.insert(video=bb.functions.video.blank(2.4))
        >>> parts = bb.create_view(
        ...     "parts",
        ...     films,
        ...     iterator=bb.functions.VideoSplitter.create(video=films.video, duration=1.0),
        ... )
        >>> parts.order_by("pos").collect()["segment_end"]
        [1.0, 2.0, 2.4]
        """
        from barbule.media.streams.editing.segments import check_parts

        check_parts(duration, segment_times, overlap, min_duration, mode)
        times = None if segment_times is None else list(segment_times)
        videos = source_of(video, "video", Video)
        return split(videos, duration, times, overlap, min_duration, mode)
