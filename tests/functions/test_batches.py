"""Batch functions: results, arguments, other callables, and rows in errors."""

from __future__ import annotations

import asyncio
import functools
import operator
import time

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import barbule as bb
from barbule.errors import ExpressionError, FunctionError
from patience import PATIENCE


@pytest.fixture
def numbers(session):
    return bb.create_table("numbers", [{"n": n, "s": f"t{n}"} for n in (5, 3, 9, 1)])


def column(table, call):
    return table.order_by("n").select(x=call).collect()["x"]


# -- Results of batch functions --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda ns: {n + 100: n for n in ns}, "a dict"),
        (lambda ns: {n * 1000 for n in ns}, "a set"),
        (frozenset, "a frozenset"),
        (lambda ns: {n: n for n in ns}.keys(), "a dict_keys"),
        (lambda ns: "abcd"[: len(ns)], "a str"),
        (lambda ns: b"abcd"[: len(ns)], "a bytes"),
        (lambda ns: pd.DataFrame({name: [1] for name in "abcd"[: len(ns)]}), "a DataFrame"),
        (lambda ns: pa.table({name: [1] for name in "abcd"[: len(ns)]}), "a Table"),
        (lambda _ns: None, "a NoneType"),
        (lambda _ns: 3, "an int"),
    ],
)
def test_unordered_or_non_list_batch_result_is_rejected(numbers, make, named):
    @bb.udf(batch_size=4)
    def f(ns: list[int]) -> list[int]:
        return make(ns)

    with pytest.raises(FunctionError, match=f"f returned {named} for a batch of 4 rows"):
        column(numbers, f(numbers.n))


@pytest.mark.parametrize(
    "make",
    [list, tuple, np.array, pd.Series, pa.array, iter, lambda ns: (n for n in ns)],
    ids=["list", "tuple", "array", "series", "arrow", "iterator", "generator"],
)
def test_ordered_batch_result_matches_the_rows(numbers, make):
    @bb.udf(batch_size=3, return_type=bb.Array(bb.Int))
    def f(ns: list[int]):
        return make([n * 10 for n in ns])

    assert [int(x) for x in column(numbers, f(numbers.n))] == [10, 30, 50, 90]


def test_generator_error_is_reported_as_a_function_error(numbers):
    @bb.udf(batch_size=4)
    def f(ns: list[int]) -> list[int]:
        yield from (n + "" for n in ns)

    with pytest.raises(FunctionError, match="f failed: TypeError: unsupported operand"):
        column(numbers, f(numbers.n))


# -- Coroutines ------------------------------------------------------------------------------------


def test_async_batch_function_runs_batches_concurrently(numbers):
    running, most = [0], [0]

    @bb.udf(batch_size=1)
    async def f(ns: list[int], k: int = 2) -> list[int]:
        running[0] += 1
        most[0] = max(most[0], running[0])
        await asyncio.sleep(0.2)
        running[0] -= 1
        return [k * n for n in ns]

    assert column(numbers, f(numbers.n)) == [2, 6, 10, 18]
    assert most[0] > 1
    numbers.add_computed_column(x=f(numbers.n, k=3))
    numbers.insert(n=7, s="t7")
    assert numbers.order_by("n").collect()["x"] == [3, 9, 15, 21, 27]


def test_async_batch_function_can_fail_or_time_out(numbers):
    @bb.udf(batch_size=2, on_error="null")
    async def fails(ns: list[int]) -> list[int]:
        if 9 in ns:
            raise ValueError("nine")
        return ns

    @bb.udf(batch_size=4, timeout=0.05)
    async def late(ns: list[int]) -> list[int]:
        await asyncio.sleep(2 * PATIENCE)
        return ns

    tries = []

    @bb.udf(batch_size=4, retries=1)
    async def second(ns: list[int]) -> list[int]:
        tries.append(1)
        if len(tries) == 1:
            raise ValueError("the first time")
        return ns

    assert column(numbers, fails(numbers.n)).count(None) == 1
    started = time.perf_counter()
    with pytest.raises(FunctionError, match=r"TimeoutError: it took longer than 0\.05 s"):
        column(numbers, late(numbers.n))
    assert time.perf_counter() - started < PATIENCE
    assert column(numbers, second(numbers.n)) == [1, 3, 5, 9]


