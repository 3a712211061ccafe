"""The backend on Postgres.

Owns what each method of the protocol means there: transactions, streams and writes. Statements
are written in `statements`, expressions in `compiler`; rows come in through `staging`.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any, TypeVar

import adbc_driver_manager
import ibis.expr.operations as ops
import ibis.expr.types as ir
import sqlglot as sg

from barbule.backends.base import FROM, RID, TO
from barbule.backends.postgres.connections import write_lock
from barbule.backends.postgres.connections.address import read_address
from barbule.backends.postgres.connections.commit_status import is_committed
from barbule.backends.postgres.connections.connection import Connection, Connections
from barbule.backends.postgres.errors import explained, lost_connection
from barbule.backends.postgres.sql import statements as sql
from barbule.backends.postgres.sql.compiler import COMPILER, VectorSimilarity
from barbule.backends.postgres.sql.nul import place_of_nul
from barbule.backends.postgres.staging import copy_rows, fresh_name, kinds_of, readable
from barbule.errors import BarbuleError, DataError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    import ibis.expr.datatypes as dt
    import ibis.expr.schema as sch
    import psycopg
    import pyarrow as pa
    import sqlglot.expressions as sge

    from barbule.backends.base import Staged

__all__ = ["PostgresBackend", "is_persistent", "open_backend"]

_TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
_COLUMNS = (
    "SELECT column_name::text FROM information_schema.columns "
    "WHERE table_schema = current_schema() AND table_name = "
)
_COMMITS = "bb_commits"
_HEAD = f"SELECT max(id) FROM {_COMMITS}"
_REPEATABLE = "BEGIN ISOLATION LEVEL REPEATABLE READ"
Result = TypeVar("Result")
_AT_ONCE = 1000  # values in one statement


def open_backend(
    url: str,
    lock_timeout: float,
    home: Path | None = None,  # noqa: ARG001 - for databases that are files
) -> PostgresBackend:
    """Open `postgres://user:password@host:port/database?schema=…&lock_timeout=…`."""
    return PostgresBackend(Connections(read_address(url, lock_timeout)))


def is_persistent(url: str) -> bool:  # noqa: ARG001 - other databases need it to tell
    """Whether the database outlives its session: a server's always does."""
    return True


