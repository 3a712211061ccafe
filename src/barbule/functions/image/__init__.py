"""Image functions; names, parameters and meaning follow PIL.

Each is also a method of image columns: `t.img.resize((64, 64))` is
`bb.functions.image.resize(t.img, (64, 64))`. Arguments may be columns. A chain of calls opens the
image once, and only its final result is encoded and stored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from barbule.functions.image.colors import (
    getbands,
    getbbox,
    getchannel,
    getcolors,
    getextrema,
    getpalette,
    getpixel,
    getprojection,
    reduce,
    remap_palette,
)
from barbule.functions.image.encoding import b64_encode, encode
from barbule.functions.image.geometry import (
    crop,
    exif_transpose,
    resize,
    rotate,
    thumbnail,
    tile_iterator,
    transpose,
)
from barbule.functions.image.pixels import (
    alpha_composite,
    blend,
    composite,
    convert,
    effect_spread,
    enhance,
    filter,  # noqa: A004 - PIL's name
    point,
    quantize,
)
from barbule.functions.image.properties import (
    entropy,
    format,  # noqa: A004 - PIL's name
    get_metadata,
    height,
    histogram,
    mode,
    width,
)
from barbule.suggestions import suggesting_getattr

__all__ = [
    "alpha_composite",
    "b64_encode",
    "blend",
    "composite",
    "convert",
    "crop",
    "effect_spread",
    "encode",
    "enhance",
    "entropy",
    "exif_transpose",
    "filter",
    "format",
    "get_metadata",
    "getbands",
    "getbbox",
    "getchannel",
    "getcolors",
    "getextrema",
    "getpalette",
    "getpixel",
    "getprojection",
    "height",
    "histogram",
    "mode",
    "point",
    "quantize",
    "reduce",
    "remap_palette",
    "resize",
    "rotate",
    "thumbnail",
    "tile_iterator",
    "transpose",
    "width",
]

if not TYPE_CHECKING:  # which lists the available names
    __getattr__ = suggesting_getattr(__name__, __all__)
