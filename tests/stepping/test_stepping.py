"""Two interleaved operations leave the state of a serial order.

`nox -s kills` runs all pairs between threads, and the pairs that are most likely to fail between
processes too; by default the latter pairs run, and a few of them between processes.
"""

from __future__ import annotations

import itertools
import os
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import pytest

from stepping.elsewhere import opened
from stepping.stepper import interleave, number_of_points, outcome_of, stopping
from stepping.world import OPERATIONS, shown, stored

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from barbule.session import Session
    from stepping.elsewhere import Elsewhere

    Copied = Callable[[], AbstractContextManager[str]]


FULL = bool(os.environ.get("BARBULE_TEST_FULL"))
MAX_POINTS = 60

LIKELY = [
    ("create iterator view", "insert"),
    ("create view", "update"),
    ("insert", "rename column"),
    ("upsert", "upsert the same"),
    ("create aggregate view", "insert"),
    ("upsert the same", "insert"),
    ("insert", "insert another"),
    ("insert", "update customers"),
    ("insert", "delete customers"),
    ("insert", "create view"),
    ("update", "rename column"),
    ("update", "replace column"),
    ("update", "change type"),
    ("column of a view", "update"),
    ("index of a view", "update"),
    ("add computed column", "upsert"),
    ("recompute", "delete"),
    ("revert", "insert"),
    ("replace view", "snapshot"),
    ("change type", "update by an expression"),
]
# One pair for each kind of conflict between two processes: the fastest of its kind.
QUICK = [
    ("create iterator view", "insert"),
    ("create aggregate view", "insert"),
    ("insert", "insert another"),
    ("update", "rename column"),
    ("index of a view", "update"),
    ("recompute", "delete"),
    ("change type", "update by an expression"),
]
BETWEEN_PROCESSES = LIKELY if FULL else QUICK

# As the first of a pair these cannot be overtaken: they read nothing but the latest commit, and
# hold the write lock.
ATOMIC = {"checkpoint", "snapshot"}
# Only these read labels, so only they can conflict with an operation that sets one.
READ_LABELS = {"revert", "compact", "purge", "replace view", "drop table", "drop view"}
# As the first of a pair they take the steps of another operation, with other values. Their writes
# are tested as the second of a pair.
TWINS = {"insert another": "insert", "upsert the same": "upsert"}


def _can_meet(first: str, second: str) -> bool:
    if first in ATOMIC or (second in ATOMIC and first not in READ_LABELS):
        return False
    return first not in TWINS or second in {first, TWINS[first]}


def _pairs() -> list[tuple[str, str]]:
    if not FULL:
        return LIKELY
    both = itertools.product(OPERATIONS, OPERATIONS)
    return [pair for pair in both if _can_meet(*pair) or pair in LIKELY]


def _does(session: Session, name: str) -> Callable[[], str]:
    return partial(outcome_of, partial(OPERATIONS[name], session))


@dataclass(frozen=True)
class Result:
    """Result of a pair: the outcomes of both, the stored state and the visible state."""

    outcomes: tuple[str, ...]
    stored: tuple[str, ...]
    shown: dict[str, Any]


@cache
def _serial(copied: Copied, home: Path, *names: str) -> Result:
    """Run operations one after the other."""
    with copied() as url, opened(url, home) as session:
        outcomes = tuple(_does(session, name)() for name in names)
        return Result(outcomes, stored(session), shown(session))


@cache
def _points(copied: Copied, home: Path, name: str, *, apart: bool) -> int:
    """Count the points of an operation; calls and reads in threads may pair in two ways."""
    counts = []
    for _ in range(2):
        with copied() as url, opened(url, home) as session, stopping(session, apart=apart):
            counts.append(number_of_points(_does(session, name)))
    assert max(counts) <= MAX_POINTS
    return max(counts)


def _differing(left: Result, copied: Copied, home: Path, names: tuple[str, str]) -> str | None:
    """Describe how the result differs from each serial order, or return None."""
    forth = _serial(copied, home, *names)
    back = _serial(copied, home, *reversed(names))
    lines = [f"outcomes {left.outcomes}"]
    for order, outcomes, state in (
        (names, forth.outcomes, forth.shown),
        (names[::-1], back.outcomes[::-1], back.shown),
    ):
        if left.outcomes == outcomes and left.shown == state:
            return None
        lines.append(f"-- {', '.join(order)}: outcomes {outcomes}")
        lines += [
            f"   {key}: expected {state.get(key)}, is {left.shown.get(key)}"
            for key in sorted(state.keys() | left.shown.keys())
            if state.get(key) != left.shown.get(key)
        ]
    if left.outcomes[0] == "conflict":  # it has read a source that can be read only once
        alone = _serial(copied, home, names[1])
        if left.outcomes[1:] == alone.outcomes and left.shown == alone.shown:
            return None
    return "\n".join(lines)


def _step(copied: Copied, home: Path, names: tuple[str, str], other: Elsewhere | None) -> None:
    """Stop the first at each of its points and compare the result with serial orders."""
    seen: set[tuple[Any, ...]] = set()
    points = _points(copied, home, names[0], apart=other is not None)
    for stop in range(1, points + 1):
        with ExitStack() as held:
            url = held.enter_context(copied())
            session = held.enter_context(opened(url, home))
            held.enter_context(other.on(url) if other else nullcontext())
            held.enter_context(stopping(session, apart=other is not None))
            first = _does(session, names[0])
            second = partial(other.run, names[1]) if other else _does(session, names[1])
            outcomes = interleave(first, second, stop)
            if outcomes is None:
                return
            *done, where = outcomes
            assert not any(each.startswith("crash") for each in done), (done, where)
            state = stored(session)
            if (*done, *state) in seen:  # the visible state is that of an earlier run
                continue
            left = Result(tuple(done), state, shown(session))
            assert other is None or other.shown() == left.shown
        if difference := _differing(left, copied, home, names):
            pytest.fail(f"The first stopped {where}; {difference}")
        seen.add((*done, *state))


@pytest.mark.parametrize(("first", "second"), _pairs())
def test_interleaved_operations_are_serializable(
    copied: Copied, home: Path, first: str, second: str
):
    _step(copied, home, (first, second), None)


@pytest.mark.parametrize(("first", "second"), BETWEEN_PROCESSES)
def test_interleaved_operations_of_two_processes_are_serializable(
    copied: Copied, home: Path, elsewhere: Elsewhere, first: str, second: str
):
    _step(copied, home, (first, second), elsewhere)


@pytest.mark.parametrize("name", OPERATIONS)
def test_each_operation_changes_stored_state(copied: Copied, home: Path, name: str):
    done = _serial(copied, home, name)

    assert done.outcomes in {("done",), *((f"rows={rows}",) for rows in range(5))}
    assert done.stored != _serial(copied, home).stored
