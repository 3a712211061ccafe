"""WriteBehind: pending rows are found at once, written in groups, and survive failures."""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import barbule as bb
from barbule.executor.ledger.write_behind import WriteBehind
from patience import PATIENCE


@pytest.fixture
def writer():
    with ThreadPoolExecutor(1) as pool:
        yield pool


def test_rows_of_many_threads_are_found_at_once_and_written_once(writer):
    written: list[dict] = []
    rows = WriteBehind(written.extend, writer)
    missed: list[str] = []

    def add(thread):
        for number in range(200):
            key = f"{thread} {number}"
            rows.add({key: {"key": key}})
            if key not in rows.find([key]) and {"key": key} not in written:
                missed.append(key)

    threads = [threading.Thread(target=add, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows.flush()
    assert not missed
    assert len(written) == 1600 == len({row["key"] for row in written})
    assert rows.find(["0 0"]) == {}


def test_group_is_written_without_a_waiting_caller(writer):
    arrived = threading.Event()
    rows = WriteBehind(lambda _rows: arrived.set(), writer)
    is_written = threading.Event()
    rows.add({"a": {}}, is_written.set)
    assert arrived.wait(PATIENCE)
    assert is_written.wait(PATIENCE)


def test_failed_write_keeps_rows_and_raises_on_settle(writer):
    full = threading.Event()
    full.set()
    written: list[dict] = []

    def write(some):
        if full.is_set():
            raise OSError("full")
        written.extend(some)

    rows = WriteBehind(write, writer)
    rows.add({"a": {"n": 1}})
    with pytest.raises(OSError, match="full"):
        rows.flush()
    rows.add({"b": {"n": 2}})
    assert rows.find(["a", "b"]) == {"a": {"n": 1}, "b": {"n": 2}}
    full.clear()
    rows.flush()
    assert written == [{"n": 1}, {"n": 2}]


def test_taken_rows_stay_readable_and_return_after_a_failure():
    written: list[dict] = []
    with ThreadPoolExecutor(1) as busy:
        go_on = threading.Event()
        busy.submit(go_on.wait, PATIENCE)
        rows = WriteBehind(written.extend, busy)
        rows.add({"a": {"n": 1}})
        with contextlib.suppress(ZeroDivisionError), rows.taking() as taken_rows:
            assert taken_rows == [{"n": 1}]
            assert rows.find(["a"]) == {"a": {"n": 1}}
            rows.add({"b": {"n": 2}})
            raise ZeroDivisionError
        assert not written
        with rows.taking() as taken_rows:
            assert taken_rows == [{"n": 1}, {"n": 2}]
        assert rows.find(["a", "b"]) == {}
        go_on.set()


def test_rows_returned_by_a_failed_transaction_are_written(writer):
    arrived, written = threading.Event(), []

    def write(rows):
        written.extend(rows)
        arrived.set()

    rows = WriteBehind(write, writer)
    rows.add({"a": {"n": 1}})
    with contextlib.suppress(ZeroDivisionError), rows.taking():
        writer.submit(int).result(PATIENCE)  # the scheduled write has run
        raise ZeroDivisionError
    assert arrived.wait(PATIENCE)
    assert written == [{"n": 1}]


calls: list[str] = []


@bb.udf(cache=True, version="1")
def embed_noted(text: str) -> bb.Vector(2):
    calls.append(text)
    return [float(len(text)), 1.0]


def test_search_answers_are_reused_at_once_and_after_reopen(session):
    calls.clear()
    table = session.create_table("t", [{"text": "a"}, {"text": "bbbb"}])
    table.add_embedding_index("text", embedding=embed_noted)
    calls.clear()
    for _ in range(3):
        found = table.order_by(table.text.similarity("ccc"), asc=False).limit(1).collect()
        assert found["text"] == ["bbbb"]
    assert calls == ["ccc"]
    assert len(session.calls().collect()) == 3  # two rows and the query
    session.close()
    again = bb.connect(session.settings.backend, home=str(session.settings.home), vectors="exact:")
    table = again.get_table("t")
    table.order_by(table.text.similarity("ccc"), asc=False).limit(1).collect()
    assert calls == ["ccc"]


def test_answer_is_committed_with_its_rows(session):
    calls.clear()
    table = session.create_table("t", {"text": bb.String})
    table.add_computed_column(v=embed_noted(table.text))
    go_on = threading.Event()
    session._engine.ledger.writer.submit(go_on.wait, PATIENCE)  # blocks the writer
    try:
        table.insert([{"text": "new"}])
        assert session.ibis.table("bb_calls").count().to_pyarrow().as_py() == 1
    finally:
        go_on.set()
