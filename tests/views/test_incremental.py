"""A view recomputes only the columns downstream of a change, in the changed rows."""

from __future__ import annotations

import pytest

import barbule as bb


@pytest.fixture
def calls():
    return []


@pytest.fixture
def one(calls):
    @bb.udf(name="incremental_views.one")
    def one(value: int) -> int:
        calls.append(("one", value))
        return value

    return one


@pytest.fixture
def two(calls):
    @bb.udf(name="incremental_views.two")
    def two(value: int) -> int:
        calls.append(("two", value))
        return -value

    return two


@pytest.fixture
def parts(calls):
    @bb.iterator(return_type={"part": int})
    def parts(value: int):
        calls.append(("parts", value))
        yield from ({"part": value + n} for n in range(value % 3))

    return parts


@pytest.fixture
def base(session):
    rows = [{"o": n, "p": 10 + n, "q": 100 + n} for n in range(4)]
    return session.create_table("t", rows)


def pop_calls(calls):
    actual = sorted(calls)
    calls.clear()
    return actual


def rows_of(view, *names):
    return sorted(tuple(row[name] for name in names) for row in view.collect())


def test_update_recomputes_only_stored_columns_that_read_it(session, base, one, two, calls):
    view = session.create_view("v", base, computed_columns={"e": one(base.o), "f": two(base.p)})
    calls.clear()
    base.update({"p": 50}, where=base.o == 2)
    assert pop_calls(calls) == [("two", 50)]
    base.update({"q": base.q + 1})
    assert pop_calls(calls) == []
    base.update({"o": 7, "q": 0}, where=base.o == 1)
    assert pop_calls(calls) == [("one", 7)]
    assert rows_of(view, "o", "e", "f") == [(0, 0, -10), (2, 2, -50), (3, 3, -13), (7, 7, -11)]
    assert view.at(0).count().to_pyarrow().as_py() == 4
    assert rows_of(view.at(0), "o", "f") == [(0, -10), (1, -11), (2, -12), (3, -13)]


def test_update_of_filter_column_computes_entering_rows_only(session, base, one, two, calls):
    remaining = base.filter(base.q >= 102)
    view = session.create_view(
        "v", remaining, computed_columns={"e": one(base.o), "f": two(base.q)}
    )
    assert pop_calls(calls) == [("one", 2), ("one", 3), ("two", 102), ("two", 103)]
    base.update({"q": base.q + 1})
    assert pop_calls(calls) == [("one", 1), ("two", 102), ("two", 103), ("two", 104)]
    base.update({"q": 0}, where=base.o == 3)
    assert pop_calls(calls) == []
    assert rows_of(view, "o", "e", "f") == [(1, 1, -102), (2, 2, -103)]


def test_iterator_rows_stay_when_other_column_changes(session, base, parts, two, calls):
    view = session.create_view("v", base.filter(base.q > 100), iterator=parts(base.o))
    view.add_computed_column(f=two(view.p), g=two(view.part))
    calls.clear()
    base.update({"p": base.p + 10})
    assert pop_calls(calls) == [("two", 21), ("two", 22), ("two", 22)]
    # Row 0 enters; the iterator is not called again for the row without items.
    base.update({"q": base.q + 1})
    assert pop_calls(calls) == [("parts", 0)]
    base.update({"o": 4}, where=base.o == 1)
    assert pop_calls(calls) == [("parts", 4), ("two", 4), ("two", 21)]
    assert rows_of(view, "o", "part", "f", "g") == [
        (2, 2, -22, -2),
        (2, 3, -22, -3),
        (4, 4, -21, -4),
    ]


