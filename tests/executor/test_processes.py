"""Functions in worker processes: looked up by name, in row order, with isolated failures."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

import barbule as bb
from barbule.errors import ExpressionError
from patience import PATIENCE

MODULE = """
import os
import signal
import time

import barbule as bb


class Odd(Exception):
    def __init__(self, number, more):
        super().__init__(f"{number} is odd")


@bb.udf(processes=2, on_error="null")
def work(n: int) -> int:
    print("what a function prints is no message")
    if n == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    if n == 4:
        os._exit(7)
    if n == 5:
        raise Odd(n, None)
    if n == 6:
        return lambda: n
    time.sleep(0.01 * (n % 3))
    return n * n


@bb.udf(processes=2)
def where(n: int) -> int:
    time.sleep(0.05)
    return os.getpid()


@bb.udf(processes=True, batch_size=4)
def doubled(numbers: list[int]) -> list[int]:
    return [2 * n for n in numbers]


@bb.udf(processes=1, timeout=1, on_error="null")
def slow(n: int) -> int:
    while n:
        pass
    return os.getpid()


@bb.udf(processes=1)
class Counter:
    def __init__(self, start: int):
        self.number = start

    def __call__(self, n: int) -> int:
        self.number += 1
        return self.number


@bb.udf(processes=1)
def gray(image: bb.Image) -> bb.Image:
    return image.convert("L")


@bb.udf(processes=1, cache=True)
def kept(n: int) -> int:
    return n + 1
"""

LATE = """
import time

import barbule as bb

time.sleep(3)  # longer than the timeout of a call


@bb.udf(processes=1, timeout=2)
def quick(n: int) -> int:
    return n + 1
"""


@pytest.fixture
def heavy(tmp_path, monkeypatch):
    """Import a module that is written to a folder of the test."""
    (tmp_path / "heavy_functions.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("heavy_functions")
    del sys.modules["heavy_functions"]


@pytest.fixture
def numbers(session):
    table = bb.create_table("numbers", {"n": bb.Int})
    table.insert([{"n": n} for n in range(12)])
    return table


def test_crashes_and_errors_stay_in_their_cells(heavy, numbers):
    numbers.add_computed_column(x=heavy.work(numbers.n))
    result = numbers.order_by("n").select("n", "x", why=numbers.x.error).collect()
    assert result["x"] == [None if n in {3, 4, 5, 6} else n * n for n in range(12)]
    reasons = {
        row["n"]: f"{row['why']['type']}: {row['why']['message']}" for row in result if row["why"]
    }
    assert reasons[3].startswith("FunctionError: its process was killed by SIGKILL.")
    assert reasons[4].startswith("FunctionError: its process exited with the code 7.")
    assert reasons[5] == "Odd: 5 is odd"
    assert "pickle" in reasons[6].lower()


def test_calls_run_in_reused_worker_processes(heavy, numbers):
    pids = set(numbers.select(x=heavy.where(numbers.n)).collect()["x"])
    assert len(pids) == 2
    assert os.getpid() not in pids
    again = set(numbers.select(x=heavy.where(numbers.n)).collect()["x"])
    assert again == pids  # the processes are reused


def test_batch_and_cached_functions_run_in_processes(heavy, numbers):
    result = numbers.select("n", x=heavy.doubled(numbers.n), y=heavy.kept(numbers.n)).collect()
    assert all(row["x"] == 2 * row["n"] and row["y"] == row["n"] + 1 for row in result)
    assert bb.calls().count().to_pyarrow().as_py() == 12


def test_timeout_ends_the_process(heavy, session):
    table = bb.create_table("two", {"n": bb.Int})
    table.insert([{"n": 1}, {"n": 0}])
    began = time.monotonic()
    table.add_computed_column(x=heavy.slow(table.n))
    assert time.monotonic() - began < PATIENCE
    stuck, fine = table.order_by("n", asc=False).select("x", why=table.x.error).collect()
    assert stuck["why"] == {"type": "TimeoutError", "message": "it took longer than 1 s"}
    assert fine["x"] != os.getpid()


def test_timeout_excludes_process_start_and_import(tmp_path, monkeypatch, session):
    (tmp_path / "late_functions.py").write_text(LATE)
    monkeypatch.syspath_prepend(tmp_path)
    late = importlib.import_module("late_functions")
    table = bb.create_table("two", {"n": bb.Int})
    table.insert([{"n": 1}, {"n": 2}])
    assert table.select(x=late.quick(table.n)).collect()["x"] == [2, 3]


def test_error_that_ends_the_operation_reports_its_row(heavy, session):
    strict = bb.udf(processes=1, name="strict")(heavy.work.body)
    table = bb.create_table("one", {"n": bb.Int})
    table.insert([{"n": 5}])
    with pytest.raises(bb.BarbuleError, match=r"row 0: strict failed: Odd: 5 is odd"):
        table.select(x=strict(table.n)).collect()


def test_callable_object_keeps_its_state_in_the_process(heavy, numbers):
    counted = heavy.Counter(100)
    rows = numbers.order_by("n")
    assert rows.select(x=counted(rows.n)).collect()["x"] == list(range(101, 113))


def test_images_are_passed_to_and_from_processes(heavy, session):
    from PIL import Image

    Image.new("RGB", (3, 2), "red").save("red.png")
    table = bb.create_table("pictures", {"img": bb.Image})
    table.insert(img="red.png")
    table.add_computed_column(gray=heavy.gray(table.img))
    assert table.collect()[0, "gray"].mode == "L"


def test_processes_end_with_the_session(heavy, numbers):
    (pid, *_) = set(numbers.select(x=heavy.where(numbers.n)).collect()["x"])
    bb.session.current().close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_functions_that_cannot_be_imported_are_rejected():
    with pytest.raises(ExpressionError, match=r"it is defined in another function\. Define it at"):

        @bb.udf(processes=2)
        def local(n: int) -> int:
            return n

    with pytest.raises(ExpressionError, match="is asynchronous: it waits"):

        @bb.udf(processes=2)
        async def waits(n: int) -> int:
            return n


@pytest.mark.parametrize("processes", [0, -1, 1.5, "two"])
def test_invalid_number_of_processes_is_rejected(processes):
    with pytest.raises(ExpressionError, match="processes must be True or an integer of 1"):
        bb.udf(processes=processes)(len)


def test_function_of_a_script_is_rejected_with_a_hint(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent("""
            import barbule as bb

            @bb.udf(processes=2)
            def f(n: int) -> int:
                return n
        """)
    )
    run = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert run.returncode != 0
    assert (
        "it is defined in a script or notebook. Define it at the top level of a module"
        in run.stderr
    )


def test_script_can_use_functions_of_a_module(tmp_path):
    (tmp_path / "heavy_functions.py").write_text(MODULE)
    (tmp_path / "script.py").write_text(
        textwrap.dedent("""
            import barbule as bb
            import heavy_functions

            print("once")
            table = bb.create_table("t", [{"n": 1}, {"n": 2}])
            print(sorted(table.select(x=heavy_functions.doubled(table.n)).collect()["x"]))
        """)
    )
    run = subprocess.run(
        [sys.executable, tmp_path / "script.py"],
        capture_output=True, text=True, check=False, cwd=tmp_path,
        env={**os.environ, "BARBULE_HOME": str(Path(tmp_path, "home"))},
    )  # fmt: skip
    assert run.stdout.split("\n")[:2] == ["once", "[2, 4]"], run.stderr
