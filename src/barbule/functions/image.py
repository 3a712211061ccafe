"""Functions of images; names and meaning follow PIL."""

from __future__ import annotations

import base64
import io
from typing import Annotated, Any

from barbule.functions.udf import udf
from barbule.types import Image

__all__ = ["b64_encode", "convert", "height", "mode", "resize", "rotate", "width"]

Picture = Annotated[Any, Image]  # PIL is loaded when a cell is opened

_PREFIX = "barbule.functions.image"


@udf(return_type=int, version="1", name=f"{_PREFIX}.width")
def width(image: Picture) -> Any:
    """Return the width in pixels."""
    return image.width


@udf(return_type=int, version="1", name=f"{_PREFIX}.height")
def height(image: Picture) -> Any:
    """Return the height in pixels."""
    return image.height


@udf(return_type=str, version="1", name=f"{_PREFIX}.mode")
def mode(image: Picture) -> Any:
    """Return PIL's name of the pixel format."""
    return image.mode


@udf(return_type=Image, version="1", name=f"{_PREFIX}.resize")
def resize(image: Picture, size: list[int]) -> Any:
    """Resize to (width, height)."""
    return image.resize(tuple(size))


@udf(return_type=Image, version="1", name=f"{_PREFIX}.rotate")
def rotate(image: Picture, angle: float) -> Any:
    """Rotate counter-clockwise by an angle in degrees."""
    return image.rotate(angle)


@udf(return_type=Image, version="1", name=f"{_PREFIX}.convert")
def convert(image: Picture, mode: str) -> Any:
    """Convert to another pixel format."""
    return image.convert(mode)


@udf(return_type=str, version="1", name=f"{_PREFIX}.b64_encode")
def b64_encode(image: Picture, image_format: str = "png") -> str:
    """Encode as a file of the given format, in Base64."""
    buffer = io.BytesIO()
    image.save(buffer, format=image_format.upper())
    return base64.b64encode(buffer.getvalue()).decode()
