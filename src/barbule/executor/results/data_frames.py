"""Rows as pandas objects, in which integers are not converted to floats.

Owns the columns that pandas itself would convert to floats: integers with missing values, and
numbers in lists and structs. Ibis converts other types.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ibis.expr.schema as sch
import ibis.expr.types as ir

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import numpy.typing as npt
    import pandas as pd
    import pyarrow as pa

__all__ = ["exact_frame", "pandas_result"]

_MAX_EXACT_FLOAT = 2**53  # up to here every integer is exact as a float


def exact_frame(rows: pa.Table) -> pd.DataFrame:
    """Return a data frame as Arrow does, with exact integers.

    Examples
    --------
    >>> import pyarrow as pa
    >>> exact_frame(pa.table({"n": [2**53 + 1, None]}))["n"].tolist()
    [9007199254740993, <NA>]
    """
    frame = rows.to_pandas()
    for index, column in enumerate(rows.columns):
        exact = _exact_column(column)
        if exact is not None:
            frame.isetitem(index, exact)
    return frame


def pandas_result(
    expr: ir.Expr, rows: pa.Table, schema: sch.Schema, *, nullable: bool = False
) -> Any:
    """Return rows in Ibis' form for a table, a column or a value, as for DuckDB.

    Parameters
    ----------
    schema
        The types of the columns, in storage form.
    nullable
        Whether integers with missing values become pandas' `Int64` and similar types. Ibis converts
        them to floats; by default this is done if these are the same numbers.
    """
    import pandas as pd
    import pyarrow.types as pat
    from ibis.backends.duckdb.converter import DuckDBPandasData

    is_scalar = isinstance(expr, ir.Scalar)
    columns, exact = {}, {}
    for name, column in zip(rows.column_names, rows.columns, strict=True):
        has_gaps = not is_scalar and column.null_count and pat.is_integer(column.type)
        if has_gaps and (nullable or not _fits_float(column)):
            exact[name] = _nullable_integers(column)
        by_value = pat.is_nested(column.type) or column.null_count
        columns[name] = column.to_pylist() if by_value else column.to_pandas()
    frame = DuckDBPandasData.convert_table(pd.DataFrame(columns), schema)
    if is_scalar:
        return expr.__pandas_result__(frame, schema=schema)
    for name, values in exact.items():
        frame[name] = values
    return frame[frame.columns[0]] if isinstance(expr, ir.Column) else frame


def _exact_column(
    column: pa.ChunkedArray,
) -> pd.arrays.IntegerArray | npt.NDArray[np.object_] | None:
    """Return a column with exact integers; None if Arrow's own has them."""
    import pyarrow.types as pat

    if pat.is_integer(column.type):
        return _nullable_integers(column) if column.null_count else None
    if not pat.is_nested(column.type) or not any(map(_has_gaps, column.chunks)):
        return None
    import numpy as np

    convert = _cell_converter(column.type)
    cells = np.empty(len(column), dtype=object)
    for row, value in enumerate(column.to_pylist()):
        cells[row] = None if value is None else convert(value)
    return cells


def _fits_float(column: pa.ChunkedArray) -> bool:
    """Whether integers are equal to their floats."""
    import pyarrow.compute as pc

    bounds = pc.min_max(column).as_py()
    return all(bound is None or abs(bound) <= _MAX_EXACT_FLOAT for bound in bounds.values())


def _nullable_integers(column: pa.ChunkedArray) -> pd.arrays.IntegerArray:
    """Return integers with missing values as pandas' `Int64` and similar types."""
    import numpy as np
    import pandas as pd

    missing = np.asarray(column.is_null())
    return pd.arrays.IntegerArray(column.fill_null(0).to_numpy(), missing)


def _has_gaps(values: pa.Array) -> bool:
    """Whether integers are missing in lists or structs."""
    import pyarrow.types as pat

    dtype = values.type
    if pat.is_integer(dtype):
        return bool(values.null_count)
    if pat.is_struct(dtype):
        return any(_has_gaps(values.field(index)) for index in range(dtype.num_fields))
    if pat.is_map(dtype):
        return _has_gaps(values.keys) or _has_gaps(values.items)
    if pat.is_list(dtype) or pat.is_large_list(dtype) or pat.is_fixed_size_list(dtype):
        return _has_gaps(values.flatten())
    return False


def _cell_converter(dtype: pa.DataType) -> Callable[[Any], Any]:
    """Return a function that converts a cell as Arrow does, with exact numbers."""
    import pyarrow.types as pat

    if pat.is_struct(dtype):
        fields = {
            dtype.field(index).name: _cell_converter(dtype.field(index).type)
            for index in range(dtype.num_fields)
        }
        return lambda cell: {
            name: None if cell[name] is None else convert(cell[name])
            for name, convert in fields.items()
        }
    if pat.is_map(dtype):
        key, item = _cell_converter(dtype.key_type), _cell_converter(dtype.item_type)
        return lambda cell: [(key(k), None if v is None else item(v)) for k, v in cell]
    if pat.is_list(dtype) or pat.is_large_list(dtype) or pat.is_fixed_size_list(dtype):
        return _list_converter(dtype.value_type)
    return lambda cell: cell


def _list_converter(value_type: pa.DataType) -> Callable[[Any], Any]:
    import numpy as np
    import pyarrow.types as pat

    convert, is_nested = _cell_converter(value_type), pat.is_nested(value_type)

    def to_array(cell: list[Any]) -> npt.NDArray[Any]:
        array = np.empty(len(cell), dtype=object)
        for index, value in enumerate(cell):
            array[index] = None if value is None else convert(value)
        return array if None in cell or is_nested else np.array(cell)

    return to_array
