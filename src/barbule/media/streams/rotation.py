"""Frames of videos, turned upright by the display matrix of their video.

Owns the eight transformations by quarter turns and mirroring. PyAV's `rotation` covers only turns:
for a mirrored video it is wrong.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import PIL.Image
    from av.video.frame import VideoFrame

__all__ = ["Orientation", "upright_frame", "upright_size"]

# Pillow's names, by whether rows become columns, and whether the columns and the rows of the
# displayed frame are reversed.
_METHODS = {
    (False, True, False): "FLIP_LEFT_RIGHT",
    (False, False, True): "FLIP_TOP_BOTTOM",
    (False, True, True): "ROTATE_180",
    (True, False, False): "TRANSPOSE",
    (True, True, False): "ROTATE_270",
    (True, False, True): "ROTATE_90",
    (True, True, True): "TRANSVERSE",
}
_SIDEWAYS = frozenset({"TRANSPOSE", "ROTATE_270", "ROTATE_90", "TRANSVERSE"})
_MATRIX = struct.Struct("=9i")


class Orientation:
    """The transposition that makes the frames of a video upright.

    The display matrix is read once for each rotation that PyAV returns. A frame and its side data
    refer to each other, so only the garbage collector frees a frame whose side data was read: for a
    long video that takes hundreds of megabytes.
    """

    def __init__(self) -> None:
        self._methods: dict[int, str | None] = {}

    def method(self, frame: VideoFrame) -> str | None:
        """Return Pillow's name of the transposition; None if there is none."""
        rotation = frame.rotation
        if rotation not in self._methods:
            self._methods[rotation] = _transpose_method(frame)
        return self._methods[rotation]

    def image(self, frame: VideoFrame) -> PIL.Image.Image:
        """Return a frame as an image, upright."""
        import PIL.Image
        from av.video.reformatter import VideoReformatter

        # A separate one: that of a frame is not thread-safe.
        reformatted: Any = VideoReformatter().reformat(frame, format="rgb24")
        image: PIL.Image.Image = reformatted.to_image()
        method = self.method(frame)
        return image if method is None else image.transpose(PIL.Image.Transpose[method])


def upright_frame(frame: VideoFrame, orientation: Orientation) -> VideoFrame:
    """Return a frame of a video upright."""
    from av import VideoFrame as Frame

    if orientation.method(frame) is None:
        return frame
    upright: VideoFrame = Frame.from_image(orientation.image(frame))  # type: ignore[no-untyped-call]
    return upright


def upright_size(frame: VideoFrame) -> tuple[int, int]:
    """Return width and height of a displayed frame."""
    sideways = _transpose_method(frame) in _SIDEWAYS
    return (frame.height, frame.width) if sideways else (frame.width, frame.height)


def _transpose_method(frame: VideoFrame) -> str | None:
    """Return the transposition of a frame; None if it is upright, or not turned by quarters.

    The matrix maps a point (x, y) to (a x + c y, b x + d y), as in the header of an MP4 file.
    """
    matrix: Any = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return None
    a, b, _, c, d, *_ = _MATRIX.unpack_from(bytes(matrix))
    if a and d and not (b or c):
        return _METHODS.get((False, a < 0, d < 0))
    if b and c and not (a or d):
        return _METHODS.get((True, c < 0, b < 0))
    return None
