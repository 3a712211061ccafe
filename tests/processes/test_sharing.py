"""Processes that share one DuckDB file, and threads that share one session."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from typing import TYPE_CHECKING

import pytest

import barbule as bb
import programs
from barbule.errors import LockedError
from patience import PATIENCE

if TYPE_CHECKING:
    from pathlib import Path

FULL = bool(os.environ.get("BARBULE_TEST_FULL"))
PROCESSES = 4
ROUNDS = 100 if FULL else 10


def _start(program: str, *arguments: object) -> subprocess.Popen[str]:
    return programs.Popen(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _finish(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    return out


WRITER = """
    import sys
    import barbule as bb
    url, me, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    with bb.connect(url, vectors="exact:") as session:
        table = session.get_table("t")
        for n in range(rounds):
            table.insert(writer=me, n=n)
            mine = table.filter(table.writer == me).count().to_pyarrow().as_py()
            assert mine == n + 1, (mine, n)
"""


@pytest.fixture
def url(tmp_path: Path) -> str:
    url = f"duckdb://{tmp_path / 'shared.duckdb'}"
    with bb.connect(url, vectors="exact:") as session:
        session.create_table("t", {"writer": bb.Int, "n": bb.Int})
    return url


def test_concurrent_processes_lose_no_row(url):
    for writer in [_start(WRITER, url, me, ROUNDS) for me in range(PROCESSES)]:
        _finish(writer)
    with bb.connect(url, vectors="exact:") as session:
        table = session.get_table("t")
        rows = sorted((row["writer"], row["n"]) for row in table.collect())
        assert rows == [(me, n) for me in range(PROCESSES) for n in range(ROUNDS)]
        assert [version["version"] for version in table.history()] == list(
            range(PROCESSES * ROUNDS, -1, -1)
        )


BUSY = """
    import sys
    import barbule as bb
    from barbule.backends.duckdb.connections.shared_file import _files
    url, me, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    with bb.connect(url, vectors="exact:") as session:
        table = session.get_table("t")
        table.insert(writer=me, n=-1)
        (database,) = _files.values()
        before = database.openings
        for n in range(rounds):
            table.insert(writer=me, n=n)
        print(database.openings - before)