class PostgresBackend:
    """A Postgres database; each thread works on a connection of its own.

    Attributes
    ----------
    lacks
        What the contract of backends asks for and Postgres does not have.
    """

    name = "postgres"
    many_writers = True
    has_infinite_floats = False
    lacks = frozenset({"nul", "unnest-nested"})

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._local = threading.local()
        self._has_commits = False
        self._ibis: Any = None
        self._psycopg: dict[threading.Thread, psycopg.Connection[Any]] = {}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<Postgres backend on {self._connections.address.shown}>"

    @property
    def ibis(self) -> Any:
        """The Ibis backend, the same one for all threads."""
        if self._ibis is None:
            from barbule.backends.postgres.ibis import SharedIbis

            self._ibis = SharedIbis(self)
        return self._ibis

    @property
    def _connection(self) -> Connection:
        """The calling thread's connection."""
        self._connections.check_process()
        known: Connection | None = getattr(self._local, "connection", None)
        if known is not None and known.lost:
            if known.used:  # what is under way has lost its right, or half of its transaction
                raise lost_connection(self._connections.address.shown)
            self._local.connection = None
            self._connections.forget(known)
            known = None
        if known is None:
            known = self._local.connection = self._connections.own()
        return known

    def _reading(self, read: Callable[[Connection], Result]) -> Result:
        """Read on the calling thread's connection; once more on a new one where that is lost.

        A connection that nothing was done with since its server went away and came back is
        noticed by its first use, which changes nothing.
        """
        connection = self._connection
        try:
            return read(connection)
        except UnreachableError:
            if connection.used:
                raise
        return read(self._connection)

    def psycopg(self) -> psycopg.Connection[Any]:
        """Return the calling thread's connection for what only Ibis does."""
        from barbule.backends.postgres.connections.psycopg import connect, is_there

        thread = threading.current_thread()
        with self._lock:
            for ended in [thread for thread in self._psycopg if not thread.is_alive()]:
                self._psycopg.pop(ended).close()
            known = self._psycopg.get(thread)
        if known is None or not is_there(known):
            known = connect(self._connections.address)
            with self._lock:
                self._psycopg[thread] = known
        return known

    # Sharing with others

    def use(self) -> AbstractContextManager[None]:
        """Do nothing: any number of processes have the database open."""
        return nullcontext()

    def stamp(self) -> object:
        """Return the latest commit that anyone has made; None in an empty database."""
        return self._reading(self._stamp)

    def _stamp(self, connection: Connection) -> object:
        if not self._has_commits:
            ((found,),) = connection.rows(f"SELECT to_regclass('{_COMMITS}')::text")
            if found is None:
                return None
            self._has_commits = True
        return connection.rows(f"SELECT max(id) FROM {_COMMITS}")[0][0]

    def check_writable(self) -> None:
        """Do nothing: the server says what is wrong."""

    @contextmanager
    def write_lock(self) -> Iterator[None]:
        """Be the only one who writes meanwhile."""
        if not self._connection.writers:
            self._reading(lambda connection: write_lock.take(connection, self._connections))
        connection = self._connection
        connection.writers += 1
        try:
            yield
        finally:
            connection.writers -= 1
            if not connection.writers and not connection.lost:
                # The server takes it from a connection that goes away.
                with suppress(UnreachableError):
                    write_lock.give_up(connection)

    # Reading

    def table(self, name: str, schema: sch.Schema) -> ops.DatabaseTable:
        """Make the leaf of a stored or staged table."""
        return ops.DatabaseTable(name=name, schema=schema, source=self.ibis)

    @contextmanager
    def staging(self, staged: Staged) -> Iterator[Any]:
        """Make staged tables readable on the calling thread's Ibis backend, and give it."""
        outer = self._staged
        self._local.staged = {**outer, **staged}
        try:
            with explained():
                yield self.ibis
        finally:
            self._local.staged = outer

    @property
    def _staged(self) -> Staged:
        return getattr(self._local, "staged", {})

    def compile(self, query: ir.Expr) -> str:
        """Return the SQL of a query of plain Ibis operations."""
        with explained():
            return sql.text(sql.shortened(COMPILER.to_sqlglot(query)))

    def arrow(self, query: ir.Table, staged: Staged) -> pa.Table:
        """Run a query and return its rows."""
        return self.whole(query, staged)

    def whole(self, query: ir.Table, staged: Staged, params: Any = None) -> pa.Table:
        """Run a query, with parameters of Ibis, and return its rows."""
        from barbule.backends.postgres.arrow import received

        beside = {**self._staged, **staged}

        def read(connection: Connection) -> pa.Table:
            tree = _tree(query, params)  # which is completed in place
            with readable(connection, tree, query, beside) as ready:
                return connection.stream(sql.text(ready)).read_all()

        rows = self._reading(read)
        return received(rows, query.schema(), sql.short)

    def batches(self, query: ir.Table, staged: Staged, size: int) -> Iterator[pa.RecordBatch]:
        """Run a query and return its rows in batches of about `size`."""
        return self.stream(query, staged, size)

    def stream(
        self, query: ir.Table, staged: Staged, size: int, params: Any = None
    ) -> Iterator[pa.RecordBatch]:
        """Run a query, with parameters of Ibis, and return its rows in batches."""
        from barbule.backends.postgres.arrow import received

        tree = _tree(query, params)
        staged = {**self._staged, **staged}
        own = self._connection if self._in_transaction else None
        schema = query.schema()

        def pieces() -> Iterator[pa.Table]:
            if own is not None:  # another connection would not see what this one has written
                yield from self._fetched(own, tree, query, staged, size)
                return
            # A connection of its own: the caller may run other queries between two batches.
            begun = False
            try:
                for rows in self._borrowed(tree, query, staged):
                    begun = True
                    yield rows
            except UnreachableError:
                if begun:
                    raise
                yield from self._borrowed(_tree(query, params), query, staged)

        return (
            batch
            for rows in pieces()
            for batch in received(rows, schema, sql.short).to_batches(size)
        )

    def _borrowed(
        self, tree: sge.Expression, query: ir.Table, staged: Staged
    ) -> Iterator[pa.Table]:
        import pyarrow as pa

        connection = self._connections.borrow()
        try:
            with readable(connection, tree, query, staged) as ready:
                stream = connection.stream(sql.text(ready))
                try:
                    for batch in stream:
                        yield pa.Table.from_batches([batch])
                finally:
                    stream.close()
        finally:
            self._connections.give_back(connection)

    def _fetched(
        self,
        connection: Connection,
        tree: sge.Expression,
        query: ir.Table,
        staged: Staged,
        size: int,
    ) -> Iterator[pa.Table]:
        cursor = fresh_name("cursor")
        with readable(connection, tree, query, staged) as ready:
            connection.run(sql.declare(cursor, sql.text(ready)))
            try:
                while rows := connection.stream(sql.fetch(cursor, size), simple=True).read_all():
                    yield rows
            finally:
                if connection.in_transaction and not connection.failed:
                    connection.run(sql.close_cursor(cursor))

    def schema_of(self, query: str, table: ir.Table | None = None) -> sch.Schema:
        """Return the columns that a piece of SQL gives, over a staged table perhaps."""
        view = fresh_name("view")
        return self._reading(lambda connection: self._schema_of(connection, view, query, table))

    def _schema_of(
        self, connection: Connection, view: str, query: str, table: ir.Table | None
    ) -> sch.Schema:
        from barbule.backends.postgres.ibis import schema_from

        with explained():
            tree = sg.parse_one(query, read="postgres")
        ready = (
            nullcontext(tree) if table is None else readable(connection, tree, table, self._staged)
        )
        with ready as complete:
            connection.run(sql.text(sql.create_view(view, complete)))
            try:
                return schema_from(connection.rows(sql.column_types(view)))
            finally:
                connection.run(sql.text(sql.drop_view(view)))

    def similarity(self, left: ops.Value, right: ops.Value, metric: str) -> ops.Value:
        """Make the value that says how similar two vectors are; larger is nearer."""
        alike: Any = VectorSimilarity(left, right, metric).to_expr()
        value: ops.Value = alike.nullif(float("nan")).op()  # which would be larger than all numbers
        return value

    def first_unstorable(self, values: pa.Array, kind: dt.DataType) -> int | None:
        """Return the place of the first value with a text that holds the character NUL."""
        return place_of_nul(values, kind)

    # Writing

    def create(self, name: str, schema: sch.Schema) -> None:
        """Create a table; one of the same name that a crash left is replaced."""
        with self._together() as connection:
            connection.run(sql.text(sql.drop(name)))
            connection.run(sql.text(sql.create(name, schema)))
            for column, kind in schema.items():
                _note(connection, name, column, kind)
            # What rows are found by. It doubles the time of an insert, and a single row of a
            # million is updated in 0.2 ms instead of 120.
            key = RID if RID in schema.names else schema.names[0]
            connection.run(sql.text(sql.create_index(name, key)))

    def drop(self, name: str) -> None:
        """Drop a table, if it is there."""
        self._connection.run(sql.text(sql.drop(name)))

    def add_column(self, name: str, column: str, dtype: Any) -> None:
        """Add an empty column; one of the same name that a crash left is replaced."""
        with self._together() as connection:
            connection.run(sql.text(sql.drop_column(name, column)))
            connection.run(sql.text(sql.add_column(name, column, dtype)))
            _note(connection, name, column, dtype)

    def add_columns(
        self, name: str, kinds: Mapping[str, Any], filled: Mapping[str, pa.Table]
    ) -> None:
        """Add columns, and set some of them."""
        for column, kind in kinds.items():
            self.add_column(name, column, kind)
        for column, rows in filled.items():
            self.fill(name, column, rows)

    def drop_column(self, name: str, column: str) -> None:
        """Drop a column, if it is there."""
        self._connection.run(sql.text(sql.drop_column(name, column)))

    def append(self, name: str, rows: pa.Table) -> None:
        """Append rows, matched by column name; other columns are empty."""
        if rows.num_rows:
            kinds = self._reading(lambda connection: kinds_of(connection, name))
            copy_rows(self._connection, name, rows, kinds)

    def append_query(self, name: str, query: ir.Table, staged: Staged) -> int:
        """Append the rows of a query, matched by column name; return how many."""
        rows = self.arrow(query, staged)
        self.append(name, rows)
        return int(rows.num_rows)

    def insert(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert a few rows of plain values, all with the same columns."""
        self._connection.insert(sql.text(sql.insert(name, rows)))

    def close(self, name: str, rids: Sequence[int] | pa.Array, commit: int) -> None:
        """End the life of the live rows with these identities at a commit."""
        import pyarrow as pa

        plain = pa.array(rids, pa.int64()).to_pylist()
        if plain:
            self._connection.run(sql.text(sql.close(name, plain, commit)))

    def close_query(self, name: str, query: ir.Table, commit: int, staged: Staged) -> int:
        """End the life of the live rows whose identities a query gives; return how many."""
        rids = self.arrow(query, staged).column(0).to_pylist()
        return self._connection.run(sql.text(sql.close(name, rids, commit))) if rids else 0

    def replace_query(
        self, name: str, query: ir.Table, commit: int, kept: Sequence[str] = ()
    ) -> int:
        """Append new states of live rows, and end their old ones."""
        rows = self.arrow(query, {})
        if not rows.num_rows:
            return 0
        with self._together() as connection:
            source = fresh_name("rows")
            connection.run(sql.text(sql.create_like(source, name, rows.column_names)))
            copy_rows(connection, source, rows, kinds_of(connection, name), temporary=True)
            states = sql.new_states(name, source, rows.column_names, commit, kept)
            connection.run(sql.text(states))
            connection.run(sql.text(sql.drop(source)))
            connection.run(sql.text(sql.close_replaced(name, commit)))
        return int(rows.num_rows)

    def fill(self, name: str, column: str, rows: pa.Table) -> None:
        """Set a column of live rows; `rows` has the identities and, as `column`, the values."""
        if not rows.num_rows:
            return
        with self._together() as connection:
            source = fresh_name("rows")
            connection.run(sql.text(sql.create_like(source, name, rows.column_names)))
            copy_rows(connection, source, rows, kinds_of(connection, name), temporary=True)
            connection.run(sql.text(sql.fill(name, column, source)))
            connection.run(sql.text(sql.drop(source)))

    def fill_query(self, name: str, query: ir.Table) -> int:
        """Set columns of live rows to what a query of them gives; return of how many."""
        rows = self.arrow(query, {})
        with self._together():
            for column in rows.column_names:
                if column != RID:
                    self.fill(name, column, rows.select([RID, column]))
        return int(rows.num_rows)

    def delete(self, name: str, predicate: Mapping[str, Any]) -> None:
        """Delete the rows whose columns have these values."""
        self._connection.run(sql.text(sql.delete(name, predicate)))

    def delete_with_values(
        self, name: str, column: str, values: Sequence[str] | Sequence[int]
    ) -> None:
        """Delete the rows in which a column of texts or whole numbers has one of these values."""
        with self._together() as connection:
            for start in range(0, len(values), _AT_ONCE):
                part = values[start : start + _AT_ONCE]
                connection.run(sql.text(sql.delete_with_values(name, column, part)))

    def purge(self, name: str, before: int, keep: Sequence[int]) -> int:
        """Delete the rows that ended by a commit, but those that lived at one to keep."""
        return self._connection.run(sql.text(sql.purge(name, before, keep)))

    @property
    def _in_transaction(self) -> bool:
        known: Connection | None = getattr(self._local, "connection", None)
        return known is not None and known.depth > 0

    def changes(
        self, rows: ir.Table, column: str, since: int, until: int
    ) -> tuple[pa.ChunkedArray, pa.Table]:
        """Return what ended between two commits, and what began then and lives at the later one."""
        ended = rows.filter(rows[TO] > since, rows[TO] <= until).select(RID).distinct()
        began = rows.filter(
            rows[FROM] > since, rows[FROM] <= until, rows[TO] > until, rows[column].notnull()
        )
        return self.arrow(ended, {}).column(0), self.arrow(began.select(RID, column), {})

    def rows_with_values(self, rows: ir.Table, column: str, values: Sequence[str]) -> pa.Table:
        """Return the rows in which a column of texts has one of these values."""
        from barbule.backends.postgres.arrow import received

        schema = rows.schema()
        query = sql.text(sql.rows_with_values(rows.op().name, schema.names, column, values))
        found = self._reading(lambda connection: connection.stream(query).read_all())
        return received(found, schema, sql.short)

    def plan_epoch(self) -> object:
        """Return what differs once plans that were made before may be wrong: all are looked at."""
        return None

    @contextmanager
    def snapshot(self) -> Iterator[int]:
        """Let the calling thread read at one commit meanwhile, and give it."""
        with self._together(_REPEATABLE) as connection:
            ((head,),) = connection.rows(_HEAD)
            yield head or 0

    @contextmanager
    def transaction(
        self, *, large: bool = False, invalidates_plans: bool = False
    ) -> Iterator[None]:
        """Make the calling thread's writes visible together, or not at all."""
        with self._together():
            yield

    @contextmanager
    def _together(self, begin: str = "BEGIN") -> Iterator[Connection]:
        """Open a transaction, or be a part of the one that is open."""
        if (connection := self._connection).depth:
            yield connection
            return
        self._reading(lambda connection: connection.run(begin))
        connection = self._connection
        connection.depth, connection.transaction = 1, None
        try:
            yield connection
            self._commit(connection, read_only=begin == _REPEATABLE)
        except BaseException:
            if not connection.lost:
                with suppress(BarbuleError, adbc_driver_manager.Error):
                    connection.run("ROLLBACK")
            raise
        finally:
            connection.depth = 0

    def _commit(self, connection: Connection, *, read_only: bool) -> None:
        if connection.failed:  # COMMIT would roll back without a word
            raise DataError(
                "a statement of this transaction has failed, so nothing of it is kept.",
                hint="See the error before this one.",
            )
        try:
            connection.run("COMMIT")
        except UnreachableError:
            # One that has only read has nothing to lose.
            if not read_only and not is_committed(connection.transaction, self._connections):
                raise

    def separate(self) -> PostgresBackend:
        """Give a connection whose writes are committed on their own."""
        return PostgresBackend(self._connections)

    def tables(self) -> set[str]:
        """Return the names of the stored tables."""
        return {name for (name,) in self._reading(lambda connection: connection.rows(_TABLES))}

    def columns(self, name: str) -> set[str]:
        """Return the names of the columns of a stored table; none where there is no such table."""
        query = _COLUMNS + sql.text(sql.constant(name))
        return {column for (column,) in self._reading(lambda connection: connection.rows(query))}

    def disconnect(self) -> None:
        """Close all connections."""
        self._local = threading.local()
        self._connections.close()
        with self._lock:
            for opened in self._psycopg.values():
                opened.close()
            self._psycopg.clear()


def _tree(query: ir.Expr, params: Any) -> sge.Expression:
    with explained():
        return COMPILER.to_sqlglot(query, params=params)


def _note(connection: Connection, name: str, column: str, dtype: dt.DataType) -> None:
    if (statement := sql.comment_on(name, column, dtype)) is not None:
        connection.run(sql.text(statement))
