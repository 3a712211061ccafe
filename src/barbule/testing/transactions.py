# ruff: noqa: D102, PLR2004 - tests say by their names what they show
"""Transactions, threads and processes, as tests."""

from __future__ import annotations

import subprocess
import sys
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING

import ibis
import ibis.expr.schema as sch
import pyarrow as pa
import pytest

from barbule.backends.base import FOREVER, FROM, RID, TO
from barbule.errors import LockedError
from barbule.testing.cases import (
    create_live_rows,
    read,
    write_under_lock,
)
from barbule.testing.fixtures import BackendFixtures

if TYPE_CHECKING:
    from collections.abc import Callable

    from barbule.backends.base import Backend

__all__ = ["TransactionTests"]

_HOLD = """
import importlib, sys
module, name = sys.argv[1].split(":")
backend = getattr(importlib.import_module(module), name)(sys.argv[2], 30)
with backend.write_lock():
    print("held", flush=True)
    sys.stdin.read()
backend.disconnect()
"""


class TransactionTests(BackendFixtures):
    """Transactions, connections, and other processes."""

    def test_a_transaction_is_all_or_nothing(
        self, backend: Backend, connect: Callable[..., Backend]
    ) -> None:
        schema = create_live_rows(backend)
        other = connect()
        before = read(backend, "t", schema)

        def change() -> None:
            backend.create_table("other", sch.Schema({"a": "int64"}))
            backend.add_column("t", "y", ibis.dtype("int64"))
            backend.append("t", pa.table({RID: [9], FROM: [2], TO: [FOREVER]}))
            backend.end_rows("t", [0], 2)

        def fail() -> None:
            with backend.transaction():
                change()
                assert len(read(backend, "t", {**schema, "y": "int64"})) == 4
                raise RuntimeError("in the middle")

        with pytest.raises(RuntimeError, match="in the middle"):
            fail()
        assert read(other, "t", schema) == read(backend, "t", schema) == before
        assert backend.tables() == other.tables() == {"t"}
        with backend.transaction():
            change()
        assert len(read(other, "t", {**schema, "y": "int64"})) == 4
        assert backend.tables() == other.tables() == {"t", "other"}

    def test_others_see_nothing_before_the_commit(
        self, backend: Backend, connect: Callable[..., Backend]
    ) -> None:
        schema = create_live_rows(backend)
        counts: list[int] = []

        def look() -> None:
            thread = threading.Thread(target=lambda: counts.append(len(read(backend, "t", schema))))
            thread.start()
            thread.join()

        other = connect()
        with backend.transaction():
            backend.append("t", pa.table({RID: [9], FROM: [2], TO: [FOREVER]}))
            look()
            counts.append(len(read(other, "t", schema)))
        look()
        assert counts == [3, 3, 4]

    def test_after_a_failure_it_goes_on(self, backend: Backend) -> None:
        backend.create_table("t", sch.Schema({"a": "int64"}))

        def fail() -> None:
            with backend.transaction():
                backend.append("t", pa.table({"a": [1]}))
                backend.append("nope", pa.table({"a": [1]}))

        with pytest.raises(Exception, match="nope"):
            fail()
        with backend.transaction():
            backend.append("t", pa.table({"a": [2]}))
        assert read(backend, "t", {"a": "int64"}) == [{"a": 2}]

    def test_separate_commits_on_its_own(self, backend: Backend) -> None:
        backend.create_table("ledger", sch.Schema({"a": "int64"}))
        separate = backend.separate()

        def fail() -> None:
            with backend.transaction():
                backend.create_table("t", sch.Schema({"a": "int64"}))
                separate.append("ledger", pa.table({"a": [1]}))
                raise RuntimeError("rolled back")

        with ExitStack() as stack:
            stack.callback(separate.disconnect)
            with pytest.raises(RuntimeError, match="rolled back"):
                fail()
            assert read(backend, "ledger", {"a": "int64"}) == [{"a": 1}]
            assert backend.tables() == separate.tables() == {"ledger"}

    def test_the_stamp_differs_after_a_commit_of_another(
        self, backend: Backend, connect: Callable[..., Backend]
    ) -> None:
        other = connect()
        schema = sch.Schema({"id": "int64", "at": "timestamp('UTC')", "operation": "string"})
        backend.create_table("bb_commits", schema)
        stamps = [backend.stamp()]
        for commit in (1, 2):
            assert backend.stamp() == stamps[-1]
            with other.write_lock(), other.transaction():
                other.insert("bb_commits", [{"id": commit, "at": None, "operation": "x"}])
            stamps.append(backend.stamp())
        assert len(set(stamps)) == 3

    def test_use_and_writing_may_be_taken_again(self, backend: Backend) -> None:
        backend.create_table("t", sch.Schema({"a": "int64"}))
        with backend.use(), backend.use(), backend.write_lock(), backend.write_lock():
            with backend.transaction():
                backend.append("t", pa.table({"a": [1]}))
            assert read(backend, "t", {"a": "int64"}) == [{"a": 1}]

    def test_writing_excludes_other_threads(self, backend: Backend) -> None:
        at_once: list[int] = []
        inside = 0

        def work() -> None:
            nonlocal inside
            for _ in range(20):
                with backend.write_lock():
                    inside += 1
                    at_once.append(inside)
                    backend.tables()
                    inside -= 1

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert at_once == [1] * 60

    def test_writing_excludes_other_processes(
        self, url: str, connect: Callable[..., Backend]
    ) -> None:
        command = [sys.executable, "-c", _HOLD, self.opener, url]
        with subprocess.Popen(  # noqa: S603 - this interpreter
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as other:
            try:
                assert other.stdout is not None
                assert other.stdout.readline() == "held\n"
                with pytest.raises(LockedError, match=f"pid {other.pid}"):
                    write_under_lock(connect(lock_timeout=0.2))
            finally:
                other.communicate(timeout=30)
        assert other.returncode == 0
        write_under_lock(connect(lock_timeout=10))
