"""Questions to models: what each answer takes, and whether there is room for it in budgets.

Owns the account of an answer, which takes several questions where one is asked again, and how
much room is reserved for them. What caps are and when they are reached is `budget`'s business.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from barbule.errors import ConfigurationError, ModelError, UnsupportedError
from barbule.executor.budgets.budget import Need, Room
from barbule.models.base import ModelClient, Reply, Usage
from barbule.models.estimates import (
    UNKNOWN_ANSWER,
    Estimate,
    ExpectedAnswer,
    estimate,
    measured_usage,
    price,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from barbule.executor.budgets.budget import Budget
    from barbule.models.base import Endpoint

    Sending = Callable[[], AbstractContextManager[None]]

__all__ = ["Account", "AnswerLengths", "Metering"]

_FEW = 5  # answers that tell how long others may be
_REPAIR = 100  # tokens in which a model is told what is wrong with its answer
_UNWEIGHED = Estimate()


@dataclass
class Account:
    """What the questions for one answer took.

    Attributes
    ----------
    requests
        How many there were that count: those that a provider answers with an error cost nothing.
    tokens_in, tokens_out, usd
        The sums; None where nothing is known.
    estimated
        Whether a provider did not say what a question took.
    """

    requests: int = 0
    tokens_in: int | None = None
    tokens_out: int | None = None
    usd: float | None = None
    estimated: bool = False

    def add(self, usage: Usage) -> None:
        """Count a question that was sent."""
        self.join(Account(1, usage.tokens_in, usage.tokens_out, usage.usd, usage.estimated))

    def join(self, other: Account) -> None:
        """Add what other questions took."""
        self.requests += other.requests
        self.tokens_in = _sum(self.tokens_in, other.tokens_in)
        self.tokens_out = _sum(self.tokens_out, other.tokens_out)
        self.usd = _sum(self.usd, other.usd)
        self.estimated = self.estimated or other.estimated

    def shares(self, count: int) -> list[Account]:
        """Share it among rows that were asked about together, so that the sum is what it was."""
        usd = None if self.usd is None else self.usd / count
        return [
            Account(requests or 0, tokens_in, tokens_out, usd, self.estimated)
            for requests, tokens_in, tokens_out in zip(
                _parts(self.requests, count),
                _parts(self.tokens_in, count),
                _parts(self.tokens_out, count),
                strict=True,
            )
        ]

    @property
    def columns(self) -> dict[str, Any]:
        """What the ledger says of it."""
        return dict(vars(self))


def _parts(number: int | None, count: int) -> list[int | None]:
    if number is None:
        return [None] * count
    each, rest = divmod(number, count)
    return [each + (place < rest) for place in range(count)]


def _sum(one: Any, other: Any) -> Any:
    return one if other is None else other if one is None else one + other


@dataclass
class AnswerLengths:
    """How long questions and answers of a function are, by model, as a session has seen them."""

    counts: dict[str, int] = field(default_factory=dict)
    sums: dict[str, int] = field(default_factory=dict)
    most: dict[str, int] = field(default_factory=dict)
    asked: dict[str, tuple[int, int]] = field(default_factory=dict)

    def compare(self, model: str, ours: int, theirs: int) -> None:
        """Note how many tokens of a question we count, and its provider."""
        one, other = self.asked.get(model, (0, 0))
        self.asked[model] = one + ours, other + theirs

    def measured(self, model: str, tokens_in: int) -> int:
        """Return how many tokens a provider counts where we count so many, if not fewer."""
        ours, theirs = self.asked.get(model, (1, 1))
        return max(tokens_in, round(tokens_in * theirs / ours))

    def add(self, model: str, tokens: int) -> None:
        """Note an answer."""
        self.counts[model] = self.counts.get(model, 0) + 1
        self.sums[model] = self.sums.get(model, 0) + tokens
        self.most[model] = max(self.most.get(model, 0), tokens)

    def told(self, model: str, found: Estimate) -> bool:
        """Whether enough is known: how the provider counts, and how long answers may be."""
        return model in self.asked and (found.bounded or self.likely(model) is not None)

    def usual(self, model: str) -> float | None:
        """Return the average; None where none is known."""
        count = self.counts.get(model)
        return self.sums[model] / count if count else None

    def likely(self, model: str) -> int | None:
        """Return what hardly any answer exceeds; None before some are known."""
        return 2 * self.most[model] if self.counts.get(model, 0) >= _FEW else None


class Metering:
    """Asks another client on behalf of one function.

    Parameters
    ----------
    budgets
        In which there has to be room for each question.
    lengths
        Of the function's answers.
    """

    def __init__(
        self, client: ModelClient, budgets: Sequence[Budget], lengths: AnswerLengths
    ) -> None:
        self.client = client
        self.budgets = budgets
        self.lengths = lengths
        self.turn = asyncio.Lock()
        self._first = asyncio.Semaphore(_FEW)
        self.in_flight: set[Room] = set()
        self._weighs = any(each.weighs for each in budgets)

    def asking(self, account: Account, sending: Sending, count: Callable[[], None]) -> ModelClient:
        """Return what asks for one answer.

        Parameters
        ----------
        account
            Takes what its questions took.
        sending
            The context in which each of them is sent.
        count
            Counts those that are sent, however they end; sent again after an error they are the
            same.
        """
        return _Metered(self, _Asking(account, sending, count))

    def needs(self, model: str, found: Estimate, repairs: int) -> tuple[Need, Need]:
        """Return what is expected of a question, and for how much there has to be room."""
        if not self._weighs:
            return Need(), Need(1 + repairs)
        tokens_in = self.lengths.measured(model, found.tokens_in)
        likely = found.likely_tokens_out
        if not found.bounded and (seen := self.lengths.likely(model)) is not None:
            likely = min(found.max_tokens_out, seen)
        usual = self.lengths.usual(model)
        out = found.tokens_out if usual is None else min(found.max_tokens_out, round(usual))
        expected = _need(model, tokens_in, out)
        most = _need(model, tokens_in, likely)
        for _ in range(repairs):  # which is told the question, the answer and what is wrong
            again = _need(model, tokens_in + likely + _REPAIR, likely)
            most = Need(most.calls + 1, most.tokens + again.tokens, most.usd + again.usd)
        return expected, most

    def estimated(self, question: _Question, expected: ExpectedAnswer) -> Estimate:
        """Say what a question takes."""
        return estimate(
            question.model,
            question.verb,
            question.asked,
            question.params,
            usual=self.lengths.usual(question.model),
            expected=expected,
        )

    @property
    def weighs(self) -> bool:
        """Whether it matters how large a question is."""
        return self._weighs

    @contextlib.asynccontextmanager
    async def carefully(self, model: str, found: Estimate) -> AsyncIterator[None]:
        """Ask few at once, until some tell how many tokens such questions and answers have."""
        if found.tokens_in and not self.lengths.told(model, found):
            async with self._first:
                if not self.lengths.told(model, found):  # those before it have not
                    yield
                    return
        yield


def _need(model: str, tokens_in: int, tokens_out: int) -> Need:
    return Need(1, tokens_in + tokens_out, price(model, tokens_in, tokens_out) or 0.0)


@dataclass(frozen=True)
class _Question:
    """What a client is asked: a method, and its arguments."""

    verb: str
    model: str
    asked: Any
    params: Mapping[str, Any]


@dataclass
class _Asking:
    """One answer, as it is asked for."""

    account: Account
    sending: Sending
    count: Callable[[], None]
    counted: int = 0

    def sent(self) -> None:
        """Count a question."""
        if self.counted <= self.account.requests:
            self.counted += 1
            self.count()


class _Metered(ModelClient):
    """Asks for one answer, as long as there is room."""

    def __init__(
        self, metering: Metering, asking: _Asking, expected: ExpectedAnswer = UNKNOWN_ANSWER
    ) -> None:
        self._metering = metering
        self._asking = asking
        self._expected = expected
        self._room: Room | None = None  # that is kept for a repair

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
        client = self._metering.client
        return await self._within(
            _Question("rerank", model, asked, params),
            lambda: client.rerank(model, query, documents, **params),
        )

    def takes(self, model: str, feature: str) -> bool:
        return self._metering.client.takes(model, feature)

    @contextlib.contextmanager
    def expecting(
        self,
        *,
        schema: Mapping[str, Any] | None = None,
        words: float | None = None,
        repairs: int = 0,
    ) -> Iterator[ModelClient]:
        expected = ExpectedAnswer(schema, words, repairs)
        asking = _Metered(self._metering, self._asking, expected)
        try:
            yield asking
        finally:
            asking.leave()

    @property
    def origin(self) -> ModelClient:
        return self._metering.client.origin

    def endpoint(self, model: str) -> Endpoint:
        return self._metering.client.endpoint(model)

    def prepare(self) -> None:
        self._metering.client.prepare()

    async def ready(self) -> None:
        await self._metering.client.ready()

    def leave(self) -> None:
        """Give back the room that was kept for a repair."""
        if self._room is not None:
            self._room.leave()
            self._room = None

    async def _ask(self, verb: str, model: str, asked: Any, params: Mapping[str, Any]) -> Reply:
        question = getattr(self._metering.client, verb)
        return await self._within(
            _Question(verb, model, asked, params), lambda: question(model, asked, **params)
        )

    async def _within(self, question: _Question, ask: Callable[[], Awaitable[Reply]]) -> Reply:
        """Ask a question once there is room for it, and take into account what it took."""
        metering = self._metering
        found = self._estimate(question) if metering.weighs else _UNWEIGHED
        repairs = self._room is not None  # and nobody who waits for room may wait for it
        unbounded = _UNWEIGHED if repairs else found
        async with metering.carefully(question.model, unbounded):
            room = await self._entered(question.model, found) if metering.budgets else None
            used: Usage | None = None
            if room is not None:
                metering.in_flight.add(room)
            try:
                reply = await self._sent(question, ask)
                used = reply.usage
                if found.tokens_in and used.tokens_in:
                    first = question.model not in metering.lengths.asked
                    metering.lengths.compare(question.model, found.tokens_in, used.tokens_in)
                    if first:  # those beside it were given room by our own count
                        for other in metering.in_flight - {room}:
                            other.renew()
            except ModelError as error:
                used = self._guessed(question) if error.charged else None
                raise
            finally:
                if used is not None:
                    self._asking.account.add(used)
                if room is not None:
                    metering.in_flight.discard(room)
                    self._settle(room, used)
        return reply

    async def _sent(self, question: _Question, ask: Callable[[], Awaitable[Reply]]) -> Reply:
        try:
            with self._asking.sending():
                reply = await ask()
        except (ConfigurationError, UnsupportedError):  # which say that it cannot be asked
            raise
        except ModelError as error:
            if error.sent:
                self._asking.sent()
            raise
        except BaseException:
            self._asking.sent()
            raise
        self._asking.sent()
        model = question.model
        used = measured_usage(model, question.verb, question.asked, question.params, reply)
        if used.tokens_out:
            self._metering.lengths.add(model, used.tokens_out)
        return Reply(reply.value, used, reply.headers)

    def _estimate(self, question: _Question) -> Estimate:
        return self._metering.estimated(question, self._expected)

    def _guessed(self, question: _Question) -> Usage:
        """Say what a question took whose answer did not reach us."""
        found = self._estimate(question)
        usd = price(question.model, found.tokens_in, found.tokens_out)
        return Usage(found.tokens_in, found.tokens_out, usd, estimated=True)

    async def _entered(self, model: str, found: Estimate) -> Room:
        """Take room in the budgets, or the room that was kept."""
        if self._room is not None:
            room, self._room = self._room, None
            try:
                room.go_on(self._metering.needs(model, found, 0)[0])
            except BaseException:
                room.leave()
                raise
            return room
        metering, repairs = self._metering, self._expected.repairs
        room = Room(metering.budgets, lambda: metering.needs(model, found, repairs))
        async with metering.turn:  # first come, first served
            await room.enter()
        return room

    def _settle(self, room: Room, used: Usage | None) -> None:
        if used is not None:
            tokens = (used.tokens_in or 0) + (used.tokens_out or 0)
            room.spend(Need(1, tokens, used.usd or 0.0))
        if used is not None and self._expected.repairs:
            self._room = room  # until it is known that nothing is to be repaired
        else:
            room.leave()
