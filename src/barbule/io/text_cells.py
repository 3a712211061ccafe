"""Cells in text formats: CSV, JSON, metadata of folders, members of archives.

Defines how values are written that these formats have no type for: bytes as base64, durations as
ISO 8601, long decimals as strings, nested values as JSON. `tables.sources` reads them again.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt

from barbule.json_codec import as_base64, iso_text, to_readable
from barbule.types.durations import duration_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import ibis.expr.schema as sch
    import pyarrow as pa

    Writer = Callable[[Any], Any]

__all__ = ["as_file_columns", "file_columns", "json_writer"]

_MAX_EXACT_DIGITS = 15  # of a decimal that a double represents uniquely


def json_writer(kind: dt.DataType) -> Writer | None:
    """Return the function that converts an Arrow cell to a JSON value; None for the cell itself.

    Examples
    --------
    >>> json_writer(dt.binary)(b"hooks"), json_writer(dt.int64)
    ('aG9va3M=', None)
    """
    if isinstance(kind, dt.Array):
        inner = json_writer(kind.value_type)
        return inner and (lambda items: [_write_value(item, inner) for item in items])
    if isinstance(kind, dt.Struct):
        return _struct_writer(kind)
    if isinstance(kind, dt.Map):
        return _map_writer(kind)
    if isinstance(kind, dt.Decimal):
        return str if _is_wide(kind) else float
    return next(
        (write for data_type, write in _WRITERS.items() if isinstance(kind, data_type)), None
    )


def _write_value(value: Any, write: Writer | None) -> Any:
    return value if value is None or write is None else write(value)


def _struct_writer(kind: dt.Struct) -> Writer | None:
    writers = {name: json_writer(field_kind) for name, field_kind in kind.fields.items()}
    if not any(writers.values()):
        return None
    return lambda fields: {
        name: _write_value(value, writers.get(name)) for name, value in fields.items()
    }


def _map_writer(kind: dt.Map) -> Writer:
    key_writer, value_writer = json_writer(kind.key_type), json_writer(kind.value_type)

    def key_text(key: object) -> str:
        plain = _write_value(key, key_writer)
        return plain if isinstance(plain, str) else to_readable(plain)

    return lambda pairs: {
        key_text(key): _write_value(value, value_writer) for key, value in dict(pairs).items()
    }


_WRITERS: dict[type[dt.DataType], Writer] = {
    dt.Binary: as_base64,
    dt.Interval: duration_text,
    dt.Timestamp: iso_text,
    dt.Date: iso_text,
    dt.Time: iso_text,
    dt.JSON: json.loads,
}


def _is_wide(kind: dt.Decimal) -> bool:
    return kind.precision is None or kind.precision > _MAX_EXACT_DIGITS


def _is_nested(kind: dt.DataType) -> bool:
    return isinstance(kind, dt.Array | dt.Struct | dt.Map)


def _is_written_by_duckdb(kind: dt.DataType) -> bool:
    """Whether DuckDB writes values of a type as JSON without loss."""
    if isinstance(kind, dt.Array | dt.Map):
        return _is_written_by_duckdb(kind.value_type)
    if isinstance(kind, dt.Struct):
        return all(map(_is_written_by_duckdb, kind.types))
    if isinstance(kind, dt.Decimal):
        return not _is_wide(kind)
    return not isinstance(kind, dt.Binary | dt.Interval | dt.JSON)


def file_columns(form: str, schema: sch.Schema) -> dict[str, Writer | None]:
    """Return the conversions of columns before DuckDB writes them into a file.

    Parameters
    ----------
    form
        "csv" or "json".

    Returns
    -------
    dict
        By column the function that converts a cell to a string; None if DuckDB writes the column as
        JSON. Other columns are left out.
    """
    writers: dict[str, Writer | None] = {}
    for name, kind in schema.items():
        if _is_nested(kind):
            native = _is_written_by_duckdb(kind)
            if form == "csv" and native:
                writers[name] = None
            elif not native:
                writers[name] = _json_cell(json_writer(kind))
        elif isinstance(kind, dt.Binary | dt.Interval) or (
            form == "json" and isinstance(kind, dt.Decimal) and _is_wide(kind)
        ):
            writers[name] = json_writer(kind)
    return writers


def _json_cell(write: Writer | None) -> Writer:
    return lambda value: to_readable(_write_value(value, write))


def as_file_columns(
    rows: pa.RecordBatchReader, writers: Mapping[str, Writer | None], schema: sch.Schema
) -> pa.RecordBatchReader:
    """Replace the columns of `file_columns` with strings; nested ones are JSON."""
    import pyarrow as pa

    names = [name for name, write in writers.items() if write is not None]
    fields = {field.name: field for field in rows.schema}
    for name in names:
        fields[name] = pa.field(name, pa.string())
        if _is_nested(schema[name]):
            fields[name] = fields[name].with_metadata({"ARROW:extension:name": "arrow.json"})
    text_schema = pa.schema(list(fields.values()))

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in rows:
            columns = dict(zip(batch.schema.names, batch.columns, strict=True))
            for name in names:
                values = columns[name].to_pylist()
                texts = [_write_value(value, writers[name]) for value in values]
                columns[name] = pa.array(texts, pa.string())
            yield pa.RecordBatch.from_arrays(list(columns.values()), schema=text_schema)

    return pa.RecordBatchReader.from_batches(text_schema, batches())
