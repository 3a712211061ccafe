"""Json columns: paths, arithmetic and comparisons with plain values."""

from __future__ import annotations

import pytest

import barbule as bb


@pytest.fixture
def table(session):
    table = bb.create_table("t", {"n": bb.Int, "meta": bb.Json})
    table.insert(
        [
            {"n": 1, "meta": {"lang": "de", "score": 2, "ok": True, "tags": [{"k": 5}]}},
            {"n": 2, "meta": {"lang": "en", "score": 0.5, "ok": False, "tags": []}},
            {"n": 3, "meta": {"lang": 7, "score": "high"}},
            {"n": 4, "meta": None},
        ]
    )
    return table.order_by("n")


def test_json_paths_select_values(table):
    rows = table.select(lang=table.meta.lang, k=table.meta.tags[0].k, no=table.meta.a.b).collect()

    assert rows["lang"] == ["de", "en", 7, None]
    assert rows["k"] == [5, None, None, None]
    assert rows["no"] == [None] * 4


def test_json_numbers_work_in_arithmetic(table):
    score = table.meta.score
    rows = table.select(
        left=0.5 * score, right=score - 1, column=score / table.n, both=score + score, minus=-score
    ).collect()

    assert rows["left"] == [1.0, 0.25, None, None]
    assert rows["right"] == [1.0, -0.5, None, None]
    assert rows["column"] == [2.0, 0.25, None, None]
    assert rows["both"] == [4.0, 1.0, None, None]
    assert rows["minus"] == [-2.0, -0.5, None, None]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (lambda m: m.lang == "de", [1]),
        (lambda m: m.lang != "de", [2, 3]),
        (lambda m: m.score > 1, [1]),
        (lambda m: m.score <= 0.5, [2]),
        (lambda m: m.score == 2, [1]),
        (lambda m: m.ok == True, [1]),  # noqa: E712 - an expression
        (lambda m: m.lang == m.lang, [1, 2, 3]),
        (lambda m: 1 < m.score, [1]),  # noqa: SIM300
    ],
)
def test_json_is_compared_by_the_type_of_the_other_operand(table, condition, expected):
    assert table.filter(condition(table.meta)).collect()["n"] == expected


def test_computed_column_of_json_is_updated(session):
    table = bb.create_table("t", {"meta": bb.Json})
    table.add_computed_column(double=table.meta.score * 2)
    table.insert(meta={"score": 4})
    table.update({"meta": {"score": 5}})

    assert table.collect()["double"] == [10.0]
