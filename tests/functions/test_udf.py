"""User-defined functions: arguments, results and rejected definitions."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import threading
from typing import TypedDict

import numpy as np
import pydantic
import pytest

import barbule as bb
from barbule.errors import (
    DataError,
    ExpressionError,
    FunctionError,
    MediaError,
    SchemaError,
)
from patience import PATIENCE

WORDS = ["a", "bb", "ccc", "dddd", "eeeee"]


@dataclasses.dataclass
class Point:
    x: float
    label: str


class Person(pydantic.BaseModel):
    name: str
    tags: list[str]


class Span(TypedDict):
    start: int
    end: int


@pytest.fixture
def words(session):
    table = bb.create_table("words", {"w": bb.String, "n": bb.Int})
    table.insert([{"w": word, "n": len(word)} for word in WORDS])
    return table


def results(table, value):
    return table.order_by("n").select(x=value).collect()["x"]


def test_udf_with_plain_values_calls_the_function():
    @bb.udf
    def twice(text: str, times: int = 2) -> str:
        """Say it again."""
        return text * times

    assert twice("a") == "aa"
    assert twice("a", times=3) == "aaa"
    assert twice.__doc__ == "Say it again."


def test_using_fixes_arguments(words):
    @bb.udf
    def join(text: str, end: str, sep: str = "-") -> str:
        return f"{text}{sep}{end}"

    fixed = join.using(end="z")
    assert fixed("a") == "a-z"
    assert fixed("a", sep="+") == "a+z"
    assert results(words.limit(1), fixed(words.w)) == ["a-z"]
    assert results(words.limit(1), fixed.using(sep="/")(words.w)) == ["a/z"]
    with pytest.raises(ExpressionError, match=r"join has no parameter 'nope'. It takes text, end"):
        join.using(nope=1)


def test_wrong_arguments_error_shows_the_signature(words):
    @bb.udf
    def one(text: str) -> str:
        return text

    with pytest.raises(ExpressionError, match=r"one\(text: .*str.*\).*: too many positional"):
        one(words.w, words.n)


def test_variadic_and_positional_only_parameters(words):
    @bb.udf
    def spread(first: str, /, *rest, sep: str = "", **named: int) -> str:
        return sep.join([first, *map(str, rest), *map(str, named.values())])

    found = results(words.limit(1), spread(words.w, "x", words.n, sep="-", last=words.n))
    assert found == ["a-x-1-1"]


def test_coroutines_run_concurrently(words):
    most = running = 0

    @bb.udf
    async def slow(text: str) -> str:
        nonlocal most, running
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.05)
        running -= 1
        return text.upper()

    assert results(words, slow(words.w)) == [word.upper() for word in WORDS]
    assert most == len(WORDS)


def test_batch_function_gets_lists_and_constants(words):
    batches = []

    @bb.udf(batch_size=2)
    def tagged(texts: list[str], sizes: list[int], tag: str) -> list[str]:
        batches.append((len(texts), tag))
        return [f"{tag}{text}{size}" for text, size in zip(texts, sizes, strict=True)]

    found = results(words, tagged(words.w, words.n, "#"))
    assert found == [f"#{word}{len(word)}" for word in WORDS]
    assert batches == [(2, "#"), (2, "#"), (1, "#")]


def test_batch_function_skips_null_rows(session):
    sizes = []

    @bb.udf(batch_size=8)
    def upper(texts: list[str]) -> list[str]:
        sizes.append(len(texts))
        return [text.upper() for text in texts]

    table = bb.create_table("holes", {"n": bb.Int, "w": bb.String})
    table.insert([{"n": n, "w": w} for n, w in enumerate(["a", None, "b"])])
    assert results(table, upper(table.w)) == ["A", None, "B"]
    assert sizes == [2]


def test_batch_function_must_return_one_result_per_row(words):
    @bb.udf(batch_size=8)
    def short(texts: list[str]) -> list[str]:
        return texts[1:]

    with pytest.raises(FunctionError, match=r"short returned 4 results for 5 rows"):
        results(words, short(words.w))


def test_batch_function_return_type_is_the_item_type(words):
    @bb.udf(batch_size=4, return_type=bb.ArrayType(dtype=bb.String))
    def caption(texts: list) -> list:
        return [text.upper() for text in texts]

    assert caption(words.w).type().is_string()
    assert results(words, caption(words.w)) == [word.upper() for word in WORDS]


def test_error_names_function_and_row(words):
    @bb.udf
    def picky(text: str) -> str:
        if text == "ccc":
            raise KeyError("no ccc")
        return text

    message = r"row 2: \S*picky failed: KeyError: 'no ccc'\. \(value: 'ccc'\) Fix the function"
    with pytest.raises(FunctionError, match=message) as info:
        words.select(x=picky(words.w)).collect()
    assert isinstance(info.value.__cause__, KeyError)
    with pytest.raises(FunctionError, match=r"table 'words', column 'x', row 2"):
        words.add_computed_column(x=picky(words.w))
    assert words.columns == ("w", "n")


@pytest.mark.parametrize("argument", ["on_error", "error_handling"])
def test_on_error_null_leaves_the_cell_null(words, argument):
    @bb.udf(**{argument: "null"})
    def picky(n: int) -> int:
        return 10 // (n - 3)

    assert words.add_computed_column(x=picky(words.n)).errors == 1
    assert words.order_by("n").collect()["x"] == [-5, -10, None, 10, 5]


def test_failing_row_of_a_batch_is_null_under_on_error_null(words):
    @bb.udf(batch_size=2, on_error="null")
    def picky(numbers: list[int]) -> list[int]:
        if 3 in numbers:
            raise ValueError("no 3")
        return numbers

    assert results(words, picky(words.n)) == [1, 2, None, 4, 5]


def test_retries_repeat_a_failed_call(words):
    tries: dict[str, int] = {}

    @bb.udf(retries=2)
    def flaky(text: str) -> str:
        tries[text] = tries.get(text, 0) + 1
        if tries[text] < 3:
            raise ConnectionError("again")
        return text

    @bb.udf(retries=2)
    async def flaky_async(text: str) -> str:
        return flaky.body(text)

    assert results(words, flaky(words.w)) == WORDS
    assert set(tries.values()) == {3}
    tries.clear()
    assert results(words, flaky_async(words.w)) == WORDS


def test_retries_are_limited(words):
    tries = []

    @bb.udf(retries=1)
    def broken(text: str) -> str:
        tries.append(text)
        raise ConnectionError("never")

    with pytest.raises(FunctionError, match="ConnectionError: never"):
        words.limit(1).select(x=broken(words.w)).collect()
    assert len(tries) == 2


def test_timed_out_call_fails(words):
    done = threading.Event()

    @bb.udf(timeout=0.05, version="1")
    def slow(text: str) -> str:
        done.wait(PATIENCE)
        return text

    @bb.udf(timeout=0.05)
    async def slow_async(text: str) -> str:
        await asyncio.sleep(60)
        return text

    try:
        for function in (slow, slow_async):
            with pytest.raises(FunctionError, match=r"TimeoutError: it took longer than 0\.05 s"):
                words.limit(1).select(x=function(words.w)).collect()
    finally:
        done.set()


def test_version_is_a_digest_of_the_source_by_default():
    def define(shift, version=None):
        source = f"def moved(n: int) -> int:\n    return n + {shift}\n"
        scope: dict = {}
        exec(source, scope)
        return bb.udf(scope["moved"], version=version, name="tests.moved")

    assert define(1).version == define(1).version != define(2).version
    assert define(1, "7").version == define(2, "7").version == "7"


@pytest.mark.parametrize(
    ("annotation", "value", "shown"),
    [
        (str, "é", "é"),
        (int, 3, 3),
        (float, 0.5, 0.5),
        (bool, True, True),
        (bytes, b"\x00\xff", b"\x00\xff"),
        (datetime.date, datetime.date(2026, 1, 2), datetime.date(2026, 1, 2)),
        (dict, {"a": [1, None, {"b": "c"}]}, {"a": [1, None, {"b": "c"}]}),
        (list, [1, "a"], [1, "a"]),
        (list[str], ["a", "b"], ["a", "b"]),
        (list[list[int]], [[1], []], [[1], []]),
        (Point, Point(1.5, "p"), {"x": 1.5, "label": "p"}),
        (Person, Person(name="A", tags=["x"]), {"name": "A", "tags": ["x"]}),
        (Span, {"start": 1, "end": 2}, {"start": 1, "end": 2}),
        (list[Point], [Point(1.5, "p")], [{"x": 1.5, "label": "p"}]),
        (bb.Vector(3), np.array([0.5, 1, 2], "float32"), [0.5, 1.0, 2.0]),
        (int | None, None, None),
        (int, np.int64(7), 7),
        (float, np.float32(0.5), 0.5),
    ],
    ids=str,
)
@pytest.mark.parametrize("cache", [False, True], ids=["fresh", "cached"])
def test_result_has_the_annotated_type(words, annotation, value, shown, cache):
    asked = []

    def give(text):
        asked.append(text)
        return value

    give.__annotations__ = {"text": str, "return": annotation}
    function = bb.udf(give, cache=cache, version=str((annotation, cache)))
    for _ in range(2):
        assert results(words.limit(1), function(words.w)) == [shown]
    assert len(asked) == (1 if cache else 2)


def test_missing_annotation_means_json(words):
    @bb.udf
    def anything(text):
        return {"text": [text]}

    assert anything(words.w).type().is_json()
    assert results(words.limit(1), anything(words.w)) == [{"text": ["a"]}]


@pytest.mark.parametrize("cache", [False, True], ids=["fresh", "cached"])
def test_images_are_passed_and_returned_as_pil_images(session, cache):
    from PIL import Image

    @bb.udf(cache=cache)
    def half(image: bb.Image) -> bb.Image:
        return image.resize((image.width // 2, image.height // 2))

    table = bb.create_table("images", {"img": bb.Image})
    table.insert(img=Image.new("RGB", (8, 4), "red"))
    for _ in range(2):
        (found,) = table.select(x=half(table.img)).collect()["x"]
        assert found.size == (4, 2)
        assert found.getpixel((0, 0)) == (255, 0, 0)
    assert table.select(x=half(half(table.img)).width()).collect() == [{"x": 2}]


@pytest.mark.parametrize(
    ("annotation", "value"),
    [(int, "x"), (str, 5), (bb.Vector(2), [1.0, 2.0, 3.0]), (Span, {"from": 1}), (bool, "yes")],
    ids=str,
)
def test_result_of_another_type_names_row_and_value(words, annotation, value):
    def give(text, n):
        return value if n == 2 else None

    give.__annotations__ = {"text": str, "n": int, "return": annotation}
    function = bb.udf(give)
    with pytest.raises(
        DataError,
        match=r"row 1: \S+give returned an invalid value: this is not a valid .*\(value: ",
    ) as info:
        words.select(x=function(words.w, words.n)).collect()
    assert info.value.value == value


def test_result_of_another_type_is_null_under_on_error_null(words):
    @bb.udf(on_error="null")
    def mixed(n: int) -> int:
        return "three" if n == 3 else n

    assert words.add_computed_column(x=mixed(words.n)).errors == 1
    assert words.order_by("n").collect()["x"] == [1, 2, None, 4, 5]
    why = words.errors().collect()
    assert why["message"][0].startswith(
        f"{mixed.name} returned an invalid value: this is not a valid int64"
    )
    assert results(words, mixed(words.n)) == [1, 2, None, 4, 5]


@pytest.mark.parametrize("batch_size", [None, 2])
def test_invalid_image_result_names_the_function(words, batch_size):
    def paint(texts):
        return [5] * len(texts) if batch_size else 5

    returned = list[bb.Image] if batch_size else bb.Image
    paint.__annotations__ = {"texts": list[str] if batch_size else str, "return": returned}
    message = (
        r"table 'words', column 'x', row 0: \S+paint returned an invalid value: .*\(value: 5\)"
    )
    with pytest.raises(MediaError, match=message):
        words.add_computed_column(x=bb.udf(paint, batch_size=batch_size)(words.w))


def test_error_names_several_arguments(words):
    @bb.udf
    async def divide(n: int, by: int = 1, text: str = "") -> float:
        return n / (by - 1)

    message = r"row 0: \S+divide failed: ZeroDivisionError.*value: \{'n': 1, 'text': 'a'\}\)"
    with pytest.raises(FunctionError, match=message):
        words.limit(1).select(x=divide(words.n, text=words.w)).collect()


def test_cancellation_within_a_function_is_a_cell_error(words):
    @bb.udf(on_error="null")
    async def wait(n: int) -> int:
        if n == 2:
            task = asyncio.create_task(asyncio.sleep(60))
            task.cancel()
            await task
        return n

    words.add_computed_column(x=wait(words.n))
    assert words.order_by("n").collect()["x"] == [1, None, 3, 4, 5]
    assert words.errors().collect()["message"] == ["a task that it awaited was cancelled"]


def test_invalid_result_is_not_cached(words):
    answers = [5, "five"]

    @bb.udf(cache=True)
    def wrong_first(text: str) -> str:
        return answers.pop(0)

    query = words.limit(1).select(x=wrong_first(words.w))
    with pytest.raises(DataError, match="this is not a valid string"):
        query.collect()
    assert query.collect() == [{"x": "five"}]


def test_invalid_udf_definitions_are_rejected():
    with pytest.raises(ExpressionError, match=r"batch_size must be an integer of 1 or more\."):
        bb.udf(lambda texts: texts, batch_size=0)
    with pytest.raises(ExpressionError, match="on_error must be 'abort' or 'null'"):
        bb.udf(lambda text: text, on_error="ignore")
    with pytest.raises(ExpressionError, match="a udf must be a function"):
        bb.udf(3)
    with pytest.raises(SchemaError, match="a batch function must return a list"):

        @bb.udf(batch_size=2)
        def one(texts: list[str]) -> str: ...

    with pytest.raises(SchemaError, match="cannot be resolved: name 'Nothing'"):

        @bb.udf
        def unknown(text: Nothing) -> str: ...  # noqa: F821

    with pytest.raises(SchemaError, match=r"column 'text': .*several"):

        @bb.udf
        def several(text: str | int) -> str: ...


def test_unstorable_argument_is_rejected(words):
    @bb.udf
    def with_lock(text: str, lock=None) -> str:
        return text

    with pytest.raises(ExpressionError, match="cannot be an argument of a stored call"):
        with_lock(words.w, threading.Lock())


def test_constants_round_trip(words):
    odd = {
        "$": 0,
        "nested": [{"$bytes": "AA=="}, float("inf")],
        "raw": b"\x00",
        "day": datetime.date(2026, 1, 2),
    }
    seen = []

    @bb.udf
    def take(text: str, options: dict) -> str:
        seen.append(options)
        return text

    words.limit(1).select(x=take(words.w, odd)).collect()
    words.limit(1).select(x=take(words.w, {"$": 0})).collect()
    assert seen == [odd, {"$": 0}]
