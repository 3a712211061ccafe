"""Arrow rows that DuckDB's statements read: appended ones, and staged tables of a query."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import ibis.expr.operations as ops
import sqlglot.expressions as sge

from barbule.backends.base import RID
from barbule.backends.duckdb.sql.literals import values_literals
from barbule.backends.duckdb.sql.statements import identifier, quoted
from barbule.fast_paths import fast_paths_enabled

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import duckdb
    import ibis.expr.types as ir
    import pyarrow as pa

__all__ = [
    "AppendedRows",
    "columns_filtered_by_duckdb",
    "has_union",
    "in_memory_tables",
    "inline_small_tables",
    "register",
    "registered",
]

_APPENDED_ROWS = "bb_appended_rows"
_MAX_INLINE_ROWS = 64
# The types of values that are written into a query; a bare integer would have any size.
_INLINE_TYPES = {"int64": "BIGINT", "double": "DOUBLE", "string": "VARCHAR"}
_ARROW_SUFFIX = "_arrow"  # of the name of Arrow rows that a view reads


class AppendedRows:
    """A relation of Arrow rows that is registered once for a cursor, with changing rows.

    A transaction keeps everything that is registered in it until its end, so the rows of a large
    insert would stay in memory.
    """

    def __init__(self, cursor: duckdb.DuckDBPyConnection) -> None:
        import pyarrow as pa

        self.cursor = cursor
        self._rows = pa.table({RID: pa.array([], pa.int64())})
        cursor.register(_APPENDED_ROWS, self)

    @contextmanager
    def containing(self, rows: pa.Table) -> Iterator[str]:
        """Set the rows of the relation; return its name."""
        previous, self._rows = self._rows, rows
        try:
            yield _APPENDED_ROWS
        finally:
            self._rows = previous

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._rows.__arrow_c_stream__(requested_schema)


def has_union(sql: str) -> bool:
    """Whether a query unites the rows of several relations."""
    return " UNION " in sql


def columns_filtered_by_duckdb(rows: pa.Table, *, united: bool) -> list[str]:
    """Return the columns that are registered as computed values, so that DuckDB filters them.

    Otherwise DuckDB lets Arrow filter what it scans. In Arrow NaN is not larger than other numbers,
    as it is in DuckDB; and if rows are united with stored ones and then joined, DuckDB passes Arrow
    a filter that Arrow does not support (https://github.com/duckdb/duckdb-python/issues/463).
    """
    import pyarrow as pa

    if not united:
        return [name for name in rows.column_names if _has_nan(rows.column(name))]
    return [
        field.name
        for field in rows.schema
        # Vectors are not filtered, and DuckDB has no CASE of them, which COALESCE becomes.
        if not pa.types.is_null(field.type) and not _contains_vectors(field.type)
    ]


def _contains_vectors(dtype: pa.DataType) -> bool:
    import pyarrow as pa

    if pa.types.is_fixed_size_list(dtype):
        return True
    return any(_contains_vectors(dtype.field(index).type) for index in range(dtype.num_fields))


@contextmanager
def registered(
    cursor: duckdb.DuckDBPyConnection, name: str, rows: pa.Table, *, united: bool
) -> Iterator[None]:
    """Make Arrow rows readable under a name in this context."""
    computed = columns_filtered_by_duckdb(rows, united=united)
    register(cursor, name, rows, computed)
    try:
        yield
    finally:
        if computed:
            cursor.execute(f"DROP VIEW IF EXISTS {quoted(name)}")
        cursor.unregister(f"{name}{_ARROW_SUFFIX}" if computed else name)


def register(
    cursor: duckdb.DuckDBPyConnection, name: str, rows: pa.Table, computed: list[str]
) -> None:
    """Make Arrow rows readable under a name, some columns as computed values."""
    if not computed:
        cursor.register(name, rows)
        return
    source = f"{name}{_ARROW_SUFFIX}"
    cursor.register(source, rows)
    values = [
        _coalesced(column) if column in computed else identifier(column)
        for column in rows.column_names
    ]
    query = sge.Select(expressions=values).from_(sge.Table(this=identifier(source)))
    view = sge.Create(
        this=sge.Table(this=identifier(name)),
        kind="VIEW",
        expression=query,
        replace=True,
        properties=sge.Properties(expressions=[sge.TemporaryProperty()]),
    )
    cursor.execute(view.sql("duckdb"))


def _coalesced(column: str) -> sge.Expression:
    value = sge.Coalesce(this=identifier(column), expressions=[identifier(column)])
    return sge.alias_(value, column, quoted=True)


def inline_small_tables(
    sql: str, staged: Mapping[str, pa.Table]
) -> tuple[str, dict[str, pa.Table]]:
    """Write staged tables of few numbers and short strings into a query; return the others.

    Registering a table takes longer than a small query.
    """
    if not fast_paths_enabled():
        return sql, dict(staged)
    ctes: list[str] = []
    remaining: dict[str, pa.Table] = {}
    is_recursive = sql.startswith("WITH RECURSIVE")
    for name, rows in staged.items():
        small = not is_recursive and rows.num_rows <= _MAX_INLINE_ROWS
        query = _values_query(rows) if small else None
        if query is None:
            remaining[name] = rows
        else:
            ctes.append(f"{quoted(name)} AS NOT MATERIALIZED ({query})")
    if not ctes:
        return sql, remaining
    joined = ", ".join(ctes)
    if sql.startswith("WITH "):
        return f"WITH {joined}, {sql.removeprefix('WITH ')}", remaining
    return f"WITH {joined} {sql}", remaining


def _values_query(rows: pa.Table) -> str | None:
    """Write rows as a query of VALUES; None if there are none, or values of other types."""
    types = [_INLINE_TYPES.get(str(field.type)) for field in rows.schema]
    if not rows.num_rows or not all(types) or (values := values_literals(rows)) is None:
        return None
    names = [f"c{index}" for index in range(len(types))]
    columns = ", ".join(
        f"{name}::{type_name} AS {quoted(column)}"
        for name, type_name, column in zip(names, types, rows.column_names, strict=True)
    )
    return f"SELECT {columns} FROM (VALUES {values}) AS v({', '.join(names)})"


def _has_nan(cells: pa.ChunkedArray) -> bool:
    import pyarrow as pa

    if pa.types.is_struct(cells.type):
        return any(_has_nan(field) for field in cells.flatten())
    if not pa.types.is_floating(cells.type):
        return False
    import numpy as np

    return any(bool(np.isnan(chunk.to_numpy(zero_copy_only=False)).any()) for chunk in cells.chunks)


def in_memory_tables(query: ir.Table) -> dict[str, pa.Table]:
    """Return the in-memory tables of a query by name; they are staged."""
    return {
        leaf.name: leaf.data.to_pyarrow(leaf.schema) for leaf in query.op().find(ops.InMemoryTable)
    }
