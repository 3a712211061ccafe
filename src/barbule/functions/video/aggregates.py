"""Videos made of images."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from barbule.types import Image, Video

if TYPE_CHECKING:
    from barbule.media.streams.made import MadeFile
    from barbule.media.streams.writing import VideoWriter

__all__ = [
    "MakeVideo",
    "blank",
]


class MakeVideo:
    """Makes a video of images, as an aggregate does: one after the other.

    Parameters
    ----------
    fps
        Images a second.

    Examples
    --------
    >>> import PIL.Image
    >>> from barbule.functions import video
    >>> making = video.MakeVideo(fps=2)
    >>> for shade in (0, 128, 255, 0):
    ...     making.update(PIL.Image.new("L", (64, 48), shade))
    >>> video.duration(making.value())
    2.0
    """

    def __init__(self, fps: float = 25) -> None:
        from barbule.errors import ConfigurationError

        if not fps > 0:
            raise ConfigurationError("fps is a number above 0.", value=fps)
        self._rate = Fraction(fps).limit_denominator(1001)
        self._writer: VideoWriter | None = None
        self._count = 0

    def update(self, frame: Image()) -> None:  # type: ignore[valid-type]
        """Add an image; the first tells the size. A missing one is left out."""
        if frame is None:
            return
        from av import VideoFrame

        from barbule.media.streams.writing import VideoWriter

        if self._writer is None:
            self._writer = VideoWriter(frame.size, self._rate)
        picture: VideoFrame = VideoFrame.from_image(  # type: ignore[no-untyped-call]
            frame.convert("RGB")
        )
        self._writer.show(picture, self._count / self._rate)
        self._count += 1

    def value(self) -> Video():  # type: ignore[valid-type]
        """Return the video; missing when there was no image."""
        made, self._writer = self._writer and self._writer.close(), None
        return made


def blank(
    seconds: float, size: tuple[int, int] = (320, 240), fps: float = 25, color: str = "black"
) -> MadeFile:
    """Make a video of one colour; to try things out.

    Examples
    --------
    >>> from barbule.functions import video
    >>> video.duration(video.blank(1.0))
    1.0
    """
    import PIL.Image

    making = MakeVideo(fps)
    for _ in range(max(1, round(seconds * fps))):
        making.update(PIL.Image.new("RGB", size, color))
    made: MadeFile = making.value()
    return made
