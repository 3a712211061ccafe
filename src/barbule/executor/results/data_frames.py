"""Rows as pandas objects, in which whole numbers stay whole.

Owns the forms for which pandas, left alone, has floats: columns with missing values, and numbers
within lists and structs. What Ibis makes of other types is left to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ibis.expr.schema as sch
import ibis.expr.types as ir

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd
    import pyarrow as pa

__all__ = ["exact_frame", "pandas_of"]

_EXACT = 2**53  # up to here every whole number is a float


def exact_frame(rows: pa.Table) -> pd.DataFrame:
    """Make a data frame as Arrow does, with whole numbers as they are.

    Examples
    --------
    >>> import pyarrow as pa
    >>> exact_frame(pa.table({"n": [2**53 + 1, None]}))["n"].tolist()
    [9007199254740993, <NA>]
    """
    frame = rows.to_pandas()
    for place, column in enumerate(rows.columns):
        exact = _exact(column)
        if exact is not None:
            frame.isetitem(place, exact)
    return frame


def pandas_of(expr: ir.Expr, rows: pa.Table, kinds: sch.Schema, *, nullable: bool = False) -> Any:
    """Give rows the form that Ibis has for a table, a column or a value, as it does for DuckDB.

    Parameters
    ----------
    kinds
        The types of the columns, in storage form.
    nullable
        Whether whole numbers of which some are missing are pandas' `Int64` and the like. Ibis
        makes floats of them; otherwise it is done only where these would be other numbers.
    """
    import pandas as pd
    import pyarrow.types as pat
    from ibis.backends.duckdb.converter import DuckDBPandasData

    whole = not isinstance(expr, ir.Scalar)
    columns, exact = {}, {}
    for name, column in zip(rows.column_names, rows.columns, strict=True):
        gaps = whole and column.null_count and pat.is_integer(column.type)
        if gaps and (nullable or not _fits_float(column)):
            exact[name] = _nullable(column)
        lists = pat.is_nested(column.type) or column.null_count
        columns[name] = column.to_pylist() if lists else column.to_pandas()
    frame = DuckDBPandasData.convert_table(pd.DataFrame(columns), kinds)
    if isinstance(expr, ir.Scalar):
        return expr.__pandas_result__(frame, schema=kinds)
    for name, values in exact.items():
        frame[name] = values
    return frame[frame.columns[0]] if isinstance(expr, ir.Column) else frame


def _exact(column: pa.ChunkedArray) -> Any:
    """Return the form of a column in which whole numbers stay so; None where Arrow's is one."""
    import pyarrow.types as pat

    if pat.is_integer(column.type):
        return _nullable(column) if column.null_count else None
    if not pat.is_nested(column.type) or not any(map(_has_gaps, column.chunks)):
        return None
    import numpy as np

    cell = _reader(column.type)
    cells = np.empty(len(column), dtype=object)
    for row, value in enumerate(column.to_pylist()):
        cells[row] = None if value is None else cell(value)
    return cells


def _fits_float(column: pa.ChunkedArray) -> bool:
    """Whether whole numbers are the same as floats."""
    import pyarrow.compute as pc

    bounds = pc.min_max(column).as_py()
    return all(each is None or abs(each) <= _EXACT for each in bounds.values())


def _nullable(column: pa.ChunkedArray) -> Any:
    """Return whole numbers, some of them missing, as pandas' `Int64` and the like."""
    import numpy as np
    import pandas as pd

    missing = np.asarray(column.is_null())
    return pd.arrays.IntegerArray(column.fill_null(0).to_numpy(), missing)


def _has_gaps(values: pa.Array) -> bool:
    """Whether whole numbers are missing within lists or structs."""
    import pyarrow.types as pat

    kind = values.type
    if pat.is_integer(kind):
        return bool(values.null_count)
    if pat.is_struct(kind):
        return any(_has_gaps(values.field(place)) for place in range(kind.num_fields))
    if pat.is_map(kind):
        return _has_gaps(values.keys) or _has_gaps(values.items)
    if pat.is_list(kind) or pat.is_large_list(kind) or pat.is_fixed_size_list(kind):
        return _has_gaps(values.flatten())
    return False


def _reader(kind: pa.DataType) -> Callable[[Any], Any]:
    """Return what makes of a cell what Arrow does, lists being arrays, with exact numbers."""
    import pyarrow.types as pat

    if pat.is_struct(kind):
        fields = {
            kind.field(place).name: _reader(kind.field(place).type)
            for place in range(kind.num_fields)
        }
        return lambda cell: {
            n: None if cell[n] is None else read(cell[n]) for n, read in fields.items()
        }
    if pat.is_map(kind):
        key, item = _reader(kind.key_type), _reader(kind.item_type)
        return lambda cell: [(key(k), None if v is None else item(v)) for k, v in cell]
    if pat.is_list(kind) or pat.is_large_list(kind) or pat.is_fixed_size_list(kind):
        return _list_reader(kind.value_type)
    return lambda cell: cell


def _list_reader(inside: pa.DataType) -> Callable[[Any], Any]:
    import numpy as np
    import pyarrow.types as pat

    read, nested = _reader(inside), pat.is_nested(inside)

    def array(cell: list[Any]) -> Any:
        made = np.empty(len(cell), dtype=object)
        for place, value in enumerate(cell):
            made[place] = None if value is None else read(value)
        return made if None in cell or nested else np.array(cell)

    return array
