"""Answers on their way into the ledger: each is written once, soon, and none is lost."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from barbule.executor.ledger.answer_writer import Keeping, UnwrittenError
from patience import PATIENCE


@pytest.fixture
def writer():
    with ThreadPoolExecutor(1) as pool:
        yield pool


def test_each_is_written_once_from_many_threads(writer):
    written: list[int] = []
    keeping: Keeping[int] = Keeping(written.extend, writer)

    def add(start):
        for number in range(start, start + 500):
            keeping.add(number)

    threads = [threading.Thread(target=add, args=(start,)) for start in range(0, 4000, 500)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rest, _ = keeping.finish()
    assert sorted(written + rest) == list(range(4000))


def test_one_is_written_though_no_other_follows(writer):
    arrived = threading.Event()
    keeping: Keeping[int] = Keeping(lambda _some: arrived.set(), writer)
    keeping.add(1)
    assert arrived.wait(PATIENCE)
    arrived.clear()
    keeping.add(2)
    assert arrived.wait(PATIENCE)
    keeping.finish()


def test_operations_do_not_wait_for_each_other(writer):
    one: list[int] = []
    other: list[int] = []
    long, short = Keeping(one.extend, writer), Keeping(other.extend, writer)
    stop = threading.Event()

    def go_on():
        while not stop.is_set():
            long.add(1)

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        short.add(2)
        rest, _ = short.finish()
        assert other + rest == [2]
    finally:
        stop.set()
        thread.join()
    rest, _ = long.finish()
    assert {*one, *rest} == {1}


def test_what_could_not_be_written_is_left_at_the_end(writer):
    tried: list[list[int]] = []
    failed = threading.Event()

    def refuse(some):
        tried.append(some)
        failed.set()
        raise OSError("busy")

    keeping: Keeping[int] = Keeping(refuse, writer)
    keeping.add(1)
    assert failed.wait(PATIENCE)
    keeping.add(2)
    rest, _ = keeping.finish()
    assert sorted(rest) == [1, 2]
    assert tried == [[1]]
    with pytest.raises(UnwrittenError, match="busy") as caught:
        keeping.check()
    assert isinstance(caught.value.failure, OSError)


def test_what_can_be_written_is_checked_without_an_error(writer):
    written: list[int] = []
    keeping: Keeping[int] = Keeping(written.extend, writer)
    keeping.add(1)
    keeping.finish()
    keeping.check()


def test_who_waits_is_told_once_what_was_added_is_written(writer):
    written: list[int] = []
    told: list[tuple[int, bool]] = []
    all_told = threading.Event()

    def tell(number):
        told.append((number, number in written))
        if len(told) == 50:
            all_told.set()

    keeping: Keeping[int] = Keeping(written.extend, writer)
    for number in range(50):
        keeping.add(number, lambda number=number: tell(number))
    assert all_told.wait(PATIENCE)
    keeping.finish()[1]()
    keeping.add(50, lambda: told.append((50, False)))  # nothing will be written any more
    assert told == [(number, number < 50) for number in range(51)]


def test_who_waits_is_told_once_though_nothing_can_be_written(writer):
    told: list[int] = []
    failed, go_on, end = threading.Event(), threading.Event(), threading.Event()

    def tell(number):
        told.append(number)
        if len(told) == 2:
            end.set()

    def refuse(_some):
        failed.set()
        go_on.wait(PATIENCE)
        raise OSError("full")

    keeping: Keeping[int] = Keeping(refuse, writer)
    keeping.add(1, lambda: tell(1))
    assert failed.wait(PATIENCE)
    keeping.add(2, lambda: tell(2))
    go_on.set()
    assert end.wait(PATIENCE)
    assert keeping.finish()[0] == [1, 2]
    keeping.add(3, lambda: told.append(3))
    assert told == [1, 2, 3]
