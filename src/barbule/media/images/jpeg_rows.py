"""Detection of missing rows in a JPEG.

Owns the second check of a JPEG that ends in grey. If its data ends too early, but with an end
marker, libjpeg fills the missing rows with grey and only warns, which Pillow does not report.
FFmpeg's decoder refuses it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from PIL.Image import Image

__all__ = ["ends_in_grey", "is_complete"]

_FILL_GREY = 128


def ends_in_grey(image: Image) -> bool:
    """Whether the last row looks like a row for which libjpeg had no data."""
    extrema = image.crop((0, image.height - 1, image.width, image.height)).getextrema()
    pairs = extrema if isinstance(extrema[0], tuple) else (extrema,)
    return all(pair == (_FILL_GREY, _FILL_GREY) for pair in pairs)


def is_complete(path: Path) -> bool:
    """Whether all pixels of a JPEG have data; True for types that FFmpeg does not read."""
    import av

    decoder = av.CodecContext.create("mjpeg", "r")
    decoder.options = {"err_detect": "explode"}
    try:
        decoder.decode(av.Packet(path.read_bytes()))
    except av.error.InvalidDataError:
        return False
    except av.error.FFmpegError:
        return True
    return True
