"""Images brought to other modes, their brightness and colours kept.

Owns the ranges of values of deep greys and what ICC profiles say of pixels. Pillow itself cuts
16-bit and float values off at 255, and keeps a profile whatever becomes of the pixels.
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
# Floats above 1 whose largest is below this are no bytes: a picture as dark would not be seen.
_DARKEST_PEAK = 32
# The colour spaces of ICC profiles, by Pillow's modes.
_PROFILE_SPACES = {
    **dict.fromkeys(("RGB", "RGBA", "RGBa", "RGBX", "P", "PA", "YCbCr"), b"RGB "),
    **dict.fromkeys(("1", "L", "LA", "La", *DEEP_MODES), b"GRAY"),
    "CMYK": b"CMYK",
    "LAB": b"Lab ",
}


def profile_of(img: Image) -> bytes | None:
    """Return the ICC profile of an image; None where it describes pixels of another mode.

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
    """Bring a grey image of 16 or 32 bits, or of floats, to 8 bits; others stay as they are.

    Values of 16 bits are divided by 257. What others mean is told by their range: integers up to
    255 or up to 65535 and floats up to 1 or up to 255 span that range, and all others theirs,
    from the smallest to the largest. What is no number becomes black.

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
    """Return an image as RGB, or RGBA where it is transparent, in the colours of sRGB.

    The ICC profile is applied; without one, and where it is damaged, Pillow's conversion is.

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
    """Undo the only premultiplied mode that Pillow converts to nothing but its own kind."""
    return img.convert("LA") if img.mode == "La" else img


def _apply_profile(img: Image, profile: bytes | None) -> Image | None:
    """Apply a profile; None where that is damaged."""
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
    """Return an image as RGB, for those who take no other: models, tensors, videos.

    Greys of more than 8 bits are scaled, CMYK is converted by its profile. The colours of RGB
    images stay the numbers that they are.

    Examples
    --------
    >>> import PIL.Image
    >>> rgb(PIL.Image.new("I;16", (2, 2), 65535)).getpixel((0, 0))
    (255, 255, 255)
    """
    return convert_mode(eight_bit(img), "RGB")


def convert_mode(img: Image, mode: str | None, *options: object) -> Image:
    """Convert as `PIL.Image.Image.convert` does, colours and brightness kept.

    Deep greys are scaled as `eight_bit` does where the new mode has 8 bits, CMYK is converted by
    its profile, and a profile that does not describe the new pixels is left out.

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
    """Scale an image down as `PIL.Image.Image.thumbnail` does, in place where it can.

    Greys of 16 bits, which Pillow does not scale in two steps, take a detour over 32.

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
