"""How the cost of one operation grows with the structure that it touches.

One row of tables with more function columns, views or columns is inserted or updated; rows are read
through more virtual columns, steps of a query, nested calls and levels of views. Each curve is
measured in a fresh home, in one process, so that its points can be compared: the figures are how
many times as long the largest structure takes as the smallest.
"""

from __future__ import annotations

import itertools
import shutil
import statistics
import tempfile
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import ibis

import barbule as bb

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import ibis.expr.types as ir

    from barbule import Session

ROUNDS = 7
BUILT_STEPS = 60  # each adds a column: what Ibis makes of them grows with their square
BUILT = f"write {BUILT_STEPS} times mutate and filter, times Ibis alone (times)"
ROWS = 100
LIMITS: dict[str, float] = {}
DETAILS: dict[str, object] = {}


@bb.udf
def increment(number: bb.Int) -> int:
    """Return the next number; a function, so that its column is stored."""
    return number + 1


class Curve(NamedTuple):
    """An operation over structures of several sizes.

    Attributes
    ----------
    prepare
        Makes the structure of a size in an open session; returns the operation to measure.
    at_most
        How many times as long the size in `compare[1]` may take as that in `compare[0]`.
    """

    label: str
    sizes: tuple[int, ...]
    prepare: Callable[[Session, int], Callable[[], object]]
    compare: tuple[int, int]
    at_most: float


def _rows(count: int = ROWS) -> list[dict[str, int]]:
    return [{"n": number} for number in range(count)]


def _function_columns(session: Session, count: int) -> Callable[[], object]:
    table = session.create_table("numbers", _rows())
    previous = table.n
    for number in range(count):
        table.add_computed_column(**{f"f{number}": increment(previous)})
        previous = table[f"f{number}"]
    numbers = iter(range(1000, 10_000))
    return lambda: table.insert([{"n": next(numbers)}])


def _views(session: Session, count: int) -> Callable[[], object]:
    table = session.create_table("numbers", _rows())
    for number in range(count):
        session.create_view(f"view{number}", table.filter(table.n > number))
    return lambda: table.insert([{"n": 1000}])


def _updates(table: bb.Table, column: str) -> Callable[[], object]:
    """Return what gives a column of one row another value each time, which all filters pass."""
    values = itertools.count(1000)
    return lambda: table.update({column: next(values)}, where=table["id"] == ROWS - 1)


def _numbered_rows() -> list[dict[str, int]]:
    return [{"id": number, "n": number} for number in range(ROWS)]


def _update_under_views(session: Session, count: int) -> Callable[[], object]:
    table = session.create_table("numbers", _numbered_rows())
    for number in range(count):
        session.create_view(f"view{number}", table.filter(table.n > number))
    return _updates(table, "n")


def _update_under_deep_view(session: Session, depth: int) -> Callable[[], object]:
    table = session.create_table("numbers", _numbered_rows())
    _view_levels(session, table, depth)
    return _updates(table, "n")


def _update_columns(session: Session, count: int) -> Callable[[], object]:
    row = {f"c{number}": number for number in range(count)}
    table = session.create_table("wide", [{"id": number, **row} for number in range(ROWS)])
    return _updates(table, "c0")


def _columns(session: Session, count: int) -> Callable[[], object]:
    row = {f"c{number}": number for number in range(count)}
    table = session.create_table("wide", [row] * 10)
    return lambda: table.insert([row])


def _virtual_columns(session: Session, count: int) -> Callable[[], object]:
    table = session.create_table("numbers", _rows())
    previous = table.n
    for number in range(count):
        table.add_computed_column(**{f"v{number}": previous + 1})
        previous = table[f"v{number}"]
    return table.collect


def _mutated(table: ir.Table, count: int) -> ir.Table:
    for number in range(count):
        table = table.mutate(**{f"m{number}": table.n + number})
        table = table.filter(table[f"m{number}"] >= 0)
    return table


def _mutates(session: Session, count: int) -> Callable[[], object]:
    return _mutated(session.create_table("numbers", _rows()), count).collect


