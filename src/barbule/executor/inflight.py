"""Questions that are being asked now: what one thread asks, another one waits for.

Owns who asks what. Whose answers these are is the ledger's business: who has waited looks there.
"""

from __future__ import annotations

import contextlib
import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["InFlight"]

# The claims within which the calling code runs: it must not wait for itself.
_WITHIN: ContextVar[tuple[threading.Event, ...]] = ContextVar("barbule_asking", default=())


class InFlight:
    """The questions that the threads of a session ask.

    Examples
    --------
    >>> flights = InFlight()
    >>> with flights.claimed(["a", "b"]) as (mine, others):
    ...     mine, len(others)
    (['a', 'b'], 0)
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._claims: dict[str, threading.Event] = {}
        self.ended = 0
        """How many claims have ended: answers may be known since the ledger was asked."""

    @contextlib.contextmanager
    def claimed(self, keys: Iterable[str]) -> Iterator[tuple[list[str], set[threading.Event]]]:
        """Claim questions meanwhile; give those that nobody else asks, and what to wait for."""
        end = threading.Event()
        mine, others = [], set()
        with self._lock:
            for key in keys:
                claim = self._claims.get(key)
                if claim is None:
                    self._claims[key] = end
                    mine.append(key)
                elif claim in _WITHIN.get():
                    mine.append(key)  # asked again from within: it would wait for itself
                else:
                    others.add(claim)
        token = _WITHIN.set((*_WITHIN.get(), end))
        try:
            yield mine, others
        finally:
            _WITHIN.reset(token)
            with self._lock:
                for key in mine:
                    if self._claims.get(key) is end:
                        del self._claims[key]
                self.ended += 1
            end.set()