# -- Arguments of batch functions ------------------------------------------------------------------


def test_unannotated_default_is_passed_as_a_constant(numbers):
    @bb.udf(batch_size=3, return_type=bb.Array(bb.String))
    def marked(texts, mark="?"):
        assert isinstance(texts, list)
        marks = mark if isinstance(mark, list) else [mark] * len(texts)
        assert isinstance(mark, str) or len(mark) == len(texts)
        seen.append(mark)
        return [text + each for text, each in zip(texts, marks, strict=True)]

    seen: list = []
    assert marked(["a", "b"]) == ["a?", "b?"]
    assert column(numbers, marked(numbers.s)) == ["t1?", "t3?", "t5?", "t9?"]
    assert column(numbers, marked(numbers.s, mark="!")) == ["t1!", "t3!", "t5!", "t9!"]
    assert all(isinstance(each, str) for each in seen)
    assert column(numbers, marked(numbers.s, numbers.s))[0] == "t1t1"
    asked = bb.tools(marked)
    said = {"function": {"name": "marked", "arguments": {"texts": "a"}}}
    answers = bb.create_table(
        "answers", [{"said": {"choices": [{"message": {"tool_calls": [said]}}]}}]
    )
    assert answers.select(x=bb.invoke_tools(asked, answers.said)).collect()["x"] == [
        {"marked": ["a?"]}
    ]


# -- Callables -------------------------------------------------------------------------------------


def plus(n: int, m: int) -> int:
    """Add."""
    return n + m


async def plus_later(n: int, m: int) -> int:
    return n + m


@functools.lru_cache
def squared(n: int) -> int:
    return n * n


class Scale:
    """Multiply by three."""

    def __call__(self, n: int) -> int:
        return n * 3

    async def later(self, n: int) -> int:
        return n * 4


class LateScale:
    async def __call__(self, n: int) -> int:
        return n * 5


@pytest.mark.parametrize(
    ("made", "options", "name", "expected"),
    [
        (functools.partial(plus, m=3), {}, "test_batches.plus", [4, 6]),
        (functools.partial(plus, 3), {}, "test_batches.plus", [4, 6]),
        (functools.partial(plus_later, m=3), {}, "test_batches.plus_later", [4, 6]),
        (squared, {}, "test_batches.squared", [1, 9]),
        (Scale(), {}, "test_batches.Scale", [3, 9]),
        (LateScale(), {}, "test_batches.LateScale", [5, 15]),
        (Scale().later, {}, "test_batches.Scale.later", [4, 12]),
        (abs, {"return_type": int}, "builtins.abs", [1, 3]),
        ((10).__add__, {"return_type": int}, "builtins.int.__add__", [11, 13]),
    ],
)
def test_any_callable_can_be_a_function(numbers, made, options, name, expected):
    function = bb.udf(made, **options)
    assert function.name.endswith(name)
    assert column(numbers, function(numbers.n))[:2] == expected
    numbers.add_computed_column(x=function(numbers.n))
    numbers.insert(n=0, s="t0")
    assert numbers.order_by("n").collect()["x"][1:3] == expected
    assert numbers.stale() == []


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (str.upper, "T1"),
        (operator.itemgetter(1), "1"),
        (operator.methodcaller("title"), "T1"),
        ("-".join, "t-1"),
    ],
)
def test_builtin_functions_need_only_a_return_type(numbers, made, expected):
    function = bb.udf(made, return_type=str)
    assert column(numbers, function(numbers.s))[0] == expected
    assert column(numbers, bb.udf(len)(numbers.s))[0] == 2


