"""Numbers in JSON are compared with integers exactly."""

from __future__ import annotations

import pytest

import barbule as bb

A, B, HASH = 2**60, 2**60 + 1, 2**63 + 5  # two ids that are equal as float64; one of 64 bits
VALUES = [A, HASH, 2.5, 5, 5.0, -7, "5", "x", True, None, 1e300]


@pytest.fixture
def posts(session):
    """Return numbered rows of JSON values of all kinds."""
    t = bb.create_table("posts", {"i": bb.Int, "meta": bb.Json})
    t.insert([{"i": position, "meta": {"id": value}} for position, value in enumerate(VALUES)])
    return t


CONDITIONS = {
    "equal": (lambda m: m == A, [0]),
    "equal to its neighbour": (lambda m: m == B, []),
    "equal to a hash": (lambda m: m == HASH, [1]),
    "equal to a small number": (lambda m: m == 5, [3, 4]),
    "equal to a float": (lambda m: m == 5.0, [3, 4]),
    "equal to a fraction": (lambda m: m == 2.5, [2]),
    "reflected": (lambda m: m == 5, [3, 4]),
    "not equal": (lambda m: m != 5, [0, 1, 2, 5, 6, 7, 8, 10]),
    "not the neighbour": (lambda m: m != B, [0, 1, 2, 3, 4, 5, 6, 7, 8, 10]),
    "less": (lambda m: m < 5, [2, 5]),
    "less than a neighbour": (lambda m: (m < B) & (m > 5), [0]),
    "greater": (lambda m: m > 2, [0, 1, 2, 3, 4, 10]),
    "at least the neighbour": (lambda m: m >= B, [1, 10]),
    "between": (lambda m: m.between(0, A - 1), [2, 3, 4]),
    "between with its end": (lambda m: m.between(0, A), [0, 2, 3, 4]),
    "between fractions": (lambda m: m.between(2.5, 5), [2, 3, 4]),
    "one of": (lambda m: m.isin([7, B]), []),
    "one of, turned": (lambda m: m.isin([B, 7]), []),
    "one of with it": (lambda m: m.isin([7, A]), [0]),
    "one of with a hash": (lambda m: m.isin([HASH, 3]), [1]),
    "one of several kinds": (lambda m: m.isin([2.5, 5, "x", B]), [2, 3, 4, 7]),
    "one of several kinds, turned": (lambda m: m.isin(["x", B, 5, 2.5]), [2, 3, 4, 7]),
    "one of truths and numbers": (lambda m: m.isin([True, 5]), [3, 4, 8]),
    "one of nothing": (lambda m: m.isin([]), []),
    "none of": (lambda m: m.notin([5]), [0, 1, 2, 5, 6, 7, 8, 10]),
    "none of several kinds": (lambda m: m.notin([5, "x"]), [0, 1, 2, 5, 6, 8, 10]),
}


@pytest.mark.parametrize("name", CONDITIONS)
def test_json_number_conditions_match_python(posts, name):
    condition, expected = CONDITIONS[name]
    actual = posts.where(condition(posts.meta.id))
    assert sorted(actual.collect()["i"]) == expected
    posts.add_computed_column(holds=condition(posts.meta.id))
    assert sorted(posts.where(posts.holds).collect()["i"]) == expected


def test_join_on_large_json_id_is_exact(posts):
    users = bb.create_table("users", {"id": bb.Int, "big": "uint64", "name": bb.String})
    users.insert(
        [
            {"id": A, "big": A, "name": "right"},
            {"id": B, "big": HASH, "name": "somebody else"},
            {"id": 5, "big": 7, "name": "five"},
        ]
    )
    joined = posts.join(users, posts.meta.id == users.id)
    assert sorted(joined.collect()["name"]) == ["five", "five", "right"]
    wide = posts.join(users, posts.meta.id == users.big)
    assert sorted(wide.collect()["name"]) == ["right", "somebody else"]
    crossed = posts.join(users, []).filter(lambda q: q.meta.id == q.id)
    assert crossed.count().to_pyarrow().as_py() == 3
    assert sorted(posts.where(posts.meta.id.isin(users.id)).collect()["i"]) == [0, 3, 4]


def test_json_comparison_is_false_for_other_types(posts):
    same = posts.order_by("i").select(same=posts.meta.id == 5).collect()["same"]
    assert same == [False] * 3 + [True, True] + [False] * 4 + [None, False]


def test_casts_of_large_json_numbers(posts):
    rows = posts.order_by("i")
    assert rows.select(x=posts.meta.id.try_cast("int64")).collect()["x"][:2] == [A, None]
    full = rows.limit(2)
    assert full.select(x=full.meta.id.cast("uint64")).collect()["x"] == [A, HASH]
    assert rows.select(x=posts.meta.id.fill_null(0)).collect()[2, "x"] == 2.5


EDGE = 2**53
NEAR = [
    EDGE - 1,
    EDGE,
    EDGE + 1,
    -EDGE,
    -EDGE - 1,
    3,
    3.0,
    2.9999999999999996,
    3.5,
    2**63 + 5,
    1e300,
]
CONSTANTS = [3, 3.0, -3, 0, EDGE - 1, EDGE, EDGE + 1, -EDGE + 1, -EDGE, -EDGE - 1, 2**63 + 5]


@pytest.fixture
def edges(session):
    t = bb.create_table("edges", {"i": bb.Int, "m": bb.Json})
    values = [*NEAR, "3", "x", True, None, [3], {"n": 3}]
    t.insert([{"i": position, "m": {"n": value}} for position, value in enumerate(values)])
    return t


@pytest.mark.parametrize("constant", CONSTANTS)
def test_json_numbers_near_2_53_compare_like_python(edges, constant):
    comparisons = {
        "==": (lambda m, c: m == c),
        ">": (lambda m, c: m > c),
        ">=": (lambda m, c: m >= c),
        "<": (lambda m, c: m < c),
        "<=": (lambda m, c: m <= c),
        "between": (lambda m, c: m.between(c, c)),
        "isin": (lambda m, c: m.isin([c])),
        "isin more": (lambda m, c: m.isin([c, -77])),
    }
    python = {"between": "==", "isin": "==", "isin more": "=="}
    for name, compare in comparisons.items():
        same = comparisons[python.get(name, name)]
        expected = [position for position, value in enumerate(NEAR) if same(value, constant)]
        rows = edges.where(compare(edges.m.n, constant)).collect()["i"]
        assert sorted(rows) == expected, (name, constant)
    others = edges.where(edges.m.n != constant).collect()["i"]
    equal = [position for position, value in enumerate(NEAR) if value == constant]
    assert sorted(others) == [n for n in range(17) if n not in equal and n != 14]


def test_json_item_comparison_compiles_without_int_cast(edges, backend_name):
    if backend_name != "duckdb":
        pytest.skip("it checks the SQL of DuckDB")
    for condition in (edges.m.n > 3, edges.m.n > 3.5, edges.m.n.between(1, 2), edges.m.n.isin([1])):
        sql = edges.where(condition).compile()
        assert "JSON_TYPE" in sql
        assert "AS BIGINT" not in sql
