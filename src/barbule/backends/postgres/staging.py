"""Arrow rows that Postgres reads: copied into tables, and staged tables of a query."""

from __future__ import annotations

import itertools
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import ibis.expr.operations as ops

from barbule.backends.postgres.sql import statements as sql
from barbule.backends.postgres.sql.literals import json_paths
from barbule.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import ibis.expr.schema as sch
    import ibis.expr.types as ir
    import pyarrow as pa
    import sqlglot.expressions as sge

    from barbule.backends.base import Staged
    from barbule.backends.postgres.connections.adbc import AdbcConnection
    from barbule.backends.postgres.sql.literals import JSONPaths

__all__ = ["ColumnFormat", "column_formats", "copy_rows", "unique_name", "with_staged_tables"]

# For rows that are written into the statement; creating a table for them takes 2 ms.
_MAX_INLINE_ROWS = 64
_MAX_INLINE_BYTES = 1 << 16
_counter = itertools.count()

ColumnFormat = tuple[str, "JSONPaths"]
"""The type of a column in Postgres, and the paths of JSON in it."""


def unique_name(kind: str) -> str:
    """Return a name that no connection of this process uses."""
    return f"bb_temporary_{kind}_{next(_counter)}"


def column_formats(connection: AdbcConnection, name: str) -> dict[str, ColumnFormat]:
    """Return the formats of a table's columns."""
    rows = connection.rows(sql.select_column_types(name))
    return {
        column: (type_name, sql.json_paths_of_comment(comment))
        for column, type_name, comment in rows
    }


def copy_rows(
    connection: AdbcConnection,
    name: str,
    rows: pa.Table,
    formats: Mapping[str, ColumnFormat],
    *,
    temporary: bool = False,
) -> None:
    """Append rows to a table with columns of these formats, matched by name.

    Raises
    ------
    DataError
        If a value does not fit; the message names its column, and its row if it is known.
    """
    from barbule.backends.postgres.arrow import to_copy_format

    renamed = rows.rename_columns([sql.stored_name(column) for column in rows.column_names])
    try:
        copied = to_copy_format(renamed, formats)
        connection.copy(sql.stored_name(name), copied, temporary=temporary)
    except DataError as error:
        raise _with_nul_cell(error, rows) from error.__cause__


def _with_nul_cell(error: DataError, rows: pa.Table) -> DataError:
    """Add to an error which cell contains NUL, if one does."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for name, column in zip(rows.column_names, rows.columns, strict=True):
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            row = pc.index(pc.match_substring(column, "\0"), True).as_py()
            if row >= 0:
                error.at(column=name, row=row)
                error.value = column[row].as_py()
                break
    return error


@contextmanager
def with_staged_tables(
    connection: AdbcConnection, tree: sge.Expression, query: ir.Expr, staged: Staged
) -> Iterator[sge.Expression]:
    """Complete a statement with the staged and in-memory tables that its query reads.

    Parameters
    ----------
    tree
        The statement.
    query
        The expression that it was compiled from; its leaves name the tables and their types.
    """
    sources: dict[str, sge.CTE] = {}
    temporary: list[str] = []
    try:
        for name, (schema, rows) in _tables_read(query, staged).items():
            if rows.num_rows <= _MAX_INLINE_ROWS and rows.nbytes <= _MAX_INLINE_BYTES:
                cells = [_python_values(column) for column in rows.columns]
                sources[name] = sql.values_cte(name, schema, [*zip(*cells, strict=True)])
            else:
                temporary.append(_create_temporary(connection, schema, rows))
                sources[name] = sql.table_cte(name, temporary[-1])
        yield sql.with_stored_names(sql.with_ctes(tree, list(sources.values())))
    finally:
        if not connection.failed and not connection.lost:  # else the server drops them
            for name in temporary:
                connection.run(sql.to_sql(sql.drop_table(name)))


def _tables_read(query: ir.Expr, staged: Staged) -> dict[str, tuple[sch.Schema, pa.Table]]:
    tables = {
        leaf.name: (leaf.schema, leaf.data.to_pyarrow(leaf.schema))
        for leaf in query.op().find(ops.InMemoryTable)
    }
    for leaf in query.op().find(ops.DatabaseTable):
        if leaf.name in staged:
            tables[leaf.name] = (leaf.schema, staged[leaf.name].select(leaf.schema.names))
    return tables


def _create_temporary(connection: AdbcConnection, schema: sch.Schema, rows: pa.Table) -> str:
    """Create a temporary table of rows; return its name."""
    name = unique_name("rows")
    connection.run(sql.to_sql(sql.create_table(name, schema, temporary=True)))
    created = column_formats(connection, name).items()
    formats = {
        column: (type_name, json_paths(dtype))
        for (column, (type_name, _)), dtype in zip(created, schema.types, strict=True)
    }
    copy_rows(connection, name, rows, formats, temporary=True)
    return name


def _python_values(column: pa.ChunkedArray) -> list[Any]:
    """Return the values of a column, with nanoseconds cut off: they would have pandas types."""
    import pyarrow as pa

    dtype = column.type
    if pa.types.is_timestamp(dtype) and dtype.unit == "ns":
        column = column.cast(pa.timestamp("us", dtype.tz), safe=False)
    elif pa.types.is_duration(dtype) and dtype.unit == "ns":
        column = column.cast(pa.duration("us"), safe=False)
    return column.to_pylist()
