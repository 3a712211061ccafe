"""Videos created from images."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from barbule.functions.uda import uda
from barbule.types import Image, Video

if TYPE_CHECKING:
    from barbule.media.streams.editing.video_encoding import VideoWriter
    from barbule.media.streams.temporary_files import TemporaryFile

__all__ = [
    "blank",
    "make_video",
]


class _MakeVideo:
    """Create a video from images: an aggregate that processes them one by one.

    Parameters
    ----------
    frame
        The images; the first determines the size. Missing ones are skipped.
    fps
        Images per second.
    order_by
        The order of the images: `frames.pos`, for example.

    Examples
    --------
    >>> import barbule as bb
    >>> films = bb.create_table("films", {"video": bb.Video})
    >>> _ = films.insert(video=bb.functions.video.blank(3.0, size=(64, 48)))
    >>> chosen = bb.functions.FrameIterator.create(video=films.video, num_frames=4)
    >>> frames = bb.create_view("frames", films, iterator=chosen)
    >>> make_video = bb.functions.video.make_video
    >>> short = make_video(frames.frame, fps=2, order_by=frames.pos)
    >>> frames.agg(seconds=short.duration()).collect()["seconds"]
    [2.0]
    """

    def __init__(self, fps: float = 25) -> None:
        from barbule.errors import ConfigurationError

        if not fps > 0:
            raise ConfigurationError("fps must be a number above 0.", value=fps)
        self._frame_rate = Fraction(fps).limit_denominator(1001)
        self._writer: VideoWriter | None = None
        self._count = 0

    def update(self, frame: Image()) -> None:  # type: ignore[valid-type]
        if frame is None:
            return
        from av import VideoFrame

        from barbule.media.images.conversion import rgb
        from barbule.media.streams.editing.video_encoding import VideoWriter

        if self._writer is None:
            self._writer = VideoWriter(frame.size, self._frame_rate)
        picture: VideoFrame = VideoFrame.from_image(  # type: ignore[no-untyped-call]
            rgb(frame)
        )
        self._writer.show(picture, self._count / self._frame_rate)
        self._count += 1

    def value(self) -> Video():  # type: ignore[valid-type]
        video, self._writer = self._writer and self._writer.close(), None
        return video


make_video = uda(_MakeVideo, version="1", name="barbule.functions.video.make_video")


def blank(
    seconds: float, size: tuple[int, int] = (320, 240), fps: float = 25, color: str = "black"
) -> TemporaryFile:
    """Create a video of one colour, for experiments.

    Examples
    --------
    >>> from barbule.functions import video
    >>> video.duration(video.blank(1.0))
    1.0
    """
    import PIL.Image

    images = [PIL.Image.new("RGB", size, color)] * max(1, round(seconds * fps))
    video: TemporaryFile = make_video(images, fps=fps)
    return video
