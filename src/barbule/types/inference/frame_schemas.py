"""Schemas of data frames and Arrow tables.

Infers the types of the columns of pandas, polars and Arrow, and which levels of a pandas index are
columns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt

from barbule.errors import SchemaError
from barbule.types.annotations import dtype
from barbule.types.inference.value_types import no_value_error, type_of_column
from barbule.types.schemas import schema

if TYPE_CHECKING:
    from collections.abc import Callable

    import ibis.expr.schema as sch
    import pandas as pd
    import polars as pl
    import pyarrow as pa

__all__ = ["FRAME_SCHEMAS", "no_rows_error", "series_hint", "with_index"]


def series_hint(source: object) -> str:
    """Return the hint for a column or row of another library that is passed instead of rows, or "".

    Examples
    --------
    >>> import pyarrow as pa
    >>> series_hint(pa.array([1]))
    'An array is a single column: pass pyarrow.table({"n": array}).'
    >>> series_hint([1])
    ''
    """
    library, name = type(source).__module__.split(".")[0], type(source).__name__
    if library == "pyarrow" and name.endswith("Array"):
        return 'An array is a single column: pass pyarrow.table({"n": array}).'
    if library == "pandas" and name.endswith("Index"):
        return 'An index is a single column: pass index.to_frame(name="n").'
    if library not in {"pandas", "polars"} or name != "Series":
        return ""
    row = ", or series.to_dict() if it is a row" if library == "pandas" else ""
    return f'A series is a single column: pass series.to_frame("n"){row}.'


def no_rows_error(source: object) -> SchemaError:
    """Return the error for a value from which no schema can be inferred."""
    return SchemaError(
        "a schema cannot be inferred from this.",
        value=source,
        hint=series_hint(source)
        or "Pass a list of mappings or objects, a data frame, an Arrow table or an Ibis table.",
    )


def with_index(frame: Any) -> Any:
    """Convert the named index levels of a pandas data frame to columns.

    Levels without a name, or with the name of a column, are left out; anything but a pandas data
    frame is returned unchanged.

    Examples
    --------
    >>> import pandas
    >>> frame = pandas.DataFrame({"shop": ["a", "a"], "sold": [1, 2]}).groupby("shop").sum()
    >>> list(with_index(frame).columns)
    ['shop', 'sold']
    """
    if type(frame).__module__.split(".")[0] != "pandas" or not hasattr(frame, "index"):
        return frame
    levels = [name for name in frame.index.names if name is not None and name not in frame.columns]
    return frame.reset_index(level=levels) if levels else frame


def _of_pandas(frame: pd.DataFrame) -> sch.Schema:
    if not hasattr(frame, "columns"):
        raise no_rows_error(frame)
    frame = with_index(frame)
    kinds: dict[str, dt.DataType] = {}
    for index, name in enumerate(frame.columns):
        column = frame.iloc[:, index]
        if name in kinds:
            raise SchemaError(
                "two columns have the same name.", column=name, hint="Rename one of them."
            )
        kind = column.dtype
        if str(kind) == "category":
            kind = kind.categories.dtype
        objects = str(kind) == "object"
        kinds[name] = (
            type_of_column(name, column.tolist()) if objects else _type_of_known_column(name, kind)
        )
        if str(kind) == "datetime64[ns]" and _has_nanoseconds(column):
            kinds[name] = dt.Timestamp(scale=9)
    return schema(kinds)


def _has_nanoseconds(timestamps: pd.Series) -> bool:
    """Whether timestamps of pandas, whose unit is often the nanosecond, have nanoseconds."""
    return bool((timestamps.dropna().dt.nanosecond != 0).any())


def _of_polars(frame: pl.DataFrame | pl.LazyFrame) -> sch.Schema:
    import polars as pl

    if not isinstance(frame, pl.DataFrame | pl.LazyFrame):
        raise no_rows_error(frame)
    kinds = {
        name: type_of_column(name, frame.lazy().select(name).collect()[name].to_list())
        if kind == pl.Object
        else _type_of_known_column(name, kind)
        for name, kind in frame.collect_schema().items()
    }
    return schema(kinds)


def _of_arrow(rows: pa.Table | pa.Schema) -> sch.Schema:
    import pyarrow as pa

    arrow_schema = rows if isinstance(rows, pa.Schema) else getattr(rows, "schema", None)
    if not isinstance(arrow_schema, pa.Schema):
        raise no_rows_error(rows)
    if len(set(arrow_schema.names)) < len(arrow_schema.names):
        raise SchemaError(
            "two columns have the same name.", value=arrow_schema.names, hint="Rename one of them."
        )
    return schema(
        {
            field.name: _type_of_known_column(field.name, field).copy(nullable=field.nullable)
            for field in arrow_schema
        }
    )


FRAME_SCHEMAS: dict[str, Callable[[Any], sch.Schema]] = {
    "pandas": _of_pandas,
    "polars": _of_polars,
    "pyarrow": _of_arrow,
}


def _type_of_known_column(name: str, kind: object) -> dt.DataType:
    """Return the data type of a column whose type a data frame or Arrow table declares."""
    try:
        data_type = dtype(kind)
    except SchemaError as error:
        raise error.at(column=name) from error.__cause__
    if isinstance(data_type, dt.Null):
        raise no_value_error(name)
    return data_type
