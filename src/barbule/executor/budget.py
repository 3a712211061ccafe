"""Budgets: what calls may be made, use and cost.

Owns the caps and the account of what is spent. Room for a call is reserved before it is made, for
the most that it may take, and settled by what it took; so calls in flight together cannot exceed
what each of them alone would keep. What is done with a call for which there is no room is decided
where it is made.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import threading
import time
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from barbule.errors import BudgetError, ConfigurationError
from barbule.models.base import ModelClient, Reply
from barbule.models.estimates import estimate, price

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
    from contextvars import Token
    from pathlib import Path

    from barbule.catalog.records import TableRecord
    from barbule.config import BudgetSettings
    from barbule.executor.ledger import Ledger
    from barbule.models.base import Endpoint

__all__ = ["Budget", "Need", "active", "budget", "metered", "spending", "spending_async"]

_GIVEN: ContextVar[tuple[Budget, ...]] = ContextVar("barbule_budgets", default=())
_PAUSE = 0.002  # seconds between two looks whether a call in flight has given room back
_CAPS = ("usd", "calls", "tokens")


@dataclass(frozen=True, slots=True)
class Need:
    """What a call takes, or may take."""

    calls: int = 1
    tokens: int = 0
    usd: float = 0.0


_ONE = Need()


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
        self._spent: dict[str, float] = dict.fromkeys(_CAPS, 0)
        self._reserved: dict[str, float] = dict.fromkeys(_CAPS, 0)
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

    @classmethod
    def of_table(cls, record: TableRecord, ledger: Ledger) -> Self | None:
        """Return what a table may spend and has spent; None where it has no budget."""
        caps = record.budget
        if caps is None:
            return None
        name = f"the budget of table {record.name!r}"
        own = cls(usd=caps.usd, calls=caps.calls, tokens=caps.tokens, name=name)
        spent = ledger.spent(record.name, datetime.datetime.fromisoformat(caps.since))
        own._add(own._spent, Need(spent["calls"], int(spent["tokens"]), spent["usd"]), 1)
        return own

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
            if self._fits(most) or (not self._in_flight and self._fits(expected)):
                self._in_flight += 1
                self._add(self._reserved, most, 1)
                return True
            return None if self._in_flight else False

    def settle(self, reserved: Need, used: Need | None) -> None:
        """Account for a call that ended; None where it came to nothing."""
        with self._lock:
            self._in_flight -= 1
            self._add(self._reserved, reserved, -1)
            if used is not None:
                self._add(self._spent, used, 1)

    def _fits(self, need: Need) -> bool:
        return all(
            value is None or self._spent[cap] + self._reserved[cap] + getattr(need, cap) <= value
            for cap, value in self.caps.items()
        )

    @staticmethod
    def _add(account: dict[str, float], need: Need, sign: int) -> None:
        for cap in _CAPS:
            account[cap] += sign * getattr(need, cap)

    def refusal(self) -> BudgetError:
        """Make the error of a call for which there is no room."""
        spent = str(self)[1:-1]
        return BudgetError(
            f"{spent} spent; this call was not made.",
            hint='Raise it, or compute what is left later: recompute(column, where="deferred").',
        )


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
        The most requests to models, and calls of functions that are in the call ledger.
    tokens
        The most tokens, read and written.

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


class _Room:
    """Room in several budgets at once."""

    def __init__(self, budgets: Sequence[Budget], expected: Need, most: Need) -> None:
        self._budgets = budgets
        self._expected = expected
        self._most = most

    def taken(self) -> bool:
        """Reserve it in all of them; False where that has to wait."""
        kept: list[Budget] = []
        for each in self._budgets:
            outcome = each.reserve(self._expected, self._most)
            if outcome:
                kept.append(each)
                continue
            for other in kept:
                other.settle(self._most, None)
            if outcome is None:
                return False
            raise each.refusal()
        return True

    async def enter(self) -> None:
        while not self.taken():  # noqa: ASYNC110 - budgets are shared by threads and event loops
            await asyncio.sleep(_PAUSE)

    def settle(self, used: Need | None) -> None:
        for each in self._budgets:
            each.settle(self._most, used)

    @contextlib.contextmanager
    def settling(self) -> Iterator[None]:
        used: Need | None = None
        try:
            yield
            used = _ONE
        finally:
            self.settle(used)


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
    room = _Room(budgets, _ONE, _ONE)
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
    room = _Room(budgets, _ONE, _ONE)
    await room.enter()
    with room.settling():
        yield


def metered(client: ModelClient, budgets: Sequence[Budget]) -> ModelClient:
    """Return a client that asks within budgets."""
    return _Metered(client, budgets) if budgets else client


class _Metered(ModelClient):
    """Asks another client, as long as there is room."""

    def __init__(self, client: ModelClient, budgets: Sequence[Budget]) -> None:
        self._client = client
        self._budgets = budgets
        self._weighs = any(each.weighs for each in budgets)
        self._turn = asyncio.Lock()
        self._answers: dict[str, tuple[int, int]] = {}

    async def chat(self, model: str, messages: list[dict[str, Any]], **params: Any) -> Reply:
        return await self._ask("chat", model, messages, params)

    async def messages(self, model: str, messages: list[dict[str, Any]], **params: Any) -> Reply:
        return await self._ask("messages", model, messages, params)

    async def embed(self, model: str, inputs: list[str], **params: Any) -> Reply:
        return await self._ask("embed", model, inputs, params)

    async def image(self, model: str, prompt: str, **params: Any) -> Reply:
        return await self._ask("image", model, prompt, params)

    async def transcribe(self, model: str, file: Path, **params: Any) -> Reply:
        return await self._ask("transcribe", model, file, params)

    async def speak(self, model: str, text: str, **params: Any) -> Reply:
        return await self._ask("speak", model, text, params)

    async def moderate(self, model: str, text: str, **params: Any) -> Reply:
        return await self._ask("moderate", model, text, params)

    async def rerank(self, model: str, query: str, documents: list[str], **params: Any) -> Reply:
        asked = [query, *documents]
        expected, most = self._needs("rerank", model, asked, params)
        return await self._within(
            expected, most, lambda: self._client.rerank(model, query, documents, **params)
        )

    def takes(self, model: str, what: str) -> bool:
        return self._client.takes(model, what)

    def endpoint(self, model: str) -> Endpoint:
        return self._client.endpoint(model)

    def prepare(self) -> None:
        self._client.prepare()

    async def ready(self) -> None:
        await self._client.ready()

    async def _ask(self, verb: str, model: str, asked: Any, params: Mapping[str, Any]) -> Reply:
        expected, most = self._needs(verb, model, asked, params)
        question = getattr(self._client, verb)
        reply: Reply = await self._within(expected, most, lambda: question(model, asked, **params))
        if reply.usage.tokens_out:
            count, tokens = self._answers.get(model, (0, 0))
            self._answers[model] = count + 1, tokens + reply.usage.tokens_out
        return reply

    def _needs(
        self, verb: str, model: str, asked: Any, params: Mapping[str, Any]
    ) -> tuple[Need, Need]:
        if not self._weighs:
            return _ONE, _ONE
        count, tokens = self._answers.get(model, (0, 0))
        found = estimate(model, verb, asked, params, usual=tokens / count if count else None)
        return tuple(  # type: ignore[return-value]
            Need(1, found.tokens_in + out, price(model, found.tokens_in, out) or 0.0)
            for out in (found.tokens_out, found.most_out)
        )

    async def _within(self, expected: Need, most: Need, ask: Any) -> Any:
        room = _Room(self._budgets, expected, most)
        async with self._turn:  # first come, first served
            await room.enter()
        used: Need | None = None
        try:
            reply: Reply = await ask()
            usage = reply.usage
            told = usage.tokens_in is not None or usage.tokens_out is not None
            tokens = (usage.tokens_in or 0) + (usage.tokens_out or 0)
            used = Need(1, tokens if told else expected.tokens, usage.usd or 0.0)
        finally:
            room.settle(used)
        return reply
