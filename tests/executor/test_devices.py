"""GPU resources: calls run concurrently up to the GPUs of the machine, and fail without enough."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from contextlib import contextmanager

import pytest

import barbule as bb
from barbule.errors import ExpressionError, FunctionError, UnsupportedError
from barbule.executor.concurrency.gpus import Gpus, count_gpus
from patience import PATIENCE


@pytest.fixture
def numbers(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    bb.connect(vectors="exact:")
    return bb.create_table("numbers", [{"n": n} for n in range(12)])


class Most:
    """Counts how many run at once."""

    def __init__(self) -> None:
        self.running = self.most = 0
        self.lock = threading.Lock()

    def __enter__(self) -> None:
        with self.lock:
            self.running += 1
            self.most = max(self.most, self.running)

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.running -= 1


@pytest.mark.parametrize(("share", "most"), [(1, 2), (2, 1), (0.5, 4)])
def test_concurrent_calls_fit_the_gpus(numbers, share, most):
    running = Most()

    @bb.udf(version="1", resources={"gpu": share}, concurrency=6)
    def compute(n: int) -> int:
        with running:
            time.sleep(0.02)
        return n + 1

    values = numbers.order_by("n").select(x=compute(numbers.n)).collect()["x"]
    assert values == list(range(1, 13))
    assert running.most == most


def test_async_and_batch_functions_wait_for_gpus(numbers):
    running = Most()

    @bb.udf(version="1", resources={"gpu": 1})
    async def later(n: int) -> int:
        with running:
            await asyncio.sleep(0.01)
        return n

    @bb.udf(version="1", resources={"gpu": 2}, batch_size=3, concurrency=4)
    def batched(numbers: list[int]) -> list[int]:
        with running:
            time.sleep(0.01)
        return numbers

    assert sorted(numbers.select(x=later(numbers.n)).collect()["x"]) == list(range(12))
    assert running.most == 2
    running.most = 0
    assert sorted(numbers.select(x=batched(numbers.n)).collect()["x"]) == list(range(12))
    assert running.most == 1


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_call_that_needs_more_gpus_than_present_fails(numbers, kind):
    def compute(n: int) -> int:
        return n

    async def later(n: int) -> int:
        return n

    function = bb.udf(compute if kind == "plain" else later, resources={"gpu": 3})
    with pytest.raises(UnsupportedError, match=r"needs 3 GPU, but this machine has 2\. Run it"):
        numbers.select(x=function(numbers.n)).collect()
    assert function(1) is not None if kind == "plain" else True


def test_failed_call_releases_its_gpus(numbers):
    @bb.udf(version="1", resources={"gpu": 2}, on_error="null")
    def odd(n: int) -> int:
        if n % 2 == 0:
            raise ValueError(n)
        return n

    @bb.udf(version="1", resources={"gpu": 2})
    def broken(n: int) -> int:
        raise ValueError(n)

    assert numbers.order_by("n").select(x=odd(numbers.n)).collect()["x"][:3] == [None, 1, None]
    for _ in range(2):
        with pytest.raises(FunctionError, match="ValueError"):
            numbers.select(x=broken(numbers.n)).collect()


@pytest.mark.parametrize(
    ("visible", "count"), [("", 0), ("0", 1), ("1,3", 2), ("0,-1,1", 1), ("GPU-8f2e,GPU-0a1b", 2)]
)
def test_visible_gpus_are_counted(monkeypatch, visible, count):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert count_gpus() == count


@pytest.mark.parametrize("resources", [{"gpu": -1}, {"tpu": 1}, {"gpu": "one"}, {"gpu": True}])
def test_invalid_resources_are_rejected(resources):
    with pytest.raises(
        ExpressionError, match="resources must be the number of GPUs that a call needs"
    ):
        bb.udf(lambda n: n, resources=resources)


def test_cancelled_gpu_wait_leaves_no_unhandled_error():
    """The GPUs are unavailable, but the waiting call was cancelled meanwhile."""
    entered, released = threading.Event(), threading.Event()
    unheard = []

    class Slow(Gpus):
        count = 0

        @contextmanager
        def hold(self, share, function):
            entered.set()
            released.wait(PATIENCE)
            with super().hold(share, function):
                yield

    async def waits():
        asyncio.get_running_loop().set_exception_handler(
            lambda _, released: unheard.append(released)
        )
        gpus = Slow()
        task = asyncio.create_task(gpus.hold_async(1, "f").__aenter__())
        await asyncio.to_thread(entered.wait, PATIENCE)
        task.cancel()
        released.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0.2)
        gc.collect()

    asyncio.run(waits())
    assert unheard == []
