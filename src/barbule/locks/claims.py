"""Who of several processes does which of many things.

Owns the claim on a thing, which ends with its process, and that others take over from one that
is stopped.
"""

from __future__ import annotations

import contextlib
import os
import struct
import sys
import threading
from typing import TYPE_CHECKING

from barbule.locks.heartbeats import SILENCE, Heartbeats

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

__all__ = ["Claims"]

# Who takes over locks another byte for the same thing: what a stopped process has locked it keeps.
_TAKEOVERS = 7
_PLACES = 1 << 60
# The kernel's `struct flock`, by which it says who has locked a byte.
_DARWIN = sys.platform == "darwin"
_FLOCK = struct.Struct("qqihh" if _DARWIN else "hhqqi4x")
_FIELDS = (
    ("start", "length", "pid", "type", "whence")
    if _DARWIN
    else ("type", "whence", "start", "length", "pid")
)


class Claims:
    """Things that one process does at a time, out of very many: each is a byte of a file.

    The threads of a process are one to the kernel: what they share is theirs to tell apart. What
    a process that is stopped has claimed is given to another one, once for each that stops.

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
    ...     with claims.held([3, 2**59]) as mine:
    ...         found = sorted(mine)
    ...     changed = before != claims.stamp()
    ...     claims.close()
    >>> found == [3, 2**59], changed
    (True, True)
    """

    def __init__(self, file: Path, silence: float = SILENCE) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._descriptor: int | None = None
        self._heartbeats = Heartbeats(file.with_name(f"{file.name}.alive"), silence)

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
        """Claim places below 2**60 meanwhile; give those that no other process holds."""
        file = self._opened()
        mine: dict[int, int] = {}
        with self._heartbeats.beating():
            try:
                for place in places:
                    locked = self._claimed(file, place)
                    if locked is not None:
                        mine[place] = locked
                yield set(mine)
            finally:
                if mine:
                    os.utime(file)
                for locked in mine.values():
                    _unlock(file, locked)

    def _claimed(self, file: int, place: int) -> int | None:
        """Lock a place; return the byte that is locked, None where another does what it is for."""
        for takeover in range(_TAKEOVERS):
            byte = place + takeover * _PLACES
            if _locked(file, byte):
                # One that was stopped may have gone on, and ended, while another took over.
                if self._is_held(file, byte + _PLACES):
                    _unlock(file, byte)
                    return None
                return byte
            if self._is_held(file, byte):
                return None
        return None

    def _is_held(self, file: int, byte: int) -> bool:
        """Whether a process that is at work has locked a byte."""
        pid = _holder(file, byte)
        return pid is not None and not self._heartbeats.is_silent(pid)

    def close(self) -> None:
        """Let go of everything."""
        with self._lock:
            descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)
        self._heartbeats.close()


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

    asked = {"type": fcntl.F_WRLCK, "whence": os.SEEK_SET, "start": byte, "length": 1, "pid": 0}
    answer = fcntl.fcntl(file, fcntl.F_GETLK, _FLOCK.pack(*(asked[name] for name in _FIELDS)))
    told = dict(zip(_FIELDS, _FLOCK.unpack(answer), strict=True))
    return None if told["type"] == fcntl.F_UNLCK else told["pid"]
