"""The DuckDB adapter.

Owns the connections to one DuckDB database and what is asked of them. Names and values reach
SQL by way of `statements` alone.
"""

from __future__ import annotations

import functools
import re
import sys
import threading
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import ibis
import ibis.expr.operations as ops
import ibis.expr.schema as sch
import ibis.expr.types as ir
import sqlglot.expressions as sge
from ibis.backends.sql.datatypes import DuckDBType

from barbule.backends.base import FOREVER, FROM, RID, TO, Staged
from barbule.backends.duckdb.errors import disk_explained, interruptible, only_read
from barbule.backends.duckdb.interruptible import read_whole, streamed
from barbule.backends.duckdb.memory import little_cached
from barbule.backends.duckdb.shared_file import DuckDBFile
from barbule.backends.duckdb.sql.insert_parameters import as_parameters
from barbule.backends.duckdb.sql.similarity import similarity
from barbule.backends.duckdb.sql.statements import (
    FROM_ARGUMENT,
    column_of,
    copying,
    ending_of,
    ending_where,
    filling_by,
    insert_into,
    literal,
    literals,
    name_of,
    new_states,
    quoted,
    rows_with_values,
)
from barbule.backends.duckdb.sql.table_rewrite import in_order_of, is_large, laying_beside, placing
from barbule.backends.duckdb.staging import (
    AppendedRows,
    fitted,
    in_memory,
    register,
    registered,
    shown_as_values,
    unites,
    written_in,
)
from barbule.errors import BarbuleError, ConfigurationError, DataError, UnsupportedError
from barbule.expression_keys import ExpressionKey

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    import ibis.expr.datatypes as dt
    import pyarrow as pa

__all__ = ["DuckDBBackend", "is_persistent", "open_backend"]

_STAGED_ROWS = "bb_staged_rows"
_TABLES = (
    "SELECT table_name FROM duckdb_tables() WHERE database_name = current_database() "
    "AND schema_name = current_schema() AND NOT temporary"
)
_COLUMNS = (
    "SELECT column_name FROM duckdb_columns() WHERE database_name = current_database() "
    "AND schema_name = current_schema() AND table_name = "
)
_HEAD = "SELECT max(id) FROM bb_commits"
_FEW_ROWS = 16
_BATCH_ROWS = 2048  # DuckDB's vector size: a batch is a multiple of it
_GROUP_ROWS = 122_880  # what DuckDB compresses and writes together


def open_backend(url: str, lock_timeout: float, home: Path | None = None) -> DuckDBBackend:
    """Open `duckdb:///path/to/file`, or `duckdb://` for a database in memory."""
    file = _file_of(url)
    if file is None:
        return DuckDBBackend(DuckDBFile.shared(None, lock_timeout))
    try:
        if home is not None and file.is_relative_to(home):
            file.parent.mkdir(parents=True, exist_ok=True)
        if not file.parent.exists():
            raise ConfigurationError(
                f"there is no folder {str(file.parent)!r} for the database {file.name!r}.",
                hint="Check the path (an absolute one has three slashes, duckdb:///data/app.duckdb)"
                f", or make the folder: pathlib.Path({str(file.parent)!r}).mkdir(parents=True).",
            )
        if file.exists() and not (file.is_file() or file.is_dir()):
            # DuckDB would wait for the other end of a pipe.
            raise ConfigurationError(
                f"the database {str(file)!r} is no regular file (a device, a pipe or a socket).",
                hint="Check the path.",
            )
        return DuckDBBackend(DuckDBFile.shared(file.resolve(), lock_timeout))
    except (OSError, duckdb.Error) as error:
        if isinstance(error, BarbuleError):
            raise
        raise ConfigurationError(
            f"the database {str(file)!r} cannot be opened: {_reason(error)}",
            hint="Check the path and its permissions.",
        ) from error


def is_persistent(url: str) -> bool:
    """Whether the database outlives its session: one in memory does not."""
    return _file_of(url) is not None


def _file_of(url: str) -> Path | None:
    path = url.split("://", 1)[1] if "://" in url else url.split(":", 1)[1]
    path = path.split("?", 1)[0]
    return None if path in {"", ":memory:", "/:memory:"} else Path(path)


class _HeldError(Exception):
    """Says that a query holds rows, and is not to be remembered with them."""


