"""The DuckDB adapter.

Owns the connections to one DuckDB database and the statements that write to it. Statements are
built with sqlglot; names and values never reach SQL in any other way.
"""

from __future__ import annotations

import datetime
import functools
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
from barbule.backends.duckdb_file import DuckDBFile
from barbule.errors import BarbuleError, ConfigurationError, DataError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    import pyarrow as pa

__all__ = ["DuckDBBackend", "open_backend"]

_STAGED_ROWS = "bb_staged_rows"
_APPENDED_ROWS = "bb_appended_rows"
_BEHIND = "_arrow"  # of what a view over staged rows reads
_TABLES = (
    "SELECT table_name FROM duckdb_tables() WHERE database_name = current_database() "
    "AND schema_name = current_schema() AND NOT temporary"
)
_COLUMNS = (
    "SELECT column_name FROM duckdb_columns() WHERE database_name = current_database() "
    "AND schema_name = current_schema() AND table_name = "
)
_LITTLE = "512 MiB"  # for what a transaction writes that may not fit in memory
_FEW_ROWS = 16
_LONG_TEXT = 1000  # what is not written into a statement
_BATCH_ROWS = 2048  # DuckDB's vector size: a batch is a multiple of it


def open_backend(url: str, lock_timeout: float) -> DuckDBBackend:
    """Open `duckdb:///path/to/file`, or `duckdb://` for a database in memory."""
    path = url.split("://", 1)[1] if "://" in url else url.split(":", 1)[1]
    path = path.split("?", 1)[0]
    if path in {"", ":memory:", "/:memory:"}:
        return DuckDBBackend(DuckDBFile.shared(None, lock_timeout))
    file = Path(path)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        return DuckDBBackend(DuckDBFile.shared(file.resolve(), lock_timeout))
    except (OSError, duckdb.Error) as error:
        if isinstance(error, BarbuleError):
            raise
        raise ConfigurationError(
            f"the database {str(file)!r} cannot be opened: {str(error).splitlines()[0]}",
            hint="Check the path and its permissions.",
        ) from error


@ibis.udf.scalar.builtin(name="array_cosine_similarity")
def _cosine(left, right) -> float: ...  # type: ignore[no-untyped-def, empty-body]  # noqa: ANN001 - Ibis takes any value


@ibis.udf.scalar.builtin(name="array_inner_product")
def _inner(left, right) -> float: ...  # type: ignore[no-untyped-def, empty-body]  # noqa: ANN001 - Ibis takes any value


@ibis.udf.scalar.builtin(name="array_distance")
def _distance(left, right) -> float: ...  # type: ignore[no-untyped-def, empty-body]  # noqa: ANN001 - Ibis takes any value


class _Source:
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


