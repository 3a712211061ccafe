"""Any two operations, one stopped wherever it may be overtaken, leave what a serial order leaves.

`nox -s kills` runs all pairs; here are those that would be most likely to break.
"""

from __future__ import annotations

import functools
import itertools
import os
from typing import TYPE_CHECKING, Any

import pytest

from stepping.stepper import outcome_of, stopping, through_each_other
from stepping.world import OPERATIONS, shown

if TYPE_CHECKING:
    from collections.abc import Callable


FULL = bool(os.environ.get("BARBULE_TEST_FULL"))
MOST_POINTS = 60

LIKELY = [
    ("create iterator view", "insert"),
    ("create view", "update"),
    ("create aggregate view", "insert"),
    ("upsert", "upsert the same"),
    ("upsert the same", "insert"),
    ("insert", "insert another"),
    ("insert", "update customers"),
    ("insert", "delete customers"),
    ("insert", "rename column"),
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

# What ends at once, as the first of a pair, whatever the other does: it reads nothing but the
# latest commit, within the right to write.
ATOMIC = {"checkpoint", "snapshot"}


def _pairs() -> list[tuple[str, str]]:
    if not FULL:
        return LIKELY
    both = itertools.product(OPERATIONS, OPERATIONS)
    return [(first, second) for first, second in both if first not in ATOMIC]


@functools.cache
def _serial(fresh: Callable[[], Any], first: str, second: str) -> tuple[Any, str, str]:
    """Run two operations one after the other; return the state and the outcomes."""
    with fresh() as session:
        one = outcome_of(lambda: OPERATIONS[first](session))
        two = outcome_of(lambda: OPERATIONS[second](session))
        return shown(session), one, two


@functools.cache
def _alone(fresh: Callable[[], Any], name: str) -> tuple[Any, str]:
    with fresh() as session:
        outcome = outcome_of(lambda: OPERATIONS[name](session))
        return shown(session), outcome


def _allowed(fresh: Callable[[], Any], first: str, second: str) -> list[tuple[Any, str, str]]:
    backwards = _serial(fresh, second, first)
    return [
        _serial(fresh, first, second),
        (backwards[0], backwards[2], backwards[1]),
        # Who reads a source that cannot be read again gives up.
        (_alone(fresh, second)[0], "conflict", _alone(fresh, second)[1]),
    ]


@pytest.mark.parametrize(("first", "second"), _pairs())
def test_operations_stepped_through_each_other_are_serial(
    fresh: Callable[[], Any], first: str, second: str
):
    for stop in range(1, MOST_POINTS):
        with fresh() as session, stopping(session):
            outcomes = through_each_other(
                lambda: OPERATIONS[first](session), lambda: OPERATIONS[second](session), stop
            )
            if outcomes is None:
                break
            one, two, where = outcomes
            done = (shown(session), one, two)
        assert not one.startswith("crash"), one
        if done not in (allowed := _allowed(fresh, first, second)):
            pytest.fail(_explained(done, allowed, where))
    else:
        pytest.fail(f"{first} has more than {MOST_POINTS} points")


def _explained(done: tuple[Any, str, str], allowed: list[tuple[Any, str, str]], where: str) -> str:
    """Tell how a state differs from that of each serial order."""
    lines = [f"The first stopped {where}; outcomes {done[1:]}."]
    for name, (state, *outcomes) in zip(("first, second", "second, first"), allowed, strict=False):
        lines.append(f"-- {name}: outcomes {tuple(outcomes)}")
        lines += [
            f"   {key}: expected {state.get(key)}, is {done[0].get(key)}"
            for key in sorted(state.keys() | done[0].keys())
            if state.get(key) != done[0].get(key)
        ]
    return "\n".join(lines)
