"""The methods of media and Json columns: they build nodes and touch no file.

Owns the expression classes of barbule's types, and the only place that registers them with Ibis,
which finds them by name in `ibis.expr.types`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import ibis.expr.datatypes as dt
import ibis.expr.types as ir
from ibis import Deferred

from barbule.errors import ExpressionError, with_article
from barbule.locations import reference_to
from barbule.nodes import Recorded, build_call
from barbule.relations.methods.json_paths import JsonValue

__all__ = ["ImageValue", "JsonValue", "MediaValue"]


class MediaValue(ir.StringValue):
    """Methods of all media columns.

    Media are compared by reference. A path is made absolute first, as in an insert: relative to the
    working directory when the expression is written.
    """

    __hash__ = ir.StringValue.__hash__

    def __eq__(self, other: object) -> ir.BooleanValue:
        return super().__eq__(_reference(other))

    def __ne__(self, other: object) -> ir.BooleanValue:
        return super().__ne__(_reference(other))

    def identical_to(self, other: object, /) -> ir.BooleanValue:
        """Return whether the reference is the same; a missing one equals a missing one."""
        return super().identical_to(_reference(other))

    def isin(self, values: object, /) -> ir.BooleanValue:
        """Return whether it is one of several paths, URLs or values of a column."""
        return super().isin(_references(values))

    def notin(self, values: object, /) -> ir.BooleanValue:
        """Return whether it is none of several paths, URLs or values of a column."""
        return super().notin(_references(values))

    def nullif(self, null_if_expr: object, /) -> MediaValue:
        """Return a missing value if it is this path or URL."""
        return super().nullif(_reference(null_if_expr))

    def fill_null(self, fill_value: object, /) -> MediaValue:
        """Replace missing values with a path or URL."""
        return super().fill_null(_reference(fill_value))

    def cases(
        self, branch: tuple[object, Any], /, *branches: tuple[object, Any], **options: Any
    ) -> ir.Value:
        """Choose a value by path or URL."""
        reference_branches = [(_reference(case), value) for case, value in (branch, *branches)]
        return super().cases(*reference_branches, **options)

    def uri(self) -> ir.StringValue:
        """Return the reference as a string: a path, a URL, or a name in the media store."""
        return self.cast(dt.string)

    def sha256(self) -> ir.StringValue:
        """Return the SHA-256 of the content, as 64 hexadecimal digits."""
        return build_call("barbule.functions.media.sha256", dt.string, {"media": self})

    def changed(self) -> ir.BooleanValue:
        """Return whether the file has changed since its cell was written, or no longer exists.

        Files and URLs are only referenced; the hash and size of each are recorded when it is
        written. URLs are downloaded again. The result is missing if nothing was recorded: with
        `media_validation="on_read"`, for computed files, and in views over joins and aggregates;
        query their base tables instead.

        To accept the new content, and recompute everything that depends on it, write the references
        again: `t.update({"img": t.img}, where=t.img.changed())`.

        Examples
        --------
        >>> import barbule as bb, pathlib
        >>> note = pathlib.Path("note.txt")
        >>> _ = note.write_text("A barbule hooks.")
        >>> notes = bb.create_table("notes", {"file": bb.Document})
        >>> _ = notes.insert(file="note.txt")
        >>> _ = note.write_text("A barbule holds.")
        >>> notes.filter(notes.file.changed()).count().to_pyarrow().as_py()
        1
        """
        arguments = {"media": self, "recorded": Recorded(self).to_expr()}
        return build_call("barbule.functions.media.changed", dt.boolean, arguments)


class ImageValue(MediaValue):
    """Methods of image columns; names and meaning follow PIL.

    Its methods are the functions of `barbule.functions.image`, which registers them here.
    """


def _reference(value: object) -> object:
    """Return the operand of a comparison with media; a path in the form that cells hold.

    Raises
    ------
    ExpressionError
        If it is the content of a media file.
    """
    if isinstance(value, ir.Value | Deferred):
        return value
    if isinstance(value, str | os.PathLike):
        path = os.fspath(value)
        return reference_to(path) if isinstance(path, str) and path else path
    if isinstance(value, bytes | bytearray | memoryview) or hasattr(value, "getbands"):
        raise ExpressionError(
            f"a media column is compared by reference, and "
            f"{with_article(type(value).__name__)} is content.",
            hint="Pass a path or a URL, or compare the content: t.img.sha256() == "
            "hashlib.sha256(data).hexdigest().",
        )
    return value


def _references(values: object) -> object:
    if isinstance(values, ir.Value | Deferred | str) or not isinstance(values, Iterable):
        return values
    return [_reference(value) for value in values]


def _declare(name: str, value: type) -> None:
    """Register the scalar and the column class of a type with Ibis."""
    base = next(klass for klass in value.__mro__ if klass.__module__.startswith("ibis."))
    stem = base.__name__.removesuffix("Value")
    for kind in ("Scalar", "Column"):
        parent = getattr(ir, f"{stem}{kind}")
        cls = type(f"Barbule{name}{kind}", (value, parent), {"__slots__": ()})
        setattr(ir, cls.__name__, cls)


_declare("Media", MediaValue)
_declare("Image", ImageValue)
_declare("Json", JsonValue)
