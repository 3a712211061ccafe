"""Room in the budgets of tables that operations have taken, of all sessions and processes.

Owns the table `bb_reserved`. What an operation takes is announced there before it is used: a row
is added, committed, and then it is read whether all together fit. An operation that ends takes
its rows away, once its answers are in the call ledger; those of a process that died count until
their lease ends, and from then on what the ledger says.
"""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

import ibis.expr.schema as sch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from barbule.backends.base import Backend

__all__ = ["LEASE", "Others", "Reservations"]

LEASE = datetime.timedelta(seconds=60)
"""How long what an operation has taken is its own without a sign of life."""

_NAME = "bb_reserved"
_SCHEMA = sch.Schema(
    {
        "holder": "string",
        "table": "string",
        "number": "int64",
        "calls": "int64",
        "tokens": "int64",
        "usd": "float64",
        "idle": "boolean",
        "until": "timestamp('UTC')",
    }
)
_CAPS = ("usd", "calls", "tokens")

Others = tuple[dict[str, float], bool]
"""What all others have spent and taken, and whether one of them may give some of it back."""


class Reservations:
    """What operations have taken of the budgets of a database.

    Parameters
    ----------
    backend
        A connection whose writes are committed at once.
    spent
        Tells what the ledger says of a table since a moment, without some holders.
    """

    def __init__(self, backend: Backend, spent: Callable[..., Mapping[str, Any]]) -> None:
        self._backend = backend
        self._spent = spent
        self._is_there = False

    def prepare(self, writer: Backend) -> None:
        """Make the table where there is none, by the right to write of the calling thread."""
        if self._is_there:
            return
        if not self._backend.columns(_NAME):
            with writer.write_lock():
                if not self._backend.columns(_NAME):  # another process may just have made it
                    self._backend.create_table(_NAME, _SCHEMA)
        self._is_there = True

    def add(
        self, table: str, holder: str, number: int, taken: Mapping[str, float], *, idle: bool
    ) -> datetime.datetime:
        """Announce what is taken, or given back; return when the lease ends.

        Parameters
        ----------
        number
            Of the announcements of this holder.
        idle
            Whether nothing is left of what it has taken but what it has spent.
        """
        import pyarrow as pa

        until = datetime.datetime.now(datetime.UTC) + LEASE
        row = {
            "holder": holder,
            "table": table,
            "number": number,
            "calls": int(taken["calls"]),
            "tokens": int(taken["tokens"]),
            "usd": float(taken["usd"]),
            "idle": idle,
            "until": until,
        }
        self._backend.append(_NAME, pa.Table.from_pylist([row], _SCHEMA.to_pyarrow()))
        return until

    def others(self, table: str, holder: str, since: datetime.datetime) -> Others:
        """Return what others than a holder have spent and taken."""
        rows = self._backend.table(_NAME, _SCHEMA).to_expr()
        # Before the ledger: who ends meanwhile is counted once at least.
        found = self._backend.arrow(rows.filter(rows["table"] == table), {}).to_pylist()
        now = datetime.datetime.now(datetime.UTC)
        last: dict[str, dict[str, Any]] = {}
        for row in sorted(found, key=lambda row: row["number"]):
            last[row["holder"]] = row
        live = {each for each, row in last.items() if row["until"] > now and each != holder}
        for each in last.keys() - live - {holder}:
            self.end(each)
        taken = dict(self._spent(table, since, {*live, holder}))
        for row in found:
            if row["holder"] in live:
                for cap in _CAPS:
                    taken[cap] += row[cap]
        return taken, not all(last[each]["idle"] for each in live)

    def end(self, holder: str) -> None:
        """Forget what an operation has taken: the ledger says what it has spent."""
        self._backend.delete_rows(_NAME, {"holder": holder})
