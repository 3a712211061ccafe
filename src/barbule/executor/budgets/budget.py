"""Budgets: caps on the number of calls, their tokens, and their cost.

Owns the caps and the spending. Before a call is made, room is reserved for its maximum usage; then
the actual usage is charged. So concurrent calls cannot exceed a cap together that each of them
alone would keep. The caller decides what happens to a call for which there is no room.
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

__all__ = [
    "CAPS",
    "Budget",
    "Cost",
    "Reservation",
    "active_budgets",
    "budget",
    "spending",
    "spending_async",
]

_ACTIVE: ContextVar[tuple[Budget, ...]] = ContextVar("barbule_budgets", default=())
_POLL_SECONDS = 0.002  # between two checks whether a call in flight has released room
CAPS = ("usd", "calls", "tokens")


@dataclass(frozen=True, slots=True)
class Cost:
    """The actual or maximum usage of a call."""

    calls: int = 1
    tokens: int = 0
    usd: float = 0.0

    def minus(self, spent: Cost) -> Cost:
        """Return what remains of it."""
        return Cost(
            max(0, self.calls - spent.calls),
            max(0, self.tokens - spent.tokens),
            max(0.0, self.usd - spent.usd),
        )


_ONE_CALL = Cost()
_NO_COST = Cost(0)


class Budget:
    """The caps and the spending.

    Parameters
    ----------
    usd, calls, tokens
        The caps; None sets no cap.
    name
        Its name in error messages.

    Examples
    --------
    >>> account = Budget(calls=2)
    >>> account.reserve(Cost(), Cost()), account.reserve(Cost(), Cost())
    (True, True)
    >>> account.reserve(Cost(), Cost()) is None  # as long as the others are in flight
    True
    >>> account.finish(Cost(), Cost()), account.finish(Cost(), Cost())
    (None, None)
    >>> account.reserve(Cost(), Cost())
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
                    f"{cap} must be a number of 0 or above.", value=value, hint=f"budget({cap}=10)."
                )
        self.name = name
        self._spent: dict[str, float] = dict.fromkeys(CAPS, 0)
        self._reserved: dict[str, float] = dict.fromkeys(CAPS, 0)
        self._in_flight = 0
        self._lock = threading.Lock()
        self._tokens: list[Token[tuple[Budget, ...]]] = []

    @classmethod
    def of_session(cls, settings: BudgetSettings) -> Self | None:
        """Return the budget of a session; None if it has none."""
        budget = cls(
            usd=settings.usd,
            calls=settings.calls,
            tokens=settings.tokens,
            name="the session's budget",
        )
        return budget if any(cap is not None for cap in budget.caps.values()) else None

    def __repr__(self) -> str:
        spent = ", ".join(
            f"{self._formatted(cap, self._spent[cap])} of {self._formatted(cap, value)} {cap}"
            for cap, value in self.caps.items()
            if value is not None
        )
        return f"<{self.name}: {spent or 'no cap'}>"

    @staticmethod
    def _formatted(cap: str, value: float) -> str:
        return f"{value:.6g}" if cap == "usd" else f"{value:.0f}"

    @property
    def usd(self) -> float:
        """The dollars spent."""
        return self._spent["usd"]

    @property
    def calls(self) -> int:
        """The number of calls that were made."""
        return int(self._spent["calls"])

    @property
    def tokens(self) -> int:
        """The input and output tokens."""
        return int(self._spent["tokens"])

    @property
    def weighs(self) -> bool:
        """Whether the size of a call matters."""
        return self.caps["usd"] is not None or self.caps["tokens"] is not None

    def __enter__(self) -> Self:
        self._tokens.append(_ACTIVE.set((*_ACTIVE.get(), self)))
        return self

    def __exit__(self, *_: object) -> None:
        _ACTIVE.reset(self._tokens.pop())

    def reserve(self, expected: Cost, maximum: Cost) -> bool | None:
        """Reserve room for a call.

        A call without a length limit may cost more than the remaining budget; it is made if its
        expected cost fits, but not while others are in flight.

        Returns
        -------
        bool or None
            Whether there is room; None if that depends on calls in flight.
        """
        with self._lock:
            if self._fits(maximum) or (self._is_alone and self._fits(expected)):
                self._in_flight += 1
                self._add(self._reserved, maximum, 1)
                return True
            return False if self._is_alone else None

    @property
    def _is_alone(self) -> bool:
        """Whether no call is in flight that may release room."""
        return not self._in_flight

    def finish(self, reserved: Cost, spent: Cost | None) -> None:
        """End a reservation, and add the cost of its call; None if no call was made."""
        with self._lock:
            self._in_flight -= 1
            self._add(self._reserved, reserved, -1)
            if spent is not None:
                self._add(self._spent, spent, 1)

    def charge(self, reserved: Cost, remaining: Cost, spent: Cost) -> None:
        """Add the cost of a call; the rest of its reservation stays for its repair request."""
        with self._lock:
            self._add(self._reserved, reserved, -1)
            self._add(self._reserved, remaining, 1)
            self._add(self._spent, spent, 1)

    def has_room(self, reserved: Cost, expected: Cost) -> bool:
        """Whether the repair of a call fits: within its reservation, or by its expected cost."""
        with self._lock:
            if self._fits(_NO_COST):
                return True
            self._add(self._reserved, reserved, -1)
            try:
                return self._fits(expected)
            finally:
                self._add(self._reserved, reserved, 1)

    def _fits(self, cost: Cost) -> bool:
        return all(
            value is None or self._spent[cap] + self._reserved[cap] + getattr(cost, cap) <= value
            for cap, value in self.caps.items()
        )

    @staticmethod
    def _add(account: dict[str, float], cost: Cost, sign: int) -> None:
        for cap in CAPS:
            account[cap] += sign * getattr(cost, cap)

    def refusal(self) -> BudgetError:
        """Return the error of a call for which there is no room."""
        spent = str(self)[1:-1]
        return BudgetError(
            f"{spent} spent; this call was not made.",
            hint="Raise the budget, or compute the deferred cells later: recompute(column, "
            'where="deferred").',
        )


