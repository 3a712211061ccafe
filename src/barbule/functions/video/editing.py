"""Properties of videos, and edits of one: clips, audio, frames, text overlays."""

from __future__ import annotations

from typing import Any

import ibis.expr.datatypes as dt

from barbule.functions.stream_functions import Clip, stream_function
from barbule.media.streams.temporary_files import TemporaryFile
from barbule.types import Audio, Image, Json, Video

__all__ = [
    "clip",
    "concat",
    "duration",
    "extract_audio",
    "extract_frame",
    "get_metadata",
    "overlay_text",
    "resample",
    "segment",
]


@stream_function("video", Json)
def get_metadata(video: Clip) -> dict[str, Any]:
    """Return the header information of a file: size, bit rate, tags and its streams.

    Examples
    --------
    >>> import barbule as bb
    >>> films = bb.create_table("films", {"video": bb.Video})
    >>> _ = films.insert(video=bb.functions.video.blank(2.0, size=(64, 48)))
    >>> films.select(w=films.video.get_metadata().streams[0].width).collect()["w"]
    [64]
    """
    from barbule.media.streams.probing import metadata

    return metadata(video)


@stream_function("video", float)
def duration(video: Clip) -> float | None:
    """Return the duration in seconds; packets are counted if the header has none."""
    from barbule.media.streams.probing import duration as measure_duration

    return measure_duration(video)


@stream_function("video", Audio)
def extract_audio(
    video: Clip,
    stream_idx: int = 0,
    format: str = "wav",  # noqa: A002 - users' name
) -> TemporaryFile | None:
    """Return an audio track; missing if the video has none.

    Parameters
    ----------
    stream_idx
        The index of the track, from 0.
    format
        "wav", "flac", "mp3", "m4a" or "ogg".
    """
    from barbule.media.streams.editing.sound_encoding import sound_format
    from barbule.media.streams.editing.sound_tracks import Span, cut_sound, has_sound

    sound_format(format)
    if not has_sound(video, stream_idx):
        return None
    return cut_sound(video, Span(0.0, None), format=format, track=stream_idx)


@stream_function("video", Image)
def extract_frame(video: Clip, timestamp: float) -> object:
    """Return the frame at a point in time; missing beyond the end.

    Parameters
    ----------
    timestamp
        Seconds from the first frame.

    Examples
    --------
    >>> import barbule as bb
    >>> films = bb.create_table("films", {"video": bb.Video})
    >>> _ = films.insert(video=bb.functions.video.blank(2.0, size=(64, 48)))
    >>> films.select(still=films.video.extract_frame(1.5)).collect()[0, "still"].size
    (64, 48)
    """
    from barbule.media.streams.frames import frame_at

    return frame_at(video, timestamp)


@stream_function("video", Video)
def clip(
    video: Clip,
    start: float,
    end: float | None = None,
    duration: float | None = None,
    mode: str = "accurate",
) -> TemporaryFile | None:
    """Cut a clip; missing if it starts beyond the end of the video.

    Parameters
    ----------
    start, end
        Seconds from the first frame; without an end the clip ends with the video.
    duration
        Seconds, instead of `end`.
    mode
        "accurate": exact to the frame, re-encoded (H.264 and AAC). "fast": copied without
        re-encoding, from the key frame at or before the start.

    Examples
    --------
    >>> import barbule as bb
    >>> films = bb.create_table("films", {"video": bb.Video})
    >>> _ = films.insert(video=bb.functions.video.blank(2.0))
    >>> films.select(seconds=films.video.clip(0.5, 1.5).duration()).collect()["seconds"]
    [1.0]
    """
    from barbule.media.streams.editing.clips import check_times
    from barbule.media.streams.editing.clips import clip as cut

    return cut(video, check_times(start, end, duration), mode)


@stream_function("video", dt.Array(Video()))
def segment(
    video: Clip,
    duration: float | None = None,
    segment_times: list[float] | None = None,
    mode: str = "accurate",
) -> list[TemporaryFile]:
    """Split into segments of equal duration, or at given times; see `VideoSplitter` for rows."""
    from barbule.media.streams.editing.segments import write_parts

    return [part.file for part in write_parts(video, duration, segment_times, mode=mode)]


@stream_function("video", Video)
def concat(video: Any, *others: Any) -> TemporaryFile | None:
    """Concatenate videos; they must have the same size in pixels, and are re-encoded.

    Parameters
    ----------
    video, others
        Videos, or one list of them. Missing ones are skipped.
    """
    from barbule.media.streams.editing.video_encoding import join

    videos = [*(video if isinstance(video, list | tuple) else [video]), *others]
    paths = [path for path in videos if path is not None]
    return join(paths) if paths else None


@stream_function("video", Video)
def resample(
    video: Clip, fps: float | None = None, width: int | None = None, height: int | None = None
) -> TemporaryFile:
    """Convert to another frame rate or another size, re-encoded.

    Parameters
    ----------
    fps
        Frames per second: the frames that are shown at these times.
    width, height
        Pixels; if only one is given, the other follows from the aspect ratio.
    """
    from barbule.media.streams.editing.segments import resample

    return resample(video, fps, width, height)


@stream_function("video", Video)
def overlay_text(  # noqa: PLR0913 - as in Pixeltable
    video: Clip,
    text: str,
    font: str | None = None,
    font_size: int = 24,
    color: str = "white",
    opacity: float = 1.0,
    horizontal_align: str = "center",
    horizontal_margin: int = 0,
    vertical_align: str = "center",
    vertical_margin: int = 0,
    box: bool = False,
    box_color: str = "black",
    box_opacity: float = 1.0,
    box_border: list[int] | None = None,
) -> TemporaryFile:
    """Draw a text over every frame.

    Parameters
    ----------
    text
        The text; its line breaks are kept.
    font
        A font file; by default the font that comes with Pillow.
    font_size
        Pixels.
    color, opacity
        A colour as Pillow takes it ("white", "#ff8800"), and an opacity from 0 (invisible) to 1.
    horizontal_align, vertical_align
        "left", "center", "right"; "top", "center", "bottom".
    horizontal_margin, vertical_margin
        Pixels from the edge to which the text is aligned.
    box, box_color, box_opacity
        Whether and how a box is drawn behind the text.
    box_border
        Pixels of the box around the text, as in CSS: for all sides; top and bottom, left and
        right; top, left and right, bottom; or top, right, bottom, left.
    """
    from barbule.media.streams.editing.text_overlay import TextOverlay, border_widths
    from barbule.media.streams.editing.video_encoding import rewrite

    lettering = TextOverlay(
        text,
        font,
        font_size,
        color,
        opacity,
        (horizontal_align, vertical_align),
        (horizontal_margin, vertical_margin),
        box,
        box_color,
        box_opacity,
        border_widths(box_border),
    )
    return rewrite(video, change=lettering.draw_on)
