"""Interleaves two operations: one stops at a point, the other runs, the first continues.

A point is where an operation waits or may be overtaken: before it takes the write lock, before it
reads rows, and when it calls a function for some rows. The methods of the backends are unchanged,
apart from the added stop.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from barbule.session import Session

_OVERTAKING = 2.0  # seconds for which the second runs alone; it may wait for the first


@dataclass
class _Stepped:
    """State of the stopped operation: its progress and where it stops."""

    stop: int
    reached: threading.Event = field(default_factory=threading.Event)
    goes_on: threading.Event = field(default_factory=threading.Event)
    overtaken: threading.Event = field(default_factory=threading.Event)
    """Whether the second has ended or waits for a call in flight of the first."""
    points: int = 0
    writing: int = 0
    trace: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


_local = threading.local()
_stepped: _Stepped | None = None


def point(name: str) -> None:
    """Stop here if the calling thread is the stepped one and this is its point.

    Functions are called in threads of their own, so a call belongs to the stepped operation. Calls
    with no read between them are one point, as they run in parallel.
    """
    mine: _Stepped | None = getattr(_local, "stepped", None)
    if mine is None and name == "call":
        mine = _stepped
    if mine is None:
        return
    with mine.lock:
        again = name == "call" and mine.trace[-1:] == ["call"]
        if mine.writing or again or mine.goes_on.is_set():
            return
        mine.points += 1
        mine.trace.append(name)
        stops = mine.points == mine.stop
    if stops:
        mine.reached.set()
        assert mine.goes_on.wait(PATIENCE), "the operation was not resumed"


@contextlib.contextmanager
def stopping(session: Session, *, apart: bool = False) -> Iterator[None]:
    """Let operations of a session be stopped at their points.

    Parameters
    ----------
    apart
        Whether the second runs in another process: it cannot overtake while the first keeps a file
        open, so there is no point then.
    """
    engine = session._engine
    backend, asked = engine.backend, engine.caller._ledger_calls.in_flight
    kind, flights = type(backend), type(asked)
    write_lock, arrow, claimed = kind.write_lock, kind.arrow, flights.claimed
    file = getattr(backend, "_database", None) if apart else None

    def reach(name: str) -> None:
        if file is None or not file._users:
            point(name)

    @contextlib.contextmanager
    def stepped_write_lock(self: Any) -> Iterator[None]:
        mine = getattr(_local, "stepped", None) if self is backend else None
        if mine is not None:
            reach("writing")
            mine.writing += 1
        try:
            with write_lock(self):
                yield
        finally:
            if mine is not None:
                mine.writing -= 1

    @functools.wraps(arrow)
    def stepped_arrow(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self is backend:
            reach("read")
        return arrow(self, *args, **kwargs)

    @contextlib.contextmanager
    def watched_claimed(self: Any, keys: Any) -> Iterator[Any]:
        with claimed(self, keys) as (mine, others):
            if others and self is asked and (second := getattr(_local, "overtaking", None)):
                second.overtaken.set()
            yield mine, others

    kind.write_lock, kind.arrow, flights.claimed = (
        stepped_write_lock,
        stepped_arrow,
        watched_claimed,
    )
    try:
        yield
    finally:
        kind.write_lock, kind.arrow, flights.claimed = write_lock, arrow, claimed


def interleave(
    first: Callable[[], str], second: Callable[[], str], stop: int
) -> tuple[str, str, str] | None:
    """Run the first up to a point, then the second, then the rest of the first.

    Returns
    -------
    tuple or None
        The outcomes of both, and where the first stopped; None where it has fewer points.
    """
    global _stepped  # noqa: PLW0603 - threads of calls find it here
    stepped = _Stepped(stop)
    outcomes: dict[str, str] = {}

    def run_first() -> None:
        _local.stepped = stepped
        try:
            outcomes["first"] = first()
        finally:
            stepped.reached.set()

    def run_second() -> None:
        _local.overtaking = stepped
        try:
            outcomes["second"] = second()
        finally:
            stepped.overtaken.set()

    _stepped = stepped
    one = threading.Thread(target=run_first, daemon=True)
    two = threading.Thread(target=run_second, daemon=True)
    one.start()
    assert stepped.reached.wait(PATIENCE), "the first operation neither stopped nor ended"
    _stepped = None
    if stepped.points < stop:
        one.join(PATIENCE)
        return None
    two.start()
    stepped.overtaken.wait(_OVERTAKING)
    stepped.goes_on.set()
    for thread in (one, two):
        thread.join(PATIENCE)
        assert not thread.is_alive(), f"stuck after {stepped.trace}"
    where = f"before {stepped.trace[-1]} {stop} of {stepped.trace}"
    return outcomes["first"], outcomes["second"], where


def number_of_points(operation: Callable[[], str]) -> int:
    """Run an operation alone, and count the points at which it could be stopped."""
    global _stepped  # noqa: PLW0603 - threads of calls find it here
    counted = _Stepped(stop=0)

    def run() -> None:
        _local.stepped = counted
        operation()

    _stepped = counted
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    _stepped = None
    assert not thread.is_alive(), f"stuck after {counted.trace}"
    return counted.points


def outcome_of(operation: Callable[[], Any]) -> str:
    """Run an operation and return its outcome: a row count, an error or a crash."""
    from ibis.common.exceptions import IbisError

    from barbule.errors import BarbuleError, ConflictError

    try:
        done = operation()
    except ConflictError:
        return "conflict"
    except (BarbuleError, IbisError, AttributeError):
        return "error"
    except Exception as error:  # noqa: BLE001 - compared with the serial orders
        return f"crash: {error!r}"
    return f"rows={done.rows}" if hasattr(done, "rows") else "done"