@check_arguments
def budget(
    *, usd: float | None = None, calls: int | None = None, tokens: int | None = None
) -> Budget:
    """Limit the calls within a `with` block.

    When the budget is spent, the remaining cells are *deferred*: empty, with an error of the type
    "deferred"; the operation ends normally and reports their number. A query that stores nothing
    raises `BudgetError` instead. Answers of the call ledger are free.

    Parameters
    ----------
    usd
        The maximum cost of calls, in US dollars. Models whose price LiteLLM does not know are not
        counted.
    calls
        The maximum number of requests to models, including repair requests, and calls of functions
        in the call ledger.
    tokens
        The maximum number of input and output tokens. This cap and that of dollars are exact if
        answers are bounded, for example by `max_tokens` or labels.

    Returns
    -------
    Budget
        A context manager; `usd`, `calls` and `tokens` are the spending.

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


def active_budgets() -> tuple[Budget, ...]:
    """Return the budgets whose `with` blocks contain the calling code."""
    return _ACTIVE.get()


class Reservation:
    """Room in several budgets at once, for a call and its repair request.

    Parameters
    ----------
    costs
        Returns the expected cost of the call, and its maximum with that of a repair request; called
        again while it waits, because estimates improve.
    """

    def __init__(self, budgets: Sequence[Budget], costs: Callable[[], tuple[Cost, Cost]]) -> None:
        self._budgets = budgets
        self._costs = costs
        self._reserved = _NO_COST

    def try_acquire(self) -> bool:
        """Reserve the room in all budgets; return False if it has to wait."""
        expected, self._reserved = self._costs()
        acquired: list[Budget] = []
        for budget in self._budgets:
            outcome = budget.reserve(expected, self._reserved)
            if outcome:
                acquired.append(budget)
                continue
            for other in acquired:
                other.finish(self._reserved, None)
            if outcome is None:
                return False
            raise budget.refusal()
        return True

    async def acquire(self) -> None:
        """Wait until the room is reserved."""
        while not self.try_acquire():  # noqa: ASYNC110 - budgets are shared by threads and event loops
            await asyncio.sleep(_POLL_SECONDS)

    def renew(self) -> None:
        """Reserve the cost of the call by a better estimate, even if there is no room for it."""
        _, maximum = self._costs()
        for budget in self._budgets:
            budget.charge(self._reserved, maximum, _NO_COST)
        self._reserved = maximum

    def check_room(self, expected: Cost) -> None:
        """Check that there is room for a repair request.

        There is none if the call itself was made only for its expected cost.

        Raises
        ------
        BudgetError
            If there is none.
        """
        for budget in self._budgets:
            if not budget.has_room(self._reserved, expected):
                raise budget.refusal()

    def charge(self, spent: Cost) -> None:
        """Add the cost of a call, and keep the remaining room."""
        remaining = self._reserved.minus(spent)
        for budget in self._budgets:
            budget.charge(self._reserved, remaining, spent)
        self._reserved = remaining

    def release(self) -> None:
        """Release the remaining room."""
        for budget in self._budgets:
            budget.finish(self._reserved, None)

    @contextlib.contextmanager
    def one_call(self) -> Iterator[None]:
        """Charge the call made within the block."""
        try:
            yield
            self.charge(_ONE_CALL)
        finally:
            self.release()


@contextlib.contextmanager
def spending(budgets: Sequence[Budget]) -> Iterator[None]:
    """Make one call of a function that calls no model, within budgets.

    Raises
    ------
    BudgetError
        If there is no room for it.
    """
    if not budgets:
        yield
        return
    reservation = Reservation(budgets, lambda: (_ONE_CALL, _ONE_CALL))
    while not reservation.try_acquire():
        time.sleep(_POLL_SECONDS)
    with reservation.one_call():
        yield


@contextlib.asynccontextmanager
async def spending_async(budgets: Sequence[Budget]) -> AsyncIterator[None]:
    """Make one call of an asynchronous function within budgets, as `spending` does."""
    if not budgets:
        yield
        return
    reservation = Reservation(budgets, lambda: (_ONE_CALL, _ONE_CALL))
    await reservation.acquire()
    with reservation.one_call():
        yield
