"""The turn-taking of processes at something that only one can use at a time.

Owns who is next, and that nobody waits for a process that has died or is stopped.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from barbule.errors import LockedError
from barbule.locks.files import close, drop, holder, take

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Lease"]

_FIRST_PAUSE = 0.001  # how often the first of those who wait looks, in seconds
_PAUSE = 0.005
# How long the first of those who wait may leave a free turn: longer, and its process is stopped.
_FIRST_PATIENCE = 0.5


class Lease:
    """The turn at something that one process uses at a time.

    Those who wait are served in the order in which they came: each keeps a ticket, a file that
    it holds locked, so that the ticket of one that died is known and removed.

    Parameters
    ----------
    folder
        Where the lock and the tickets are kept; made when it is missing.
    timeout
        How long `acquire` waits, in seconds.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     lease = Lease(pathlib.Path(folder) / "app.lock", timeout=1)
    ...     lease.acquire()
    ...     lease.has_waiters()
    ...     lease.release()
    False
    """

    def __init__(self, folder: Path, timeout: float) -> None:
        self._folder = folder
        self._holder = folder / "holder"
        self._timeout = timeout
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Wait for the turn and take it.

        Raises
        ------
        LockedError
            When another process keeps it for longer than the timeout; it is named.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        if not self.has_waiters():
            self._descriptor = take(self._holder)
        if self._descriptor is None:
            self._wait()

    def release(self) -> None:
        """Give up the turn; doing it twice is fine."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            drop(descriptor)

    def holder(self) -> int | None:
        """Return the pid of the process whose turn it is, if it is known."""
        return holder(self._holder)

    def has_waiters(self) -> bool:
        """Whether another process waits."""
        return any(_is_alive(ticket) for ticket in self._tickets())

    def _tickets(self) -> list[Path]:
        try:
            return sorted(
                ticket for ticket in self._folder.iterdir() if ticket.name.startswith("w")
            )
        except FileNotFoundError:
            return []

    def _wait(self) -> None:
        deadline = time.monotonic() + self._timeout
        ticket, descriptor = self._ticket()
        free_since: float | None = None
        try:
            while True:
                first = self._first()
                mine = first is None or first == ticket
                if mine:
                    self._descriptor = take(self._holder)
                if self._descriptor is not None:
                    return
                now = time.monotonic()
                if now > deadline:
                    raise self._over_time()
                free_since = None if mine or _is_locked(self._holder) else free_since or now
                if first and free_since and now - free_since > _FIRST_PATIENCE:
                    first.unlink(missing_ok=True)  # its process takes another when it goes on
                    free_since = None
                if not ticket.exists():
                    close(descriptor)
                    ticket, descriptor = self._ticket()
                time.sleep(_FIRST_PAUSE if mine else _PAUSE)
        finally:
            ticket.unlink(missing_ok=True)
            close(descriptor)

    def _ticket(self) -> tuple[Path, int]:
        """Make a ticket; it is that of a process that lives as long as it is locked."""
        name = f"{time.time_ns():020d}-{os.getpid()}"
        new_ticket = self._folder / f"new-{name}"
        descriptor = take(new_ticket)
        if descriptor is None:
            raise LockedError(f"{new_ticket} is locked by another process.", hint="Try again.")
        ticket = self._folder / f"w{name}"
        new_ticket.rename(ticket)  # once it is locked: nobody takes it for that of a dead process
        return ticket, descriptor

    def _first(self) -> Path | None:
        """Return the ticket of whoever has waited longest."""
        return next((ticket for ticket in self._tickets() if _is_alive(ticket)), None)

    def _over_time(self) -> LockedError:
        pid = self.holder()
        return LockedError(
            f"another process has {self._folder.with_suffix('')} open"
            f"{f' (pid {pid})' if pid else ''}, and did not hand it over in {self._timeout:g} s.",
            hint="Wait until its work is done, raise lock_timeout, or use a Postgres backend, "
            "which many processes can write at once.",
        )


def _is_alive(ticket: Path) -> bool:
    """Whether the process of a ticket still waits; that of a dead one is removed."""
    alive = _is_locked(ticket)
    if not alive:
        ticket.unlink(missing_ok=True)
    return alive


def _is_locked(file: Path) -> bool:
    """Whether a process has a file locked; one that is not there is not locked."""
    import fcntl

    try:
        descriptor = os.open(file, os.O_RDWR)
    except OSError:  # it has just been removed
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