class DuckDBBackend:
    """A DuckDB database; each thread works on a cursor of its own."""

    name = "duckdb"
    many_writers = False

    def __init__(self, database: DuckDBFile) -> None:
        self._database = database
        self._local = threading.local()
        self._ibis: Any = None
        self._closed = False
        # Compiling takes longer than most queries; plans are asked again.
        self._compiled = functools.lru_cache(maxsize=256)(self._compile_op)

    @property
    def ibis(self) -> Any:
        """The Ibis backend, the same one for all threads."""
        if self._ibis is None:
            from barbule.backends.duckdb_ibis import SharedIbis

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
        return self._database.openings, self._database.commits

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Be the only one who writes meanwhile."""
        with self.use(), self._database.writing:
            yield

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
                held.enter_context(_registered(cursor, name, rows, united=united))
            held.enter_context(_explained())
            yield self.ibis

    def compile(self, query: ir.Expr) -> str:
        """Return the SQL of a query of plain Ibis operations."""
        with _explained():
            return self.ibis.compile(query)

    def arrow(self, query: ir.Table, staged: Staged) -> pa.Table:
        """Run a query and return its rows."""
        memory = _in_memory(query)
        with _explained():
            sql = self.ibis.compile(query) if memory else self._compiled(query.op())
        with self._staging({**staged, **memory}, united=_unites(sql)) as backend:
            rows = backend.con.execute(sql).to_arrow_table()
        return _fitted(rows, query.schema().to_pyarrow())

    def _compile_op(self, op: ops.Node) -> str:
        return str(self.ibis.compile(op.to_expr()))

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
            for name, table in {**staged, **_in_memory(query)}.items():
                _register(cursor, name, table, _computed(table, united=_unites(sql)))
            with _explained():
                for batch in cursor.execute(sql).to_arrow_reader(rows):
                    yield from _fitted(pa.Table.from_batches([batch]), wanted).to_batches()
            self._database.end(cursor)
        finally:
            self._database.let_go()

    @property
    def writes(self) -> bool:
        """Whether the calling thread is in a transaction."""
        return getattr(self._local, "writing", False)

    def similarity(self, left: ops.Value, right: ops.Value, metric: str) -> ops.Value:
        """Make the value that says how similar two vectors are; larger is nearer."""
        a, b = left.to_expr(), right.to_expr()
        if metric == "cosine":
            return _cosine(a, b).op()
        return (_inner(a, b) if metric == "ip" else -_distance(a, b)).op()

    # Writing

    def _run(self, statement: sge.Expression) -> None:
        self._execute(statement.sql("duckdb"))

    def _execute(self, statement: str) -> int:
        """Run a statement that gives no rows, or the number of those that it changed."""
        with self.use():
            counted = self.cursor.execute(statement).fetchall()
        return int(counted[0][0]) if counted else 0

    def create(self, name: str, schema: sch.Schema) -> None:
        """Create a table; one of the same name that a crash left is replaced."""
        self.drop(name)
        columns = [
            sge.ColumnDef(this=_name(column), kind=self._type(kind))
            for column, kind in schema.items()
        ]
        target = sge.Schema(this=sge.Table(this=_name(name)), expressions=columns)
        self._run(sge.Create(this=target, kind="TABLE"))

    def _type(self, kind: Any) -> sge.Expression:
        return DuckDBType.from_ibis(kind.copy(nullable=True))

    def drop(self, name: str) -> None:
        """Drop a table, if it is there."""
        self._run(sge.Drop(this=sge.Table(this=_name(name)), kind="TABLE", exists=True))

    def add_column(self, name: str, column: str, dtype: Any) -> None:
        """Add an empty column; one of the same name that a crash left is replaced."""
        table = sge.Table(this=_name(name))
        for action in (
            sge.Drop(this=sge.Column(this=_name(column)), kind="COLUMN", exists=True),
            sge.ColumnDef(this=_name(column), kind=self._type(dtype)),
        ):
            self._run(sge.Alter(this=table.copy(), kind="TABLE", actions=[action]))

    def append(self, name: str, rows: pa.Table) -> None:
        """Append rows, matched by column name; other columns are empty."""
        columns = tuple(rows.column_names)
        few = _literals(rows) if rows.num_rows <= _FEW_ROWS else None
        if few is not None:  # staging a table takes longer than writing a few rows
            self._execute(f"{_insert_into(name, columns)} VALUES {few}")
            return
        with self.use(), self._source().of(rows) as source, _explained():
            self._execute(_copying(name, columns, source))

    def _source(self) -> _Source:
        """Return what hands Arrow rows to the statements of the calling thread."""
        cursor = self.cursor
        known = getattr(self._local, "source", None)
        if known is None or known.cursor is not cursor:
            known = self._local.source = _Source(cursor)
        return known

    def append_query(self, name: str, query: ir.Table, staged: Staged) -> int:
        """Append the rows of a query, matched by column name; return how many."""
        with self.staging({**staged, **_in_memory(query)}) as backend:
            selected = f"{_insert_into(name, tuple(query.columns))} {backend.compile(query)}"
            return self._execute(selected)

    def insert(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert a few rows of plain values, all with the same columns.

        Until something else has loaded pandas they travel as SQL literals: DuckDB's driver
        imports it for parameters, as pyarrow does for tables of Python values, and that takes
        longer than opening a database.
        """
        columns = tuple(rows[0])
        target = _insert_into(name, columns)
        if "pandas" in sys.modules:
            places = ", ".join("?" * len(columns))
            with self.use():
                for row in rows:
                    self.cursor.execute(f"{target} VALUES ({places})", list(row.values()))
            return
        written = (", ".join(_literal(value) for value in row.values()) for row in rows)
        self._execute(f"{target} VALUES {', '.join(f'({each})' for each in written)}")

    def close(self, name: str, rids: Sequence[int] | pa.Array, commit: int) -> None:
        """End the life of the live rows with these identities at a commit."""
        import pyarrow as pa

        if not len(rids):
            return
        if len(rids) <= _FEW_ROWS:  # as literals: staging a table takes a millisecond
            values = rids.to_pylist() if hasattr(rids, "to_pylist") else rids
            self._execute(_ending(name, commit, ", ".join(str(int(value)) for value in values)))
            return
        staged = pa.table({RID: pa.array(rids, pa.int64())})
        with self._staging({_STAGED_ROWS: staged}):
            self._execute(_ending(name, commit, f"SELECT {RID} FROM {_STAGED_ROWS}"))

    def close_query(self, name: str, query: ir.Table, commit: int, staged: Staged) -> int:
        """End the life of the live rows whose identities a query gives; return how many."""
        with self.staging({**staged, **_in_memory(query)}) as backend:
            select = backend.compiler.to_sqlglot(query)
            ending = _ending_where(name, commit, select)
            return self._execute(ending or _ending(name, commit, select.sql("duckdb")))

    def replace_query(self, name: str, query: ir.Table, commit: int) -> int:
        """Append the new states of live rows that a query gives, and end their old ones."""
        with self.staging(_in_memory(query)) as backend:
            select = backend.compiler.to_sqlglot(query)
            into = _insert_into(name, tuple(query.columns))
            count = self._execute(f"{into} {select.sql('duckdb')}")
            # What is random chooses other rows when it is asked again.
            pure = not query.op().find(ops.Impure)
            ending = _ending_where(name, commit, select) if pure else None
            if ending is None:
                newer = f"SELECT {RID} FROM {_quoted(name)} WHERE {FROM} = {commit}"
                ending = _ending(name, commit, newer)
            self._execute(f"{ending} AND {FROM} < {commit}")
        return count

    def fill(self, name: str, column: str, rows: pa.Table) -> None:
        """Set a column of live rows; `rows` has the identities and, as `column`, the values."""
        update = sge.Update(
            this=sge.Table(this=_name(name)),
            expressions=[
                sge.EQ(this=_name(column), expression=_column(column, table=_STAGED_ROWS))
            ],
            **{_FROM_ARGUMENT: sge.From(this=sge.Table(this=_name(_STAGED_ROWS)))},
            where=sge.Where(
                this=sge.And(
                    this=sge.EQ(
                        this=_column(TO, table=name), expression=sge.Literal.number(FOREVER)
                    ),
                    expression=sge.EQ(
                        this=_column(RID, table=name),
                        expression=_column(RID, table=_STAGED_ROWS),
                    ),
                )
            ),
        )
        with self._staging({_STAGED_ROWS: rows}):
            self._run(update)

    def delete(self, name: str, predicate: Mapping[str, Any]) -> None:
        """Delete the rows whose columns have these values."""
        conditions: list[sge.Expression] = [
            sge.EQ(this=_column(column), expression=sge.convert(value))
            for column, value in predicate.items()
        ]
        where = sge.Where(this=sge.and_(*conditions))
        self._run(sge.Delete(this=sge.Table(this=_name(name)), where=where))

    def delete_among(self, name: str, column: str, values: Sequence[str]) -> None:
        """Delete the rows in which a column of texts has one of these values."""
        import pyarrow as pa

        with self._staging({_STAGED_ROWS: pa.table({column: pa.array(values, pa.string())})}):
            among = f"{_quoted(column)} IN (SELECT {_quoted(column)} FROM {_STAGED_ROWS})"
            self._execute(f"DELETE FROM {_quoted(name)} WHERE {among}")

    def drop_column(self, name: str, column: str) -> None:
        """Drop a column, if it is there."""
        action = sge.Drop(this=sge.Column(this=_name(column)), kind="COLUMN", exists=True)
        self._run(sge.Alter(this=sge.Table(this=_name(name)), kind="TABLE", actions=[action]))

    def purge(self, name: str, before: int, keep: Sequence[int]) -> int:
        """Delete the rows that ended by a commit, but those that lived at one to keep."""
        ended = sge.LTE(this=_column(TO), expression=sge.Literal.number(before))
        lived = [
            sge.and_(
                sge.LTE(this=_column(FROM), expression=sge.Literal.number(commit)),
                sge.GT(this=_column(TO), expression=sge.Literal.number(commit)),
            )
            for commit in keep
        ]
        where = sge.and_(ended, sge.not_(sge.or_(*lived))) if lived else ended
        statement = sge.Delete(this=sge.Table(this=_name(name)), where=sge.Where(this=where))
        with self.use():
            return int(self.cursor.execute(statement.sql("duckdb")).fetchall()[0][0])

    @contextmanager
    def transaction(self, *, large: bool = False) -> Iterator[None]:
        """Make the calling thread's writes visible together, or not at all."""
        with self.use(), _little_cached(self.cursor) if large else nullcontext():
            cursor = self.cursor
            if "pyarrow" in sys.modules:
                self._source()  # what is registered in a transaction is gone with it
            cursor.begin()
            self._local.writing = True
            try:
                yield
            except BaseException:
                cursor.rollback()
                self._local.source = None
                raise
            else:
                cursor.commit()
                self._database.commits += 1
            finally:
                self._local.writing = False

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
            found = self.cursor.execute(_COLUMNS + _literal(name)).fetchall()
        return {column for (column,) in found}

    def disconnect(self) -> None:
        """Close all connections; the last one closes the database."""
        self._local = threading.local()
        if not self._closed:
            self._closed = True
            self._database.leave()


