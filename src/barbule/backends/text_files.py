"""CSV and JSON files, written by DuckDB from rows of any backend.

Owns the writing; `io.file_values` converts the values of cells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from barbule.errors import BarbuleError

if TYPE_CHECKING:
    import os
    from collections.abc import Collection, Iterator, Mapping

    import ibis.expr.types as ir
    import pyarrow as pa
    from ibis.backends.duckdb import Backend

__all__ = ["write_text_file"]

_ROWS = "bb_rows"


def write_text_file(
    verb: str,
    rows: pa.RecordBatchReader,
    path: str | os.PathLike[str],
    options: Mapping[str, Any],
    *,
    as_json: Collection[str] = (),
    lines: bool = False,
) -> None:
    """Write rows into a file.

    Parameters
    ----------
    verb
        "to_csv" or "to_json".
    options
        Other options of the method of Ibis' DuckDB backend.
    as_json
        Columns whose values are written as JSON strings.
    lines
        Whether a JSON file has an object on each line, instead of one list.
    """
    import ibis

    failures: list[BarbuleError] = []
    writer = ibis.duckdb.connect()
    try:
        writer.con.register(_ROWS, _recording_failures(rows, failures))
        table = writer.table(_ROWS)
        if as_json:
            table = table.mutate(
                {name: table[name].cast("json").cast("string") for name in as_json}
            )
        if lines:
            _write_lines(writer, table, path, **options)
        else:
            getattr(writer, verb)(table, path, **options)
    except Exception:
        if failures:  # DuckDB raises only its message
            raise failures[0] from None
        raise
    finally:
        writer.disconnect()


def _write_lines(
    writer: Backend,
    table: ir.Table,
    path: str | os.PathLike[str],
    *,
    compression: str = "auto",
    dateformat: str | None = None,
    timestampformat: str | None = None,
) -> None:
    """Write JSON lines: Ibis' `to_json` always writes a list."""
    settings = {
        "COMPRESSION": compression, "DATEFORMAT": dateformat, "TIMESTAMPFORMAT": timestampformat
    }  # fmt: skip
    clauses = ", ".join(f"{name} {_quoted(value)}" for name, value in settings.items() if value)
    query = writer.compile(table)
    writer.raw_sql(f"COPY ({query}) TO {_quoted(path)} (FORMAT JSON, ARRAY FALSE, {clauses})")


def _quoted(value: object) -> str:
    text = str(value).replace("'", "''")
    return f"'{text}'"


def _recording_failures(
    rows: pa.RecordBatchReader, failures: list[BarbuleError]
) -> pa.RecordBatchReader:
    """Read rows, and record the error that ends them."""
    import pyarrow as pa

    def batches() -> Iterator[pa.RecordBatch]:
        try:
            yield from rows
        except BarbuleError as error:
            failures.append(error)
            raise

    return pa.RecordBatchReader.from_batches(rows.schema, batches())
