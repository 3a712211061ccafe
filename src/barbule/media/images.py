"""Images: checked, opened, encoded and made from arrays.

Owns the use of Pillow for files and bytes. Must not turn, scale or otherwise change an
image: that is for functions over images.
"""

from __future__ import annotations

import io
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from barbule.errors import MediaError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from PIL.Image import Image

__all__ = [
    "decoding",
    "encode_image",
    "from_array",
    "image_bytes_suffix",
    "image_of",
    "lossless_format",
    "open_image",
    "opened",
    "stored_image",
    "validate_image",
]

_AGAIN = "Fetch or export the file again and check that it opens in a viewer."
_FORMATS = "PNG, JPEG, WEBP, GIF, TIFF, BMP, AVIF or HEIC"
_SUFFIXES = {"JPEG": "jpg", "JPEG2000": "jp2", "MPO": "jpg", "TIFF": "tif", "HEIF": "heic"}
_HEIF_BRANDS = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"))
# What a format can hold when it cannot hold the image's own mode.
_OPAQUE_FORMATS = frozenset({"JPEG", "JPEG2000", "BMP", "PPM", "PDF"})
_EXIF_FORMATS = frozenset({"PNG", "JPEG", "WEBP", "AVIF", "TIFF"})
_TIFF_MODES = frozenset({"I", "F", "CMYK", "YCbCr", "LAB", "I;16B", "PA", "RGBX"})
_ARRAY_CHANNELS = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
_PLANE, _STACK = 2, 3
_ORIENTATION = 0x0112
_WEBP_SIDE = 16383


def validate_image(path: Path, source: str | None = None) -> str:
    """Check that a file is an image, whole and undamaged.

    A PNG is checked by the checksums that it carries, which is much faster than reading its
    pixels and notices more; of other formats the pixels of the first frame are read.

    Parameters
    ----------
    path
        The file.
    source
        What messages call it, where that is not the path: the URL from which it came.

    Returns
    -------
    str
        Pillow's name of the format: "PNG", "JPEG", "WEBP" …

    Raises
    ------
    MediaError
        If it is missing, empty, damaged, no image, or has more pixels than Pillow's limit.
    """
    with decoding(path, source):
        image = opened(path)
        with image:
            if image.format == "PNG":
                image.verify()
            else:
                # A JPEG is read whole but put together at an eighth of its size.
                image.draft("L", (1, 1))
                image.load()
            return str(image.format)


def open_image(path: Path, source: str | None = None) -> Image:
    """Open an image and read its pixels; the file is closed again.

    Parameters
    ----------
    path
        The file. Its EXIF orientation is left as it is.
    source
        What messages call it, where that is not the path.

    Returns
    -------
    PIL.Image.Image
        The image; of an animation the first frame.

    Raises
    ------
    MediaError
        If it is missing, empty, damaged, no image, or has more pixels than Pillow's limit.
    """
    with decoding(path, source):
        image = opened(path)
        with image:
            image.load()
            return image


