"""Lists in Json columns: items, paths through each item, and membership."""

from __future__ import annotations

import ibis
import pytest

import barbule as bb
from barbule.errors import ExpressionError


@pytest.fixture
def table(session):
    table = bb.create_table(
        "t", {"n": bb.Int, "boxes": bb.Json, "whole": bb.Json, "items": bb.Array(bb.Json)}
    )
    table.insert(
        [
            {
                "n": 1,
                "boxes": [{"a": 1, "b": "x", "c": [1, 2]}, {"a": 2, "b": "y", "c": [3]}],
                "whole": {"boxes": [{"label": "cat", "at": [5, 6]}, {"label": "dog"}]},
                "items": ["x", 2, {"q": 1}],
            },
            {"n": 2, "boxes": None, "whole": {"boxes": "no list"}, "items": []},
            {"n": 3, "boxes": [], "whole": {}, "items": None},
        ]
    )
    return table.order_by("n")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (lambda t: t.boxes["*"].a, [[1, 2], None, []]),
        (lambda t: t.whole.boxes["*"].label, [["cat", "dog"], None, None]),
        (lambda t: t.whole["boxes"]["*"]["at"][0], [[5, None], None, None]),
        (lambda t: t.boxes["*"].c["*"], [[1, 2, 3], None, []]),
        (lambda t: t.boxes["*"].a.length(), [2, None, 0]),
        (lambda t: t.boxes["*"].a.array[0], [1, None, None]),
        (lambda t: t.boxes["*"].a[:1], [[1], None, []]),
    ],
)
def test_path_continues_in_each_list_item(table, path, expected):
    assert table.select(x=path(table)).collect()["x"] == expected


@pytest.mark.parametrize(
    ("mapped", "expected"),
    [
        (lambda box: box.a, [[1, 2], None, []]),
        (lambda box: box["b"], [["x", "y"], None, []]),
        (lambda box: box.b.upper(), [["X", "Y"], None, []]),
        (lambda box: box.c[0], [[1, 3], None, []]),
    ],
)
def test_map_reads_item_fields(table, mapped, expected):
    assert table.select(x=table.boxes.array.map(mapped)).collect()["x"] == expected


def test_mapped_lists_are_concatenated(table):
    boxes = table.boxes.array
    both = boxes.map(lambda box: box.a) + boxes.map(lambda box: box.b)
    assert table.select(x=both).collect()["x"] == [[1, 2, "x", "y"], None, []]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (lambda t: t.items.contains("x"), [True, False, None]),
        (lambda t: t.items.contains(2), [True, False, None]),
        (lambda t: t.items.contains(2.0), [True, False, None]),
        (lambda t: t.items.contains("2"), [False, False, None]),
        (lambda t: t.boxes["*"].a.contains(3), [False, None, False]),
        (lambda t: t.whole.boxes["*"].label.contains("dog"), [True, None, None]),
    ],
)
def test_contains_matches_items_of_the_same_type(table, query, expected):
    assert table.select(x=query(table)).collect()["x"] == expected


def test_large_integers_are_matched_exactly(session):
    table = bb.create_table("ids", {"j": bb.Json})
    table.insert(j=[2**60])
    assert table.select(x=table.j.array.contains(2**60)).collect()["x"] == [True]
    assert table.select(x=table.j.array.contains(2**60 + 1)).collect()["x"] == [False]


def test_isin_accepts_the_list_of_the_row(table):
    assert table.filter(table.n.isin(table.boxes["*"].a)).collect()["n"] == [1]
    assert table.filter(table.n.isin(table.items)).collect()["n"] == []
    lists = bb.create_table("lists", {"n": bb.Int, "word": bb.String, "j": bb.Json})
    lists.insert([{"n": 2, "word": "a", "j": [10, 2]}, {"n": 3, "word": "b", "j": ["b"]}])
    assert lists.filter(lists.n.isin(lists.j)).collect()["n"] == [2]
    assert lists.filter(lists.word.isin(lists.j)).collect()["n"] == [3]
    view = bb.create_view("in_list", lists.filter(lists.n.isin(lists.j)))
    lists.insert(n=7, word="c", j=[7])
    assert sorted(view.collect()["n"]) == [2, 7]


def test_sort_orders_numbers_before_strings(session):
    table = bb.create_table("lists", {"j": bb.Json})
    table.insert(j=[10, "b", 2, "a", 1.5])
    assert table.select(x=table.j.array.sort()).collect()["x"] == [[1.5, 2, 10, "a", "b"]]


def test_stored_projection_is_updated(table):
    table = bb.get_table("t")
    table.add_computed_column(labels=table.whole.boxes["*"].label, stored=True)
    table.insert(n=4, whole={"boxes": [{"label": "owl"}]})
    table.update({"whole": {"boxes": [{"label": "hen"}]}}, where=table.n == 3)
    assert table.order_by("n").collect()["labels"] == [["cat", "dog"], None, ["hen"], ["owl"]]
    assert table.where(table.labels.contains("owl")).collect()["n"] == [4]


def test_star_key_is_read_through_map(session):
    table = bb.create_table("odd", {"j": bb.Json})
    table.insert(j={"*": 5})
    assert table.select(x=table.j["*"]).collect()["x"] == [None]
    assert table.select(x=table.j.map["*"]).collect()["x"] == [5]


def test_method_on_projected_items_is_rejected_with_a_hint(table):
    with pytest.raises(
        ExpressionError, match=r"on all items of a list at once.*array\.map\(lambda box"
    ):
        table.whole.boxes["*"].label.upper()


def test_structs_and_maps_within_lists_are_dicts(table):
    literal = ibis.literal([{"a": 1}, {"b": 2}])
    rows = table.select(x=literal, y=ibis.literal({"a": 1, "b": [{"c": 2}]})).limit(1).collect()
    assert rows["x"] == [[{"a": 1}, {"b": 2}]]
    assert rows["y"] == [{"a": 1, "b": [{"c": 2}]}]
