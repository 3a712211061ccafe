"""Fast paths give the results of the general way, for random queries and changes."""

from __future__ import annotations

import contextlib
import functools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import barbule as bb
from barbule.fast_paths import fast_paths_enabled, plain_mode
from barbule.planner.lowering import single_select
from barbule.tables.transaction.write_set import WriteSet
from barbule.tables.views import view_filters

ROWS = [
    {"n": 3, "x": 0.5, "name": "a"},
    {"n": None, "x": 1.5, "name": "b"},
    {"n": -2, "x": None, "name": None},
    {"n": 7, "x": -4.0, "name": "ü"},
    {"n": 3, "x": 0.5, "name": "a"},
    {"n": 0, "x": 2.0, "name": ""},
]


@bb.udf(name="fast_paths.double")
def double(number: int) -> int:
    return 2 * number


def _database(name: str) -> bb.Table:
    table = bb.create_table(name, {"n": bb.Int, "x": bb.Float, "name": bb.String})
    table.add_computed_column(doubled=double(table.n), total=table.n + table.x)
    table.add_computed_column(more=table.total * 2 + table.doubled)
    table.insert(ROWS)
    large = bb.create_view(f"{name}_large", table.filter(table.n >= 0).mutate(half=table.x / 2))
    bb.create_view(f"{name}_named", large.filter(large.name.notnull()))
    bb.create_view(f"{name}_counts", table.group_by("name").agg(rows=table.count()))
    return table


def _plain_rows(query) -> list[dict]:
    return [{name: repr(value) for name, value in row.items()} for row in query.collect()]


numbers = st.integers(-3, 8)
steps = st.one_of(
    st.tuples(st.just("mutate"), st.sampled_from(["n", "x", "doubled", "total", "more"]), numbers),
    st.tuples(st.just("filter"), st.sampled_from(["n", "x", "doubled", "more"]), numbers),
    st.tuples(st.just("limit"), st.sampled_from(["n", "x", "more"]), st.integers(1, 4)),
    st.tuples(st.just("select"), st.sampled_from(["n", "total"]), numbers),
    st.tuples(st.just("group"), st.sampled_from(["n", "doubled"]), numbers),
)


def _applied(query, step):
    """Apply a step to a query, if it has the column."""
    verb, column, number = step
    if column not in query.columns:
        return query
    if verb == "mutate":
        return query.mutate(**{column: query[column] + query[column] * number})
    if verb == "filter":
        return query.filter(query[column] >= number)
    if verb == "limit":
        others = [name for name in query.columns if name != column]
        return query.order_by(query[column].desc(), *others).limit(number)
    if verb == "select":
        others = [name for name in query.columns if name not in {"name", "again"}]
        return query.select(*others, again=query[column] * 2 + 1)
    return query.group_by(column).agg(rows=query.count(), total=query[column].max())


@pytest.fixture
def table(session):
    """Make a table with computed columns, views and rows that have been replaced."""
    made = _database("t")
    made.update({"x": 9.0}, where=made.n == 7)
    return made


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(chain=st.lists(steps, min_size=1, max_size=12), old=st.booleans())
def test_random_queries_give_the_same_rows_without_fast_paths(table, chain, old):
    source = table.at(1) if old else table
    query = functools.reduce(_applied, chain, source)
    ordered = query.order_by(*query.columns)
    fast = _plain_rows(ordered)
    with plain_mode():
        assert _plain_rows(ordered) == fast


changes = st.one_of(
    st.tuples(st.just("insert"), numbers, st.sampled_from(["a", None, "z"])),
    st.tuples(st.just("update"), numbers, st.sampled_from(["a", None, "z"])),
    st.tuples(st.just("set"), numbers, st.none()),
    st.tuples(st.just("delete"), numbers, st.none()),
    st.tuples(st.just("upsert"), numbers, st.sampled_from(["a", "z"])),
)


def _change(table, change) -> None:
    verb, number, name = change
    if verb == "insert":
        table.insert([{"n": number, "x": number / 2, "name": name}])
    elif verb == "update":
        table.update({"name": name}, where=table.n == number)
    elif verb == "set":
        table.update({"x": table.x + 1}, where=table.n >= number)
    elif verb == "delete":
        table.delete(where=table.n == number)
    else:
        table.upsert([{"n": number, "name": name}], on="n")


@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(made=st.lists(changes, min_size=1, max_size=5), number=st.integers(0, 10**9))
def test_random_changes_leave_the_same_rows_without_fast_paths(session, made, number):
    contents = []
    for mode in (contextlib.nullcontext, plain_mode):
        name = f"{mode.__name__}_{number}"
        with mode():
            table = _database(name)
            with contextlib.suppress(bb.errors.DataError):  # two rows of one key
                for change in made:
                    _change(table, change)
            tables = [bb.get_table(name + part) for part in ("", "_large", "_named", "_counts")]
            contents.append([sorted(map(repr, _plain_rows(one))) for one in tables])
            bb.drop_table(name, cascade=True)
    assert contents[0] == contents[1]


def test_plain_mode_takes_no_fast_path(session, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise AssertionError("a fast path was taken")

    table = _database("t")
    alone = bb.create_table("alone", [{"n": 1}, {"n": 2}])
    monkeypatch.setattr(single_select, "_read_columns", refuse)
    monkeypatch.setattr(view_filters, "_conditions_query", refuse)
    monkeypatch.setattr(WriteSet, "replace_from_query", refuse)
    monkeypatch.setattr(WriteSet, "end_from_query", refuse)
    with plain_mode():
        assert not fast_paths_enabled()
        table.insert([{"n": 1}])
        alone.update({"n": alone.n + 1}, where=alone.n == 2)
        alone.delete(where=alone.n == 1)
        assert alone.collect()["n"] == [3]
    assert fast_paths_enabled()
    for takes_a_fast_path in (
        alone.filter(alone.n == 3).collect,
        lambda: table.insert([{"n": 1}]),
        lambda: alone.update({"n": 4}, where=alone.n == 3),
        lambda: alone.delete(where=alone.n == 3),
    ):
        with pytest.raises(AssertionError, match="a fast path was taken"):
            takes_a_fast_path()