def test_nested_views_recompute_only_downstream_columns(session, base, one, two, calls):
    lower_view = session.create_view(
        "v", base.filter(base.q > 0), computed_columns={"e": one(base.o)}
    )
    upper_view = session.create_view(
        "w",
        lower_view.filter(lower_view.e < 3),
        computed_columns={"f": two(lower_view.p), "g": one(lower_view.e)},
    )
    calls.clear()
    base.update({"p": base.p + 1})
    assert pop_calls(calls) == [("two", 11), ("two", 12), ("two", 13)]
    base.update({"q": base.q + 1})
    assert pop_calls(calls) == []
    base.update({"o": 5}, where=base.o == 0)
    assert pop_calls(calls) == [("one", 5)]
    base.update({"o": 1}, where=base.o == 5)
    assert pop_calls(calls) == [("one", 1), ("one", 1), ("two", 11)]
    base.update({"q": -1}, where=base.p == 12)
    assert pop_calls(calls) == []
    assert rows_of(upper_view, "o", "e", "f", "g") == [(1, 1, -11, 1), (2, 2, -13, 2)]


def test_filter_call_is_repeated_only_when_its_input_changes(session, base, one, calls):
    session.create_view("v", base.filter(one(base.o) > 0, base.q > 100))
    calls.clear()
    base.update({"q": base.q + 1})
    assert pop_calls(calls) == [("one", 0)]
    base.update({"o": 9}, where=base.o == 3)
    assert pop_calls(calls) == [("one", 9)]


def test_columns_over_aggregate_recompute_only_for_changed_groups(session, base, one, two, calls):
    base.insert([{"o": 0, "p": 60, "q": 0}])
    sums = session.create_view(
        "v", base.group_by("o").agg(n=base.count(), s=base.p.sum(), m=base.q.max())
    )
    sums.add_computed_column(e=one(sums.o), f=two(sums.s))
    upper_view = session.create_view(
        "w", sums, computed_columns={"g": one(sums.m), "h": two(sums.s)}
    )
    calls.clear()
    base.update({"q": 200}, where=base.o == 1)
    assert pop_calls(calls) == [("one", 200)]
    base.update({"p": 61}, where=base.p == 60)
    assert pop_calls(calls) == [("two", 71), ("two", 71)]
    base.insert(o=2, p=0, q=1)  # another row of the group: its key and its sum are unchanged
    assert pop_calls(calls) == []
    assert rows_of(upper_view, "o", "n", "e", "f", "g", "h") == [
        (0, 2, 0, -71, 100, -71),
        (1, 1, 1, -11, 200, -11),
        (2, 2, 2, -12, 102, -12),
        (3, 1, 3, -13, 103, -13),
    ]


def test_columns_over_join_recompute_only_for_changed_rows(session, base, one, two, calls):
    other = session.create_table("other", [{"o": n, "r": 7 * n} for n in range(4)])
    joined = base.join(other, "o").select("o", "p", "r")
    view = session.create_view("v", joined, computed_columns={"e": one(joined.p)})
    view.add_computed_column(f=two(view.r))
    upper_view = session.create_view(
        "w", view.filter(view.o > 0), computed_columns={"g": two(view.r)}
    )
    calls.clear()
    other.update({"r": 1}, where=other.o == 2)
    assert pop_calls(calls) == [("two", 1), ("two", 1)]
    base.update({"p": 0}, where=base.o == 3)
    assert pop_calls(calls) == [("one", 0)]
    base.delete(where=base.o == 1)
    assert pop_calls(calls) == []
    assert rows_of(upper_view, "o", "e", "f", "g") == [(2, 12, -1, -1), (3, 0, -21, -21)]


def test_ungrouped_aggregate_recomputes_only_changed_values(session, base, one, two, calls):
    view = session.create_view("v", base.agg(s=base.p.sum(), m=base.q.max()))
    view.add_computed_column(e=one(view.s), f=two(view.m))
    calls.clear()
    base.update({"p": base.p + 1}, where=base.o == 0)
    assert pop_calls(calls) == [("one", 47)]
    assert rows_of(view, "s", "e", "f") == [(47, 47, -103)]


