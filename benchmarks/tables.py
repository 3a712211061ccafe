"""Tables of 100k rows: barbule, bare DuckDB, Pixeltable, LanceDB and Daft, in turns in one run.

Each operation is done by every side in turn before the next round of it, so that what else the
machine does falls on all alike. A figure is the median of the rounds after the first. The sides
must give the same answers.

What barbule should reach was set on a machine beside bare DuckDB, and holds on another as the
ratio to what bare DuckDB takes there.
"""

from __future__ import annotations

import statistics
from contextlib import ExitStack
from typing import NamedTuple

from sides import OURS, PEERS, Side, interpreter

ROWS = 100_000
ROUNDS = 7
FRESH_ROUNDS = 3
SLOW, SLOW_ROUNDS = 1000.0, 2  # what takes longer than a second is not repeated as often


class Reach(NamedTuple):
    """What barbule should take beside what bare DuckDB took when that was set, in milliseconds."""

    ours: float
    bare: float

    @property
    def ratio(self) -> float:
        """The ratio that is to hold on every machine."""
        return self.ours / self.bare


class Operation(NamedTuple):
    """An operation: what it is called, what to reach, what to compare it with."""

    label: str
    reach: Reach
    beside: str = ""  # the operation of bare DuckDB, where it has not the same


OPERATIONS = {
    "insert_dicts": Operation("insert from dicts", Reach(120, 52)),
    "insert_dataframe": Operation("insert from a DataFrame", Reach(100, 39)),
    "insert_arrow": Operation("insert from Arrow", Reach(50, 39)),
    "insert_one": Operation("insert one row", Reach(5, 1.1)),
    "arithmetic_virtual": Operation(
        "computed revenue - budget, virtual", Reach(5, 18), "arithmetic_stored"
    ),
    "arithmetic_stored": Operation("computed revenue - budget, stored", Reach(40, 18)),
    "row_function": Operation("Python function of a row, stored", Reach(250, 38)),
    "batch_function": Operation("Python function of a batch, stored", Reach(90, 38)),
    "where_collect": Operation("where and collect half of the rows", Reach(55, 29)),
    "to_arrow": Operation("all rows to Arrow", Reach(10, 4)),
    "aggregate": Operation("aggregate", Reach(8, 2)),
    "top_10": Operation("top 10", Reach(8, 2)),
    "group_by": Operation("group by, 1,000 groups", Reach(8, 2)),
    "update_one": Operation("update one row", Reach(5, 1)),
    "update_tenth": Operation("update a tenth of the rows", Reach(22, 6)),
    "delete_tenth": Operation("delete a tenth of the rows", Reach(12, 6)),
    "first_table": Operation("first table in a fresh home", Reach(300, 50)),
}
LIMITS: dict[str, float] = {}
DETAILS: dict[str, object] = {}

Times = dict[str, list[float]]


def _sides() -> list[str]:
    names = [*OURS, *(name for name in PEERS if interpreter(name))]
    for name in PEERS:
        if name not in names:
            print(f"tables     {name} is not installed and left out; `nox -s peers` installs it")
    return names


def turns(operation: str, sides: list[Side], rounds: int) -> Times:
    """Let the sides do an operation in turns; the first round warms up."""
    times: Times = {side.name: [] for side in sides}
    answers: dict[str, object] = {}
    slow: set[str] = set()
    for turn in range(rounds + 1):
        for side in sides:
            if side.name in slow and turn > SLOW_ROUNDS:
                continue
            reply = side.ask(operation)
            if reply["ms"] is None:
                slow.add(side.name)
                continue
            answers[side.name] = reply["answer"]
            if turn:
                times[side.name].append(reply["ms"])
            elif reply["ms"] > SLOW:
                slow.add(side.name)
    _agree(operation, answers)
    return times


def _agree(operation: str, answers: dict[str, object]) -> None:
    if any(answer != answers["barbule"] for answer in answers.values()):
        raise SystemExit(f"the sides differ at {operation}: {answers}")


def _first(names: list[str], rounds: int) -> Times:
    """Make the first table, each time in a fresh process and a fresh home."""
    times: Times = {name: [] for name in names}
    for turn in range(rounds + 1):
        for name in names:
            with Side(name, "tables", "--rows", "1") as side:
                reply = side.ask("first_table")
            if turn and reply["ms"] is not None:
                times[name].append(reply["ms"])
    return times


def _reach(medians: dict[str, dict[str, float]]) -> None:
    for name, operation in OPERATIONS.items():
        bare = medians[operation.beside or name]["duckdb"]
        LIMITS[operation.label] = operation.reach.ratio * bare


def measure(
    *, rows: int = ROWS, rounds: int = ROUNDS, fresh_rounds: int = FRESH_ROUNDS
) -> dict[str, float]:
    """Return barbule's medians in milliseconds; `DETAILS` holds those of every side."""
    names = _sides()
    times: dict[str, Times] = {}
    with ExitStack() as stack:
        sides = [stack.enter_context(Side(name, "tables", "--rows", str(rows))) for name in names]
        libraries = {side.name: side.ask("library")["library"] for side in sides}
        for name in OPERATIONS:
            if name != "first_table":
                times[name] = turns(name, sides, rounds)
    times["first_table"] = _first(names, fresh_rounds)
    medians = {
        name: {side: statistics.median(each) for side, each in by_side.items() if each}
        for name, by_side in times.items()
    }
    _reach(medians)
    DETAILS.update(
        rows=rows,
        rounds=rounds,
        libraries=libraries,
        sides_ms={OPERATIONS[name].label: each for name, each in medians.items()},
        least_ms={
            OPERATIONS[name].label: {side: min(each) for side, each in by_side.items() if each}
            for name, by_side in times.items()
        },
        reach_when_set_ms={each.label: each.reach.ours for each in OPERATIONS.values()},
        reach_ratio={each.label: each.reach.ratio for each in OPERATIONS.values()},
    )
    return {OPERATIONS[name].label: medians[name]["barbule"] for name in OPERATIONS}
