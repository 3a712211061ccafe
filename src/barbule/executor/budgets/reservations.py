"""Reservations in the budgets of tables, by operations of all sessions and processes.

Owns the table `bb_reserved`. An operation announces its reservation there before it uses it: it
adds a row, commits it, and then reads whether all reservations fit. An operation that ends deletes
its rows, after its answers are in the call ledger; those of a process that died count until their
lease ends, and after that its entries in the ledger count.
"""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

import ibis.expr.schema as sch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from barbule.backends.base import Backend, Connection

__all__ = ["LEASE", "Others", "Reservations"]

LEASE = datetime.timedelta(seconds=60)
"""How long a reservation is valid without a heartbeat."""

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
"""What all other operations have spent and reserved, and whether some may be released."""


class Reservations:
    """The reservations of operations in the budgets of a database.

    Parameters
    ----------
    backend
        A connection whose writes are committed at once.
    spent
        Returns the spending of a table in the ledger since a timestamp, without some holders.
    """

    def __init__(self, backend: Backend, spent: Callable[..., Mapping[str, Any]]) -> None:
        self._backend = backend
        self._spent = spent
        self._exists = False

    def prepare(self, writer: Connection) -> None:
        """Create the table if it is missing, with the write lock of the calling thread."""
        if self._exists:
            return
        if not self._backend.columns(_NAME):
            with writer.write_lock():
                if not self._backend.columns(_NAME):  # another process may just have created it
                    self._backend.create_table(_NAME, _SCHEMA)
        self._exists = True

    def add(
        self, table: str, holder: str, number: int, amounts: Mapping[str, float], *, idle: bool
    ) -> datetime.datetime:
        """Announce a reservation or its release; return when the lease ends.

        Parameters
        ----------
        number
            Of the announcements of this holder.
        idle
            Whether the reservation equals the spending.
        """
        import pyarrow as pa

        until = datetime.datetime.now(datetime.UTC) + LEASE
        row = {
            "holder": holder,
            "table": table,
            "number": number,
            "calls": int(amounts["calls"]),
            "tokens": int(amounts["tokens"]),
            "usd": float(amounts["usd"]),
            "idle": idle,
            "until": until,
        }
        self._backend.append(_NAME, pa.Table.from_pylist([row], _SCHEMA.to_pyarrow()))
        return until

    def others(self, table: str, holder: str, since: datetime.datetime) -> Others:
        """Return what other holders have spent and reserved."""
        reserved = self._backend.table(_NAME, _SCHEMA).to_expr()
        # Before the ledger: an operation that ends in between is counted at least once.
        rows = self._backend.arrow(reserved.filter(reserved["table"] == table), {}).to_pylist()
        now = datetime.datetime.now(datetime.UTC)
        last_rows: dict[str, dict[str, Any]] = {}
        for row in sorted(rows, key=lambda row: row["number"]):
            last_rows[row["holder"]] = row
        live_holders = {
            name for name, row in last_rows.items() if row["until"] > now and name != holder
        }
        for expired_holder in last_rows.keys() - live_holders - {holder}:
            self.end(expired_holder)
        amounts = dict(self._spent(table, since, {*live_holders, holder}))
        for row in rows:
            if row["holder"] in live_holders:
                for cap in _CAPS:
                    amounts[cap] += row[cap]
        return amounts, not all(last_rows[name]["idle"] for name in live_holders)

    def end(self, holder: str) -> None:
        """Delete the reservations of an operation: the ledger has its spending."""
        self._backend.delete_rows(_NAME, {"holder": holder})
