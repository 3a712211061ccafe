"""The undo log of a media store: objects that running operations have put into it.

Owns which operation put an object first, so that a failed one removes its own objects, but none
that was stored before, and none that another operation of this process relies on; and which objects
an operation relies on, so that it can detect deletions by others.
"""

from __future__ import annotations

import contextvars
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["UndoLog"]


class _Operation:
    """The names of the objects that one operation put, and of those that it put first.

    It is exclusive while nobody else can delete one.
    """

    def __init__(self) -> None:
        self.used: set[str] = set()
        self.new: set[str] = set()
        self.exclusive = False


class UndoLog:
    """A log of the objects that are put, by operation.

    Threads that an operation starts with a copy of its context belong to it.

    Examples
    --------
    >>> undo_log = UndoLog()
    >>> rolled_back = []
    >>> try:
    ...     with undo_log.rollback_on_error(rolled_back.extend):
    ...         undo_log.record("new.png", new=True)
    ...         undo_log.record("old.png", new=False)
    ...         raise ValueError
    ... except ValueError:
    ...     rolled_back
    ['new.png']
    """

    def __init__(self) -> None:
        self._current: contextvars.ContextVar[_Operation | None] = contextvars.ContextVar(
            "barbule_puts", default=None
        )
        self._open: set[_Operation] = set()
        self._lock = threading.Lock()

    def record(self, name: str, *, new: bool) -> None:
        """Record that an object was put."""
        operation = self._current.get()
        with self._lock:
            if operation is not None:
                operation.used.add(name)
                if new:
                    operation.new.add(name)
                return
            for other in self._open:  # what a query has computed relies on it
                other.new.discard(name)

    def required_objects(self) -> set[str]:
        """Return the names of the objects that the current operation has put, or relies on."""
        operation = self._current.get()
        if operation is None:
            return set()
        with self._lock:
            return set(operation.used)

    def restart(self, required: set[str]) -> None:
        """Let the current operation rely only on these: it puts again what it needs."""
        operation = self._current.get()
        if operation is not None:
            with self._lock:
                operation.used = set(required)

    @property
    def is_exclusive(self) -> bool:
        """Whether nobody else can delete what the current operation relies on."""
        operation = self._current.get()
        return operation is not None and operation.exclusive

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Record that nobody else can delete objects until the current operation ends."""
        operation = self._current.get()
        if operation is None:
            yield
            return
        was_exclusive, operation.exclusive = operation.exclusive, True
        try:
            yield
        finally:
            operation.exclusive = was_exclusive

    @contextmanager
    def rollback_on_error(self, roll_back: Callable[[list[str]], None]) -> Iterator[None]:
        """Pass the names that an operation put first to `roll_back`, if it fails.

        A nested operation is a part of the outer one.
        """
        if self._current.get() is not None:
            yield
            return
        operation = _Operation()
        token = self._current.set(operation)
        with self._lock:
            self._open.add(operation)
        try:
            yield
        except BaseException:
            if names := self._release(operation):
                roll_back(names)
            raise
        finally:
            self._current.reset(token)
            with self._lock:
                self._open.discard(operation)

    def _release(self, operation: _Operation) -> list[str]:
        """Return what nobody else relies on; other operations take over the rest."""
        with self._lock:
            for other in self._open - {operation}:
                shared = operation.new & other.used
                other.new |= shared
                operation.new -= shared
            return sorted(operation.new)
