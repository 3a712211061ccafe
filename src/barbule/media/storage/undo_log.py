"""The undo log of a media store: objects that running operations have put into it.

Owns which operation put an object first, so that a failed one removes its own objects, but none
that was stored before, and none that another operation of this process relies on; and which objects
an operation relies on, so that it can detect deletions by others.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["OperationObjects", "UndoLog"]


class OperationObjects:
    """The names of the objects that one operation put or relies on, and of those it put first.

    Attributes
    ----------
    is_exclusive
        Whether nobody else can delete what the operation relies on.
    """

    def __init__(self, lock: threading.Lock) -> None:
        self.used: set[str] = set()
        self.new: set[str] = set()
        self.is_exclusive = False
        self._lock = lock

    def record(self, name: str, *, new: bool) -> None:
        """Record that the operation put an object, or relies on it."""
        with self._lock:
            self.used.add(name)
            if new:
                self.new.add(name)

    def required(self) -> set[str]:
        """Return the names of the objects that the operation has put, or relies on."""
        with self._lock:
            return set(self.used)

    def restart(self, required: set[str]) -> None:
        """Let the operation rely only on these: it puts again what it needs."""
        with self._lock:
            self.used = set(required)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Record that nobody else can delete objects until the block ends."""
        was_exclusive, self.is_exclusive = self.is_exclusive, True
        try:
            yield
        finally:
            self.is_exclusive = was_exclusive


class UndoLog:
    """A log of the objects that are put, by operation.

    Examples
    --------
    >>> undo_log = UndoLog()
    >>> rolled_back = []
    >>> try:
    ...     with undo_log.rollback_on_error(rolled_back.extend) as objects:
    ...         objects.record("new.png", new=True)
    ...         objects.record("old.png", new=False)
    ...         raise ValueError
    ... except ValueError:
    ...     rolled_back
    ['new.png']
    """

    def __init__(self) -> None:
        self._open: set[OperationObjects] = set()
        self._lock = threading.Lock()

    def record(self, name: str, *, new: bool) -> None:
        """Record that a query put an object: what it has computed relies on it."""
        with self._lock:
            for operation in self._open:
                operation.new.discard(name)

    @contextmanager
    def rollback_on_error(
        self, roll_back: Callable[[list[str]], None]
    ) -> Iterator[OperationObjects]:
        """Yield the objects of an operation; pass those that it put first to it if it fails."""
        operation = OperationObjects(self._lock)
        with self._lock:
            self._open.add(operation)
        try:
            yield operation
        except BaseException:
            if names := self._release(operation):
                roll_back(names)
            raise
        finally:
            with self._lock:
                self._open.discard(operation)

    def _release(self, operation: OperationObjects) -> list[str]:
        """Return what nobody else relies on; other operations take over the rest."""
        with self._lock:
            for other in self._open - {operation}:
                shared = operation.new & other.used
                other.new |= shared
                operation.new -= shared
            return sorted(operation.new)
