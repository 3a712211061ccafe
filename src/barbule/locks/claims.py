"""Claims, with which processes, and the sessions of a process, divide many tasks.

Owns that a claim ends with its process, and that other processes take over the claims of a stopped
process.
"""

from __future__ import annotations

import contextlib
import os
import struct
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from barbule.locks.files import is_same_file
from barbule.locks.heartbeats import SILENCE, Heartbeats

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

__all__ = ["Claims"]

# A takeover locks another byte for the same slot: a stopped process keeps the byte that it has
# locked.
_TAKEOVERS = 7
_SLOT_COUNT = 1 << 60
# The kernel's `struct flock`, which reports who has locked a byte.
_DARWIN = sys.platform == "darwin"
_FLOCK = struct.Struct("qqihh" if _DARWIN else "hhqqi4x")
_FIELDS = (
    ("start", "length", "pid", "type", "whence")
    if _DARWIN
    else ("type", "whence", "start", "length", "pid")
)


class Claims:
    """Claims of slots, each held by one session at a time: a slot is a byte of a file.

    The threads of a session share its claims. Another process takes over the claims of a stopped
    process, once for each process that stops.

    Parameters
    ----------
    file
        Created on first use, together with a file for heartbeats.
    silence
        The number of seconds without a heartbeat after which a process counts as stopped.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     claims = Claims(pathlib.Path(folder) / "claims")
    ...     before = claims.stamp()
    ...     with claims.hold([3, 2**59]) as held:
    ...         slots = sorted(held)
    ...     changed = before != claims.stamp()
    ...     claims.close()
    >>> slots == [3, 2**59], changed
    (True, True)
    """

    def __init__(self, file: Path, silence: float = SILENCE) -> None:
        self._file = file
        self._silence = silence
        self._lock = threading.Lock()
        self._opened: _ClaimFile | None = None

    def _shared(self) -> _ClaimFile:
        with self._lock:
            if self._opened is None or self._opened.pid != os.getpid():
                self._opened = _ClaimFile.of(self._file, self)
            return self._opened

    def stamp(self) -> int:
        """Return a number that changes whenever a session has released claims."""
        return os.fstat(self._shared().descriptor).st_mtime_ns

    @contextlib.contextmanager
    def hold(self, slots: Iterable[int]) -> Iterator[set[int]]:
        """Claim slots below 2**60 in this context; return those that nobody else holds."""
        file = self._shared()
        held: set[int] = set()
        with file.heartbeats.beating():
            try:
                for slot in slots:
                    if slot not in held and file.claim(slot, self, self._silence):
                        held.add(slot)
                yield set(held)
            finally:
                if held:
                    os.utime(file.descriptor)
                for slot in held:
                    file.release(slot)

    def close(self) -> None:
        """Release all claims."""
        with self._lock:
            opened, self._opened = self._opened, None
        if opened is not None and opened.pid == os.getpid():
            opened.leave(self)


@dataclass
class _Claim:
    """A slot that this process holds: its holder, the number of claims, and the locked byte."""

    owner: Claims
    byte: int
    count: int = 1


class _ClaimFile:
    """The file of claims, which a process opens once.

    In the kernel, a process may lock again what it has locked, and loses all its locks of a file
    when it closes any descriptor of it. The sessions of a process therefore share one descriptor,
    and record here which of them holds which slot.
    """

    _open: ClassVar[dict[tuple[int, Path], _ClaimFile]] = {}
    _guard: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self.pid = os.getpid()
        self.descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
        self.heartbeats = Heartbeats(file.with_name(f"{file.name}.alive"))
        self._users: set[Claims] = set()
        self._claims: dict[int, _Claim] = {}
        self._lock = threading.Lock()

    @classmethod
    def of(cls, file: Path, user: Claims) -> _ClaimFile:
        """Return a file that is open in this process."""
        file = file.resolve()
        key = (os.getpid(), file)
        with cls._guard:
            opened = cls._open.get(key)
            if opened is None or not is_same_file(opened.descriptor, file):
                opened = cls._open[key] = cls(file)
            opened._users.add(user)
            return opened

    def leave(self, user: Claims) -> None:
        """Close the file if no other session of this process has it open."""
        with self._guard:
            self._users.discard(user)
            if self._users:
                return
            for key in [key for key, opened in self._open.items() if opened is self]:
                del self._open[key]
            os.close(self.descriptor)
            self.heartbeats.close()

    def claim(self, slot: int, owner: Claims, silence: float) -> bool:
        """Hold a slot if no other process, and no other session of this process, holds it."""
        with self._lock:
            claim = self._claims.get(slot)
            if claim is not None:
                claim.count += claim.owner is owner
                return claim.owner is owner
            byte = self._lock_slot(slot, silence)
            if byte is not None:
                self._claims[slot] = _Claim(owner, byte)
            return byte is not None

    def release(self, slot: int) -> None:
        """Release a slot, as often as it was claimed."""
        with self._lock:
            claim = self._claims[slot]
            claim.count -= 1
            if not claim.count:
                del self._claims[slot]
                _unlock(self.descriptor, claim.byte)

    def _lock_slot(self, slot: int, silence: float) -> int | None:
        """Lock a slot; return the locked byte, or None if another process holds the slot."""
        file = self.descriptor
        for takeover in range(_TAKEOVERS):
            byte = slot + takeover * _SLOT_COUNT
            if _try_lock(file, byte):
                # A stopped process may have continued and ended while another process had taken
                # over.
                if self._is_held(byte + _SLOT_COUNT, silence):
                    _unlock(file, byte)
                    return None
                return byte
            if self._is_held(byte, silence):
                return None
        return None

    def _is_held(self, byte: int, silence: float) -> bool:
        """Whether a process that is not stopped has locked a byte."""
        pid = _holder(self.descriptor, byte)
        return pid is not None and not self.heartbeats.is_silent(pid, silence)

    @classmethod
    def reset(cls) -> None:
        """Start without claims in a forked child; a thread of the parent may hold the lock."""
        cls._guard, cls._open = threading.Lock(), {}


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_ClaimFile.reset)


def _try_lock(file: int, byte: int) -> bool:
    import fcntl

    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _unlock(file: int, byte: int) -> None:
    import fcntl

    fcntl.lockf(file, fcntl.LOCK_UN, 1, byte)


def _holder(file: int, byte: int) -> int | None:
    """Return the process that has locked a byte, None if it is not locked."""
    import fcntl

    query = {"type": fcntl.F_WRLCK, "whence": os.SEEK_SET, "start": byte, "length": 1, "pid": 0}
    result = fcntl.fcntl(file, fcntl.F_GETLK, _FLOCK.pack(*(query[name] for name in _FIELDS)))
    holder = dict(zip(_FIELDS, _FLOCK.unpack(result), strict=True))
    return None if holder["type"] == fcntl.F_UNLCK else holder["pid"]
