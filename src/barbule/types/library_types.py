"""Types of other libraries as types of columns: NumPy, pandas, polars, Arrow and pydantic."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt

from barbule.errors import SchemaError
from barbule.types.arrow import of_arrow, of_arrow_field
from barbule.types.data_types import Json, canonical

if TYPE_CHECKING:
    from polars.datatypes import DataType, DataTypeClass

__all__ = ["of_library", "of_pydantic"]

# Types of these libraries say themselves what they are.
_LIBRARIES = {"numpy", "pandas", "polars", "pyarrow"}


def of_library(kind: object) -> dt.DataType | None:
    """Read types of NumPy, pandas, polars and Arrow, which Ibis knows."""
    owner = kind if inspect.isclass(kind) else type(kind)
    library = owner.__module__.split(".")[0]
    if library not in _LIBRARIES:
        return None
    try:
        if library == "polars":
            return _of_polars(kind)
        if library == "pyarrow":
            named = hasattr(kind, "nullable")  # a field, whose metadata may tell more
            return canonical(of_arrow_field(kind) if named else of_arrow(kind))
        if library == "numpy" and inspect.isclass(kind):
            import numpy as np

            kind = np.dtype(kind)
        return canonical(dt.dtype(kind))
    except Exception as error:  # what Ibis raises is its own business
        raise SchemaError(
            "this is no type that a column can have.",
            value=kind,
            hint="Use bb.Vector(n) for arrays.",
        ) from error


def _of_polars(kind: DataType | DataTypeClass) -> dt.DataType:
    import polars as pl
    from ibis.formats.polars import PolarsType

    if isinstance(kind, pl.Array):  # whose length Ibis forgets
        return dt.Array(_of_polars(kind.inner), length=kind.size)
    if isinstance(kind, pl.List):
        return dt.Array(_of_polars(kind.inner))
    if isinstance(kind, pl.Struct):
        return dt.Struct({field.name: _of_polars(field.dtype) for field in kind.fields})
    if kind == pl.Categorical or kind == pl.Enum:  # noqa: PLR1714 - classes are equal, not hashed, so
        return dt.string
    return PolarsType.to_ibis(kind)


def of_pydantic(kind: Any) -> dt.DataType | None:
    """Read pydantic's own types (`HttpUrl`, `SecretStr`) as what they are in JSON."""
    if not hasattr(kind, "__get_pydantic_core_schema__"):
        return None
    import pydantic

    try:
        json_type = pydantic.TypeAdapter(kind).json_schema().get("type")
    except pydantic.PydanticUserError:
        return None
    types = {"string": dt.String, "integer": dt.Int64, "number": dt.Float64, "boolean": dt.Boolean}
    return types[json_type]() if json_type in types else Json()
