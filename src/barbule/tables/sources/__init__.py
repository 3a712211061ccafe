"""Inserted data, as Arrow tables in storage form.

Owns the reading of all sources of rows (records, data frames, Arrow, files, Ibis expressions) in
batches of bounded size, and the checks that each value fits its column. Nothing is written here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from barbule.errors import BarbuleError, DataError
from barbule.relations.errors.formatted_strings import formatted_row
from barbule.tables.sources.arrow_streams import rechunked
from barbule.tables.sources.source import as_rows, open_source
from barbule.tables.sources.target import FAILED_PREFIX, CellRules, Target, check_choices
from barbule.tracing import span

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import ibis.expr.schema as sch
    import pyarrow as pa

    from barbule.media.library import MediaLibrary
    from barbule.tables.arguments import RowSource
    from barbule.tables.sources.target import Chunk

__all__ = [
    "FAILED_PREFIX",
    "CellRules",
    "as_rows",
    "check_choices",
    "read_batches",
    "read_rows",
]

_BATCH_ROWS = 65_536


def read_batches(
    source: RowSource,
    schema: sch.Schema,
    table: str,
    library: MediaLibrary,
    *,
    size: int = _BATCH_ROWS,
    defaults: Mapping[str, Any] | None = None,
    rules: CellRules | None = None,
) -> Iterator[pa.Table]:
    """Read inserted data as Arrow tables with the columns of `schema`.

    Nothing is read before the first table is requested, and at most one batch of a stream is kept
    in memory. No table is empty; an empty source yields none.

    Parameters
    ----------
    source
        A mapping; a list, generator or other iterable of mappings, pydantic objects,
        dataclasses or named tuples; a pandas or polars data frame, a structured NumPy array;
        an Arrow table, batch, reader or dataset, or anything with `__arrow_c_stream__`; the
        path, glob or URL of Parquet, CSV, JSON, Excel or Arrow files, or a list of such; an
        Ibis expression.
    schema
        The data columns.
    table
        The name of the table, for errors.
    size
        The maximum number of rows of a batch.
    defaults
        Default values for columns that a record or an entire source omits; a value given as None
        stays missing.
    rules
        The policy for invalid media; if cells may be left empty, there are columns with the errors.

    Raises
    ------
    DataError
        If a column is unknown, a required value is missing, a value does not fit, or a file cannot
        be read; the error names table, column, row (of the entire source, from 0), value and file.
    MediaError
        If a media file is missing or unreadable.

    Examples
    --------
    >>> import ibis
    >>> from pathlib import Path
    >>> from barbule.media.library import MediaLibrary
    >>> library = MediaLibrary("memory://media", Path("cache"))
    >>> films = ({"name": f"film {n}"} for n in range(3))
    >>> schema = ibis.schema({"name": "string", "year": "int64"})
    >>> [rows.num_rows for rows in read_batches(films, schema, "films", library, size=2)]
    [2, 1]
    """
    target = Target(schema, table, library, dict(defaults or {}), rules or CellRules())
    # Rows with media arrive in small batches; together they are only references.
    return rechunked(_convert_chunks(_open_lazily(source, target, size), target), size)


def _open_lazily(source: RowSource, target: Target, size: int) -> Iterator[Chunk]:
    yield from open_source(source, target, size)


def _convert_chunks(chunks: Iterable[Chunk], target: Target) -> Iterator[pa.Table]:
    origin, first_row, row_count = None, 0, 0
    chunks = iter(chunks)
    while True:
        try:
            chunk = next(chunks, None)
        except BarbuleError as error:
            raise error.at(table=target.table) from error.__cause__
        if chunk is None:
            return
        if chunk.origin != origin:
            origin, first_row = chunk.origin, row_count
        try:
            with span("convert", "to Arrow") as traced:
                rows = target.convert(chunk)
                if traced:
                    traced.set(rows=rows.num_rows, bytes=rows.nbytes)
            _refuse_formatted_expressions(rows)
        except BarbuleError as error:
            raise _with_location(
                error, target.table, chunk, row_count, first_row
            ) from error.__cause__
        row_count += rows.num_rows
        if rows.num_rows:
            yield rows


def _refuse_formatted_expressions(rows: pa.Table) -> None:
    """Refuse strings into which an expression was formatted in this process."""
    for name, column in zip(rows.column_names, rows.columns, strict=True):
        if (row := formatted_row(column)) is not None:
            raise DataError(
                "a column was formatted into a string, which holds its definition instead of its "
                "values.",
                column=name,
                row=row,
                value=column[row].as_py(),
                hint='Compute the string: t.update({"s": t.name + "!"}), or insert a query, '
                't.insert(t.select(s=t.name + "!")). To store the definition itself, use '
                'f"{t.name!r}".',
            )


def _with_location(
    error: BarbuleError, table: str, chunk: Chunk, done: int, begin: int
) -> BarbuleError:
    """Add the row in its source, and the file, to an error."""
    row = error.row
    if row is not None:
        error.row = row + done
    if chunk.origin is not None:
        location = f"in {chunk.origin!r}"
        if row is not None:
            location += f", row {row + done - begin}"
        error.message = f"{error.message.rstrip('.')} ({location})."
    return error.at(table=table)


def read_rows(
    source: RowSource,
    schema: sch.Schema,
    table: str,
    library: MediaLibrary,
    *,
    defaults: Mapping[str, Any] | None = None,
    rules: CellRules | None = None,
) -> pa.Table:
    """Read all inserted data at once; see `read_batches`.

    Examples
    --------
    >>> import ibis
    >>> from pathlib import Path
    >>> from barbule.media.library import MediaLibrary
    >>> library = MediaLibrary("memory://media", Path("cache"))
    >>> read_rows({"n": 1}, ibis.schema({"n": "int64"}), "t", library).to_pylist()
    [{'n': 1}]
    """
    import pyarrow as pa

    target = Target(schema, table, library, dict(defaults or {}), rules or CellRules())
    batches = list(_convert_chunks(_open_lazily(source, target, _BATCH_ROWS), target))
    if not batches:
        return target.arrow_schema.empty_table()
    return batches[0] if len(batches) == 1 else pa.concat_tables(batches)