def test_partial_batch_function_and_partial_query(numbers):
    def scaled(ns: list[int], k: int) -> list[int]:
        return [n * k for n in ns]

    def above(n: int, at_least: int):
        return numbers.where((numbers.n > n) & (numbers.n >= at_least)).count()

    assert column(numbers, bb.udf(functools.partial(scaled, k=2), batch_size=2)(numbers.n))[0] == 2
    query = bb.query(functools.partial(above, at_least=5))
    assert column(numbers, query(numbers.n)) == [2, 2, 1, 0]


def test_docstring_is_taken_from_the_callable():
    assert bb.udf(functools.partial(plus, m=3)).__doc__ == "Add."
    assert bb.udf(Scale()).__doc__ == "Multiply by three."
    assert bb.udf(functools.partial(plus, m=3))(4) == 7


def test_unsupported_callables_are_rejected_with_a_hint():
    with pytest.raises(ExpressionError, match=r"builtins.max are unknown.* lambda value: max"):
        bb.udf(max, return_type=int)
    with pytest.raises(ExpressionError, match="plus cannot be imported by another process"):
        bb.udf(functools.partial(plus, m=3), processes=2)
    with pytest.raises(ExpressionError, match="a udf must be a function"):
        bb.udf(3)


# -- Rows in errors --------------------------------------------------------------------------------


def inverses(size):
    @bb.udf(batch_size=size)
    def inverse(ns: list[float]) -> list[float]:
        return [1 / n for n in ns]

    return inverse


@pytest.mark.parametrize(
    ("size", "rows"),
    [(4, r"rows 0 to 3: \S*inverse failed"), (2, "rows 2 to 3: "), (1, r"row 2: .*value: 0\.0")],
)
def test_batch_error_names_its_rows(session, size, rows):
    table = bb.create_table("t", {"n": bb.Float})
    table.add_computed_column(x=inverses(size)(table.n))
    with pytest.raises(FunctionError, match=f"table 't', column 'x', {rows}"):
        table.insert([{"n": n} for n in (4, 2, 0, 1)])
    none = bb.udf(lambda _ns: [], batch_size=2, return_type=bb.Array(bb.Int))
    table.insert([{"n": n} for n in (4, 2)])
    with pytest.raises(FunctionError, match="returned 0 results for 2 rows") as error:
        table.add_computed_column(y=none(table.n))
    assert (error.value.row, error.value.rows) == (0, 2)


def test_batch_error_rows_include_null_rows(session):
    table = bb.create_table("t", {"n": bb.Float})
    table.add_computed_column(x=inverses(2)(table.n))
    with pytest.raises(FunctionError, match="rows 0 to 3: "):
        table.insert([{"n": n} for n in (4, None, None, 0)])


class Odd(Exception):
    def __str__(self):
        return self.reason


class OddValue:
    def __repr__(self):
        raise Odd


def test_exception_without_a_message_is_a_cell_error(numbers):
    @bb.udf(on_error="null")
    def risky(n: int) -> int:
        if n > 1:
            raise Odd
        return n

    @bb.udf(on_error="null")
    async def risky_later(n: int) -> int:
        return risky.body(n)

    @bb.udf(on_error="null", batch_size=1, retries=1, cache=True)
    def risky_batch(ns: list[int]) -> list[int]:
        return [risky.body(n) for n in ns]

    @bb.udf
    def ends(n: int) -> int:
        return risky.body(n)

    for function in (risky, risky_later, risky_batch):
        assert column(numbers, function(numbers.n)) == [1, None, None, None]
    numbers.add_computed_column(x=risky(numbers.n))
    assert set(numbers.errors().collect()["message"]) == {
        "(its message cannot be shown: AttributeError)"
    }
    with pytest.raises(FunctionError, match=r"ends failed: Odd: \(its message"):
        column(numbers, ends(numbers.n))
    assert "value: <OddValue>" in str(FunctionError("it failed.", value=OddValue()))
