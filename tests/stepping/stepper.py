"""Runs two operations through each other: one stops at a point, the other runs, the first goes on.

A point is where an operation waits, or may be overtaken: before it takes the right to write,
before it reads rows, and within each call of a function. The backends' own methods are called
as they are; what is added is the stop.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from barbule.session import Session

PATIENCE = 240  # seconds until an operation counts as stuck
_OVERTAKING = 2.0  # seconds for which the second runs alone; it may wait for the first


@dataclass
class _Stepped:
    """The operation that is stopped: its thread, how far it is, and where it stops."""

    stop: int
    reached: threading.Event = field(default_factory=threading.Event)
    goes_on: threading.Event = field(default_factory=threading.Event)
    points: int = 0
    writing: int = 0
    trace: list[str] = field(default_factory=list)


_local = threading.local()
_stepped: _Stepped | None = None


def point(name: str) -> None:
    """Stop here if the calling thread is the stepped one and this is its point.

    Functions are called in threads of their own, so that a call belongs to whoever is stepped.
    """
    mine: _Stepped | None = getattr(_local, "stepped", None)
    if mine is None and name == "call":
        mine = _stepped
    if mine is None or mine.writing or mine.goes_on.is_set():
        return
    mine.points += 1
    mine.trace.append(name)
    if mine.points == mine.stop:
        mine.reached.set()
        assert mine.goes_on.wait(PATIENCE), "nobody let the operation go on"


@contextlib.contextmanager
def stopping(session: Session) -> Iterator[None]:
    """Let operations of a session be stopped at their points."""
    backend = session._engine.backend
    kind = type(backend)
    writing, arrow = kind.writing, kind.arrow

    @contextlib.contextmanager
    def stepped_writing(self: Any) -> Iterator[None]:
        mine = getattr(_local, "stepped", None) if self is backend else None
        if mine is not None:
            point("writing")
            mine.writing += 1
        try:
            with writing(self):
                yield
        finally:
            if mine is not None:
                mine.writing -= 1

    @functools.wraps(arrow)
    def stepped_arrow(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self is backend:
            point("read")
        return arrow(self, *args, **kwargs)

    kind.writing, kind.arrow = stepped_writing, stepped_arrow
    try:
        yield
    finally:
        kind.writing, kind.arrow = writing, arrow


def through_each_other(
    first: Callable[[], Any], second: Callable[[], Any], stop: int
) -> tuple[Any, Any, str] | None:
    """Run the first up to a point, then the second, then the rest of the first.

    Returns
    -------
    tuple or None
        The outcomes of both, and where the first stopped; None where it has fewer points.
    """
    global _stepped  # noqa: PLW0603 - threads of calls find it here
    stepped = _Stepped(stop)
    outcomes: dict[str, Any] = {}

    def run_first() -> None:
        _local.stepped = stepped
        outcomes["first"] = outcome_of(first)
        stepped.reached.set()

    def run_second() -> None:
        outcomes["second"] = outcome_of(second)

    _stepped = stepped
    one = threading.Thread(target=run_first, daemon=True)
    two = threading.Thread(target=run_second, daemon=True)
    one.start()
    assert stepped.reached.wait(PATIENCE), "the first operation neither stopped nor ended"
    if "first" in outcomes:
        return None
    _stepped = None
    two.start()
    two.join(_OVERTAKING)
    stepped.goes_on.set()
    for thread in (one, two):
        thread.join(PATIENCE)
        assert not thread.is_alive(), f"stuck after {stepped.trace}"
    where = f"before {stepped.trace[-1]} {stop} of {stepped.trace}"
    return outcomes["first"], outcomes["second"], where


def outcome_of(operation: Callable[[], Any]) -> str:
    """Run an operation and tell what came of it: how many rows, an error, or a crash."""
    from ibis.common.exceptions import IbisError

    from barbule.errors import BarbuleError, ConflictError

    try:
        done = operation()
    except ConflictError:
        return "conflict"
    except (BarbuleError, IbisError, AttributeError):
        return "error"
    except Exception as error:  # noqa: BLE001 - it is compared with what a serial order gives
        return f"crash: {error!r}"
    return f"rows={done.rows}" if hasattr(done, "rows") else "done"
