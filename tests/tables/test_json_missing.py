"""JSON null counts as null in all verbs, and plain values combine with JSON."""

from __future__ import annotations

import ibis
import pytest

import barbule as bb

ROWS = [{"a": "x"}, {"a": None}, {}, None, {"a": 7}, {"a": "de"}]
WORDS = ["x", "q", None, "x", "7", 'd"e']


@pytest.fixture(scope="module")
def table(shared):
    table = shared.create_table("documents", {"id": bb.Int, "m": bb.Json, "w": bb.String})
    rows = zip(ROWS, WORDS, strict=True)
    table.insert([{"id": n, "m": m, "w": w} for n, (m, w) in enumerate(rows)])
    return table


def values(table, value):
    return table.order_by("id").select(x=value(table)).collect()["x"]


def test_json_null_is_treated_as_null(table):
    assert values(table, lambda t: t.m.a.isnull()) == [False, True, True, True, False, False]
    assert table.m.a.count().to_pyarrow().as_py() == 3
    assert table.m.a.nunique().to_pyarrow().as_py() == 3
    assert table.select(a=table.m.a).drop_null().count().to_pyarrow().as_py() == 3
    exported = table.order_by("id").select(a=table.m.a).to_pyarrow()["a"].to_pylist()
    assert exported == ['"x"', None, None, None, "7", '"de"']
    groups = table.group_by(a=table.m.a).agg(n=table.count()).collect()
    assert {(row["a"], row["n"]) for row in groups} == {("x", 1), (None, 3), (7, 1), ("de", 1)}


def test_path_below_json_null_is_null(table):
    assert values(table, lambda t: t.m.a.b[0]) == [None] * 6
    assert values(table, lambda t: t.m.nullif(t.m).a) == [None] * 6


FILLED = {
    "a string": ("none", ["none"] * 3),
    "a string that looks like JSON": ('{"b": 1}', ['{"b": 1}'] * 3),
    "an integer": (0, [0] * 3),
    "a number": (1.5, [1.5] * 3),
    "a boolean": (True, [True] * 3),
    "a list": ([], [[]] * 3),
    "texts": (lambda t: t.w, ["q", None, "x"]),
    "numbers": (lambda t: t.id, [1, 2, 3]),
    "Json": (lambda t: t.m, [{"a": None}, {}, None]),
    "nothing": (None, [None] * 3),
}


@pytest.mark.parametrize("name", FILLED)
def test_fill_null_fills_only_json_nulls(table, name):
    fill, filled = FILLED[name]
    expected = ["x", *filled, 7, "de"]
    assert values(table, lambda t: t.m.a.fill_null(fill(t) if callable(fill) else fill)) == expected


def test_filled_json_supports_methods(table):
    assert values(table, lambda t: t.m.a.fill_null("no").upper())[:2] == ["X", "NO"]
    assert values(table, lambda t: t.m.a.fill_null(1) + 1)[1:5] == [2.0, 2.0, 2.0, 8.0]


def test_table_fill_null_fills_json_column(table):
    rows = table.order_by("id").select("w", a=table.m.a)
    filled = rows.fill_null({"a": "none"}).collect()
    assert filled["a"] == ["x", "none", "none", "none", 7, "de"]
    assert filled["w"] == WORDS
    filled = rows.fill_null("?").collect()
    assert filled["a"] == ["x", "?", "?", "?", 7, "de"]
    assert filled["w"][2] == "?"


