"""Any two operations, one stopped wherever it may be overtaken, leave what a serial order leaves.

`nox -s kills` runs all pairs, between threads, and those that would be most likely to break
between processes, too; here are the latter, and few of them between processes.
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
from stepping.stepper import number_of_points, outcome_of, stopping, through_each_other
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
# One for each kind of what two processes may do at once; among their like these take least time.
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

# What ends at once, as the first of a pair, whatever the other does: it reads nothing but the
# latest commit, within the right to write.
ATOMIC = {"checkpoint", "snapshot"}
# Labels change nothing but what these read, so that others cannot meet who sets one.
READ_LABELS = {"revert", "compact", "purge", "replace view", "drop table", "drop view"}
# As the first of a pair they go the way of another with other values, and stop where that does.
# What they write meets the others' as the second of a pair.
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
class Left:
    """What is left of a pair: the outcomes of both, what is stored, and what that shows."""

    outcomes: tuple[str, ...]
    stored: tuple[str, ...]
    shown: dict[str, Any]


@cache
def _serial(copied: Copied, home: Path, *names: str) -> Left:
    """Do operations one after the other."""
    with copied() as url, opened(url, home) as session:
        outcomes = tuple(_does(session, name)() for name in names)
        return Left(outcomes, stored(session), shown(session))


@cache
def _points(copied: Copied, home: Path, name: str, *, apart: bool) -> int:
    """Count the points of an operation: its calls and its reads in threads may pair in two ways."""
    counts = []
    for _ in range(2):
        with copied() as url, opened(url, home) as session, stopping(session, apart=apart):
            counts.append(number_of_points(_does(session, name)))
    assert max(counts) <= MAX_POINTS
    return max(counts)


def _explained(left: Left, copied: Copied, home: Path, names: tuple[str, str]) -> str | None:
    """Tell how what is left differs from what each serial order leaves, if it does."""
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
    if left.outcomes[0] == "conflict":  # it has read a source that cannot be read again
        alone = _serial(copied, home, names[1])
        if left.outcomes[1:] == alone.outcomes and left.shown == alone.shown:
            return None
    return "\n".join(lines)


def _step(copied: Copied, home: Path, names: tuple[str, str], other: Elsewhere | None) -> None:
    """Stop the first at each of its points, and compare what both leave with serial orders."""
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
            outcomes = through_each_other(first, second, stop)
            if outcomes is None:
                return
            *done, where = outcomes
            assert not any(each.startswith("crash") for each in done), (done, where)
            state = stored(session)
            if (*done, *state) in seen:  # it shows what an earlier one has shown
                continue
            left = Left(tuple(done), state, shown(session))
            assert other is None or other.shown() == left.shown
        if difference := _explained(left, copied, home, names):
            pytest.fail(f"The first stopped {where}; {difference}")
        seen.add((*done, *state))


@pytest.mark.parametrize(("first", "second"), _pairs())
def test_operations_stepped_through_each_other_are_serial(
    copied: Copied, home: Path, first: str, second: str
):
    _step(copied, home, (first, second), None)


@pytest.mark.parametrize(("first", "second"), BETWEEN_PROCESSES)
def test_operations_of_two_processes_are_serial(
    copied: Copied, home: Path, elsewhere: Elsewhere, first: str, second: str
):
    _step(copied, home, (first, second), elsewhere)


@pytest.mark.parametrize("name", OPERATIONS)
def test_each_operation_does_something(copied: Copied, home: Path, name: str):
    done = _serial(copied, home, name)

    assert done.outcomes in {("done",), *((f"rows={rows}",) for rows in range(5))}
    assert done.stored != _serial(copied, home).stored
