"""How Arrow rows get into DuckDB's statements, and out of its answers."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import ibis.expr.operations as ops
import sqlglot.expressions as sge

from barbule.backends.base import RID, type_mismatch
from barbule.backends.duckdb.sql.statements import literals, name_of, quoted
from barbule.backends.intervals import durations

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import duckdb
    import ibis.expr.types as ir
    import pyarrow as pa

__all__ = [
    "AppendedRows",
    "fitted",
    "in_memory",
    "register",
    "registered",
    "shown_as_values",
    "unites",
    "written_in",
]

_APPENDED_ROWS = "bb_appended_rows"
_FEW_ROWS = 64
# What few rows may be made of to be written down; a bare whole number would be of any size.
_WRITTEN = {"int64": "BIGINT", "double": "DOUBLE", "string": "VARCHAR"}
_BEHIND = "_arrow"  # of what a view over staged rows reads


class AppendedRows:
    """What a cursor reads Arrow rows from, registered once.

    A transaction keeps all that is registered in it until its end, so that the rows of a large
    insert would stay in memory.
    """

    def __init__(self, cursor: duckdb.DuckDBPyConnection) -> None:
        import pyarrow as pa

        self.cursor = cursor
        self._rows = pa.table({RID: pa.array([], pa.int64())})
        cursor.register(_APPENDED_ROWS, self)

    @contextmanager
    def of(self, rows: pa.Table) -> Iterator[str]:
        """Hand out these rows meanwhile; give the name that statements read them by."""
        before, self._rows = self._rows, rows
        try:
            yield _APPENDED_ROWS
        finally:
            self._rows = before

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self._rows.__arrow_c_stream__(requested_schema)


def unites(sql: str) -> bool:
    """Whether a query puts rows of several relations together."""
    return " UNION " in sql


def shown_as_values(rows: pa.Table, *, united: bool) -> list[str]:
    """Return the columns that are shown as computed values, which DuckDB filters itself.

    Else it lets Arrow filter what it scans. For Arrow NaN is not larger than other numbers, as it
    is for DuckDB; and where rows are united with stored ones and then joined, DuckDB hands Arrow a
    filter that Arrow does not know (https://github.com/duckdb/duckdb-python/issues/463).
    """
    import pyarrow as pa

    if not united:
        return [name for name in rows.column_names if _has_nan(rows.column(name))]
    return [
        field.name
        for field in rows.schema
        # A vector is not filtered by, and DuckDB has no CASE of it, which COALESCE becomes.
        if not pa.types.is_null(field.type) and not _holds_vectors(field.type)
    ]


def _holds_vectors(kind: pa.DataType) -> bool:
    import pyarrow as pa

    if pa.types.is_fixed_size_list(kind):
        return True
    return any(_holds_vectors(kind.field(place).type) for place in range(kind.num_fields))


@contextmanager
def registered(
    cursor: duckdb.DuckDBPyConnection, name: str, rows: pa.Table, *, united: bool
) -> Iterator[None]:
    """Make Arrow rows readable under a name meanwhile."""
    computed = shown_as_values(rows, united=united)
    register(cursor, name, rows, computed)
    try:
        yield
    finally:
        if computed:
            cursor.execute(f"DROP VIEW IF EXISTS {quoted(name)}")
        cursor.unregister(f"{name}{_BEHIND}" if computed else name)


def register(
    cursor: duckdb.DuckDBPyConnection, name: str, rows: pa.Table, computed: list[str]
) -> None:
    """Make Arrow rows readable under a name."""
    if not computed:
        cursor.register(name, rows)
        return
    behind = f"{name}{_BEHIND}"
    cursor.register(behind, rows)
    values = [
        sge.alias_(sge.Coalesce(this=name_of(each), expressions=[name_of(each)]), each, quoted=True)
        if each in computed
        else name_of(each)
        for each in rows.column_names
    ]
    query = sge.Select(expressions=values).from_(sge.Table(this=name_of(behind)))
    view = sge.Create(
        this=sge.Table(this=name_of(name)),
        kind="VIEW",
        expression=query,
        replace=True,
        properties=sge.Properties(expressions=[sge.TemporaryProperty()]),
    )
    cursor.execute(view.sql("duckdb"))


def written_in(sql: str, staged: Mapping[str, pa.Table]) -> tuple[str, dict[str, pa.Table]]:
    """Write few rows of numbers and short texts into the query that reads them; return the rest.

    To hand a table over takes longer than a small query.
    """
    parts, left = [], {}
    plain = not sql.startswith("WITH RECURSIVE")
    for name, rows in staged.items():
        shown = _as_query(rows) if plain and rows.num_rows <= _FEW_ROWS else None
        if shown is None:
            left[name] = rows
        else:
            parts.append(f"{quoted(name)} AS NOT MATERIALIZED ({shown})")
    if not parts:
        return sql, left
    given = ", ".join(parts)
    if sql.startswith("WITH "):
        return f"WITH {given}, {sql.removeprefix('WITH ')}", left
    return f"WITH {given} {sql}", left


def _as_query(rows: pa.Table) -> str | None:
    """Write rows as a query; None where there are none, or they are of other kinds."""
    kinds = [_WRITTEN.get(str(field.type)) for field in rows.schema]
    if not rows.num_rows or not all(kinds) or (values := literals(rows)) is None:
        return None
    names = [f"c{place}" for place in range(len(kinds))]
    shown = ", ".join(
        f"{name}::{kind} AS {quoted(column)}"
        for name, kind, column in zip(names, kinds, rows.column_names, strict=True)
    )
    return f"SELECT {shown} FROM (VALUES {values}) AS v({', '.join(names)})"


def _has_nan(cells: pa.ChunkedArray) -> bool:
    import pyarrow as pa

    if pa.types.is_struct(cells.type):
        return any(_has_nan(part) for part in cells.flatten())
    if not pa.types.is_floating(cells.type):
        return False
    import numpy as np

    return any(bool(np.isnan(part.to_numpy(zero_copy_only=False)).any()) for part in cells.chunks)


def in_memory(query: ir.Table) -> dict[str, pa.Table]:
    """Return the in-memory tables of a query, which are staged like finished stages."""
    return {
        leaf.name: leaf.data.to_pyarrow(leaf.schema) for leaf in query.op().find(ops.InMemoryTable)
    }


def fitted(rows: pa.Table, wanted: pa.Schema) -> pa.Table:
    """Give rows the columns and types that their query has for Ibis.

    Ibis reads all columns that it knows of a table as `*`, which may be more than it knows.
    """
    import pyarrow as pa

    rows = rows if rows.column_names == wanted.names else rows.select(wanted.names)
    # Whether a value may be missing is checked where it matters, with a message of its own.
    wanted = pa.schema([field.with_nullable(True) for field in wanted])
    if rows.schema.equals(wanted):
        return rows
    columns = [_cast(rows.column(place), field) for place, field in enumerate(wanted)]
    return pa.Table.from_arrays(columns, schema=wanted)


def _cast(cells: pa.ChunkedArray, field: pa.Field) -> pa.ChunkedArray:
    import pyarrow as pa

    if cells.type.equals(field.type):
        return cells
    if pa.types.is_null(field.type):  # which databases count as int32 or text
        return pa.chunked_array([pa.nulls(len(cells))])
    if _holds_intervals(cells.type):
        chunks = [durations(chunk, field.type) for chunk in cells.chunks]
        return pa.chunked_array(chunks, field.type)
    try:
        if pa.types.is_decimal(cells.type) and pa.types.is_floating(field.type):
            # Of the decimal 0.7 Arrow makes 0.7000000000000001.
            return cells.cast(pa.string()).cast(field.type)
        return cells.cast(field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise type_mismatch(field.name, field.type, error) from error


def _holds_intervals(kind: pa.DataType) -> bool:
    import pyarrow as pa

    if pa.types.is_interval(kind):
        return True
    return any(_holds_intervals(kind.field(place).type) for place in range(kind.num_fields))
