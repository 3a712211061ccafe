"""What barbule declares of a data type.

Owns the fields of a declaration; `entries` has one declaration for each type.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    import ibis.expr.datatypes as dt
    import pyarrow as pa

    from barbule.types.declarations.media_access import MediaAccess
    from barbule.types.declarations.nested import Convert

__all__ = ["Modality", "TypeDeclaration"]

Modality: TypeAlias = Literal["text", "image", "audio", "video", "document", "file"]


def _none(*_: object) -> None:
    return None


def _same(kind: Any) -> Any:
    return kind


def _never(_: object) -> bool:
    return False


@dataclasses.dataclass(frozen=True, kw_only=True)
class TypeDeclaration:
    """One data type: how its values are stored, converted, written and shown.

    Functions whose parameter is a data type receive the type itself, with its parameters.

    Attributes
    ----------
    dtype
        The class of the type; subclasses without a declaration of their own have this one.
    names
        Names of the type that users write, besides those that Ibis knows.
    annotations
        Python classes that mean the type in annotations; the first is the class of its constants.
    default
        Makes the type that a name or an annotation means; None for the class of the type.
    suffixes
        Those of files that hold values of a media type.
    noun
        A value of the type in messages; None for the name of the type.
    modality
        What models that take such values call them; None if there is no such model.
    is_media
        Whether values are references to files.
    is_nested
        Whether values have parts of other types.
    storage
        The class in which databases store values; None for the type itself.
    canonical
        The type in which a column holds values of this type.
    refusal
        Why cells cannot have the type, and a hint; None if they can.
    python
        The Python types that Arrow converts to the type exactly.
    nan_is_missing
        Whether NaN means that a value is missing.
    write
        The conversion of a Python value for Arrow.
    read
        The conversion of an Arrow cell for users.
    takes_arrow
        Whether Arrow casts an Arrow type to the type, and keeps the meaning of values.
    checked
        Whether values of the right Arrow type may still be no values of the type.
    by_duckdb
        Whether DuckDB writes values into files as they are read again.
    to_file
        The conversion of a cell to a JSON value in a file.
    from_file
        The conversion of a JSON value in a file; None if it needs none.
    parse
        The parser of a string in a file; None if strings are values.
    text_cast
        How strings of a CSV file become values: they are their text, Arrow parses them if it can,
        or `parse` does.
    empty_text
        Whether the empty string of a CSV file is a value, not a missing one.
    sql_is_exact
        Whether SQL assigns values to a column exactly as Arrow transfers them.
    family
        The types among which casts keep the meaning of values; None if not declared.
    json
        What a value is in JSON; "text" for a string with another meaning; None if JSON lacks it.
    answer
        The Python type as which a model returns values; None if models cannot.
    sized
        Whether a value has a length, and may contain another.
    display
        How cells are shown.
    """

    dtype: type[dt.DataType]
    names: tuple[str, ...] = ()
    annotations: tuple[Any, ...] = ()
    default: Callable[[], dt.DataType] | None = None
    suffixes: tuple[str, ...] = ()
    noun: str | None = None
    modality: Modality | None = None
    is_media: bool = False
    is_nested: bool = False
    storage: type[dt.DataType] | None = None
    canonical: Callable[[Any], dt.DataType] = _same
    refusal: Callable[[Any], tuple[str, str] | None] = _none
    python: frozenset[type] = frozenset()
    nan_is_missing: bool = True
    write: Callable[[Any, MediaAccess], Convert | None] = _none
    read: Callable[[MediaAccess | None], Convert | None] = _none
    takes_arrow: Callable[[pa.DataType], bool] = _never
    checked: bool = False
    by_duckdb: Callable[[Any], bool] = lambda _: True
    to_file: Callable[[Any], Convert | None] = _none
    from_file: Convert | None = None
    parse: Convert | None = None
    text_cast: Literal["text", "arrow", "parse"] = "parse"
    empty_text: bool = False
    sql_is_exact: bool = False
    family: Literal["boolean", "number", "text", "day", "time"] | None = None
    json: Literal["boolean", "integer", "number", "string", "text", "json"] | None = None
    answer: Any = None
    sized: bool = False
    display: Literal["text", "number", "boolean", "code", "bytes", "media"] = "text"

    def make(self) -> dt.DataType:
        """Make the type that its names and annotations mean."""
        return (self.default or self.dtype)()
