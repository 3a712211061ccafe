"""One connection to a Postgres database, through ADBC.

Owns how statements are run and how rows are read and copied as Arrow.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import adbc_driver_manager
import adbc_driver_postgresql

from barbule.backends.postgres.errors import nul_error, translate_errors
from barbule.errors import UnreachableError
from barbule.tracing import statement as traced_statement

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa


__all__ = ["AdbcConnection", "Stream"]

_WITHOUT_COPY = {"adbc.postgresql.use_copy": "false"}  # half the time of COPY, for few rows
_BATCH_BYTES = {"adbc.postgresql.batch_size_hint_bytes": str(4 << 20)}


class AdbcConnection:
    """One connection; used by one thread at a time.

    Attributes
    ----------
    depth
        The number of nested contexts that form one transaction.
    writers
        The number of nested contexts in which the thread holds the write lock.
    transaction
        The number of the open transaction and the pid of the server's process, once rows have been
        inserted by `insert`.
    """

    def __init__(self, database: adbc_driver_manager.AdbcDatabase, display_url: str) -> None:
        self._display_url = display_url
        self._adbc = adbc_driver_manager.AdbcConnection(database)
        self._adbc.set_autocommit(True)
        self._lost = False
        self.depth = self.writers = 0
        self.transaction: tuple[int, int] | None = None

    @contextmanager
    def translated_errors(self) -> Iterator[None]:
        """Convert the server's errors, and record a lost connection."""
        try:
            with translate_errors(self._display_url, lambda: self.lost):
                yield
        except UnreachableError:
            self._lost = True
            raise

    @contextmanager
    def _statement(self, options: dict[str, str]) -> Iterator[adbc_driver_manager.AdbcStatement]:
        with self.translated_errors():
            statement = adbc_driver_manager.AdbcStatement(self._adbc)
        try:
            with self.translated_errors():
                if options:
                    statement.set_options(**options)
                yield statement
        finally:
            statement.close()

    def run(self, sql: str) -> int:
        """Run a statement that returns no rows; return the number of changed rows."""
        with traced_statement(sql) as traced, self._statement({}) as statement:
            statement.set_sql_query(_without_nul(sql))
            rows = statement.execute_update()
            traced.set(rows=max(rows, 0))
        return rows

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Run a query with few rows."""
        table = self.stream(sql, simple=True).read_all()
        return list(zip(*(column.to_pylist() for column in table.columns), strict=True))

    def stream(self, sql: str, *, simple: bool = False) -> Stream:
        """Run a query; its rows arrive while they are read."""
        return Stream(self, self._adbc, sql, _WITHOUT_COPY if simple else _BATCH_BYTES)

    def insert(self, sql: str) -> None:
        """Run an INSERT, and record the number of its transaction."""
        if not self.depth or self.transaction is not None:
            self.run(sql)
            return
        rows = self.rows(f"{sql} RETURNING txid_current(), pg_backend_pid()")
        self.transaction = rows[0] if rows else None

    def copy(self, table: str, rows: pa.Table, *, temporary: bool = False) -> None:
        """Append rows in Postgres' binary COPY format; their types are those of the table."""
        options = {
            "adbc.ingest.target_table": table,
            "adbc.ingest.mode": "adbc.ingest.mode.append",
        }
        if temporary:
            options["adbc.ingest.target_db_schema"] = "pg_temp"
        with traced_statement(f'COPY "{table}"') as traced, self._statement(options) as statement:
            traced.set(rows=rows.num_rows)
            statement.bind_stream(rows.to_reader())
            statement.execute_update()

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self._status() in {"active", "intrans", "inerror"}

    @property
    def failed(self) -> bool:
        """Whether a statement of the open transaction has failed."""
        return self._status() == "inerror"

    @property
    def in_use(self) -> bool:
        """Whether a transaction or the write lock ties the thread to this connection."""
        return self.depth > 0 or self.writers > 0

    @property
    def lost(self) -> bool:
        """Whether the connection to the server is lost."""
        return self._lost or self._status() == "unknown"

    def _status(self) -> str:
        key = adbc_driver_postgresql.ConnectionOptions.TRANSACTION_STATUS.value
        try:
            return self._adbc.get_option(key)
        except adbc_driver_manager.ProgrammingError:  # it has been closed
            return "unknown"

    def close(self) -> None:
        """Close the connection."""
        self._adbc.close()


class Stream:
    """The rows of a query, as they arrive: an iterator of record batches."""

    def __init__(
        self,
        connection: AdbcConnection,
        adbc: adbc_driver_manager.AdbcConnection,
        sql: str,
        options: dict[str, str],
    ) -> None:
        from adbc_driver_manager._reader import AdbcRecordBatchReader

        self._translated_errors = connection.translated_errors
        self._closed = False
        self._traced = traced_statement(sql)
        self._rows = 0
        with self._translated_errors():
            self._statement = adbc_driver_manager.AdbcStatement(adbc)
        try:
            with self._translated_errors(), self._traced:
                self._statement.set_options(**options)
                self._statement.set_sql_query(_without_nul(sql))
                handle, _ = self._statement.execute_query()
            # pyarrow's own reader would raise an error without its SQLSTATE.
            self._reader = AdbcRecordBatchReader._import_from_c(handle.address)
        except BaseException:
            self._statement.close()
            raise

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        try:
            while True:
                with self._translated_errors(), self._traced:
                    try:
                        batch = self._reader.read_next_batch()
                    except StopIteration:
                        return
                    self._rows += batch.num_rows
                    self._traced.set(rows=self._rows)
                yield batch
        finally:
            self.close()

    def read_all(self) -> pa.Table:
        """Return all rows."""
        try:
            with self._translated_errors(), self._traced:
                rows = self._reader.read_all()
                if self._traced:
                    self._traced.set(rows=rows.num_rows, bytes=rows.nbytes)
            return rows
        finally:
            self.close()

    def close(self) -> None:
        """End the query, even if rows are unread; closing twice is fine."""
        if not self._closed:
            self._closed = True
            self._reader.close()
            self._statement.close()


def _without_nul(sql: str) -> str:
    """Refuse a statement with NUL, at which the driver would truncate it."""
    if "\0" in sql:
        raise nul_error()
    return sql
