"""`on_error=` of a call and of a computed column: it goes before what the function says."""

from __future__ import annotations

import time

import PIL.Image
import pytest
from ibis import _

import barbule as bb
from barbule.catalog import codec
from barbule.errors import BarbuleError, ExpressionError
from barbule.functions import image

FAILS = "image index out of range"


@pytest.fixture
def table(session):
    table = bb.create_table("pictures", {"n": bb.Int, "img": bb.Image})
    table.insert([{"n": n, "img": PIL.Image.new("L", (8, 8), 7)} for n in (0, 9, 3)])
    return table


@bb.udf
def tenth(n: int) -> float:
    return 10 / n


@bb.udf(on_error="null")
def forgiving(n: int) -> float:
    return 10 / n


@bb.udf(batch_size=2)
def tenths(numbers: list[int]) -> list[float]:
    return [10 / n for n in numbers]


@bb.udf
async def later(n: int) -> float:
    return 10 / n


def cells(table, name="x"):
    return table.order_by("n").select(table[name]).collect()[name]


def test_a_column_of_a_function_of_ours(table):
    done = table.add_computed_column(x=table.img.getpixel((table.n, 0)), on_error="null")
    assert (done.rows, done.errors) == (3, 1)
    assert cells(table) == [7, 7, None]
    reasons = table.where(table.x.isnull()).select(e=table.x.error).collect()["e"]
    assert [each["message"] for each in reasons] == [FAILS]


def test_it_holds_for_what_comes_later(table):
    table.add_computed_column(x=table.img.getpixel((table.n, 0)), on_error="null")
    assert table.insert(n=50, img=PIL.Image.new("L", (8, 8))).errors == 1
    table.update({"n": 60}, where=table.n == 3)
    assert cells(table) == [7, None, None, None]
    again = bb.get_table("pictures")
    assert again.insert(n=70, img=PIL.Image.new("L", (8, 8))).errors == 1


@pytest.mark.parametrize("function", [tenth, forgiving, tenths, later])
def test_functions_of_users(table, function):
    table.add_computed_column(x=function(table.n), on_error="null")
    assert cells(table)[0] is None
    if function is not tenths:  # a batch fails as a whole
        assert cells(table)[1:] == pytest.approx([10 / 3, 10 / 9])
    with pytest.raises(BarbuleError, match="ZeroDivisionError"):
        table.add_computed_column(y=function(table.n), on_error="abort")
    assert "y" not in table.columns


def test_a_call_inside_of_another(table):
    corner = table.img.crop((0, 0, 4, 4)).getpixel((table.n, 0))
    with pytest.raises(BarbuleError, match=FAILS):
        table.add_computed_column(x=corner)
    table.add_computed_column(x=corner, on_error="null")
    assert cells(table) == [7, 7, None]
    # Crops of a negative size fail, inside of what takes them.
    inner = table.img.crop((table.n, 0, 4, 4)).resize((2, 2))
    table.add_computed_column(small=inner, on_error="null")
    assert [cell is None for cell in cells(table, "small")] == [False, False, True]


def test_a_call_says_it_itself(table):
    where = (table.n, 0)
    for call in (
        table.img.getpixel(where, on_error="null"),
        image.getpixel(table.img, where, on_error="null"),
        image.getpixel.using(on_error="null")(table.img, where),
        image.getpixel.using(xy=where, on_error="null")(table.img),
    ):
        rows = table.order_by("n").select(x=call).collect()
        assert rows["x"] == [7, 7, None]
    rows = table.order_by("n").select(x=image.getpixel(_.img, (_.n, 0), on_error="null")).collect()
    assert rows["x"] == [7, 7, None]
    with pytest.raises(BarbuleError, match=FAILS):
        table.select(x=table.img.getpixel(where)).collect()
    with pytest.raises(BarbuleError, match="ZeroDivisionError"):
        table.select(x=forgiving(table.n, on_error="abort")).collect()


def test_what_a_call_says_goes_before_what_its_column_says(table):
    stern = table.img.getpixel((table.n, 0), on_error="abort")
    with pytest.raises(BarbuleError, match=FAILS):
        table.add_computed_column(x=stern, on_error="null")


def test_one_call_both_ways_in_a_query(table):
    query = table.select(x=forgiving(table.n), y=forgiving(table.n, on_error="null"))
    assert query.collect()["x"] == query.collect()["y"]


def test_plain_values():
    picture = PIL.Image.new("L", (2, 2))
    assert image.getpixel(picture, (5, 5), on_error="null") is None
    assert image.getpixel(picture, (1, 1), on_error="null") == 0
    with pytest.raises(IndexError, match=FAILS):
        image.getpixel(picture, (5, 5))
    with pytest.raises(IndexError, match=FAILS):
        image.getpixel(picture, (5, 5), on_error="abort")


def test_a_parameter_of_that_name_is_the_functions_own(table):
    @bb.udf
    def handled(n: int, on_error: str) -> str:
        return f"{n} {on_error}"

    rows = table.order_by("n").select(x=handled(table.n, on_error="shrug")).collect()
    assert rows["x"][0] == "0 shrug"
    assert handled.using(on_error="wince")(3) == "3 wince"


