"""Conversion, filters and blending of images."""

from __future__ import annotations

from typing import Any

from barbule.functions.image.image_function import (
    Choice,
    MaybePicture,
    Picture,
    image_function,
    member,
)
from barbule.types import Image

__all__ = [
    "alpha_composite",
    "blend",
    "composite",
    "convert",
    "effect_spread",
    "enhance",
    "filter",
    "point",
    "quantize",
]

_FLOYDSTEINBERG = 3  # of PIL.Image.Dither
_ENHANCERS = ("Brightness", "Color", "Contrast", "Sharpness")


@image_function(Image)
def convert(
    image: Picture,
    mode: str | None = None,
    matrix: list[float] | None = None,
    dither: Choice = None,
    palette: Choice = "WEB",
    colors: int = 256,
) -> Picture:
    """Convert to another mode: "L" for grey, "RGB", "RGBA", "CMYK", "P" and others of PIL.

    Unlike in PIL, 16-bit, 32-bit and float greys are scaled to 8 bits if the new mode has no more,
    CMYK is converted to sRGB with its ICC profile, and a profile that does not describe the new
    pixels is removed.

    Parameters
    ----------
    matrix
        4 or 12 factors, from "RGB" to "L" or "RGB".
    dither
        "NONE" or "FLOYDSTEINBERG" (the default), for "P" and "1".
    palette
        "WEB" or "ADAPTIVE", for "P".
    colors
        The number of colours of an adaptive palette.

    Examples
    --------
    >>> import barbule as bb, PIL.Image
    >>> t = bb.create_table("pictures", {"img": bb.Image})
    >>> _ = t.insert(img=PIL.Image.new("RGB", (6, 4)))
    >>> t.select(x=t.img.rotate(90).convert("L")).collect()[0, "x"].mode
    'L'
    """
    from PIL.Image import Dither, Palette

    from barbule.media.images.conversion import convert_mode

    return convert_mode(
        image,
        mode,
        None if matrix is None else tuple(matrix),
        None if dither is None else member(Dither, dither),
        member(Palette, palette),
        colors,
    )


@image_function(Image)
def filter(image: Picture, filter: Any) -> Picture:  # noqa: A001, A002 - PIL's names
    """Filter with one of the filters of `PIL.ImageFilter`.

    Parameters
    ----------
    filter
        A filter of PIL (`ImageFilter.BLUR`, `ImageFilter.GaussianBlur(2)`), or its name.

    Examples
    --------
    >>> import barbule as bb, PIL.Image
    >>> from PIL import ImageFilter
    >>> t = bb.create_table("pictures", {"img": bb.Image})
    >>> _ = t.insert(img=PIL.Image.new("RGB", (6, 4), "red"))
    >>> soft = t.img.filter(ImageFilter.GaussianBlur(2)).filter("SHARPEN")
    >>> t.select(x=soft).collect()[0, "x"].getpixel((0, 0))
    (255, 0, 0)
    """
    return image.filter(_filter_of(filter))


def _filter_of(value: Any) -> Any:
    """Return one of PIL's filters, given the filter, its name, or a list of name and options."""
    from PIL import ImageFilter

    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list):
        return value
    name, *options = value
    kind = getattr(ImageFilter, name, None)
    if kind is None or not hasattr(kind, "filter"):
        raise ValueError(f"{name!r} is not a filter of PIL.ImageFilter")
    return kind(**_options(kind, options[0])) if options else kind()


def _options(kind: type, stored: dict[str, Any]) -> dict[str, Any]:
    import inspect

    names = inspect.signature(kind).parameters
    # JSON has stored tuples as lists.
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in stored.items()
        if name in names
    }


@image_function(Image)
def enhance(image: Picture, enhancer: str, factor: float) -> Picture:
    """Change brightness, colour, contrast or sharpness, as `PIL.ImageEnhance` does.

    Parameters
    ----------
    enhancer
        "Brightness", "Color", "Contrast" or "Sharpness".
    factor
        1.0 leaves the image unchanged, 0.0 removes the property entirely.

    Examples
    --------
    >>> import PIL.Image
    >>> from barbule.functions import image
    >>> image.enhance(PIL.Image.new("L", (2, 2), 100), "Brightness", 1.5).getpixel((0, 0))
    150
    """
    from PIL import ImageEnhance

    if enhancer.capitalize() not in _ENHANCERS:
        raise ValueError(f"{enhancer!r} is not one of {', '.join(_ENHANCERS)}")
    enhanced: Picture = getattr(ImageEnhance, enhancer.capitalize())(image).enhance(factor)
    return enhanced


