"""Two interleaved operations leave the state of a serial order.

`nox -s kills` runs all pairs between threads, and the pairs that are most likely to fail between
processes too; by default the latter pairs run, and a few of them between processes. Pairs and
points are left out only where a rule says that they can show nothing new, and samples test the
rules.
"""

from __future__ import annotations

import itertools
import os
import zlib
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import pytest

from stepping.elsewhere import opened
from stepping.reads import Reads, recording
from stepping.stepper import RESTARTED, interleave, number_of_points, outcome_of, stopping
from stepping.world import OPERATIONS, shown, stored

if TYPE_CHECKING:
    from collections.abc import Callable

    from barbule.session import Session
    from stepping.copies import Copies
    from stepping.elsewhere import Elsewhere


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


PAIRS = _pairs()
# A pair and its reverse are one test, as they have the same serial orders.
BOTH_WAYS = list(dict.fromkeys(tuple(sorted(pair)) for pair in PAIRS))

# Pairs of which all points are tried, and pairs that cannot meet: they test the rules that leave
# points and pairs out.
ALL_POINTS = [("update customers", "insert"), ("delete customers", "create view")]
NOT_MEETING = [("snapshot", "insert"), ("update customers", "checkpoint")]
if FULL:
    for pair in itertools.product(OPERATIONS, OPERATIONS):
        drawn = zlib.crc32("".join(pair).encode())
        if pair in PAIRS and drawn % 40 == 0:
            ALL_POINTS.append(pair)
        elif pair not in PAIRS and drawn % 8 == 0:
            NOT_MEETING.append(pair)


def _does(session: Session, name: str) -> Callable[[], str]:
    return partial(outcome_of, partial(OPERATIONS[name], session))


@dataclass(frozen=True)
class Result:
    """Result of a pair: the outcomes of both, the stored state and the visible state."""

    outcomes: tuple[str, ...]
    stored: tuple[str, ...]
    shown: dict[str, Any]


@cache
def _serial(copies: Copies, name: str, then: str | None = None) -> Result:
    """Run an operation, and another one after it."""
    outcomes = (copies.outcome_after(name),)
    with copies.copy(name) as url, opened(url, copies.home) as session:
        if then is not None:
            outcomes += (_does(session, then)(),)
        return Result(outcomes, stored(session), shown(session))


@cache
def _points(copies: Copies, name: str, *, apart: bool) -> int:
    """Count the points of an operation; calls and reads in threads may pair in two ways."""
    counts = []
    for _ in range(2):
        with (
            copies.copy() as url,
            opened(url, copies.home) as session,
            stopping(session, apart=apart),
        ):
            counts.append(number_of_points(_does(session, name)))
    assert max(counts) <= MAX_POINTS
    return max(counts)


def _differing(left: Result, copies: Copies, names: tuple[str, str]) -> str | None:
    """Describe how the result differs from each serial order, or return None."""
    lines = [f"outcomes {left.outcomes}"]
    for way in (-1, 1):  # mostly the first is overtaken, and begins anew
        order = names[::way]
        serial = _serial(copies, *order)
        outcomes = serial.outcomes[::way]
        if left.outcomes == outcomes and left.shown == serial.shown:
            return None
        lines.append(f"-- {', '.join(order)}: outcomes {outcomes}")
        lines += [
            f"   {key}: expected {serial.shown.get(key)}, is {left.shown.get(key)}"
            for key in sorted(serial.shown.keys() | left.shown.keys())
            if serial.shown.get(key) != left.shown.get(key)
        ]
    if left.outcomes[0] == "conflict":  # it has read a source that can be read only once
        alone = _serial(copies, names[1])
        if left.outcomes[1:] == alone.outcomes and left.shown == alone.shown:
            return None
    return "\n".join(lines)


