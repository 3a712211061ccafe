"""A mutation computes only the cells that it affects."""

from __future__ import annotations

import pytest

import barbule as bb


class Calls:
    """Functions that log their calls."""

    def __init__(self) -> None:
        self.log: list[tuple[str, object]] = []

    def function(self, name: str):
        def body(value: int) -> int:
            self.log.append((name, value))
            return value + 1

        return bb.udf(body, name=f"incremental.{name}")

    def take(self) -> list[tuple[str, object]]:
        drained, self.log = sorted(self.log), []
        return drained


@pytest.fixture
def calls() -> Calls:
    return Calls()


@pytest.fixture
def table(session, calls):
    table = session.create_table("t", {"a": bb.Int, "b": bb.Int, "note": bb.String})
    table.insert([{"a": n, "b": 10 * n} for n in (1, 2, 3)])
    table.add_computed_column(fa=calls.function("fa")(table.a))
    table.add_computed_column(fb=calls.function("fb")(table.b))
    table.add_computed_column(plain=table.fa * 100)
    table.add_computed_column(deep=calls.function("deep")(table.plain))
    return table


def test_a_new_column_is_computed_once_for_each_row(table, calls):
    assert calls.take() == [
        *(("deep", 100 * (n + 1)) for n in (1, 2, 3)),
        *(("fa", n) for n in (1, 2, 3)),
        *(("fb", 10 * n) for n in (1, 2, 3)),
    ]


def test_reading_computes_nothing(table, calls):
    calls.take()
    table.collect()
    table.filter(table.fa > 2).select(table.deep, table.plain).collect()
    table.at(0).collect()
    assert calls.take() == []


def test_an_insert_computes_the_new_rows_only(table, calls):
    calls.take()
    table.insert([{"a": 4, "b": 40}, {"a": 5, "b": 50}])
    assert calls.take() == [
        ("deep", 500), ("deep", 600), ("fa", 4), ("fa", 5), ("fb", 40), ("fb", 50),
    ]  # fmt: skip


def test_update_computes_downstream_columns_of_its_rows_only(table, calls):
    calls.take()
    assert table.update({"a": 7}, where=table.a == 2).rows == 1
    assert calls.take() == [("deep", 800), ("fa", 7)]
    table.update({"b": 70}, where=table.a == 7)
    assert calls.take() == [("fb", 70)]
    table.update({"note": "seen"})
    assert calls.take() == []
    rows = {row["a"]: row for row in table.collect()}
    assert rows[7] == {
        "a": 7, "b": 70, "note": "seen", "fa": 8, "fb": 71, "plain": 800, "deep": 801,
    }  # fmt: skip


def test_a_delete_computes_nothing(table, calls):
    calls.take()
    table.delete(where=table.a == 2)
    assert calls.take() == []
    assert sorted(table.collect()["deep"]) == [201, 401]


def test_mutation_of_no_rows_computes_nothing_and_adds_no_version(table, calls):
    calls.take()
    versions = len(table.history())
    assert table.update({"a": 7}, where=table.a > 100).rows == 0
    assert table.delete(where=table.a > 100).rows == 0
    assert table.insert([]).rows == 0
    assert calls.take() == []
    assert len(table.history()) == versions


def test_replacing_column_computes_it_and_downstream_columns_only(table, calls):
    calls.take()
    table.add_computed_column(fa=calls.function("new")(table.b), if_exists="replace")
    assert calls.take() == [
        *(("deep", 100 * (10 * n + 1)) for n in (1, 2, 3)),
        *(("new", 10 * n) for n in (1, 2, 3)),
    ]


def test_replacing_virtual_column_computes_downstream_stored_columns(table, calls):
    calls.take()
    table.add_computed_column(plain=table.fa * 1000, if_exists="replace")
    assert calls.take() == [("deep", 2000), ("deep", 3000), ("deep", 4000)]


def test_failed_insert_can_be_repeated(session, calls):
    table = session.create_table("u", {"a": bb.Int})
    broken = [True]

    @bb.udf(name="incremental.broken")
    def fragile(value: int) -> int:
        if broken[0] and value == 2:
            raise ValueError("not yet")
        return value

    table.add_computed_column(c=fragile(table.a))
    with pytest.raises(RuntimeError, match="not yet"):
        table.insert([{"a": 1}, {"a": 2}])
    broken[0] = False
    table.insert([{"a": 1}, {"a": 2}])
    assert table.collect() == [{"a": 1, "c": 1}, {"a": 2, "c": 2}]
