"""CSV and JSON files, written by DuckDB from rows of any backend.

Owns the writing; what cells are in such a file is said by `io.file_values`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from barbule.errors import BarbuleError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    import pyarrow as pa

__all__ = ["write_text_file"]

_ROWS = "bb_rows"


def write_text_file(
    verb: str,
    rows: pa.RecordBatchReader,
    path: Any,
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
        What Ibis' DuckDB backend takes beside.
    as_json
        Columns whose values are written as texts of JSON.
    lines
        Whether a file of JSON has an object in each line, and is no list.
    """
    import ibis

    failures: list[BarbuleError] = []
    writer = ibis.duckdb.connect()
    try:
        writer.con.register(_ROWS, _noting(rows, failures))
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
        if failures:  # DuckDB makes a text of it
            raise failures[0] from None
        raise
    finally:
        writer.disconnect()


def _write_lines(
    writer: Any,
    table: Any,
    path: Any,
    *,
    compression: str = "auto",
    dateformat: str | None = None,
    timestampformat: str | None = None,
) -> None:
    """Write JSON lines: Ibis' `to_json` always writes a list."""
    given = {
        "COMPRESSION": compression, "DATEFORMAT": dateformat, "TIMESTAMPFORMAT": timestampformat
    }  # fmt: skip
    told = ", ".join(f"{name} {_quoted(value)}" for name, value in given.items() if value)
    query = writer.compile(table)
    writer.raw_sql(f"COPY ({query}) TO {_quoted(path)} (FORMAT JSON, ARRAY FALSE, {told})")


def _quoted(value: Any) -> str:
    text = str(value).replace("'", "''")
    return f"'{text}'"


def _noting(rows: pa.RecordBatchReader, failures: list[BarbuleError]) -> pa.RecordBatchReader:
    """Read rows, and note the error that ends them."""
    import pyarrow as pa

    def batches() -> Iterator[pa.RecordBatch]:
        try:
            yield from rows
        except BarbuleError as error:
            failures.append(error)
            raise

    return pa.RecordBatchReader.from_batches(rows.schema, batches())
