"""Functions that are called directly with each row give the results of the general way."""

from __future__ import annotations

import functools

import pytest

import barbule as bb
from barbule.errors import FunctionError
from barbule.executor.calls.runners import threaded
from barbule.fast_paths import plain_mode


@pytest.fixture
def numbers(session):
    return session.create_table("numbers", [{"n": n, "m": n * 10} for n in range(600)])


@pytest.fixture
def direct_parts(monkeypatch):
    """The numbers of rows of the parts whose rows are called directly."""
    parts = []
    direct = threaded.direct_results

    def counted(function, rows, *arguments):
        parts.append(len(rows))
        return direct(function, rows, *arguments)

    monkeypatch.setattr(threaded, "direct_results", counted)
    return parts


def values(numbers, call):
    return numbers.order_by("n").select(value=call).collect()["value"]


def test_rows_are_called_by_position(numbers, direct_parts):
    @bb.udf
    def mixed(n: int, factor: int = 2, m: int = 0) -> int:
        return n * factor - m

    for call in (mixed(numbers.n), mixed(numbers.n, 3), mixed(numbers.n, 3, numbers.m)):
        direct = values(numbers, call)
        with plain_mode():
            assert values(numbers, call) == direct
    assert sum(direct_parts) == 3 * 600
    assert values(numbers, mixed(numbers.n, 3, numbers.m))[:3] == [0, -7, -14]


def test_defaults_between_arguments_are_passed(numbers, direct_parts):
    @bb.udf
    def mixed(n: int, factor: int = 2, m: int = 0) -> int:
        return n * factor + m

    call = mixed(numbers.n, m=numbers.m)
    assert values(numbers, call)[:3] == [0, 12, 24]
    assert direct_parts
    with plain_mode():
        assert values(numbers, call)[:3] == [0, 12, 24]


def test_keywords_and_wrappers_keep_their_names(numbers, direct_parts):
    @bb.udf
    def only_keyword(*, n: int) -> int:
        return n + 1

    def logged(function):
        @functools.wraps(function)
        def run(**kwargs):
            return function(**kwargs)

        return run

    @bb.udf
    @logged
    def wrapped(n: int) -> int:
        return n + 2

    assert values(numbers, only_keyword(n=numbers.n))[:2] == [1, 2]
    assert values(numbers, wrapped(numbers.n))[:2] == [2, 3]
    assert direct_parts == []


def test_failed_rows_leave_their_cells_empty_and_are_called_once(numbers, direct_parts):
    called = []

    @bb.udf(on_error="null")
    def picky(n: int) -> int:
        called.append(n)
        if n % 200 == 7:
            raise ValueError("seven")
        return n

    numbers.add_computed_column(p=picky(numbers.n))
    assert sorted(called) == list(range(600))
    assert sum(direct_parts) == 600
    failed = numbers.errors().order_by("row").collect()
    assert numbers.filter(numbers.p.isnull()).order_by("n").collect()["n"] == [7, 207, 407]
    assert failed["message"] == ["seven"] * 3
    assert numbers.filter(numbers.n == 206).collect()["p"] == [206]
    assert numbers.filter(numbers.n == 599).collect()["p"] == [599]


def test_error_names_its_row_and_value(numbers, direct_parts):
    @bb.udf
    def picky(n: int) -> int:
        if n == 300:
            raise ValueError("three hundred")
        return n

    with pytest.raises(FunctionError, match="three hundred") as failed:
        numbers.add_computed_column(p=picky(numbers.n))
    assert (failed.value.row, failed.value.value) == (300, 300)
    assert direct_parts


def test_function_that_raises_stop_iteration_fails_for_its_row(numbers, direct_parts):
    @bb.udf(on_error="null")
    def first_item(n: int) -> int:
        return next(iter([] if n == 5 else [n]))

    numbers.add_computed_column(f=first_item(numbers.n))
    assert numbers.filter(numbers.f.isnull()).collect()["n"] == [5]
    assert numbers.errors().collect()["type"] == ["StopIteration"]
    assert sum(direct_parts) == 600


def test_retries_count_the_first_attempt(numbers, direct_parts):
    attempts = {}

    @bb.udf(retries=2, version="1")
    def flaky(n: int) -> int:
        attempts[n] = attempts.get(n, 0) + 1
        if n == 3 and attempts[n] < 3:
            raise OSError("try again")
        return n

    assert values(numbers, flaky(numbers.n))[3] == 3
    assert attempts[3] == 3
    assert direct_parts


def test_missing_values_are_not_passed(session, direct_parts):
    table = session.create_table("t", [{"n": 1}, {"n": None}, {"n": 3}])

    @bb.udf
    def inc(n: int) -> int:
        return n + 1

    assert table.order_by("n").select(v=inc(table.n)).collect()["v"] == [2, 4, None]
    assert direct_parts == [2]
