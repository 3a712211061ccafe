"""Images as files: the format in which computed images are stored, and Base64."""

from __future__ import annotations

import base64
from typing import Any

from barbule.functions.image.image_function import Picture, image_function
from barbule.types import Image

__all__ = ["b64_encode", "encode"]


@image_function(Image)
def encode(image: Picture, format: str = "PNG", **options: Any) -> bytes:  # noqa: A002 - PIL's name
    """Set the format in which a computed image is stored, instead of the configured one.

    By default computed images are PNG (or WebP: `image_format = "webp"` in `[media]` of the
    configuration). Transparency is kept if the format supports it, otherwise the image is placed on
    white. 16-bit greys and floats are scaled if the format only has 8 bits. The ICC profile is kept
    if it describes the pixels that are written, and is applied when CMYK is converted to RGB.

    Parameters
    ----------
    format
        PIL's name: "WEBP", "PNG", "JPEG", "AVIF", "TIFF" …
    options
        The options of PIL's writer: `quality=80`, `lossless=True`, `compress_level=9` …

    Examples
    --------
    >>> import barbule as bb, PIL.Image
    >>> t = bb.create_table("pictures", {"img": bb.Image})
    >>> _ = t.insert(img=PIL.Image.new("RGBA", (600, 400)))
    >>> _ = t.add_computed_column(small=t.img.thumbnail((64, 64)).encode("WEBP", quality=60))
    >>> t.select(f=t.small.format(), m=t.small.mode()).collect()[0]
    {'f': 'WEBP', 'm': 'RGBA'}
    """
    from barbule.media.images.encoding import encode_image

    return encode_image(image, format, **options)


@image_function(str)
def b64_encode(image: Picture, image_format: str = "png") -> str:
    """Encode as a file in the given format, in Base64.

    Examples
    --------
    >>> import PIL.Image
    >>> from barbule.functions import image
    >>> image.b64_encode(PIL.Image.new("RGB", (2, 2)))[:11]
    'iVBORw0KGgo'
    """
    from barbule.media.images.encoding import encode_image

    return base64.b64encode(encode_image(image, image_format)).decode()
