"""A forked child opens its own connections and keeps nothing of its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from typing import TYPE_CHECKING

import pytest

import barbule as bb
from barbule.locks import Lease

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE = 120

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform has no fork")


def _run(program: str, *arguments: object) -> str:
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "error",
            "-W",
            "ignore::DeprecationWarning",
            "-c",
            textwrap.dedent(program),
            *map(str, arguments),
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


BOTH = """
    import os, sys
    import barbule as bb
    url = sys.argv[1] if len(sys.argv) > 1 else None
    bb.connect(url, vectors="exact:")
    t = bb.create_table("t", [{"a": n} for n in range(10)])
    child = os.fork()
    mine = bb.get_table("t")
    for n in range(20):
        mine.insert(a=1000 * (1 if child else 2) + n)
    if child == 0:
        bb.connect().close()
        os._exit(0)  # as multiprocessing ends its children
    assert os.waitpid(child, 0)[1] == 0
    found = bb.get_table("t").collect()["a"]
    assert sorted(found) == [*range(10), *range(1000, 1020), *range(2000, 2020)], found
"""


def test_parent_and_child_write_to_one_file():
    _run(BOTH)
    assert bb.get_table("t").count().to_pyarrow().as_py() == 50
    assert not bb.get_table("t").history()["version"][41:]


def test_parent_and_child_write_to_one_server(postgres):
    with postgres.schema() as url:
        _run(BOTH, url)


def test_tables_and_sessions_of_parent_are_refused_in_child():
    out = _run("""
        import os
        import barbule as bb
        session = bb.connect(vectors="exact:")
        t = session.create_table("t", [{"a": 1}])
        child = os.fork()
        if child == 0:
            for use in (t.collect, lambda: t.insert(a=2), lambda: session.get_table("t")):
                try:
                    use()
                except bb.errors.ConfigurationError as error:
                    print(error, flush=True)
            session.close()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        print(t.insert(a=3).version, t.collect()["a"])
    """)
    *refused, last = out.splitlines()
    assert len(refused) == 3
    assert all(
        "the parent of this forked process. A forked process needs" in message
        for message in refused
    )
    assert last == "1 [1, 3]"


def test_in_memory_database_is_refused_in_child():
    out = _run("""
        import os
        import barbule as bb
        bb.connect("duckdb://", vectors="exact:")
        bb.create_table("t", [{"a": 1}])
        child = os.fork()
        if child == 0:
            try:
                bb.get_table("t")
            except bb.errors.ConfigurationError as error:
                print(error, flush=True)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        print(bb.get_table("t").collect()["a"])
    """)
    assert "the parent of this forked process. Connect to a file or a server before you fork" in out
    assert out.endswith("[1]\n")


def test_child_forked_during_use_is_refused():
    out = _run("""
        import os
        import barbule as bb
        session = bb.connect(vectors="exact:")
        bb.create_table("t", [{"a": 1}])
        with session._engine.backend.use():
            child = os.fork()
            if child == 0:
                try:
                    bb.get_table("t")
                except bb.errors.ConfigurationError as error:
                    print(error, flush=True)
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
        print(bb.get_table("t").insert(a=2).version)
    """)
    assert "was forked while a thread of its parent used" in out
    assert out.endswith("1\n")


def test_a_pool_of_forked_processes_reads_and_writes():
    _run("""
        import multiprocessing
        import barbule as bb

        def work(n):
            table = bb.get_table("t")
            table.insert(a=n)
            return table.filter(table.a == n).count().to_pyarrow().as_py()

        bb.create_table("t", {"a": bb.Int})
        with multiprocessing.get_context("fork").Pool(3) as pool:
            assert pool.map(work, range(12)) == [1] * 12
        assert sorted(bb.get_table("t").collect()["a"]) == list(range(12))
    """)


def test_child_does_not_hold_lock_of_killed_parent(tmp_path: Path):
    program = """
        import os, sys, time
        import barbule as bb
        session = bb.connect(sys.argv[1], vectors="exact:")
        session.create_table("t", [{"a": 1}])
        with session._engine.backend.use():
            child = os.fork()
            if child == 0:
                time.sleep(600)
                os._exit(0)
            print(child, flush=True)
            time.sleep(600)
    """
    url = f"duckdb://{tmp_path / 'forked.duckdb'}"
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), url], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()  # the child holds the pipe too, so it is never closed
    try:
        assert bb.connect(url, vectors="exact:").list_tables() == ["t"]
    finally:
        os.kill(child, signal.SIGKILL)


def test_stopped_waiter_does_not_block_free_lease(tmp_path: Path):
    folder = tmp_path / "turn.lock"
    program = """
        import pathlib, sys
        from barbule.locks import Lease
        lease = Lease(pathlib.Path(sys.argv[1]), timeout=240)
        lease.acquire()
        print("has it", flush=True)
        lease.release()
    """
    ours = Lease(folder, timeout=PATIENCE)
    ours.acquire()
    waiting = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), str(folder)],
        stdout=subprocess.PIPE,
        text=True,
    )
    while not ours.has_waiters():
        time.sleep(0.01)
    os.kill(waiting.pid, signal.SIGSTOP)
    ours.release()
    other = Lease(folder, timeout=PATIENCE)
    other.acquire()
    os.kill(waiting.pid, signal.SIGCONT)  # it waits again, and is served
    while not other.has_waiters():
        time.sleep(0.01)
    other.release()
    assert waiting.communicate(timeout=PATIENCE)[0] == "has it\n"