def test_a_column_may_be_called_so(table):
    table.add_computed_column(on_error=table.n + 1)
    assert cells(table, "on_error") == [1, 4, 10]


def test_what_there_is_not_is_refused(table):
    for refused in (
        lambda: table.img.getpixel((0, 0), on_error="shrug"),
        lambda: image.getpixel.using(on_error="shrug"),
        lambda: table.add_computed_column(x=tenth(table.n), on_error="shrug"),
    ):
        with pytest.raises(BarbuleError, match="on_error is one of"):
            refused()


def test_stored_expressions_that_say_nothing_are_written_as_before(table):
    plain, stern = tenth(table.n).op(), tenth(table.n, on_error="abort").op()
    assert '"on_error"' not in codec.dump(plain)
    assert '"on_error":"abort"' in codec.dump(stern)


def test_an_overload_and_a_column(table):
    @bb.udf
    def size(text: str) -> int:
        return len(text)

    @size.overload
    def size_of_number(n: int) -> int:
        return 10 // n

    rows = table.order_by("n").select(x=size(table.n, on_error="null")).collect()
    assert rows["x"] == [None, 3, 1]


def test_an_iterator_of_a_view(table):
    tiles = table.img.tile_iterator((table.n, 4), on_error="null")
    view = bb.create_view("tiles", table, iterator=tiles)
    assert view.where(view.tile.isnull()).count().execute() == 1
    with pytest.raises(ExpressionError, match="leaves its errors"):
        bb.create_view("stern", table, iterator=tiles, on_error="abort")


# -- Batches: the rows at fault are found ----------------------------------------------------------


@pytest.fixture
def twenty(session):
    return bb.create_table("twenty", [{"n": n} for n in range(20)])


def called_with(wrong, log, **options):
    @bb.udf(on_error="null", **options)
    def check(numbers: list[int]) -> list[int]:
        log.append(len(numbers))
        if set(numbers) & wrong:
            raise ValueError(f"of {len(numbers)}")
        return [number + 1 for number in numbers]

    return check


@pytest.mark.parametrize("wrong", [set(), {0}, {19}, {4, 5, 13}, set(range(20))])
@pytest.mark.parametrize("size", [1, 7, 8, 64])
def test_only_the_rows_at_fault_of_a_batch_are_empty(twenty, wrong, size):
    log: list[int] = []
    done = twenty.add_computed_column(x=called_with(wrong, log, batch_size=size)(twenty.n))
    assert done.errors == len(wrong)
    assert cells(twenty) == [None if n in wrong else n + 1 for n in range(20)]
    assert set(twenty.errors().collect()["message"]) <= {"of 1"}
    assert len(log) <= -(-20 // size) * (1 if not wrong else 2) + 2 * len(wrong) * size.bit_length()


def test_a_batch_is_tried_again_before_it_is_tried_apart(twenty):
    log: list[int] = []
    twenty.add_computed_column(x=called_with({3}, log, batch_size=20, retries=2)(twenty.n))
    assert log == [20, 20, 20, 10, 5, 2, 3, 1, 2, 1, 1, 5, 10]


def test_wrong_results_of_a_batch_are_told_apart(twenty):
    @bb.udf(on_error="null", batch_size=20, return_type=bb.Array(bb.Image))
    def paint(numbers: list[int]):
        return [PIL.Image.new("L", (2, 2)) if number else 5 for number in numbers]

    assert twenty.add_computed_column(x=paint(twenty.n)).errors == 1
    assert [each is None for each in cells(twenty)] == [True] + [False] * 19


def test_calls_that_may_cost_something_are_not_made_again(twenty):
    log: list[int] = []
    check = called_with({3}, log, batch_size=10, cache=True)
    assert twenty.add_computed_column(x=check(twenty.n)).errors == 10
    assert log == [10, 10]
    messages = set(twenty.errors().collect()["message"])
    assert messages == {"of 10 (one call for 10 rows failed)"}


def test_a_batch_that_took_too_long_is_not_tried_apart(twenty):
    log: list[int] = []

    @bb.udf(on_error="null", batch_size=20, timeout=0.05)
    def late(numbers: list[int]) -> list[int]:
        log.append(len(numbers))
        time.sleep(0.5)
        return numbers

    assert twenty.add_computed_column(x=late(twenty.n)).errors == 20
    assert log == [20]


def test_coroutines_of_batches_are_tried_apart_too(twenty):
    @bb.udf(on_error="null", batch_size=20)
    async def ninths(numbers: list[int]) -> list[float]:
        return [9 / number for number in numbers]

    assert twenty.add_computed_column(x=ninths(twenty.n)).errors == 1
    assert cells(twenty)[:3] == [None, 9.0, 4.5]


def test_without_a_policy_a_batch_ends_the_operation_at_once(twenty):
    log: list[int] = []
    stern = called_with({3}, log, batch_size=10)(twenty.n, on_error="abort")
    with pytest.raises(BarbuleError, match=r"rows 0 to 9|rows 0-9|row 0"):
        twenty.add_computed_column(x=stern)
    assert log[0] == 10
    assert 1 not in log
