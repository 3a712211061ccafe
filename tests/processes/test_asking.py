"""Processes that ask the same of a model at the same time ask it once, also when one dies."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import barbule as bb
from barbule.locks import Claims
from fakes.models_server import FakeModels
from patience import PATIENCE

PROGRAM = Path(__file__).with_name("asking.py")
ROWS = 120


@pytest.fixture
def path(tmp_path, backend_url):
    url = backend_url or f"duckdb://{tmp_path / 'app.duckdb'}"
    with bb.connect(url, vectors="exact:") as session:
        session.create_table("qa", [{"q": f"question {n}"} for n in range(ROWS)])
    return url


def start(server, path, name, moment):
    return subprocess.Popen(
        [sys.executable, PROGRAM, server.url, path, name, str(moment)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OPENAI_API_KEY": "sk-test-0123456789"},
    )


def test_equal_questions_of_processes_are_asked_once(path):
    with FakeModels(latency=0.3) as server:
        moment = time.time() + 8
        running = [start(server, path, str(n), moment) for n in range(2)]
        for process in running:
            out, err = process.communicate(timeout=PATIENCE)
            assert out == f"{ROWS} 0\n", err
        assert server.count == ROWS


def test_what_a_process_that_dies_was_asking_is_asked_by_the_other(path):
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


def test_places_that_another_process_holds_are_not_given(tmp_path):
    file = tmp_path / "claims"
    program = (
        "import sys; from pathlib import Path; from barbule.locks import Claims\n"
        f"with Claims(Path({str(file)!r})).held([1, 2]) as mine:\n"
        "    print(sorted(mine), flush=True); sys.stdin.readline()\n"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout.readline() == "[1, 2]\n"
    claims = Claims(file)
    before = claims.stamp()
    with claims.held([2, 3]) as mine:
        assert mine == {3}
    other.communicate("\n")
    assert claims.stamp() != before
    with claims.held([1, 2, 3]) as mine:
        assert mine == {1, 2, 3}
    claims.close()
