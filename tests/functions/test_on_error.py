"""`on_error=` of a call or computed column overrides that of the function."""

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


def test_column_policy_applies_to_builtin_functions(table):
    done = table.add_computed_column(x=table.img.getpixel((table.n, 0)), on_error="null")
    assert (done.rows, done.errors) == (3, 1)
    assert cells(table) == [7, 7, None]
    reasons = table.where(table.x.isnull()).select(e=table.x.error).collect()["e"]
    assert [each["message"] for each in reasons] == [FAILS]


def test_column_policy_applies_to_later_rows(table):
    table.add_computed_column(x=table.img.getpixel((table.n, 0)), on_error="null")
    assert table.insert(n=50, img=PIL.Image.new("L", (8, 8))).errors == 1
    table.update({"n": 60}, where=table.n == 3)
    assert cells(table) == [7, None, None, None]
    again = bb.get_table("pictures")
    assert again.insert(n=70, img=PIL.Image.new("L", (8, 8))).errors == 1


@pytest.mark.parametrize("function", [tenth, forgiving, tenths, later])
def test_column_policy_applies_to_user_functions(table, function):
    table.add_computed_column(x=function(table.n), on_error="null")
    assert cells(table)[0] is None
    if function is not tenths:  # the whole batch fails
        assert cells(table)[1:] == pytest.approx([10 / 3, 10 / 9])
    with pytest.raises(BarbuleError, match="ZeroDivisionError"):
        table.add_computed_column(y=function(table.n), on_error="abort")
    assert "y" not in table.columns


def test_column_policy_applies_to_nested_calls(table):
    corner = table.img.crop((0, 0, 4, 4)).getpixel((table.n, 0))
    with pytest.raises(BarbuleError, match=FAILS):
        table.add_computed_column(x=corner)
    table.add_computed_column(x=corner, on_error="null")
    assert cells(table) == [7, 7, None]
    # Crops of a negative size fail within the outer call.
    inner = table.img.crop((table.n, 0, 4, 4)).resize((2, 2))
    table.add_computed_column(small=inner, on_error="null")
    assert [cell is None for cell in cells(table, "small")] == [False, False, True]


def test_call_policy_applies_to_the_call(table):
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


def test_call_policy_overrides_the_column_policy(table):
    stern = table.img.getpixel((table.n, 0), on_error="abort")
    with pytest.raises(BarbuleError, match=FAILS):
        table.add_computed_column(x=stern, on_error="null")


def test_two_policies_of_one_call_in_a_query(table):
    query = table.select(x=forgiving(table.n), y=forgiving(table.n, on_error="null"))
    assert query.collect()["x"] == query.collect()["y"]


def test_call_policy_applies_to_plain_values():
    picture = PIL.Image.new("L", (2, 2))
    assert image.getpixel(picture, (5, 5), on_error="null") is None
    assert image.getpixel(picture, (1, 1), on_error="null") == 0
    with pytest.raises(IndexError, match=FAILS):
        image.getpixel(picture, (5, 5))
    with pytest.raises(IndexError, match=FAILS):
        image.getpixel(picture, (5, 5), on_error="abort")


def test_user_parameter_named_on_error_is_passed_through(table):
    @bb.udf
    def handled(n: int, on_error: str) -> str:
        return f"{n} {on_error}"

    rows = table.order_by("n").select(x=handled(table.n, on_error="shrug")).collect()
    assert rows["x"][0] == "0 shrug"
    assert handled.using(on_error="wince")(3) == "3 wince"


def test_column_can_be_named_on_error(table):
    table.add_computed_column(on_error=table.n + 1)
    assert cells(table, "on_error") == [1, 4, 10]


def test_unknown_policy_is_rejected(table):
    for refused in (
        lambda: table.img.getpixel((0, 0), on_error="shrug"),
        lambda: image.getpixel.using(on_error="shrug"),
        lambda: table.add_computed_column(x=tenth(table.n), on_error="shrug"),
    ):
        with pytest.raises(BarbuleError, match="on_error must be"):
            refused()


