"""Cells in text formats: CSV, JSON, metadata of folders, members of archives.

Defines how values are written that these formats have no type for: bytes as base64, durations as
ISO 8601, long decimals as strings, nested values as JSON. `tables.sources` reads them again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from barbule.json_codec import to_readable
from barbule.types import declaration
from barbule.types.declarations.nested import CellForm, leaves, optional

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import ibis.expr.datatypes as dt
    import ibis.expr.schema as sch
    import pyarrow as pa

    Writer = Callable[[Any], Any]

__all__ = ["as_file_columns", "file_columns", "json_writer"]

_MAX_EXACT_DIGITS = 15  # of a decimal that a double represents uniquely


def json_writer(kind: dt.DataType) -> Writer | None:
    """Return the function that converts an Arrow cell to a JSON value; None for the cell itself.

    Examples
    --------
    >>> import ibis.expr.datatypes as dt
    >>> json_writer(dt.binary)(b"hooks"), json_writer(dt.int64)
    ('aG9va3M=', None)
    """
    return _FORM.converter(kind)


def _key_writer(kind: dt.DataType) -> Writer:
    write = json_writer(kind)

    def key_text(key: object) -> str:
        plain = optional(write, key)
        return plain if isinstance(plain, str) else to_readable(plain)

    return key_text


_FORM = CellForm(lambda leaf: declaration(leaf).to_file(leaf), key=_key_writer)


def _is_written_by_duckdb(kind: dt.DataType) -> bool:
    """Whether DuckDB writes values of a type as JSON without loss."""
    return all(declaration(leaf).by_duckdb(leaf) for leaf in leaves(kind, keys=False))


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
        declared = declaration(kind)
        if declared.is_nested:
            native = _is_written_by_duckdb(kind)
            if form == "csv" and native:
                writers[name] = None
            elif not native:
                writers[name] = _json_cell(json_writer(kind))
        elif declared.by_duckdb(kind) or declared.json == "json":
            continue
        elif form == "json" or declared.family != "number":  # a decimal is a string in CSV
            writers[name] = json_writer(kind)
    return writers


def _json_cell(write: Writer | None) -> Writer:
    return lambda value: to_readable(optional(write, value))


def as_file_columns(
    rows: pa.RecordBatchReader, writers: Mapping[str, Writer | None], schema: sch.Schema
) -> pa.RecordBatchReader:
    """Replace the columns of `file_columns` with strings; nested ones are JSON."""
    import pyarrow as pa

    names = [name for name, write in writers.items() if write is not None]
    fields = {field.name: field for field in rows.schema}
    for name in names:
        fields[name] = pa.field(name, pa.string())
        if declaration(schema[name]).is_nested:
            fields[name] = fields[name].with_metadata({"ARROW:extension:name": "arrow.json"})
    text_schema = pa.schema(list(fields.values()))

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in rows:
            columns = dict(zip(batch.schema.names, batch.columns, strict=True))
            for name in names:
                values = columns[name].to_pylist()
                texts = [optional(writers[name], value) for value in values]
                columns[name] = pa.array(texts, pa.string())
            yield pa.RecordBatch.from_arrays(list(columns.values()), schema=text_schema)

    return pa.RecordBatchReader.from_batches(text_schema, batches())
