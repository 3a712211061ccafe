"""Conversion of images to other modes, with brightness and colours preserved.

Owns the value ranges of deep greys and the effect of ICC profiles. Pillow itself clips 16-bit and
float values at 255, and keeps a profile whatever happens to the pixels.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

__all__ = [
    "DEEP_MODES",
    "SIXTEEN_BIT_MODES",
    "convert_mode",
    "eight_bit",
    "profile_of",
    "rgb",
    "shrink",
    "srgb",
]

SIXTEEN_BIT_MODES = frozenset({"I;16", "I;16L", "I;16B", "I;16N"})
DEEP_MODES = SIXTEEN_BIT_MODES | {"I", "F"}
_MAX_BYTE, _MAX_WORD = 255, 65535
# Floats above 1 whose maximum is below this are not bytes: such a dark image would be invisible.
_DARKEST_PEAK = 32
# The colour spaces of ICC profiles, by Pillow's modes.
_PROFILE_SPACES = {
    **dict.fromkeys(("RGB", "RGBA", "RGBa", "RGBX", "P", "PA", "YCbCr"), b"RGB "),
    **dict.fromkeys(("1", "L", "LA", "La", *DEEP_MODES), b"GRAY"),
    "CMYK": b"CMYK",
    "LAB": b"Lab ",
}


def profile_of(img: Image) -> bytes | None:
    """Return the ICC profile of an image; None if it describes pixels of another mode.

    Examples
    --------
    >>> import PIL.Image
    >>> profile_of(PIL.Image.new("RGB", (2, 2))) is None
    True
    """
    profile = img.info.get("icc_profile")
    if not isinstance(profile, bytes) or profile[16:20] != _PROFILE_SPACES.get(img.mode):
        return None
    return profile


def eight_bit(img: Image) -> Image:
    """Convert a grey image of 16 or 32 bits, or of floats, to 8 bits; others stay unchanged.

    16-bit values are divided by 257. The range of others determines their meaning: integers up to
    255 or up to 65535 and floats up to 1 or up to 255 use that range, and all others their own,
    from the minimum to the maximum. NaN becomes black.

    Examples
    --------
    >>> import PIL.Image
    >>> eight_bit(PIL.Image.new("I;16", (2, 2), 65535)).getpixel((0, 0))
    255
    """
    import numpy as np
    from PIL import Image

    if img.mode not in DEEP_MODES:
        return img
    values = np.asarray(img).astype(np.float64)
    low, high = _value_range(img.mode, values)
    scaled = np.nan_to_num((values - low) * (_MAX_BYTE / (high - low)), posinf=_MAX_BYTE, neginf=0)
    convert_mode = Image.fromarray(np.rint(scaled.clip(0, _MAX_BYTE)).astype(np.uint8))
    convert_mode.info = {name: value for name, value in img.info.items() if name != "transparency"}
    return convert_mode


def _value_range(mode: str, values: np.ndarray) -> tuple[float, float]:
    import numpy as np

    if mode in SIXTEEN_BIT_MODES:
        return 0, _MAX_WORD
    numbers = values[np.isfinite(values)]
    lowest, highest = (numbers.min(), numbers.max()) if numbers.size else (0, 0)
    if lowest >= 0:
        if mode == "I" and highest <= _MAX_WORD:
            return 0, _MAX_BYTE if highest <= _MAX_BYTE else _MAX_WORD
        if mode == "F" and highest <= 1:
            return 0, 1
        if mode == "F" and _DARKEST_PEAK <= highest <= _MAX_BYTE:
            return 0, _MAX_BYTE
    return lowest, highest if highest > lowest else lowest + 1


def srgb(img: Image) -> Image:
    """Return an image as RGB, or RGBA if it is transparent, in sRGB colours.

    The ICC profile is applied; without one, or if it is damaged, Pillow's conversion is used.

    Examples
    --------
    >>> import PIL.Image
    >>> srgb(PIL.Image.new("CMYK", (2, 2), (0, 255, 255, 0))).getpixel((0, 0))
    (255, 0, 0)
    """
    img = _unpremultiply(eight_bit(img))
    mode = "RGBA" if img.has_transparency_data else "RGB"
    profile = profile_of(img)
    convert_mode = None
    if img.mode == "LAB" or (profile is not None and img.mode not in {"1", "LA"}):
        is_direct = img.mode in {"CMYK", "LAB", "L"}
        convert_mode = _apply_profile(img if is_direct else img.convert(mode), profile)
    if convert_mode is None:
        convert_mode = img.convert(mode)
    convert_mode.info = {
        name: value for name, value in convert_mode.info.items() if name != "icc_profile"
    }
    return convert_mode


def _unpremultiply(img: Image) -> Image:
    """Undo the only premultiplied mode, which Pillow converts only to its own counterpart."""
    return img.convert("LA") if img.mode == "La" else img


def _apply_profile(img: Image, profile: bytes | None) -> Image | None:
    """Apply a profile; None if it is damaged."""
    from PIL import ImageCms

    try:
        source = (
            ImageCms.createProfile("LAB")
            if profile is None
            else ImageCms.ImageCmsProfile(io.BytesIO(profile))
        )
        mode = img.mode if img.mode == "RGBA" else "RGB"
        target = ImageCms.createProfile("sRGB")
        convert_mode = ImageCms.profileToProfile(img, source, target, outputMode=mode)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
    if convert_mode is not None:
        convert_mode.info = dict(img.info)
    return convert_mode


def rgb(img: Image) -> Image:
    """Return an image as RGB, for consumers that take no other mode: models, tensors, videos.

    Greys of more than 8 bits are scaled, CMYK is converted with its profile. The colour values of
    RGB images stay unchanged.

    Examples
    --------
    >>> import PIL.Image
    >>> rgb(PIL.Image.new("I;16", (2, 2), 65535)).getpixel((0, 0))
    (255, 255, 255)
    """
    return convert_mode(eight_bit(img), "RGB")


def convert_mode(img: Image, mode: str | None, *options: object) -> Image:
    """Convert as `PIL.Image.Image.convert` does, with colours and brightness preserved.

    Deep greys are scaled as in `eight_bit` if the new mode has 8 bits, CMYK is converted with its
    profile, and a profile that does not describe the new pixels is removed.

    Parameters
    ----------
    options
        The other arguments of Pillow's method.
    """
    if mode is not None and mode != img.mode:
        if mode not in DEEP_MODES:
            img = eight_bit(img)
        if (img.mode == "CMYK" and profile_of(img) is not None) or img.mode == "LAB":
            img = srgb(img)
        img = _unpremultiply(img)
    image = img.convert(mode, *options)  # type: ignore[arg-type]
    if "icc_profile" in image.info and profile_of(image) is None:
        image.info = {name: value for name, value in image.info.items() if name != "icc_profile"}
    return image


def shrink(img: Image, size: tuple[float, float], *options: object) -> Image:
    """Scale an image down as `PIL.Image.Image.thumbnail` does, in place if possible.

    16-bit greys, which Pillow does not scale in two steps, are converted to 32 bits.

    Examples
    --------
    >>> import PIL.Image
    >>> shrink(PIL.Image.new("I;16", (20, 10)), (10, 10)).size
    (10, 5)
    """
    if img.mode not in SIXTEEN_BIT_MODES:
        img.thumbnail(size, *options)  # type: ignore[arg-type]
        return img
    wide = img.convert("I")
    wide.thumbnail(size, *options)  # type: ignore[arg-type]
    return wide.convert(img.mode)