@image_function(Image)
def point(image: Picture, lut: list[float], mode: str | None = None) -> Picture:
    """Map each value through a table.

    Parameters
    ----------
    lut
        The new values: 256 for each band.
    mode
        The mode of the result; only some changes are possible, see PIL.

    Examples
    --------
    >>> import PIL.Image
    >>> from barbule.functions import image
    >>> image.point(PIL.Image.new("L", (2, 2), 10), list(range(255, -1, -1))).getpixel((0, 0))
    245
    """
    return image.point(lut, mode)


@image_function(Image)
def quantize(
    image: Picture,
    colors: int = 256,
    method: Choice = None,
    kmeans: int = 0,
    palette: MaybePicture = None,
    dither: Choice = _FLOYDSTEINBERG,
) -> Picture:
    """Convert to mode "P" with a number of colours.

    Parameters
    ----------
    method
        A `PIL.Image.Quantize` or its name: "MEDIANCUT", "MAXCOVERAGE", "FASTOCTREE" …
    kmeans
        A threshold for a final round of k-means; 0 skips it.
    palette
        An image of mode "P" whose colours are used.
    dither
        "NONE" or "FLOYDSTEINBERG".

    Examples
    --------
    >>> import PIL.Image
    >>> from barbule.functions import image
    >>> len(image.quantize(PIL.Image.effect_noise((32, 32), 50).convert("RGB"), 8).getcolors())
    8
    """
    from PIL.Image import Dither, Quantize

    algorithm = None if method is None else member(Quantize, method)
    return image.quantize(colors, algorithm, kmeans, palette, member(Dither, dither))


@image_function(Image)
def effect_spread(image: Picture, distance: int) -> Picture:
    """Spread pixels randomly, up to a distance; the result differs each time.

    Examples
    --------
    >>> import PIL.Image
    >>> from barbule.functions import image
    >>> image.effect_spread(PIL.Image.new("RGB", (6, 4)), 2).size
    (6, 4)
    """
    return image.effect_spread(distance)


@image_function(Image)
def blend(im1: Picture, im2: Picture, alpha: float) -> Picture:
    """Blend two images with the same size and mode: `im1 * (1 - alpha) + im2 * alpha`.

    Examples
    --------
    >>> import PIL.Image
    >>> from barbule.functions import image
    >>> black, white = PIL.Image.new("L", (2, 2), 0), PIL.Image.new("L", (2, 2), 255)
    >>> image.blend(black, white, 0.2).getpixel((0, 0))
    51
    """
    import PIL.Image

    return PIL.Image.blend(im1, im2, alpha)


@image_function(Image)
def composite(image1: Picture, image2: Picture, mask: Picture) -> Picture:
    """Combine `image1` where the mask (of mode "1", "L" or "RGBA") is set and `image2` elsewhere.

    Examples
    --------
    >>> import PIL.Image
    >>> from barbule.functions import image
    >>> black, white = PIL.Image.new("L", (2, 2), 0), PIL.Image.new("L", (2, 2), 255)
    >>> image.composite(white, black, PIL.Image.new("1", (2, 2), 1)).getpixel((0, 0))
    255
    """
    import PIL.Image

    return PIL.Image.composite(image1, image2, mask)


@image_function(Image)
def alpha_composite(im1: Picture, im2: Picture) -> Picture:
    """Composite `im2` over `im1`, both of mode "RGBA" and with the same size.

    Examples
    --------
    >>> import PIL.Image
    >>> from barbule.functions import image
    >>> red, clear = PIL.Image.new("RGBA", (2, 2), "red"), PIL.Image.new("RGBA", (2, 2))
    >>> image.alpha_composite(red, clear).getpixel((0, 0))
    (255, 0, 0, 255)
    """
    import PIL.Image

    return PIL.Image.alpha_composite(im1, im2)