"""


def test_writers_rarely_hand_over_database_file(url):
    """Opening and closing the file takes as long as several inserts."""
    writers = [_start(BUSY, url, me, 60) for me in range(2)]
    openings = [int(_finish(writer)) for writer in writers]
    assert sum(openings) <= 2 * 60 / 4
    with bb.connect(url, vectors="exact:") as session:
        assert session.get_table("t").count().to_pyarrow().as_py() == 2 * 61


def test_reader_gets_turn_beside_busy_writer(url):
    writer = _start(WRITER, url, 0, 100_000)
    try:
        while _written(url, 0) < 5:
            assert writer.poll() is None
        assert _written(url, 0) < 100_000
    finally:
        writer.kill()
        writer.communicate()


def test_other_processes_continue_after_one_is_killed(url):
    others = [_start(WRITER, url, me, ROUNDS) for me in range(PROCESSES - 1)]
    victim = _start(WRITER, url, PROCESSES, 10_000)
    while victim.poll() is None and _written(url, PROCESSES) < 5:
        time.sleep(0.05)
    os.kill(victim.pid, signal.SIGKILL)
    victim.communicate()
    for other in others:
        _finish(other)
    with bb.connect(url, vectors="exact:") as session:
        table = session.get_table("t")
        counts = {
            row["writer"]: row["rows"]
            for row in table.group_by("writer").agg(rows=table.count()).collect()
        }
    assert [counts[me] for me in range(PROCESSES - 1)] == [ROUNDS] * (PROCESSES - 1)
    assert counts[PROCESSES] >= 5


def _written(url: str, writer: int) -> int:
    with bb.connect(url, vectors="exact:") as session:
        table = session.get_table("t")
        return table.filter(table.writer == writer).count().to_pyarrow().as_py()


def test_idle_process_releases_file_and_sees_other_writes(url):
    session = bb.connect(url, vectors="exact:")
    table = session.get_table("t")
    table.insert(writer=0, n=0)
    _finish(_start(WRITER, url, 1, 3))  # fails after its lock_timeout
    assert table.count().to_pyarrow().as_py() == 4
    _finish(_start(WRITER, url, 2, 1))  # Ibis' own connection is restored too
    assert session.ibis.con.execute("SELECT 42").fetchall() == [(42,)]
    other = (
        "import sys, barbule as bb; bb.connect(sys.argv[1]).create_table('made', {'a': 'int64'})"
    )
    _finish(_start(other, url))
    assert "made" in session.list_tables()


def test_lock_timeout_names_process_that_holds_file(url):
    program = """
        import sys
        import barbule as bb
        from barbule.errors import LockedError
        try:
            bb.connect(sys.argv[1], vectors="exact:", lock_timeout=0.3)
        except LockedError as error:
            print(error)
    """
    session = bb.connect(url, vectors="exact:")
    with session._engine.backend.use():
        output = _finish(_start(program, url))
    assert f"(pid {os.getpid()})" in output
    assert "did not release it within 0.3 s" in output
    assert issubclass(LockedError, TimeoutError)


def test_threads_share_a_session(session):
    table = bb.create_table("t", {"thread": bb.Int, "n": bb.Int})
    table.add_computed_column(twice=table.n * 2, stored=True)
    failures: list[BaseException] = []

    def work(me: int) -> None:
        try:
            for n in range(20):
                table.insert(thread=me, n=n)
                if n % 5 == 4:
                    table.update({"n": table.n + 100}, where=(table.thread == me) & (table.n == n))
                mine = table.filter(table.thread == me).collect()
                assert len(mine) == n + 1
                assert all(row["twice"] == 2 * row["n"] for row in mine)
        except BaseException as error:  # noqa: BLE001 - the main thread reports it
            failures.append(error)

    threads = [threading.Thread(target=work, args=(me,)) for me in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert table.count().to_pyarrow().as_py() == 120
    assert table.filter(table.n >= 100).count().to_pyarrow().as_py() == 24


def test_updates_of_threads_do_not_overwrite_each_other(session):
    table = bb.create_table("t", {"n": bb.Int})
    calls = []

    @bb.udf
    def slow(n: int) -> int:
        calls.append(n)
        time.sleep(0.002)
        return n * 10

    table.add_computed_column(tenfold=slow(table.n))
    table.insert(n=0)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(8):
                table.update({"n": table.n + 1})
        except BaseException as error:  # noqa: BLE001 - the main thread reports it
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert table.collect()[0] == {"n": 32, "tenfold": 320}


MANY = """
    import sys
    import barbule as bb
    url, me, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    with bb.connect(url, vectors="exact:") as session:
        table = session.get_table("t")
        for n in range(rounds):
            table.insert(writer=me, n=n)
            table.update({"n": table.n + 1}, where=table.writer == -1)
            table.update({"n": table.n + 100}, where=(table.writer == me) & (table.n == n))
"""


def test_concurrent_postgres_writers_lose_no_update(postgres):
    processes, rounds = (8, 100) if FULL else (3, 6)
    with postgres.schema() as url:
        with bb.connect(url, vectors="exact:") as session:
            table = session.create_table("t", {"writer": bb.Int, "n": bb.Int})
            table.add_computed_column(twice=table.n * 2, stored=True)
            positive = session.create_view("positive", table.where(table.writer >= 0))
            table.insert(writer=-1, n=0)
        for writer in [_start(MANY, url, me, rounds) for me in range(processes)]:
            _finish(writer)
        with bb.connect(url, vectors="exact:") as session:
            table, positive = session.get_table("t"), session.get_table("positive")
            rows = sorted((row["writer"], row["n"], row["twice"]) for row in table.collect())
            own = [(me, 100 + n, 200 + 2 * n) for me in range(processes) for n in range(rounds)]
            total = processes * rounds
            assert rows == [(-1, total, 2 * total), *own]
            assert len(positive.collect()) == total
            versions = [version["version"] for version in table.history()]
            assert versions == list(range(3 * total + 2, -1, -1))
