"""The call ledger: every question that was asked, and its answer, once.

Owns the table `bb_calls` and the key of a question: a hash of function, version, arguments and
the *content* of inputs. Answers are committed on their own as they arrive, whatever becomes of
the operation that asked. A crash between a reply and its commit may ask that batch again. Calls
that failed are written down too; they answer nothing.
"""

from __future__ import annotations

import datetime
import functools
import hashlib
import json
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from json.encoder import encode_basestring, encode_basestring_ascii
from typing import TYPE_CHECKING, Any

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.schema as sch

from barbule.errors import BarbuleError, UnreachableError
from barbule.executor.budgets.reservations import Reservations
from barbule.executor.ledger.write_behind import WriteBehind
from barbule.nodes import bind_arguments, fill_template

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import ibis.expr.types as ir
    import pyarrow as pa

    from barbule.backends.base import Backend

__all__ = [
    "NAME",
    "SCHEMA",
    "UNSHOWN",
    "Answer",
    "Ledger",
    "decoded",
    "encoded",
    "question_keys",
    "question_of",
]

SCHEMA = sch.Schema(
    {
        "key": "string",
        "function": "string",
        "version": "string",
        "model": "string",
        "answer": "binary",
        "tokens_in": "int64",
        "tokens_out": "int64",
        "usd": "float64",
        "seconds": "float64",
        "attempts": "int64",
        "at": "timestamp('UTC')",
        "error": "string",
        "table": "string",
        "column": "string",
        "row": "int64",
        "requests": "int64",
        "estimated": "boolean",
        "question": "string",
        "holder": "string",
    }
)
UNSHOWN = ("answer", "holder")
"""Columns that `bb.calls()` does not show."""
NAME = "bb_calls"
_LOG = logging.getLogger("barbule")
_ASKED = "bb_asked"
_ROWS = "bb_asking_rows"
_FEW = 16  # questions that are looked up by what they are, and not by a join
_AT_ONCE = 65536  # answers that are weighed at a time
# How JSON writes what it says as it is; the encoder itself takes four times as long.
_WRITERS: Mapping[type, Callable[[Any], str]] = {
    str: encode_basestring,
    int: int.__repr__,
    bool: {True: "true", False: "false"}.__getitem__,
    type(None): lambda _none: "null",
}
_PLAIN = {str, int, float, bool, type(None)}
_HALVES = "surrogatepass"  # of characters, which no column takes, and some answer has
_BETWEEN = 10_000  # answers that are written before old ones are looked for again


@ibis.udf.scalar.builtin(name="octet_length")
def _size(answer: dt.binary) -> dt.int64: ...


@dataclass(frozen=True)
class Answer:
    """One answer, as it goes into the ledger.

    Attributes
    ----------
    seconds
        From the first attempt to the answer, waits included.
    error
        Why there is none, where the call failed.
    table, column, row
        For which cell it was asked, the first of those that needed it.
    requests
        How many questions were sent that count in a budget: two where an answer was repaired,
        none for the further rows of one that was about several.
    estimated
        Whether the provider did not say what it took.
    question
        What all rows are asked alike, as a hash: the call without what fills its places.
    holder
        Who had room in the budget of the table for it; see `reservations`.
    """

    key: str
    function: str
    version: str
    value: Any
    model: str | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    usd: float | None = None
    seconds: float = 0.0
    attempts: int = 1
    error: str | None = None
    table: str | None = None
    column: str | None = None
    row: int | None = None
    requests: int = 1
    estimated: bool = False
    question: str | None = None
    holder: str | None = None

    def written(self, kind: dt.DataType) -> dict[str, Any]:
        """Return the row of the ledger, its moment left out."""
        row = {name: value for name, value in vars(self).items() if name != "value"}
        row["answer"] = None if self.error is not None else encoded(self.value, kind)
        return row


