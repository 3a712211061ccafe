"""Resizing, cropping, rotation of images, and tiles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ibis.expr.datatypes as dt

from barbule.functions.image.image_function import (
    Choice,
    Picture,
    PictureHeader,
    image_function,
    member,
)
from barbule.types import Image, Json

__all__ = [
    "crop",
    "exif_transpose",
    "resize",
    "rotate",
    "thumbnail",
    "tile_iterator",
    "transpose",
]

_NEAREST, _BICUBIC = 0, 3  # of PIL.Image.Resampling
_TILE = dt.Struct({"tile": Image(), "tile_coord": Json(), "tile_box": Json()})


@image_function(Image)
def resize(
    image: Picture,
    size: list[int],
    resample: Choice = None,
    box: list[float] | None = None,
    reducing_gap: float | None = None,
) -> Picture:
    """Resize to (width, height).

    Parameters
    ----------
    size
        Width and height in pixels; the pair may contain columns.
    resample
        A `PIL.Image.Resampling`, or its name: "NEAREST", "BILINEAR", "BICUBIC", "LANCZOS" …; by
        default PIL's choice, "BICUBIC" for most modes.
    box
        The part of the image to use: left, upper, right, lower.
    reducing_gap
        Reduces in two steps, which is faster: with 2.0 and above the result looks almost as good.

    Examples
    --------
    >>> import barbule as bb, PIL.Image
    >>> t = bb.create_table("pictures", {"img": bb.Image})
    >>> _ = t.insert(img=PIL.Image.new("RGB", (6, 4)))
    >>> half = t.img.resize((t.img.width() / 2, t.img.height() / 2), resample="LANCZOS")
    >>> t.select(x=half).collect()[0, "x"].size
    (3, 2)
    """
    from PIL.Image import Resampling

    filter_ = None if resample is None else member(Resampling, resample)
    region: Any = None if box is None else tuple(box)
    return image.resize(_rounded(size), filter_, region, reducing_gap)


@image_function(Image, images="header")
def thumbnail(
    image: PictureHeader,
    size: list[float],
    resample: Choice = _BICUBIC,
    reducing_gap: float | None = 2.0,
) -> Picture:
    """Scale down with the aspect ratio preserved, so that it fits into (width, height).

    A smaller image is not changed. Large JPEG files are decoded only at the required resolution.

    Parameters
    ----------
    size
        The maximum width and height in pixels.
    resample, reducing_gap
        As for `resize`.

    Examples
    --------
    >>> import barbule as bb, PIL.Image
    >>> t = bb.create_table("pictures", {"img": bb.Image})
    >>> _ = t.insert(img=PIL.Image.new("RGB", (600, 400)))
    >>> t.select(x=t.img.thumbnail((64, 64))).collect()[0, "x"].size
    (64, 43)
    """
    from PIL.Image import Resampling

    from barbule.media.images.conversion import shrink
    from barbule.media.images.headers import ImageHeader
    from barbule.media.images.image_files import decoding_errors, load_pixels, open_lazily

    options = (member(Resampling, resample), reducing_gap)
    width, height = size
    if not isinstance(image, ImageHeader):
        return shrink(image.copy(), (width, height), *options)
    with decoding_errors(image.path, image.source), open_lazily(image.path) as file:
        if file.format not in {"JPEG", "MPO"}:  # only such files can be read at a smaller size
            load_pixels(file, image.path)
        # A copy: an image opened by Pillow reads frames from its file, which is closed, when it is
        # written.
        return shrink(file, (width, height), *options).copy()


@image_function(Image)
def crop(image: Picture, box: list[float] | None = None) -> Picture:
    """Crop the rectangle (left, upper, right, lower); areas outside the image are black.

    Examples
    --------
    >>> import barbule as bb, PIL.Image
    >>> t = bb.create_table("pictures", {"img": bb.Image})
    >>> _ = t.insert(img=PIL.Image.new("RGB", (6, 4)))
    >>> t.select(x=t.img.crop((0, 0, t.img.width() - 1, 2))).collect()[0, "x"].size
    (5, 2)
    """
    region: Any = None if box is None else tuple(box)
    return image.crop(region)


@image_function(Image)
def rotate(
    image: Picture,
    angle: float,
    resample: Choice = _NEAREST,
    expand: bool = False,
    center: list[float] | None = None,
    translate: list[float] | None = None,
    fillcolor: Any = None,
) -> Picture:
    """Rotate counter-clockwise by an angle in degrees.

    Parameters
    ----------
    resample
        "NEAREST", "BILINEAR" or "BICUBIC", or a `PIL.Image.Resampling`.
    expand
        Whether to enlarge the image so that the entire rotated image fits.
    center
        The centre of rotation; by default the centre of the image.
    translate
        The translation after the rotation, in pixels.
    fillcolor
        The colour of the area outside the image.

    Examples
    --------
    >>> import PIL.Image
    >>> from barbule.functions import image
    >>> image.rotate(PIL.Image.new("RGB", (6, 4)), 90, expand=True).size
    (4, 6)
    """
    from PIL.Image import Resampling

    center_point: Any = None if center is None else tuple(center)
    offset: Any = None if translate is None else tuple(translate)
    filter_: Any = member(Resampling, resample)
    return image.rotate(
        angle,
        filter_,
        expand,
        center_point,
        offset,
        tuple(fillcolor) if isinstance(fillcolor, list) else fillcolor,
    )


@image_function(Image)
def transpose(image: Picture, method: Choice) -> Picture:
    """Flip or rotate by multiples of 90 degrees, without loss.

    Parameters
    ----------
    method
        A `PIL.Image.Transpose` or its name: "FLIP_LEFT_RIGHT", "FLIP_TOP_BOTTOM", "ROTATE_90",
        "ROTATE_180", "ROTATE_270", "TRANSPOSE", "TRANSVERSE".

    Examples
    --------
    >>> import PIL.Image
    >>> from barbule.functions import image
    >>> image.transpose(PIL.Image.new("RGB", (6, 4)), "ROTATE_90").size
    (4, 6)
    """
    from PIL.Image import Transpose

    return image.transpose(member(Transpose, method))


@image_function(Image)
def exif_transpose(image: Picture) -> Picture:
    """Rotate an image according to its EXIF orientation, as `PIL.ImageOps.exif_transpose` does.

    As in PIL, every other function uses the stored pixels: call this one first if photographs may
    be rotated. You can also call it later, because computed images keep the orientation of their
    source.

    Examples
    --------
    >>> import PIL.Image
    >>> from barbule.functions import image
    >>> image.exif_transpose(PIL.Image.new("RGB", (6, 4))).size
    (6, 4)
    """
    from PIL import ImageOps

    return ImageOps.exif_transpose(image)


@image_function(dt.Array(_TILE))
def tile_iterator(
    image: Picture,
    tile_size: list[int],
    overlap: list[int] = [0, 0],  # noqa: B006 - read only
) -> list[dict[str, Any]]:
    """Split images into tiles, for `create_view(iterator=...)`.

    The rows of the view have `tile`, `tile_coord` ([column, row]) and `tile_box` ([left, upper,
    right, lower]), row by row from the upper left. All tiles have the same size: areas beyond the
    right and lower edges are black.

    Parameters
    ----------
    tile_size
        Width and height of a tile in pixels.
    overlap
        The overlap of neighbouring tiles in pixels, horizontally and vertically.

    Examples
    --------
    >>> import barbule as bb, PIL.Image
    >>> t = bb.create_table("pictures", {"img": bb.Image})
    >>> _ = t.insert(img=PIL.Image.new("RGB", (6, 4)))
    >>> tiles = bb.create_view("tiles", t, iterator=t.img.tile_iterator((4, 4)))
    >>> tiles.order_by("pos").select("tile_coord", "tile_box").collect()[1]
    {'tile_coord': [1, 0], 'tile_box': [4, 0, 8, 4]}
    """
    (tile_width, tile_height), shared = _rounded(tile_size), _rounded(overlap)
    steps = (tile_width - shared[0], tile_height - shared[1])
    if min(tile_width, tile_height) < 1 or min(shared) < 0 or min(steps) < 1:
        raise ValueError(f"tiles of {tile_size} cannot overlap by {overlap}")
    columns = _count(image.width - shared[0], steps[0])
    rows = _count(image.height - shared[1], steps[1])
    boxes = [
        (column, row, column * steps[0], row * steps[1])
        for row in range(rows)
        for column in range(columns)
    ]
    return [
        {
            "tile": image.crop((left, upper, left + tile_width, upper + tile_height)),
            "tile_coord": [column, row],
            "tile_box": [left, upper, left + tile_width, upper + tile_height],
        }
        for column, row, left, upper in boxes
    ]


def _count(length: int, step: int) -> int:
    return max(1, -(-length // step))


def _rounded(size: Sequence[float]) -> tuple[int, int]:
    width, height = (round(length) for length in size)
    return width, height
