"""Declaration of image functions: one definition, as a function and as a method of image columns.

Owns the decorator, the annotations of its bodies, and the PIL objects (filters, enumerations) that
may be arguments of a call.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from barbule.functions.function import Function
from barbule.functions.registry import register
from barbule.functions.udf import udf
from barbule.relations.methods.media_columns import ImageValue
from barbule.types import Image

# Type checkers see the classes of PIL; at run time PIL is loaded when a cell is opened, and the
# annotations are column types.
if TYPE_CHECKING:
    from PIL.Image import Image as Picture

    from barbule.media.images.headers import ImageHeader

    MaybePicture = Picture | None
    PictureHeader = Picture | ImageHeader
    Choice = Enum | int | str | None
else:
    Picture = Annotated[Any, Image]
    MaybePicture = Picture  # nullable, as its default is None
    PictureHeader = Picture
    Choice = Any  # a member of one of PIL's enumerations, its number or its name

__all__ = ["Choice", "MaybePicture", "Picture", "PictureHeader", "image_function", "member"]

E = TypeVar("E", bound=Enum)

_PREFIX = "barbule.functions.image"


def image_function(
    returns: object, *, images: Literal["pixels", "header"] = "pixels"
) -> Callable[[Callable[..., Any]], Function]:
    """Create an image function and register the method of its name on image columns.

    Parameters
    ----------
    returns
        The type of its result.
    images
        Whether it needs the pixels, or receives `ImageHeader`s if an image is a file.
    """

    def declare(body: Callable[..., Any]) -> Function:
        name = f"{_PREFIX}.{body.__name__}"
        declared = udf(_null_for_gaps(body), return_type=returns, version="1", name=name)
        function = register(replace(declared, images=images, prepare=_storable_arguments))
        setattr(ImageValue, body.__name__, _method(function, body))
        return function

    return declare


def _null_for_gaps(body: Callable[..., Any]) -> Callable[..., Any]:
    """Return None if a list among the arguments contains None: a box with a missing edge."""

    @functools.wraps(body)
    def call(*args: Any, **kwargs: Any) -> object:
        for value in (*args, *kwargs.values()):
            if isinstance(value, list | tuple) and None in value:
                return None
        return body(*args, **kwargs)

    return call


def _method(function: Function, body: Callable[..., Any]) -> Callable[..., Any]:
    def method(self: object, *args: Any, **kwargs: Any) -> object:
        return function(self, *args, **kwargs)

    first, *others = inspect.signature(body).parameters.values()
    method.__name__ = body.__name__
    method.__qualname__ = f"ImageValue.{body.__name__}"
    method.__doc__ = body.__doc__
    method.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [first.replace(name="self", annotation=first.empty), *others]
    )
    return method


def member(enumeration: type[E], value: object) -> E:
    """Return a member of one of PIL's enumerations, given the member, its number or its name.

    Examples
    --------
    >>> from PIL.Image import Resampling
    >>> member(Resampling, "bilinear").name
    'BILINEAR'
    """
    if not isinstance(value, str):
        return enumeration(value)
    members = {choice.name: choice for choice in enumeration}
    if value.upper() not in members:
        raise ValueError(f"{value!r} is not one of {', '.join(members)}")
    return members[value.upper()]


def _storable_arguments(arguments: dict[str, Any]) -> dict[str, Any]:
    return {name: _storable(value) for name, value in arguments.items()}


def _storable(value: Any) -> object:
    """Convert one of PIL's filters to a list of its name and its options."""
    kind = value if inspect.isclass(value) else type(value)
    if kind.__module__ != "PIL.ImageFilter":
        return value
    if value is kind or not vars(value):
        return [kind.__name__]
    if kind.__name__ == "Kernel":
        size, scale, offset, kernel = value.filterargs
        return ["Kernel", {"size": size, "kernel": kernel, "scale": scale, "offset": offset}]
    return [kind.__name__, dict(vars(value))]
