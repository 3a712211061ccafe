"""Keys of a dict that are equal in JSON."""

from __future__ import annotations

import collections
import dataclasses

import pytest

import barbule as bb
from barbule.errors import BarbuleError, DataError, ExpressionError

ALIKE = {
    "whole": ({1: "a", "1": "b"}, "1 and '1'"),
    "turned": ({"1": "b", 1: "a"}, "'1' and 1"),
    "truth": ({True: 1, "true": 2}, "True and 'true'"),
    "none": ({None: 1, "null": 2}, "None and 'null'"),
    "float": ({1.5: 1, "1.5": 2}, "1.5 and '1.5'"),
    "inside": ({"a": [{"b": {2: 1, "2": 2}}]}, "2 and '2'"),
    "list": ([1, {"x": 1}, ({3: 1, "3": 2},)], "3 and '3'"),
    "mapping": (collections.OrderedDict([(1, 2), ("1", 3)]), "1 and '1'"),
}
OTHER = {
    "whole": ({1: "a", 2: "b"}, {"1": "a", "2": "b"}),
    "mixed": ({1: "a", "2": "b", None: 3}, {"1": "a", "2": "b", "null": 3}),
    "float": ({1.0: "a", "1": "b"}, {"1.0": "a", "1": "b"}),
    "names": (
        {True: 1, "True": 2, None: 3, "None": 4},
        {"true": 1, "True": 2, "null": 3, "None": 4},
    ),
    "inside": ({"a": {1: [1]}, "b": {"1": 2}}, {"a": {"1": [1]}, "b": {"1": 2}}),
}


@pytest.fixture
def t(session):
    table = session.create_table("t", {"n": bb.Int, "m": bb.Json, "ms": bb.Array(bb.Json)})
    table.insert(n=0, m={"a": 1})
    return table


@pytest.mark.parametrize("name", ALIKE)
def test_dict_keys_equal_in_json_are_refused(t, name):
    value, keys = ALIKE[name]
    message = f"the keys {keys} of a dict are the same key in JSON"
    for row, ask in (
        (1, lambda: t.insert([{"m": {"a": 1}}, {"m": value}])),
        (0, lambda: t.update({"m": value})),
        (0, lambda: t.upsert([{"n": 0, "m": value}], on="n")),
        (0, lambda: t.insert([{"ms": [{"a": 1}, value]}])),
    ):
        with pytest.raises(DataError, match=message) as caught:
            ask()
        assert (caught.value.table, caught.value.row) == ("t", row)
        assert caught.value.column in {"m", "ms"}
    assert t.collect()["m"] == [{"a": 1}]


@pytest.mark.parametrize("name", OTHER)
def test_non_string_keys_become_json_strings(t, name):
    value, expected = OTHER[name]
    t.update({"m": value})
    assert t.collect()["m"] == [expected]


def test_keys_of_constants_are_checked(t):
    with pytest.raises(ExpressionError, match="are the same key in JSON"):
        t.m.fill_null({1: "a", "1": "b"})
    filled = t.select(x=t.m.nothing.fill_null({1: "a", "2": "b"}))
    assert filled.collect()["x"] == [{"1": "a", "2": "b"}]


def test_function_result_with_duplicate_json_keys_raises(t):
    @bb.udf
    def count(n: int):
        return {n: "a", str(n): "b"}

    with pytest.raises(BarbuleError, match="the keys 0 and '0' of a dict are the same key in JSON"):
        t.add_computed_column(x=count(t.n))
    with pytest.raises(DataError, match="the same key in JSON"):
        t.select(x=count(t.n)).collect()


def test_dataclass_fields_in_json_are_checked(t):
    @dataclasses.dataclass
    class Note:
        counts: dict

    t.update({"m": {"note": Note({1: 2})}})
    assert t.collect()["m"] == [{"note": {"counts": {"1": 2}}}]
    with pytest.raises(DataError, match="are the same key in JSON"):
        t.update({"m": {"note": Note({1: 2, "1": 3})}})


def test_self_referencing_value_is_refused(t):
    value = {"a": 1}
    value["self"] = value
    with pytest.raises(DataError):
        t.insert(m=value)
