"""Functions and models: how fast questions are asked, and how few, beside LiteLLM alone.

The models are the fake server of the tests, in a process of its own on loopback. Times count as
ratios to what LiteLLM alone takes in the same round where there is such a thing.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

from sides import Side, interpreter

HERE = Path(__file__).parent
LATENCY = 0.1
WIDTH = 64
CHAT = "chat of 100 ms, 200 rows"
RATIO = "chat of 100 ms, 200 rows (times LiteLLM alone)"
ASYNC = "asynchronous function of 50 ms, 1,000 rows"
OVERHEAD = "processor time of a call beyond LiteLLM's own"
KNOWN = "100,000 answers from the call ledger"
EXTRA = "calls beyond the distinct questions, {} % duplicates (calls)"
KILLED = "killed at half and resumed: calls beyond distinct and in flight (calls)"
FIRST = "first 5 of 2,000 rows where 74 % qualify (calls)"
WRONG = "rows that end wrong where 20 % of answers fail (rows)"
AGAIN = "calls after success where 20 % of answers fail (calls)"
PEAK = "peak with a function column over 1,000,000 rows (MB)"

LIMITS = {
    CHAT: 2000.0, RATIO: 1.4, ASYNC: 150.0, OVERHEAD: 1.0, KNOWN: 1000.0,
    EXTRA.format(0): 0.0, EXTRA.format(50): 0.0, EXTRA.format(90): 0.0, KILLED: 0.0,
    FIRST: 16.0, WRONG: 0.0, AGAIN: 0.0, PEAK: 1000.0,
}  # fmt: skip
DETAILS: dict[str, Any] = {}


class Server:
    """The model server in its process."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, HERE / "model_server.py"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.url = json.loads(self._process.stdout.readline())["url"]

    def ask(self, what: str, **options: float) -> dict[str, Any]:
        """Let it do something."""
        self._process.stdin.write(json.dumps({"do": what, **options}) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()


def _side(name: str, server: Server, **more: Any) -> Side:
    return Side(name, "models", "--server", server.url, **more)


def _times(side: Side, server: Server, scale: float, rounds: int) -> dict[str, float]:
    """Measure times, barbule and LiteLLM in turns; the first round warms up."""
    rows, calls = round(200 * scale), round(500 * scale)
    found: dict[str, list[float]] = {name: [] for name in (CHAT, RATIO, OVERHEAD, ASYNC, KNOWN)}
    bare: list[float] = []
    for seed in range(rounds + 1):
        server.ask("prepare", latency=LATENCY)
        ours = side.ask(f"chat {rows} {seed}")
        _expect(ours, {"rows": rows, "right": rows})
        alone = side.ask(f"bare_chat {rows} {seed}")
        server.ask("prepare")
        cpu = side.ask(f"chat {calls} {1000 + seed}")
        cpu_alone = side.ask(f"bare_chat {calls} {1000 + seed}")
        waited = side.ask(f"asynchronous {round(1000 * scale)}")
        if seed == 0:
            continue
        bare.append(alone["ms"])
        found[CHAT].append(ours["ms"])
        found[RATIO].append(ours["ms"] / alone["ms"])
        found[OVERHEAD].append((cpu["cpu_ms"] - cpu_alone["cpu_ms"]) / calls)
        found[ASYNC].append(waited["ms"])
        found[KNOWN].append(side.ask(f"known {round(100_000 * scale)}")["ms"])
    DETAILS["litellm_alone_ms"] = {CHAT: statistics.median(bare)}
    return {name: statistics.median(each) for name, each in found.items()}


def _duplicates(side: Side, server: Server, rows: int) -> dict[str, float]:
    """Count the calls for rows of which many are equal."""
    figures = {}
    for percent in (0, 50, 90):
        distinct = rows * (100 - percent) // 100
        server.ask("prepare")
        _expect(side.ask(f"duplicates {rows} {distinct} {percent}"), {"rows": rows, "right": rows})
        received = server.ask("received")
        if received["distinct"] != distinct:
            raise SystemExit(f"{received['distinct']} of {distinct} questions were asked")
        figures[EXTRA.format(percent)] = received["calls"] - distinct
    return figures


def _killed(server: Server, rows: int) -> dict[str, float]:
    """Kill a process when half of its questions are asked, and let another one go on."""
    server.ask("prepare", latency=0.02)
    first = _side("barbule", server)
    first.begin(f"resumed {rows}")
    while server.ask("received")["calls"] < rows // 2:
        if first.process.poll() is not None:
            raise SystemExit("the process that is to be killed has ended")
        time.sleep(0.02)
    first.kill()
    with _side("barbule", server, folder=first.folder) as second:
        _expect(second.ask(f"resumed {rows}"), {"rows": rows, "right": rows})
    received = server.ask("received")
    DETAILS["killed"] = {"rows": rows, **received}
    return {KILLED: max(0, received["calls"] - rows - WIDTH)}


def _faults(side: Side, server: Server, rows: int) -> dict[str, float]:
    """Ask where a fifth of the answers are rate limits, errors, timeouts or no JSON."""
    server.ask("prepare", faults=0.2, seed=7)
    answer = side.ask(f"chat {rows} 77")["answer"]
    received = server.ask("received")
    DETAILS["faults"] = {"rows": rows, **received}
    return {WRONG: rows - answer["right"], AGAIN: received["after_success"]}


def _peer(server: Server) -> None:
    """Let Pixeltable do what it has too, where it is installed."""
    if interpreter("pixeltable") is None:
        print("pixeltable is not installed: it is left out")
        return
    with _side("pixeltable", server) as side:
        found: dict[str, list[float]] = {CHAT: [], ASYNC: []}
        for seed in range(3):
            server.ask("prepare", latency=LATENCY)
            found[CHAT].append(side.ask(f"chat 200 {seed}")["ms"])
            found[ASYNC].append(side.ask("asynchronous 1000")["ms"])
        library = side.ask("library")["library"]
    times = {label: statistics.median(each[1:]) for label, each in found.items()}
    DETAILS["pixeltable"] = {"library": library, "ms": times}


def _expect(reply: dict[str, Any], answer: dict[str, Any]) -> None:
    if reply["answer"] != answer:
        raise SystemExit(f"the answer is {reply['answer']} and should be {answer}")


def measure(*, rounds: int = 3, scale: float = 1.0) -> dict[str, float]:
    """Return milliseconds, counts of calls and rows, and the peak in MB.

    Parameters
    ----------
    scale
        How many rows to take, as a share of what the labels say.
    """
    with Server() as server:
        with _side("barbule", server) as side:
            figures = _times(side, server, scale, rounds)
            figures |= _duplicates(side, server, round(10_000 * scale))
            server.ask("prepare")
            _expect(side.ask(f"first_five {round(2000 * scale)}"), {"rows": 5})
            figures[FIRST] = server.ask("received")["calls"]
            figures |= _faults(side, server, round(1000 * scale))
        figures |= _killed(server, round(2000 * scale))
        rows = round(1_000_000 * scale)
        with _side("barbule", server) as side:
            reply = side.ask(f"cheap_column {rows}")
            answer = reply["answer"]
            _expect({"answer": {"sum": answer["sum"]}}, {"sum": rows * (rows + 1) // 2})
            figures[PEAK] = answer["peak_mb"]
            DETAILS["cheap_column_ms"] = reply["ms"]
        if scale == 1.0:
            _peer(server)
    DETAILS.update(rounds=rounds, scale=scale)
    return figures