def test_default_policy_is_not_stored(table):
    plain, stern = tenth(table.n).op(), tenth(table.n, on_error="abort").op()
    assert '"on_error"' not in codec.dump(plain)
    assert '"on_error":"abort"' in codec.dump(stern)


def test_call_policy_applies_to_overloads(table):
    @bb.udf
    def size(text: str) -> int:
        return len(text)

    @size.overload
    def size_of_number(n: int) -> int:
        return 10 // n

    rows = table.order_by("n").select(x=size(table.n, on_error="null")).collect()
    assert rows["x"] == [None, 3, 1]


def test_call_policy_applies_to_iterators(table):
    tiles = table.img.tile_iterator((table.n, 4), on_error="null")
    view = bb.create_view("tiles", table, iterator=tiles)
    assert view.where(view.tile.isnull()).count().execute() == 1
    with pytest.raises(ExpressionError, match="is declared with"):
        bb.create_view("stern", table, iterator=tiles, on_error="abort")


# -- Batches: failing rows are isolated ------------------------------------------------------------


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
def test_failed_batch_leaves_only_failing_rows_null(twenty, wrong, size):
    log: list[int] = []
    done = twenty.add_computed_column(x=called_with(wrong, log, batch_size=size)(twenty.n))
    assert done.errors == len(wrong)
    assert cells(twenty) == [None if n in wrong else n + 1 for n in range(20)]
    assert set(twenty.errors().collect()["message"]) <= {"of 1"}
    assert len(log) <= -(-20 // size) * (1 if not wrong else 2) + 2 * len(wrong) * size.bit_length()


def test_batch_is_retried_before_it_is_split(twenty):
    log: list[int] = []
    twenty.add_computed_column(x=called_with({3}, log, batch_size=20, retries=2)(twenty.n))
    assert log == [20, 20, 20, 10, 5, 2, 3, 1, 2, 1, 1, 5, 10]


def test_invalid_batch_results_are_isolated(twenty):
    @bb.udf(on_error="null", batch_size=20, return_type=bb.Array(bb.Image))
    def paint(numbers: list[int]):
        return [PIL.Image.new("L", (2, 2)) if number else 5 for number in numbers]

    assert twenty.add_computed_column(x=paint(twenty.n)).errors == 1
    assert [each is None for each in cells(twenty)] == [True] + [False] * 19


def test_cached_batch_is_not_split(twenty):
    log: list[int] = []
    check = called_with({3}, log, batch_size=10, cache=True)
    assert twenty.add_computed_column(x=check(twenty.n)).errors == 10
    assert log == [10, 10]
    messages = set(twenty.errors().collect()["message"])
    assert messages == {"of 10 (one call for 10 rows failed)"}


def test_timed_out_batch_is_not_split(twenty):
    log: list[int] = []

    @bb.udf(on_error="null", batch_size=20, timeout=0.05)
    def late(numbers: list[int]) -> list[int]:
        log.append(len(numbers))
        time.sleep(0.5)
        return numbers

    assert twenty.add_computed_column(x=late(twenty.n)).errors == 20
    assert log == [20]


def test_async_batch_is_split(twenty):
    @bb.udf(on_error="null", batch_size=20)
    async def ninths(numbers: list[int]) -> list[float]:
        return [9 / number for number in numbers]

    assert twenty.add_computed_column(x=ninths(twenty.n)).errors == 1
    assert cells(twenty)[:3] == [None, 9.0, 4.5]


def test_batch_under_abort_is_not_split(twenty):
    log: list[int] = []
    stern = called_with({3}, log, batch_size=10)(twenty.n, on_error="abort")
    with pytest.raises(BarbuleError, match=r"rows 0 to 9|rows 0-9|row 0"):
        twenty.add_computed_column(x=stern)
    assert log[0] == 10
    assert 1 not in log
