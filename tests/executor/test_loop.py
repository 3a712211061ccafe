"""The event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import threading

import pytest

from barbule.executor.concurrency.event_loop import LoopThread
from patience import PATIENCE


@pytest.fixture
def loop():
    loop_thread = LoopThread()
    yield loop_thread
    loop_thread.stop()


def test_it_runs_a_coroutine_in_a_thread_of_its_own(loop):
    async def where():
        return threading.current_thread()

    first, second = loop.run(where()), loop.run(where())
    assert first is second is not threading.current_thread()
    assert first.daemon


def test_it_runs_within_a_running_loop(loop):
    async def outer():
        return loop.run(asyncio.sleep(0, "inner"))

    assert asyncio.run(outer()) == "inner"


def test_an_exception_reaches_the_caller(loop):
    async def fail():
        raise LookupError("nothing here")

    with pytest.raises(LookupError, match="nothing here"):
        loop.run(fail())
    assert loop.run(asyncio.sleep(0, "goes on")) == "goes on"


def test_ctrl_c_cancels_the_work(loop):
    started, cancelled = threading.Event(), threading.Event()

    async def work():
        started.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    def interrupt():
        started.wait(PATIENCE)
        os.kill(os.getpid(), signal.SIGINT)

    # A process that was started in the background ignores it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        threading.Thread(target=interrupt).start()
        with pytest.raises(KeyboardInterrupt):
            loop.run(work())
    finally:
        signal.signal(signal.SIGINT, before)
    assert cancelled.wait(PATIENCE)


def test_stopping_cancels_what_runs_and_ends_the_thread():
    loop = LoopThread()
    started, cancelled = threading.Event(), threading.Event()

    async def work():
        started.set()
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.set()

    def wait():
        with pytest.raises(BaseException, match=r"^$"):
            loop.run(work())

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert started.wait(PATIENCE)
    loop.stop()
    waiting.join(PATIENCE)
    assert cancelled.is_set()
    assert not waiting.is_alive()
    assert "barbule-loop" not in {thread.name for thread in threading.enumerate()}


def test_stopping_twice_and_unused_is_fine():
    loop = LoopThread()
    loop.stop()
    assert loop.run(asyncio.sleep(0, 1)) == 1
    loop.stop()
    loop.stop()