CHOSEN = {
    "coalesce": (lambda t: ibis.coalesce(t.m.a, "none"), ["x", *["none"] * 3, 7, "de"]),
    "coalesce a number": (lambda t: ibis.coalesce(t.m.a, 0), ["x", 0, 0, 0, 7, "de"]),
    "coalesce texts": (lambda t: ibis.coalesce(t.m.a, t.w), ["x", "q", None, "x", 7, "de"]),
    "coalesce after texts": (
        lambda t: ibis.coalesce(t.w, t.m.a),
        ["x", "q", None, "x", "7", 'd"e'],
    ),
    "ifelse": (lambda t: (t.id > 1).ifelse("k", t.m.a), ["x", None, "k", "k", "k", "k"]),
    "ifelse texts": (lambda t: (t.id > 3).ifelse(t.m.a, t.w), ["x", "q", None, "x", 7, "de"]),
    "ifelse null": (lambda t: (t.id > 3).ifelse(t.m.a, None), [None] * 4 + [7, "de"]),
    "cases": (
        lambda t: ibis.cases((t.id == 0, t.m.a), (t.id == 1, 5), else_="k"),
        ["x", 5, "k", "k", "k", "k"],
    ),
    "cases of a number": (
        lambda t: t.id.cases((0, t.m.a), (1, "p"), else_="k"),
        ["x", "p", "k", "k", "k", "k"],
    ),
    "cases of Json": (lambda t: t.m.a.cases(("de", 1), (7, 2), else_=0), [0, 0, 0, 0, 2, 1]),
    "substitute": (lambda t: t.m.a.substitute({"de": "D"}), ["x", None, None, None, 7, "D"]),
    "nullif": (lambda t: t.m.a.nullif("de"), ["x", None, None, None, 7, None]),
    "nullif a number": (lambda t: t.m.a.nullif(7.0), ["x", None, None, None, None, "de"]),
    "nullif of texts": (lambda t: t.w.nullif(t.m.a), [None, "q", None, "x", "7", 'd"e']),
    "identical to a text": (lambda t: t.m.a.identical_to("de"), [False] * 5 + [True]),
    "identical to texts": (lambda t: t.m.a.identical_to(t.w), [True, False, True, *[False] * 3]),
    "identical to nothing": (
        lambda t: t.m.a.identical_to(None),
        [False, True, True, True, False, False],
    ),
}


@pytest.mark.parametrize("name", CHOSEN)
def test_plain_values_combined_with_json_become_json(table, name):
    value, expected = CHOSEN[name]
    assert values(table, value) == expected


def test_computed_column_mixes_plain_values_and_json(session):
    table = bb.create_table("t", {"id": bb.Int, "m": bb.Json})
    table.add_computed_column(filled=table.m.a.fill_null("none"))
    table.add_computed_column(chosen=(table.id > 1).ifelse("k", table.m.a))
    table.insert([{"id": 1, "m": {"a": 7}}, {"id": 2, "m": {"a": None}}])
    rows = table.order_by("id").collect()
    assert rows["filled"] == [7, "none"]
    assert rows["chosen"] == [7, "k"]
    view = bb.create_view("v", table.where(table.m.a != "de"))
    assert view.collect()["id"] == [1]


COMPARED = {
    "not a text": (lambda t: t.m.a != "de", [True, None, None, None, True, False]),
    "a text": (lambda t: t.m.a == "de", [False, None, None, None, False, True]),
    "not, turned": (lambda t: ~(t.m.a == "de"), [True, None, None, None, True, False]),
    "not a number": (lambda t: t.m.a != 7, [True, None, None, None, False, True]),
    "not a fraction": (lambda t: t.m.a != 2.5, [True, None, None, None, True, True]),
    "not a boolean": (lambda t: t.m.a != True, [True, None, None, None, True, True]),  # noqa: E712
    "not texts": (lambda t: t.m.a != t.w, [False, None, None, None, True, True]),
    "not numbers": (lambda t: t.m.a != t.id, [True, None, None, None, True, True]),
    "texts, turned": (lambda t: t.w == t.m.a, [True, None, None, None, False, False]),
    "numbers, turned": (lambda t: t.id != t.m.a, [True, None, None, None, True, True]),
    "none of texts": (lambda t: t.m.a.notin(["de"]), [True, None, None, None, True, False]),
    "one of texts": (lambda t: t.m.a.isin(["de"]), [False, None, None, None, False, True]),
    "none of numbers": (lambda t: t.m.a.notin([7]), [True, None, None, None, False, True]),
    "none of nothing": (lambda t: t.m.a.notin([]), [True, None, None, None, True, True]),
}


@pytest.mark.parametrize("name", COMPARED)
def test_json_value_of_other_type_is_not_equal(table, name):
    condition, expected = COMPARED[name]
    assert values(table, condition) == expected
    remaining = table.where(condition(table)).collect()["id"]
    assert sorted(remaining) == [position for position, holds in enumerate(expected) if holds]


def test_notin_column_keeps_json_values_of_other_type(table):
    words = table.where(table.w.notnull())
    assert sorted(table.where(table.m.a.notin(words.w)).collect()["id"]) == [4, 5]
