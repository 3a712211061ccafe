"""Budgets: what calls may be made, use and cost.

Owns the caps and the account of what is spent. Room for a call is reserved before it is made, for
the most that it may take, and settled by what it took; so calls in flight together cannot exceed
what each of them alone would keep. What is done with a call for which there is no room is decided
where it is made.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from barbule.errors import BudgetError, ConfigurationError
from barbule.suggestions import check_arguments

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence
    from contextvars import Token

    from barbule.config import BudgetSettings

__all__ = ["CAPS", "Budget", "Need", "Room", "active", "budget", "spending", "spending_async"]

_GIVEN: ContextVar[tuple[Budget, ...]] = ContextVar("barbule_budgets", default=())
_PAUSE = 0.002  # seconds between two looks whether a call in flight has given room back
CAPS = ("usd", "calls", "tokens")


@dataclass(frozen=True, slots=True)
class Need:
    """What a call takes, or may take."""

    calls: int = 1
    tokens: int = 0
    usd: float = 0.0

    def without(self, used: Need) -> Need:
        """Return what is left of it."""
        return Need(
            max(0, self.calls - used.calls),
            max(0, self.tokens - used.tokens),
            max(0.0, self.usd - used.usd),
        )


_ONE = Need()
_NONE = Need(0)


class Budget:
    """What may be spent, and what is.

    Parameters
    ----------
    usd, calls, tokens
        The caps; None is no cap.
    name
        How errors call it.

    Examples
    --------
    >>> account = Budget(calls=2)
    >>> account.reserve(Need(), Need()), account.reserve(Need(), Need())
    (True, True)
    >>> account.reserve(Need(), Need()) is None  # as long as the others are in flight
    True
    >>> account.settle(Need(), Need()), account.settle(Need(), Need())
    (None, None)
    >>> account.reserve(Need(), Need())
    False
    """

    def __init__(
        self,
        *,
        usd: float | None = None,
        calls: int | None = None,
        tokens: int | None = None,
        name: str = "the budget",
    ) -> None:
        self.caps = {"usd": usd, "calls": calls, "tokens": tokens}
        for cap, value in self.caps.items():
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
                raise ConfigurationError(
                    f"{cap} is a number, 0 or above.", value=value, hint=f"budget({cap}=10)."
                )
        self.name = name
        self._spent: dict[str, float] = dict.fromkeys(CAPS, 0)
        self._reserved: dict[str, float] = dict.fromkeys(CAPS, 0)
        self._in_flight = 0
        self._lock = threading.Lock()
        self._tokens: list[Token[tuple[Budget, ...]]] = []

    @classmethod
    def of_session(cls, settings: BudgetSettings) -> Self | None:
        """Return what a session may spend; None where it has no budget."""
        own = cls(
            usd=settings.usd,
            calls=settings.calls,
            tokens=settings.tokens,
            name="the session's budget",
        )
        return own if any(cap is not None for cap in own.caps.values()) else None

    def __repr__(self) -> str:
        spent = ", ".join(
            f"{self._shown(cap, self._spent[cap])} of {self._shown(cap, value)} {cap}"
            for cap, value in self.caps.items()
            if value is not None
        )
        return f"<{self.name}: {spent or 'no cap'}>"

    @staticmethod
    def _shown(cap: str, value: float) -> str:
        return f"{value:.6g}" if cap == "usd" else f"{value:.0f}"

    @property
    def usd(self) -> float:
        """Dollars that are spent."""
        return self._spent["usd"]

    @property
    def calls(self) -> int:
        """Calls that were made."""
        return int(self._spent["calls"])

    @property
    def tokens(self) -> int:
        """Tokens that were read and written."""
        return int(self._spent["tokens"])

    @property
    def weighs(self) -> bool:
        """Whether it matters how large a call is."""
        return self.caps["usd"] is not None or self.caps["tokens"] is not None

    def __enter__(self) -> Self:
        self._tokens.append(_GIVEN.set((*_GIVEN.get(), self)))
        return self

    def __exit__(self, *_: object) -> None:
        _GIVEN.reset(self._tokens.pop())

    def reserve(self, expected: Need, most: Need) -> bool | None:
        """Keep room for a call.

        A call whose length nobody bounds may be larger than all that is left; it is made if what
        is expected of it fits, but not beside others.

        Returns
        -------
        bool or None
            Whether there is room; None where that is known once calls in flight have ended.
        """
        with self._lock:
            if self._fits(most) or (self._is_alone and self._fits(expected)):
                self._in_flight += 1
                self._add(self._reserved, most, 1)
                return True
            return False if self._is_alone else None

    @property
    def _is_alone(self) -> bool:
        """Whether nothing is in flight that may give back room."""
        return not self._in_flight

    def settle(self, reserved: Need, used: Need | None) -> None:
        """Account for a call that ended; None where it came to nothing."""
        with self._lock:
            self._in_flight -= 1
            self._add(self._reserved, reserved, -1)
            if used is not None:
                self._add(self._spent, used, 1)

    def charge(self, reserved: Need, left: Need, used: Need) -> None:
        """Account for a call, of whose room a part is left for what follows it."""
        with self._lock:
            self._add(self._reserved, reserved, -1)
            self._add(self._reserved, left, 1)
            self._add(self._spent, used, 1)

    def holds(self, left: Need, expected: Need) -> bool:
        """Whether what follows a call fits: what is left of its room, or what is expected."""
        with self._lock:
            if self._fits(_NONE):
                return True
            self._add(self._reserved, left, -1)
            try:
                return self._fits(expected)
            finally:
                self._add(self._reserved, left, 1)

    def _fits(self, need: Need) -> bool:
        return all(
            value is None or self._spent[cap] + self._reserved[cap] + getattr(need, cap) <= value
            for cap, value in self.caps.items()
        )

    @staticmethod
    def _add(account: dict[str, float], need: Need, sign: int) -> None:
        for cap in CAPS:
            account[cap] += sign * getattr(need, cap)

    def refusal(self) -> BudgetError:
        """Make the error of a call for which there is no room."""
        spent = str(self)[1:-1]
        return BudgetError(
            f"{spent} spent; this call was not made.",
            hint='Raise it, or compute what is left later: recompute(column, where="deferred").',
        )


@check_arguments
def budget(
    *, usd: float | None = None, calls: int | None = None, tokens: int | None = None
) -> Budget:
    """Limit what calls may be made within a `with` block.

    When it is spent, cells that are left are *deferred*: empty, with a reason of the type
    "deferred"; the operation ends normally and says how many there are. A query that keeps
    nothing raises `BudgetError` instead. Answers of the call ledger are free.

    Parameters
    ----------
    usd
        The most that calls may cost, in US dollars. What a model costs whose price LiteLLM does
        not know is not counted.
    calls
        The most requests to models, repairs among them, and calls of functions that are in the
        call ledger.
    tokens
        The most tokens, read and written. This cap and that of dollars hold exactly where
        answers are bounded, as by `max_tokens` or labels.

    Returns
    -------
    Budget
        A context manager, whose `usd`, `calls` and `tokens` tell what is spent.

    Examples
    --------
    >>> import barbule as bb
    >>> @bb.udf(cache=True)
    ... def shout(text: str) -> str:
    ...     return text.upper()
    >>> words = bb.create_table("words", [{"word": "a"}, {"word": "b"}, {"word": "c"}])
    >>> with bb.budget(calls=2) as spent:
    ...     done = words.add_computed_column(loud=shout(words.word))
    >>> done.deferred, spent
    (1, <the budget: 2 of 2 calls>)
    >>> _ = words.recompute("loud", where="deferred")
    >>> sorted(words.collect()["loud"])
    ['A', 'B', 'C']
    """
    return Budget(usd=usd, calls=calls, tokens=tokens)


def active() -> tuple[Budget, ...]:
    """Return the budgets within which the calling code runs."""
    return _GIVEN.get()


class Room:
    """Room in several budgets at once, for a call and what may follow it.

    Parameters
    ----------
    needs
        Tells what is expected of the call, and what it takes at most, with what may follow it;
        asked again while it waits, as more is known of such calls.
    """

    def __init__(self, budgets: Sequence[Budget], needs: Callable[[], tuple[Need, Need]]) -> None:
        self._budgets = budgets
        self._needs = needs
        self._left = _NONE

    def taken(self) -> bool:
        """Reserve it in all of them; False where that has to wait."""
        expected, self._left = self._needs()
        kept: list[Budget] = []
        for each in self._budgets:
            outcome = each.reserve(expected, self._left)
            if outcome:
                kept.append(each)
                continue
            for other in kept:
                other.settle(self._left, None)
            if outcome is None:
                return False
            raise each.refusal()
        return True

    async def enter(self) -> None:
        """Wait until it is reserved."""
        while not self.taken():  # noqa: ASYNC110 - budgets are shared by threads and event loops
            await asyncio.sleep(_PAUSE)

    def renew(self) -> None:
        """Reserve what the call is known by now to take, though there were no room for it."""
        _, most = self._needs()
        for each in self._budgets:
            each.charge(self._left, most, _NONE)
        self._left = most

    def go_on(self, expected: Need) -> None:
        """Begin what follows the call, if there is room for it.

        There is none where the call was made for what was expected of it.
        """
        for each in self._budgets:
            if not each.holds(self._left, expected):
                raise each.refusal()

    def spend(self, used: Need) -> None:
        """Account for a call, and keep the rest of the room."""
        left = self._left.without(used)
        for each in self._budgets:
            each.charge(self._left, left, used)
        self._left = left

    def leave(self) -> None:
        """Give back what is left of it."""
        for each in self._budgets:
            each.settle(self._left, None)

    @contextlib.contextmanager
    def settling(self) -> Iterator[None]:
        """Account for a call that is made within."""
        try:
            yield
            self.spend(_ONE)
        finally:
            self.leave()


@contextlib.contextmanager
def spending(budgets: Sequence[Budget]) -> Iterator[None]:
    """Make one call of a function that is no model's within budgets.

    Raises
    ------
    BudgetError
        When there is no room for it.
    """
    if not budgets:
        yield
        return
    room = Room(budgets, lambda: (_ONE, _ONE))
    while not room.taken():
        time.sleep(_PAUSE)
    with room.settling():
        yield


@contextlib.asynccontextmanager
async def spending_async(budgets: Sequence[Budget]) -> AsyncIterator[None]:
    """Make one call of an asynchronous function within budgets, as `spending` does."""
    if not budgets:
        yield
        return
    room = Room(budgets, lambda: (_ONE, _ONE))
    await room.enter()
    with room.settling():
        yield
