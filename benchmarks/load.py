"""Readers and writers at once in one process, beside LanceDB in the same run.

Each reader goes round a filter, a search by a new text, an aggregate and the opening of the table
of 5,000 rows with an indexed text; each writer inserts a row and updates another one, in turn.
What is promised are ratios of barbule to itself; the rates of both stand in the details.
"""

from __future__ import annotations

import statistics
from typing import Any

from sides import Side, interpreter

ROWS = 5_000
SECONDS = 10
ROUNDS = 3
# Readers and writers.
LOADS = ((1, 0), (8, 0), (8, 1), (24, 0), (24, 4))

FEWER = "reads/s of {} readers, decrease relative to 1 reader (%)"
TAKEN = "reads/s of 8 readers, decrease with 1 writer (%)"
SLOWER = "search p50 of 8 readers relative to 1 reader (times)"
INSERT = "insert of a row, with an index relative to without (times)"
FAILED = "failed operations (count)"

LIMITS = {
    FEWER.format(8): 0.0,
    FEWER.format(24): 0.0,
    TAKEN: 100 / 3,
    SLOWER: 8.0,
    INSERT: 3.0,
    FAILED: 0.0,
}
DETAILS: dict[str, Any] = {}


def _side(name: str, rounds: int, seconds: int) -> dict[str, Any]:
    """Let one side be used, and used alone by one writer."""
    found: dict[str, Any] = {"insert_ms": {"plain": [], "indexed": []}, "failures": []}
    with Side(name, "load", "--rows", str(ROWS)) as side:
        side.ask("fill")
        for _round in range(rounds):
            for readers, writers in LOADS:
                counted = side.ask(f"load {readers} {writers} {seconds}")["answer"]
                found["failures"] += counted.pop("failures")
                found.setdefault(f"{readers} and {writers}", []).append(counted)
            for place, table in enumerate(("plain", "indexed")):
                took = side.ask(f"insert_alone {place}")
                found["insert_ms"][table].append(took["ms"] / took["answer"])
        found["library"] = side.ask("library")["library"]
    return found


def _median(side: dict[str, Any], load: str, *names: str) -> float:
    values = []
    for counted in side[load]:
        value: Any = counted
        for name in names:
            value = value[name]
        values.append(value)
    return statistics.median(values)


def _missing(reads: float, wanted: float) -> float:
    return max(0.0, 100 * (1 - reads / wanted))


def measure(*, rounds: int = ROUNDS, seconds: int = SECONDS) -> dict[str, float]:
    """Return ratios and percentages."""
    sides = {}
    for name in ("barbule", "lancedb"):
        if interpreter(name) is None:
            print(f"{name} is not installed: run `nox -s peers`")
            continue
        sides[name] = _side(name, rounds, seconds)
    DETAILS.update(sides)
    ours = sides["barbule"]
    reads = {load: _median(ours, load, "reads_per_s") for load in ours if " and " in load}
    search = {load: _median(ours, load, "p50_ms", "search") for load in ("1 and 0", "8 and 0")}
    alone = ours["insert_ms"]
    return {
        **{
            FEWER.format(readers): max(
                0.0, 100 * (1 - reads[f"{readers} and 0"] / reads["1 and 0"])
            )
            for readers in (8, 24)
        },
        TAKEN: max(0.0, 100 * (1 - reads["8 and 1"] / reads["8 and 0"])),
        SLOWER: search["8 and 0"] / search["1 and 0"],
        INSERT: statistics.median(alone["indexed"]) / statistics.median(alone["plain"]),
        FAILED: float(len(ours["failures"])),
    }
