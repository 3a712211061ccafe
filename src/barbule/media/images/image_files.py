"""Images: checked, opened, and created from arrays.

Owns the reading of files and bytes with Pillow. Must not rotate, scale or otherwise change an
image: functions over images do that.
"""

from __future__ import annotations

import io
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from barbule.errors import MediaError
from barbule.media.images import jpeg_rows, png_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from PIL.Image import Image

__all__ = [
    "decoding_errors",
    "image_bytes_suffix",
    "image_from_array",
    "load_pixels",
    "open_image",
    "open_lazily",
    "to_image",
    "validate_image",
]

_RETRY_HINT = "Download or export the file again, and check that it opens in a viewer."
_FORMATS = "PNG, JPEG, WEBP, GIF, TIFF, BMP, AVIF or HEIC"
_SUFFIXES = {"JPEG": "jpg", "JPEG2000": "jp2", "MPO": "jpg", "TIFF": "tif", "HEIF": "heic"}
_HEIF_BRANDS = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"))
_ARRAY_CHANNELS = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
_PLANE, _STACK = 2, 3
# The fraction of Pillow's pixel limit for decoders that need more memory than a raster or two.
_ANIMATED_WEBP_PIXEL_SHARE = 0.4  # its decoder keeps two canvases
_PIXEL_SHARES = {"ICO": 0.4, "WEBP": 0.6, "AVIF": 0.6, "HEIF": 0.6, "JPEG2000": 0.4}
_BUFFERING_FORMATS = frozenset(
    ("WEBP", "AVIF")
)  # keep their own copies as long as the image exists
_LARGE_IMAGE_PIXELS = 1 << 22  # pixels
_MAX_SCANS = 100  # of the largest JPEG; smaller ones may have more, in proportion
_MAX_COUNTED_BYTES = 1 << 19  # of the pixels of a PNG: that many are expanded in half a millisecond


def validate_image(path: Path, source: str | None = None) -> str:
    """Check that a file is a complete, undamaged image.

    A PNG is checked with its checksums, which is much faster than reading its pixels and detects
    more; for a small one also that no rows are missing, which for a large one is detected when it
    is opened. For other formats the pixels of the first frame are read.

    Parameters
    ----------
    path
        The file.
    source
        Its name in messages, if that is not the path: the URL that it was downloaded from.

    Returns
    -------
    str
        Pillow's name of the format: "PNG", "JPEG", "WEBP" …

    Raises
    ------
    MediaError
        If it is missing, empty, damaged, not an image, or has more pixels than Pillow's limit.
    """
    with decoding_errors(path, source):
        image = open_lazily(path)
        with image:
            if image.format == "PNG":
                image.verify()
                if not png_rows.is_complete(path, _MAX_COUNTED_BYTES):
                    raise _missing_rows_error()
            else:
                # A JPEG is read completely but decoded at an eighth of its size.
                image.draft("L", (1, 1))
                load_pixels(image, path)
            return str(image.format)


def open_image(path: Path, source: str | None = None) -> Image:
    """Open an image and read the pixels of its first frame; the file is closed again.

    Parameters
    ----------
    path
        The file. Its EXIF orientation is not applied.
    source
        Its name in messages, if that is not the path.

    Returns
    -------
    PIL.Image.Image
        The image. Other frames of an animation, or pages of a file, are read from memory when they
        are accessed.

    Raises
    ------
    MediaError
        If it is missing, empty, damaged, not an image, or has more pixels than Pillow's limit.
    """
    with decoding_errors(path, source):
        image = open_lazily(path)
        with image:
            if not getattr(image, "is_animated", False):
                return _without_decoder(load_pixels(image, path))
        animation: Any = open_lazily(io.BytesIO(path.read_bytes()))
        animation.filename = str(path)
        return load_pixels(animation, path)


def load_pixels(image: Image, path: Path) -> Image:
    """Read the pixels of an opened image, and check that all of them exist.

    Errors are Pillow's own; `decoding_errors` explains them.
    """
    image.load()
    if image.format == "PNG":
        # Missing pixels are 0.
        last_row = image.crop((0, image.height - 1, image.width, image.height))
        unread = last_row.getbbox() is None or image.info.get("interlace")
        if unread and not png_rows.is_complete(path):
            raise _missing_rows_error()
    if image.format == "JPEG" and jpeg_rows.ends_in_grey(image) and not jpeg_rows.is_complete(path):
        raise _missing_rows_error()
    return image


