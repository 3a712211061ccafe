"""Images scaled, cut, turned, and split into tiles."""

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
        Width and height in pixels; columns may stand in it.
    resample
        A `PIL.Image.Resampling`, or its name: "NEAREST", "BILINEAR", "BICUBIC", "LANCZOS" …; by
        default PIL's choice, "BICUBIC" for most modes.
    box
        The part of the image to take: left, upper, right, lower.
    reducing_gap
        Reduces in two steps, faster: 2.0 and above look nearly as well.

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
    """Scale down, keeping the proportions, so that it fits into (width, height).

    A smaller image stays as it is. Of large JPEGs not more is decoded than is needed.

    Parameters
    ----------
    size
        The most that width and height may be, in pixels.
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
        if file.format not in {"JPEG", "MPO"}:  # which alone can be read at a smaller size
            load_pixels(file, image.path)
        # A copy: what Pillow opened asks its file, which is closed, for frames when it is written.
        return shrink(file, (width, height), *options).copy()


@image_function(Image)
def crop(image: Picture, box: list[float] | None = None) -> Picture:
    """Cut out the rectangle (left, upper, right, lower); what lies outside is black.

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
        Whether it becomes large enough for the whole turned image.
    center
        The point around which it turns; by default the middle.
    translate
        How far it is moved afterwards, in pixels.
    fillcolor
        The colour of what lies outside.

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
    """Flip or turn by quarters, without loss.

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
    """Turn an image as its EXIF orientation says, as `PIL.ImageOps.exif_transpose` does.

    Like PIL, every other function takes the pixels as they are stored: call this one first
    where photographs may be turned. It stays possible later, as computed images keep the
    orientation of what they were computed from.

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
    right, lower]), row by row from the upper left. All tiles have the same size: beyond the right
    and lower edges they are black.

    Parameters
    ----------
    tile_size
        Width and height of a tile in pixels.
    overlap
        How many pixels neighbours share, across and down.

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
