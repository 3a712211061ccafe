"""Pickling: results can be pickled; tables, expressions and sessions raise an error with a hint."""

from __future__ import annotations

import copy
import datetime
import decimal
import multiprocessing
import pickle
import uuid
from concurrent.futures import ProcessPoolExecutor

import ibis.expr.datatypes as dt
import pytest
from PIL import Image

import barbule as bb
from barbule.errors import ExpressionError

SCHEMA = {
    "n": bb.Int,
    "text": bb.String,
    "meta": bb.Json,
    "vector": bb.Vector(2),
    "price": dt.Decimal(10, 2),
    "moment": bb.Timestamp,
    "took": bb.Duration,
    "id": bb.UUID,
    "raw": bb.Binary,
    "tags": bb.Array(bb.String),
    "part": bb.Struct({"a": bb.Int, "j": bb.Json}),
    "img": bb.Image,
    "imgs": bb.Array(bb.Image),
}


@pytest.fixture
def table(session):
    new_table = session.create_table("t", SCHEMA)
    picture = Image.new("RGB", (3, 2), "red")
    row = {
        "n": 1,
        "text": "a",
        "meta": {"a": [1, None]},
        "vector": [1.0, 2.0],
        "price": decimal.Decimal("1.50"),
        "moment": datetime.datetime(2026, 1, 31, 12, tzinfo=datetime.UTC),
        "took": datetime.timedelta(seconds=5),
        "id": uuid.UUID(int=7),
        "raw": b"\0a",
        "tags": ["x", None],
        "part": {"a": 1, "j": {"b": 2}},
        "img": picture,
        "imgs": [picture, None],
    }
    new_table.insert([row, dict.fromkeys(SCHEMA) | {"n": 2}])
    return new_table


def _without_media(rows):
    return [{name: row[name] for name in SCHEMA if not name.startswith("img")} for row in rows]


@pytest.mark.parametrize(
    "again", [copy.copy, copy.deepcopy, lambda r: pickle.loads(pickle.dumps(r))]
)
def test_result_copy_keeps_types_and_media(table, again):
    rows = table.order_by("n").collect()
    same = again(rows)
    assert type(same) is type(rows)
    assert same == rows
    assert same.schema == rows.schema
    assert _without_media(same) == _without_media(rows)
    assert same[0, "img"].size == (3, 2)
    assert [image and image.size for image in same[0, "imgs"]] == [(3, 2), None]
    assert same.to_pyarrow().equals(rows.to_pyarrow())
    assert len(again(rows[:0])) == 0
    assert again(rows[1:])["n"] == [2]
    assert repr(same) == repr(rows)


def test_pickled_slice_holds_only_its_rows(session):
    table = session.create_table("many", [{"s": "x" * 1000} for _ in range(2000)])
    rows = table.collect()
    assert len(pickle.dumps(rows[:2])) < 50_000


def test_result_is_readable_in_a_spawned_process(table):
    rows = table.order_by("n").collect()
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        there = pool.submit(list, rows).result()
        back = pool.submit(copy.copy, rows).result()
    assert _without_media(there) == _without_media(rows)
    assert there[0]["img"].size == (3, 2)
    assert (back, back.schema) == (rows, rows.schema)


def _unpicklable(table):
    return {
        "table": table,
        "query": table.filter(table.n > 1),
        "old version": table.at(0),
        "join": table.join(table.view(), "n"),
        "grouped": table.group_by("n"),
        "column": table.n,
        "media column": table.img,
        "scalar": table.n.max(),
        "expression": table.n + 1,
    }


UNPICKLABLE = "table", "query", "old version", "join", "grouped", "column", "media column", "scalar"


@pytest.mark.parametrize("kind", [*UNPICKLABLE, "expression"])
def test_pickling_a_table_or_expression_raises_with_a_hint(table, kind):
    value = _unpicklable(table)[kind]
    with pytest.raises(ExpressionError, match=r"cannot be pickled.*\.collect\(\).*get_table"):
        pickle.dumps(value)
    assert copy.copy(value) is not None
    assert copy.deepcopy([value]) != []


def test_process_pool_raises_the_same_pickling_error(table):
    with (
        ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool,
        pytest.raises(ExpressionError, match="cannot be pickled"),
    ):
        pool.submit(len, table).result()


def test_pickling_or_copying_a_session_raises_with_a_hint(session):
    for verb in (pickle.dumps, copy.deepcopy, copy.copy):
        with pytest.raises(ExpressionError, match=r"a session cannot be pickled.*get_table"):
            verb(session)
