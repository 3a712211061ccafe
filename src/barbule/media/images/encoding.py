"""Encoding of images as files, for the media store and for users.

Owns what each format can hold, and which metadata of an image is kept. Must not read files.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from barbule.errors import MediaError
from barbule.media.images.conversion import DEEP_MODES, SIXTEEN_BIT_MODES, profile_of, srgb

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["encode_for_store", "encode_image", "lossless_format"]

# What a format can hold when it cannot hold the image's own mode.
_OPAQUE_FORMATS = frozenset({"JPEG", "JPEG2000", "BMP", "PPM", "PDF"})
_EXIF_FORMATS = frozenset({"PNG", "JPEG", "WEBP", "AVIF", "TIFF"})
_PROFILE_FORMATS = _EXIF_FORMATS
_TIFF_MODES = frozenset({"I", "F", "CMYK", "YCbCr", "LAB", "I;16B", "PA", "RGBX"})
# Pillow also writes the others, clipped at 255.
_DEEP_FORMATS = {
    "PNG": frozenset({"I;16", "I;16B"}),
    "TIFF": frozenset({"I;16", "I;16B", "I", "F"}),
    "JPEG2000": frozenset({"I;16", "I;16B"}),
    "PPM": frozenset({"I;16", "F"}),
}
_CMYK_FORMATS = frozenset({"JPEG", "MPO", "TIFF", "PDF", "EPS", "IM"})
# They convert greys to colours, which a profile of greys does not describe.
_COLOUR_FORMATS = frozenset({"WEBP", "AVIF"})
# One transparent colour, or palette value: other formats lose it.
_COLOR_KEY_FORMATS = frozenset({"PNG", "GIF"})
_COLOR_KEY_MODES = frozenset({"1", "L", "RGB", "P"})
_MAX_BYTE, _MAX_WORD = 255, 65535
_ORIENTATION = 0x0112
_ORIENTATION_SOURCES = ("exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif")
_MAX_WEBP_SIDE = 16383


def encode_for_store(img: Image, kind: str = "png", *, computed: bool = True) -> tuple[bytes, str]:
    """Encode an image for the media store.

    Parameters
    ----------
    img
        The image. Transparency is kept.
    kind
        "png" keeps it unchanged (in TIFF if PNG cannot hold it: CMYK, floats and so on), optimized
        for speed; "webp" is small and lossy, as RGB or RGBA.
    computed
        Whether a function created it: of the EXIF data of its source, only the orientation is kept.

    Returns
    -------
    tuple of bytes and str
        The content and the suffix of its format.
    """
    options: dict[str, Any] = {"exif": _orientation_exif(img)} if computed else {}
    if kind == "webp" and max(img.size) <= _MAX_WEBP_SIDE:
        return encode_image(img, "WEBP", **options), "webp"
    name = lossless_format(img)
    if name == "TIFF":
        return encode_image(img, name, compression="tiff_adobe_deflate", **options), "tif"
    # Measured on photographs: a fifth of the time of level 6, an eighth larger.
    return encode_image(img, name, compress_level=1, **options), "png"


def _orientation_exif(img: Image) -> bytes:
    """Return EXIF data that contains only the orientation of an image."""
    from PIL import Image

    orientation = _orientation(img)
    if orientation == 1:
        return b""
    exif = Image.Exif()
    exif[_ORIENTATION] = orientation
    return exif.tobytes()


def _orientation(img: Image) -> int:
    """Return the orientation of an image, from its EXIF data or otherwise its XMP data."""
    from PIL import Image

    if not any(img.info.get(name) for name in _ORIENTATION_SOURCES):
        return 1
    try:
        # That of a PNG would read its pixels.
        return int(Image.Image.getexif(img).get(_ORIENTATION, 1))
    except Exception:  # noqa: BLE001 - damaged EXIF data of a good image raise nearly anything
        return 1


def _exif(img: Image) -> bytes | None:
    """Return the EXIF data of an image, including an orientation that only its XMP data has."""
    from PIL import Image

    exif_bytes = img.info.get("exif")
    orientation = _orientation(img)
    if orientation == 1:
        return exif_bytes
    exif = Image.Exif()
    if exif_bytes:
        exif.load(exif_bytes)
        if _ORIENTATION in exif:
            return exif_bytes
    exif[_ORIENTATION] = orientation
    return exif.tobytes()


def lossless_format(img: Image) -> str:
    """Return the lossless format of an image: PNG, or TIFF if PNG cannot hold it.

    Examples
    --------
    >>> import PIL.Image
    >>> lossless_format(PIL.Image.new("CMYK", (2, 2)))
    'TIFF'
    """
    return "TIFF" if img.mode in _TIFF_MODES else "PNG"


def encode_image(
    img: Image,
    format: str = "PNG",  # noqa: A002 - PIL's name
    **options: Any,
) -> bytes:
    """Encode an image, with its EXIF data and ICC profile if the format holds them.

    Parameters
    ----------
    img
        The image; for an animation the current frame. A mode that the format cannot hold is
        converted: 16-bit greys and floats are scaled, CMYK is converted to sRGB with its profile.
        If the format does not support transparency, the image is placed on white.
    format
        Pillow's name of the format: "PNG", "JPEG", "WEBP" …
    options
        The options of Pillow's writer: `quality=80`, `lossless=True` …

    Returns
    -------
    bytes
        The content of a file.

    Raises
    ------
    MediaError
        If Pillow cannot write the format, or not this image.

    Examples
    --------
    >>> import PIL.Image
    >>> encode_image(PIL.Image.new("RGB", (2, 2)))[1:4]
    b'PNG'
    """
    from PIL import Image

    name = "JPEG" if format.upper() == "JPG" else format.upper()
    Image.init()
    if name not in Image.SAVE:
        raise MediaError(
            f"images cannot be written in the format {format!r}.",
            hint="Use PNG, JPEG, WEBP, GIF or TIFF.",
        )
    if getattr(img, "is_animated", False):
        img = img.copy()  # some writers would continue with its other frames
    img = _convert_for_format(img, name)
    try:
        return _save(img, name, options)
    except Exception:  # noqa: BLE001 - Pillow's encoders raise nearly anything
        try:
            return _save(_simplify(img, opaque=name in _OPAQUE_FORMATS), name, options)
        except Exception as error:
            raise MediaError(
                f"the {img.width} x {img.height} image of mode {img.mode} cannot be written "
                f"as {name}: {error}.",
                hint="Convert or scale it first, or use PNG.",
            ) from error


def _convert_for_format(img: Image, name: str) -> Image:
    """Convert a mode that a format would store with other colours."""
    if img.mode in DEEP_MODES:
        modes = _DEEP_FORMATS.get(name, frozenset())
        if img.mode not in modes and "I;16" in modes and _is_sixteen_bit(img):
            img = img.convert("I").convert("I;16")  # others are clipped by the direct conversion
        return img if img.mode in modes else srgb(img)
    if img.mode in {"CMYK", "LAB"} and name not in _CMYK_FORMATS:
        return srgb(img)
    if name in _COLOUR_FORMATS and profile_of(img) and img.mode in {"1", "L", "LA"}:
        return srgb(img)
    has_color_key = img.mode in _COLOR_KEY_MODES and img.has_transparency_data
    return img.convert("RGBA") if has_color_key and name not in _COLOR_KEY_FORMATS else img


def _is_sixteen_bit(img: Image) -> bool:
    """Whether the greys of an image are 16-bit integers, beyond the range of 8 bits."""
    if img.mode != "I":
        return img.mode in SIXTEEN_BIT_MODES
    lowest, highest = img.getextrema()
    return bool(lowest >= 0 and _MAX_BYTE < highest <= _MAX_WORD)  # type: ignore[operator]


def _save(img: Image, name: str, options: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    img.save(buffer, format=name, **{**_metadata(img, name), **options})
    return buffer.getvalue()


def _metadata(img: Image, name: str) -> dict[str, Any]:
    metadata: dict[str, Any] = {}
    if name in _EXIF_FORMATS and (exif := _exif(img)):
        metadata["exif"] = exif
    if name in _PROFILE_FORMATS:
        # None if it describes pixels of another mode: some writers would use it without being
        # asked.
        metadata["icc_profile"] = profile_of(img)
    return metadata


def _simplify(img: Image, *, opaque: bool) -> Image:
    from PIL import Image

    plain = srgb(img) if img.mode in {"CMYK", "LAB", "La"} else img
    if not img.has_transparency_data:
        return plain.convert("RGB")
    with_alpha = plain.convert("RGBA")
    if not opaque:
        return with_alpha
    white = Image.new("RGBA", img.size, "white")
    flattened = Image.alpha_composite(white, with_alpha).convert("RGB")
    flattened.info = dict(with_alpha.info)
    return flattened
