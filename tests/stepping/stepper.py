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

from barbule.media.storage.undo_log import OperationObjects
from patience import PATIENCE
from stepping.replaced import replaced

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from barbule.session import Session
    from stepping.reads import Reads

# Seconds for which the second runs alone, as it may wait for the first; none was seen to, except
# for calls in flight. If it is only slow, the two run at the same time, which tests less.
_OVERTAKING = 30.0


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
    reads: Reads | None = None
    called: set[str] = field(default_factory=set)
    """The keys of the calls of the second."""
    ends_on_restart: bool = False
    second_ended: bool = False
    restarted: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)


RESTARTED = "restarted"
"""The outcome of an operation that was ended when it began anew."""


class _Restarted(BaseException):
    """Ends an operation that begins anew."""


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
        if mine.reads is not None:
            mine.reads.step = mine.points
            mine.reads.recording = not stops
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
    backend, flights = engine.backend, engine.caller._ledger_calls.in_flight
    file = getattr(backend, "_database", None) if apart else None

    def reach(name: str) -> None:
        if file is None or not file._users:
            point(name)

    with (
        replaced(type(backend), "write_lock", _stepped_write_lock(backend, reach)),
        replaced(type(backend), "arrow", _stepped_arrow(backend, reach)),
        replaced(type(flights), "claimed", _watched_claimed(flights)),
        replaced(OperationObjects, "restart", _watched_restart),
    ):
        yield


def _stepped_write_lock(backend: Any, reach: Callable[[str], None]) -> Callable[[Any], Any]:
    def wrap(write_lock: Any) -> Any:
        @contextlib.contextmanager
        def stepped(self: Any) -> Iterator[None]:
            mine = getattr(_local, "stepped", None) if self is backend else None
            if mine is not None:
                reach("writing")
                if mine.reads is not None:
                    mine.reads.write()
                mine.writing += 1
            try:
                with write_lock(self):
                    yield
            finally:
                if mine is not None:
                    mine.writing -= 1

        return stepped

    return wrap


def _stepped_arrow(backend: Any, reach: Callable[[str], None]) -> Callable[[Any], Any]:
    def wrap(arrow: Any) -> Any:
        @functools.wraps(arrow)
        def stepped(self: Any, *args: Any, **kwargs: Any) -> Any:
            if self is backend:
                reach("read")
            return arrow(self, *args, **kwargs)

        return stepped

    return wrap


def _watched_claimed(flights: Any) -> Callable[[Any], Any]:
    """Note which calls the two ask for, and when the second waits for one of the first."""

    def wrap(claimed: Any) -> Any:
        @contextlib.contextmanager
        def watched(self: Any, keys: Any) -> Iterator[Any]:
            keys = list(keys)
            first = getattr(_local, "stepped", None) if self is flights else None
            second = getattr(_local, "overtaking", None) if self is flights else None
            reads = first.reads if first is not None else None
            if second is not None:
                second.called.update(keys)
            with (
                reads.calling(keys) if reads is not None else contextlib.nullcontext(),
                claimed(self, keys) as (mine, others),
            ):
                if others and second is not None:
                    second.overtaken.set()
                yield mine, others

        return watched

    return wrap


def _watched_restart(restart: Any) -> Any:
    """Note when the first begins anew after the second has ended, or end it then."""

    @functools.wraps(restart)
    def watched(self: Any, *args: Any) -> None:
        mine = getattr(_local, "stepped", None)
        if mine is not None and mine.second_ended:
            mine.restarted = True
            if mine.ends_on_restart:
                raise _Restarted
        restart(self, *args)

    return watched


@dataclass(frozen=True)
class Interleaved:
    """What became of two operations.

    Attributes
    ----------
    outcomes
        The outcomes of both.
    where
        Where the first stopped.
    affected
        The steps of the first that depend on whether the second runs before them; None if the
        second waited for the first.
    restarted
        Whether the first began anew after the second had ended.
    """

    outcomes: tuple[str, str]
    where: str
    affected: set[int] | None
    restarted: bool


def interleave(
    first: Callable[[], str],
    second: Callable[[], str],
    stop: int,
    *,
    reads: Reads | None = None,
    ends_on_restart: bool = False,
) -> Interleaved | None:
    """Run the first up to a point, then the second, then the rest of the first.

    Parameters
    ----------
    reads
        Records what the first reads until it stops.
    ends_on_restart
        Whether the first ends when it begins anew after the second has ended.

    Returns
    -------
    Interleaved or None
        None where the first has fewer points.
    """
    global _stepped  # noqa: PLW0603 - threads of calls find it here
    stepped = _Stepped(stop, reads=reads, ends_on_restart=ends_on_restart)
    outcomes: dict[str, str] = {}

    def run_first() -> None:
        _local.stepped = stepped
        try:
            outcomes["first"] = first()
        except _Restarted:
            outcomes["first"] = RESTARTED
        finally:
            stepped.reached.set()

    def run_second() -> None:
        _local.overtaking = stepped
        try:
            outcomes["second"] = second()
            stepped.second_ended = True
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
    affected = None
    if reads is not None and stepped.second_ended:
        affected = reads.affected(stepped.called)
    stepped.goes_on.set()
    for thread in (one, two):
        thread.join(PATIENCE)
        assert not thread.is_alive(), f"stuck after {stepped.trace}"
    where = f"before {stepped.trace[-1]} {stop} of {stepped.trace}"
    both = outcomes["first"], outcomes["second"]
    return Interleaved(both, where, affected, stepped.restarted)


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
