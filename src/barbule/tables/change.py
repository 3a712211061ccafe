"""A change: everything that one mutation does to tables and views, visible at one commit.

Owns the frame of a mutation: lock, transaction, versions, and the drain of the indexes after
the commit. What is written is decided by the modules beside it.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from barbule.backends.base import FOREVER, FROM, TO
from barbule.catalog.records import TableRecord, Version

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from barbule.catalog.store import Pending
    from barbule.executor.batch import Tally
    from barbule.executor.engine import Engine

__all__ = ["Change", "DeleteResult", "InsertResult", "UpdateResult", "change"]


@dataclass(frozen=True)
class MutationResult:
    """What a mutation did.

    Attributes
    ----------
    rows
        The rows of the table that were written or removed; those of its views not counted.
    errors
        The cells that stayed empty because a function failed.
    version
        The version of the table that shows the change.
    calls, hits
        Questions that were asked of functions in the call ledger, and those it answered.
    """

    rows: int
    errors: int
    version: int
    calls: int = 0
    hits: int = 0


class InsertResult(MutationResult):
    """What an insert did."""


class UpdateResult(MutationResult):
    """What an update, or a change of structure, did."""


class DeleteResult(MutationResult):
    """What a delete did."""


class Change:
    """One commit in the making."""

    def __init__(self, engine: Engine, pending: Pending, tally: Tally) -> None:
        self.engine = engine
        self.tally = tally
        self._pending = pending

    @property
    def commit(self) -> int:
        """The commit that will show what is written."""
        return self._pending.id

    def put(self, record: TableRecord) -> None:
        """Give a table this structure."""
        self._pending.records[record.id] = record
        self.touch(record.id)

    def touch(self, table_id: int, *, rows: int = 0, rids: int = 0, closed: bool = False) -> None:
        """Make the change a version of a table.

        Parameters
        ----------
        rows
            How many rows were written or removed.
        rids
            How many new row identities were used.
        closed
            Whether rows ended their life.
        """
        known = self._pending.versions.get(table_id)
        if known is None:
            known = self._next_version(table_id)
        self._pending.versions[table_id] = replace(
            known,
            rows=known.rows + rows,
            next_rid=known.next_rid + rids,
            closed=known.closed or closed,
        )

    def _next_version(self, table_id: int) -> Version:
        history = self.engine.catalog.versions(table_id)
        last = history[-1] if history else None
        return Version(
            table_id=table_id,
            version=last.version + 1 if last else 0,
            commit=self.commit,
            operation=self._pending.operation,
            rows=0,
            next_rid=last.next_rid if last else 0,
            closed=last.closed if last else False,
        )

    def next_rid(self, table_id: int) -> int:
        """Return the first unused row identity of a table."""
        self.touch(table_id)
        return self._pending.versions[table_id].next_rid

    def append(self, record: TableRecord, rows: pa.Table) -> None:
        """Write new rows, or new states of rows, of a table."""
        import pyarrow as pa

        count = rows.num_rows
        life = {FROM: pa.repeat(self.commit, count), TO: pa.repeat(FOREVER, count)}
        for name, values in life.items():
            rows = rows.append_column(name, values.cast(pa.int64()))
        self.engine.backend.append(record.physical, rows)

    def close(self, record: TableRecord, rids: pa.Array) -> None:
        """End the life of rows."""
        if len(rids):
            self.engine.backend.close(record.physical, rids, self.commit)
            self.touch(record.id, closed=True)

    def version_of(self, table_id: int) -> int:
        """Return the version of a table that shows the change."""
        return self.engine.catalog.latest(table_id).version

    def result(self, kind: type[MutationResult], table_id: int, rows: int) -> MutationResult:
        """Say what the change did to a table."""
        return kind(
            rows=rows,
            errors=self.tally.errors,
            version=self.version_of(table_id),
            calls=self.tally.calls,
            hits=self.tally.hits,
        )


@contextmanager
def change(engine: Engine, operation: str) -> Iterator[Change]:
    """Make a change: all of it is visible afterwards, or nothing.

    Parameters
    ----------
    operation
        What it is called in the history.
    """
    with engine.lock, engine.tallying() as tally:
        pending = engine.catalog.begin(operation)
        try:
            with engine.backend.transaction():
                yield Change(engine, pending, tally)
                commit = engine.catalog.write(pending)
        except BaseException:
            engine.catalog.abandon()
            raise
        engine.catalog.publish(pending, commit)
        engine.indexing.drain({table for table in pending.versions if _is_live(engine, table)})


def _is_live(engine: Engine, table_id: int) -> bool:
    return any(record.id == table_id for record in engine.catalog.tables())
