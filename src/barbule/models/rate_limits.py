"""Concurrency, rate limits, backoff and retries of calls to one endpoint.

Must not know what is called: it sees only replies and errors. Everything here belongs to one event
loop, the executor's.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from barbule.errors import ModelError
from barbule.models.rate_limit_headers import seconds_until_reset

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from types import TracebackType

    from barbule.models.base import Endpoint, Reply

__all__ = ["Gate", "backoff", "call_with_retries"]

_HALVING_SECONDS = 1.0
"""Seconds in which 429s count once: they belong to requests sent before the halving."""

_RECOVERY_ROUNDS = 16
"""Full rounds of successes after which a gate opens from zero to its full width."""

_BURST_SECONDS = 10.0
"""The fraction of a minute's limit that may be used at once: it is exceeded by a sixth at most."""

_MAX_WAIT_SECONDS = 300.0

_USUAL_TOKENS = 500.0
"""The assumed tokens of a call, before the first reply reports them."""

_POLL_SECONDS = 0.1
"""Seconds after which it is checked again whether calls in flight used fewer tokens."""


@dataclass
class _Bucket:
    """A token bucket that may be overdrawn; it delays the next request and rejects none."""

    per_minute: float
    clock: Callable[[], float]
    _level: float = field(init=False)
    _refilled_at: float = field(init=False)

    def __post_init__(self) -> None:
        self._level = self._capacity
        self._refilled_at = self.clock()

    @property
    def _capacity(self) -> float:
        return max(1.0, self.per_minute * _BURST_SECONDS / 60)

    def take(self, amount: float) -> None:
        self._refill()
        self._level -= amount

    def delay(self, required: float) -> float:
        """Return the seconds until `required` may be taken."""
        self._refill()
        return max(0.0, (required - self._level) * 60 / self.per_minute)

    def holds(self, amount: float) -> bool:
        """Whether an amount may be taken now."""
        self._refill()
        return self._level >= amount

    def _refill(self) -> None:
        now = self.clock()
        gained = (now - self._refilled_at) * self.per_minute / 60
        self._level = min(self._capacity, self._level + gained)
        self._refilled_at = now