class Pair:
    """An operation that is stopped for another one, each time on a new copy.

    Parameters
    ----------
    other
        The process in which the other operation runs; None for this one.

    Attributes
    ----------
    affected
        The steps that depend on whether the other operation runs before them, if that is known.
    """

    def __init__(self, copies: Copies, names: tuple[str, str], other: Elsewhere | None) -> None:
        self._copies = copies
        self._names = names
        self._other = other
        self._known: set[tuple[Any, ...]] = set()
        self._restarted = False
        self.affected: set[int] | None = None

    def step(self) -> None:
        """Stop the first at its points, from the last one on.

        A point is left out if it makes no difference whether the second runs there or at the
        following point: see `reads`. Another process shares no memory with the first, and commits
        of it are loaded at some of the steps, so there no point is left out.
        """
        last = self.stop_at_last()
        for stop in range(last - 1, 0, -1):
            if self.affected is None or stop in self.affected:
                self.stop_at(stop, ends_on_restart=self._restarted)

    def stop_at_last(self) -> int:
        """Stop the first at its last point, and return its number."""
        points = _points(self._copies, self._names[0], apart=self._other is not None)
        for stop in range(points, 0, -1):
            if self.stop_at(stop, None if self._other else Reads()) is not None:
                return stop
        return 0

    def stop_at(
        self, stop: int, reads: Reads | None = None, *, ends_on_restart: bool = False
    ) -> Result | None:
        """Stop the first at a point, and compare the result with the serial orders.

        Parameters
        ----------
        ends_on_restart
            Whether the first ends if it begins anew when the second has ended. From there it does
            what it does after the second in serial order, and did so after the last such stop.

        Returns
        -------
        Result or None
            The result, without the visible state; None where the first has fewer points.
        """
        with ExitStack() as held:
            url = held.enter_context(self._copies.copy())
            session = held.enter_context(opened(url, self._copies.home))
            if self._other:
                held.enter_context(self._other.on(url))
                second = partial(self._other.run, self._names[1])
            else:
                second = _does(session, self._names[1])
            held.enter_context(stopping(session, apart=self._other is not None))
            held.enter_context(recording(session, reads) if reads else nullcontext())
            first = _does(session, self._names[0])
            done = interleave(first, second, stop, reads=reads, ends_on_restart=ends_on_restart)
            if done is None:
                return None
            assert not any(each.startswith("crash") for each in done.outcomes), done
            result = Result(done.outcomes, stored(session), {})
            if done.outcomes[0] == RESTARTED:
                alone = _serial(self._copies, self._names[1])
                if (done.outcomes[1:], result.stored) == (alone.outcomes, alone.stored):
                    return result
            elif (result.outcomes, result.stored) not in self._known:
                # The visible state follows from the stored one.
                self._compare(replace(result, shown=shown(session)), done.where)
        if done.outcomes[0] == RESTARTED:  # it had written something
            return self.stop_at(stop)
        self._known.add((result.outcomes, result.stored))
        if reads is not None:
            self.affected = done.affected
        self._restarted |= done.restarted
        return result

    def _compare(self, result: Result, where: str) -> None:
        assert self._other is None or self._other.shown() == result.shown
        if difference := _differing(result, self._copies, self._names):
            pytest.fail(f"The first stopped {where}; {difference}")


@pytest.mark.parametrize(("first", "second"), BOTH_WAYS)
def test_interleaved_operations_are_serializable(copies: Copies, first: str, second: str):
    for names in dict.fromkeys([(first, second), (second, first)]):
        if names in PAIRS:
            Pair(copies, names, None).step()


@pytest.mark.parametrize(("first", "second"), BETWEEN_PROCESSES)
def test_interleaved_operations_of_two_processes_are_serializable(
    copies: Copies, elsewhere: Elsewhere, first: str, second: str
):
    Pair(copies, (first, second), elsewhere).step()


@pytest.mark.parametrize(("first", "second"), ALL_POINTS)
def test_points_that_are_left_out_repeat_the_next(copies: Copies, first: str, second: str):
    pair = Pair(copies, (first, second), None)
    last = pair.stop_at_last()
    results = {stop: pair.stop_at(stop) for stop in range(1, last + 1)}

    for stop in range(1, last):
        assert stop in pair.affected or results[stop] == results[stop + 1]


@pytest.mark.parametrize(("first", "second"), NOT_MEETING)
def test_pairs_that_are_left_out_are_serializable(copies: Copies, first: str, second: str):
    Pair(copies, (first, second), None).step()


@pytest.mark.parametrize("name", OPERATIONS)
def test_each_operation_changes_stored_state(copies: Copies, name: str):
    done = _serial(copies, name)

    assert done.outcomes in {("done",), *((f"rows={rows}",) for rows in range(5))}
    with copies.copy() as url, opened(url, copies.home) as session:
        assert done.stored != stored(session)
