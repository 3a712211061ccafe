"""Questions that are being asked now: what one thread asks, another one waits for.

Owns who asks what. Whose answers these are is the ledger's business: who has waited looks there.
"""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["InFlight"]

_MOST_ENDED = 4096  # claims of which it is known when they ended
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
        self._earliest = 0
        self._ended: OrderedDict[str, int] = OrderedDict()
        self.ended = 0
        """How many claims have ended: answers may be known since the ledger was asked."""

    def ended_since(self, moment: int, keys: Iterable[str]) -> bool:
        """Whether any of these claims may have ended since `ended` was so many."""
        if moment == self.ended:
            return False
        with self._lock:
            if moment < self._earliest:  # it is known no more which
                return True
            return any(self._ended.get(key, 0) > moment for key in keys)

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
                self.ended += 1
                for key in mine:
                    if self._claims.get(key) is end:
                        del self._claims[key]
                        self._ended[key] = self.ended
                        self._ended.move_to_end(key)
                while len(self._ended) > _MOST_ENDED:
                    self._earliest = self._ended.popitem(last=False)[1]
            end.set()
