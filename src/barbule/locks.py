"""Locks between processes, on files.

Owns the locking of a file by the kernel, which releases it when the process dies, however it
dies; the `Lease`: the turn-taking of processes at something that only one can use at a time; and
`Claims`: who of several processes does which of many things. A forked child has no part in the
locks of its parent, so that they end with the parent.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from typing import TYPE_CHECKING

from barbule.errors import ConfigurationError, LockedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

__all__ = ["Claims", "Lease", "check_process", "drop", "holder", "is_at", "take"]

_locked: set[int] = set()  # the descriptors of locked files of this process


def take(file: Path) -> int | None:
    """Open and lock a file; None when another process holds it.

    Returns
    -------
    int or None
        The descriptor, for `drop`.

    Raises
    ------
    OSError
        If the file cannot be written, or the file system has no locks.
    """
    import fcntl

    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not is_at(descriptor, file):
                # Deleted between opening and locking: what is locked is nobody's file.
                os.close(descriptor)
                continue
            note = json.dumps({"pid": os.getpid(), "since": time.time()}).encode()
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, note, 0)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except OSError:
            os.close(descriptor)
            raise
        _locked.add(descriptor)
        return descriptor


def drop(descriptor: int) -> None:
    """Unlock and close what `take` gave."""
    import fcntl

    # Unlocked by name, not by closing alone: a forked child may have a copy open. The file
    # stays, since removing it would let two processes lock two files of one name.
    os.ftruncate(descriptor, 0)
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    _close(descriptor)


def _close(descriptor: int) -> None:
    _locked.discard(descriptor)
    os.close(descriptor)


def _close_copies() -> None:
    """Close a forked child's copies: they would keep the locks beyond the parent's death."""
    for descriptor in _locked:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    _locked.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_copies)


def check_process(opened_by: int) -> None:
    """Refuse to go on in a forked child with what its parent has opened.

    Raises
    ------
    ConfigurationError
        When another process has opened it.
    """
    if opened_by != os.getpid():
        raise ConfigurationError(
            f"the session was opened by the process {opened_by}, from which this one was forked.",
            hint="A forked process opens a session of its own: get tables by bb.get_table(...), "
            "or connect by bb.connect(...).",
        )


def is_at(descriptor: int, file: Path) -> bool:
    """Whether an open file is still the one of that name."""
    try:
        there = file.stat()
    except OSError:
        return False
    return os.path.samestat(os.fstat(descriptor), there)


def holder(file: Path) -> int | None:
    """Return the pid written in a lock file, None when there is none to read."""
    try:
        return int(json.loads(file.read_text(encoding="utf-8"))["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


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
    ...     lease.wanted()
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
        if not self.wanted():
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

    def wanted(self) -> bool:
        """Whether another process waits."""
        return any(_is_alive(ticket) for ticket in self._tickets())

    def _tickets(self) -> list[Path]:
        try:
            return sorted(each for each in self._folder.iterdir() if each.name.startswith("w"))
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
                    _close(descriptor)
                    ticket, descriptor = self._ticket()
                time.sleep(_FIRST_PAUSE if mine else _PAUSE)
        finally:
            ticket.unlink(missing_ok=True)
            _close(descriptor)

    def _ticket(self) -> tuple[Path, int]:
        """Make a ticket; it is that of a process that lives as long as it is locked."""
        name = f"{time.time_ns():020d}-{os.getpid()}"
        made = self._folder / f"new-{name}"
        descriptor = take(made)
        if descriptor is None:
            raise LockedError(f"{made} is locked by another process.", hint="Try again.")
        ticket = self._folder / f"w{name}"
        made.rename(ticket)  # once it is locked: nobody takes it for that of a dead process
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


class Claims:
    """Things that one process does at a time, out of very many: each is a byte of a file.

    The threads of a process are one to the kernel: what they share is theirs to tell apart.

    Parameters
    ----------
    file
        Is made when it is needed.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     claims = Claims(pathlib.Path(folder) / "claims")
    ...     before = claims.stamp()
    ...     with claims.held([3, 2**60]) as mine:
    ...         found = sorted(mine)
    ...     changed = before != claims.stamp()
    ...     claims.close()
    >>> found == [3, 2**60], changed
    (True, True)
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._descriptor: int | None = None

    def _opened(self) -> int:
        with self._lock:
            if self._descriptor is None:
                self._file.parent.mkdir(parents=True, exist_ok=True)
                self._descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT, 0o644)
            return self._descriptor

    def stamp(self) -> int:
        """Return what changes whenever somebody has done something."""
        return os.fstat(self._opened()).st_mtime_ns

    @contextlib.contextmanager
    def held(self, places: Iterable[int]) -> Iterator[set[int]]:
        """Claim places meanwhile; give those that no other process holds."""
        import fcntl

        file = self._opened()
        mine: set[int] = set()
        try:
            for place in places:
                with contextlib.suppress(BlockingIOError, PermissionError):
                    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
                    mine.add(place)
            yield mine
        finally:
            if mine:
                os.utime(file)
            for place in mine:
                fcntl.lockf(file, fcntl.LOCK_UN, 1, place)

    def close(self) -> None:
        """Let go of everything."""
        with self._lock:
            descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)