@contextmanager
def _explained() -> Iterator[None]:
    """Say in our words what an expression asked that the database cannot do."""
    try:
        yield
    except ibis.common.exceptions.OperationNotDefinedError as error:
        raise UnsupportedError(
            f"DuckDB cannot run this expression: {error}.",
            hint="Rewrite that part, or compute it in a @bb.udf.",
        ) from error
    except duckdb.ProgrammingError as error:
        raise UnsupportedError(
            f"DuckDB cannot run this expression: {str(error).splitlines()[0]}.",
            hint="Correct the names and types that it is about.",
        ) from error
    except duckdb.DataError as error:
        raise DataError(
            f"the database cannot compute this: {str(error).splitlines()[0]}.",
            hint="Filter out such values first, or use try_cast() where cast() fails.",
        ) from error


@contextmanager
def _little_cached(cursor: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Keep what is written from filling the memory: DuckDB caches it as long as there is any."""
    (before,) = cursor.execute("SELECT current_setting('memory_limit')").fetchall()[0]
    if _bytes(before) > _bytes(_LITTLE):
        with suppress(duckdb.Error):  # others use more at this moment
            cursor.execute(f"SET memory_limit = '{_LITTLE}'")
    try:
        yield
    finally:
        number, unit = before.split()
        # It is shown cut off after one decimal: half of one more brings back what was shown.
        cursor.execute(f"SET memory_limit = '{float(number) + 0.05} {unit}'")


def _bytes(size: str) -> float:
    """Read a size as DuckDB writes it, say `18.7 GiB`."""
    number, unit = size.split()
    prefix = unit.removesuffix("bytes").removesuffix("iB")
    return float(number) * 1024 ** (" KMGT".index(prefix) if prefix else 0)


# sqlglot 28 renamed the argument.
_FROM_ARGUMENT = "from_" if "from_" in sge.Update.arg_types else "from"


@functools.cache
def _insert_into(name: str, columns: tuple[str, ...]) -> str:
    return f"INSERT INTO {_quoted(name)} ({', '.join(map(_quoted, columns))})"


@functools.cache
def _copying(name: str, columns: tuple[str, ...], source: str) -> str:
    shown = ", ".join(map(_quoted, columns))
    return f"{_insert_into(name, columns)} SELECT {shown} FROM {source}"


def _ending(name: str, commit: int, rids: str) -> str:
    """Write the statement that ends the life of rows, given their identities or a query."""
    return (
        f"UPDATE {_quoted(name)} SET {TO} = {commit} WHERE {TO} = {FOREVER} AND {RID} IN ({rids})"
    )


def _ending_where(name: str, commit: int, select: sge.Expression) -> str | None:
    """Write the same by the condition of a query that filters the table itself, else None.

    It saves joining the rows with themselves.
    """
    source = select.args.get(_FROM_ARGUMENT)
    parts = {part for part, value in select.args.items() if value}
    if not parts <= {"expressions", _FROM_ARGUMENT, "where"} or source is None:
        return None
    table, where = source.this, select.args.get("where")
    if not isinstance(table, sge.Table) or table.name != name:
        return None
    if where is not None and where.find(sge.Query):
        return None
    alive = sge.EQ(this=_column(TO), expression=sge.Literal.number(FOREVER))
    update = sge.Update(
        this=table,
        expressions=[sge.EQ(this=_name(TO), expression=sge.Literal.number(commit))],
        where=sge.Where(this=alive if where is None else sge.and_(where.this, alive)),
    )
    return update.sql("duckdb")


@functools.cache
def _quoted(name: str) -> str:
    return _name(name).sql("duckdb")


def _literal(value: Any) -> str:
    if isinstance(value, datetime.datetime):
        return sge.cast(sge.Literal.string(value.isoformat()), "timestamptz").sql("duckdb")
    return sge.convert(value).sql("duckdb")


def _text(value: str) -> str:
    escaped = value.replace("'", "''")
    return f"'{escaped}'"


# How a value of an Arrow type is written, exactly: DuckDB reads a bare 0.7 as a decimal.
_LITERALS: dict[str, Callable[[Any], str]] = {
    "bool": str,
    "double": lambda value: f"'{value!r}'::DOUBLE",
    "float": lambda value: f"'{value!r}'::FLOAT",
    "large_string": _text,
    "null": str,
    "string": _text,
    **{f"{sign}int{bits}": str for sign in ("", "u") for bits in (8, 16, 32, 64)},
}


def _literals(rows: pa.Table) -> str | None:
    """Write rows of plain values as the tuples of a VALUES clause; None where that is not exact."""
    kinds = [str(field.type) for field in rows.schema]
    if not all(kind in _LITERALS for kind in kinds):
        return None
    columns = [column.to_pylist() for column in rows.columns]
    texts = [value for column in columns for value in column if isinstance(value, str)]
    if any(len(text) > _LONG_TEXT or "\0" in text for text in texts):
        return None
    written = [
        ["NULL" if value is None else write(value) for value in column]
        for write, column in zip((_LITERALS[kind] for kind in kinds), columns, strict=True)
    ]
    return ", ".join(f"({', '.join(row)})" for row in zip(*written, strict=True))


def _name(name: str) -> sge.Identifier:
    return sge.to_identifier(name, quoted=True)


def _column(name: str, table: str | None = None) -> sge.Column:
    return sge.Column(this=_name(name), table=_name(table) if table else None)


def _unites(sql: str) -> bool:
    return " UNION " in sql


def _computed(rows: pa.Table, *, united: bool) -> list[str]:
    """Return the columns that are shown as computed values, which DuckDB filters itself.

    Else it lets Arrow filter what it scans. For Arrow NaN is not larger than other numbers, as it
    is for DuckDB; and where rows are united with stored ones and then joined, DuckDB hands Arrow a
    filter that Arrow does not know (https://github.com/duckdb/duckdb-python/issues/463).
    """
    import pyarrow as pa

    if not united:
        return [name for name in rows.column_names if _has_nan(rows.column(name))]
    return [field.name for field in rows.schema if not pa.types.is_null(field.type)]


@contextmanager
def _registered(
    cursor: duckdb.DuckDBPyConnection, name: str, rows: pa.Table, *, united: bool
) -> Iterator[None]:
    """Make Arrow rows readable under a name meanwhile."""
    computed = _computed(rows, united=united)
    _register(cursor, name, rows, computed)
    try:
        yield
    finally:
        if computed:
            cursor.execute(f"DROP VIEW IF EXISTS {_quoted(name)}")
        cursor.unregister(f"{name}{_BEHIND}" if computed else name)


def _register(
    cursor: duckdb.DuckDBPyConnection, name: str, rows: pa.Table, computed: list[str]
) -> None:
    """Make Arrow rows readable under a name."""
    if not computed:
        cursor.register(name, rows)
        return
    behind = f"{name}{_BEHIND}"
    cursor.register(behind, rows)
    values = [
        sge.alias_(sge.Coalesce(this=_name(each), expressions=[_name(each)]), each, quoted=True)
        if each in computed
        else _name(each)
        for each in rows.column_names
    ]
    query = sge.Select(expressions=values).from_(sge.Table(this=_name(behind)))
    view = sge.Create(
        this=sge.Table(this=_name(name)),
        kind="VIEW",
        expression=query,
        replace=True,
        properties=sge.Properties(expressions=[sge.TemporaryProperty()]),
    )
    cursor.execute(view.sql("duckdb"))


def _has_nan(cells: pa.ChunkedArray) -> bool:
    import pyarrow as pa

    if pa.types.is_struct(cells.type):
        return any(_has_nan(part) for part in cells.flatten())
    if not pa.types.is_floating(cells.type):
        return False
    import numpy as np

    return any(bool(np.isnan(part.to_numpy(zero_copy_only=False)).any()) for part in cells.chunks)


def _in_memory(query: ir.Table) -> dict[str, pa.Table]:
    """Return the in-memory tables of a query, which are staged like finished stages."""
    return {
        leaf.name: leaf.data.to_pyarrow(leaf.schema) for leaf in query.op().find(ops.InMemoryTable)
    }


def _fitted(rows: pa.Table, wanted: pa.Schema) -> pa.Table:
    """Give rows the columns and types that their query has for Ibis.

    Ibis reads all columns that it knows of a table as `*`, which may be more than it knows.
    """
    import pyarrow as pa

    rows = rows if rows.column_names == wanted.names else rows.select(wanted.names)
    # Whether a value may be missing is checked where it matters, with a message of its own.
    wanted = pa.schema([field.with_nullable(True) for field in wanted])
    for place, field in enumerate(wanted):
        column = rows.column(place)
        if pa.types.is_decimal(column.type) and pa.types.is_floating(field.type):
            # A literal 0.7 is a decimal for DuckDB; Arrow makes 0.7000000000000001 of that.
            rows = rows.set_column(place, field.name, column.cast(pa.string()).cast(field.type))
    return rows if rows.schema.equals(wanted) else rows.cast(wanted)