def question_keys(function: str, version: str, template: str) -> Callable[[Sequence[Any]], str]:
    """Return what gives the keys of questions.

    Parameters
    ----------
    template
        The arguments as the call has them, places left open. What fills the places is given to
        the result of this function; of media the hash of their content.
    """
    start = json.dumps([function, version, template])[:-1]

    def key(content: Sequence[Any]) -> str:
        try:
            text = f"[{','.join([_WRITERS[type(each)](each) for each in content])}]"
        except KeyError:
            text = bind_arguments(list(content))[0]
        return hashlib.sha256(f"{start}, {encode_basestring_ascii(text)}]".encode()).hexdigest()

    return key


def question_of(function: str, version: str, template: str) -> str:
    """Return what all rows of a call are asked alike, as a hash."""
    return hashlib.sha256(json.dumps([function, version, template]).encode()).hexdigest()[:16]


class Ledger:
    """The answers kept in one database.

    Parameters
    ----------
    backend
        A connection of its own: what is written through it is committed at once.
    max_age
        Answers that are older are dropped; None keeps them.
    max_bytes
        Where all answers take more, the oldest are dropped; None keeps them.

    Attributes
    ----------
    writer
        The thread that writes answers while others arrive.
    reservations
        What operations have taken of the budgets of tables.
    """

    def __init__(
        self,
        backend: Backend,
        max_age: datetime.timedelta | None = None,
        max_bytes: int | None = None,
    ) -> None:
        self._backend = backend
        self._lock = threading.RLock()  # of those who write; who reads has a cursor of his own
        self._limits = (max_age, max_bytes)
        self._until_eviction = 0
        self._unwritten: list[pa.Table] = []  # each of a moment of its own
        self._in_doubt = False  # whether the first of them may have been written all the same
        self.writer = ThreadPoolExecutor(1, "barbule-ledger")
        self._behind = WriteBehind(self._append, self.writer)
        self.reservations = Reservations(backend, self.spent)
        self._queries: dict[tuple[str, ...], ir.Table] = {}
        self._leaves: dict[tuple[str, ...], ir.Table] = {}
        if missing := set(SCHEMA.names) - backend.columns(NAME):
            self._make(missing)

    def _make(self, missing: set[str]) -> None:
        """Make the table, or the columns that one of an older version lacks."""
        with self._backend.write_lock():
            there = self._backend.columns(NAME)  # another process may just have made it
            if not there:
                self._backend.create_table(NAME, SCHEMA)
                return
            for name in sorted(missing - there):
                self._backend.add_column(NAME, name, SCHEMA[name])

    def look_up(self, keys: Sequence[str], kind: dt.DataType) -> dict[str, Any]:
        """Return the known answers among `keys`, as values of `kind`."""
        found = self.answers(keys, ["key", "answer"])
        answers = zip(found["key"].to_pylist(), found["answer"].to_pylist(), strict=True)
        read = _decoder(kind)
        return {key: read(answer) for key, answer in answers}

    def known(self, keys: Sequence[str]) -> set[str]:
        """Return those of `keys` that have an answer."""
        return set(self.answers(keys, ["key"])["key"].to_pylist())

    def answers(self, keys: Sequence[str], columns: Sequence[str]) -> pa.Table:
        """Return columns of the rows that answer `keys`."""
        import pyarrow as pa

        # First those that are not written yet: meanwhile they may be.
        behind = self._behind.find(keys)
        new = [row for row in behind.values() if row["answer"] is not None]
        answered = {row["key"] for row in new}
        rest = [key for key in keys if key not in answered] if new else list(keys)
        found = [_table(new).select(columns)] if new or not rest else []
        if not rest:
            return found[0]
        if self._unwritten:
            with self._lock:
                self._flush()
        stored = self._stored(rest, columns)
        return pa.concat_tables([stored, *found]) if found else stored

    def _stored(self, keys: Sequence[str], columns: Sequence[str]) -> pa.Table:
        """Return columns of the rows of the database that answer `keys`."""
        import pyarrow as pa

        if len(keys) > _FEW:
            asked = {_ASKED: pa.table({"key": keys})}
            return self._backend.arrow(self._query(tuple(columns)), asked)
        found = self._backend.rows_with_values(self._leaf((*columns, "answer")), "key", keys)
        return found.filter(found["answer"].is_valid()).select(columns)

    def _leaf(self, columns: tuple[str, ...]) -> ir.Table:
        """Return the table of calls with these columns, made once."""
        if columns not in self._leaves:
            known = sch.Schema({name: SCHEMA[name] for name in columns})
            self._leaves[columns] = self._backend.table(NAME, known).to_expr()
        return self._leaves[columns]

    def _query(self, columns: tuple[str, ...]) -> ir.Table:
        """Return the query for columns of answers: to make it takes longer than to run it."""
        if columns not in self._queries:
            asked = self._backend.table(_ASKED, sch.Schema({"key": "string"})).to_expr()
            calls = self._calls()
            answered = calls.filter(calls.answer.notnull()).semi_join(asked, "key")
            self._queries[columns] = answered.select(*columns)
        return self._queries[columns]

    def _calls(self) -> Any:
        return self._backend.table(NAME, SCHEMA).to_expr()

    def keep(self, answers: Sequence[Answer], kind: dt.DataType) -> None:
        """Write answers, once each, so that they outlive this process.

        When the server of the database goes away, they are kept until it is back: they are paid.
        """
        if answers:
            self._append(list(_rows(answers, kind).values()))

    def keep_soon(
        self,
        answers: Sequence[Answer],
        kind: dt.DataType,
        written: Callable[[], None] | None = None,
    ) -> None:
        """Write answers behind, together with others; this session finds them at once."""
        self._behind.add(_rows(answers, kind), written)

    def settle(self) -> None:
        """Write what is to be written behind.

        Raises
        ------
        BarbuleError
            When the database does not take it; it waits to be tried again.
        """
        self._behind.settle()

    @contextmanager
    def joining(self, backend: Backend) -> Iterator[Callable[[], None]]:
        """Give what writes the answers that wait within a transaction of another connection.

        They are written with it, or wait again where it fails.
        """
        with ExitStack() as held:

            def write() -> None:
                rows = held.enter_context(self._behind.taken())
                if rows:
                    backend.append(NAME, _table(rows))

            yield write

    def wait(self) -> None:
        """Wait for answers that are being written."""
        self._behind.wait()

    def _append(self, rows: Sequence[Mapping[str, Any]]) -> None:
        with self._lock:
            self._unwritten.append(_table(rows))
            with suppress(UnreachableError):  # `flush` says so
                self._flush()
        self._until_eviction -= len(rows)
        if any(limit is not None for limit in self._limits) and self._until_eviction <= 0:
            self._until_eviction = _BETWEEN
            self.evict(*self._limits)

    def flush(self) -> None:
        """Write what could not be written.

        Raises
        ------
        UnreachableError
            When the server of the database is still away.
        """
        with self._lock:
            self._flush()

    def _flush(self) -> None:
        while self._unwritten:
            first = self._unwritten[0]
            try:
                if not self._in_doubt or not self._is_written(first):
                    self._in_doubt = True
                    self._backend.append(NAME, first)
            except UnreachableError:
                raise
            except BaseException:
                del self._unwritten[0]
                self._in_doubt = False
                raise
            del self._unwritten[0]
            self._in_doubt = False

    def _is_written(self, rows: pa.Table) -> bool:
        """Whether answers have been written, though the server did not say so."""
        calls = self._calls()
        key, moment = rows["key"][0].as_py(), rows["at"][0].as_py()
        same = calls.filter(
            calls.key == key, calls["at"] == ibis.literal(moment, "timestamp('UTC')")
        )
        return self._backend.arrow(same.select("key").limit(1), {}).num_rows > 0

    def used(
        self, function: str, question: str, models: Sequence[str]
    ) -> Mapping[str, Mapping[str, Any]]:
        """Return what answers of a function took, by model: the number, and tokens out.

        Those to the same question about other rows tell more than those to other questions; these
        count for a model that has not been asked it.
        """
        self.settle()
        calls = self._calls()
        answered = calls.answer.notnull() & calls.tokens_out.notnull()
        mine = calls.filter(calls.function == function, calls.model.isin(list(models)), answered)
        same = mine.mutate(same=(mine.question == question).fill_null(False))
        found = same.group_by("model", "same").agg(
            n=same.count(),
            low=same.tokens_out.min(),
            expected=same.tokens_out.mean(),
            high=same.tokens_out.max(),
        )
        rows = self._backend.arrow(found, {}).to_pylist()
        return {row["model"]: row for row in sorted(rows, key=lambda row: bool(row["same"]))}

    def tokens(self, keys: Sequence[str]) -> Mapping[str, tuple[int, int]]:
        """Return what the questions among `keys` took, in and out, whose provider said so."""
        found = self.answers(keys, ["key", "tokens_in", "tokens_out", "estimated"]).to_pylist()
        return {
            row["key"]: (row["tokens_in"], row["tokens_out"] or 0)
            for row in found
            if row["tokens_in"] is not None and not row["estimated"]
        }

    def noted(self, keys: Sequence[str]) -> set[str]:
        """Return those of `keys` that are written down, with an answer or with a failure."""
        return set(self._among(keys, "key"))

    def functions(self, keys: Sequence[str]) -> set[str]:
        """Return the functions that were asked these questions."""
        return set(self._among(keys, "function"))

    def _among(self, keys: Sequence[str], column: str) -> list[Any]:
        import pyarrow as pa

        if not keys:
            return []
        self.settle()
        asked = self._backend.table(_ASKED, sch.Schema({"key": "string"})).to_expr()
        query = self._calls().semi_join(asked, "key").select(column).distinct()
        found = self._backend.arrow(query, {_ASKED: pa.table({"key": list(keys)})})
        return found[column].to_pylist()

    def versions(self, function: str) -> list[str]:
        """Return the versions of a function that were asked anything."""
        self.settle()
        calls = self._calls()
        query = calls.filter(calls.function == function).select("version").distinct()
        return list(self._backend.arrow(query, {})["version"].to_pylist())

    def asked_for(
        self, tables: Iterable[str], rows: Sequence[int], since: datetime.datetime
    ) -> set[str]:
        """Return the keys of what was asked first for rows of a table, since a moment.

        Parameters
        ----------
        tables
            The names that it has had.
        """
        import pyarrow as pa

        self.settle()
        calls = self._calls()
        chosen = self._backend.table(_ROWS, sch.Schema({"row": "int64"})).to_expr()
        mine = calls.filter(calls.table.isin(list(tables)), calls["at"] >= ibis.literal(since))
        query = mine.semi_join(chosen, "row").select("key").distinct()
        staged = {_ROWS: pa.table({"row": pa.array(rows, pa.int64())})}
        return set(self._backend.arrow(query, staged)["key"].to_pylist())

    def forget(self, keys: Sequence[str]) -> int:
        """Remove what is known of questions; return how many answers there were."""
        if not keys:
            return 0
        self.settle()
        with self._lock:
            count = len(self.known(keys))
            self._backend.delete_with_values(NAME, "key", keys)
        return count

    def spent(
        self, table: str, since: datetime.datetime, without: Iterable[str] = ()
    ) -> Mapping[str, Any]:
        """Return what a table has spent since a moment: calls, tokens and dollars.

        Parameters
        ----------
        without
            Holders that say themselves what they take.
        """
        calls = self._calls()
        other = calls.holder.isnull() | ~calls.holder.isin(list(without))
        mine = calls.filter(calls.table == table, calls["at"] >= ibis.literal(since), other)
        query = mine.agg(
            calls=mine.requests.fill_null(1).sum(),  # older rows do not say
            tokens=(mine.tokens_in.fill_null(0) + mine.tokens_out.fill_null(0)).sum(),
            usd=mine.usd.sum(),
        )
        (row,) = self._backend.arrow(query, {}).to_pylist()
        return {name: value or 0 for name, value in row.items()}

    def evict(
        self, older_than: datetime.timedelta | None = None, max_bytes: int | None = None
    ) -> int:
        """Drop answers that are too old, and the oldest where there are too many.

        Returns
        -------
        int
            How many were dropped.
        """
        self.settle()
        with self._lock:
            keys = self._old(older_than) if older_than is not None else []
            if keys:
                self._backend.delete_with_values(NAME, "key", keys)
            beyond = self._beyond(max_bytes) if max_bytes is not None else []
            if beyond:
                self._backend.delete_with_values(NAME, "key", beyond)
        return len(keys) + len(beyond)

    def _old(self, age: datetime.timedelta) -> list[str]:
        calls = self._calls()
        moment = ibis.literal(datetime.datetime.now(datetime.UTC) - age)
        newest = calls.group_by("key").agg(last=calls["at"].max())
        old = newest.filter(newest["last"] < moment).select("key")
        with self._lock:
            return list(self._backend.arrow(old, {})["key"].to_pylist())

    def _beyond(self, most: int) -> list[str]:
        """List the oldest keys, without which all answers take no more than so many bytes."""
        calls = self._calls()
        sized = calls.group_by("key").agg(
            last=calls["at"].max(), size=_size(calls.answer).sum().fill_null(0)
        )
        newest = sized.order_by(ibis.desc(sized["last"]), sized["key"]).select("key", "size")
        taken, beyond = 0, []
        with self._lock:
            for batch in self._backend.batches(newest, {}, _AT_ONCE):
                sizes = batch.column("size").to_pylist()
                for key, size in zip(batch.column("key").to_pylist(), sizes, strict=True):
                    taken += size
                    if taken > most:
                        beyond.append(key)
        return beyond

    def close(self) -> None:
        """Close the connection, once all is written that can be.

        What is written behind has been computed here, and can be again.
        """
        try:
            self.settle()
            with suppress(UnreachableError):
                self.flush()
        except BarbuleError as error:
            _LOG.warning("answers that were computed are not in the call ledger: %s", error)
        finally:
            self.writer.shutdown()
            self._backend.disconnect()