def opened(file: Path | io.BytesIO) -> Image:
    """Open an image without reading its pixels, as Pillow does, within its limit of pixels.

    Errors are Pillow's own; `decoding` explains them.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        image = Image.open(file)
    except UnidentifiedImageError:
        if not _is_heif(file):
            raise
        _learn_heif()
        image = Image.open(file)
    # Pillow only warns up to twice its limit.
    most = Image.MAX_IMAGE_PIXELS
    if most is not None and image.width * image.height > most:
        image.close()
        raise Image.DecompressionBombError(f"{image.width} x {image.height} pixels")
    return image


def _is_heif(file: Path | io.BytesIO) -> bool:
    if isinstance(file, Path):
        with file.open("rb") as stream:
            head = stream.read(12)
    else:
        head = file.getvalue()[:12]
    return head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS


def _learn_heif() -> None:
    try:
        import pillow_heif
    except ImportError:
        raise MediaError(
            "HEIC images need the package pillow-heif.", hint="pip install 'barbule[heic]'"
        ) from None
    pillow_heif.register_heif_opener()


def image_of(value: Any) -> Image:
    """Return the PIL image of an image, an array or the bytes of a file, its pixels read.

    Raises
    ------
    MediaError
        If it is none of these, or damaged.
    """
    if isinstance(value, bytes | bytearray | memoryview):
        data = bytes(value)
        image_bytes_suffix(data)  # tells what is no image at all
        value = opened(io.BytesIO(data))
    elif hasattr(value, "__array_interface__") and not hasattr(value, "save"):
        value = from_array(value)
    if not hasattr(value, "save"):
        raise MediaError(
            f"a {type(value).__name__} is no image.",
            hint="Give a PIL image, a NumPy array, bytes, a path or a URL.",
        )
    try:
        value.load()
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged data
        raise MediaError("the image is damaged or truncated.", hint=_AGAIN) from error
    image: Image = value
    return image


@contextmanager
def decoding(path: Path, source: str | None = None) -> Iterator[None]:
    """Explain the errors of opening and decoding an image file: one `MediaError`, its source."""
    from PIL import Image, UnidentifiedImageError

    name = source or path
    try:
        yield
    except MediaError as error:
        raise MediaError(f"{name}: {error.message}", hint=error.hint) from error.__cause__
    except FileNotFoundError:
        raise MediaError(
            f"{name} does not exist.", hint="Check the path and the working directory."
        ) from None
    except IsADirectoryError:
        raise MediaError(f"{name} is a directory.", hint="Name a file in it.") from None
    except PermissionError:
        raise MediaError(f"{name} cannot be read.", hint="Check its permissions.") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise MediaError(
            f"{name} has more pixels than are allowed ({Image.MAX_IMAGE_PIXELS}).",
            hint="Scale it down, or raise PIL.Image.MAX_IMAGE_PIXELS if you trust it.",
        ) from error
    except UnidentifiedImageError as error:
        if path.stat().st_size == 0:
            raise MediaError(f"{name} is empty.", hint=_AGAIN) from None
        raise MediaError(f"{name} is not an image.", hint=f"Give {_FORMATS}.") from error
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged data
        raise MediaError(f"{name} is a damaged or truncated image.", hint=_AGAIN) from error


def stored_image(img: Image, kind: str = "png", *, computed: bool = True) -> tuple[bytes, str]:
    """Encode an image for the media store.

    Parameters
    ----------
    img
        The image. Transparency is kept.
    kind
        "png" keeps it as it is (in TIFF what PNG cannot hold: CMYK, floats and the like), written
        for speed; "webp" makes it small, not exact, as RGB or RGBA.
    computed
        Whether a function made it: of the EXIF data that it may have from its source, only the
        orientation stays.

    Returns
    -------
    tuple of bytes and str
        The content and the suffix of its format.
    """
    options: dict[str, Any] = {"exif": _orientation(img)} if computed else {}
    if kind == "webp" and max(img.size) <= _WEBP_SIDE:
        return encode_image(img, "WEBP", **options), "webp"
    name = lossless_format(img)
    if name == "TIFF":
        return encode_image(img, name, compression="tiff_adobe_deflate", **options), "tif"
    # Measured on photographs: a fifth of the time of level 6, an eighth larger.
    return encode_image(img, name, compress_level=1, **options), "png"


def _orientation(img: Image) -> bytes:
    """Return EXIF data that tell how an image is turned, and nothing else."""
    from PIL import Image

    if not img.info.get("exif"):
        return b""
    try:
        turned = Image.Image.getexif(img).get(_ORIENTATION, 1)
    except Exception:  # noqa: BLE001 - damaged EXIF data of a good image raise nearly anything
        return b""
    if turned == 1:
        return b""
    exif = Image.Exif()
    exif[_ORIENTATION] = turned
    return exif.tobytes()


def lossless_format(img: Image) -> str:
    """Return the format that keeps an image as it is: PNG, or TIFF for what PNG cannot hold.

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
    """Encode an image; its EXIF data stay with it where the format has a place for them.

    Parameters
    ----------
    img
        The image. A mode that the format cannot hold is converted; where the format knows no
        transparency, the image is laid on white.
    format
        Pillow's name of the format: "PNG", "JPEG", "WEBP" …
    options
        What Pillow's writer of the format takes: `quality=80`, `lossless=True` …

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
            f"images cannot be written as {format!r}.", hint="Use PNG, JPEG, WEBP, GIF or TIFF."
        )
    options = {"exif": img.info.get("exif"), **options}
    if not options["exif"] or name not in _EXIF_FORMATS:
        del options["exif"]
    try:
        return _saved(img, name, options)
    except (OSError, ValueError, KeyError):
        try:
            return _saved(_plainer(img, opaque=name in _OPAQUE_FORMATS), name, options)
        except (OSError, ValueError, KeyError) as error:
            raise MediaError(
                f"the {img.width} x {img.height} image of mode {img.mode} cannot be written "
                f"as {name}: {error}.",
                hint="Convert or scale it first, or use PNG.",
            ) from error


def _saved(img: Image, name: str, options: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    img.save(buffer, format=name, **options)
    return buffer.getvalue()


def _plainer(img: Image, *, opaque: bool) -> Image:
    from PIL import Image

    if not img.has_transparency_data:
        return img.convert("RGB")
    clear = img.convert("RGBA")
    if not opaque:
        return clear
    white = Image.new("RGBA", img.size, "white")
    return Image.alpha_composite(white, clear).convert("RGB")


def image_bytes_suffix(data: bytes) -> str:
    """Tell the format of an image's bytes.

    Parameters
    ----------
    data
        The content of an image file.

    Returns
    -------
    str
        The usual extension without a dot: "png", "jpg", "webp" …

    Raises
    ------
    MediaError
        If it is no image.

    Examples
    --------
    >>> import PIL.Image
    >>> image_bytes_suffix(encode_image(PIL.Image.new("L", (2, 2)), "JPEG"))
    'jpg'
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with opened(io.BytesIO(data)) as image:
            name = str(image.format)
    except (
        UnidentifiedImageError,
        Image.DecompressionBombError,
        Image.DecompressionBombWarning,
    ) as error:
        raise MediaError(
            f"the {len(data)} bytes are not an image that can be read.",
            hint=f"Give the content of a {_FORMATS} file.",
        ) from error
    return _SUFFIXES.get(name, name.lower())