def _without_decoder(image: Image) -> Image:
    """Release what a decoder keeps in addition to the pixels of a large image."""
    if image.format not in _BUFFERING_FORMATS or image.width * image.height < _LARGE_IMAGE_PIXELS:
        return image
    plain = image.copy()
    plain.format = image.format
    return plain


def _refuse_many_scans(image: Any, max_pixels: int) -> None:
    """Refuse a progressive JPEG with thousands of scans."""
    position = image.fp.tell()
    image.fp.seek(0)
    scans = image.fp.read().count(b"\xff\xda")  # which does not occur in compressed data
    image.fp.seek(position)
    if scans * image.width * image.height > _MAX_SCANS * max_pixels:
        raise MediaError(
            f"the JPEG of {image.width} x {image.height} pixels has {scans:,} scans.",
            hint="Save it again: a progressive JPEG normally has about ten scans.",
        )


def _refuse_large(image: Image, max_pixels: int) -> None:
    """Refuse an image above the pixel limit; Pillow only warns up to twice the limit."""
    from PIL import Image

    if image.width * image.height > max_pixels:
        raise Image.DecompressionBombError(f"{image.width} x {image.height} pixels")
    allowed = int(max_pixels * _pixel_share(image))
    width, height = _icon_size(image) if image.format == "ICO" else image.size
    if width * height > allowed:
        raise MediaError(
            f"its {width} x {height} pixels exceed the limit of {allowed:,} for {image.format}.",
            hint="Scale it down, or raise PIL.Image.MAX_IMAGE_PIXELS if you trust it.",
        )
    if "progression" in image.info:
        _refuse_many_scans(image, max_pixels)


def _pixel_share(image: Image) -> float:
    name = str(image.format)
    if name == "WEBP" and getattr(image, "is_animated", False):
        return _ANIMATED_WEBP_PIXEL_SHARE
    return _PIXEL_SHARES.get(name, 1)


def _icon_size(image: Any) -> tuple[int, int]:
    """Return the size of the image in an icon, which may differ from its directory entry."""
    entry = image.ico.entry[image.ico.getentryindex(image.size)]
    offset = entry["offset"] if isinstance(entry, dict) else entry.offset
    position = image.fp.tell()
    image.fp.seek(offset)
    head = image.fp.read(24)
    image.fp.seek(position)
    if head.startswith(b"\x89PNG"):
        return int.from_bytes(head[16:20]), int.from_bytes(head[20:24])
    width, height = (abs(int.from_bytes(head[at : at + 4], "little", signed=True)) for at in (4, 8))
    return width, height // 2  # of the picture and its mask


def _missing_rows_error() -> OSError:
    return OSError("rows of the image are missing")


