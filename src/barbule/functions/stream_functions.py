"""Declaration of audio, video and document functions: as a function and as a method.

Owns the decorator, and the annotations of its bodies; `barbule.media` does the work.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any, Literal

import ibis.expr.types as ir
from ibis.common.deferred import Deferred

from barbule.errors import ExpressionError, with_article
from barbule.functions.function import Function
from barbule.functions.registry import register
from barbule.functions.udf import udf
from barbule.relations.methods.streams import AudioValue, DocumentValue, VideoValue
from barbule.types import Audio, Media, Video, declaration

__all__ = ["Clip", "Track", "source_of", "stream_function", "uri_of"]

Clip = Annotated[str, Video]  # a local path
Track = Annotated[str, Audio]

StreamKind = Literal["video", "audio", "document"]

_VALUE_CLASSES = {"video": VideoValue, "audio": AudioValue, "document": DocumentValue}


def stream_function(
    kind: StreamKind,
    returns: object,
    *,
    method: bool = True,
    check: Callable[[dict[str, Any]], None] | None = None,
) -> Callable[[Callable[..., Any]], Function]:
    """Create a function for a media type and register the method of its name on its columns.

    Parameters
    ----------
    kind
        "audio", "video" or "document".
    returns
        The type of its result.
    method
        Whether to register it on columns too.
    check
        Raises an error, when a call is written, if its arguments are invalid.
    """

    def prepare(arguments: dict[str, Any]) -> dict[str, Any]:
        if check is not None:
            check(arguments)
        return arguments

    def declare(body: Callable[..., Any]) -> Function:
        name = f"barbule.functions.{kind}.{body.__name__}"
        declared = udf(body, return_type=returns, version="1", name=name)
        # FFmpeg uses all processors by itself; PDFium must not be called from several threads.
        function = register(replace(declared, concurrency=1, prepare=prepare if check else None))
        if method:
            setattr(_VALUE_CLASSES[kind], body.__name__, _method(function, body, kind))
        return function

    return declare


def _method(function: Function, body: Callable[..., Any], kind: StreamKind) -> Callable[..., Any]:
    def method(self: object, *args: Any, **kwargs: Any) -> object:
        return function(self, *args, **kwargs)

    first, *others = inspect.signature(body).parameters.values()
    method.__name__ = body.__name__
    method.__qualname__ = f"{_VALUE_CLASSES[kind].__name__}.{body.__name__}"
    method.__doc__ = body.__doc__
    method.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [first.replace(name="self", annotation=first.empty), *others]
    )
    return method


def uri_of(media: object) -> ir.Value | str:
    """Return the reference of a column's cells, or of a plain value."""
    return media.uri() if isinstance(media, ir.Expr) else str(media)


def source_of(
    media: object, name: str, kind: type[Media]
) -> ir.Value | Deferred | str | os.PathLike[str]:
    """Return the first argument of an iterator: a column of media, or the path of a file.

    Strings in a column are paths; the call itself refuses other columns.

    Raises
    ------
    ExpressionError
        If it is a plain value that is not a path.
    """
    if isinstance(media, ir.Value):
        dtype = media.type()
        return media.cast(kind()) if declaration(dtype).modality == "text" else media
    if isinstance(media, str | os.PathLike | Deferred):
        return media
    raise ExpressionError(
        f"an iterator takes a column of type {kind()} as {name}, but this is "
        f"{with_article(type(media).__name__)}.",
        hint=f"Pass the column: {name}=t.{name}.",
    )
