"""Requests to models within budgets: each is sent when there is room for it, and charged.

Owns how much room is reserved for an answer, which takes several requests if it needs a repair.
`budget` owns the caps and when they are reached.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from barbule.errors import ConfigurationError, ModelError, UnsupportedError
from barbule.executor.budgets.budget import Cost, Reservation
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

    from barbule.executor.budgets.accounts import Account, AnswerLengths
    from barbule.executor.budgets.budget import Budget
    from barbule.models.base import Endpoint

    SendContext = Callable[[], AbstractContextManager[None]]

__all__ = ["Metering"]

_MAX_FIRST_REQUESTS = 5  # in flight, until the lengths of requests and answers are known
_REPAIR_TOKENS = 100  # in which a model receives the errors of its answer
_NO_ESTIMATE = Estimate()


class Metering:
    """Sends the requests of one function within budgets.

    Parameters
    ----------
    budgets
        The budgets that need room for each request.
    lengths
        The token counts of the function's requests and answers.
    """

    def __init__(
        self, client: ModelClient, budgets: Sequence[Budget], lengths: AnswerLengths
    ) -> None:
        self.client = client
        self.budgets = budgets
        self.lengths = lengths
        self.turn = asyncio.Lock()
        self.in_flight: set[Reservation] = set()
        self.weighs = any(budget.weighs for budget in budgets)
        """Whether the size of a request matters."""
        self._first_requests = asyncio.Semaphore(_MAX_FIRST_REQUESTS)

    def client_for(
        self, account: Account, send_context: SendContext, count: Callable[[], None]
    ) -> ModelClient:
        """Return a client that sends the requests for one answer.

        Parameters
        ----------
        account
            Receives their usage.
        send_context
            The context in which each of them is sent.
        count
            Counts those that are sent, however they end; a retry after an error is not counted
            again.
        """
        return _MeteredClient(self, _AnswerRequests(account, send_context, count))

    def costs(self, model: str, size: Estimate, repairs: int) -> tuple[Cost, Cost]:
        """Return the expected cost of a request, and the cost for which room is reserved."""
        if not self.weighs:
            return Cost(), Cost(1 + repairs)
        tokens_in = self.lengths.corrected(model, size.tokens_in)
        likely = size.likely_tokens_out
        if not size.bounded and (observed := self.lengths.likely_maximum(model)) is not None:
            likely = min(size.max_tokens_out, observed)
        average = self.lengths.average(model)
        tokens_out = (
            size.tokens_out if average is None else min(size.max_tokens_out, round(average))
        )
        expected = _cost(model, tokens_in, tokens_out)
        maximum = _cost(model, tokens_in, likely)
        for _ in range(repairs):  # which contains the request, the answer and its errors
            repair = _cost(model, tokens_in + likely + _REPAIR_TOKENS, likely)
            maximum = Cost(
                maximum.calls + 1, maximum.tokens + repair.tokens, maximum.usd + repair.usd
            )
        return expected, maximum

    def estimate(self, request: _Request, expected: ExpectedAnswer) -> Estimate:
        """Estimate the tokens of a request and its answer."""
        return estimate(
            request.model,
            request.method,
            request.content,
            request.params,
            usual=self.lengths.average(request.model),
            expected=expected,
        )

    @contextlib.asynccontextmanager
    async def calibrating(self, model: str, size: Estimate) -> AsyncIterator[None]:
        """Send few requests at first, until their lengths and those of answers are known."""
        if size.tokens_in and not self.lengths.is_calibrated(model, size):
            async with self._first_requests:
                if not self.lengths.is_calibrated(model, size):  # from earlier requests
                    yield
                    return
        yield


def _cost(model: str, tokens_in: int, tokens_out: int) -> Cost:
    return Cost(1, tokens_in + tokens_out, price(model, tokens_in, tokens_out) or 0.0)


@dataclass(frozen=True)
class _Request:
    """A request to a model: a method of its client, and the arguments."""

    method: str
    model: str
    content: Any
    params: Mapping[str, Any]


@dataclass
class _AnswerRequests:
    """The requests for one answer."""

    account: Account
    send_context: SendContext
    count: Callable[[], None]
    counted: int = 0

    def count_sent(self) -> None:
        """Count a request that was sent."""
        if self.counted <= self.account.requests:
            self.counted += 1
            self.count()


class _MeteredClient(ModelClient):
    """Sends the requests for one answer, as long as there is room in the budgets."""

    def __init__(
        self,
        metering: Metering,
        requests: _AnswerRequests,
        expected: ExpectedAnswer = UNKNOWN_ANSWER,
    ) -> None:
        self._metering = metering
        self._requests = requests
        self._expected = expected
        self._repair_reservation: Reservation | None = None

    async def chat(self, model: str, messages: list[dict[str, Any]], **params: Any) -> Reply:
        return await self._send("chat", model, messages, params)

    async def messages(self, model: str, messages: list[dict[str, Any]], **params: Any) -> Reply:
        return await self._send("messages", model, messages, params)

    async def embed(self, model: str, inputs: list[str], **params: Any) -> Reply:
        return await self._send("embed", model, inputs, params)

    async def image(self, model: str, prompt: str, **params: Any) -> Reply:
        return await self._send("image", model, prompt, params)

    async def transcribe(self, model: str, file: Path, **params: Any) -> Reply:
        return await self._send("transcribe", model, file, params)

    async def speak(self, model: str, text: str, **params: Any) -> Reply:
        return await self._send("speak", model, text, params)

    async def moderate(self, model: str, text: str, **params: Any) -> Reply:
        return await self._send("moderate", model, text, params)

    async def rerank(self, model: str, query: str, documents: list[str], **params: Any) -> Reply:
        client = self._metering.client
        return await self._send_metered(
            _Request("rerank", model, [query, *documents], params),
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
        client = _MeteredClient(self._metering, self._requests, expected)
        try:
            yield client
        finally:
            client.release()

    @property
    def origin(self) -> ModelClient:
        return self._metering.client.origin

    def endpoint(self, model: str) -> Endpoint:
        return self._metering.client.endpoint(model)

    def prepare(self) -> None:
        self._metering.client.prepare()

    async def ready(self) -> None:
        await self._metering.client.ready()

    def release(self) -> None:
        """Release the room that is reserved for a repair."""
        if self._repair_reservation is not None:
            self._repair_reservation.release()
            self._repair_reservation = None

    async def _send(
        self, method: str, model: str, content: object, params: Mapping[str, Any]
    ) -> Reply:
        send = getattr(self._metering.client, method)
        return await self._send_metered(
            _Request(method, model, content, params), lambda: send(model, content, **params)
        )

    async def _send_metered(self, request: _Request, send: Callable[[], Awaitable[Reply]]) -> Reply:
        """Send a request when there is room for it, and charge its usage."""
        metering = self._metering
        size = self._estimate(request) if metering.weighs else _NO_ESTIMATE
        is_repair = self._repair_reservation is not None  # which no waiting request may wait for
        async with metering.calibrating(request.model, _NO_ESTIMATE if is_repair else size):
            reservation = await self._reserve(request.model, size) if metering.budgets else None
            usage: Usage | None = None
            if reservation is not None:
                metering.in_flight.add(reservation)
            try:
                reply = await self._counted(request, send)
                usage = reply.usage
                if size.tokens_in and usage.tokens_in:
                    self._calibrate(request.model, size.tokens_in, usage.tokens_in, reservation)
            except ModelError as error:
                usage = self._estimated_usage(request) if error.charged else None
                raise
            finally:
                if usage is not None:
                    self._requests.account.add(usage)
                if reservation is not None:
                    metering.in_flight.discard(reservation)
                    self._charge(reservation, usage)
        return reply

    def _calibrate(
        self, model: str, estimated: int, counted: int, reservation: Reservation | None
    ) -> None:
        metering = self._metering
        is_first = model not in metering.lengths.tokens_in
        metering.lengths.compare(model, estimated, counted)
        if is_first:  # those in flight have reserved room by barbule's own count
            for other in metering.in_flight - {reservation}:
                other.renew()

    async def _counted(self, request: _Request, send: Callable[[], Awaitable[Reply]]) -> Reply:
        """Send a request, and count it if it was sent."""
        try:
            with self._requests.send_context():
                reply = await send()
        except (ConfigurationError, UnsupportedError):  # which report that it cannot be sent
            raise
        except ModelError as error:
            if error.sent:
                self._requests.count_sent()
            raise
        except BaseException:
            self._requests.count_sent()
            raise
        self._requests.count_sent()
        model = request.model
        usage = measured_usage(model, request.method, request.content, request.params, reply)
        if usage.tokens_out:
            self._metering.lengths.add(model, usage.tokens_out)
        return Reply(reply.value, usage, reply.headers)

    def _estimate(self, request: _Request) -> Estimate:
        return self._metering.estimate(request, self._expected)

    def _estimated_usage(self, request: _Request) -> Usage:
        """Estimate the usage of a request whose answer did not arrive."""
        size = self._estimate(request)
        usd = price(request.model, size.tokens_in, size.tokens_out)
        return Usage(size.tokens_in, size.tokens_out, usd, estimated=True)

    async def _reserve(self, model: str, size: Estimate) -> Reservation:
        """Reserve room in the budgets, or use the room reserved for a repair request."""
        metering = self._metering
        if self._repair_reservation is not None:
            reservation, self._repair_reservation = self._repair_reservation, None
            try:
                reservation.check_room(metering.costs(model, size, 0)[0])
            except BaseException:
                reservation.release()
                raise
            return reservation
        repairs = self._expected.repairs
        reservation = Reservation(metering.budgets, lambda: metering.costs(model, size, repairs))
        async with metering.turn:  # first come, first served
            await reservation.acquire()
        return reservation

    def _charge(self, reservation: Reservation, usage: Usage | None) -> None:
        if usage is not None:
            tokens = (usage.tokens_in or 0) + (usage.tokens_out or 0)
            reservation.charge(Cost(1, tokens, usage.usd or 0.0))
        if usage is not None and self._expected.repairs:
            self._repair_reservation = reservation  # until the answer is validated
        else:
            reservation.release()
