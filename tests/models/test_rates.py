"""Concurrency, rate limits, backoff and retries, with a simulated clock."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from datetime import UTC, datetime

import pytest

from barbule.errors import ModelError
from barbule.models.base import Endpoint, Reply, Usage
from barbule.models.rate_limit_headers import seconds_until_reset
from barbule.models.rate_limits import Gate, backoff, call_with_retries
from patience import PATIENCE


class Clock:
    """A clock that advances only when all coroutines sleep."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []
        self._sleepers: list[tuple[float, int, asyncio.Future]] = []
        self._order = itertools.count()

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.now + seconds, next(self._order), future))
        await future

    async def run(self, *work):
        """Run coroutines to completion, advancing the clock whenever all of them sleep."""
        tasks = [asyncio.ensure_future(one) for one in work]
        while not all(task.done() for task in tasks):
            for _ in range(20):
                await asyncio.sleep(0)
            if self._sleepers and not all(task.done() for task in tasks):
                self.now, _, future = heapq.heappop(self._sleepers)
                if not future.done():
                    future.set_result(None)
        return [task.result() for task in tasks]


@pytest.fixture
def clock() -> Clock:
    return Clock()


def gate_on(clock: Clock, width: int, **limits: int) -> Gate:
    return Gate(width, clock=clock, sleep=clock.sleep, **limits)


def limited(retry_after: float | None = 0.0) -> ModelError:
    return ModelError("slow down.", retryable=True, retry_after=retry_after)


# -- Gate ----------------------------------------------------------------------------------------


def test_gate_never_exceeds_its_width(clock):
    gate = gate_on(clock, 4)
    in_flight = []

    async def work():
        async with gate:
            in_flight.append(gate.in_flight)
            await clock.sleep(1)

    async def main():
        await clock.run(*(work() for _ in range(12)))

    asyncio.run(main())
    assert max(in_flight) == 4
    assert gate.in_flight == 0
    assert clock.now == 1003.0  # three rounds of four


def test_waiting_requests_enter_in_arrival_order(clock):
    gate = gate_on(clock, 1)
    entered = []

    async def work(i: int):
        async with gate:
            entered.append(i)
            await clock.sleep(1)

    async def main():
        await clock.run(*(work(i) for i in range(6)))

    asyncio.run(main())
    assert entered == list(range(6))


def test_burst_of_rate_limits_halves_the_gate_once(clock):
    gate = gate_on(clock, 64)
    for _ in range(20):
        gate.throttled(None)
    assert gate.limit == 32
    clock.now += 1.0
    gate.throttled(None)
    assert gate.limit == 16


def test_gate_width_is_at_least_one(clock):
    gate = gate_on(clock, 4)
    for _ in range(10):
        clock.now += 2
        gate.throttled(None)
    assert gate.limit == 1


def test_successes_widen_the_gate_up_to_its_width(clock):
    gate = gate_on(clock, 64)
    gate.throttled(None)
    widths = [gate.limit]
    for _ in range(8):
        for _ in range(gate.limit):
            gate.succeeded()
        widths.append(gate.limit)
    assert all(2 <= later - earlier <= 4 for earlier, later in itertools.pairwise(widths))
    for _ in range(1000):
        gate.succeeded()
    assert gate.limit == 64


def test_retry_after_delays_all_starts(clock):
    gate = gate_on(clock, 8)
    starts = []

    async def work():
        async with gate:
            starts.append(clock.now)

    async def main():
        gate.throttled(7.0)
        gate.throttled(3.0)  # a shorter delay does not shorten a longer one
        await clock.run(*(work() for _ in range(3)))

    asyncio.run(main())
    assert starts == [1007.0] * 3


def test_rpm_spaces_the_starts(clock):
    gate = gate_on(clock, 100, rpm=60)
    starts = []

    async def work():
        async with gate:
            starts.append(clock.now - 1000)

    async def main():
        await clock.run(*(work() for _ in range(15)))

    asyncio.run(main())
    assert starts[:10] == [0.0] * 10  # a burst of ten seconds' worth
    assert starts[10:] == pytest.approx([1, 2, 3, 4, 5])


def test_tpm_delays_starts_after_heavy_use(clock):
    gate = gate_on(clock, 100, tpm=600)
    starts = []

    async def work():
        async with gate:
            starts.append(clock.now - 1000)
        gate.succeeded(tokens=150)

    async def main():
        for _ in range(3):
            await clock.run(work())

    asyncio.run(main())
    # 100 tokens at once, refilled by ten per second.
    assert starts == pytest.approx([0, 5, 20])


