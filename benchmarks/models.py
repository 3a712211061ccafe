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
CHAT = "chat of 100 ms, {:,} rows"
RATIO = "chat of 100 ms, {:,} rows (times LiteLLM alone)"
ASYNC = "asynchronous function of 50 ms, {:,} rows"
OVERHEAD = "CPU time per call beyond LiteLLM's"
KNOWN = "{:,} results from the call ledger"
BUSY = "{}, CPU time"  # which others on the machine do not change
EXTRA = "excess over distinct calls, {:,} rows, {} % duplicates (calls)"
KILLED = "repeated after a kill at half of {:,} rows, except calls in flight (calls)"
FIRST = "first 5 of {:,} rows where 74 % qualify (calls)"
WRONG = "wrong results of {:,} with 20 % failing responses (rows)"
AGAIN = "repeated after success, {:,} rows with 20 % failing responses (calls)"
PEAK = "peak memory with a function column over {:,} rows (MB)"

# What to reach, by label; the labels say how many rows it was.
REACH = {
    CHAT: 2000.0, RATIO: 1.4, ASYNC: 150.0, OVERHEAD: 1.0, KNOWN: 1000.0, EXTRA: 0.0, KILLED: 0.0,
    FIRST: 16.0, WRONG: 0.0, AGAIN: 0.0, PEAK: 1000.0,
}  # fmt: skip
LIMITS: dict[str, float] = {}
DETAILS: dict[str, Any] = {}


def _named(label: str, *sizes: int) -> str:
    """Write the sizes into a label, and remember what it should reach."""
    name = label.format(*sizes)
    if label in REACH:
        LIMITS[name] = REACH[label]
    return name


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
    rows, waiting, known = round(200 * scale), round(1000 * scale), round(100_000 * scale)
    chat, ratio, later = _named(CHAT, rows), _named(RATIO, rows), _named(ASYNC, waiting)
    found: dict[str, list[float]] = {}
    for seed in range(rounds + 1):
        server.ask("prepare", latency=LATENCY)
        ours = side.ask(f"chat {rows} {seed}")
        _expect(ours, {"rows": rows, "right": rows})
        alone = side.ask(f"bare_chat {rows} {seed}")
        waited = side.ask(f"asynchronous {waiting}")
        one = {
            chat: ours["ms"],
            BUSY.format(chat): ours["cpu_ms"],
            "alone_busy": alone["cpu_ms"],
            ratio: ours["ms"] / alone["ms"],
            _named(OVERHEAD): side.ask(f"own_cost {waiting}")["cpu_ms"] / waiting,
            later: waited["ms"],
            BUSY.format(later): waited["cpu_ms"],
            "alone": alone["ms"],
        }
        if seed:
            for label, value in one.items():
                found.setdefault(label, []).append(value)
    read = [side.ask(f"known {known}") for _ in range(min(rounds, 2))][-1]
    medians = {label: statistics.median(each) for label, each in found.items()}
    DETAILS["litellm_alone_ms"] = {
        chat: medians.pop("alone"),
        BUSY.format(chat): medians.pop("alone_busy"),
    }
    medians[_named(KNOWN, known)] = read["ms"]
    medians[BUSY.format(_named(KNOWN, known))] = read["cpu_ms"]
    return medians


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
        figures[_named(EXTRA, rows, percent)] = received["calls"] - distinct
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
    return {_named(KILLED, rows): max(0, received["calls"] - rows - WIDTH)}


def _faults(side: Side, server: Server, rows: int) -> dict[str, float]:
    """Ask where a fifth of the answers are rate limits, errors, timeouts or no JSON."""
    server.ask("prepare", faults=0.2, seed=7)
    answer = side.ask(f"chat {rows} 77")["answer"]
    received = server.ask("received")
    DETAILS["faults"] = {"rows": rows, **received}
    wrong, again = rows - answer["right"], received["after_success"]
    return {_named(WRONG, rows): wrong, _named(AGAIN, rows): again}


def _large(server: Server, rows: int) -> dict[str, float]:
    """Add a column of a cheap function to a large table, in a fresh process."""
    with _side("barbule", server) as side:
        reply = side.ask(f"cheap_column {rows}")
    answer = reply["answer"]
    _expect({"answer": answer["sum"]}, rows * (rows + 1) // 2)
    DETAILS["cheap_column_ms"] = reply["ms"]
    return {_named(PEAK, rows): answer["peak_mb"]}


def _peer(server: Server, scale: float) -> None:
    """Let Pixeltable do what it has too, where it is installed."""
    if interpreter("pixeltable") is None:
        print("pixeltable is not installed: it is left out")
        return
    rows, waiting = round(200 * scale), round(1000 * scale)
    times: dict[str, list[float]] = {CHAT.format(rows): [], ASYNC.format(waiting): []}
    with _side("pixeltable", server) as side:
        for seed in range(2):
            server.ask("prepare", latency=LATENCY)
            times[CHAT.format(rows)].append(side.ask(f"chat {rows} {seed}")["ms"])
            times[ASYNC.format(waiting)].append(side.ask(f"asynchronous {waiting}")["ms"])
        library = side.ask("library")["library"]
    found = {label: min(each) for label, each in times.items()}
    DETAILS["pixeltable"] = {"library": library, "ms": found}


def _expect(reply: dict[str, Any], answer: Any) -> None:
    if reply["answer"] != answer:
        raise SystemExit(f"the answer is {reply['answer']} and should be {answer}")


def measure(
    *, rounds: int = 3, scale: float = 1.0, share: float = 1.0, peers: bool = True
) -> dict[str, float]:
    """Return milliseconds, counts of calls and rows, and the peak in MB.

    Parameters
    ----------
    scale
        How many rows to take, as a share of all.
    share
        How many to take where calls are counted, which takes longest.
    """
    with Server() as server:
        with _side("barbule", server) as side:
            figures = _times(side, server, scale, rounds)
            figures |= _duplicates(side, server, round(10_000 * scale * share))
            server.ask("prepare")
            rows = round(2000 * scale)
            _expect(side.ask(f"first_five {rows}"), {"rows": 5})
            figures[_named(FIRST, rows)] = server.ask("received")["calls"]
            figures |= _faults(side, server, round(1000 * scale * share))
        figures |= _killed(server, round(2000 * scale * share))
        figures |= _large(server, round(1_000_000 * scale))
        if peers:
            _peer(server, scale)
    DETAILS.update(rounds=rounds)
    return figures
