"""Expressions as keys: equal where they are made of the same, and Ibis remembers nothing of it."""

from __future__ import annotations

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


def remembered(one, other) -> list[str]:
    """Name the parts of two expressions of which Ibis remembers how they compare."""
    others = {id(node) for node in other.find(ibis.expr.operations.Node)}
    return [
        type(node).__name__
        for node in one.find(ibis.expr.operations.Node)
        if others & Comparable.__cache__.get(id(node), {}).keys()
    ]


def test_the_same_expression_is_found_and_ibis_remembers_nothing():
    one, other = query(), query()
    assert {ExpressionKey(one): "known"}[ExpressionKey(other)] == "known"
    assert remembered(one, other) == []
    assert one == other
    assert remembered(one, other) != []  # what is looked for is where Ibis keeps it


@pytest.mark.parametrize(
    "changed", [{"more": 3.0}, {"names": ("x", "a")}, {"names": ("a",)}], ids=str
)
def test_another_expression_is_another_key(changed):
    assert ExpressionKey(query()) != ExpressionKey(query(**changed))


def test_zero_has_a_sign():
    assert not equal(query(more=0.0), query(more=-0.0))
    assert equal(query(more=-0.0), query(more=-0.0))


def test_parts_that_are_shared_are_compared_once():
    def doubled():
        value = table().a
        for _ in range(60):  # by pairs of parts it would be 2 ** 60
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


def test_leaves_of_managed_tables_are_not_remembered():
    source = object()
    one, other = (managed_table("t", source, 1) for _ in range(2))
    assert one == other
    assert hash(one) == hash(other)
    assert one != managed_table("t", source, 2)
    assert one != managed_table("t", source, 1, commit=3)
    assert id(one) not in Comparable.__cache__


def test_a_query_that_is_asked_again_leaves_nothing_to_ibis(session):
    backend = session._engine.backend
    schema = ibis.schema({"id": "int64"})

    def asked():
        commits = backend.table("bb_commits", schema).to_expr()
        return commits.filter(commits.id > 0).select(n=commits.id * 2)

    one, other = asked(), asked()
    assert backend.arrow(one, {}) == backend.arrow(other, {})
    assert remembered(one.op(), other.op()) == []
