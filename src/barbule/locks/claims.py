"""Who of several processes, and of the sessions of one, does which of many things.

Owns the claim on a thing, which ends with its process, and that others take over from one that
is stopped.
"""

from __future__ import annotations

import contextlib
import os
import struct
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from barbule.locks.files import is_at
from barbule.locks.heartbeats import SILENCE, Heartbeats

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

__all__ = ["Claims"]

# Who takes over locks another byte for the same thing: what a stopped process has locked it keeps.
_TAKEOVERS = 7
_SLOT_COUNT = 1 << 60
# The kernel's `struct flock`, by which it says who has locked a byte.
_DARWIN = sys.platform == "darwin"
_FLOCK = struct.Struct("qqihh" if _DARWIN else "hhqqi4x")
_FIELDS = (
    ("start", "length", "pid", "type", "whence")
    if _DARWIN
    else ("type", "whence", "start", "length", "pid")
)


class Claims:
    """Things that one session does at a time, out of very many: each is a byte of a file.

    What the threads of a session share is theirs to tell apart. What a process that is stopped
    has claimed is given to another one, once for each that stops.

    Parameters
    ----------
    file
        Is made when it is needed, and beside it one for signs of life.
    silence
        For how many seconds a process may give no sign.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     claims = Claims(pathlib.Path(folder) / "claims")
    ...     before = claims.stamp()
    ...     with claims.hold([3, 2**59]) as mine:
    ...         found = sorted(mine)
    ...     changed = before != claims.stamp()
    ...     claims.close()
    >>> found == [3, 2**59], changed
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
        """Return what changes whenever somebody has done something."""
        return os.fstat(self._shared().descriptor).st_mtime_ns

    @contextlib.contextmanager
    def hold(self, slots: Iterable[int]) -> Iterator[set[int]]:
        """Claim places below 2**60 meanwhile; give those that nobody else holds."""
        file = self._shared()
        mine: set[int] = set()
        with file.heartbeats.beating():
            try:
                for slot in slots:
                    if slot not in mine and file.claim(slot, self, self._silence):
                        mine.add(slot)
                yield set(mine)
            finally:
                if mine:
                    os.utime(file.descriptor)
                for slot in mine:
                    file.release(slot)

    def close(self) -> None:
        """Let go of everything."""
        with self._lock:
            opened, self._opened = self._opened, None
        if opened is not None and opened.pid == os.getpid():
            opened.leave(self)


@dataclass
class _Held:
    """A place that this process holds: for whom, how often, and by which byte."""

    owner: Claims
    byte: int
    times: int = 1


class _ClaimFile:
    """A file of claims as a process has it open: once, as its locks there are those of all.

    The kernel gives a process what it has locked itself, and takes all of it away when any
    descriptor of the file is closed. So the sessions of a process share one, and tell here who of
    them holds what.
    """

    _open: ClassVar[dict[tuple[int, Path], _ClaimFile]] = {}
    _guard: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self.pid = os.getpid()
        self.descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
        self.heartbeats = Heartbeats(file.with_name(f"{file.name}.alive"))
        self._users: set[Claims] = set()
        self._held: dict[int, _Held] = {}
        self._lock = threading.Lock()

    @classmethod
    def of(cls, file: Path, user: Claims) -> _ClaimFile:
        """Return a file that is open in this process."""
        file = file.resolve()
        key = (os.getpid(), file)
        with cls._guard:
            opened = cls._open.get(key)
            if opened is None or not is_at(opened.descriptor, file):
                opened = cls._open[key] = cls(file)
            opened._users.add(user)
            return opened

    def leave(self, user: Claims) -> None:
        """Close the file if nobody else of this process has it open."""
        with self._guard:
            self._users.discard(user)
            if self._users:
                return
            for key in [key for key, opened in self._open.items() if opened is self]:
                del self._open[key]
            os.close(self.descriptor)
            self.heartbeats.close()

    def claim(self, slot: int, owner: Claims, silence: float) -> bool:
        """Hold a place if no other process, and no other session of this one, does."""
        with self._lock:
            held = self._held.get(slot)
            if held is not None:
                held.times += held.owner is owner
                return held.owner is owner
            byte = self._claimed(slot, silence)
            if byte is not None:
                self._held[slot] = _Held(owner, byte)
            return byte is not None

    def release(self, slot: int) -> None:
        """Let go of a place, once as often as it was claimed."""
        with self._lock:
            held = self._held[slot]
            held.times -= 1
            if not held.times:
                del self._held[slot]
                _unlock(self.descriptor, held.byte)

    def _claimed(self, slot: int, silence: float) -> int | None:
        """Lock a place; return the byte that is locked, None where another does what it is for."""
        file = self.descriptor
        for takeover in range(_TAKEOVERS):
            byte = slot + takeover * _SLOT_COUNT
            if _locked(file, byte):
                # One that was stopped may have gone on, and ended, while another took over.
                if self._is_held(byte + _SLOT_COUNT, silence):
                    _unlock(file, byte)
                    return None
                return byte
            if self._is_held(byte, silence):
                return None
        return None

    def _is_held(self, byte: int, silence: float) -> bool:
        """Whether a process that is at work has locked a byte."""
        pid = _holder(self.descriptor, byte)
        return pid is not None and not self.heartbeats.is_silent(pid, silence)

    @classmethod
    def forget(cls) -> None:
        """Begin anew in a forked child, which holds nothing: another thread may have the guard."""
        cls._guard, cls._open = threading.Lock(), {}


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_ClaimFile.forget)


def _locked(file: int, byte: int) -> bool:
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
    """Return the process that has locked a byte, None where none has."""
    import fcntl

    query = {"type": fcntl.F_WRLCK, "whence": os.SEEK_SET, "start": byte, "length": 1, "pid": 0}
    answer = fcntl.fcntl(file, fcntl.F_GETLK, _FLOCK.pack(*(query[name] for name in _FIELDS)))
    holder = dict(zip(_FIELDS, _FLOCK.unpack(answer), strict=True))
    return None if holder["type"] == fcntl.F_UNLCK else holder["pid"]
