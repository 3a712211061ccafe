"""Properties of videos, and edits of one: clips, sound, stills, text over it."""

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
    """Return what the headers of a file say: size, bit rate, tags and its streams.

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
    """Return how long it plays, in seconds; packets are counted where the header is silent."""
    from barbule.media.streams.probing import duration as measure_duration

    return measure_duration(video)


@stream_function("video", Audio)
def extract_audio(
    video: Clip,
    stream_idx: int = 0,
    format: str = "wav",  # noqa: A002 - users' name
) -> TemporaryFile | None:
    """Return a sound track; missing where the video has none.

    Parameters
    ----------
    stream_idx
        Which track, from 0.
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
    """Return the frame that is shown at a time; missing beyond the end.

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
    """Cut a stretch out; missing where it begins beyond the end of the video.

    Parameters
    ----------
    start, end
        Seconds from the first frame; without an end it goes to the end of the video.
    duration
        Seconds, in the place of `end`.
    mode
        "accurate": from frame to frame, encoded anew (H.264 and AAC). "fast": copied as it is,
        from the key frame at or before the start.

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
    """Cut into parts of so many seconds, or at given times; see `VideoSplitter` for rows."""
    from barbule.media.streams.editing.segments import write_parts

    return [part.file for part in write_parts(video, duration, segment_times, mode=mode)]


@stream_function("video", Video)
def concat(video: Any, *others: Any) -> TemporaryFile | None:
    """Play one after the other; they have one size in pixels, and are encoded anew.

    Parameters
    ----------
    video, others
        Videos, or one list of them. Missing ones are left out.
    """
    from barbule.media.streams.editing.video_encoding import join

    videos = [*(video if isinstance(video, list | tuple) else [video]), *others]
    paths = [path for path in videos if path is not None]
    return join(paths) if paths else None


@stream_function("video", Video)
def resample(
    video: Clip, fps: float | None = None, width: int | None = None, height: int | None = None
) -> TemporaryFile:
    """Bring to another rate of frames or another size, encoded anew.

    Parameters
    ----------
    fps
        Frames a second: those that are shown at these times.
    width, height
        Pixels; of one given alone the other follows.
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
    """Lay a text over every frame.

    Parameters
    ----------
    text
        What to write; lines are broken where it breaks them.
    font
        A font file; the one that comes with Pillow if not given.
    font_size
        Pixels.
    color, opacity
        A colour as Pillow takes it ("white", "#ff8800"), and from 0 (unseen) to 1.
    horizontal_align, vertical_align
        "left", "center", "right"; "top", "center", "bottom".
    horizontal_margin, vertical_margin
        Pixels from the edge to which it is aligned.
    box, box_color, box_opacity
        Whether a box is drawn behind the text, and how.
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
