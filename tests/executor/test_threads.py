"""Threads: order, failures, time limits, and concurrency of functions."""

from __future__ import annotations

import contextvars
import threading
import time
import weakref
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import barbule as bb
from barbule.errors import ExpressionError, FunctionError, MediaError
from barbule.threads import TimedCalls, in_threads


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_every_index_is_processed_once(threads):
    done: list[int] = []
    in_threads(done.append, 500, threads)
    assert sorted(done) == list(range(500))


def test_zero_indices_call_nothing():
    in_threads(lambda index: 1 // index, 0, 4)


@pytest.mark.parametrize("threads", [1, 4])
def test_first_failure_is_raised_and_stops_the_work(threads):
    done: list[int] = []

    def work(index: int) -> None:
        if index >= 20:
            raise ValueError(f"index {index}")
        time.sleep(0.001 * (index % 3))
        done.append(index)

    with pytest.raises(ValueError, match=r"^index 20$"):
        in_threads(work, 200, threads)
    assert sorted(done) == list(range(20))


def test_threads_end_with_the_work():
    before = threading.active_count()
    in_threads(str, 50, 8)
    with pytest.raises(ZeroDivisionError, match="division"):
        in_threads(lambda index: 1 // (index - index), 50, 8)
    assert threading.active_count() <= before  # threads of other tests may end meanwhile


def test_interrupt_ends_the_threads():
    main = threading.current_thread()
    before = threading.active_count()

    def work(index: int) -> None:
        if threading.current_thread() is main and index > 5:
            raise KeyboardInterrupt
        time.sleep(0.002)

    with pytest.raises(KeyboardInterrupt):
        in_threads(work, 10_000, 4)
    assert threading.active_count() <= before  # threads of other tests may end meanwhile


def test_timed_calls_reuse_one_thread():
    calls = TimedCalls(5)
    names = {calls.run(threading.get_ident) for _ in range(20)}
    calls.close()
    assert len(names) == 1


def test_timed_out_call_is_abandoned_and_the_next_one_runs():
    calls = TimedCalls(0.05)
    gate = threading.Event()
    with pytest.raises(TimeoutError, match=r"longer than 0\.05 s"):
        calls.run(gate.wait)
    assert calls.run(lambda: 7) == 7
    gate.set()
    with pytest.raises(TimeoutError, match="of its own"):
        calls.run(lambda: (_ for _ in ()).throw(TimeoutError("of its own")))
    with pytest.raises(ZeroDivisionError, match="division"):
        calls.run(lambda: 1 // 0)
    calls.close()


@pytest.fixture
def numbers(session):
    table = bb.create_table("numbers", {"n": bb.Int})
    table.insert([{"n": n} for n in range(40)])
    return table


def together(function, table) -> int:
    """Return how many calls were under way at once, at most."""
    return max(table.select(most=function(table.n)).collect()["most"])


def counting(**options):
    under_way, lock = [0], threading.Lock()

    @bb.udf(version="1", **options)
    def count(n: int) -> int:
        with lock:
            under_way[0] += 1
            most = under_way[0]
        time.sleep(0.005)
        with lock:
            under_way[0] -= 1
        return most

    return count


def test_plain_function_runs_one_call_at_a_time(numbers):
    assert together(counting(), numbers) == 1


@pytest.mark.parametrize("more", [{}, {"cache": True}, {"timeout": 10.0}, {"retries": 1}])
def test_function_runs_up_to_its_concurrency(numbers, more):
    assert 2 <= together(counting(concurrency=5, **more), numbers) <= 5


def test_concurrent_answers_match_their_rows_and_the_ledger(numbers):
    @bb.udf(concurrency=4, cache=True)
    def double(n: int) -> int:
        time.sleep(0.002 * (n % 3))
        return 2 * n

    for hits in (0, 40):
        result = numbers.add_computed_column(x=double(numbers.n), if_exists="replace")
        assert result.hits == hits
        rows = numbers.order_by("n").collect()
        assert rows["x"] == [2 * n for n in range(40)]


def test_error_reports_the_first_failing_row(numbers):
    @bb.udf(concurrency=4)
    def fail(n: int) -> int:
        if n >= 17:
            raise ValueError(f"not {n}")
        time.sleep(0.002)
        return n

    with pytest.raises(FunctionError, match="not 17") as caught:
        numbers.order_by("n").select(x=fail(numbers.n)).collect()
    assert caught.value.row == 17


def test_tolerated_failures_leave_null_cells(numbers):
    @bb.udf(concurrency=4, on_error="null")
    def odd(n: int) -> int:
        if n % 2 == 0:
            raise ValueError("even")
        return n

    result = numbers.add_computed_column(x=odd(numbers.n))
    assert result.errors == 20
    rows = numbers.order_by("n").collect()
    assert rows["x"] == [n if n % 2 else None for n in range(40)]


def test_batches_run_concurrently(numbers):
    threads = set()

    @bb.udf(batch_size=3, concurrency=4)
    def add(values: list[int]) -> list[int]:
        threads.add(threading.get_ident())
        time.sleep(0.005)
        return [value + 1 for value in values]

    rows = numbers.select("n", x=add(numbers.n)).order_by("n").collect()
    assert rows["x"] == [n + 1 for n in range(40)]
    assert len(threads) > 1


def test_context_variables_reach_the_threads(numbers):
    who = contextvars.ContextVar("who", default="nobody")
    who.set("somebody")

    @bb.udf(concurrency=4, timeout=5)
    def ask(n: int) -> str:
        time.sleep(0.001)
        return who.get()

    assert set(numbers.select(x=ask(numbers.n)).collect()["x"]) == {"somebody"}


@pytest.mark.parametrize("concurrency", [0, -1])
def test_invalid_concurrency_is_rejected(concurrency):
    with pytest.raises(ExpressionError, match="concurrency must be an integer of 1 or more"):
        bb.udf(lambda n: n, concurrency=concurrency)


def pictures(session, count: int):
    table = bb.create_table("pictures", {"n": bb.Int, "img": bb.Image})
    pixels = np.random.default_rng(7).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    table.insert(
        [{"n": n, "img": Image.fromarray(np.roll(pixels, n, axis=0))} for n in range(count)]
    )
    return table


def test_concurrent_images_match_their_rows(session):
    table = pictures(session, 60)

    @bb.udf(concurrency=6)
    def mark(img: bb.Image, n: int) -> bb.Image:
        time.sleep(0.001 * (n % 4))
        return Image.new("RGB", (n + 1, 2), (n, 0, 0))

    table.add_computed_column(x=mark(table.img, table.n))
    rows = table.order_by("n").collect()
    assert [x.size for x in rows["x"]] == [(n + 1, 2) for n in range(60)]


def test_images_are_not_held_in_memory_until_the_batch_ends(session):
    """Each thread encodes its result at once."""
    alive, most, lock = [0], [0], threading.Lock()

    def made(n: int) -> np.ndarray:
        array = np.full((64, 64, 3), n, dtype=np.uint8)
        with lock:
            alive[0] += 1
            most[0] = max(most[0], alive[0])
        weakref.finalize(array, lambda: alive.__setitem__(0, alive[0] - 1))
        return array

    table = bb.create_table("t", {"n": bb.Int})
    table.insert([{"n": n} for n in range(200)])

    @bb.udf(version="1")
    def paint(n: int) -> bb.Image:
        return made(n)

    table.add_computed_column(x=paint(table.n))
    assert table.count().execute() == 200
    assert most[0] < 20


def test_function_that_returns_no_image_names_the_row(session):
    table = pictures(session, 6)

    @bb.udf
    def wrong(n: int) -> bb.Image:
        return Path("nowhere.png") if n < 4 else 5

    with pytest.raises(MediaError, match="got int, not an image") as caught:
        table.order_by("n").select(x=wrong(table.n)).collect()
    assert caught.value.row == 4


def test_batches_span_record_batches(session):
    import pyarrow as pa

    sizes = []

    @bb.udf(batch_size=1000)
    def sized(numbers: list[int]) -> list[int]:
        sizes.append(len(numbers))
        return numbers

    table = bb.create_table("many", {"n": bb.Int})
    table.insert(pa.table({"n": range(40_500)}))
    assert table.select(x=sized(table.n)).to_pyarrow()["x"].to_pylist() == list(range(40_500))
    assert sizes == [1000] * 40 + [500]
