"""Full-refresh views over nested views store the result of their query."""

from __future__ import annotations

import pytest
from ibis import _

import barbule as bb

FACTORS = {"by": 2}


@bb.udf(name="whole_chains.scaled")
def scaled(n: int) -> int:
    return n * FACTORS["by"]


@pytest.fixture
def numbers(session):
    table = session.create_table("numbers", {"n": bb.Int, "k": bb.String})
    table.insert([{"n": n, "k": "ab"[n % 2]} for n in range(6)])
    FACTORS["by"] = 2
    table.add_computed_column(double=table.n * 2, far=scaled(table.n))
    return table


@pytest.fixture
def queries_by_name(session, numbers):
    """Create queries over a table and nested views, and a view of each query."""
    first = session.create_view("first", numbers.where(numbers.n > 1))
    second = session.create_view(
        "second", first.where(first.n > 2), computed_columns={"own": scaled(first.n)}
    )
    queries = {
        "of_first": first.group_by("k").agg(rows=_.count(), far=_.far.sum()),
        "of_second": second.group_by("k").agg(double=_.double.sum(), own=_.own.sum()),
        "joined": second.join(numbers.view(), "k").select("n", "own", "far"),
        "distinct": second.select("k", "double").distinct(),
    }
    for name, query in queries.items():
        session.create_view(name, query)
    upper_view = session.get_table("of_second")
    queries["above"] = upper_view.where(upper_view.own > 5).agg(groups=_.count())
    session.create_view("above", queries["above"])
    return queries


def _other_factor(table):
    FACTORS["by"] = 7
    table.recompute("far")


def _own_again(table):
    second = bb.get_table("second")
    second.add_computed_column(own=second.n + second.double, if_exists="replace")


CHANGES = {
    "insert": lambda t: t.insert([{"n": 9, "k": "c"}, {"n": 0, "k": "a"}]),
    "forwarded column": lambda t: t.update({"k": "z"}, where=t.n == 4),
    "filter column": lambda t: t.update({"n": t.n + 2}),
    "upsert": lambda t: t.upsert([{"n": 5, "k": "y"}, {"n": 50, "k": "y"}], on="n"),
    "delete": lambda t: t.delete(where=t.n == 5),
    "delete all": lambda t: t.delete(),
    "virtual column": lambda t: t.add_computed_column(double=t.n * 3, if_exists="replace"),
    "stored column": lambda t: t.add_computed_column(far=scaled(t.n + 1), if_exists="replace"),
    "recompute": _other_factor,
    "column of the view": _own_again,
    "a new column": lambda t: t.add_columns({"more": bb.Int}, defaults={"more": 1}),
    "rename": lambda t: t.rename_column("k", "kind"),
    "wider type": lambda t: t.change_type("n", "float64"),
}

RESHAPING = {"rename", "wider type"}


def _bag(rows):
    """Return sorted rows; 3 and 3.0 are equal, as a type may be wider."""
    return sorted(
        str({k: float(v) if isinstance(v, int) else v for k, v in row.items()})
        for row in rows.to_pyarrow().to_pylist()
    )


@pytest.mark.parametrize("change", CHANGES)
def test_stored_view_rows_equal_query_result(session, numbers, queries_by_name, change):
    before = {name: _bag(session.get_table(name)) for name in queries_by_name}
    CHANGES[change](numbers)
    after = {name: _bag(session.get_table(name)) for name in queries_by_name}
    if change not in RESHAPING:  # the queries here use the old names and types
        assert after == {name: _bag(query) for name, query in queries_by_name.items()}
    assert (after == before) == (change in {"a new column", *RESHAPING})
    if change == "column of the view":
        return
    numbers.revert()
    assert before == {name: _bag(session.get_table(name)) for name in queries_by_name}
