"""Ctrl-C ends an operation: answers are in the ledger, and the session stays usable."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import programs
from fakes.models_server import FakeModels
from patience import PATIENCE

PROGRAM = Path(__file__).with_name("interrupted.py")
LONG_QUERY = Path(__file__).with_name("interrupted_query.py")
ROWS = 300


@pytest.mark.parametrize("kind", ["model", "threads"])
def test_ctrl_c_keeps_ledger_answers_and_session_usable(tmp_path, kind):
    with FakeModels(latency=0.05) as server, contextlib.ExitStack() as stack:
        path = f"duckdb://{tmp_path / 'app.duckdb'}"
        process = programs.Popen(
            [sys.executable, PROGRAM, server.url, path, kind, str(ROWS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OPENAI_API_KEY": "sk-test-0123456789"},
        )
        stack.callback(process.kill)  # where something below fails
        assert process.stdout.readline() == "begins\n"
        while server.count < ROWS // 3:
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        word, *columns, ledger_count = process.stdout.readline().split()
        call_count = server.count
        assert (word, columns) == ("interrupted", ["('q',)"])
        in_flight = 64 if kind == "model" else 4
        assert call_count - in_flight <= int(ledger_count) <= call_count < ROWS
        server.latency = 0.0
        out, err = process.communicate("go on\n", timeout=PATIENCE)
        assert process.returncode == 0, err
        done, calls, hits, right = out.split()
        assert (done, int(right), int(hits)) == ("done", ROWS, int(ledger_count))
        assert int(calls) == ROWS - int(ledger_count)
        assert server.count <= ROWS + in_flight


@pytest.mark.parametrize("kind", ["aggregate", "join", "sort", "stream"])
def test_ctrl_c_ends_long_query(tmp_path, kind):
    process = programs.Popen(
        [sys.executable, LONG_QUERY, f"duckdb://{tmp_path / 'app.duckdb'}", kind],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline() == "begins\n"
        time.sleep(1)  # usually enough to be within the query
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            process.send_signal(signal.SIGINT)
            # Python drops a signal that arrives in a finalizer, so it is sent again.
            if select.select([process.stdout], [], [], 10)[0]:
                break
        out, err = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()  # where something above fails
    assert (process.returncode, out) == (0, "interrupted 20000\ndone 20001\n"), err
