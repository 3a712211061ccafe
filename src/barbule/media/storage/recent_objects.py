"""The objects that this process has put into a media store in the last minutes.

Owns for how long an object is assumed to exist without a check, and that deletions by other
processes end that.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["RecentObjects"]

_MAX_NAMES = 100_000
_RECENT_SECONDS = 300.0


class RecentObjects:
    """Names of objects that have recently been put, and that nobody has deleted since.

    Parameters
    ----------
    deletions
        Returns a number that changes once other processes have deleted objects.

    Examples
    --------
    >>> recent = RecentObjects(lambda: 0)
    >>> recent.add("a.png")
    >>> "a.png" in recent, "b.png" in recent
    (True, False)
    """

    def __init__(self, deletions: Callable[[], int]) -> None:
        self._deletions = deletions
        self._last_deletion = deletions()
        self._names: dict[str, float] = {}
        self._lock = threading.Lock()

    def add(self, name: str) -> None:
        """Record that an object has just been put."""
        with self._lock:
            if len(self._names) >= _MAX_NAMES:
                self._names.clear()
            self._names[name] = time.monotonic()

    def discard(self, name: str) -> None:
        """Forget an object, which is about to be deleted."""
        with self._lock:
            self._names.pop(name, None)

    def __contains__(self, name: str) -> bool:
        deletion = self._deletions()
        if deletion != self._last_deletion:
            with self._lock:
                self._names.clear()
                self._last_deletion = deletion
        put_at = self._names.get(name)
        return put_at is not None and time.monotonic() - put_at < _RECENT_SECONDS
