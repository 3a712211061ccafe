"""How often an operation plans, runs statements and calls functions, counted by its trace."""

from __future__ import annotations

import sys

import pytest

import barbule as bb
from barbule.fast_paths import fast_paths_enabled

pytestmark = pytest.mark.skipif(not fast_paths_enabled(), reason="fast paths are counted")


@pytest.fixture
def films(session):
    """A table with a function column, an embedding index, a view row by row and one over that."""

    @bb.udf
    def following(year: int) -> int:
        return year + 1

    @bb.udf
    def embed(text: str) -> bb.Vector(8):
        return [float(len(text)) + place for place in range(8)]

    rows = [{"name": f"film {number}", "year": 1900 + number} for number in range(100)]
    table = session.create_table("films", rows)
    table.add_computed_column(next=following(table.year))
    table.add_embedding_index("name", string_embed=embed)
    recent = session.create_view(
        "recent", table.filter(table.year > 1903).mutate(age=2020 - table.year)
    )
    session.create_view("older", recent.filter(recent.age > 10))
    return table


def nearest(films, text):
    return films.order_by(films.name.similarity(text), asc=False).limit(3)


WAYS = {
    "insert": lambda films, time: films.insert(name=f"new {time}", year=3000 + time),
    "search": lambda films, time: nearest(films, f"film {time}").collect(),
    "filtered search": lambda films, time: nearest(
        films.filter(films.year > 1950), f"film {time}"
    ).collect(),
    "keywords": lambda films, time: (
        films.where(films.name.search(f"film {time}") > 0).limit(3).collect()
    ),
    "update": lambda films, time: films.update(
        {"year": 4000 + time}, where=films.year == 1950 + time
    ),
    "upsert": lambda films, time: films.upsert({"name": f"film {time}", "year": 5}, on="name"),
    "delete": lambda films, time: films.delete(films.year == 1960 + time),
    "new column": lambda films, time: films.add_computed_column(**{f"c{time}": films.year * time}),
    "at a version": lambda films, time: (
        films.at(0).filter(films.at(0).year > 1990 + time).collect()
    ),
    "calls": lambda _films, _time: bb.calls().count().to_pyarrow(),
}


@pytest.mark.parametrize("way", WAYS)
def test_planning_runs_no_statement(films, way):
    for time in range(2):
        with bb.trace() as trace:
            WAYS[way](films, time)
        plans = trace.find("plan")
        assert plans or way in {"insert", "upsert"}
        assert sum(plan.count("statement") for plan in plans) == 0


@pytest.mark.parametrize(
    ("way", "made", "statements"),
    [
        ("insert", 0, 8),
        ("search", 0, 3),
        ("at a version", 1, 1),
        ("update", 1, 9),
        ("delete", 1, 9),
    ],
)
def test_plans_and_statements_of_later_times(films, way, made, statements):
    """What was planned for the first rows is planned for no later ones."""
    for time in range(2):
        WAYS[way](films, time)
    with bb.trace() as trace:
        WAYS[way](films, 2)
    plans = [plan for plan in trace.find("plan") if plan.name == "made"]
    assert len(plans) <= made
    assert trace.count("statement") <= statements


def python_calls(operation):
    """Count the functions that are called on this thread: in Python, and in C by Python."""
    count = 0

    def counted(frame, event, argument):
        nonlocal count
        count += event in {"call", "c_call"}

    sys.setprofile(counted)
    try:
        operation()
    finally:
        sys.setprofile(None)
    return count


# Half of what such an operation took before values were derived once for a structure.
@pytest.mark.parametrize(
    ("way", "most"), [("insert", 5_700), ("update", 26_700), ("at a version", 6_400)]
)
def test_calls_of_an_operation(films, way, most):
    for time in range(2):
        WAYS[way](films, time)
    assert python_calls(lambda: WAYS[way](films, 2)) <= most
