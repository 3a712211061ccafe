"""Deeply nested views: schemas and plans grow linearly with the number of levels."""

from __future__ import annotations

import pytest

import barbule as bb

LEVELS = 20


@pytest.fixture
def base(session):
    return session.create_table("t", [{"a": n, "b": -n} for n in range(10)])


def tower(session, below, make=lambda query, _level: query):
    for level in range(LEVELS):
        below = session.create_view(f"v{level}", make(below, level))
    return below


def filtered(query, level):
    return query.filter(query.a >= level // 4)


def selected(query, level):
    return query.select("a", b=query.b + 1)


def renamed(query, level):
    return query.rename({f"n{level}": f"n{level - 1}" if level else "b"})


@pytest.mark.parametrize("make", [filtered, selected, renamed])
def test_each_level_of_views_derives_one_schema(session, base, make):
    for level in range(LEVELS):
        with bb.trace() as trace:
            lower_view = session.get_table(f"v{level - 1}") if level else base
            session.create_view(f"v{level}", make(lower_view, level))
        assert min(level, 1) <= trace.count("schema") <= 2, level


def test_opening_deep_view_derives_one_schema_per_level(session, base):
    url = session.settings.backend
    tower(session, base, filtered)
    session.close()
    opened = bb.connect(url, vectors="exact:")
    with bb.trace() as trace:
        top = opened.get_table(f"v{LEVELS - 1}")
        assert top.order_by("a").collect()["a"] == [4, 5, 6, 7, 8, 9]
    assert trace.count("schema") == LEVELS + 1


def test_change_passes_twenty_view_levels_with_few_plans(session, base):
    top = tower(session, base, filtered)
    with bb.trace() as trace:
        base.insert([{"a": 10, "b": -10}, {"a": 0, "b": 0}])
        base.update({"a": 11}, where=base.a == 10)
        base.update({"b": 100}, where=base.a == 11)
        base.delete(where=base.a == 5)
    assert trace.count("schema") <= 1  # the schema of the top view had not been read
    assert LEVELS <= trace.count("plan", "made") <= 10 * LEVELS
    assert top.order_by("a").collect()["a"] == [4, 6, 7, 8, 9, 11]
    assert top.filter(top.a == 11).collect()["b"] == [100]


def test_new_base_column_appears_in_top_view(session, base):
    top = tower(session, base, filtered)
    with bb.trace() as trace:
        base.add_columns({"c": bb.Int}, defaults={"c": 7})
        base.add_computed_column(d=base.c + 1)
        base.rename_column("b", "e")
        top.collect()
    # Once after each change, and once more for the checks within the change.
    assert 3 * LEVELS <= trace.count("schema") <= 2 * 3 * (LEVELS + 1)
    assert top.columns == ("a", "e", "c", "d")
    assert top.collect()[0, "d"] == 8


def test_function_above_twenty_views_is_called_for_changed_rows_only(session, base):
    calls = []

    @bb.udf
    def noted(value: int) -> int:
        calls.append(value)
        return value

    top = tower(session, base)
    top.add_computed_column(seen=noted(top.b))
    calls.clear()
    base.update({"b": 50}, where=base.a == 5)
    base.update({"a": 60}, where=base.a == 6)
    base.insert(a=70, b=70)
    assert calls == [50, 70]


def test_add_columns_that_conflicts_with_view_changes_no_schema(session, base):
    top = tower(session, base)
    before = {name: session.get_table(name).columns for name in session.list_tables()}
    top.add_computed_column(c=top.a + 1)
    with pytest.raises(bb.BarbuleError, match="has a column with this name"):
        base.add_columns({"c": bb.Int})
    after = {name: session.get_table(name).columns for name in session.list_tables()}
    assert after == {**before, f"v{LEVELS - 1}": ("a", "b", "c")}


def test_column_name_conflicts_only_with_views_that_inherit_it(session, base):
    chosen = session.create_view("chosen", base.select("a"))
    upper_view = session.create_view("above", chosen)
    upper_view.add_computed_column(c=upper_view.a + 1)
    base.add_columns({"c": bb.Int}, defaults={"c": 100})
    assert upper_view.order_by("a").collect()["c"] == list(range(1, 11))


def test_cascade_drops_views_with_shared_bases_once(session, base):
    left = right = base
    for level in range(LEVELS):  # two views over the two below them: a path for each subset
        both = left.join(right.view(), "a").select("a", b=left.b)
        view = [session.create_view(f"{side}{level}", both) for side in "lr"]
        left, right = view
    base.insert(a=10, b=-10)
    assert left.count().to_pyarrow().as_py() == 11
    session.drop_table("t", cascade=True)
    assert session.list_tables() == []
