"""Views show cell errors and media changes of inherited columns."""

from __future__ import annotations

import PIL.Image
import pytest

import barbule as bb


@bb.udf(on_error="null")
def inverse(number: int) -> float:
    return 10 / number


@bb.iterator(return_type={"n": int})
def twice(number: int):
    yield from ({"n": position} for position in range(2))


@pytest.fixture
def base(session):
    table = session.create_table("t", [{"a": 0, "b": 1}, {"a": 1, "b": 0}, {"a": 5, "b": 5}])
    table.add_computed_column(i=inverse(table.a), j=inverse(table.b))
    return table


def _failed(view, column="i"):
    return view.filter(view[column].error.notnull()).count().execute()


def test_nested_views_show_cell_errors_of_base(base):
    view = bb.create_view("v", base.filter(base.a < 9), computed_columns={"k": inverse(base.a)})
    renamed = bb.create_view("w", view.select("a", z=view.i))
    top = bb.create_view("x", renamed.filter(renamed.a < 8))
    rows = view.order_by("a").select("a", i=view.i.error, j=view.j.error, k=view.k.error)
    why = {"type": "ZeroDivisionError", "message": "division by zero"}
    assert rows.collect() == [
        {"a": 0, "i": why, "j": None, "k": why},
        {"a": 1, "i": None, "j": why, "k": None},
        {"a": 5, "i": None, "j": None, "k": None},
    ]
    assert [_failed(view), _failed(view, "j"), _failed(renamed, "z"), _failed(top, "z")] == [1] * 4


def test_inherited_errors_follow_base_updates(session, base):
    view = bb.create_view("v", base.filter(base.a < 9))
    base.insert(a=0, b=3)
    assert (_failed(view), _failed(view.at(0))) == (2, 1)
    base.update({"a": 3}, where=base.a == 0)
    assert (_failed(session.get_table("v")), _failed(view.at(1))) == (0, 2)


def test_queries_over_view_show_cell_errors_of_base(session, base):
    view = bb.create_view("v", base.filter(base.a < 9))
    ordered = view.order_by(view.a.desc()).limit(2).select("a", why=view.i.error)
    assert ordered.collect() == [{"a": 5, "why": None}, {"a": 1, "why": None}]
    reported = view.mutate(why=view.i.error)
    assert reported.filter(reported.why.notnull()).collect()["a"] == [0]
    other = session.create_table("o", [{"a": 0, "t": "x"}, {"a": 5, "t": "y"}])
    assert _failed(view.join(other, "a")) == 1
    assert _failed(base.join(view.select("b", z=view.i), "b"), "z") == 1


def test_iterator_view_shows_cell_errors_of_base(base):
    view = bb.create_view("v", base, iterator=twice(base.b))
    assert _failed(view) == 2
    assert view.filter(view.i.error.notnull()).order_by("n").collect()["n"] == [0, 1]


def test_view_shows_media_errors_and_changes_of_base(session, tmp_path):
    path = tmp_path / "red.png"
    PIL.Image.new("RGB", (2, 2), "red").save(path)
    table = session.create_table("t", {"n": bb.Int, "image": bb.Image})
    rows = [{"n": 1, "image": path}, {"n": 2, "image": tmp_path / "none.png"}]
    table.insert(rows, on_error="null")
    view = bb.create_view("v", table.filter(table.n > 0))
    assert view.filter(view.image.error.notnull()).collect()["n"] == [2]
    assert view.filter(view.image.changed()).count().execute() == 0
    PIL.Image.new("RGB", (3, 3), "blue").save(path)
    assert view.filter(view.image.changed()).collect()["n"] == [1]
