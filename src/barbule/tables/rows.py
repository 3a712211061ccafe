"""What users insert, as Arrow tables in storage form.

Owns the reading of rows, data frames, Arrow tables and expressions, and the checks that each
value fits its column. Nothing is written here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt
import ibis.expr.schema as sch
import ibis.expr.types as ir

from barbule.errors import BarbuleError, DataError
from barbule.media.cells import arrow_type, to_array
from barbule.types import Media

if TYPE_CHECKING:
    import pyarrow as pa

    from barbule.media.library import MediaLibrary

__all__ = ["read_rows"]


def read_rows(source: Any, schema: sch.Schema, table: str, library: MediaLibrary) -> pa.Table:
    """Turn what a user inserts into an Arrow table with the columns of `schema`.

    Parameters
    ----------
    source
        A mapping, a list of mappings or of pydantic objects and dataclasses, a pandas or polars
        data frame, an Arrow table, or an Ibis expression.
    schema
        The columns that take data.

    Raises
    ------
    DataError
        When a column is unknown, a required value is missing, or a value does not fit; the
        error names table, column, row and value.
    MediaError
        When a media file is missing or unreadable.
    """
    if isinstance(source, Mapping) or _is_record(source):
        source = [source]
    elif type(source).__module__.split(".")[0] == "pandas":
        source = _from_pandas(source)
    if isinstance(source, list | tuple):
        rows = _from_records(source, schema, table, library)
    else:
        rows = _from_arrow(_as_arrow(source, table), schema, table, library)
    _require(rows, schema, table)
    _check_media(rows, schema, table, library)
    return rows


def _from_records(
    records: Sequence[Any], schema: sch.Schema, table: str, library: MediaLibrary
) -> pa.Table:
    import pyarrow as pa

    plain = [_record(record, row, table) for row, record in enumerate(records)]
    for row, record in enumerate(plain):
        for name in record:
            if name not in schema:
                raise _unknown(name, schema, table, row)
    columns = {}
    for name, kind in schema.items():
        values = [record.get(name) for record in plain]
        columns[name] = _converted(values, kind, name, table, library)
    return pa.table(columns)


def _is_record(value: Any) -> bool:
    return not isinstance(value, type) and (
        hasattr(value, "model_dump") or hasattr(value, "__dataclass_fields__")
    )


def _from_pandas(frame: Any) -> Any:
    """Turn a data frame into Arrow, or into records where a column mixes types."""
    import pyarrow as pa

    try:
        return pa.Table.from_pandas(frame, preserve_index=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError):  # our own checks name the row that does not fit
        return frame.astype(object).where(frame.notna(), None).to_dict("records")


def _record(record: Any, row: int, table: str) -> Mapping[str, Any]:
    if isinstance(record, Mapping):
        return record
    if hasattr(record, "model_dump"):
        return record.model_dump()
    if hasattr(record, "__dataclass_fields__"):
        return {name: getattr(record, name) for name in record.__dataclass_fields__}
    raise DataError(
        f"a row is a mapping of column names to values, not a {type(record).__name__}.",
        table=table,
        row=row,
        value=record,
        hint='For example {"name": "Up"}.',
    )


def _unknown(name: str, schema: sch.Schema, table: str, row: int | None = None) -> DataError:
    return DataError(
        "the table has no such column that takes data.",
        table=table,
        column=name,
        row=row,
        hint=f"It takes {', '.join(schema.names)}.",
    )


def _converted(
    values: Sequence[Any], kind: dt.DataType, name: str, table: str, library: MediaLibrary
) -> pa.Array:
    try:
        return to_array(values, kind, library)
    except BarbuleError as error:
        raise error.at(table=table, column=name) from error.__cause__


def _as_arrow(source: Any, table: str) -> pa.Table:
    import pyarrow as pa

    if isinstance(source, pa.Table):
        return source
    if isinstance(source, pa.RecordBatch):
        return pa.Table.from_batches([source])
    if isinstance(source, pa.RecordBatchReader):
        return source.read_all()
    if isinstance(source, ir.Table):
        return source.to_pyarrow()
    if hasattr(source, "__arrow_c_stream__"):  # polars and others
        return pa.table(source)
    raise DataError(
        f"a {type(source).__name__} cannot be inserted.",
        table=table,
        hint="Insert dicts, a list of dicts, a pandas or polars data frame, an Arrow table or "
        "an Ibis expression.",
    )


def _from_arrow(rows: pa.Table, schema: sch.Schema, table: str, library: MediaLibrary) -> pa.Table:
    import pyarrow as pa

    for name in rows.column_names:
        if name not in schema:
            raise _unknown(name, schema, table)
        if rows.column_names.count(name) > 1:
            raise DataError(
                "the column is there twice.", table=table, column=name, hint="Leave out one."
            )
    columns = {}
    for name, kind in schema.items():
        if name not in rows.column_names:
            columns[name] = pa.nulls(rows.num_rows, arrow_type(kind))
            continue
        column = rows.column(name)
        wanted = arrow_type(kind)
        if column.type == wanted and not isinstance(kind, Media | dt.UUID):
            columns[name] = column
            if isinstance(kind, dt.JSON):
                _check_json(column, name, table)
        elif _casts(column.type, kind):
            columns[name] = _cast(column, wanted, kind, name, table, library)
        else:
            columns[name] = _converted(column.to_pylist(), kind, name, table, library)
    return pa.table(columns)


def _casts(given: pa.DataType, kind: dt.DataType) -> bool:
    """Whether Arrow turns one type into the other without our help."""
    import pyarrow as pa

    if pa.types.is_temporal(given):
        return isinstance(kind, dt.Date | dt.Time | dt.Timestamp)
    number = pa.types.is_integer(given) or pa.types.is_floating(given)
    return (number or pa.types.is_decimal(given)) and isinstance(
        kind, dt.Integer | dt.Floating | dt.Decimal
    )


def _cast(
    column: pa.ChunkedArray,
    wanted: pa.DataType,
    kind: dt.DataType,
    name: str,
    table: str,
    library: MediaLibrary,
) -> pa.Array:
    import pyarrow as pa

    try:
        return column.cast(wanted)
    except pa.ArrowInvalid:  # find the row that does not fit, for the message
        return _converted(column.to_pylist(), kind, name, table, library)


def _check_json(column: pa.ChunkedArray, name: str, table: str) -> None:
    """Check that each text of a column is JSON, as it stands."""
    for row, text in enumerate(column.to_pylist()):
        try:
            json.loads("null" if text is None else text)
        except ValueError as error:
            raise DataError(
                f"this is no json: {error}.",
                table=table,
                column=name,
                row=row,
                value=text,
                hint="Texts of a data frame are read as JSON; write a plain text as json.dumps "
                "does.",
            ) from error


def _require(rows: pa.Table, schema: sch.Schema, table: str) -> None:
    import pyarrow.compute as pc

    for name, kind in schema.items():
        column = rows.column(name)
        if not kind.nullable and column.null_count:
            row = pc.index(column.is_null(), True).as_py()
            raise DataError(
                "the column is required, and this row has no value for it.",
                table=table,
                column=name,
                row=row,
                hint="Give a value, or make the column nullable.",
            )


def _check_media(rows: pa.Table, schema: sch.Schema, table: str, library: MediaLibrary) -> None:
    for name, kind in schema.items():
        if not isinstance(kind, Media):
            continue
        for row, reference in enumerate(rows.column(name).to_pylist()):
            if reference is None:
                continue
            try:
                library.check(reference, kind)
            except BarbuleError as error:
                raise error.at(table=table, column=name, row=row) from error.__cause__
