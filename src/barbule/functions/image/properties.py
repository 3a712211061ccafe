"""Properties of images: read from the file header, or computed from the pixels."""

from __future__ import annotations

from typing import Any

import ibis.expr.datatypes as dt

from barbule.functions.image.image_function import (
    MaybePicture,
    Picture,
    PictureHeader,
    image_function,
)
from barbule.types import Json

__all__ = ["entropy", "format", "get_metadata", "height", "histogram", "mode", "width"]


@image_function(int, images="header")
def width(image: PictureHeader) -> int:
    """Return the width in pixels.

    For an image with an EXIF orientation it is the width of the stored pixels, as in PIL.

    Examples
    --------
    >>> import barbule as bb, PIL.Image
    >>> t = bb.create_table("pictures", {"img": bb.Image})
    >>> _ = t.insert(img=PIL.Image.new("RGB", (6, 4)))
    >>> t.select(w=t.img.width(), h=t.img.height()).collect()[0]
    {'w': 6, 'h': 4}
    """
    return image.width


@image_function(int, images="header")
def height(image: PictureHeader) -> int:
    """Return the height in pixels; see `width`."""
    return image.height


@image_function(str, images="header")
def mode(image: PictureHeader) -> str:
    """Return PIL's name of the pixel format: "RGB", "L", "P", "CMYK", "I;16" and others.

    Examples
    --------
    >>> import PIL.Image
    >>> from barbule.functions import image
    >>> image.mode(PIL.Image.new("CMYK", (2, 2)))
    'CMYK'
    """
    return image.mode


@image_function(str, images="header")
def format(image: PictureHeader) -> str | None:  # noqa: A001 - PIL's name
    """Return PIL's name of the file format: "JPEG", "PNG" …; None for an image without a file.

    Examples
    --------
    >>> import barbule as bb, PIL.Image
    >>> t = bb.create_table("pictures", {"img": bb.Image})
    >>> _ = t.insert(img=PIL.Image.new("RGB", (6, 4)))
    >>> t.select(f=t.img.format(), g=t.img.resize((3, 2)).format()).collect()[0]
    {'f': 'PNG', 'g': None}
    """
    return image.format


@image_function(Json, images="header")
def get_metadata(image: PictureHeader) -> dict[str, Any]:
    """Return width, height, mode, format, dpi and the EXIF data of an image.

    The values of `exif` have their usual names ("Model", "DateTimeOriginal", "Orientation" …),
    those of the location are under "GPSInfo"; it is None if the data is damaged.

    Examples
    --------
    >>> import barbule as bb, PIL.Image
    >>> t = bb.create_table("pictures", {"img": bb.Image})
    >>> _ = t.insert(img=PIL.Image.new("RGB", (6, 4)))
    >>> t.select(meta=t.img.get_metadata()).collect()[0, "meta"]["width"]
    6
    """
    from barbule.media.images.headers import image_metadata

    return image_metadata(image)


@image_function(dt.Array(dt.int64))
def histogram(
    image: Picture, mask: MaybePicture = None, extrema: list[float] | None = None
) -> list[int]:
    """Return the histogram: 256 counts per band, one band after another.

    Parameters
    ----------
    mask
        An image of mode "1" or "L": only pixels where it is nonzero are counted.
    extrema
        The minimum and the maximum value, for modes "I" and "F".

    Examples
    --------
    >>> import PIL.Image
    >>> from barbule.functions import image
    >>> image.histogram(PIL.Image.new("L", (3, 2), 7))[7]
    6
    """
    return image.histogram(mask, _pair(extrema))


@image_function(float)
def entropy(image: Picture, mask: MaybePicture = None, extrema: list[float] | None = None) -> float:
    """Return the entropy of the histogram in bits; for the arguments see `histogram`.

    Examples
    --------
    >>> import PIL.Image
    >>> from barbule.functions import image
    >>> image.entropy(PIL.Image.new("L", (3, 2), 7))
    0.0
    """
    # Pillow writes the entropy of one value as -0.0.
    return abs(image.entropy(mask, _pair(extrema)))


def _pair(values: list[float] | None) -> Any:
    return None if values is None else tuple(values)
