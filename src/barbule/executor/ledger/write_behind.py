"""Write-behind of table rows: readable immediately, written soon, for all threads together.

Owns when they are written. A thread that computes a row does not wait for the database, and
neither does one that reads it next; a crash loses the rows of the last hundredth of a second.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from barbule.tracing import carried

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from concurrent.futures import Executor

__all__ = ["WriteBehind"]

_GATHERING_SECONDS = 0.01  # in which rows are collected that are written together
_MAX_WAITING_ROWS = 10_000  # above which a thread that adds rows waits as well

Row = dict[str, Any]


@dataclass(eq=False)
class _Group:
    """Rows by key that are written together, and their callbacks."""

    rows: dict[str, Row] = field(default_factory=dict)
    written: list[Callable[[], None]] = field(default_factory=list)


class WriteBehind:
    """Rows by key that are written behind the threads that add them.

    Parameters
    ----------
    write
        Writes rows durably.
    executor
        The thread that writes.

    Examples
    --------
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> table = []
    >>> with ThreadPoolExecutor(1) as writer:
    ...     rows = WriteBehind(table.extend, writer)
    ...     rows.add({"a": {"n": 1}})
    ...     waiting = rows.find(["a", "b"])
    ...     rows.flush()
    >>> waiting, table
    ({'a': {'n': 1}}, [{'n': 1}])
    """

    def __init__(self, write: Callable[[Sequence[Row]], None], executor: Executor) -> None:
        self._write = write
        self._executor = executor
        self._lock = threading.Lock()
        self._write_lock = threading.RLock()  # held while a group is written
        self._waiting = _Group()
        self._being_written: list[_Group] = []
        self._scheduled = False

    def add(self, rows: Mapping[str, Row], written: Callable[[], None] | None = None) -> None:
        """Take rows; any thread may call it.

        Parameters
        ----------
        written
            Called, by any thread, when they are written, or when they cannot be written for now.
        """
        with self._lock:
            self._waiting.rows |= rows
            if written is not None:
                self._waiting.written.append(written)
            full = len(self._waiting.rows) > _MAX_WAITING_ROWS
            if not self._scheduled and not full:
                self._schedule()
        if full:
            self.flush()

    def _schedule(self) -> None:
        self._executor.submit(carried(self._write_soon))
        self._scheduled = True

    def _write_soon(self) -> None:
        time.sleep(_GATHERING_SECONDS)
        with self._lock:
            self._scheduled = False
        try:
            self.flush()
        except Exception:  # noqa: BLE001 - they wait on; `flush` raises it
            return

    def find(self, keys: Iterable[str]) -> dict[str, Row]:
        """Return the rows among `keys` that are not written yet."""
        with self._lock:
            groups = [group.rows for group in (self._waiting, *self._being_written) if group.rows]
            if not groups:
                return {}
            return {key: rows[key] for key in keys for rows in groups if key in rows}

    def flush(self) -> None:
        """Write the pending rows, and wait for the writes of others."""
        with self._write_lock, self._group() as rows:
            if rows:
                self._write(rows)

    def wait(self) -> None:
        """Wait for the group that is being written, if there is one."""
        with self._write_lock:
            pass

    @contextmanager
    def taking(self) -> Iterator[list[Row]]:
        """Take the pending rows, to write them elsewhere; if that fails they are written here."""
        try:
            with self._group() as rows:
                yield rows
        except BaseException:
            with self._lock, suppress(RuntimeError):  # at exit the last flush writes it
                if self._waiting.rows and not self._scheduled:
                    self._schedule()
            raise

    @contextmanager
    def _group(self) -> Iterator[list[Row]]:
        """Take the pending rows; if they cannot be written they stay pending."""
        with self._lock:
            group, self._waiting = self._waiting, _Group()
            self._being_written.append(group)
        try:
            yield list(group.rows.values())
        except BaseException:
            with self._lock:
                self._being_written.remove(group)
                self._waiting.rows = {**group.rows, **self._waiting.rows}
            raise
        else:
            with self._lock:
                self._being_written.remove(group)
        finally:
            for notify in group.written:
                notify()
