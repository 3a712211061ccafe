"""Searches during concurrent writes: each reads one commit and waits for no lock."""

from __future__ import annotations

import contextlib
import threading

import pytest

import barbule as bb
from patience import PATIENCE

ROWS = 12


@bb.udf(cache=True, version="1")
def turned(text: str) -> bb.Vector(2):
    """Make a vector of a text like "3 turns"."""
    return [1.0, float(text.split(maxsplit=1)[0])]


def searched(table, text, count=ROWS):
    best = table.order_by(table.text.similarity(text), asc=False).limit(count)
    return best.select("number", "turn", "text").collect()


def held(*locks):
    """Hold locks in another thread until the event that is returned is set."""
    ready, end = threading.Event(), threading.Event()

    def hold():
        with contextlib.ExitStack() as stack:
            for lock in locks:
                stack.enter_context(lock)
            ready.set()
            end.wait(PATIENCE)

    thread = threading.Thread(target=hold)
    thread.start()
    assert ready.wait(PATIENCE)
    return end, thread


@pytest.fixture
def table(session):
    made = session.create_table("t", [{"number": n, "turn": 0, "text": "0"} for n in range(ROWS)])
    made.add_embedding_index("text", embedding=turned)
    return made


def test_search_reads_one_commit(table):
    """Each commit updates all rows: a result of two commits would have two turns."""
    mixed, failures, done = [], [], threading.Event()

    def read():
        try:
            asked = 0
            while not done.is_set() or asked < 3:
                asked += 1
                found = searched(table, f"{asked % 7} turns asked for")
                shown = {(str(row["turn"]), row["text"].split()[0]) for row in found}
                if len(found) != ROWS or len(shown) != 1 or len(set(*shown)) != 1:
                    mixed.append(list(found))
        except Exception as error:  # noqa: BLE001 - a thread's error would be lost
            failures.append(error)

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    for turn in range(1, 16):
        table.update({"turn": turn, "text": f"{turn} turns"})
    done.set()
    for reader in readers:
        reader.join(PATIENCE)
    assert not failures
    assert not mixed
    assert set(searched(table, "1")["turn"]) == {15}


def test_search_does_not_wait_for_locks(table):
    searched(table, "1 first")
    engine = table.op().source
    end, thread = held(
        engine.backend.write_lock(),
        engine.ledger._lock,
        engine.ledger._behind._write_lock,
        engine.indexing._write_lock,
    )
    try:
        found = []
        reader = threading.Thread(target=lambda: found.append(searched(table, "2 not asked yet")))
        reader.start()
        reader.join(PATIENCE)
        assert len(found) == 1
        assert len(found[0]) == ROWS
    finally:
        end.set()
        thread.join()


def test_commit_is_visible_to_next_search_of_any_thread(table):
    missed = []

    def write_and_look(first):
        for number in range(first, first + 8):
            table.insert([{"number": number, "turn": 0, "text": f"{number} new"}])
            found = searched(table, f"{number} new", 1000)
            if number not in set(found["number"]):
                missed.append(number)

    threads = [threading.Thread(target=write_and_look, args=(n * 100,)) for n in range(1, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not missed
    assert table.count().to_pyarrow().as_py() == ROWS + 24
    numbers = [
        version.version for version in table.op().source.catalog.versions(table.op().table_id)
    ]
    assert numbers == list(range(len(numbers)))  # each commit is listed once


def test_search_succeeds_during_schema_changes(table):
    failures, done = [], threading.Event()

    def read():
        try:
            while not done.is_set():
                found = searched(table, "3 turns")
                assert len(found) == ROWS
        except Exception as error:  # noqa: BLE001 - a thread's error would be lost
            failures.append(error)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for number in range(4):
        table.add_computed_column(**{f"c{number}": table.number + number})
        table.drop_column(f"c{number}")
    table.delete(where=table.number < 0)
    done.set()
    for reader in readers:
        reader.join(PATIENCE)
    assert not failures


def test_filter_and_search_read_same_commit(table):
    wrong, failures, done = [], [], threading.Event()

    def read():
        try:
            while not done.is_set():
                rows = table.where(table.turn >= 0)
                best = rows.order_by(rows.text.similarity("1 x"), asc=False).limit(ROWS)
                found = best.select("turn").collect()
                if len(found) != ROWS or len(set(found["turn"])) != 1:
                    wrong.append(list(found["turn"]))
        except Exception as error:  # noqa: BLE001 - a thread's error would be lost
            failures.append(error)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for turn in range(1, 12):
        table.update({"turn": turn})
    done.set()
    for reader in readers:
        reader.join(PATIENCE)
    assert not failures
    assert not wrong


def test_redefined_function_computes_next_row(session):
    @bb.udf(version="1", name="redefined_for_plans")
    def first(x: int) -> int:
        return x + 1

    table = session.create_table("t", {"x": int})
    table.add_computed_column(y=first(table.x))
    table.insert([{"x": 1}])
    table.insert([{"x": 2}])
    table.rename_column("x", "z")
    table.insert([{"z": 3}])
    table.add_columns({"w": bb.Int})
    table.insert([{"z": 4, "w": 1}])
    assert table.order_by("z").collect()["y"] == [2, 3, 4, 5]

    @bb.udf(version="1", name="redefined_for_plans")
    def again(x: int) -> int:
        return x + 1 + 0

    assert again is not first
    table.insert([{"z": 5, "w": 1}])
    assert table.order_by("z").collect()["y"] == [2, 3, 4, 5, 6]
