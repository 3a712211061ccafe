"""Lowering of queries to plain Ibis for the backend."""

from __future__ import annotations

import ibis
import ibis.expr.operations as ops
import pytest

import barbule as bb


@bb.udf
def louder(text: str) -> str:
    return text.upper()


@pytest.fixture
def films(session):
    table = bb.create_table("films", {"name": bb.String, "year": bb.Int})
    table.insert([{"name": "Up", "year": 2009}, {"name": "Alien", "year": 1979}])
    return table


@pytest.fixture
def recent(films):
    return bb.create_view(
        "recent", films.where(films.year > 2000), computed_columns={"loud": louder(films.name)}
    )


def final(query):
    return query.explain().final


def test_a_view_joins_its_base_only_for_columns_of_the_base(recent):
    assert not final(recent.select("loud")).find(ops.JoinChain)
    assert final(recent.select("name")).find(ops.JoinChain)
    assert recent.select("loud").collect() == [{"loud": "UP"}]
    assert recent.select("name", "loud").collect() == [{"name": "Up", "loud": "UP"}]


def test_latest_version_without_ended_rows_needs_no_filter(films):
    assert "WHERE" not in films.compile()
    films.update({"year": 2010}, where=films.name == "Up")
    assert "WHERE" in films.compile()


def test_plan_names_the_tables_whose_rows_it_depends_on(films, recent):
    films_id, recent_id = films.op().table_id, recent.op().table_id
    plan = recent.select("name", "loud").explain()
    assert plan.rows_read == plan.unclosed == {films_id, recent_id}
    assert recent.select("loud").explain().rows_read == {recent_id}
    films.update({"year": 2010}, where=films.name == "Up")
    plan = films.explain()
    assert (plan.rows_read, plan.unclosed) == ({films_id}, set())
    plan = films.at(version=1).explain()
    assert (plan.rows_read, plan.unclosed) == (set(), set())


def test_plan_with_calls_expects_that_rows_are_closed_meanwhile(films):
    plan = films.select(loud=louder(films.name)).explain()
    assert (plan.rows_read, plan.unclosed) == ({films.op().table_id}, set())
    assert "WHERE" in ibis.to_sql(plan.stages[0].source.to_expr(), dialect="duckdb")


def test_chained_query_compiles_to_one_select(films):
    newest = films.where(films.year > 1970).mutate(age=2026 - films.year).order_by("age")
    query = newest.where(newest.age > 1).select("name", old=newest.age > 40)
    assert query.compile().count("SELECT") == 1
    assert query.collect() == [{"name": "Up", "old": False}, {"name": "Alien", "old": True}]


def test_inlining_of_expressions_is_bounded(films):
    doubled = films.select("year")
    for _ in range(24):
        doubled = doubled.mutate(year=doubled.year + doubled.year)
    assert len(doubled.compile()) < 20_000
    assert doubled.collect()["year"] == [2009 << 24, 1979 << 24]


def test_only_needed_columns_are_read_from_backend(films):
    plan = films.mutate(loud=louder(films.name)).select("loud").explain()
    (stage,) = plan.stages
    assert stage.source.schema.names == ("a0",)


def test_virtual_columns_are_inlined_recursively(films):
    films.add_computed_column(age=2026 - films.year)
    films.add_computed_column(old=films.age > 20)
    films.add_computed_column(note=louder(films.name))
    query = films.filter(films.old).select("age")
    assert query.collect() == [{"age": 47}]
    assert query.explain().stages == ()


def test_compile_needs_query_without_function_calls(films):
    assert "2000" in films.filter(films.year > 2000).compile()
    with pytest.raises(
        bb.BarbuleError, match="calls functions does not compile to a single SQL statement"
    ):
        films.select(louder(films.name)).compile()


def test_explain_calls_no_function(films):
    texts = []

    @bb.udf
    def record(text: str) -> str:
        texts.append(text)
        return text

    assert "record(name)" in str(films.select(x=record(films.name)).explain())
    assert texts == []
