"""Leases: the turns of processes at an exclusive resource.

Owns the order of waiting processes, and that no process waits for one that has died or is stopped.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from barbule.errors import LockedError
from barbule.locks.files import close_file, holder, lock_file, unlock_file

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Lease"]

_FIRST_POLL_SECONDS = 0.001  # of the first waiting process
_POLL_SECONDS = 0.005
# How long the first waiting process may leave the turn unused; after that it counts as stopped.
_FIRST_TIMEOUT_SECONDS = 0.5


class Lease:
    """The turn of a process at a resource that one process uses at a time.

    Waiting processes get their turns in the order of their tickets. A ticket is a file that its
    process has locked, so that the ticket of a dead process is recognised and removed.

    Parameters
    ----------
    folder
        The folder of the lock and the tickets; created when it is missing.
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
            If another process holds it for longer than the timeout; the message contains its pid.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        if not self.has_waiters():
            self._descriptor = lock_file(self._holder)
        if self._descriptor is None:
            self._wait()

    def release(self) -> None:
        """End the turn; releasing twice is allowed."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            unlock_file(descriptor)

    def holder(self) -> int | None:
        """Return the pid of the process that holds the turn, if it is known."""
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
        ticket, descriptor = self._make_ticket()
        free_since: float | None = None
        try:
            while True:
                first = self._first()
                is_first = first is None or first == ticket
                if is_first:
                    self._descriptor = lock_file(self._holder)
                if self._descriptor is not None:
                    return
                now = time.monotonic()
                if now > deadline:
                    raise self._timeout_error()
                free_since = None if is_first or _is_locked(self._holder) else free_since or now
                if first and free_since and now - free_since > _FIRST_TIMEOUT_SECONDS:
                    first.unlink(missing_ok=True)  # its process creates another when it continues
                    free_since = None
                if not ticket.exists():
                    close_file(descriptor)
                    ticket, descriptor = self._make_ticket()
                time.sleep(_FIRST_POLL_SECONDS if is_first else _POLL_SECONDS)
        finally:
            ticket.unlink(missing_ok=True)
            close_file(descriptor)

    def _make_ticket(self) -> tuple[Path, int]:
        """Create a ticket; it stays locked as long as its process lives."""
        name = f"{time.time_ns():020d}-{os.getpid()}"
        new_ticket = self._folder / f"new-{name}"
        descriptor = lock_file(new_ticket)
        if descriptor is None:
            raise LockedError(f"{new_ticket} is locked by another process.", hint="Try again.")
        ticket = self._folder / f"w{name}"
        new_ticket.rename(ticket)  # locked before: else it would look like that of a dead process
        return ticket, descriptor

    def _first(self) -> Path | None:
        """Return the ticket of the process that has waited longest."""
        return next((ticket for ticket in self._tickets() if _is_alive(ticket)), None)

    def _timeout_error(self) -> LockedError:
        pid = self.holder()
        return LockedError(
            f"another process has {self._folder.with_suffix('')} "
            f"open{f' (pid {pid})' if pid else ''} and did not release it within "
            f"{self._timeout:g} s.",
            hint="Wait until it has finished, raise lock_timeout, or use a Postgres backend, "
            "which several processes can write to at the same time.",
        )


def _is_alive(ticket: Path) -> bool:
    """Whether the process of a ticket still waits; the ticket of a dead process is removed."""
    alive = _is_locked(ticket)
    if not alive:
        ticket.unlink(missing_ok=True)
    return alive


def _is_locked(file: Path) -> bool:
    """Whether a process has locked a file; a missing file is not locked."""
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