def test_tpm_estimates_requests_in_flight_from_recent_usage(clock):
    gate = gate_on(clock, 100, tpm=60_000)  # 10,000 tokens at once, 1,000 a second
    for _ in range(100):
        gate.succeeded(tokens=1000)
    clock.now += 120  # fully refilled
    most = 0

    async def work():
        nonlocal most
        async with gate:
            most = max(most, gate.in_flight)
            await clock.sleep(1)
        gate.succeeded(tokens=1000)

    async def main():
        await clock.run(*(work() for _ in range(40)))

    asyncio.run(main())
    assert 5 <= most <= 11
    assert clock.now - 1120 == pytest.approx(31, abs=4)  # 40,000 tokens, of which 10,000 at once


def test_exhausted_rate_limit_headers_delay_the_next_request(clock):
    gate = gate_on(clock, 8)
    spent = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1m10s"}

    async def main():
        await clock.run(call_with_retries(lambda: reply(spent), gate, retries=0))
        began = clock.now
        await clock.run(call_with_retries(lambda: reply({}), gate, retries=0))
        return clock.now - began

    async def reply(headers):
        return Reply("x", Usage(), headers)

    assert asyncio.run(main()) == pytest.approx(6.0)
    assert gate.limit == 8  # no rejection, so the width stays


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 0),
        ({"x-ratelimit-remaining-requests": "0"}, 0),
        ({"x-ratelimit-remaining-requests": "1", "x-ratelimit-reset-requests": "9s"}, 0),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "200ms"}, 0.02),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "30"}, 3),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "1h0m0s"}, 6),
        ({"x-ratelimit-remaining-tokens": "no", "x-ratelimit-reset-tokens": "30"}, 0),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "soon"}, 0),
        (
            {
                "anthropic-ratelimit-requests-remaining": "0",
                "anthropic-ratelimit-requests-reset": "2026-01-01T00:00:20Z",
            },
            2,
        ),
        (
            {
                "anthropic-ratelimit-requests-remaining": "0",
                "anthropic-ratelimit-requests-reset": "2025-01-01T00:00:20",
            },
            0,
        ),
    ],
)
def test_reset_headers_give_the_delay(headers, seconds):
    assert seconds_until_reset(headers, datetime(2026, 1, 1, tzinfo=UTC)) == pytest.approx(seconds)


def test_cancelled_wait_leaves_the_gate_usable(clock):
    gate = gate_on(clock, 1)

    async def main():
        async with gate:
            waiting = asyncio.ensure_future(gate.__aenter__())
            behind = asyncio.ensure_future(gate.__aenter__())
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        await asyncio.wait_for(behind, PATIENCE)
        assert gate.in_flight == 1

    asyncio.run(main())


def test_exception_releases_the_slot(clock):
    gate = gate_on(clock, 1)

    async def main():
        with pytest.raises(ValueError, match="inside"):
            async with gate:
                raise ValueError("inside")
        assert gate.in_flight == 0

    asyncio.run(main())


def test_unwritten_answers_occupy_slots(clock):
    gate = gate_on(clock, 2)
    begun = []
    waiting = []

    async def work(number):
        async with gate:
            begun.append(number)
        waiting.append(gate.count_unwritten())

    async def main():
        tasks = [asyncio.create_task(work(number)) for number in range(4)]
        await asyncio.sleep(0.05)
        assert begun == [0, 1]
        await asyncio.to_thread(waiting[0])
        await asyncio.sleep(0.05)
        assert begun == [0, 1, 2]
        waiting[1]()
        await asyncio.gather(*tasks)
        assert begun == [0, 1, 2, 3]

    asyncio.run(asyncio.wait_for(main(), PATIENCE))


def test_gate_limits_come_from_the_endpoint():
    gate = Gate.of(Endpoint("openai", max_concurrency=3))
    assert gate.limit == gate.max_concurrency == 3


def test_gate_of_zero_width_is_rejected():
    with pytest.raises(ValueError, match="max_concurrency is 0"):
        Gate(0)


# -- backoff -------------------------------------------------------------------------------------


def test_backoff_doubles_up_to_its_cap():
    waits = [backoff(n, None, base=1, cap=10, rng=lambda: 1.0) for n in range(1, 7)]
    assert waits == [1, 2, 4, 8, 10, 10]


