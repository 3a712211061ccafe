"""A call is made for the rows that need it, once: not beyond a limit, not in a second clause."""

from __future__ import annotations

import pyarrow as pa
import pytest
from ibis import _

import barbule as bb

ROWS = 2000
ASKED: list = []


@bb.udf
def qualifies(n: int) -> bool:
    ASKED.append(n)
    return n * 37 % 100 < 74


@bb.udf
def named(n: int) -> str:
    ASKED.append(str(n))
    return f"number {n}"


@bb.udf
async def even(n: int) -> bool:
    ASKED.append(-n)
    return n % 2 == 0


@bb.udf(cache=True)
def keep(n: int) -> bool:
    ASKED.append(n)
    return n % 3 == 0


@pytest.fixture(autouse=True)
def nothing_asked():
    ASKED.clear()


@pytest.fixture
def numbers(session):
    table = bb.create_table("numbers", {"n": bb.Int, "back": bb.Int})
    table.insert(pa.table({"n": range(ROWS), "back": range(ROWS, 0, -1)}))
    return table


def good(count, rows=range(ROWS)):
    return [n for n in rows if n * 37 % 100 < 74][:count]


def test_a_limit_after_a_filter_stops_when_there_are_enough(numbers):
    result = numbers.filter(qualifies(numbers.n)).limit(5).collect()
    assert result["n"] == good(5)
    assert len(ASKED) == len(set(ASKED)) <= 16


def test_rows_are_taken_in_the_order_that_is_asked_for(numbers):
    result = numbers.filter(qualifies(numbers.n)).order_by("back").limit(5).collect()
    assert result["n"] == good(5, range(ROWS - 1, -1, -1))
    assert len(ASKED) <= 16


def test_an_offset_counts_too(numbers):
    result = numbers.filter(qualifies(numbers.n)).limit(3, offset=4).collect()
    assert result["n"] == good(7)[4:]
    assert len(ASKED) <= 20


def test_columns_above_are_computed_for_what_is_left(numbers):
    query = numbers.filter(qualifies(numbers.n)).limit(5).mutate(name=named(_.n))
    assert query.collect()["name"] == [f"number {n}" for n in good(5)]
    assert sum(isinstance(argument, str) for argument in ASKED) == 5


def test_a_column_that_is_filtered_by_counts_as_a_filter(numbers):
    query = numbers.mutate(yes=qualifies(numbers.n)).filter(_.yes).select("n", "yes").limit(5)
    assert query.collect()["n"] == good(5)
    assert len(ASKED) <= 16


def test_filters_by_several_calls_go_on_together(numbers):
    query = numbers.filter(even(numbers.n), qualifies(numbers.n)).limit(5)
    assert query.collect()["n"] == [n for n in range(ROWS) if n % 2 == 0 and n * 37 % 100 < 74][:5]
    assert len(ASKED) <= 50


def test_a_later_call_is_made_for_what_an_earlier_one_keeps(numbers):
    rows = numbers.filter(numbers.n < 10)
    result = rows.filter(keep(rows.n), even(rows.n)).collect()  # the one that costs comes last
    assert result["n"] == [0, 6]
    assert sorted(ASKED) == sorted([*(-n for n in range(10)), *range(0, 10, 2)])


def test_too_few_that_qualify_ask_about_every_row_once(numbers):
    result = numbers.filter(qualifies(numbers.n) & (numbers.n > 1990)).limit(50).collect()
    assert result["n"] == good(50, range(1991, ROWS))
    assert sorted(ASKED) == list(range(1991, ROWS))


def test_none_that_qualify(numbers):
    assert numbers.filter(qualifies(numbers.n - numbers.n + 2)).limit(5).collect() == []
    assert len(ASKED) == ROWS
    empty = numbers.filter(numbers.n < 0)
    assert empty.filter(qualifies(empty.n)).limit(5).collect() == []
    assert empty.filter(qualifies(empty.n)).limit(5).to_pyarrow().column_names == ["n", "back"]


def test_a_limit_of_nothing_asks_nothing(numbers):
    assert numbers.filter(qualifies(numbers.n)).limit(0).collect() == []
    assert len(ASKED) == 0


def test_rows_that_are_read_elsewhere_too_are_all_computed(numbers):
    passed = numbers.filter(qualifies(numbers.n)).select("n")
    both = passed.limit(2).union(passed.filter(_.n > 1990).select("n"))
    assert sorted(both.collect()["n"]) == [*good(2), *good(99, range(1991, ROWS))]


def test_aggregates_below_a_limit_see_all_rows(numbers):
    grouped = numbers.filter(qualifies(numbers.n)).group_by(k=_.n % 3).agg(n=_.count())
    assert sum(grouped.limit(3).collect()["n"]) == len(good(ROWS))


def test_the_row_of_an_error_is_that_of_the_table(numbers):
    @bb.udf
    def picky(n: int) -> bool:
        if n == 30:
            raise ValueError("not this one")
        return False

    with pytest.raises(bb.BarbuleError, match=r"row 30: \S+picky failed"):
        numbers.filter(picky(numbers.n)).limit(3).collect()


def test_one_call_in_two_clauses_runs_once_a_row(numbers):
    rows = numbers.filter(numbers.n < 10)
    result = rows.filter(named(rows.n) != "number 3").select(name=named(rows.n)).collect()
    assert len(result) == 9
    assert sorted(ASKED) == sorted(map(str, range(10)))


def test_one_call_in_a_filter_a_sort_and_the_columns_runs_once_a_row(numbers):
    rows = numbers.filter(numbers.n < 10)
    query = rows.filter(named(rows.n).length() == 8).order_by(named(rows.n).upper())
    result = query.mutate(name=named(query.n)).collect()
    assert result["name"] == [f"number {n}" for n in range(10)]
    assert result[0].keys() == {"n", "back", "name"}
    assert len(ASKED) == 10


def test_explain_says_that_answers_decide(numbers):
    plan_text = str(numbers.filter(qualifies(numbers.n)).limit(5).explain())
    assert "at most 2,000 calls" in plan_text
    assert "until 5 rows qualify" in plan_text
    assert ASKED == []
