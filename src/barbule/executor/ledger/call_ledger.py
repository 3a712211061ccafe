"""The call ledger: every call that was made, and its answer, stored once.

Owns the writes and look-ups of the table `bb_calls`. Answers are committed separately as they
arrive, regardless of the outcome of the operation. A crash between a reply and its commit may
repeat the calls of that batch. Failed calls are recorded too; they answer nothing.
"""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import ibis
import ibis.expr.schema as sch

from barbule.errors import BarbuleError, UnreachableError
from barbule.executor.budgets.reservations import Reservations
from barbule.executor.ledger.answers import (
    CALLS_SCHEMA,
    CALLS_TABLE,
    answer_decoder,
    answer_rows,
    arrow_rows,
)
from barbule.executor.ledger.call_history import REQUESTED_KEYS, CallHistory
from barbule.executor.ledger.eviction import expired_keys, keys_beyond_size
from barbule.executor.ledger.write_behind import WriteBehind
from barbule.tracing import span

if TYPE_CHECKING:
    import datetime
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import ibis.expr.datatypes as dt
    import ibis.expr.types as ir
    import pyarrow as pa

    from barbule.backends.base import Backend, RowStore
    from barbule.executor.ledger.answers import Answer

__all__ = ["CallLedger"]

_LOG = logging.getLogger("barbule")
_MAX_INLINE_KEYS = 16  # keys that are looked up with a list in the query, and not with a join
_ANSWERS_PER_EVICTION = 10_000  # writes before old answers are searched again


