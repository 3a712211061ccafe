"""Calls in flight: a thread waits for equal calls of other threads instead of repeating them.

Owns which thread makes which call. A waiting thread reads the answers from the ledger.
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

_MAX_ENDED_CLAIMS = 4096  # whose ends are remembered
# The claims whose blocks contain the calling code: it must not wait for itself.
_OWN_CLAIMS: ContextVar[tuple[threading.Event, ...]] = ContextVar("barbule_asking", default=())


class InFlight:
    """The calls that the threads of a session are making, by their keys.

    Examples
    --------
    >>> calls = InFlight()
    >>> with calls.claimed(["a", "b"]) as (claimed, other_claims):
    ...     claimed, len(other_claims)
    (['a', 'b'], 0)
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._claims: dict[str, threading.Event] = {}
        self._first_remembered = 0
        self._ends: OrderedDict[str, int] = OrderedDict()
        self.ended = 0
        """The number of claims that have ended: the ledger may have answers since it was read."""

    def ended_since(self, ended: int, keys: Iterable[str]) -> bool:
        """Whether any of these claims may have ended since `ended` had this value."""
        if ended == self.ended:
            return False
        with self._lock:
            if ended < self._first_remembered:  # which of them ended is no longer known
                return True
            return any(self._ends.get(key, 0) > ended for key in keys)

    @contextlib.contextmanager
    def claimed(self, keys: Iterable[str]) -> Iterator[tuple[list[str], set[threading.Event]]]:
        """Claim calls within the block; yield those that are free, and the claims of others."""
        end = threading.Event()
        claimed, other_claims = [], set()
        with self._lock:
            for key in keys:
                claim = self._claims.get(key)
                if claim is None:
                    self._claims[key] = end
                    claimed.append(key)
                elif claim in _OWN_CLAIMS.get():
                    claimed.append(key)  # nested in its own claim: it would wait for itself
                else:
                    other_claims.add(claim)
        token = _OWN_CLAIMS.set((*_OWN_CLAIMS.get(), end))
        try:
            yield claimed, other_claims
        finally:
            _OWN_CLAIMS.reset(token)
            with self._lock:
                self.ended += 1
                for key in claimed:
                    if self._claims.get(key) is end:
                        del self._claims[key]
                        self._ends[key] = self.ended
                        self._ends.move_to_end(key)
                while len(self._ends) > _MAX_ENDED_CLAIMS:
                    self._first_remembered = self._ends.popitem(last=False)[1]
            end.set()
