"""The budget of a table, shared by all sessions and processes that write to it.

Owns how much of it one operation has reserved for its calls, and when it reserves more or releases
some. It reserves room for several calls at once, because each reservation costs two reads and a
write.
"""

from __future__ import annotations

import contextlib
import datetime
import random
import threading
import time
import uuid
from typing import TYPE_CHECKING, Self

from barbule.errors import BarbuleError
from barbule.executor.budgets.budget import CAPS, Budget, Cost
from barbule.executor.budgets.reservations import LEASE

if TYPE_CHECKING:
    from barbule.backends.base import Connection
    from barbule.catalog.records import Caps, TableRecord
    from barbule.executor.ledger.call_ledger import CallLedger

__all__ = ["TableBudget"]

_CALLS_AHEAD = 64  # for which room is reserved at once, if there is enough
_AHEAD_DIVISOR = 2  # the inverse of the maximum fraction of free room that is reserved ahead
_POLL_SECONDS = 0.1  # between two checks whether others have released room
_REFUSAL_SECONDS = 0.5  # for which a refusal is valid
_HEARTBEAT_SECONDS = 1.0  # without a call, after which unneeded room is released
_RENEWAL = LEASE / 4
_NOTHING = dict.fromkeys(CAPS, 0.0)
_ROUNDING_ERROR = 1e-9  # tolerance of dollars that are added and subtracted


class TableBudget(Budget):
    """The share of one operation in the budget of a table.

    Parameters
    ----------
    table
        The table's name.
    caps
        Its caps, and since when they apply.
    ledger
        The spending of the database.
    """

    def __init__(self, table: str, caps: Caps, ledger: CallLedger) -> None:
        name = f"the budget of table {table!r}"
        super().__init__(usd=caps.usd, calls=caps.calls, tokens=caps.tokens, name=name)
        self.holder = uuid.uuid4().hex
        self._table = table
        self._since = datetime.datetime.fromisoformat(caps.since)
        self._ledger = ledger
        self._announced = dict(_NOTHING)  # the reservation of this operation
        self._others = dict(_NOTHING)  # the spending and reservations of others at the last check
        self._free_room = dict(_NOTHING)  # the room that nobody had spent or reserved then
        self._announcements = 0
        self._is_idle = False  # whether the reservation equals the spending
        self._others_busy = False  # whether others may release room
        self._next_look = 0.0
        self._lease_end = datetime.datetime.max.replace(tzinfo=datetime.UTC)
        self._released = threading.Event()

    @classmethod
    def of(cls, record: TableRecord, ledger: CallLedger, writer: Connection) -> Self | None:
        """Return the budget of a table; None if it has none."""
        if record.budget is None:
            return None
        ledger.reservations.prepare(writer)
        ledger.flush()  # earlier answers may still be on their way into the ledger
        return cls(record.name, record.budget, ledger)

    def release(self) -> None:
        """Release the remaining room; the ledger has the spending."""
        with self._lock:
            self._released.set()
            if self._announcements:
                # If the database is unavailable, the lease ends instead.
                with contextlib.suppress(BarbuleError):
                    self._ledger.flush()
                    self._ledger.reservations.end(self.holder)

    @property
    def _is_alone(self) -> bool:
        return super()._is_alone and not self._others_busy

    def _required(self, cap: str) -> float:
        return self._spent[cap] - self._others[cap] + self._reserved[cap]

    def _fits(self, cost: Cost) -> bool:
        missing = {
            cap: max(0.0, self._required(cap) + getattr(cost, cap) - self._announced[cap])
            for cap, value in self.caps.items()
            if value is not None
        }
        return self._is_nothing(missing) or self._reserve_more(missing)

    @staticmethod
    def _is_nothing(amounts: dict[str, float]) -> bool:
        return all(amount <= _ROUNDING_ERROR for amount in amounts.values())

    def _reserve_more(self, missing: dict[str, float]) -> bool:
        """Reserve the missing room, and some ahead; return False if there is none for now."""
        if time.monotonic() < self._next_look and not self._is_free(missing):
            return False
        self._look()
        if not self._is_free(missing):
            self._wait()
            return False
        ahead = {
            cap: max(amount, min(amount * _CALLS_AHEAD, self._part_of_free(cap)))
            for cap, amount in missing.items()
        }
        self._announce(ahead)
        self._look()
        if not self._is_free(_NOTHING):  # others have reserved some at the same time
            self._announce({cap: missing[cap] - amount for cap, amount in ahead.items()})
            self._look()
            if not self._is_free(_NOTHING):
                self._announce({cap: -amount for cap, amount in missing.items()})
                self._look()
                self._others_busy = True
                self._next_look = time.monotonic() + random.uniform(0, _POLL_SECONDS)  # noqa: S311
                return False
        return True

    def _part_of_free(self, cap: str) -> float:
        free = self._free_room[cap]
        return free / _AHEAD_DIVISOR if cap == "usd" else (free - free % 1) // _AHEAD_DIVISOR

    def _is_free(self, amounts: dict[str, float]) -> bool:
        return all(
            amounts[cap] <= self._free_room[cap] + _ROUNDING_ERROR for cap in self._free_room
        )

    def _wait(self) -> None:
        """Release unneeded room, so that operations do not wait for each other."""
        if self._in_flight == 0 and not self._is_idle:
            self._release_unneeded()
        pause = _POLL_SECONDS * random.uniform(0.5, 1.5) if self._others_busy else _REFUSAL_SECONDS  # noqa: S311
        self._next_look = time.monotonic() + pause

    def _release_unneeded(self) -> None:
        self._announce({cap: self._required(cap) - self._announced[cap] for cap in CAPS}, idle=True)

    def _look(self) -> None:
        """Read the spending and reservations of others."""
        others, self._others_busy = self._ledger.reservations.others(
            self._table, self.holder, self._since
        )
        for cap in CAPS:
            self._spent[cap] += others[cap] - self._others[cap]
        self._others = others
        self._free_room = {
            cap: value - others[cap] - self._announced[cap]
            for cap, value in self.caps.items()
            if value is not None
        }

    def _announce(self, change: dict[str, float], *, idle: bool = False) -> None:
        """Add to the reservation of this operation, for others to read; less if negative."""
        if not self._announcements:
            threading.Thread(target=self._keep_alive, name="barbule-budget", daemon=True).start()
        change = {**_NOTHING, **change}
        announcement = change
        if datetime.datetime.now(datetime.UTC) > self._lease_end:  # others no longer count it
            announcement = {cap: amount + self._announced[cap] for cap, amount in change.items()}
        self._announcements += 1
        self._lease_end = self._ledger.reservations.add(
            self._table, self.holder, self._announcements, announcement, idle=idle
        )
        self._is_idle = idle
        for cap in CAPS:
            self._announced[cap] += change[cap]

    def _keep_alive(self) -> None:
        """Renew the lease, and release unneeded room."""
        former_state: object = None
        while not self._released.wait(_HEARTBEAT_SECONDS):
            with self._lock, contextlib.suppress(BarbuleError):
                if self._released.is_set():
                    return
                state = (self._in_flight, self._announcements, *self._spent.values())
                if state == former_state and not self._in_flight and not self._is_idle:
                    self._release_unneeded()
                elif datetime.datetime.now(datetime.UTC) > self._lease_end - LEASE + _RENEWAL:
                    self._announce({}, idle=self._is_idle)
                former_state = state
