"""Searches after processes were killed while writing, and beside one another, miss nothing."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import barbule as bb

from .searching import LENGTH

FULL = bool(os.environ.get("BARBULE_TEST_FULL"))
KILLS = 100 if FULL else 8
PROGRAM = Path(__file__).with_name("searching.py")


def _start(url: str, vectors: str, log: Path, seed: int, turns: int = 0):
    command = [sys.executable, str(PROGRAM), url, vectors, str(log), str(seed), str(turns)]
    return subprocess.Popen(command, stderr=subprocess.PIPE)


def _made(url: str, vectors: str) -> None:
    with bb.connect(url, vectors=vectors) as session:
        table = session.create_table("t", {"key": bb.Int, "by": bb.Int, "v": bb.Vector(LENGTH)})
        table.add_embedding_index("v")


def _check(url: str, vectors: str, seed: int) -> int:
    """Compare searches by the index, and what it holds, with the rows; return how many."""
    with bb.connect(url, vectors=vectors) as session:
        table = session.get_table("t")
        rows = table.select("key", "v").collect()
        live = np.array([row["v"] for row in rows], "float64").reshape(-1, LENGTH)
        norms = np.linalg.norm(live, axis=1)
        queries = np.random.default_rng(seed).normal(size=(5, LENGTH)).astype("float32")
        for settle in (False, True):
            if settle:
                assert session.check(), session.check()
            for query in queries:
                sim = table.v.similarity(query)
                found = table.order_by(sim, asc=False).limit(10).select(s=sim).collect()["s"]
                expected = np.sort(live @ query / norms / np.linalg.norm(query))[::-1][:10]
                np.testing.assert_allclose(found, expected, atol=1e-5)
        return len(rows)


def _size(folder: Path) -> int:
    return sum(file.stat().st_blocks * 512 for file in folder.rglob("*") if file.is_file())


def test_searches_are_right_after_every_kill(tmp_path):
    Path("barbule.toml").write_text("[search]\nmax_matrix_bytes = 0\n")  # the index is asked
    url, vectors = f"duckdb://{tmp_path / 'app.duckdb'}", f"chroma://{tmp_path / 'chroma'}"
    log = tmp_path / "log"
    seed = random.randrange(2**31)
    sys.stdout.write(f"seed {seed}\n")  # shown when it fails
    chance = random.Random(seed)
    _made(url, vectors)
    rows = 0
    for turn in range(KILLS):
        process = _start(url, vectors, log, chance.randrange(2**31))
        size = log.stat().st_size if log.exists() else 0
        while process.poll() is None and (log.stat().st_size if log.exists() else 0) == size:
            time.sleep(0.01)  # it is starting
        time.sleep(chance.random() * 1.5)
        assert process.poll() is None, process.stderr.read().decode()
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        rows = max(rows, _check(url, vectors, turn))
    assert rows
    assert _size(tmp_path / "chroma") < 50e6


def test_two_processes_on_one_home_lose_no_vector(tmp_path):
    url, vectors = f"duckdb://{tmp_path / 'app.duckdb'}", f"chroma://{tmp_path / 'chroma'}"
    _made(url, vectors)
    running = [_start(url, vectors, tmp_path / f"log{n}", n, turns=25) for n in range(2)]
    for process in running:
        _out, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors.decode()
    assert _check(url, vectors, 0) > 0