class CallLedger:
    """The answers of one database.

    Parameters
    ----------
    backend
        A separate connection: writes through it are committed immediately.
    max_age
        Older answers are dropped; None keeps them.
    max_bytes
        If all answers take more bytes, the oldest are dropped; None keeps them.

    Attributes
    ----------
    writer
        The thread that writes answers while others arrive.
    reservations
        The reservations of operations in the budgets of tables.
    history
        Queries over past calls, other than their answers.
    """

    def __init__(
        self,
        backend: Backend,
        max_age: datetime.timedelta | None = None,
        max_bytes: int | None = None,
    ) -> None:
        self._backend = backend
        self._lock = threading.RLock()  # of writers; each reader has its own cursor
        self._limits = (max_age, max_bytes)
        self._answers_until_eviction = 0
        self._unwritten: list[pa.Table] = []  # each has a timestamp of its own
        self._in_doubt = False  # whether the first of them may have been written nevertheless
        self.writer = ThreadPoolExecutor(1, "barbule-ledger")
        self._behind = WriteBehind(self._append, self.writer)
        self.history = CallHistory(backend, self.flush)
        self.reservations = Reservations(backend, self.history.spent)
        self._queries: dict[tuple[str, ...], ir.Table] = {}
        self._leaves: dict[tuple[str, ...], ir.Table] = {}
        if missing := set(CALLS_SCHEMA.names) - backend.columns(CALLS_TABLE):
            self._create(missing)

    def _create(self, missing: set[str]) -> None:
        """Create the table, or the columns that a table of an older version lacks."""
        with self._backend.write_lock():
            # Another process may just have created it.
            existing = self._backend.columns(CALLS_TABLE)
            if not existing:
                self._backend.create_table(CALLS_TABLE, CALLS_SCHEMA)
                return
            for name in sorted(missing - existing):
                self._backend.add_column(CALLS_TABLE, name, CALLS_SCHEMA[name])

    # Reading

    def look_up(self, keys: Sequence[str], dtype: dt.DataType) -> dict[str, Any]:
        """Return the answers among `keys`, as values of `dtype`."""
        rows = self.answers(keys, ["key", "answer"])
        answers = zip(rows["key"].to_pylist(), rows["answer"].to_pylist(), strict=True)
        decode = answer_decoder(dtype)
        return {key: decode(answer) for key, answer in answers}

    def answered_keys(self, keys: Sequence[str]) -> set[str]:
        """Return the `keys` that have an answer."""
        return set(self.answers(keys, ["key"])["key"].to_pylist())

    def answers(self, keys: Sequence[str], columns: Sequence[str]) -> pa.Table:
        """Return columns of the rows that answer `keys`."""
        with span("ledger", "read", keys=len(keys)) as traced:
            rows = self._answers(keys, columns)
            traced.set(found=rows.num_rows)
        return rows

    def _answers(self, keys: Sequence[str], columns: Sequence[str]) -> pa.Table:
        import pyarrow as pa

        # First the answers that are not written yet: they may be in the meantime.
        waiting = self._behind.find(keys)
        waiting_rows = [row for row in waiting.values() if row["answer"] is not None]
        waiting_keys = {row["key"] for row in waiting_rows}
        stored_keys = [key for key in keys if key not in waiting_keys] if waiting else list(keys)
        if not stored_keys:
            return arrow_rows(waiting_rows).select(columns)
        if self._unwritten:
            with self._lock:
                self._retry_writes()
        stored = self._stored_answers(stored_keys, columns)
        if not waiting_rows:
            return stored
        return pa.concat_tables([stored, arrow_rows(waiting_rows).select(columns)])

    def _stored_answers(self, keys: Sequence[str], columns: Sequence[str]) -> pa.Table:
        """Return columns of the rows of the database that answer `keys`."""
        import pyarrow as pa

        if len(keys) > _MAX_INLINE_KEYS:
            staged = {REQUESTED_KEYS: pa.table({"key": keys})}
            return self._backend.arrow(self._answers_query(tuple(columns)), staged)
        calls = self._calls_with((*columns, "answer"))
        rows = self._backend.rows_with_values(calls, "key", keys)
        return rows.filter(rows["answer"].is_valid()).select(columns)

    def _calls_with(self, columns: tuple[str, ...]) -> ir.Table:
        """Return the table of calls with these columns, created once."""
        if columns not in self._leaves:
            schema = sch.Schema({name: CALLS_SCHEMA[name] for name in columns})
            self._leaves[columns] = self._backend.table(CALLS_TABLE, schema).to_expr()
        return self._leaves[columns]

    def _answers_query(self, columns: tuple[str, ...]) -> ir.Table:
        """Return the query for columns of answers: building it takes longer than running it."""
        if columns not in self._queries:
            keys = self._backend.table(REQUESTED_KEYS, sch.Schema({"key": "string"})).to_expr()
            calls = self._calls()
            answered = calls.filter(calls.answer.notnull()).semi_join(keys, "key")
            self._queries[columns] = answered.select(*columns)
        return self._queries[columns]

    def _calls(self) -> ir.Table:
        return self._backend.table(CALLS_TABLE, CALLS_SCHEMA).to_expr()

    def tokens(self, keys: Sequence[str]) -> Mapping[str, tuple[int, int]]:
        """Return the tokens in and out of the calls among `keys` whose provider reported them."""
        rows = self.answers(keys, ["key", "tokens_in", "tokens_out", "estimated"]).to_pylist()
        return {
            row["key"]: (row["tokens_in"], row["tokens_out"] or 0)
            for row in rows
            if row["tokens_in"] is not None and not row["estimated"]
        }

    # Writing

    def write(self, answers: Sequence[Answer], dtype: dt.DataType) -> None:
        """Write answers, each once, so that they outlive this process.

        If the server of the database is unavailable, they wait in memory: they are paid for.
        """
        if answers:
            self._append(list(answer_rows(answers, dtype).values()))

    def write_behind(
        self,
        answers: Sequence[Answer],
        dtype: dt.DataType,
        written: Callable[[], None] | None = None,
    ) -> None:
        """Write answers behind, together with others; this session finds them immediately."""
        self._behind.add(answer_rows(answers, dtype), written)

    def flush(self) -> None:
        """Write the pending write-behind rows.

        Raises
        ------
        BarbuleError
            If the database refuses the write; it waits for a retry.
        """
        self._behind.flush()

    @contextmanager
    def joining(self, store: RowStore) -> Iterator[Callable[[], None]]:
        """Yield a function that writes the pending answers in a transaction of another connection.

        They are written with it, or stay pending if it fails.
        """
        with ExitStack() as stack:

            def write() -> None:
                rows = stack.enter_context(self._behind.taking())
                if rows:
                    with span("ledger", "write", rows=len(rows)):
                        store.append(CALLS_TABLE, arrow_rows(rows))

            yield write

    def wait(self) -> None:
        """Wait for answers that are being written."""
        self._behind.wait()

    def _append(self, rows: Sequence[Mapping[str, Any]]) -> None:
        with self._lock, span("ledger", "write", rows=len(rows)):
            self._unwritten.append(arrow_rows(rows))
            with suppress(UnreachableError):  # `retry_writes` raises it
                self._retry_writes()
        self._answers_until_eviction -= len(rows)
        has_limits = any(limit is not None for limit in self._limits)
        if has_limits and self._answers_until_eviction <= 0:
            self._answers_until_eviction = _ANSWERS_PER_EVICTION
            self.evict(*self._limits)

    def retry_writes(self) -> None:
        """Write the answers that could not be written before.

        Raises
        ------
        UnreachableError
            If the server of the database is still unavailable.
        """
        with self._lock:
            self._retry_writes()

    def _retry_writes(self) -> None:
        while self._unwritten:
            rows = self._unwritten[0]
            try:
                if not self._in_doubt or not self._is_written(rows):
                    self._in_doubt = True
                    self._backend.append(CALLS_TABLE, rows)
            except UnreachableError:
                raise
            except BaseException:
                del self._unwritten[0]
                self._in_doubt = False
                raise
            del self._unwritten[0]
            self._in_doubt = False

    def _is_written(self, rows: pa.Table) -> bool:
        """Whether rows have been written although the server did not confirm it."""
        calls = self._calls()
        key, timestamp = rows["key"][0].as_py(), rows["at"][0].as_py()
        same = calls.filter(
            calls.key == key, calls["at"] == ibis.literal(timestamp, "timestamp('UTC')")
        )
        return self._backend.arrow(same.select("key").limit(1), {}).num_rows > 0

    # Removing

    def forget(self, keys: Sequence[str]) -> int:
        """Delete the calls with these keys; return how many of them had answers."""
        if not keys:
            return 0
        self.flush()
        with self._lock:
            count = len(self.answered_keys(keys))
            self._backend.delete_with_values(CALLS_TABLE, "key", keys)
        return count

    def evict(
        self, older_than: datetime.timedelta | None = None, max_bytes: int | None = None
    ) -> int:
        """Drop answers that are too old, and the oldest if there are too many.

        Returns
        -------
        int
            The number of dropped answers.
        """
        self.flush()
        with self._lock:
            expired = expired_keys(self._backend, older_than) if older_than is not None else []
            if expired:
                self._backend.delete_with_values(CALLS_TABLE, "key", expired)
            beyond = keys_beyond_size(self._backend, max_bytes) if max_bytes is not None else []
            if beyond:
                self._backend.delete_with_values(CALLS_TABLE, "key", beyond)
        return len(expired) + len(beyond)

    def close(self) -> None:
        """Close the connection after the last writes.

        Answers written behind were computed here, and can be recomputed.
        """
        try:
            self.flush()
            with suppress(UnreachableError):
                self.retry_writes()
        except BarbuleError as error:
            _LOG.warning("computed answers could not be written to the call ledger: %s", error)
        finally:
            self.writer.shutdown()
            self._backend.disconnect()
