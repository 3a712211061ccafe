"""Rows on their way into a table: found at once, and written soon, those of many threads together.

Owns when they are written. Who computes a row does not wait for the database, and neither does
who asks for it next; a crash loses what came in the last hundredth of a second.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from concurrent.futures import Executor

__all__ = ["WriteBehind"]

_PAUSE = 0.01  # seconds in which rows gather that are written together
_MOST = 10_000  # rows that wait: who adds more waits as well

Row = dict[str, Any]


@dataclass(eq=False)
class _Group:
    """Rows by key that are written together, and whom to tell."""

    rows: dict[str, Row] = field(default_factory=dict)
    written: list[Callable[[], None]] = field(default_factory=list)


class WriteBehind:
    """Rows by key that are written behind those who add them.

    Parameters
    ----------
    write
        Writes rows, so that they stay.
    writer
        The thread that writes.

    Examples
    --------
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> table = []
    >>> with ThreadPoolExecutor(1) as writer:
    ...     rows = WriteBehind(table.extend, writer)
    ...     rows.add({"a": {"n": 1}})
    ...     found = rows.find(["a", "b"])
    ...     rows.settle()
    >>> found, table
    ({'a': {'n': 1}}, [{'n': 1}])
    """

    def __init__(self, write: Callable[[Sequence[Row]], None], writer: Executor) -> None:
        self._write = write
        self._writer = writer
        self._lock = threading.Lock()
        self._turn = threading.RLock()  # held while a group is written
        self._waiting = _Group()
        self._begun: list[_Group] = []
        self._scheduled = False

    def add(self, rows: Mapping[str, Row], written: Callable[[], None] | None = None) -> None:
        """Take rows; any thread may call it.

        Parameters
        ----------
        written
            Called, by any thread, when they are written, or when they cannot be for now.
        """
        with self._lock:
            self._waiting.rows |= rows
            if written is not None:
                self._waiting.written.append(written)
            many = len(self._waiting.rows) > _MOST
            if not self._scheduled and not many:
                self._schedule()
        if many:
            self.settle()

    def _schedule(self) -> None:
        self._writer.submit(self._soon)
        self._scheduled = True

    def _soon(self) -> None:
        time.sleep(_PAUSE)
        with self._lock:
            self._scheduled = False
        try:
            self.settle()
        except Exception:  # noqa: BLE001 - they wait on; whoever settles is told what is wrong
            return

    def find(self, keys: Iterable[str]) -> dict[str, Row]:
        """Return the rows among `keys` that are not written yet."""
        with self._lock:
            groups = [each.rows for each in (self._waiting, *self._begun) if each.rows]
            if not groups:
                return {}
            return {key: rows[key] for key in keys for rows in groups if key in rows}

    def settle(self) -> None:
        """Write what waits, and wait for what others write."""
        with self._turn, self._group() as rows:
            if rows:
                self._write(rows)

    def wait(self) -> None:
        """Wait for the group that is being written, if there is one."""
        with self._turn:
            pass

    @contextmanager
    def taken(self) -> Iterator[list[Row]]:
        """Take what waits, to write it elsewhere; where that fails it is written after all."""
        try:
            with self._group() as rows:
                yield rows
        except BaseException:
            with self._lock, suppress(RuntimeError):  # when all ends, the last settling writes it
                if self._waiting.rows and not self._scheduled:
                    self._schedule()
            raise

    @contextmanager
    def _group(self) -> Iterator[list[Row]]:
        """Take what waits; where it cannot be written it waits again."""
        with self._lock:
            group, self._waiting = self._waiting, _Group()
            self._begun.append(group)
        try:
            yield list(group.rows.values())
        except BaseException:
            with self._lock:
                self._begun.remove(group)
                self._waiting.rows = {**group.rows, **self._waiting.rows}
            raise
        else:
            with self._lock:
                self._begun.remove(group)
        finally:
            for each in group.written:
                each()
