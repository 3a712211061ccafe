"""Concurrent processes make equal model calls once, also when one of them dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

import barbule as bb
import programs
from barbule.config import ProviderSettings, load_settings
from barbule.functions import openai
from barbule.locks import Claims
from barbule.session import Session
from fakes.models_server import FakeModels
from patience import PATIENCE

PROGRAM = Path(__file__).with_name("calling.py")
ROWS = 120
FULL = bool(os.environ.get("BARBULE_TEST_FULL"))


@pytest.fixture
def path(tmp_path, backend_url):
    url = backend_url or f"duckdb://{tmp_path / 'app.duckdb'}"
    with bb.connect(url, vectors="exact:") as session:
        session.create_table("qa", [{"q": f"question {n}"} for n in range(ROWS)])
    return url


def start(server, path, name, moment):
    return programs.Popen(
        [sys.executable, PROGRAM, server.url, path, name, str(moment)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OPENAI_API_KEY": "sk-test-0123456789"},
    )


def test_processes_share_equal_model_calls(path):
    with FakeModels(latency=0.3) as server:
        programs.prepare()
        moment = time.time() + 2  # when both have started, on a machine without load
        running = [start(server, path, str(n), moment) for n in range(2)]
        for process in running:
            out, err = process.communicate(timeout=PATIENCE)
            assert out == f"{ROWS} 0\n", err
        assert server.count == ROWS


def test_calls_of_killed_process_are_made_by_another(path):
    with FakeModels(latency=0.3) as server:
        first = start(server, path, "first", 0)
        while not server.count:
            assert first.poll() is None, first.stderr.read()
            time.sleep(0.01)
        second = start(server, path, "second", 0)
        time.sleep(0.2)
        first.kill()
        first.communicate()
        out, err = second.communicate(timeout=PATIENCE)
        assert out == f"{ROWS} 0\n", err
        assert ROWS <= server.count <= ROWS + 64


@pytest.mark.skipif(not FULL, reason="takes a minute; set BARBULE_TEST_FULL")
def test_calls_of_stopped_process_are_made_once_by_others(postgres, tmp_path):
    with postgres.schema() as url, FakeModels(latency=2) as server:
        with bb.connect(url, vectors="exact:") as session:
            session.create_table("qa", [{"q": f"question {n}"} for n in range(10)])
        first = start(server, url, "first", 0)
        while server.count < 10:
            assert first.poll() is None, first.stderr.read()
            time.sleep(0.01)
        first.send_signal(signal.SIGSTOP)
        try:
            others = [start(server, url, str(n), 0) for n in range(2)]
            for process in others:
                out, err = process.communicate(timeout=PATIENCE)
                assert out == "10 0\n", err
            assert server.count <= 20
        finally:
            first.send_signal(signal.SIGCONT)
        # Calls in flight at the stop may be answered or have timed out.
        out, err = first.communicate(timeout=PATIENCE)
        assert out == "10 0\n", err
        call_count = server.count
        with bb.connect(url, vectors="exact:") as session:
            calls = session.calls()
            answered = calls.filter(calls.error.isnull()).collect()
        assert len(set(answered["key"])) == 10
        assert len(answered) <= call_count <= 20
        last = start(server, url, "last", 0)
        out, err = last.communicate(timeout=PATIENCE)
        assert (out, server.count) == ("10 0\n", call_count), err


def _holding(file, *slots):
    program = (
        "import sys; from pathlib import Path; from barbule.locks import Claims\n"
        f"with Claims(Path({str(file)!r}), 0.5).hold({list(slots)}) as mine:\n"
        "    print(sorted(mine), flush=True); sys.stdin.readline()\n"
    )
    other = programs.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    return other, other.stdout.readline()


def test_claims_of_stopped_process_are_taken_over_once(tmp_path):
    file = tmp_path / "claims"
    stopped, output = _holding(file, 1, 2)
    assert output == "[1, 2]\n"
    stopped.send_signal(signal.SIGSTOP)
    claims = Claims(file, 1.0)
    try:
        taken_over = set()
        while not taken_over:  # its heartbeat has to expire first
            with claims.hold([2, 3]) as mine:
                assert 3 in mine
                taken_over = mine - {3}
                if taken_over:
                    another, output = _holding(file, 2, 4)
                    assert output == "[4]\n"  # the second of two waiters takes over nothing
                    stopped.send_signal(signal.SIGCONT)
                    stopped.communicate("\n")
                    # The first has ended, but not the process that took over from it.
                    late, output = _holding(file, 1, 2)
                    assert output == "[1]\n"
                    another.communicate("\n")
                    late.communicate("\n")
            time.sleep(0.05)
    finally:
        stopped.kill()
        stopped.communicate()
    with claims.hold([1, 2]) as mine:
        assert mine == {1, 2}
    claims.close()


def test_claims_held_by_another_process_are_not_granted(tmp_path):
    file = tmp_path / "claims"
    other, output = _holding(file, 1, 2)
    assert output == "[1, 2]\n"
    claims = Claims(file)
    before = claims.stamp()
    with claims.hold([2, 3]) as mine:
        assert mine == {3}
    other.communicate("\n")
    assert claims.stamp() != before
    with claims.hold([1, 2, 3]) as mine:
        assert mine == {1, 2, 3}
    claims.close()


def test_sessions_of_one_process_hold_separate_claims(tmp_path):
    file = tmp_path / "claims"
    one, other = Claims(file), Claims(file)
    with one.hold([1, 2]), one.hold([2, 5]) as again:
        assert again == {2, 5}  # the threads of a session share its claims
        with other.hold([2, 3]) as mine:
            assert mine == {3}
        with other.hold([3, 5]) as mine:
            assert mine == {3}
        other.close()
        third, output = _holding(file, 1, 2, 3, 5)
        assert output == "[3]\n"
        third.communicate("\n")
    with other.hold([1, 2, 5]) as mine:
        assert mine == {1, 2, 5}
    one.close()
    other.close()


def test_sessions_of_one_process_share_equal_model_calls(backend_url, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0123456789")
    with FakeModels(latency=0.5) as server:
        settings = {
            "backend": backend_url or f"duckdb://{tmp_path}/a.duckdb",
            "vectors": "exact:",
            "home": tmp_path,
        }
        models = {"openai": ProviderSettings(api_base=server.url)}
        settings_with_models = replace(load_settings(**settings), models=models)
        with Session(settings_with_models) as one, Session(settings_with_models) as two:
            one.create_table("a", [{"w": f"row {n}"} for n in range(5)])
            two.create_table("b", [{"w": f"row {n}"} for n in range(5)])

            def compute(session, name):
                t = session.get_table(name)
                chat = openai.chat_completions(
                    model="gpt-4o-mini", messages=[{"role": "user", "content": t.w}]
                )
                return t.add_computed_column(x=chat.choices[0].message.content).errors

            with ThreadPoolExecutor() as pool:
                assert list(pool.map(compute, (one, two), "ab")) == [0, 0]
            assert one.get_table("a").collect()["x"] == two.get_table("b").collect()["x"]
        assert server.count == 5
