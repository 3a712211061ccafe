"""Slices of strings, arrays and lists in JSON match those of Python."""

from __future__ import annotations

import re
from types import SimpleNamespace

import ibis
import pytest

import barbule as bb
from barbule.errors import BarbuleError, ExpressionError

TEXTS = ["banana", "héllo wörld", "日本語テキスト", "a", "", None]
ROWS = [{"i": i, "s": s, "n": i % 4, "m": -(i % 4)} for i, s in enumerate(TEXTS * 2)]


@pytest.fixture
def texts(session):
    t = bb.create_table("texts", {"i": bb.Int, "s": bb.String, "n": bb.Int, "m": bb.Int})
    t.insert(ROWS)
    return t


# Functions of a row, of the table or of Python values.
PARTS = {
    "from the end": lambda r: r.s[-3:],
    "without the end": lambda r: r.s[:-2],
    "within": lambda r: r.s[1:-1],
    "between ends": lambda r: r.s[-4:-2],
    "longer than it is": lambda r: r.s[-100:2],
    "far": lambda r: r.s[: 2**40],
    "all": lambda r: r.s[:],
    "turned bounds": lambda r: r.s[4:2],
    "reversed": lambda r: r.s[::-1],
    "from a column": lambda r: r.s[r.n :],
    "between columns": lambda r: r.s[r.n : r.n + 2],
    "from a negative column": lambda r: r.s[r.m :],
    "to a negative column": lambda r: r.s[: r.m],
    "between signs": lambda r: r.s[r.m : r.n],
    "found": lambda r: r.s.find("a"),
    "found after": lambda r: r.s.find("a", 2),
    "found near the end": lambda r: r.s.find("l", -2),
    "found before": lambda r: r.s.find("a", 0, -3),
    "found between columns": lambda r: r.s.find("a", r.m, r.n),
    "nothing beyond": lambda r: r.s.find("", 3),
    "repeated": lambda r: r.s * r.n,
    "repeats": lambda r: r.n * r.s,
    "repeated less than once": lambda r: r.s * r.m,
    "constant": lambda r: "ab" * r.n,
    "constant that repeats": lambda r: r.n * "ab",
}


def test_string_slices_match_python(texts):
    actual = texts.order_by("i").select(**{name: make(texts) for name, make in PARTS.items()})
    rows = actual.collect()
    for name, make in PARTS.items():
        constant = name.startswith("constant")
        expected = [
            make(SimpleNamespace(**row)) if constant or row["s"] is not None else None
            for row in ROWS
        ]
        assert rows[name] == expected, name


def test_string_slices_work_in_columns_and_views(texts):
    texts.add_computed_column(end=texts.s[-2:], stored=True)
    texts.add_computed_column(place=texts.s.find("a", -2))
    texts.insert(i=50, s="xya", n=0, m=0)
    last = texts.where(texts.i == 50).collect()[0]
    assert (last["end"], last["place"]) == ("ya", 2)
    ends = bb.create_view("ends", texts.where(texts.s[texts.m :] == "ana"))
    assert [row["s"] for row in ends.collect()] == [
        row["s"] for row in ROWS if row["s"] and row["s"][row["m"] :] == "ana"
    ]


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda t: t.s[::2], r"a slice of a string has no step.*reverse\(\)"),
        (lambda t: t.s * 1.5, r"\* is not supported between 's' \(string\) and 1.5"),
        (lambda t: t.s * True, r"\* is not supported between 's' \(string\) and True"),
        (lambda t: t.s * "a", r"\* is not supported between 's'"),
        (lambda t: (t.i / 2) * "a", r"\* is not supported between"),
        (lambda t: t.i.isin(t.s), r"isin\(\) of 'i' \(int64\) does not take 's' \(string\)"),
    ],
)
def test_unsupported_string_operations_are_refused(texts, use, message):
    with pytest.raises(ExpressionError, match=message) as caught:
        use(texts)
    assert not re.search("object at 0x", str(caught.value))


LISTS = [[1, 2, 3], [], [5], [3, 1, 2, 3, 9], None]


@pytest.fixture
def lists(session):
    kinds = {"i": bb.Int, "a": "array<int64>", "v": bb.Vector(3), "j": bb.Json, "k": bb.Int}
    t = bb.create_table("lists", kinds)
    t.insert([{"i": i, "a": a, "v": [i, 1, 2], "j": a, "k": -(i % 3)} for i, a in enumerate(LISTS)])
    return t


SLICES = [
    slice(None, None, 2), slice(None, None, -1), slice(1, 4, 2), slice(-2, None, 1),
    slice(None, None, -2), slice(3, 0, -1), slice(-9, 9, 3), slice(0, 2, -1), slice(4, -9, -2),
]  # fmt: skip


@pytest.mark.parametrize("part", SLICES, ids=str)
@pytest.mark.parametrize("column", ["a", "j"])
def test_array_slices_with_step_match_python(lists, part, column):
    rows = lists.order_by("i").select(x=lists[column][part]).collect()["x"]
    assert rows == [None if a is None else a[part] for a in LISTS]