def _rows(answers: Sequence[Answer], kind: dt.DataType) -> dict[str, dict[str, Any]]:
    """Return the rows of answers by their keys, one for each."""
    now = datetime.datetime.now(datetime.UTC)
    return {answer.key: {**answer.written(kind), "at": now} for answer in answers}


def _table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    import pyarrow as pa

    return pa.Table.from_pylist(list(rows), _arrow_schema())


@functools.cache
def _arrow_schema() -> pa.Schema:
    return SCHEMA.to_pyarrow()


def _is_vector(kind: dt.DataType) -> bool:
    return isinstance(kind, dt.Array) and isinstance(kind.value_type, dt.Float32)


def encoded(value: Any, kind: dt.DataType) -> bytes:
    """Return an answer as the ledger keeps it."""
    import numpy as np

    if value is not None and _is_vector(kind):
        return np.asarray(value, dtype="<f4").tobytes()
    return bind_arguments(value)[0].encode(errors=_HALVES)


def decoded(answer: bytes, kind: dt.DataType) -> Any:
    """Return the answer that the ledger keeps so."""
    return _decoder(kind)(answer)


def _decoder(kind: dt.DataType) -> Callable[[bytes], Any]:
    """Return what reads the answers of a kind."""
    import numpy as np

    parse = json.JSONDecoder().raw_decode

    def read(answer: bytes) -> Any:
        value = parse(answer.decode(errors=_HALVES))[0]
        return value if type(value) in _PLAIN else fill_template(value, ())

    def vector(answer: bytes) -> Any:
        return None if answer == b"null" else np.frombuffer(answer, dtype="<f4")

    return vector if _is_vector(kind) else read