def test_backoff_has_full_jitter():
    waits = [backoff(4, None) for _ in range(200)]
    assert min(waits) < 1.0
    assert max(waits) > 3.0
    assert all(0 <= wait <= 4.0 for wait in waits)


def test_backoff_is_at_least_retry_after():
    assert all(7.0 <= backoff(1, 7.0) <= 7.5 for _ in range(50))


def test_backoff_of_a_huge_attempt_does_not_overflow():
    assert backoff(5000, None, rng=lambda: 1.0) == 30.0


# -- call_with_retries ---------------------------------------------------------------------------


def scripted_call(*outcomes):
    """Return a call with scripted outcomes, and the list of its calls."""
    left, calls = list(outcomes), []

    async def ask() -> Reply:
        calls.append(len(calls) + 1)
        outcome = left.pop(0)
        if isinstance(outcome, BaseException):
            raise outcome
        return Reply(outcome, Usage(10, 5))

    return ask, calls


def retrying(clock, ask, gate, **options):
    async def main():
        work = call_with_retries(ask, gate, sleep=clock.sleep, **options)
        return (await clock.run(work))[0]

    return asyncio.run(main())


def test_success_takes_one_attempt(clock):
    ask, calls = scripted_call("fine")
    reply, attempts = retrying(clock, ask, gate_on(clock, 2), retries=3)
    assert (reply.value, attempts, calls, clock.slept) == ("fine", 1, [1], [])


def test_retryable_failures_and_timeouts_are_retried(clock):
    ask, _ = scripted_call(ModelError("boom.", retryable=True), TimeoutError(), "fine")
    reply, attempts = retrying(clock, ask, gate_on(clock, 2), retries=3)
    assert (reply.value, attempts) == ("fine", 3)
    assert len(clock.slept) == 2


def test_last_failure_is_raised_after_all_retries(clock):
    ask, calls = scripted_call(*(ModelError(f"boom {i}.", retryable=True) for i in range(1, 9)))
    with pytest.raises(ModelError, match=r"boom 3\."):
        retrying(clock, ask, gate_on(clock, 2), retries=2)
    assert len(calls) == 3


@pytest.mark.parametrize("error", [ModelError("bad key."), ValueError("a bug")])
def test_other_failures_are_not_retried(clock, error):
    ask, calls = scripted_call(error, "fine")
    with pytest.raises(type(error), match=str(error)):
        retrying(clock, ask, gate_on(clock, 2), retries=5)
    assert len(calls) == 1


def test_zero_retries_call_once(clock):
    ask, calls = scripted_call(limited(), "fine")
    with pytest.raises(ModelError, match="slow down"):
        retrying(clock, ask, gate_on(clock, 2), retries=0)
    assert len(calls) == 1


def test_rate_limit_narrows_the_gate_and_is_retried(clock):
    gate = gate_on(clock, 8)
    ask, _ = scripted_call(limited(4.0), "fine")
    _, attempts = retrying(clock, ask, gate, retries=1)
    assert attempts == 2
    assert gate.limit == 4
    assert clock.now >= 1004.0


def test_server_error_does_not_narrow_the_gate(clock):
    gate = gate_on(clock, 8)
    ask, _ = scripted_call(ModelError("boom.", retryable=True), "fine")
    retrying(clock, ask, gate, retries=1)
    assert gate.limit == 8


def test_retry_after_of_a_day_fails_at_once(clock):
    gate = gate_on(clock, 8)
    ask, calls = scripted_call(limited(86_400.0), "fine")
    with pytest.raises(ModelError, match="slow down"):
        retrying(clock, ask, gate, retries=5)
    assert len(calls) == 1
    other, _ = scripted_call("fine")
    retrying(clock, other, gate, retries=0)
    assert clock.now == 1000.0


def test_slot_is_free_while_a_retry_waits(clock):
    gate = gate_on(clock, 1)
    failing, _ = scripted_call(ModelError("boom.", retryable=True), "late")
    quick, _ = scripted_call("early")
    done = []

    async def work(ask):
        reply, _ = await call_with_retries(ask, gate, retries=1, sleep=clock.sleep)
        done.append(reply.value)

    async def main():
        await clock.run(work(failing), work(quick))

    asyncio.run(main())
    assert done == ["early", "late"]