def test_slices_with_column_bounds_and_of_vectors(lists):
    created = {"a": lists.a[lists.k :: -1], "v": lists.v[::2], "back": lists.v[::-1]}
    rows = lists.order_by("i").select(**created).collect()
    assert rows["a"] == [None if a is None else a[-(i % 3) :: -1] for i, a in enumerate(LISTS)]
    assert rows["v"] == [[float(i), 2.0] for i in range(5)]
    assert rows["back"] == [[2.0, 1.0, float(i)] for i in range(5)]
    lists.add_computed_column(other=lists.a[::2], stored=True)
    assert lists.order_by("i").collect()["other"][3] == [3, 2, 9]
    with pytest.raises(ExpressionError, match="must be an integer other than zero"):
        lists.a[::0]


def test_repeat_of_null_array_is_null(lists):
    rows = lists.order_by("i").select(x=lists.a * 2, y=lists.a * 0, z=2 * lists.a).collect()
    assert rows["x"] == rows["z"] == [None if a is None else a * 2 for a in LISTS]
    assert rows["y"] == [None if a is None else [] for a in LISTS]
    with pytest.raises(ExpressionError, match=r"\* is not supported between 'a'"):
        lists.a * 1.5


def test_array_equals_constant_of_narrower_type(lists):
    a = lists.a
    created = {
        "five": a == [5], "other": a != [5], "empty": a == [], "either": a.isin([[5], []]),
        "shorts": a == ibis.literal([5], "array<int8>"),
    }  # fmt: skip
    rows = lists.order_by("i").select(**created).collect()
    assert rows["five"] == rows["shorts"] == [False, False, True, False, None]
    assert rows["other"] == [True, True, False, True, None]
    assert rows["empty"] == [False, True, False, False, None]
    assert rows["either"] == [False, True, True, False, None]


JSON = [
    {"l": [1, 2], "d": [{"s": 0.9}, {}, {"s": 0.7}], "x": 3.5},
    {"l": ["a", "b"], "d": [{"s": 0.1}], "x": -2},
    {"l": [10, 9, "b", None], "x": "text"},
    {"l": 7},
]


@pytest.fixture
def meta(session):
    t = bb.create_table("meta", {"k": bb.Int, "m": bb.Json})
    t.insert([{"k": k, "m": m} for k, m in enumerate(JSON)])
    return t


def test_json_slices_work_in_paths(meta):
    created = {"all": meta.m.d[:].s, "first": meta.m.d[:1].s, "last": meta.m.l[-1:],
            "odd": meta.m.l[1::2], "of text": meta.m.x[:2]}  # fmt: skip
    rows = meta.order_by("k").select(**created).collect()
    assert rows["all"] == [[0.9, None, 0.7], [0.1], None, None]
    assert rows["first"] == [[0.9], [0.1], None, None]
    assert rows["last"] == [[2], ["b"], [None], None]
    assert rows["odd"] == [[2], ["b"], [9, None], None]
    assert rows["of text"] == [None] * 4


def test_json_array_aggregates(meta):
    items = meta.m.l.array
    created = {"sum": items.sums(), "mean": items.means(), "min": items.mins(), "max": items.maxs()}
    rows = meta.order_by("k").select(**created).collect()
    assert rows["sum"] == [3.0, None, 19.0, None]
    assert rows["mean"] == [1.5, None, 9.5, None]
    assert rows["min"] == [1, "a", 9, None]  # 9 before 10
    assert rows["max"] == [2, "b", "b", None]


def test_abs_and_round_of_json_numbers(meta):
    created = {"size": abs(meta.m.x), "round": round(meta.m.x, 0), "one": round(meta.m.x, 1)}
    rows = meta.order_by("k").select(**created).collect()
    assert rows["size"] == [3.5, 2.0, None, None]
    assert rows["round"][1:] == [-2, None, None]
    assert rows["one"] == [3.5, -2.0, None, None]


def test_isin_json_array_of_same_row(meta):
    expected = [False, False, False, None]
    for query in (meta, meta.order_by("k"), meta.filter(meta.k >= 0), meta.mutate(z=1)):
        rows = query.order_by("k").select(x=meta.k.isin(meta.m.l), y=meta.k.notin(meta.m.l))
        assert rows.collect()["x"] == expected
        assert rows.collect()["y"] == [None if flag is None else not flag for flag in expected]
    nines = meta.order_by("k").select("k", x=(meta.k + 7).isin(meta.m.l)).collect()
    assert nines["x"] == [False, False, True, None]
    view = bb.create_view("nines", meta.order_by("k").filter((meta.k + 7).isin(meta.m.l)))
    assert view.collect()["k"] == [2]


def test_json_map_get_returns_default_for_missing_key(meta):
    rows = meta.order_by("k").select(x=meta.m.map.get("x", "none"), y=meta.m.map.get("x", 0))
    assert rows.collect()["x"] == [3.5, -2, "text", "none"]
    assert rows.collect()["y"] == [3.5, -2, "text", 0]


def test_json_items_can_be_indexed_by_column(meta):
    rows = meta.order_by("k").select(x=meta.m.l[meta.k]).collect()
    assert rows["x"] == [1, "b", "b", None]


def test_number_index_on_json_object_is_null(session):
    t = bb.create_table("t", {"j": bb.Json})
    t.insert([{"j": {"0": "zero"}}, {"j": ["first"]}])
    assert sorted(t.select(x=t.j[0]).collect()["x"], key=str) == [None, "first"]


def test_json_array_method_errors_have_hints(meta):
    with pytest.raises(ExpressionError, match=r"__getitem__\(\).*array<json>"):
        meta.m.l.array["a"]
    with pytest.raises(BarbuleError, match=r"has no method 'jion'.*join"):
        meta.m.l.array.jion(",")
