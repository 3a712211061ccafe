"""The cost of a change of one row grows no faster than the structure that it touches.

Counted are instructions of Python: as many on each machine, whatever else it does.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

import barbule as bb
from barbule.fast_paths import fast_paths_enabled

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from barbule import Session


pytestmark = pytest.mark.skipif(
    not fast_paths_enabled(), reason="fast paths are what keeps these costs low"
)


@bb.udf
def increment(number: bb.Int) -> int:
    return number + 1


def steps(operation: Callable[[], object]) -> int:
    """Count the instructions of Python that an operation runs in this thread.

    It is run before, to fill caches.
    """
    operation()
    operation()
    count = 0

    def trace(frame: FrameType, event: str, _argument: object) -> Callable[..., object]:
        nonlocal count
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        count += event == "opcode"
        return trace

    previous = sys.gettrace()
    sys.settrace(trace)
    try:
        operation()
    finally:
        sys.settrace(previous)
    return count


def columns(session: Session, size: int) -> Callable[[], object]:
    row = {f"c{number}": number for number in range(size)}
    table = session.create_table(f"columns{size}", [row])
    return lambda: table.insert([row])


def function_columns(session: Session, size: int) -> Callable[[], object]:
    table = session.create_table(f"functions{size}", [{"n": 1}])
    previous = table.n
    for number in range(size):
        table.add_computed_column(**{f"f{number}": increment(previous)})
        previous = table[f"f{number}"]
    return lambda: table.insert([{"n": 1}])


def updated_function_columns(session: Session, size: int) -> Callable[[], object]:
    function_columns(session, size)
    table = session.get_table(f"functions{size}")
    return lambda: table.update({"n": table.n + 1})


def views(session: Session, size: int) -> Callable[[], object]:
    table = session.create_table(f"base{size}", [{"n": 1}])
    for number in range(size):
        session.create_view(f"view{size}_{number}", table.filter(table.n > number))
    return lambda: table.insert([{"n": 1000}])


def deep_views(session: Session, size: int) -> bb.Table:
    table = above = session.create_table(f"base{size}", [{"n": 1}])
    for level in range(size):
        query = above.filter(above.n > 0).mutate(**{f"m{level}": above.n + level})
        above = session.create_view(f"level{size}_{level}", query)
    return table


def inserted_under_deep_views(session: Session, size: int) -> Callable[[], object]:
    table = deep_views(session, size)
    return lambda: table.insert([{"n": 1000}])


def updated_under_views(session: Session, size: int) -> Callable[[], object]:
    views(session, size)
    table = session.get_table(f"base{size}")
    return lambda: table.update({"n": table.n + 1000})


def updated_under_deep_views(session: Session, size: int) -> Callable[[], object]:
    table = deep_views(session, size)
    return lambda: table.update({"n": table.n + 1})


@pytest.mark.parametrize(
    ("prepare", "size"),
    [
        (columns, 20),
        (function_columns, 5),
        (updated_function_columns, 5),
        (views, 5),
        (inserted_under_deep_views, 3),
        (updated_under_views, 5),
        (updated_under_deep_views, 3),
    ],
)
def test_each_part_of_a_structure_costs_the_same(
    session: Session, prepare: Callable[[Session, int], Callable[[], object]], size: int
) -> None:
    small, medium, large = (steps(prepare(session, count)) for count in (size, 3 * size, 5 * size))
    assert large - medium < 1.1 * (medium - small)
