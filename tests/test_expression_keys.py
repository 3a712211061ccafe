"""Expression keys: equal for equal expressions, without entries in the comparison cache of Ibis."""

from __future__ import annotations

import sys
import threading

import ibis
import pytest
from ibis.common.bases import Comparable

from barbule.expression_keys import ExpressionKey, equal
from barbule.nodes import managed_table

COLUMNS = {"a": "int64", "b": "float64", "c": "array<string>"}


def table():
    return ibis.table(COLUMNS, name="t")


def query(*, more: float = 2.0, names: tuple[str, ...] = ("a", "x")):
    t = table()
    made = t.filter(t.a > 3, t.c[0] == "z").mutate(x=t.b * more).order_by("a").limit(5)
    return made.select(*names).op()


def cached_comparisons(one, other) -> list[str]:
    """Return the parts of two expressions with an entry in the comparison cache of Ibis."""
    others = {id(node) for node in other.find(ibis.expr.operations.Node)}
    return [
        type(node).__name__
        for node in one.find(ibis.expr.operations.Node)
        if others & Comparable.__cache__.get(id(node), {}).keys()
    ]


def test_equal_expressions_share_a_key_and_leave_the_ibis_cache_empty():
    one, other = query(), query()
    assert {ExpressionKey(one): "known"}[ExpressionKey(other)] == "known"
    assert cached_comparisons(one, other) == []
    assert one == other
    assert cached_comparisons(one, other) != []  # the cache is where the helper looks


@pytest.mark.parametrize(
    "changed", [{"more": 3.0}, {"names": ("x", "a")}, {"names": ("a",)}], ids=str
)
def test_different_expressions_have_different_keys(changed):
    assert ExpressionKey(query()) != ExpressionKey(query(**changed))


def test_negative_zero_is_distinct():
    assert not equal(query(more=0.0), query(more=-0.0))
    assert equal(query(more=-0.0), query(more=-0.0))


def test_shared_parts_are_compared_once():
    def doubled():
        value = table().a
        for _ in range(60):  # pairwise comparison would take 2 ** 60 steps
            value = value + value
        return value.op()

    assert equal(doubled(), doubled())


def test_deep_expressions_are_compared():
    def deep():
        value = table().a
        for number in range(3000):
            value = value + number
        return value.op()

    assert equal(deep(), deep())


def test_managed_table_leaves_are_not_cached_by_ibis():
    source = object()
    one, other = (managed_table("t", source, 1) for _ in range(2))
    assert one == other
    assert hash(one) == hash(other)
    assert one != managed_table("t", source, 2)
    assert one != managed_table("t", source, 1, commit=3)
    assert id(one) not in Comparable.__cache__


def test_repeated_query_leaves_the_ibis_cache_empty(session):
    backend = session._engine.backend
    schema = ibis.schema({"id": "int64"})

    def asked():
        commits = backend.table("bb_commits", schema).to_expr()
        return commits.filter(commits.id > 0).select(n=commits.id * 2)

    one, other = asked(), asked()
    assert backend.arrow(one, {}) == backend.arrow(other, {})
    assert cached_comparisons(one.op(), other.op()) == []


def test_threads_that_update_and_query_break_no_entry_of_the_cache(session, monkeypatch):
    """Expressions that threads share, and those that are derived once, are compared without it."""
    broken = []
    monkeypatch.setattr(sys, "unraisablehook", broken.append)
    films = session.create_table("films", [{"k": k, "year": 1900 + k} for k in range(80)])
    films.add_computed_column(age=2020 - films.year)
    recent = session.create_view(
        "recent", films.filter(films.year > 1903).mutate(half=films.age / 2)
    )
    shared = films.filter(films.year > 1905).mutate(twice=films.age * 2).order_by("k")
    condition = films.k == 5
    errors = []

    def work(number):
        try:
            for time in range(5):
                films.update({"year": 2000 + time}, where=films.k == number * 10 + time)
                shared.collect()
                films.filter(condition).select("age").collect()
                recent.filter(recent.half > time).count().to_pyarrow()
        except Exception as error:  # noqa: BLE001 - the test shows it
            errors.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert errors == []
    assert broken == []
