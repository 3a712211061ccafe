"""Searches miss nothing after kills of writing processes and beside other processes."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

import barbule as bb
from patience import PATIENCE

from .searching import LENGTH, drawn

FULL = bool(os.environ.get("BARBULE_TEST_FULL"))
KILLS = 100 if FULL else 6
ROWS = 20_000 if FULL else 4_000
RECALL = 0.98
PROGRAM = Path(__file__).with_name("searching.py")


def _start(url: str, vectors: str, log: Path, seed: int, turns: int = 0):
    command = [sys.executable, str(PROGRAM), url, vectors, str(log), str(seed), str(turns)]
    return subprocess.Popen(command, stderr=subprocess.PIPE)


def _create(url: str, vectors: str, rows: int = 0) -> float:
    """Create the indexed table; return the CPU seconds per row of the index build."""
    import chromadb  # noqa: F401 - imported before the measurement

    with bb.connect(url, vectors=vectors) as session:
        table = session.create_table("t", {"key": bb.Int, "by": bb.Int, "v": bb.Vector(LENGTH)})
        if rows:
            some = drawn(np.random.default_rng(0), rows)
            table.insert([{"key": -1, "by": 0, "v": row} for row in some])
        start = time.process_time()
        table.add_embedding_index("v")
        session._engine.indexing.wait()
        return (time.process_time() - start) / max(rows, 1)


def _recall(table, live: np.ndarray, queries: np.ndarray) -> float:
    """Return the share of the nearest rows that is found; too few rows are an error."""
    norms, hits, total = np.linalg.norm(live, axis=1), 0, 0
    for query in queries:
        sim = table.v.similarity(query)
        scores = table.order_by(sim, asc=False).limit(10).select(s=sim).collect()["s"]
        expected = np.sort(live @ query / norms / np.linalg.norm(query))[::-1][:10]
        assert len(scores) == len(expected)
        hits += sum(min(abs(expected - score)) < 1e-5 for score in scores)
        total += len(expected)
    return hits / total if total else 1.0


def _check(url: str, vectors: str, seed: int) -> tuple[int, float, float]:
    """Compare searches and the content of the index with the rows.

    Returns the number of rows, the CPU seconds until the index was complete, and the recall of the
    searches: results of the graph are approximate.
    """
    with bb.connect(url, vectors=vectors) as session:
        table = session.get_table("t")
        live = np.array(table.select("v").to_pyarrow()["v"].to_pylist(), "float64")
        queries = drawn(np.random.default_rng(seed), 3)
        start = time.process_time()
        at_once = _recall(table, live, queries)  # whatever the state of the index
        session._engine.indexing.wait({table.op().table_id})
        took = time.process_time() - start
        result = session.check(repair=False)
        assert result.ok, result
        return len(live), took, (at_once + _recall(table, live, queries)) / 2


def _size(folder: Path) -> int:
    return sum(file.stat().st_blocks * 512 for file in folder.rglob("*") if file.is_file())


@dataclass
class _IndexDirectory:
    """State of an index directory."""

    folder: Path
    generations: list[tuple[int, int]] = field(default_factory=list)

    def moved_on(self) -> bool:
        """Return whether the index moved to another collection or directory."""
        state = json.loads((self.folder / "state.json").read_text())
        (index,) = state["indexes"].values()
        self.generations.append((state["directory"], index["generation"]))
        return len(self.generations) > 1 and self.generations[-1] != self.generations[-2]


def _killed_while_writing(url: str, vectors: str, log: Path, chance: random.Random) -> None:
    process = _start(url, vectors, log, chance.randrange(2**31))
    size = log.stat().st_size if log.exists() else 0
    while process.poll() is None and (log.stat().st_size if log.exists() else 0) == size:
        time.sleep(0.01)  # it is starting
    time.sleep(chance.random() * 1.5)
    assert process.poll() is None, process.stderr.read().decode()
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()


def _corrupt(folder: Path) -> None:
    """Corrupt the files of the graph, as a faulty disk may."""
    for file in folder.rglob("data_level0.bin"):
        file.write_bytes(os.urandom(file.stat().st_size))


def test_searches_are_correct_after_each_kill(tmp_path):
    Path("barbule.toml").write_text("[search]\nmax_matrix_bytes = 0\n")  # searches use the index
    url, vectors = f"duckdb://{tmp_path / 'app.duckdb'}", f"chroma://{tmp_path / 'chroma'}"
    log, seed = tmp_path / "log", random.randrange(2**31)
    sys.stdout.write(f"seed {seed}\n")  # shown when it fails
    chance = random.Random(seed)
    first = _create(url, vectors, ROWS)
    directory, initial_size, rebuilt = (
        _IndexDirectory(tmp_path / "chroma"),
        _size(tmp_path / "chroma"),
        [],
    )
    recalls = []
    directory.moved_on()
    for turn in range(KILLS):
        _killed_while_writing(url, vectors, log, chance)
        if turn == KILLS - 1:  # measure at least one rebuild
            _corrupt(tmp_path / "chroma")
        rows, took, recall = _check(url, vectors, turn)
        recalls.append(recall)
        if directory.moved_on():
            rebuilt.append(took / rows / first)
        assert _size(tmp_path / "chroma") < 3 * initial_size * max(rows / ROWS, 1) + 20e6
    sys.stdout.write(f"rebuilt {len(rebuilt)} of {KILLS} times, to the first build: {rebuilt}\n")
    sys.stdout.write(f"recall after each: {[round(float(each), 2) for each in recalls]}\n")
    assert sum(recalls) / len(recalls) >= RECALL
    assert rows > ROWS
    assert rebuilt
    assert max(rebuilt) <= 1.5


def test_two_processes_on_one_home_lose_no_vector(tmp_path):
    url, vectors = f"duckdb://{tmp_path / 'app.duckdb'}", f"chroma://{tmp_path / 'chroma'}"
    _create(url, vectors)
    running = [_start(url, vectors, tmp_path / f"log{n}", n, turns=25) for n in range(2)]
    for process in running:
        _out, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, errors.decode()
    rows, _, recall = _check(url, vectors, 0)
    assert rows > 0
    assert recall >= RECALL
