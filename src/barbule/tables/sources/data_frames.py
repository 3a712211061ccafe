"""Data frames of pandas and polars, and structured NumPy arrays, as chunks.

Owns how their missing values and object columns are converted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from barbule.errors import DataError
from barbule.tables.sources.target import Chunk
from barbule.types import declaration
from barbule.types.inference.frame_schemas import with_index

if TYPE_CHECKING:
    from collections.abc import Iterator

    import ibis.expr.datatypes as dt
    import numpy as np
    import numpy.typing as npt
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from barbule.tables.sources.target import Target

__all__ = ["read_array", "read_pandas", "read_polars"]


def read_pandas(frame: pd.DataFrame, target: Target, size: int) -> Iterator[Chunk]:
    """Read a pandas data frame with the named levels of its index; its NaN means missing.

    Labels without a name are refused, unless they are integers.

    Examples
    --------
    >>> import ibis, pandas
    >>> from barbule.tables.sources.target import Target
    >>> target = Target(ibis.schema({"n": "float64"}), "t", None, {})
    >>> frame = pandas.DataFrame({"n": [1.0, None]})
    >>> [chunk.rows["n"].to_pylist() for chunk in read_pandas(frame, target, 10)]
    [[1.0, None]]
    """
    levels = [str(name) for name in frame.index.names if name is not None]
    frame = with_index(frame)
    _check_index([name for name in levels if name not in target.schema], target)
    _check_labels(frame.index, target)
    target.check_names([str(name) for name in frame.columns])
    for start in range(0, len(frame), size):
        yield _pandas_chunk(frame.iloc[start : start + size], target)


def _check_index(levels: list[str], target: Target) -> None:
    """Refuse an index whose name is not a column: its values would be lost."""
    if levels:
        raise DataError(
            "the name of the data frame's index is not a column of the table.",
            table=target.table,
            column=levels[0],
            hint="Rename it, or drop the index: frame.reset_index(drop=True).",
        )


def _check_labels(index: pd.Index, target: Target) -> None:
    """Refuse unnamed index labels that are data, such as timestamps: they would be lost.

    Integers are the positions of rows before the frame was filtered, sorted or concatenated.
    """
    for level, name in enumerate(index.names):
        labels = index.get_level_values(level)
        if name is None and len(labels) and labels.inferred_type not in _ROW_NUMBER_LABELS:
            raise DataError(
                f"the index of the data frame has no name, and its {labels.inferred_type} labels "
                "would be lost.",
                table=target.table,
                value=labels[0],
                hint='Make it a column, frame.rename_axis("label").reset_index(), or drop the '
                "index: frame.reset_index(drop=True).",
            )


_ROW_NUMBER_LABELS = {"integer", "integer-na"}


def _pandas_chunk(frame: pd.DataFrame, target: Target) -> Chunk:
    columns = {}
    for position, name in enumerate(map(str, frame.columns)):
        series = frame.iloc[:, position]
        objects = _object_values(series, target.schema[name])
        columns[name] = _arrow_column(series) if objects is None else objects
    return Chunk(columns)


def _arrow_column(series: pd.Series) -> pa.Array | list[Any]:
    import pyarrow as pa

    try:
        column = pa.array(series, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError, NotImplementedError):
        return _present_values(series.astype(object))  # sparse columns, for example
    if getattr(column.type, "extension_name", "").startswith("pandas."):
        return _present_values(series.astype(object))  # periods and intervals
    return column


def _object_values(series: pd.Series, dtype: dt.DataType) -> pa.Array | list[Any] | None:
    """Return the values of a column of Python objects; None for columns of other types."""
    import pyarrow as pa

    if series.dtype != object:
        return None
    values = _present_values(series)
    if declaration(dtype).json == "json" and set(map(type, values)) <= {str, type(None)}:
        return pa.array(values, pa.string())  # only strings are already JSON
    return values


def _present_values(series: pd.Series) -> list[Any]:
    missing = series.isna()
    values = series.tolist()
    if missing.any():
        return [
            None if is_missing else value for value, is_missing in zip(values, missing, strict=True)
        ]
    return values


def read_polars(frame: pl.DataFrame | pl.LazyFrame, size: int) -> Iterator[pa.Table]:
    """Read a polars data frame, or a lazy one while it is computed.

    Examples
    --------
    >>> import polars
    >>> [rows.num_rows for rows in read_polars(polars.LazyFrame({"n": [1, 2]}), 10)]
    [2]
    """
    import pyarrow as pa

    if not hasattr(frame, "collect"):
        reader = pa.RecordBatchReader.from_stream(frame)
        yield from (pa.Table.from_batches([batch], reader.schema) for batch in reader)
        return
    try:
        pieces = frame.collect_batches(chunk_size=size)
    except AttributeError:  # before polars 1.36
        pieces = [frame.collect()]
    yield from map(pa.table, pieces)


def read_array(array: npt.NDArray[np.void], target: Target, size: int) -> Iterator[Chunk]:
    """Read a structured NumPy array; its NaN are values.

    Examples
    --------
    >>> import ibis, numpy
    >>> from barbule.tables.sources.target import Target
    >>> target = Target(ibis.schema({"n": "int64"}), "t", None, {})
    >>> rows = numpy.array([(1,), (2,)], dtype=[("n", "i4")])
    >>> [chunk.rows["n"].to_pylist() for chunk in read_array(rows, target, 10)]
    [[1, 2]]
    """
    names = array.dtype.names
    if not names or array.ndim != 1:
        raise DataError(
            f"a NumPy array of shape {array.shape} and type {array.dtype} cannot be inserted as "
            "rows.",
            table=target.table,
            hint="Insert a structured array, whose fields have the names of columns, or a dict "
            "for each row.",
        )
    target.check_names(names)
    for start in range(0, len(array), size):
        rows = array[start : start + size]
        yield Chunk({name: _field_values(rows[name]) for name in names})


def _field_values(values: npt.NDArray[Any]) -> pa.Array | list[Any]:
    import pyarrow as pa

    if values.ndim > 1 or values.dtype == object:
        return list(values)
    try:
        return pa.array(values)
    except pa.ArrowException:  # hours and minutes, and numbers that Arrow does not have
        return list(values)