def _nested_calls(session: Session, count: int) -> Callable[[], object]:
    table = session.create_table("numbers", _rows(10))

    def read() -> object:
        value = table.n
        for _ in range(count):
            value = increment(value)
        return table.select(value=value).collect()

    return read


def _view_levels(session: Session, table: bb.Table, depth: int) -> bb.Table:
    for level in range(depth):
        table = session.create_view(
            f"level{level}", table.filter(table.n >= level).mutate(**{f"m{level}": table.n + level})
        )
    return table


def _deep_view(session: Session, depth: int) -> Callable[[], object]:
    table = session.create_table("numbers", _rows())
    return _view_levels(session, table, depth).collect


def _insert_under_deep_view(session: Session, depth: int) -> Callable[[], object]:
    table = session.create_table("numbers", _rows())
    _view_levels(session, table, depth)
    return lambda: table.insert([{"n": 1000}])


CURVES = (
    Curve(
        "insert one row, {} function columns in a chain",
        (1, 5, 10, 20),
        _function_columns,
        (1, 20),
        6,
    ),
    Curve("insert one row, {} views", (1, 10, 40), _views, (1, 40), 10),
    Curve("insert one row, {} columns", (50, 200, 500), _columns, (50, 500), 9),
    Curve("update one row, {} views", (1, 10, 40), _update_under_views, (1, 40), 10),
    Curve("update one row, {} columns", (50, 500), _update_columns, (50, 500), 9),
    Curve("update one row under views to depth {}", (2, 8), _update_under_deep_view, (2, 8), 6),
    Curve("read {} chained virtual columns", (5, 10, 20, 40, 60), _virtual_columns, (20, 60), 4),
    Curve("read {} times mutate and filter", (5, 20, 60), _mutates, (5, 60), 10),
    Curve("{} nested calls", (1, 4, 8, 12), _nested_calls, (1, 12), 10),
    Curve("read a view at depth {}", (2, 4, 8, 16), _deep_view, (2, 8), 6),
    Curve(
        "insert one row under views to depth {}", (2, 4, 8, 16), _insert_under_deep_view, (2, 8), 6
    ),
)


@contextmanager
def _fresh_session() -> Iterator[Session]:
    home = Path(tempfile.mkdtemp(prefix="barbule-structure-"))
    try:
        with bb.connect(f"duckdb:///{home}/structure.duckdb", home=home) as session:
            yield session
    finally:
        shutil.rmtree(home)


def _median_ms(operation: Callable[[], object], rounds: int) -> float:
    operation()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        operation()
        times.append((time.perf_counter() - start) * 1000)
    return statistics.median(times)


def _measured(curve: Curve, rounds: int) -> dict[int, float]:
    points = {}
    for size in curve.sizes:
        with _fresh_session() as session:
            points[size] = _median_ms(curve.prepare(session, size), rounds)
    return points


def measure(*, rounds: int = ROUNDS) -> dict[str, float]:
    """Return the times of all points in milliseconds, and the ratios that have a limit."""
    with _fresh_session() as session:  # loads what a first operation loads
        _function_columns(session, 1)()
    figures: dict[str, float] = {}
    curves = []
    for curve in CURVES:
        points = _measured(curve, rounds)
        figures |= {curve.label.format(size): ms for size, ms in points.items()}
        small, large = curve.compare
        ratio = f"{curve.label.format(large)}, beside {small} (times)"
        figures[ratio] = points[large] / points[small]
        LIMITS[ratio] = curve.at_most
        curves.append({"label": curve.label, "ms": points, "ratio": ratio})
    with _fresh_session() as session:
        managed, plain = session.create_table("numbers", _rows()), ibis.table({"n": "int64"})
        built = _median_ms(partial(_mutated, managed, BUILT_STEPS), rounds)
        built_by_ibis = _median_ms(partial(_mutated, plain, BUILT_STEPS), rounds)
    figures[BUILT] = built / built_by_ibis
    LIMITS[BUILT] = 1.2
    DETAILS.update(rounds=rounds, curves=curves)
    return figures
