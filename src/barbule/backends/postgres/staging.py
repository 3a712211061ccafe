"""Rows on their way into Postgres: into its tables, and beside them for one query.

Owns the copying of Arrow tables and what makes staged and in-memory tables readable.
"""

from __future__ import annotations

import itertools
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import ibis.expr.operations as ops

from barbule.backends.postgres.sql import statements as sql
from barbule.backends.postgres.sql.literals import json_places
from barbule.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import ibis.expr.schema as sch
    import ibis.expr.types as ir
    import pyarrow as pa
    import sqlglot.expressions as sge

    from barbule.backends.base import Staged
    from barbule.backends.postgres.connections.connection import Connection

__all__ = ["copy_rows", "fresh_name", "kinds_of", "readable"]

# So few rows are written into the statement itself; a table for them takes 2 ms.
_FEW_ROWS = 64
_FEW_BYTES = 1 << 16
_numbers = itertools.count()


def fresh_name(kind: str) -> str:
    """Return a name that is not taken on any connection of this process."""
    return f"bb_temporary_{kind}_{next(_numbers)}"


def kinds_of(connection: Connection, name: str) -> dict[str, tuple[str, Any]]:
    """Return the types of a table's columns, and where they hold JSON."""
    rows = connection.rows(sql.column_types(name))
    return {column: (kind, sql.noted(comment)) for column, kind, comment in rows}


def copy_rows(
    connection: Connection,
    name: str,
    rows: pa.Table,
    kinds: Mapping[str, tuple[str, Any]],
    *,
    temporary: bool = False,
) -> None:
    """Append rows to a table with columns of these types, matched by name.

    Raises
    ------
    DataError
        When a value does not fit; its column and row are named as far as they are known.
    """
    from barbule.backends.postgres.arrow import outgoing

    renamed = rows.rename_columns([sql.short(column) for column in rows.column_names])
    try:
        connection.copy(sql.short(name), outgoing(renamed, kinds), temporary=temporary)
    except DataError as error:
        raise _placed(error, rows) from error.__cause__


def _placed(error: DataError, rows: pa.Table) -> DataError:
    """Say which cell holds the character that Postgres does not keep."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for name, column in zip(rows.column_names, rows.columns, strict=True):
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            found = pc.index(pc.match_substring(column, "\0"), True).as_py()
            if found >= 0:
                error.at(column=name, row=found)
                error.value = column[found].as_py()
                break
    return error


@contextmanager
def readable(
    connection: Connection, tree: sge.Expression, query: ir.Expr, staged: Staged
) -> Iterator[sge.Expression]:
    """Complete a statement with the rows that its query reads beside the database's.

    Parameters
    ----------
    tree
        The statement.
    query
        The expression that it comes from; its leaves say which rows are read, and as what.
    """
    sources: dict[str, sge.CTE] = {}
    temporary: list[str] = []
    try:
        for name, (schema, rows) in _beside(query, staged).items():
            if rows.num_rows <= _FEW_ROWS and rows.nbytes <= _FEW_BYTES:
                cells = [_plain(column) for column in rows.columns]
                sources[name] = sql.values_named(name, schema, [*zip(*cells, strict=True)])
            else:
                temporary.append(_temporary(connection, schema, rows))
                sources[name] = sql.table_named(name, temporary[-1])
        yield sql.shortened(sql.with_sources(tree, list(sources.values())))
    finally:
        if not connection.failed and not connection.lost:  # else they are gone by themselves
            for name in temporary:
                connection.run(sql.text(sql.drop(name)))


def _beside(query: ir.Expr, staged: Staged) -> dict[str, tuple[sch.Schema, pa.Table]]:
    found = {
        leaf.name: (leaf.schema, leaf.data.to_pyarrow(leaf.schema))
        for leaf in query.op().find(ops.InMemoryTable)
    }
    for leaf in query.op().find(ops.DatabaseTable):
        if leaf.name in staged:
            found[leaf.name] = (leaf.schema, staged[leaf.name].select(leaf.schema.names))
    return found


def _temporary(connection: Connection, schema: sch.Schema, rows: pa.Table) -> str:
    name = fresh_name("rows")
    connection.run(sql.text(sql.create(name, schema, temporary=True)))
    made = kinds_of(connection, name).items()
    kinds = {
        column: (kind, json_places(dtype))
        for (column, (kind, _)), dtype in zip(made, schema.types, strict=True)
    }
    copy_rows(connection, name, rows, kinds, temporary=True)
    return name


def _plain(column: pa.ChunkedArray) -> list[Any]:
    """Return the values of a column, without pandas' types for what is finer than Python's."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_timestamp(kind) and kind.unit == "ns":
        column = column.cast(pa.timestamp("us", kind.tz), safe=False)
    elif pa.types.is_duration(kind) and kind.unit == "ns":
        column = column.cast(pa.duration("us"), safe=False)
    return column.to_pylist()
