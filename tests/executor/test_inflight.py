"""Single flight: threads share a running call, and a nested call does not wait for itself."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import barbule as bb

CALLED: list[int] = []
_LOCK = threading.Lock()


@bb.udf(cache=True)
def slow(n: int) -> int:
    with _LOCK:
        CALLED.append(n)
    time.sleep(0.01)
    return n * 2


@bb.udf(cache=True, on_error="null")
def failing_first(n: int) -> int:
    with _LOCK:
        CALLED.append(n)
        first = CALLED.count(n) == 1
    time.sleep(0.05)
    if first:
        raise ValueError("not yet")
    return n


@bb.udf(cache=True)
def nested(n: int) -> int:
    """Make a call within a call that is running."""
    with _LOCK:
        CALLED.append(n)
    if n < 0:
        return n
    table = bb.get_table("numbers")
    return table.filter(table.n == n).select(x=nested(-table.n - 1)).collect()[0, "x"]


@pytest.fixture(autouse=True)
def reset_called():
    CALLED.clear()


def numbers(name, values):
    table = bb.create_table(name, {"n": bb.Int})
    table.insert([{"n": n} for n in values])
    return table


def test_equal_calls_of_threads_and_tables_run_once(session):
    tables = [numbers(f"t{k}", range(10 * k, 10 * k + 40)) for k in range(4)]

    def ask(table):
        return sorted(table.select("n", x=slow(table.n)).collect()["x"])

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(ask, tables * 2))
    assert results == [[2 * n for n in range(10 * k, 10 * k + 40)] for k in range(4)] * 2
    assert sorted(CALLED) == list(range(70))
    assert bb.calls().count().to_pyarrow().as_py() == 70


def test_equal_model_requests_of_threads_are_sent_once(models, session):
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


def test_call_that_failed_in_one_thread_is_retried_by_another(session):
    table = numbers("few", range(3))
    started = threading.Barrier(2)

    def ask(_):
        started.wait()
        return sorted(table.select(x=failing_first(table.n)).collect()["x"], key=str)

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(ask, range(2)))
    assert sorted(results, key=str) == [[0, 1, 2], [None, None, None]]
    assert sorted(CALLED) == sorted([0, 1, 2] * 2)


def test_nested_call_of_the_same_function_does_not_deadlock(session):
    table = numbers("numbers", [5])
    assert table.select(x=nested(table.n)).collect()["x"] == [-6]
    assert CALLED == [5, -6]


@bb.udf(cache=True)
def same(n: int) -> int:
    with _LOCK:
        CALLED.append(n)
        deep = len(CALLED)
    if deep > 1:
        return n
    table = bb.get_table("numbers")
    return table.select(x=same(table.n)).collect()[0, "x"]


def test_nested_call_with_equal_arguments_runs(session):
    table = numbers("numbers", [5])
    assert table.select(x=same(table.n)).collect()["x"] == [5]
    assert CALLED == [5, 5]
