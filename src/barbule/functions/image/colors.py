"""Bands, palettes, colours and single pixels of images, and images with fewer of them."""

from __future__ import annotations

from typing import Any

import ibis.expr.datatypes as dt

from barbule.functions.image.image_function import Picture, PictureHeader, image_function
from barbule.types import Image, Json

__all__ = [
    "getbands",
    "getbbox",
    "getchannel",
    "getcolors",
    "getextrema",
    "getpalette",
    "getpixel",
    "getprojection",
    "reduce",
    "remap_palette",
]

_MAX_COLORS = 256


@image_function(dt.Array(dt.string), images="header")
def getbands(image: PictureHeader) -> list[str]:
    """Return the names of the bands: ["R", "G", "B"] of an RGB image.

    Examples
    --------
    >>> import barbule as bb, PIL.Image
    >>> t = bb.create_table("pictures", {"img": bb.Image})
    >>> _ = t.insert(img=PIL.Image.new("RGBA", (6, 4)))
    >>> t.select(bands=t.img.getbands()).collect()["bands"]
    [['R', 'G', 'B', 'A']]
    """
    from PIL import ImageMode

    return list(ImageMode.getmode(image.mode).bands)


@image_function(dt.Array(dt.int64))
def getbbox(image: Picture, alpha_only: bool = True) -> tuple[int, int, int, int] | None:
    """Return the bounding box of nonzero pixels: left, upper, right, lower; missing if all are 0.

    Parameters
    ----------
    alpha_only
        For an image with transparency, whether only the alpha band counts.

    Examples
    --------
    >>> import PIL.Image
    >>> from barbule.functions import image
    >>> picture = PIL.Image.new("L", (6, 4))
    >>> picture.putpixel((2, 1), 255)
    >>> image.getbbox(picture)
    (2, 1, 3, 2)
    """
    return image.getbbox(alpha_only=alpha_only)


@image_function(Image)
def getchannel(image: Picture, channel: Any) -> Picture:
    """Return one band as a grey image.

    Parameters
    ----------
    channel
        Its number from 0, or its name: "R", "A" …

    Examples
    --------
    >>> import PIL.Image
    >>> from barbule.functions import image
    >>> image.getchannel(PIL.Image.new("RGB", (2, 2), "red"), "R").getpixel((0, 0))
    255
    """
    return image.getchannel(channel)


@image_function(Json)
def getcolors(image: Picture, maxcolors: int = _MAX_COLORS) -> list[tuple[int, Any]] | None:
    """Return the colours as pairs of count and colour; missing if there are more.

    Parameters
    ----------
    maxcolors
        The maximum number of colours.

    Examples
    --------
    >>> import PIL.Image
    >>> from barbule.functions import image
    >>> image.getcolors(PIL.Image.new("RGB", (3, 2), "red"))
    [(6, (255, 0, 0))]
    """
    return image.getcolors(maxcolors)


@image_function(Json)
def getextrema(image: Picture) -> tuple[Any, ...]:
    """Return the minimum and the maximum value as a pair; for several bands a pair for each.

    Examples
    --------
    >>> import PIL.Image
    >>> from barbule.functions import image
    >>> image.getextrema(PIL.Image.new("L", (2, 2), 7))
    (7, 7)
    """
    return image.getextrema()


@image_function(dt.Array(dt.int64))
def getpalette(image: Picture, rawmode: str | None = "RGB") -> list[int] | None:
    """Return the palette as a list of numbers; missing if the image has none.

    Parameters
    ----------
    rawmode
        "RGB" or "RGBA": the values of each colour in the list.

    Examples
    --------
    >>> import PIL.Image
    >>> from barbule.functions import image
    >>> image.getpalette(PIL.Image.new("RGB", (2, 2), "red").quantize(2))[:3]
    [255, 0, 0]
    """
    return image.getpalette(rawmode)


@image_function(Json)
def getpixel(image: Picture, xy: list[int]) -> float | tuple[int, ...] | None:
    """Return the value of a pixel: a number, or one for each band.

    Parameters
    ----------
    xy
        Column and row from the upper left, from 0; the pair may contain columns of the table.

    Examples
    --------
    >>> import PIL.Image
    >>> from barbule.functions import image
    >>> image.getpixel(PIL.Image.new("RGB", (2, 2), "red"), (0, 0))
    (255, 0, 0)
    """
    return image.getpixel((round(xy[0]), round(xy[1])))


@image_function(Json)
def getprojection(image: Picture) -> tuple[list[int], list[int]]:
    """Return 1 or 0 for each column, then for each row: whether it contains a nonzero pixel.

    Examples
    --------
    >>> import PIL.Image
    >>> from barbule.functions import image
    >>> image.getprojection(PIL.Image.new("L", (2, 2), 7))
    ([1, 1], [1, 1])
    """
    return image.getprojection()


@image_function(Image)
def reduce(image: Picture, factor: Any, box: list[int] | None = None) -> Picture:
    """Shrink by an integer factor; each pixel is the mean of the pixels that it replaces.

    Parameters
    ----------
    factor
        The factor; or one number horizontally, one vertically.
    box
        The part of the image to use: left, upper, right, lower.

    Examples
    --------
    >>> import PIL.Image
    >>> from barbule.functions import image
    >>> image.reduce(PIL.Image.new("RGB", (6, 4)), 2).size
    (3, 2)
    """
    factors = tuple(factor) if isinstance(factor, list) else factor
    region: Any = None if box is None else tuple(box)
    return image.reduce(factors, region)


@image_function(Image)
def remap_palette(image: Picture, dest_map: list[int]) -> Picture:
    """Reorder the colours of the palette; the image looks the same.

    Parameters
    ----------
    dest_map
        For each position of the new palette, its number in the old one.

    Examples
    --------
    >>> import PIL.Image
    >>> from barbule.functions import image
    >>> striped = PIL.Image.linear_gradient("L").quantize(2)
    >>> image.remap_palette(striped, [1, 0]).getpixel((0, 0)) == striped.getpixel((0, 0))
    False
    """
    return image.remap_palette(dest_map)
