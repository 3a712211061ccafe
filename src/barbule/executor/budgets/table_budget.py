"""The budget of a table, in which all sessions and processes that write to it have a share.

Owns how much of it one operation has taken for its calls, and when it takes more or gives some
back. It takes room for several calls at a time, as each time costs two reads and a write.
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
from barbule.executor.budgets.budget import CAPS, Budget, Need
from barbule.executor.budgets.reservations import LEASE

if TYPE_CHECKING:
    from barbule.backends.base import Backend
    from barbule.catalog.records import Caps, TableRecord
    from barbule.executor.ledger.call_ledger import Ledger

__all__ = ["TableBudget"]

_AHEAD = 64  # calls for which room is taken at a time, where there is much
_PART = 2  # of what is left no more is taken ahead than one of so many parts
_LOOK_AGAIN = 0.1  # seconds, about, after which it is looked whether others have given room back
_REFUSED = 0.5  # seconds for which a refusal is believed
_BEAT = 1.0  # seconds without a call after which room that is not needed is given back
_RENEWAL = LEASE / 4
_NOTHING = dict.fromkeys(CAPS, 0.0)
_NOISE = 1e-9  # of dollars that are added and subtracted


class TableBudget(Budget):
    """The share of one operation in what a table may spend.

    Parameters
    ----------
    table
        The table's name.
    caps
        What it may spend, since when.
    ledger
        Of the database: it says what was spent.
    """

    def __init__(self, table: str, caps: Caps, ledger: Ledger) -> None:
        name = f"the budget of table {table!r}"
        super().__init__(usd=caps.usd, calls=caps.calls, tokens=caps.tokens, name=name)
        self.holder = uuid.uuid4().hex
        self._table = table
        self._since = datetime.datetime.fromisoformat(caps.since)
        self._ledger = ledger
        self._taken = dict(_NOTHING)
        self._others = dict(_NOTHING)  # as they were seen last
        self._free = dict(_NOTHING)  # for what was not taken
        self._number = 0
        self._is_idle = self._is_busy = False
        self._next_look = 0.0
        self._until = datetime.datetime.max.replace(tzinfo=datetime.UTC)
        self._ended = threading.Event()

    @classmethod
    def of(cls, record: TableRecord, ledger: Ledger, writer: Backend) -> Self | None:
        """Return what a table may spend; None where it has no budget."""
        if record.budget is None:
            return None
        ledger.reservations.prepare(writer)
        ledger.settle()  # what was computed before may be on its way there
        return cls(record.name, record.budget, ledger)

    def release(self) -> None:
        """Give back what is left; what was spent is in the ledger."""
        with self._lock:
            self._ended.set()
            if self._number:
                # Where the database is away its lease ends it.
                with contextlib.suppress(BarbuleError):
                    self._ledger.settle()
                    self._ledger.reservations.end(self.holder)

    @property
    def _is_alone(self) -> bool:
        return super()._is_alone and not self._is_busy

    def _used(self, cap: str) -> float:
        return self._spent[cap] - self._others[cap] + self._reserved[cap]

    def _fits(self, need: Need) -> bool:
        missing = {
            cap: max(0.0, self._used(cap) + getattr(need, cap) - self._taken[cap])
            for cap, value in self.caps.items()
            if value is not None
        }
        return all(each <= _NOISE for each in missing.values()) or self._is_taken(missing)

    def _is_taken(self, missing: dict[str, float]) -> bool:
        """Take room that is missing, and some ahead; False where there is none for now."""
        if time.monotonic() < self._next_look and not self._is_free(missing):
            return False
        self._look()
        if not self._is_free(missing):
            self._wait()
            return False
        ahead = {
            cap: max(each, min(each * _AHEAD, (self._free[cap] - self._free[cap] % 1) // _PART))
            if cap != "usd"
            else max(each, min(each * _AHEAD, self._free[cap] / _PART))
            for cap, each in missing.items()
        }
        self._announce(ahead)
        self._look()
        if not self._is_free(_NOTHING):  # others have taken some at the same moment
            self._announce({cap: missing[cap] - each for cap, each in ahead.items()})
            self._look()
            if not self._is_free(_NOTHING):
                self._announce({cap: -each for cap, each in missing.items()})
                self._look()
                self._is_busy = True
                self._next_look = time.monotonic() + random.uniform(0, _LOOK_AGAIN)  # noqa: S311
                return False
        return True

    def _is_free(self, need: dict[str, float]) -> bool:
        return all(need[cap] <= self._free[cap] + _NOISE for cap in self._free)

    def _wait(self) -> None:
        """Give back what is not needed, so that not each waits for the others."""
        if self._in_flight == 0 and not self._is_idle:
            self._give_back()
        pause = _LOOK_AGAIN * random.uniform(0.5, 1.5) if self._is_busy else _REFUSED  # noqa: S311
        self._next_look = time.monotonic() + pause

    def _give_back(self) -> None:
        self._announce({cap: self._used(cap) - self._taken[cap] for cap in CAPS}, idle=True)

    def _look(self) -> None:
        """See what others have spent and taken."""
        others, self._is_busy = self._ledger.reservations.others(
            self._table, self.holder, self._since
        )
        for cap in CAPS:
            self._spent[cap] += others[cap] - self._others[cap]
        self._others = others
        self._free = {
            cap: value - others[cap] - self._taken[cap]
            for cap, value in self.caps.items()
            if value is not None
        }

    def _announce(self, more: dict[str, float], *, idle: bool = False) -> None:
        """Say that more is taken, or less."""
        if not self._number:
            threading.Thread(target=self._beat, name="barbule-budget", daemon=True).start()
        more = {**_NOTHING, **more}
        said = more
        if datetime.datetime.now(datetime.UTC) > self._until:  # nobody counts it any more
            said = {cap: each + self._taken[cap] for cap, each in more.items()}
        self._number += 1
        self._until = self._ledger.reservations.add(
            self._table, self.holder, self._number, said, idle=idle
        )
        self._is_idle = idle
        for cap in CAPS:
            self._taken[cap] += more[cap]

    def _beat(self) -> None:
        """Renew the lease, and give back what is not needed."""
        before: object = None
        while not self._ended.wait(_BEAT):
            with self._lock, contextlib.suppress(BarbuleError):
                if self._ended.is_set():
                    return
                now = (self._in_flight, self._number, *self._spent.values())
                if now == before and not self._in_flight and not self._is_idle:
                    self._give_back()
                elif datetime.datetime.now(datetime.UTC) > self._until - LEASE + _RENEWAL:
                    self._announce({}, idle=self._is_idle)
                before = now
