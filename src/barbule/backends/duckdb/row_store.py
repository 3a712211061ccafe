"""The row store of DuckDB: tables, columns, rows and their lifetimes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import ibis.expr.operations as ops

from barbule.backends.base import FROM, RID, TO
from barbule.backends.duckdb.errors import translate_errors
from barbule.backends.duckdb.sql import statements as sql
from barbule.backends.duckdb.sql.insert_parameters import insert_parameters
from barbule.backends.duckdb.sql.literals import literal, values_literals
from barbule.backends.duckdb.sql.table_rewrite import (
    add_aligned_column,
    align_to_rows,
    is_large,
    select_row_order,
)
from barbule.backends.duckdb.staging import in_memory_tables
from barbule.fast_paths import fast_paths_enabled
from barbule.tracing import statement as traced_statement

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import ibis.expr.datatypes as dt
    import ibis.expr.schema as sch
    import ibis.expr.types as ir
    import pyarrow as pa

    from barbule.backends.base import Staged
    from barbule.backends.duckdb.connection import DuckDBConnection
    from barbule.backends.duckdb.reader import DuckDBReader

__all__ = ["DuckDBRowStore"]

_STAGED_ROWS = "bb_staged_rows"
_MAX_LITERAL_ROWS = 16
_ROW_GROUP_ROWS = 122_880  # that DuckDB compresses and writes together


class DuckDBRowStore:
    """The part of the adapter that writes.

    Parameters
    ----------
    connection
        The connection whose cursors run the statements.
    reader
        It compiles the queries of which rows are written.
    """

    def __init__(self, connection: DuckDBConnection, reader: DuckDBReader) -> None:
        self._connection = connection
        self._reader = reader

    def _execute(self, statement: str, parameters: Sequence[Any] = ()) -> int:
        """Run a statement that returns no rows, or the number of changed rows."""
        connection = self._connection
        with connection.use(), connection.translated_disk_errors():
            connection.check_file()
            with traced_statement(statement) as traced:
                result = connection.cursor.execute(statement, parameters or None).fetchall()
                rows = int(result[0][0]) if result else 0
                traced.set(rows=rows)
        return rows

    # Tables and columns

    def create_table(self, name: str, schema: sch.Schema) -> None:
        """Create a table; one with the same name that a crash left is replaced."""
        self.drop_table(name)
        self._execute(sql.create_table(name, schema))

    def drop_table(self, name: str) -> None:
        """Drop a table, if it exists."""
        self._execute(sql.drop_table(name))

    def add_column(self, name: str, column: str, dtype: dt.DataType) -> None:
        """Add an empty column; one with the same name that a crash left is replaced."""
        self._execute(sql.drop_column(name, column))
        self._execute(sql.add_column(name, column, dtype))

    def add_columns(
        self, name: str, dtypes: Mapping[str, dt.DataType], values: Mapping[str, pa.Table]
    ) -> None:
        """Add columns, and set some; for large ones the table is rewritten."""
        rewritten = {
            column
            for column, rows in values.items()
            if is_large(rows.column(column)) and self._add_by_rewrite(name, column, rows)
        }
        # DuckDB does not alter a table that the same transaction has updated.
        for column, dtype in dtypes.items():
            if column not in rewritten:
                self.add_column(name, column, dtype)
        for column, rows in values.items():
            if column not in rewritten:
                self.fill_column(name, column, rows)

    def _add_by_rewrite(self, name: str, column: str, rows: pa.Table) -> bool:
        """Add a column by rewriting the table; return whether its values can be aligned."""
        query = select_row_order(name)
        with self._connection.use(), traced_statement(query):
            stored = self._connection.cursor.execute(query).to_arrow_table()
        aligned = align_to_rows(stored, rows, column)
        if aligned is None:
            return False
        with self._connection.registering({_STAGED_ROWS: aligned}):
            for statement in add_aligned_column(name, column, _STAGED_ROWS):
                self._execute(statement)
        return True

    def drop_column(self, name: str, column: str) -> None:
        """Drop a column, if it exists."""
        self._execute(sql.drop_column(name, column))

    # New rows

    def append(self, name: str, rows: pa.Table) -> None:
        """Append rows, matched by column name; other columns are NULL."""
        columns = tuple(rows.column_names)
        if rows.num_rows <= _MAX_LITERAL_ROWS and (clause := _values_clause(rows)) is not None:
            values, parameters = clause
            with translate_errors():
                self._execute(f"{sql.insert_into(name, columns)} VALUES {values}", parameters)
            return
        in_turn = rows.num_rows < _ROW_GROUP_ROWS
        connection = self._connection
        with (
            connection.use(),
            connection.appended_rows.containing(rows) as source,
            translate_errors(),
        ):
            self._execute(sql.insert_relation(name, columns, source, in_turn=in_turn))

    def append_query(self, name: str, query: ir.Table, staged: Staged) -> int:
        """Append the rows of a query, matched by column name; return their number."""
        with self._reader.staging({**staged, **in_memory_tables(query)}) as backend:
            insert = sql.insert_into(name, tuple(query.columns))
            return self._execute(f"{insert} {backend.compile(query)}")

    def insert(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert a few rows of plain values, all with the same columns.

        Until something else has loaded pandas they are written as SQL literals: DuckDB's driver
        imports it for parameters, as pyarrow does for tables of Python values, and that takes
        longer than opening a database.
        """
        columns = tuple(rows[0])
        insert = sql.insert_into(name, columns)
        if "pandas" in sys.modules:
            placeholders = ", ".join("?" * len(columns))
            connection = self._connection
            with connection.use(), connection.translated_disk_errors():
                connection.check_file()
                query = f"{insert} VALUES ({placeholders})"
                for row in rows:
                    with traced_statement(query):
                        connection.cursor.execute(query, list(row.values()))
            return
        tuples = (", ".join(literal(value) for value in row.values()) for row in rows)
        self._execute(f"{insert} VALUES {', '.join(f'({values})' for values in tuples)}")

    # The lifetime of rows

    def end_rows(self, name: str, rids: Sequence[int] | pa.Array, commit: int) -> None:
        """End the live rows with these ids at a commit."""
        import pyarrow as pa

        if not len(rids):
            return
        if len(rids) <= _MAX_LITERAL_ROWS:  # as literals: staging a table takes a millisecond
            values = rids.to_pylist() if hasattr(rids, "to_pylist") else rids
            listed = ", ".join(str(int(value)) for value in values)
            self._execute(sql.end_rows(name, commit, listed))
            return
        staged = pa.table({RID: pa.array(rids, pa.int64())})
        with self._connection.registering({_STAGED_ROWS: staged}):
            self._execute(sql.end_rows(name, commit, f"SELECT {RID} FROM {_STAGED_ROWS}"))

    def end_query_rows(self, name: str, query: ir.Table, commit: int, staged: Staged) -> int:
        """End the live rows whose ids a query returns; return their number."""
        with self._reader.staging({**staged, **in_memory_tables(query)}) as backend:
            select = backend.compiler.to_sqlglot(query)
            statement = sql.end_filtered_rows(name, commit, select)
            return self._execute(statement or sql.end_rows(name, commit, select.sql("duckdb")))

    def replace_rows(
        self, name: str, query: ir.Table, commit: int, unchanged: Sequence[str] = ()
    ) -> int:
        """Append new states of live rows, and end their old ones."""
        with self._reader.staging(in_memory_tables(query)) as backend:
            select = backend.compiler.to_sqlglot(query)
            insert = sql.insert_into(name, (*query.columns, *unchanged, FROM, TO))
            states = sql.select_new_states(name, select, commit, unchanged)
            count = self._execute(f"{insert} {states}")
            # A random query returns other rows when it is run again.
            pure = not query.op().find(ops.Impure)
            statement = sql.end_filtered_rows(name, commit, select) if pure else None
            if statement is None:
                replaced = f"SELECT {RID} FROM {sql.quoted(name)} WHERE {FROM} = {commit}"
                statement = sql.end_rows(name, commit, replaced)
            self._execute(f"{statement} AND {FROM} < {commit}")
        return count

    def purge_rows(self, name: str, before: int, retained: Sequence[int]) -> int:
        """Delete the rows that ended by a commit, except those that were live at a retained one."""
        return self._execute(sql.purge_rows(name, before, retained))

    # Values of existing rows

    def fill_column(self, name: str, column: str, rows: pa.Table) -> None:
        """Set a column of live rows; `rows` has the row ids and, as `column`, the values."""
        with self._connection.registering({_STAGED_ROWS: rows}):
            self._execute(sql.fill_column(name, column, _STAGED_ROWS))

    def fill_columns(self, name: str, query: ir.Table) -> int:
        """Set columns of live rows to the values of a query over them; return their number."""
        with self._reader.staging(in_memory_tables(query)) as backend, translate_errors():
            select = backend.compiler.to_sqlglot(query)
            return self._execute(sql.fill_columns(name, tuple(query.columns), select))

    def delete_rows(self, name: str, predicate: Mapping[str, Any]) -> None:
        """Delete the rows whose columns have these values."""
        self._execute(sql.delete_rows(name, predicate))

    def delete_with_values(
        self, name: str, column: str, values: Sequence[str] | Sequence[int]
    ) -> None:
        """Delete the rows whose value in a column of strings or integers is one of these."""
        import pyarrow as pa

        with self._connection.registering({_STAGED_ROWS: pa.table({column: pa.array(values)})}):
            self._execute(sql.delete_listed_rows(name, column, _STAGED_ROWS))


def _values_clause(rows: pa.Table) -> tuple[str, list[Any]] | None:
    """Write a few rows as the tuples of a VALUES clause, with its parameters.

    None if that is not exact, or slower than registering the rows. Parameters are used once
    something else has loaded pandas, as in `insert`.
    """
    if not fast_paths_enabled():
        return None
    if "pandas" in sys.modules:
        return insert_parameters(rows)
    values = values_literals(rows)
    return None if values is None else (values, [])
