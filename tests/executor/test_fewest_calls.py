"""Calls are made once per row, only for rows that need them: limits and clauses share calls."""

from __future__ import annotations

import pyarrow as pa
import pytest
from ibis import _

import barbule as bb

ROWS = 2000
CALLED: list = []


@bb.udf
def qualifies(n: int) -> bool:
    CALLED.append(n)
    return n * 37 % 100 < 74


@bb.udf
def named(n: int) -> str:
    CALLED.append(str(n))
    return f"number {n}"


@bb.udf
async def even(n: int) -> bool:
    CALLED.append(-n)
    return n % 2 == 0


@bb.udf(cache=True)
def keep(n: int) -> bool:
    CALLED.append(n)
    return n % 3 == 0


@pytest.fixture(autouse=True)
def reset_called():
    CALLED.clear()


@pytest.fixture
def numbers(session):
    table = bb.create_table("numbers", {"n": bb.Int, "back": bb.Int})
    table.insert(pa.table({"n": range(ROWS), "back": range(ROWS, 0, -1)}))
    return table


def good(count, rows=range(ROWS)):
    return [n for n in rows if n * 37 % 100 < 74][:count]


def test_limit_after_filter_stops_at_enough_rows(numbers):
    result = numbers.filter(qualifies(numbers.n)).limit(5).collect()
    assert result["n"] == good(5)
    assert len(CALLED) == len(set(CALLED)) <= 16


def test_limit_follows_the_requested_order(numbers):
    result = numbers.filter(qualifies(numbers.n)).order_by("back").limit(5).collect()
    assert result["n"] == good(5, range(ROWS - 1, -1, -1))
    assert len(CALLED) <= 16


def test_limit_with_offset_stops_at_enough_rows(numbers):
    result = numbers.filter(qualifies(numbers.n)).limit(3, offset=4).collect()
    assert result["n"] == good(7)[4:]
    assert len(CALLED) <= 20


def test_columns_above_a_limit_are_computed_for_its_rows(numbers):
    query = numbers.filter(qualifies(numbers.n)).limit(5).mutate(name=named(_.n))
    assert query.collect()["name"] == [f"number {n}" for n in good(5)]
    assert sum(isinstance(argument, str) for argument in CALLED) == 5


def test_filter_on_a_computed_column_stops_at_the_limit(numbers):
    query = numbers.mutate(yes=qualifies(numbers.n)).filter(_.yes).select("n", "yes").limit(5)
    assert query.collect()["n"] == good(5)
    assert len(CALLED) <= 16


def test_filters_by_several_calls_stop_at_the_limit(numbers):
    query = numbers.filter(even(numbers.n), qualifies(numbers.n)).limit(5)
    assert query.collect()["n"] == [n for n in range(ROWS) if n % 2 == 0 and n * 37 % 100 < 74][:5]
    assert len(CALLED) <= 50


def test_later_filter_runs_on_rows_of_the_earlier_one(numbers):
    rows = numbers.filter(numbers.n < 10)
    result = rows.filter(keep(rows.n), even(rows.n)).collect()  # the costly one is last
    assert result["n"] == [0, 6]
    assert sorted(CALLED) == sorted([*(-n for n in range(10)), *range(0, 10, 2)])


def test_limit_with_too_few_matches_calls_once_per_row(numbers):
    result = numbers.filter(qualifies(numbers.n) & (numbers.n > 1990)).limit(50).collect()
    assert result["n"] == good(50, range(1991, ROWS))
    assert sorted(CALLED) == list(range(1991, ROWS))


def test_limit_without_matches_returns_no_rows(numbers):
    assert numbers.filter(qualifies(numbers.n - numbers.n + 2)).limit(5).collect() == []
    assert len(CALLED) == ROWS
    empty = numbers.filter(numbers.n < 0)
    assert empty.filter(qualifies(empty.n)).limit(5).collect() == []
    assert empty.filter(qualifies(empty.n)).limit(5).to_pyarrow().column_names == ["n", "back"]


def test_limit_zero_makes_no_calls(numbers):
    assert numbers.filter(qualifies(numbers.n)).limit(0).collect() == []
    assert len(CALLED) == 0


def test_rows_used_by_another_branch_are_all_computed(numbers):
    passed = numbers.filter(qualifies(numbers.n)).select("n")
    both = passed.limit(2).union(passed.filter(_.n > 1990).select("n"))
    assert sorted(both.collect()["n"]) == [*good(2), *good(99, range(1991, ROWS))]


def test_aggregates_below_a_limit_cover_all_rows(numbers):
    grouped = numbers.filter(qualifies(numbers.n)).group_by(k=_.n % 3).agg(n=_.count())
    assert sum(grouped.limit(3).collect()["n"]) == len(good(ROWS))


def test_error_reports_the_row_of_the_table(numbers):
    @bb.udf
    def picky(n: int) -> bool:
        if n == 30:
            raise ValueError("not this one")
        return False

    with pytest.raises(bb.BarbuleError, match=r"row 30: \S+picky failed"):
        numbers.filter(picky(numbers.n)).limit(3).collect()


def test_call_in_filter_and_select_runs_once_per_row(numbers):
    rows = numbers.filter(numbers.n < 10)
    result = rows.filter(named(rows.n) != "number 3").select(name=named(rows.n)).collect()
    assert len(result) == 9
    assert sorted(CALLED) == sorted(map(str, range(10)))


def test_call_in_filter_sort_and_select_runs_once_per_row(numbers):
    rows = numbers.filter(numbers.n < 10)
    query = rows.filter(named(rows.n).length() == 8).order_by(named(rows.n).upper())
    result = query.mutate(name=named(query.n)).collect()
    assert result["name"] == [f"number {n}" for n in range(10)]
    assert result[0].keys() == {"n", "back", "name"}
    assert len(CALLED) == 10


def test_explain_shows_the_limit_as_an_upper_bound(numbers):
    plan_text = str(numbers.filter(qualifies(numbers.n)).limit(5).explain())
    assert "at most 2,000 calls" in plan_text
    assert "until 5 rows qualify" in plan_text
    assert CALLED == []
