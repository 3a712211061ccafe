"""A process killed at any time leaves its committed changes and nothing else."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import barbule as bb
import programs

FULL = bool(os.environ.get("BARBULE_TEST_FULL"))
# On each database: 200 kills, or a few.
PARTS, KILLS = (8, 25) if FULL else (4, 2)
PROGRAM = Path(__file__).with_name("mutating.py")


def _start(url: str, log: Path, seed: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-W", "error", str(PROGRAM), url, str(log), str(seed)]
    return programs.Popen(command, stderr=subprocess.PIPE)


def _log_entries(log: Path) -> list[dict]:
    """Read the log of the processes; the last line of each may be incomplete."""
    lines = log.read_text().splitlines() if log.exists() else []
    entries = []
    for line in lines:
        with contextlib.suppress(json.JSONDecodeError):
            entries.append(json.loads(line))
    return entries


def _state(table) -> list:
    return sorted((row["key"], row["name"], row["loud"]) for row in table.collect())


def _check(url: str, log: Path) -> int:
    """Compare the state in a new session with the log; return the latest version."""
    with bb.connect(url, vectors="exact:") as session:
        table = session.get_table("t")
        versions = [entry["version"] for entry in table.history()]
        latest = versions[0]
        assert versions == list(range(latest, -1, -1))
        states = {entry["version"]: entry["rows"] for entry in _log_entries(log)}
        done = [entry["done"] for entry in _log_entries(log) if "done" in entry]
        assert latest >= max(done, default=0), "a reported change is lost"
        rows = _state(table)
        if latest in states:
            assert rows == [(key, name, f"{name}!") for key, name in states[latest]]
        else:  # created before the first log entry
            assert latest == min(states, default=latest + 1) - 1
            assert rows == []
        large = [row for row in rows if row[0] >= 50]
        assert _state(session.get_table("large")) == large
        assert _state(session.get_table("named")) == [row for row in large if row[1] != "n0"]
        counts = {row["name"]: row["rows"] for row in session.get_table("counts").collect()}
        names = [name for _, name, _ in rows]
        assert counts == {name: names.count(name) for name in set(names)}
        if latest > 0 and latest - 1 in states:
            before = _state(table.at(latest - 1))
            assert before == [(key, name, f"{name}!") for key, name in states[latest - 1]]
        return latest


@pytest.mark.parametrize("part", range(PARTS))
def test_committed_changes_survive_kill_and_no_others(tmp_path, backend_url, part):
    url, log = backend_url or f"duckdb://{tmp_path / 'app.duckdb'}", tmp_path / "log"
    seed = random.randrange(2**32)
    sys.stdout.write(f"seed {seed}\n")  # shown when it fails
    chance = random.Random(seed)
    with bb.connect(url, vectors="exact:") as session:
        table = session.create_table("t", {"key": bb.Int, "name": bb.String})
        table.add_computed_column(loud=table.name + "!", stored=True)
        large = session.create_view("large", table.where(table.key >= 50))
        session.create_view("named", large.where(large.name != "n0"))
        session.create_view("counts", table.group_by("name").agg(rows=table.count()))
    latest = advances = 0
    for turn in range(KILLS):
        process = _start(url, log, chance.randrange(2**32))
        size = log.stat().st_size if log.exists() else 0
        while process.poll() is None and (log.stat().st_size if log.exists() else 0) == size:
            time.sleep(0.01)  # it is starting
        time.sleep(chance.random() * 0.4)
        assert process.poll() is None, process.stderr.read().decode()
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        version = _check(url, log)
        assert version >= latest, f"turn {turn}"
        advances += version > latest
        latest = version
    assert advances