def test_upsert_and_batch_update_recompute_only_changed_rows(session, base, one, two, calls):
    view = session.create_view("v", base, computed_columns={"e": one(base.o), "f": two(base.p)})
    base.add_computed_column(g=two(base.q))
    calls.clear()
    source = [
        {"o": 0, "p": 10, "q": 100},  # unchanged
        {"o": 1, "p": 11, "q": 5},
        {"o": 2, "p": 6, "q": 102},
        {"o": 3, "p": 8, "q": 9},
    ]
    done = base.upsert([*source, {"o": 4, "p": 1, "q": 2}], on="o")
    assert (done.updated, done.inserted, done.rows) == (3, 1, 4)
    assert pop_calls(calls) == [
        ("one", 4), ("two", 1), ("two", 2), ("two", 5), ("two", 6), ("two", 8), ("two", 9),
    ]  # fmt: skip
    done = base.batch_update(source, on="o")
    assert (done.updated, done.version) == (0, base.history()[0, "version"])
    assert pop_calls(calls) == []
    assert rows_of(view, "o", "e", "f", "g") == [
        (0, 0, -10, -100), (1, 1, -11, -5), (2, 2, -6, -102), (3, 3, -8, -9), (4, 4, -1, -2),
    ]  # fmt: skip


def test_view_created_after_checkpoint_follows_revert(session, base, one, two, calls):
    base.checkpoint("start")
    base.update({"p": 50}, where=base.o == 1)
    base.update({"q": 0}, where=base.o == 2)
    base.insert(o=8, p=8, q=8)
    base.delete(where=base.o == 3)
    view = session.create_view("v", base, computed_columns={"e": one(base.o), "f": two(base.p)})
    calls.clear()
    base.revert(to="start")
    assert pop_calls(calls) == [("one", 3), ("two", 11), ("two", 13)]
    assert rows_of(view, "o", "e", "f") == [(0, 0, -10), (1, 1, -11), (2, 2, -12), (3, 3, -13)]


def test_replacing_column_recomputes_its_downstream_columns(session, base, one, two, calls):
    base.add_computed_column(d=base.o + 1)
    view = session.create_view("v", base.filter(base.q > 0), computed_columns={"e": one(base.o)})
    view.add_computed_column(f=two(view.d))
    calls.clear()
    base.add_computed_column(d=base.o + 2, if_exists="replace")
    assert pop_calls(calls) == [("two", n + 2) for n in range(4)]
    assert rows_of(view, "d", "e", "f") == [(n + 2, n, -n - 2) for n in range(4)]


def test_recompute_updates_downstream_columns(session, base, one, two, calls):
    base.add_computed_column(d=one(base.o))
    view = session.create_view("v", base, computed_columns={"e": one(base.p), "f": two(base.d)})
    calls.clear()
    base.recompute("d", where=base.o == 2)
    assert pop_calls(calls) == [("one", 2), ("two", 2)]
    assert len(view.collect()) == 4


def test_embedding_index_of_view_follows_base_update(session):
    @bb.udf
    def embed(text: str) -> bb.Vector(2):
        return [float(len(text)), 1.0]

    base = session.create_table("t", [{"s": "a" * n, "n": n} for n in (1, 2, 30)])
    view = session.create_view("v", base.filter(base.n > 1))
    view.add_embedding_index("s", string_embed=embed)
    base.update({"n": base.n + 1})
    base.update({"s": "a" * 400}, where=base.n == 2)
    rows = view.order_by(view.s.similarity([1.0, 0.0]), asc=False).limit(1).collect()
    assert rows["s"] == ["a" * 400]
    assert view.count().to_pyarrow().as_py() == 3


def test_view_rows_keep_their_row_ids(session, base, one):
    view = session.create_view("v", base, computed_columns={"e": one(base.o)})
    sums = session.create_view("s", base.group_by("o").agg(s=base.p.sum()))
    base.update({"o": base.o, "p": base.p + 1})
    base.update({"o": 40}, where=base.o == 0)
    for follower in (view, sums):
        versions = follower.history()["version"]
        counts = follower.diff(versions[-1], versions[0]).counts()
        assert counts["removed"] == counts["added"] <= 1
