"""Types of other libraries as column types: NumPy, pandas, polars, Arrow and pydantic."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt

from barbule.errors import SchemaError
from barbule.types.arrow import of_arrow, of_arrow_field
from barbule.types.data_types import Json
from barbule.types.declarations.storage_forms import canonical

if TYPE_CHECKING:
    from polars.datatypes import DataType, DataTypeClass

__all__ = ["of_library", "of_pydantic"]

# The libraries whose types Ibis converts.
_LIBRARIES = {"numpy", "pandas", "polars", "pyarrow"}


def of_library(kind: object) -> dt.DataType | None:
    """Return the data type of a type of NumPy, pandas, polars or Arrow, None for others."""
    owner = kind if inspect.isclass(kind) else type(kind)
    library = owner.__module__.split(".")[0]
    if library not in _LIBRARIES:
        return None
    try:
        if library == "polars":
            return _of_polars(kind)
        if library == "pyarrow":
            named = hasattr(kind, "nullable")  # a field, whose metadata may mark Json
            return canonical(of_arrow_field(kind) if named else of_arrow(kind))
        if library == "numpy" and inspect.isclass(kind):
            import numpy as np

            kind = np.dtype(kind)
        return canonical(dt.dtype(kind))
    except Exception as error:  # Ibis raises various errors
        raise SchemaError(
            "this is not a supported column type.",
            value=kind,
            hint="Use bb.Vector(n) for arrays.",
        ) from error


def _of_polars(kind: DataType | DataTypeClass) -> dt.DataType:
    import polars as pl
    from ibis.formats.polars import PolarsType

    if isinstance(kind, pl.Array):  # Ibis drops its length
        return dt.Array(_of_polars(kind.inner), length=kind.size)
    if isinstance(kind, pl.List):
        return dt.Array(_of_polars(kind.inner))
    if isinstance(kind, pl.Struct):
        return dt.Struct({field.name: _of_polars(field.dtype) for field in kind.fields})
    if kind == pl.Categorical or kind == pl.Enum:  # noqa: PLR1714 - classes are equal, not hashed, so
        return dt.string
    return PolarsType.to_ibis(kind)


def of_pydantic(kind: Any) -> dt.DataType | None:
    """Return the data type of a pydantic type (`HttpUrl`, `SecretStr`) by its JSON schema."""
    if not hasattr(kind, "__get_pydantic_core_schema__"):
        return None
    import pydantic

    try:
        json_type = pydantic.TypeAdapter(kind).json_schema().get("type")
    except pydantic.PydanticUserError:
        return None
    types = {"string": dt.String, "integer": dt.Int64, "number": dt.Float64, "boolean": dt.Boolean}
    return types[json_type]() if json_type in types else Json()
