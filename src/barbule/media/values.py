"""The methods of media and Json columns: they build nodes, they touch no file.

Owns the expression classes of barbule's types, and the one place where they are made known
to Ibis, which finds them by name in `ibis.expr.types`.
"""

from __future__ import annotations

import ibis.expr.datatypes as dt
import ibis.expr.types as ir

from barbule.media.json_values import JsonValue
from barbule.nodes import Recorded, build_call

__all__ = ["ImageValue", "JsonValue", "MediaValue"]


class MediaValue(ir.StringValue):
    """What every media column can do."""

    def uri(self) -> ir.StringValue:
        """Return the reference as text: a path, a URL, or a name in the media store."""
        return self.cast(dt.string)

    def sha256(self) -> ir.StringValue:
        """Return the SHA-256 of the content, as 64 hexadecimal digits."""
        return build_call("barbule.functions.media.sha256", dt.string, {"media": self})

    def changed(self) -> ir.BooleanValue:
        """Tell whether the file is another now than when its cell was written, or is gone.

        Files and URLs are only referred to; of each, its hash and size are recorded when it is
        written. URLs are asked for again. It is missing where nothing was recorded: with
        `media_validation="on_read"`, for what is computed, and in views: ask their base.

        To take the new content, and have all that depends on it computed again, write the
        references once more: `t.update({"img": t.img}, where=t.img.changed())`.

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
    """What image columns can do; names and meaning follow PIL.

    Its methods are the functions of `barbule.functions.image`, which put them here.
    """


def _declare(name: str, value: type) -> None:
    """Make the scalar and the column class of a type known to Ibis."""
    base = next(klass for klass in value.__mro__ if klass.__module__.startswith("ibis."))
    stem = base.__name__.removesuffix("Value")
    for kind in ("Scalar", "Column"):
        parent = getattr(ir, f"{stem}{kind}")
        cls = type(f"Barbule{name}{kind}", (value, parent), {"__slots__": ()})
        setattr(ir, cls.__name__, cls)


_declare("Media", MediaValue)
_declare("Image", ImageValue)
_declare("Json", JsonValue)
