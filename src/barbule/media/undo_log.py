"""What operations that are under way have put into a media store.

Owns which operation put an object first, so that one that fails takes back what is its own: no
object that was there before, and none that another operation of this process counts on; and
which objects an operation counts on, so that it can see whether others have deleted one.
"""

from __future__ import annotations

import contextvars
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Undo"]


class _Operation:
    """The names of the objects that one operation put, and of those that it put first.

    It is alone where nobody else can delete one.
    """

    def __init__(self) -> None:
        self.used: set[str] = set()
        self.new: set[str] = set()
        self.alone = False


class Undo:
    """Notes of what is put, by operation.

    Threads that an operation starts with a copy of its context belong to it.

    Examples
    --------
    >>> undo = Undo()
    >>> taken_back = []
    >>> try:
    ...     with undo.where_it_fails(taken_back.extend):
    ...         undo.note("new.png", new=True)
    ...         undo.note("old.png", new=False)
    ...         raise ValueError
    ... except ValueError:
    ...     taken_back
    ['new.png']
    """

    def __init__(self) -> None:
        self._current: contextvars.ContextVar[_Operation | None] = contextvars.ContextVar(
            "barbule_puts", default=None
        )
        self._open: set[_Operation] = set()
        self._lock = threading.Lock()

    def note(self, name: str, *, new: bool) -> None:
        """Note that an object was put."""
        operation = self._current.get()
        with self._lock:
            if operation is not None:
                operation.used.add(name)
                if new:
                    operation.new.add(name)
                return
            for each in self._open:  # what a query has made counts on it
                each.new.discard(name)

    def counted_on(self) -> set[str]:
        """Return the names of what the current operation has put, or found there."""
        operation = self._current.get()
        if operation is None:
            return set()
        with self._lock:
            return set(operation.used)

    def begin_anew(self, counted_on: set[str]) -> None:
        """Let the current operation count on these alone: it puts again what it needs."""
        operation = self._current.get()
        if operation is not None:
            with self._lock:
                operation.used = set(counted_on)

    @property
    def is_alone(self) -> bool:
        """Whether nobody else can delete what the current operation counts on."""
        operation = self._current.get()
        return operation is not None and operation.alone

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Note that nobody else can delete objects until the current operation ends."""
        operation = self._current.get()
        if operation is None:
            yield
            return
        before, operation.alone = operation.alone, True
        try:
            yield
        finally:
            operation.alone = before

    @contextmanager
    def where_it_fails(self, take_back: Callable[[list[str]], None]) -> Iterator[None]:
        """Give `take_back` the names that an operation put first, if it fails.

        Within an operation another one is a part of it.
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
            if names := self._own(operation):
                take_back(names)
            raise
        finally:
            self._current.reset(token)
            with self._lock:
                self._open.discard(operation)

    def _own(self, operation: _Operation) -> list[str]:
        """Return what nobody else counts on; the rest becomes the others' to take back."""
        with self._lock:
            for other in self._open - {operation}:
                shared = operation.new & other.used
                other.new |= shared
                operation.new -= shared
            return sorted(operation.new)
