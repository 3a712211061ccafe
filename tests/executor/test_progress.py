"""Progress display: on a terminal and in a notebook only."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import types

import pytest

import barbule as bb
import programs
from barbule.executor.display import progress
from barbule.executor.display.progress import Meter, Progress

PROGRAM = """
import time
import barbule as bb

@bb.udf(cache=True)
def slow(n: int) -> int:
    time.sleep(0.02)
    return n

table = bb.create_table("numbers", {"n": bb.Int})
table.insert([{"n": n % 60} for n in range(80)])
few = table.filter(table.n < 5)
few.select(x=slow(few.n)).collect()
print(table.add_computed_column(x=slow(table.n)).rows)
"""


@pytest.fixture
def program(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    return tmp_path / "program.py"


def test_pipe_and_log_get_no_progress(program):
    run = programs.run(
        [sys.executable, program], capture_output=True, text=True, check=True, env={**os.environ}
    )
    assert (run.stdout, run.stderr) == ("80\n", "")


def test_terminal_shows_rows_calls_hits_and_remaining_time(program):
    pty = pytest.importorskip("pty", reason="there are no pseudo-terminals here")
    parent, child = pty.openpty()
    command = [sys.executable, str(program)]
    terminal = {**os.environ, "TERM": "xterm", "COLUMNS": "140"}
    process = programs.Popen(command, stdout=subprocess.PIPE, stderr=child, env=terminal)
    os.close(child)
    shown = b""
    while True:
        try:
            part = os.read(parent, 65536)
        except OSError:  # Linux raises this when the other end is closed
            break
        if not part:
            break
        shown += part
    os.close(parent)
    assert process.communicate()[0] == b"80\n"
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    assert "slow" in text
    rows, calls = map(int, re.findall(r"(\d+)/80 rows · (\d+) calls · 5 from the ledger", text)[-1])
    assert rows == calls + 25  # five ledger hits and twenty duplicates need no call
    assert re.search(r"0:0\d left", text)
    assert shown.decode().rstrip("\r\n").endswith("\x1b[2K")  # the display is cleared


class Kernel(types.ModuleType):
    """Fake IPython in a kernel that records displayed outputs."""

    def __init__(self):
        super().__init__("IPython")
        self.outputs: list[list[str]] = []
        self.display = types.ModuleType("IPython.display")
        self.display.HTML = str
        self.display.display = self._displayed

    def get_ipython(self):
        return types.SimpleNamespace(kernel=self)

    def _displayed(self, drawn, *, display_id):
        assert display_id is True
        self.outputs.append([drawn])
        return types.SimpleNamespace(update=self.outputs[-1].append)


def test_notebook_updates_one_output_and_clears_it(session, monkeypatch):
    kernel = Kernel()
    monkeypatch.setitem(sys.modules, "IPython", kernel)
    monkeypatch.setitem(sys.modules, "IPython.display", kernel.display)
    table = bb.create_table("numbers", {"n": bb.Int})
    table.insert([{"n": n % 60} for n in range(80)])

    @bb.udf(cache=True)
    def slow(n: int) -> int:
        time.sleep(0.02)
        return n

    few = table.filter(table.n < 5)
    few.select(x=slow(few.n)).collect()
    table.add_computed_column(x=slow(table.n))
    (output,) = kernel.outputs
    assert len(output) > 2
    expected = (
        r'slow <progress value="\d+" max="80"></progress> \d+/80 rows · \d+ calls · 5 from the'
    )
    assert re.search(expected, output[-2])
    assert output[-1] == ""


class Seen:
    """Fake screen that records what is shown."""

    def __init__(self):
        self.pictures: list[list[str]] = []
        self.cleared = 0

    def show(self, meters):
        self.pictures.append([f"{meter.label}: {meter.summary()}" for meter in meters])

    def clear(self):
        self.cleared += 1


def test_short_work_shows_no_progress():
    screen = Seen()
    with Progress(screen).running() as shown:
        shown.meter("fast").done()
    assert (screen.pictures, screen.cleared) == ([], 0)


def test_progress_is_cleared_after_a_failure(monkeypatch):
    monkeypatch.setattr(progress, "_DELAY_SECONDS", 0.0)
    monkeypatch.setattr(progress, "_REFRESH_SECONDS", 0.01)
    screen = Seen()

    def fail():
        with Progress(screen).running() as shown:
            shown.meter("slow").done()
            while ["slow: 1 rows · 1 calls"] not in screen.pictures:
                time.sleep(0.001)
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        fail()
    assert screen.cleared == 1


def test_remaining_time_follows_the_finished_rows():
    meter = Meter("x", total=100, rows=25, started=time.monotonic() - 10)
    assert meter.remaining_seconds == pytest.approx(30, abs=1)
    assert Meter("x").remaining_seconds is None


def test_progress_shows_the_cost_of_models(models, session, monkeypatch):
    from barbule.functions import openai

    screen = Seen()
    monkeypatch.setattr(progress, "_DELAY_SECONDS", 0.0)
    monkeypatch.setattr(progress, "_REFRESH_SECONDS", 0.01)
    monkeypatch.setattr("barbule.executor.display.progress.screen", lambda: screen)
    models.latency = 0.2
    table = bb.create_table("qa", [{"q": f"question {n % 30}"} for n in range(40)])
    messages = [{"role": "user", "content": table.q}]
    reply = openai.chat_completions(model="gpt-4o-mini", messages=messages, max_tokens=9)
    table.add_computed_column(a=reply.choices[0].message.content)
    last = screen.pictures[-1]
    assert re.fullmatch(r"chat_completions: 40/40 rows · 30 calls · \$\d\S*", last[0]), last
    assert screen.cleared == 1


def test_progress_of_many_batches_shows_the_total(session, monkeypatch):
    import pyarrow as pa

    screen = Seen()
    monkeypatch.setattr(progress, "_DELAY_SECONDS", 0.0)
    monkeypatch.setattr(progress, "_REFRESH_SECONDS", 0.01)
    monkeypatch.setattr("barbule.executor.display.progress.screen", lambda: screen)

    @bb.udf
    def plus(n: int) -> int:
        return n + 1

    table = bb.create_table("many", {"n": bb.Int})
    table.insert(pa.table({"n": range(50_000)}))
    assert table.select(x=plus(table.n)).to_pyarrow().num_rows == 50_000
    assert any("/50,000 rows" in line for picture in screen.pictures for line in picture)
