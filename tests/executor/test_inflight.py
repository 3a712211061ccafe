"""What one thread asks, another one waits for; nobody waits for itself."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import barbule as bb

ASKED: list[int] = []
_LOCK = threading.Lock()


@bb.udf(cache=True)
def slow(n: int) -> int:
    with _LOCK:
        ASKED.append(n)
    time.sleep(0.01)
    return n * 2


@bb.udf(cache=True, on_error="null")
def failing_first(n: int) -> int:
    with _LOCK:
        ASKED.append(n)
        first = ASKED.count(n) == 1
    time.sleep(0.05)
    if first:
        raise ValueError("not yet")
    return n


@bb.udf(cache=True)
def nested(n: int) -> int:
    """Ask, from within, what is being asked already."""
    with _LOCK:
        ASKED.append(n)
    if n < 0:
        return n
    table = bb.get_table("numbers")
    return table.filter(table.n == n).select(x=nested(-table.n - 1)).collect()[0, "x"]


@pytest.fixture(autouse=True)
def nothing_asked():
    ASKED.clear()


def numbers(name, values):
    table = bb.create_table(name, {"n": bb.Int})
    table.insert([{"n": n} for n in values])
    return table


def test_threads_and_tables_ask_equal_questions_once(session):
    tables = [numbers(f"t{k}", range(10 * k, 10 * k + 40)) for k in range(4)]

    def ask(table):
        return sorted(table.select("n", x=slow(table.n)).collect()["x"])

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(ask, tables * 2))
    assert results == [[2 * n for n in range(10 * k, 10 * k + 40)] for k in range(4)] * 2
    assert sorted(ASKED) == list(range(70))
    assert bb.calls().count().to_pyarrow().as_py() == 70


def test_models_are_asked_once_by_several_threads(models, session):
    from barbule.functions import openai

    models.latency = 0.05
    table = bb.create_table("qa", [{"q": f"question {n}"} for n in range(40)])

    def ask(_):
        messages = [{"role": "user", "content": table.q}]
        reply = openai.chat_completions(model="echo", messages=messages)
        return sorted(table.select(a=reply.choices[0].message.content).collect()["a"])

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(ask, range(4)))
    assert results == [sorted(f"echo: question {n}" for n in range(40))] * 4
    assert models.count == 40


def test_what_fails_in_one_thread_is_asked_by_the_other(session):
    table = numbers("few", range(3))
    started = threading.Barrier(2)

    def ask(_):
        started.wait()
        return sorted(table.select(x=failing_first(table.n)).collect()["x"], key=str)

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(ask, range(2)))
    assert sorted(results, key=str) == [[0, 1, 2], [None, None, None]]
    assert sorted(ASKED) == sorted([0, 1, 2] * 2)


def test_a_function_that_asks_in_turn_does_not_wait_for_itself(session):
    table = numbers("numbers", [5])
    assert table.select(x=nested(table.n)).collect()["x"] == [-6]
    assert ASKED == [5, -6]


@bb.udf(cache=True)
def same(n: int) -> int:
    with _LOCK:
        ASKED.append(n)
        deep = len(ASKED)
    if deep > 1:
        return n
    table = bb.get_table("numbers")
    return table.select(x=same(table.n)).collect()[0, "x"]


def test_the_same_question_from_within_is_asked(session):
    table = numbers("numbers", [5])
    assert table.select(x=same(table.n)).collect()["x"] == [5]
    assert ASKED == [5, 5]