class DuckDBBackend:
    """A DuckDB database; each thread works on a cursor of its own."""

    name = "duckdb"
    many_writers = False
    has_infinite_floats = True

    def __init__(self, database: DuckDBFile) -> None:
        self._database = database
        self._local = threading.local()
        self._ibis: Any = None
        self._closed = False
        self._untold = 0  # commits of the thread that writes, of which others do not know yet
        # Compiling takes longer than most queries; plans are asked again.
        self._compiled = functools.lru_cache(maxsize=256)(self._compile_op)

    @property
    def ibis(self) -> Any:
        """The Ibis backend, the same one for all threads."""
        if self._ibis is None:
            from barbule.backends.duckdb.ibis import SharedIbis

            self._ibis = SharedIbis(self)
        return self._ibis

    def use(self) -> AbstractContextManager[None]:
        """Keep the database open meanwhile; other processes get it when nobody here does."""
        if self._closed:
            raise ConfigurationError(
                "the session is closed.",
                hint="Open one by bb.connect(...), and get its tables by bb.get_table(...).",
            )
        return self._database.use()

    def stamp(self) -> object:
        """Return what differs once another process or session may have committed."""
        commits = self._database.commits
        if not getattr(self._local, "writers", 0):
            commits -= self._untold
        return self._database.openings, commits

    def plan_epoch(self) -> object:
        """Return what differs once plans that were made before may be wrong."""
        return self._database.openings, self._database.plan_epoch()

    @contextmanager
    def snapshot(self) -> Iterator[int]:
        """Let the calling thread read at one commit meanwhile, and give it."""
        with self.use():
            cursor = self.cursor
            try:
                (head,) = cursor.execute(f"BEGIN; {_HEAD}").fetchone() or (0,)
                yield head or 0
            finally:
                with suppress(duckdb.Error):  # it has failed, and is ended by that
                    cursor.rollback()

    def check_writable(self) -> None:
        """Refuse a database that can only be read, or whose file is gone."""
        if self._database.read_only:
            raise only_read(self._database.path)
        self._database.check_file()

    @contextmanager
    def write_lock(self) -> Iterator[None]:
        """Be the only one who writes meanwhile.

        Until its end other threads are not told of what is committed in it: who has made it is
        about to say what it is.
        """
        with self.use(), self._database.write_lock:
            self._local.writers = writers = getattr(self._local, "writers", 0) + 1
            try:
                yield
            finally:
                self._local.writers = writers - 1
                if writers == 1:
                    self._untold = 0

    @property
    def cursor(self) -> duckdb.DuckDBPyConnection:
        """The calling thread's cursor; it lasts until the database is handed over."""
        known = getattr(self._local, "cursor", None)
        if known is None or self._local.opening != self._database.openings:
            known = self._local.cursor = self._database.cursor()
            self._local.opening = self._database.openings
            self._local.writing = False
        elif not self._database.is_open:
            return self._renewed()
        return known

    def _renewed(self) -> duckdb.DuckDBPyConnection:
        self._local.cursor = None
        return self.cursor

    def table(self, name: str, schema: sch.Schema) -> ops.DatabaseTable:
        """Make the leaf of a stored or staged table."""
        return ops.DatabaseTable(name=name, schema=schema, source=self.ibis)

    def staging(self, staged: Staged) -> AbstractContextManager[Any]:
        """Make staged tables readable on the calling thread's Ibis backend, and give it."""
        return self._staging(staged, united=True)

    @contextmanager
    def _staging(self, staged: Staged, *, united: bool = False) -> Iterator[Any]:
        with self.use(), ExitStack() as held:
            cursor = self.cursor
            for name, rows in staged.items():
                held.enter_context(registered(cursor, name, rows, united=united))
            held.enter_context(self._storing())
            held.enter_context(_explained())
            yield self.ibis

    def compile(self, query: ir.Expr) -> str:
        """Return the SQL of a query of plain Ibis operations."""
        with _explained():
            return self.ibis.compile(query)

    def arrow(self, query: ir.Table, staged: Staged) -> pa.Table:
        """Run a query and return its rows."""
        with _explained():
            try:
                sql, wanted = self._compiled(ExpressionKey(query.op()))
            except _HeldError:
                staged = {**staged, **in_memory(query)}
                sql, wanted = self.ibis.compile(query), query.schema().to_pyarrow()
        read = {name: rows for name, rows in staged.items() if name in sql}
        sql, read = written_in(sql, read)
        with self._staging(read, united=unites(sql)) as backend:
            rows = read_whole(backend.con, sql)
        return fitted(rows, wanted)

    def _compile_op(self, asked: ExpressionKey) -> tuple[str, pa.Schema]:
        """Return the SQL of a query and what its rows are made of."""
        query = asked.node.to_expr()
        if in_memory(query):
            raise _HeldError
        return str(self.ibis.compile(query)), query.schema().to_pyarrow()

    def batches(self, query: ir.Table, staged: Staged, size: int) -> Iterator[pa.RecordBatch]:
        """Run a query and return its rows in batches of about `size`."""
        import pyarrow as pa

        if self.writes:  # another cursor would not see what this one has written
            yield from self.arrow(query, staged).to_batches(size)
            return
        wanted = query.schema().to_pyarrow()
        rows = max(_BATCH_ROWS, size // _BATCH_ROWS * _BATCH_ROWS)
        # A cursor of its own: the caller may run other queries between two batches.
        self._database.hold()
        try:
            sql, cursor = self.compile(query), self._database.cursor()
            for name, table in {**staged, **in_memory(query)}.items():
                register(cursor, name, table, shown_as_values(table, united=unites(sql)))
            with interruptible(), self._storing(), _explained():
                for batch in streamed(cursor, sql, rows):
                    yield from fitted(pa.Table.from_batches([batch]), wanted).to_batches()
            self._database.end(cursor)
        finally:
            self._database.let_go()

    def changes(
        self, rows: ir.Table, column: str, since: int, until: int
    ) -> tuple[pa.ChunkedArray, pa.Table]:
        """Return what ended between two commits, and what began then and lives at the later one.

        Written as text: to make and compile a query takes several times as long as to run it.
        """
        name, value = quoted(rows.op().name), quoted(column)
        ended = f"{TO} > {since} AND {TO} <= {until}"
        began = f"{FROM} > {since} AND {FROM} <= {until} AND {TO} > {until}"
        new = f"SELECT {RID}, {value} FROM {name} WHERE {began} AND {value} IS NOT NULL"
        with self.use(), _explained():
            cursor = self.cursor
            gone = cursor.execute(f"SELECT DISTINCT {RID} FROM {name} WHERE {ended}")
            return gone.to_arrow_table().column(0), cursor.execute(new).to_arrow_table()

    def rows_with_values(self, rows: ir.Table, column: str, values: Sequence[str]) -> pa.Table:
        """Return the rows in which a column of texts has one of these values.

        Written as text, as in `changes`; and to join a staged table takes three times as long.
        """
        schema = rows.schema()
        query = rows_with_values(rows.op().name, tuple(schema), column, values)
        with self.use(), self._storing(), _explained():
            found = self.cursor.execute(query).to_arrow_table()
        return fitted(found, schema.to_pyarrow())

    @property
    def writes(self) -> bool:
        """Whether the calling thread is in a transaction."""
        return getattr(self._local, "writing", False)

    def similarity(self, left: ops.Value, right: ops.Value, metric: str) -> ops.Value:
        """Make the value that says how similar two vectors are; larger is nearer."""
        return similarity(left, right, metric)

    def first_unstorable(self, values: pa.Array, kind: dt.DataType) -> int | None:
        """Return None: it keeps every value of its types."""
        return None

    # Writing

    def _run(self, statement: sge.Expression) -> None:
        self._execute(statement.sql("duckdb"))

    def _execute(self, statement: str, parameters: Sequence[Any] = ()) -> int:
        """Run a statement that gives no rows, or the number of those that it changed."""
        with self.use(), self._storing():
            self._check_file()
            counted = self.cursor.execute(statement, parameters or None).fetchall()
        return int(counted[0][0]) if counted else 0

    def create(self, name: str, schema: sch.Schema) -> None:
        """Create a table; one of the same name that a crash left is replaced."""
        self.drop(name)
        columns = [
            sge.ColumnDef(this=name_of(column), kind=self._type(kind))
            for column, kind in schema.items()
        ]
        target = sge.Schema(this=sge.Table(this=name_of(name)), expressions=columns)
        self._run(sge.Create(this=target, kind="TABLE"))

    def _type(self, kind: Any) -> sge.Expression:
        return DuckDBType.from_ibis(kind.copy(nullable=True))

    def drop(self, name: str) -> None:
        """Drop a table, if it is there."""
        self._run(sge.Drop(this=sge.Table(this=name_of(name)), kind="TABLE", exists=True))

    def add_column(self, name: str, column: str, dtype: Any) -> None:
        """Add an empty column; one of the same name that a crash left is replaced."""
        table = sge.Table(this=name_of(name))
        for action in (
            sge.Drop(this=sge.Column(this=name_of(column)), kind="COLUMN", exists=True),
            sge.ColumnDef(this=name_of(column), kind=self._type(dtype)),
        ):
            self._run(sge.Alter(this=table.copy(), kind="TABLE", actions=[action]))

    def add_columns(
        self, name: str, kinds: Mapping[str, Any], filled: Mapping[str, pa.Table]
    ) -> None:
        """Add columns, and set some; large ones are laid beside the rows of a new table."""
        done = {
            column
            for column, rows in filled.items()
            if is_large(rows.column(column)) and self._laid_beside(name, column, rows)
        }
        # DuckDB alters no table that the same transaction has updated.
        for column in (each for each in kinds if each not in done):
            self.add_column(name, column, kinds[column])
        for column in (each for each in filled if each not in done):
            self.fill(name, column, filled[column])

    def _laid_beside(self, name: str, column: str, rows: pa.Table) -> bool:
        with self.use():
            stored = self.cursor.execute(placing(name)).to_arrow_table()
        beside = in_order_of(stored, rows, column)
        if beside is None:
            return False
        with self._staging({_STAGED_ROWS: beside}):
            for statement in laying_beside(name, column, _STAGED_ROWS):
                self._execute(statement)
        return True

    def append(self, name: str, rows: pa.Table) -> None:
        """Append rows, matched by column name; other columns are empty."""
        columns = tuple(rows.column_names)
        if rows.num_rows <= _FEW_ROWS and (few := _written(rows)) is not None:
            values, parameters = few
            with _explained():
                self._execute(f"{insert_into(name, columns)} VALUES {values}", parameters)
            return
        with self.use(), self._source().of(rows) as source, _explained():
            self._execute(copying(name, columns, source, in_turn=rows.num_rows < _GROUP_ROWS))

    def _source(self) -> AppendedRows:
        """Return what hands Arrow rows to the statements of the calling thread."""
        cursor = self.cursor
        known = getattr(self._local, "source", None)
        if known is None or known.cursor is not cursor:
            known = self._local.source = AppendedRows(cursor)
        return known

    def append_query(self, name: str, query: ir.Table, staged: Staged) -> int:
        """Append the rows of a query, matched by column name; return how many."""
        with self.staging({**staged, **in_memory(query)}) as backend:
            selected = f"{insert_into(name, tuple(query.columns))} {backend.compile(query)}"
            return self._execute(selected)

    def insert(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert a few rows of plain values, all with the same columns.

        Until something else has loaded pandas they travel as SQL literals: DuckDB's driver
        imports it for parameters, as pyarrow does for tables of Python values, and that takes
        longer than opening a database.
        """
        columns = tuple(rows[0])
        target = insert_into(name, columns)
        if "pandas" in sys.modules:
            places = ", ".join("?" * len(columns))
            with self.use(), self._storing():
                self._check_file()
                for row in rows:
                    self.cursor.execute(f"{target} VALUES ({places})", list(row.values()))
            return
        written = (", ".join(literal(value) for value in row.values()) for row in rows)
        self._execute(f"{target} VALUES {', '.join(f'({each})' for each in written)}")

    def close(self, name: str, rids: Sequence[int] | pa.Array, commit: int) -> None:
        """End the life of the live rows with these identities at a commit."""
        import pyarrow as pa

        if not len(rids):
            return
        if len(rids) <= _FEW_ROWS:  # as literals: staging a table takes a millisecond
            values = rids.to_pylist() if hasattr(rids, "to_pylist") else rids
            self._execute(ending_of(name, commit, ", ".join(str(int(value)) for value in values)))
            return
        staged = pa.table({RID: pa.array(rids, pa.int64())})
        with self._staging({_STAGED_ROWS: staged}):
            self._execute(ending_of(name, commit, f"SELECT {RID} FROM {_STAGED_ROWS}"))

    def close_query(self, name: str, query: ir.Table, commit: int, staged: Staged) -> int:
        """End the life of the live rows whose identities a query gives; return how many."""
        with self.staging({**staged, **in_memory(query)}) as backend:
            select = backend.compiler.to_sqlglot(query)
            ending = ending_where(name, commit, select)
            return self._execute(ending or ending_of(name, commit, select.sql("duckdb")))

    def replace_query(
        self, name: str, query: ir.Table, commit: int, kept: Sequence[str] = ()
    ) -> int:
        """Append new states of live rows, and end their old ones."""
        with self.staging(in_memory(query)) as backend:
            select = backend.compiler.to_sqlglot(query)
            into = insert_into(name, (*query.columns, *kept, FROM, TO))
            count = self._execute(f"{into} {new_states(name, select, commit, kept)}")
            # What is random chooses other rows when it is asked again.
            pure = not query.op().find(ops.Impure)
            ending = ending_where(name, commit, select) if pure else None
            if ending is None:
                newer = f"SELECT {RID} FROM {quoted(name)} WHERE {FROM} = {commit}"
                ending = ending_of(name, commit, newer)
            self._execute(f"{ending} AND {FROM} < {commit}")
        return count

    def fill(self, name: str, column: str, rows: pa.Table) -> None:
        """Set a column of live rows; `rows` has the identities and, as `column`, the values."""
        update = sge.Update(
            this=sge.Table(this=name_of(name)),
            expressions=[
                sge.EQ(this=name_of(column), expression=column_of(column, table=_STAGED_ROWS))
            ],
            **{FROM_ARGUMENT: sge.From(this=sge.Table(this=name_of(_STAGED_ROWS)))},
            where=sge.Where(
                this=sge.And(
                    this=sge.EQ(
                        this=column_of(TO, table=name), expression=sge.Literal.number(FOREVER)
                    ),
                    expression=sge.EQ(
                        this=column_of(RID, table=name),
                        expression=column_of(RID, table=_STAGED_ROWS),
                    ),
                )
            ),
        )
        with self._staging({_STAGED_ROWS: rows}):
            self._run(update)

    def fill_query(self, name: str, query: ir.Table) -> int:
        """Set columns of live rows to what a query of them gives; return how many there were."""
        with self.staging(in_memory(query)) as backend, _explained():
            select = backend.compiler.to_sqlglot(query)
            return self._execute(filling_by(name, tuple(query.columns), select))

    def delete(self, name: str, predicate: Mapping[str, Any]) -> None:
        """Delete the rows whose columns have these values."""
        conditions: list[sge.Expression] = [
            sge.EQ(this=column_of(column), expression=sge.convert(value))
            for column, value in predicate.items()
        ]
        where = sge.Where(this=sge.and_(*conditions))
        self._run(sge.Delete(this=sge.Table(this=name_of(name)), where=where))

    def delete_with_values(
        self, name: str, column: str, values: Sequence[str] | Sequence[int]
    ) -> None:
        """Delete the rows in which a column of texts or whole numbers has one of these values."""
        import pyarrow as pa

        with self._staging({_STAGED_ROWS: pa.table({column: pa.array(values)})}):
            among = f"{quoted(column)} IN (SELECT {quoted(column)} FROM {_STAGED_ROWS})"
            self._execute(f"DELETE FROM {quoted(name)} WHERE {among}")

    def drop_column(self, name: str, column: str) -> None:
        """Drop a column, if it is there."""
        action = sge.Drop(this=sge.Column(this=name_of(column)), kind="COLUMN", exists=True)
        self._run(sge.Alter(this=sge.Table(this=name_of(name)), kind="TABLE", actions=[action]))

    def purge(self, name: str, before: int, keep: Sequence[int]) -> int:
        """Delete the rows that ended by a commit, but those that lived at one to keep."""
        ended = sge.LTE(this=column_of(TO), expression=sge.Literal.number(before))
        lived = [
            sge.and_(
                sge.LTE(this=column_of(FROM), expression=sge.Literal.number(commit)),
                sge.GT(this=column_of(TO), expression=sge.Literal.number(commit)),
            )
            for commit in keep
        ]
        where = sge.and_(ended, sge.not_(sge.or_(*lived))) if lived else ended
        statement = sge.Delete(this=sge.Table(this=name_of(name)), where=sge.Where(this=where))
        return self._execute(statement.sql("duckdb"))

    @contextmanager
    def transaction(
        self, *, large: bool = False, invalidates_plans: bool = False
    ) -> Iterator[None]:
        """Make the calling thread's writes visible together, or not at all."""
        with (
            self._storing(),
            self.use(),
            little_cached(self.cursor) if large else nullcontext(),
        ):
            cursor = self.cursor
            self._database.check_file()
            cursor.begin()
            self._local.writing = True
            try:
                yield
            except BaseException:
                cursor.rollback()
                self._local.source = None  # what was registered meanwhile is gone
                raise
            else:
                with self._database.invalidating_plans() if invalidates_plans else nullcontext():
                    cursor.commit()
                    if getattr(self._local, "writers", 0):
                        self._untold += 1
                    self._database.commits += 1
            finally:
                self._local.writing = False

    def _check_file(self) -> None:
        if not self.writes:  # a transaction has looked when it began
            self._database.check_file()

    def _storing(self) -> AbstractContextManager[None]:
        return disk_explained(self._database.path)

    def separate(self) -> DuckDBBackend:
        """Give a connection whose writes are committed on their own."""
        return DuckDBBackend(self._database.share())

    def tables(self) -> set[str]:
        """Return the names of the stored tables."""
        # Not by Ibis' list_tables(), which calls what DuckDB has deprecated.
        with self.use():
            return {name for (name,) in self.cursor.execute(_TABLES).fetchall()}

    def columns(self, name: str) -> set[str]:
        """Return the names of the columns of a stored table; none where there is no such table."""
        with self.use():
            found = self.cursor.execute(_COLUMNS + literal(name)).fetchall()
        return {column for (column,) in found}

    def disconnect(self) -> None:
        """Close all connections; the last one closes the database."""
        self._local = threading.local()
        if not self._closed:
            self._closed = True
            self._database.leave()


def _written(rows: pa.Table) -> tuple[str, list[Any]] | None:
    """Write a few rows as the tuples of a VALUES clause, with the parameters that it takes.

    None where that is not exact, or takes longer than to hand the rows over. Parameters wait
    until something else has loaded pandas, as in `insert`.
    """
    if "pandas" in sys.modules:
        return as_parameters(rows)
    few = literals(rows)
    return None if few is None else (few, [])


@contextmanager
def _explained() -> Iterator[None]:
    """Say in our words what an expression asked that the database cannot do."""
    try:
        yield
    except (
        ibis.common.exceptions.OperationNotDefinedError,
        ibis.common.exceptions.UnsupportedOperationError,
    ) as error:
        raise UnsupportedError(
            f"DuckDB cannot run this expression: {error}.",
            hint="Rewrite that part, or compute it in a @bb.udf.",
        ) from error
    except duckdb.InvalidInputException as error:
        raise DataError(
            f"the database cannot compute this: {_reason(error)}.",
            hint="Correct the pattern or format, or filter out the values that it does not fit.",
        ) from error
    except duckdb.ProgrammingError as error:
        raise UnsupportedError(
            f"DuckDB cannot run this expression: {_reason(error)}.",
            hint="Correct the names and types that it is about.",
        ) from error
    except duckdb.DataError as error:
        raise DataError(
            f"the database cannot compute this: {_reason(error)}.",
            hint="Filter out such values first, or use try_cast() where cast() fails. What ceil(), "
            "floor(), round() and // make of floats are whole numbers of 64 bits: "
            "(t.x.abs() < 2**53).ifelse(t.x.ceil(), t.x) keeps larger and infinite ones."
            if "INT64" in str(error)
            else "Filter out such values first, or use try_cast() where cast() fails.",
        ) from error


_SOURCE = re.compile(r" when casting from source column c\d+$")  # as it is called in storage


def _reason(error: Exception) -> str:
    return _SOURCE.sub("", str(error).splitlines()[0])