def from_array(array: np.ndarray[Any, Any]) -> Image:
    """Make an image of an array.

    Parameters
    ----------
    array
        Shape (height, width) or (height, width, channels) with 1 to 4 channels (grey, grey and
        alpha, RGB, RGBA). Integers of 8 bits, booleans, floats from 0 to 1, or one plane of
        unsigned 16-bit integers.

    Returns
    -------
    PIL.Image.Image
        The image.

    Raises
    ------
    MediaError
        If the shape, the type or the range is another.

    Examples
    --------
    >>> import numpy as np
    >>> from_array(np.zeros((2, 3, 3), dtype="uint8")).size
    (3, 2)
    """
    import numpy as np
    from PIL import Image

    pixels = array[:, :, 0] if array.ndim == _STACK and array.shape[2] == 1 else array
    channels = 1 if pixels.ndim == _PLANE else pixels.shape[2] if pixels.ndim == _STACK else 0
    if channels not in _ARRAY_CHANNELS or 0 in pixels.shape:
        raise MediaError(
            f"an array of shape {array.shape} is not an image.",
            hint="Give (height, width) or (height, width, 1 to 4 channels).",
        )
    if pixels.dtype == np.uint16 and channels == 1:
        return Image.fromarray(np.ascontiguousarray(pixels))
    return Image.fromarray(np.ascontiguousarray(_bytes(pixels)))


def _bytes(pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    import numpy as np

    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype == np.bool_:
        return pixels.astype(np.uint8) * 255
    if np.issubdtype(pixels.dtype, np.floating):
        # NaN fails the comparison too.
        if not bool(((pixels >= 0) & (pixels <= 1)).all()):
            raise MediaError(
                "an array of floats is an image only from 0 to 1.", hint="Scale or clip it first."
            )
        scaled: np.ndarray[Any, Any] = np.rint(pixels * 255).astype(np.uint8)
        return scaled
    raise MediaError(
        f"an array of {pixels.dtype} is not an image.",
        hint="Give uint8, bool, floats from 0 to 1, or one plane of uint16.",
    )