def open_lazily(file: Path | io.BytesIO) -> Image:
    """Open an image without reading its pixels, as Pillow does, within its limit of pixels.

    Errors are Pillow's own; `decoding_errors` explains them.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        image = Image.open(file)
    except UnidentifiedImageError:
        if not _is_heif(file):
            raise
        _register_heif()
        image = Image.open(file)
    if Image.MAX_IMAGE_PIXELS is not None:
        try:
            _refuse_large(image, Image.MAX_IMAGE_PIXELS)
        except Exception:
            image.close()
            raise
    return image


def _is_heif(file: Path | io.BytesIO) -> bool:
    if isinstance(file, Path):
        with file.open("rb") as stream:
            head = stream.read(12)
    else:
        head = file.getvalue()[:12]
    return head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS


def _register_heif() -> None:
    try:
        import pillow_heif
    except ImportError:
        raise MediaError(
            "HEIC images need the package pillow-heif.", hint="pip install 'barbule[heic]'"
        ) from None
    pillow_heif.register_heif_opener()


def to_image(value: Any) -> Image:
    """Return the PIL image of an image, an array or the bytes of a file, with its pixels read.

    Raises
    ------
    MediaError
        If it is none of these, or damaged.
    """
    if isinstance(value, bytes | bytearray | memoryview):
        data = bytes(value)
        image_bytes_suffix(data)  # raises for unreadable files
        value = open_lazily(io.BytesIO(data))
    # Pillow's own array interface would be copied twice.
    elif not hasattr(value, "save") and hasattr(value, "__array_interface__"):
        value = image_from_array(value)
    if not hasattr(value, "save"):
        raise MediaError(
            f"got {type(value).__name__}, not an image.",
            hint="Pass a PIL image, a NumPy array, bytes, a path or a URL.",
        )
    try:
        value.load()
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged data
        raise MediaError("the image is damaged or truncated.", hint=_RETRY_HINT) from error
    image: Image = value
    return image


@contextmanager
def decoding_errors(path: Path, source: str | None = None) -> Iterator[None]:
    """Convert the errors of opening and decoding an image file to a `MediaError`."""
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
        raise MediaError(f"{name} is a directory.", hint="Pass a file in it.") from None
    except PermissionError:
        raise MediaError(f"{name} cannot be read.", hint="Check its permissions.") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise MediaError(
            f"{name} has more pixels than the limit ({Image.MAX_IMAGE_PIXELS}).",
            hint="Scale it down, or raise PIL.Image.MAX_IMAGE_PIXELS if you trust it.",
        ) from error
    except UnidentifiedImageError as error:
        if path.stat().st_size == 0:
            raise MediaError(f"{name} is empty.", hint=_RETRY_HINT) from None
        raise MediaError(f"{name} is not an image.", hint=f"Give {_FORMATS}.") from error
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged data
        raise MediaError(f"{name} is a damaged or truncated image.", hint=_RETRY_HINT) from error


def image_bytes_suffix(data: bytes) -> str:
    """Detect the format of an image's bytes.

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
        If it is not an image.

    Examples
    --------
    >>> image_bytes_suffix(b"P5 1 1 255 0")
    'ppm'
    """
    try:
        with open_lazily(io.BytesIO(data)) as image:
            name = str(image.format)
    except MediaError:
        raise
    except Exception as error:  # Pillow raises nearly anything on damaged data
        raise MediaError(
            f"the {len(data)} bytes are not an image that can be read.",
            hint=f"Pass the content of a {_FORMATS} file.",
        ) from error
    return _SUFFIXES.get(name, name.lower())


def image_from_array(array: np.ndarray[Any, Any]) -> Image:
    """Create an image from an array.

    Parameters
    ----------
    array
        Shape (height, width) or (height, width, channels) with 1 to 4 channels (grey, grey and
        alpha, RGB, RGBA). 8-bit integers, booleans, floats from 0 to 1, or one plane of unsigned
        16-bit integers.

    Returns
    -------
    PIL.Image.Image
        The image.

    Raises
    ------
    MediaError
        If the shape, the type or the range is not supported.

    Examples
    --------
    >>> import numpy as np
    >>> image_from_array(np.zeros((2, 3, 3), dtype="uint8")).size
    (3, 2)
    """
    import numpy as np
    from PIL import Image

    pixels = array[:, :, 0] if array.ndim == _STACK and array.shape[2] == 1 else array
    channels = 1 if pixels.ndim == _PLANE else pixels.shape[2] if pixels.ndim == _STACK else 0
    if channels not in _ARRAY_CHANNELS or 0 in pixels.shape:
        raise MediaError(
            f"an array of shape {array.shape} is not an image.",
            hint="Pass the shape (height, width) or (height, width, 1 to 4 channels).",
        )
    if pixels.dtype == np.uint16 and channels == 1:
        return Image.fromarray(np.ascontiguousarray(pixels))
    return Image.fromarray(np.ascontiguousarray(_to_bytes(pixels)))


def _to_bytes(pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    import numpy as np

    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype == np.bool_:
        return pixels.astype(np.uint8) * 255
    if np.issubdtype(pixels.dtype, np.floating):
        # NaN fails the comparison too.
        if not bool(((pixels >= 0) & (pixels <= 1)).all()):
            raise MediaError(
                "an array of floats is an image only if its values are from 0 to 1.",
                hint="Scale or clip it first.",
            )
        scaled: np.ndarray[Any, Any] = np.rint(pixels * 255).astype(np.uint8)
        return scaled
    raise MediaError(
        f"an array of {pixels.dtype} is not an image.",
        hint="Pass uint8, bool, floats from 0 to 1, or one plane of uint16.",
    )