class Gate:
    """The requests in flight to one endpoint: `async with gate: await ask()`.

    Starts at full width, since many endpoints, above all local servers, never report their
    limits. A rate limit halves the width, at most once a second; successes widen it again,
    additively, as in TCP's congestion avoidance (Chiu and Jain, 1989). Waiting requests enter
    in the order of their arrival.

    Parameters
    ----------
    max_concurrency
        The full width.
    rpm
        Requests that may start in a minute; None for no limit.
    tpm
        Tokens that may be used in a minute, counted when a reply reports them; calls in flight
        are assumed to use what the latest ones did. None for no limit.
    clock
        Seconds on a monotonic clock.
    sleep
        Waits for so many seconds.

    Examples
    --------
    >>> gate = Gate(64)
    >>> gate.throttled(retry_after=None)
    >>> gate.limit
    32
    """

    def __init__(
        self,
        max_concurrency: int,
        *,
        rpm: int | None = None,
        tpm: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        if max_concurrency < 1:
            raise ValueError(f"max_concurrency is {max_concurrency} but must be 1 or more")
        self.max_concurrency = max_concurrency
        self.in_flight = 0
        self._unwritten = 0
        self._width = float(max_concurrency)
        self._requests = _Bucket(rpm, clock) if rpm else None
        self._tokens = _Bucket(tpm, clock) if tpm else None
        self._clock = clock
        self._sleep = sleep
        self._tokens_per_request = _USUAL_TOKENS
        self._not_before = clock()
        self._halved_at: float | None = None
        # Who holds the lock waits for room; the others wait for the lock, first come first served.
        self._turn = asyncio.Lock()
        self._room = asyncio.Event()

    @classmethod
    def of(cls, endpoint: Endpoint) -> Gate:
        """Return a gate with an endpoint's limits."""
        return cls(endpoint.max_concurrency, rpm=endpoint.rpm, tpm=endpoint.tpm)

    @property
    def limit(self) -> int:
        """How many requests may be in flight now."""
        return int(self._width)

    async def __aenter__(self) -> None:
        async with self._turn:
            while True:
                if (delay := self._delay()) > 0:
                    await self._sleep(delay)
                elif self.in_flight + self._unwritten < self.limit:
                    break
                else:
                    self._room.clear()
                    await self._room.wait()
            if self._requests is not None:
                self._requests.take(1)
            self.in_flight += 1

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.in_flight -= 1
        self._room.set()

    def count_unwritten(self) -> Callable[[], None]:
        """Count an answer as in flight until it is written, since a crash loses both.

        Returns
        -------
        callable
            To be called when the answer is written; any thread may call it.
        """
        self._unwritten += 1
        loop = asyncio.get_running_loop()

        def written() -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed, nobody waits any more
                loop.call_soon_threadsafe(self._written)

        return written

    def _written(self) -> None:
        self._unwritten -= 1
        self._room.set()

    def succeeded(self, *, tokens: int = 0) -> None:
        """Widen the gate a little, and count the tokens of a reply."""
        step = max(1.0, self.max_concurrency / _RECOVERY_ROUNDS) / self._width
        self._width = min(float(self.max_concurrency), self._width + step)
        if self._tokens is not None:
            self._tokens.take(tokens)
            self._tokens_per_request += (
                tokens - self._tokens_per_request
            ) / 8  # as TCP averages round trips
        self._room.set()

    def observe_headers(self, headers: Mapping[str, str]) -> None:
        """Delay the next requests if the headers of a reply report that a limit is used up."""
        if (wait := seconds_until_reset(headers)) > 0:
            self._not_before = max(self._not_before, self._clock() + wait)

    def throttled(self, retry_after: float | None) -> None:
        """Halve the width, and start no request for `retry_after` seconds."""
        now = self._clock()
        if retry_after is not None:
            self._not_before = max(self._not_before, now + retry_after)
        if self._halved_at is None or now - self._halved_at >= _HALVING_SECONDS:
            self._halved_at = now
            self._width = max(1.0, self._width / 2)

    def _delay(self) -> float:
        return max(
            self._not_before - self._clock(),
            self._requests.delay(1) if self._requests is not None else 0.0,
            self._tokens_delay(),
        )

    def _tokens_delay(self) -> float:
        if self._tokens is None:
            return 0.0
        overdrawn = self._tokens.delay(0)
        if overdrawn or not self.in_flight:
            return overdrawn
        return (
            0.0
            if self._tokens.holds(self._tokens_per_request * (self.in_flight + 1))
            else _POLL_SECONDS
        )


def backoff(
    attempt: int,
    retry_after: float | None,
    *,
    base: float = 0.5,
    cap: float = 30.0,
    rng: Callable[[], float] = random.random,
) -> float:
    """Return how long to wait after a failed attempt: exponential, with full jitter.

    Parameters
    ----------
    attempt
        The number of the attempt that failed, from 1.
    retry_after
        Seconds to wait that the provider returned; the jitter is added, so that not all clients
        retry at the same time. None if it returned none.
    base, cap
        The jitter lies between 0 and `min(cap, base * 2 ** (attempt - 1))` seconds.
    rng
        Draws from [0, 1).

    Returns
    -------
    float
        Seconds.

    References
    ----------
    Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.

    Examples
    --------
    >>> [backoff(n, None, rng=lambda: 1.0) for n in (1, 2, 3, 10)]
    [0.5, 1.0, 2.0, 30.0]
    >>> backoff(1, 7.0, rng=lambda: 0.0)
    7.0
    """
    # The exponent is bounded because 2.0 ** 1024 overflows.
    jitter = rng() * min(cap, base * 2.0 ** min(attempt - 1, 64))
    return (retry_after or 0.0) + jitter


async def call_with_retries(
    ask: Callable[[], Awaitable[Reply]],
    gate: Gate,
    *,
    retries: int,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    max_wait: float = _MAX_WAIT_SECONDS,
) -> tuple[Reply, int]:
    """Make a call through a gate, and repeat it after retryable failures.

    Parameters
    ----------
    ask
        Makes one request.
    gate
        The traffic control of the endpoint; held while `ask` runs, not while waiting.
    retries
        How often to retry at most; 0 for a single attempt.
    sleep
        Waits for so many seconds.
    max_wait
        A call for which the provider demands a longer wait, in seconds, is not retried: a daily
        quota should end a job with an error, not pause it for a day.

    Returns
    -------
    tuple of Reply and int
        The reply and the number of attempts that it took.

    Raises
    ------
    ModelError
        The last failure, when it is not retryable or the retries are used up.
    TimeoutError
        Likewise, if `ask` exceeded its own timeout.

    Examples
    --------
    >>> import asyncio
    >>> from barbule.models.base import Reply
    >>> async def ask():
    ...     return Reply("hello")
    >>> async def main():
    ...     return await call_with_retries(ask, Gate(8), retries=3)
    >>> reply, attempts = asyncio.run(main())
    >>> reply.value, attempts
    ('hello', 1)
    """
    attempt = 0
    while True:
        attempt += 1
        try:
            async with gate:
                reply = await ask()
        except (ModelError, TimeoutError) as error:
            wait = _wait_before_retry(error, gate, attempt, max_wait)
            if wait is None or attempt > retries:
                raise
        else:
            gate.succeeded(tokens=(reply.usage.tokens_in or 0) + (reply.usage.tokens_out or 0))
            gate.observe_headers(reply.headers)
            return reply, attempt
        await sleep(wait)


def _wait_before_retry(
    error: ModelError | TimeoutError, gate: Gate, attempt: int, max_wait: float
) -> float | None:
    """Report a failure to the gate; return the seconds to wait, or None if it is not retryable."""
    retry_after = None
    if isinstance(error, ModelError):
        retry_after = error.retry_after
        if not error.retryable or (retry_after or 0.0) > max_wait:
            return None
        # A rate limit always has a retry_after, 0.0 when the provider gave none.
        if retry_after is not None:
            gate.throttled(retry_after)
    return backoff(attempt, retry_after)
