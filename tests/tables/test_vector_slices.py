"""Items, slices and array methods of vectors: values as in Python, and types."""

from __future__ import annotations

import itertools

import ibis
import numpy as np
import pytest
from ibis import _

import barbule as bb

VECTOR = [float(n) for n in range(8)]
BOUNDS = [None, 0, 1, 3, 7, 8, 11, -1, -3, -8, -11]


@pytest.fixture
def table(session):
    table = bb.create_table("t", {"n": bb.Int, "v": bb.Vector(8), "w": bb.Vector(8)})
    rows = [{"n": 0, "v": VECTOR, "w": VECTOR[::-1]}, {"n": 1, "v": None, "w": None}]
    table.insert(rows)
    return table


def cells(table, value):
    return table.order_by("n").select(x=value).collect()["x"]


def test_vector_slices_match_python(table):
    expected = {}
    for start, stop in itertools.product(BOUNDS, BOUNDS):
        expected[f"{start}:{stop}"] = slice(start, stop)
    row = table.where(table.n == 0).select(**{k: table.v[s] for k, s in expected.items()})
    assert row.collect()[0] == {name: VECTOR[part] for name, part in expected.items()}


def test_vector_slice_type_has_its_length(table):
    assert table.v[:3].type() == bb.Vector(3)
    assert table.v[-3:].type() == bb.Vector(3)
    assert table.v[5:100].type() == bb.Vector(3)
    assert table.v[3:3].type() == bb.Array("float32")
    assert table.v[: table.n].type() == bb.Array("float32")
    assert cells(table, table.v[:3]) == [[0.0, 1.0, 2.0], None]
    assert cells(table, table.v[: table.n + 2]) == [[0.0, 1.0], None]
    assert cells(table, _.v[:2]) == [[0.0, 1.0], None]


@pytest.mark.parametrize("place", [0, 3, 7, -1, -8])
def test_vector_items(table, place):
    assert cells(table, table.v[place]) == [VECTOR[place], None]


@pytest.mark.parametrize("place", [8, -9])
def test_vector_item_out_of_range_is_null(table, place):
    assert cells(table, table.v[place]) == [None, None]


def test_array_methods_of_vectors(table):
    assert cells(table, table.v.filter(lambda x: x > 5)) == [[6.0, 7.0], None]
    assert cells(table, table.v.remove(1.0))[0] == [x for x in VECTOR if x != 1]
    assert sorted(cells(table, table.v.unique())[0]) == VECTOR
    assert cells(table, table.v.concat(table.w))[0] == VECTOR + VECTOR[::-1]
    assert cells(table, table.v.map(lambda x: x * 2))[0] == [2 * x for x in VECTOR]
    assert cells(table, table.v.sort()) == [VECTOR, None]
    assert table.v.sort().type() == bb.Vector(8)
    assert cells(table, table.v.repeat(2))[0] == VECTOR * 2
    assert sorted(cells(table, table.v.intersect(table.w))[0]) == VECTOR
    assert sorted(cells(table, table.v.union(table.w))[0]) == VECTOR


def test_sliced_vector_column_can_be_searched(table):
    table.add_computed_column(short=table.v[:4])
    assert table.short.type() == bb.Vector(4)
    table.insert(n=2, v=[0, 0, 0, 1, 9, 9, 9, 9], w=VECTOR)
    table.add_embedding_index("short")
    near = table.order_by(table.short.similarity([0, 0, 0, 2]), asc=False).limit(1)
    assert near.collect()["n"] == [2]
    assert np.allclose(near.collect()[0, "short"], [0, 0, 0, 1])


def test_slices_of_fixed_length_string_arrays(session):
    table = bb.create_table("words", {"w": bb.Array(bb.String, length=3)})
    table.insert(w=["a", "b", "c"])
    assert table.select(x=table.w[1:], y=table.w[-1]).collect()[0] == {"x": ["b", "c"], "y": "c"}


def test_vector_slices_in_filters_and_views(table):
    assert table.where(table.v[2] == 2).count().execute() == 1
    view = bb.create_view("firsts", table.select(table.n, first=table.v[:2]))
    assert view.order_by("n").collect()["first"] == [[0.0, 1.0], None]
    rows = table.select(l=table.v[1:4].length(), s=ibis._.v[1:4].sums()).collect()
    assert rows[0] == {"l": 3, "s": 6.0}
