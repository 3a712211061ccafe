"""AnswerWriter: each answer reaches the ledger once and promptly, and none is lost."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from barbule.executor.ledger.answer_writer import AnswerWriter, UnwrittenError
from patience import PATIENCE


@pytest.fixture
def writer():
    with ThreadPoolExecutor(1) as pool:
        yield pool


def test_answers_of_many_threads_are_written_once(writer):
    written: list[int] = []
    answer_writer: AnswerWriter[int] = AnswerWriter(written.extend, writer)

    def add(start):
        for number in range(start, start + 500):
            answer_writer.add(number)

    threads = [threading.Thread(target=add, args=(start,)) for start in range(0, 4000, 500)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    remaining, _ = answer_writer.finish()
    assert sorted(written + remaining) == list(range(4000))


def test_single_answer_is_written_without_a_following_one(writer):
    arrived = threading.Event()
    answer_writer: AnswerWriter[int] = AnswerWriter(lambda _some: arrived.set(), writer)
    answer_writer.add(1)
    assert arrived.wait(PATIENCE)
    arrived.clear()
    answer_writer.add(2)
    assert arrived.wait(PATIENCE)
    answer_writer.finish()


def test_operations_write_answers_independently(writer):
    one: list[int] = []
    other: list[int] = []
    long, short = AnswerWriter(one.extend, writer), AnswerWriter(other.extend, writer)
    stop = threading.Event()

    def go_on():
        while not stop.is_set():
            long.add(1)

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        short.add(2)
        remaining, _ = short.finish()
        assert other + remaining == [2]
    finally:
        stop.set()
        thread.join()
    remaining, _ = long.finish()
    assert {*one, *remaining} == {1}


def test_finish_returns_unwritten_answers(writer):
    tried: list[list[int]] = []
    failed = threading.Event()

    def refuse(some):
        tried.append(some)
        failed.set()
        raise OSError("busy")

    answer_writer: AnswerWriter[int] = AnswerWriter(refuse, writer)
    answer_writer.add(1)
    assert failed.wait(PATIENCE)
    answer_writer.add(2)
    remaining, _ = answer_writer.finish()
    assert sorted(remaining) == [1, 2]
    assert tried == [[1]]
    with pytest.raises(UnwrittenError, match="busy") as caught:
        answer_writer.check()
    assert isinstance(caught.value.failure, OSError)


def test_check_passes_after_successful_writes(writer):
    written: list[int] = []
    answer_writer: AnswerWriter[int] = AnswerWriter(written.extend, writer)
    answer_writer.add(1)
    answer_writer.finish()
    answer_writer.check()


def test_callbacks_run_once_after_their_answers_are_written(writer):
    written: list[int] = []
    notified: list[tuple[int, bool]] = []
    all_told = threading.Event()

    def tell(number):
        notified.append((number, number in written))
        if len(notified) == 50:
            all_told.set()

    answer_writer: AnswerWriter[int] = AnswerWriter(written.extend, writer)
    for number in range(50):
        answer_writer.add(number, lambda number=number: tell(number))
    assert all_told.wait(PATIENCE)
    answer_writer.finish()[1]()
    answer_writer.add(50, lambda: notified.append((50, False)))  # the writer is finished
    assert notified == [(number, number < 50) for number in range(51)]


def test_callbacks_run_once_when_writes_fail(writer):
    notified: list[int] = []
    failed, go_on, end = threading.Event(), threading.Event(), threading.Event()

    def tell(number):
        notified.append(number)
        if len(notified) == 2:
            end.set()

    def refuse(_some):
        failed.set()
        go_on.wait(PATIENCE)
        raise OSError("full")

    answer_writer: AnswerWriter[int] = AnswerWriter(refuse, writer)
    answer_writer.add(1, lambda: tell(1))
    assert failed.wait(PATIENCE)
    answer_writer.add(2, lambda: tell(2))
    go_on.set()
    assert end.wait(PATIENCE)
    assert answer_writer.finish()[0] == [1, 2]
    answer_writer.add(3, lambda: notified.append(3))
    assert notified == [1, 2, 3]
