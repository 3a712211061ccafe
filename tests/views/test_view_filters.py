"""New rows of a table in the views over it, and in those over these: as if each was made anew."""

from __future__ import annotations

import barbule as bb


@bb.udf
def doubled(number: bb.Int) -> int:
    return 2 * number


def rows_of(view):
    return sorted((dict(row) for row in view.collect()), key=repr)


def test_views_at_all_levels_keep_what_their_queries_give(session):
    t = session.create_table("t", [{"n": n, "text": str(n)} for n in range(5)])
    t.add_computed_column(half=t.n / 2)

    def make_views(suffix):
        plain = session.create_view(f"plain{suffix}", t.filter(t.n > 1))
        named = session.create_view(
            f"named{suffix}", plain.mutate(m=plain.half + plain.n).filter(lambda x: x.m < 12)
        )
        named.add_computed_column(twice=named.m * 2)
        nested = session.create_view(f"nested{suffix}", named.filter(named.twice > 9).drop("text"))
        stored = session.create_view(f"stored{suffix}", nested.mutate(d=doubled(nested.n)))
        return [
            plain, named, nested, stored,
            session.create_view(f"over{suffix}", stored.filter(stored.d > 8)),
            session.create_view(f"called{suffix}", named.filter(doubled(named.n) > 10)),
            session.create_view(f"all{suffix}", t.select("n", "half")),
        ]  # fmt: skip

    views = make_views("")
    t.insert([{"n": n, "text": str(n)} for n in (9, 6, 7, 1, 5, None)])
    t.update({"n": t.n + 1}, where=t.n < 4)
    t.delete(t.n == 7)
    for followed, made in zip(views, make_views("_made"), strict=True):
        assert rows_of(followed) == rows_of(made)


def test_a_filter_is_not_asked_for_rows_that_its_base_drops(session):
    t = session.create_table("t", {"text": str})
    numbers = session.create_view("numbers", t.filter(t.text.re_search("^[0-9]+$")))
    large = session.create_view("large", numbers.filter(numbers.text.cast("int64") > 10))
    t.insert([{"text": "7"}, {"text": "many"}, {"text": "70"}])
    assert [row["text"] for row in large.collect()] == ["70"]


def test_views_that_are_made_or_changed_later_follow(session):
    t = session.create_table("t", [{"n": 1}])
    first = session.create_view("first", t.filter(t.n > 0))
    t.insert([{"n": 2}])
    session.create_view("second", first.filter(first.n > 1))
    t.insert([{"n": 3}])
    t.rename_column("n", "number")
    t.insert([{"number": 4}])
    session.drop_table("second")
    (name,) = first.columns
    second = session.create_view("second", first.filter(first[name] < 4))
    t.insert([{"number": 3}, {"number": 5}])
    assert sorted(row[name] for row in second.collect()) == [1, 2, 3, 3]
    assert sorted(row[name] for row in first.collect()) == [1, 2, 3, 3, 4, 5]


def test_rows_of_views_are_found_once_others_have_ended(session):
    t = session.create_table("t", [{"n": n} for n in range(6)])
    view = session.create_view("view", t.filter(t.n > 0))
    above = session.create_view("above", view.filter(view.n > 1))
    for n in range(3):
        t.delete(t.n == n)
        t.update({"n": 10 + n}, where=t.n == n + 3)
        t.update({"n": n + 3}, where=t.n == 10 + n)
    assert sorted(row["n"] for row in view.collect()) == [3, 4, 5]
    assert sorted(row["n"] for row in above.collect()) == [3, 4, 5]
