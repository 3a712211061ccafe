"""The header of an image file, read without its pixels: size, mode, format, metadata.

Owns the header record and the form of EXIF data as JSON. Must not decode pixels, except if a PNG
stores its EXIF data after them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from barbule.media.images.image_files import decoding_errors, open_lazily

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import PIL.Image

__all__ = ["ImageHeader", "image_metadata", "read_header"]

_EXIF_IFD, _GPS_IFD = 0x8769, 0x8825
_MAX_VALUE_BYTES = 1024  # bytes of a value; longer ones are private data or a preview


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """The header of an image file, with PIL's names."""

    width: int
    height: int
    mode: str
    format: str | None
    path: Path
    source: str | None = None


def read_header(path: Path, source: str | None = None) -> ImageHeader:
    """Read the header of an image file.

    Parameters
    ----------
    path
        The file.
    source
        Its name in messages, if that is not the path.

    Raises
    ------
    MediaError
        If it is missing, empty, not an image, or has more pixels than Pillow's limit.
    """
    with decoding_errors(path, source), open_lazily(path) as image:
        return ImageHeader(image.width, image.height, image.mode, image.format, path, source)


def image_metadata(image: PIL.Image.Image | ImageHeader) -> dict[str, Any]:
    """Return the metadata of an image as JSON.

    Returns
    -------
    dict
        `width`, `height`, `mode`, `format`, `dpi` (or None), and `exif`: its values by name,
        including those of the camera and those of the location under "GPSInfo"; None if the data
        cannot be read. Private data of a manufacturer and previews are left out.

    Examples
    --------
    >>> import PIL.Image
    >>> image_metadata(PIL.Image.new("L", (3, 2)))["mode"]
    'L'
    """
    if isinstance(image, ImageHeader):
        with decoding_errors(image.path, image.source), open_lazily(image.path) as file:
            return _metadata(file)
    return _metadata(image)


def _metadata(image: PIL.Image.Image) -> dict[str, Any]:
    dpi = image.info.get("dpi")
    return {
        "width": image.width,
        "height": image.height,
        "mode": image.mode,
        "format": image.format,
        "dpi": None if dpi is None else _json_value(tuple(dpi)),
        "exif": _exif(image),
    }


def _exif(image: PIL.Image.Image) -> dict[str, Any] | None:
    from PIL.ExifTags import GPSTAGS, TAGS
    from PIL.Image import Image

    try:
        # A PNG is decoded by its own getexif(), as its EXIF data may follow its pixels.
        exif_follows_pixels = (
            image.format == "PNG" and "exif" not in image.info and _mentions_exif(image)
        )
        exif = (
            image.getexif()
            if exif_follows_pixels or image.format != "PNG"
            else Image.getexif(image)
        )
        tags = {**exif, **exif.get_ifd(_EXIF_IFD)}
        exif_values = _name_tags(tags, TAGS)
        exif_values.pop("ExifOffset", None)
        if gps := exif.get_ifd(_GPS_IFD):
            exif_values["GPSInfo"] = _name_tags(gps, GPSTAGS)
    except Exception:  # noqa: BLE001 - nearly anything on damaged data, and the image is good
        return None
    return exif_values


def _mentions_exif(image: Any) -> bool:
    """Whether an unread PNG may hold EXIF data."""
    if image.fp is None:
        return False
    position = image.fp.tell()
    image.fp.seek(0)
    data: bytes = image.fp.read()
    image.fp.seek(position)
    return b"eXIf" in data or b"Raw profile type exif" in data


def _name_tags(values: Mapping[int, Any], names: Mapping[int, str]) -> dict[str, Any]:
    plain = {names.get(tag, str(tag)): _json_value(value) for tag, value in values.items()}
    return {name: value for name, value in plain.items() if not _is_bulk(value)}


def _is_bulk(value: object) -> bool:
    return isinstance(value, str | list) and len(value) > _MAX_VALUE_BYTES


def _json_value(value: Any) -> Any:
    """Convert an EXIF value to JSON."""
    if isinstance(value, bytes):
        if len(value) > _MAX_VALUE_BYTES:
            return value.hex()
        text = value.rstrip(b"\0")
        return (
            text.decode("ascii") if text.isascii() and text.decode().isprintable() else value.hex()
        )
    if isinstance(value, str):
        return value.rstrip("\0")
    if isinstance(value, tuple | list):
        return [_json_value(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _json_value(item) for key, item in value.items()}
    if isinstance(value, bool | int) or value is None:
        return value
    number = float(value)  # a fraction, whose denominator may be 0
    return number if math.isfinite(number) else None
