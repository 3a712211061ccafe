"""Event loop in its own thread."""

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


def test_coroutine_runs_in_the_loop_thread(loop):
    async def where():
        return threading.current_thread()

    first, second = loop.run(where()), loop.run(where())
    assert first is second is not threading.current_thread()
    assert first.daemon


def test_run_works_within_a_running_loop(loop):
    async def outer():
        return loop.run(asyncio.sleep(0, "inner"))

    assert asyncio.run(outer()) == "inner"


def test_exception_reaches_the_caller(loop):
    async def fail():
        raise LookupError("nothing here")

    with pytest.raises(LookupError, match="nothing here"):
        loop.run(fail())
    assert loop.run(asyncio.sleep(0, "goes on")) == "goes on"


def test_ctrl_c_cancels_the_coroutine(loop):
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

    # A background process ignores SIGINT.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        threading.Thread(target=interrupt).start()
        with pytest.raises(KeyboardInterrupt):
            loop.run(work())
    finally:
        signal.signal(signal.SIGINT, before)
    assert cancelled.wait(PATIENCE)


def test_stop_cancels_coroutines_and_ends_the_thread():
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


def test_stop_is_idempotent():
    loop = LoopThread()
    loop.stop()
    assert loop.run(asyncio.sleep(0, 1)) == 1
    loop.stop()
    loop.stop()
