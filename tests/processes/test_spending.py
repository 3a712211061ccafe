"""The budget of a table applies to all processes, sessions and threads that write to it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import barbule as bb
import programs
from barbule.executor.budgets import reservations
from fakes.models_server import FakeModels
from patience import PATIENCE

START = 2  # seconds until all processes have started, on a machine without load
PROGRAM = Path(__file__).with_name("spending.py")


@bb.udf(cache=True)
def slowly(text: str) -> str:
    time.sleep(0.02)
    return text.upper()


@pytest.fixture
def url(tmp_path, backend_url):
    return backend_url or f"duckdb://{tmp_path / 'app.duckdb'}"


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0123456789")
    with FakeModels(latency=0.1) as server:
        yield server


def connect(url, server=None):
    models = {"openai": {"api_base": server.url}} if server else {}
    return bb.connect(url, vectors="exact:", models=models)


def make(url, server, **caps):
    from barbule.functions import openai

    with connect(url, server) as session:
        table = session.create_table("t", {"w": bb.String})
        reply = openai.chat_completions(
            model="gpt-4o-mini", messages=[{"role": "user", "content": table.w}], max_tokens=20
        )
        table.add_computed_column(x=reply.choices[0].message.content)
        table.set_budget(**caps)


def start(server, url, name, moment, count, lease=60):
    program = [sys.executable, PROGRAM, server.url, url, name, str(moment), str(count), str(lease)]
    return programs.Popen(
        program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    )


def done(processes):
    outcomes = []
    for process in processes:
        out, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, err
        outcomes.append(tuple(map(int, out.split())))
    return outcomes


def spent(url):
    with connect(url) as session:
        calls = session.calls()
        mine = calls.filter(calls.table == "t")
        tokens = (mine.tokens_in.fill_null(0) + mine.tokens_out.fill_null(0)).sum()
        (row,) = mine.agg(calls=mine.requests.sum(), tokens=tokens, usd=mine.usd.sum()).collect()
        return row


def open_reservations(url):
    """Return the number of open reservations."""
    with connect(url) as session:
        rows = session._engine.backend.table(reservations._NAME, reservations._SCHEMA)
        return session._engine.backend.arrow(rows.to_expr(), {}).num_rows


@pytest.mark.parametrize(("processes", "cap", "rows"), [(2, 10, 10), (3, 30, 20)])
def test_processes_share_call_budget(url, server, processes, cap, rows):
    make(url, server, calls=cap)
    programs.prepare()
    moment = time.time() + START
    outcomes = done([start(server, url, str(n), moment, rows) for n in range(processes)])
    assert server.count == cap
    assert sum(calls for calls, _ in outcomes) == cap
    assert sum(deferred for _, deferred in outcomes) == processes * rows - cap
    assert spent(url)["calls"] == cap
    assert open_reservations(url) == 0


@pytest.mark.parametrize("cap", [{"tokens": 300}, {"usd": 0.0001}], ids=str)
def test_processes_share_token_and_cost_budgets(url, server, cap):
    server.tokenizer = len
    make(url, server, **cap)
    programs.prepare()
    moment = time.time() + START
    outcomes = done([start(server, url, str(n), moment, 20) for n in range(2)])
    ((name, value),) = cap.items()
    took = spent(url)[name]
    assert 0.4 * value < took <= value
    assert sum(deferred for _, deferred in outcomes) == 40 - server.count > 0


def test_reservation_of_killed_process_counts_until_lease_ends(url, server):
    server.latency = 3600
    make(url, server, calls=10)
    killed = start(server, url, "killed", 0, 4, lease=12)
    while server.count < 4:
        assert killed.poll() is None, killed.stderr.read()
        time.sleep(0.01)
    killed.kill()
    moment = time.time()
    killed.communicate()
    server.latency = 0
    server.reset()
    other = start(server, url, "other", 0, 12)
    while time.time() < moment + 10:
        assert server.count <= 6
        time.sleep(0.01)
    # The ledger shows no spending of the killed process.
    assert done([other]) == [(10, 2)]
    assert server.count == spent(url)["calls"] == 10
    assert open_reservations(url) == 0


def test_threads_share_a_budget(url):
    with connect(url) as session:
        table = session.create_table("t", {"w": bb.String})
        table.add_computed_column(x=slowly(table.w))
        table.set_budget(calls=12)
        results = []

        def insert(number):
            results.append(table.insert([{"w": f"{number} {n}"} for n in range(10)]))

        threads = [threading.Thread(target=insert, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        assert sum(result.calls for result in results) == 12
        assert sum(result.deferred for result in results) == 18
    assert spent(url)["calls"] == 12
    assert open_reservations(url) == 0


def test_table_without_budget_creates_no_reservations_table(url):
    with connect(url) as session:
        table = session.create_table("t", [{"w": "a"}])
        table.add_computed_column(x=slowly(table.w))
        assert reservations._NAME not in session._engine.backend.tables()
        table.set_budget(calls=3)
        table.insert(w="b")
        assert reservations._NAME in session._engine.backend.tables()
        assert open_reservations(url) == 0
