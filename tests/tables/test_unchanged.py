"""Writing an equal value changes nothing: no version, no call."""

from __future__ import annotations

import datetime
import decimal
import math
from pathlib import Path

import ibis
import numpy as np
import pytest
from ibis import _

import barbule as bb
from barbule.errors import DataError

UTC = datetime.UTC
VALUES = [
    (bb.Int, 2**60, 2**60 + 1),
    (bb.Float, 0.1, 0.2),
    (bb.Float, math.nan, 1.0),
    (bb.String, "naïve\n", ""),
    (bb.Bool, False, True),
    (bb.Binary, b"\x00", b"\x01"),
    (
        "timestamp('UTC')",
        datetime.datetime(2024, 5, 1, 12, tzinfo=UTC),
        datetime.datetime(2024, 5, 1, 13, tzinfo=UTC),
    ),
    (bb.Date, datetime.date(2024, 5, 1), datetime.date(2024, 5, 2)),
    ("decimal(10, 2)", decimal.Decimal("1.20"), decimal.Decimal("1.21")),
    (bb.Json, {"a": [1, None]}, {"a": [1, 2]}),
    (bb.Vector(2), [1.0, 2.0], [1.0, 3.0]),
    (bb.Array(bb.String), ["a", None], ["a"]),
    (bb.Array(bb.String), [], None),
    (bb.Struct({"a": bb.Int, "b": bb.String}), {"a": 1, "b": None}, {"a": 1, "b": ""}),
    (bb.Int, None, 0),
    (bb.String, "", None),
]


@pytest.fixture
def calls():
    return []


@pytest.fixture
def traced(calls):
    @bb.udf(name="unchanged.seen")
    def traced(key: int) -> int:
        calls.append(key)
        return key

    return traced


@pytest.mark.parametrize("with_view", [False, True])
@pytest.mark.parametrize(("kind", "value", "other"), VALUES)
def test_write_of_equal_value_creates_no_version(session, kind, value, other, with_view):
    table = session.create_table("t", {"key": bb.Int, "x": kind})
    table.insert([{"key": 1, "x": value}, {"key": 2, "x": other}])
    if with_view:
        session.create_view("v", table)
    for done in (
        table.update({"x": value}, where=_.key == 1),
        table.update({"x": _.x}),
        table.upsert([{"key": 1, "x": value}, {"key": 2, "x": other}], on="key"),
        table.batch_update([{"key": 2, "x": other}], on="key"),
    ):
        assert (done.rows, done.version) == (0, 1)
    assert table.update({"x": other}).rows == 1
    assert table.upsert([{"key": 1, "x": value}, {"key": 2, "x": other}], on="key").updated == 1
    assert len(table.history()) == 4


def test_functions_are_called_only_for_changed_inputs(session, traced, calls):
    table = session.create_table("t", [{"key": n, "x": n % 2, "y": n} for n in range(6)])
    table.add_computed_column(z=traced(table.x + 10 * table.y))
    calls.clear()
    assert table.update({"x": 1}).rows == 3
    assert sorted(calls) == [1, 21, 41]
    calls.clear()
    done = table.update({"x": _.x, "y": ibis.ifelse(_.key == 3, 30, _.y)})
    assert (done.rows, calls) == (1, [301])
    assert table.filter(_.key == 3).collect()["z"] == [301]


def test_upsert_of_equal_frames_changes_nothing(session, traced, calls):
    table = session.create_table("t", [{"key": n, "x": 0.5 * n} for n in range(5)])
    table.add_computed_column(z=traced(table.key))
    calls.clear()
    for rows in (table.select("key", "x").to_pandas(), table.select("key", "x").to_pyarrow()):
        assert table.upsert(rows, on="key").rows == 0
    assert calls == []
    assert len(table.history()) == 2


def test_value_is_validated_even_if_unchanged(session):
    table = session.create_table("t", {"key": bb.Int, "x": bb.Int(nullable=False)})
    table.insert(key=1, x=1)
    with pytest.raises(DataError, match="column 'x'"):
        table.update({"x": None})
    with pytest.raises(DataError, match="not a number"):
        table.upsert([{"key": 1, "x": "one"}], on="key")


def test_update_with_random_values_changes_all_rows(session):
    table = session.create_table("t", {"key": bb.Int, "x": bb.Float})
    table.insert([{"key": n, "x": 2.0} for n in range(20)])
    assert table.update({"x": ibis.random()}).rows == 20
    assert all(0 <= x < 1 for x in table.collect()["x"])
    assert table.count().to_pyarrow().as_py() == 20


def test_upsert_with_many_combinations_of_changed_columns(session, traced, calls):
    columns = [f"c{n}" for n in range(7)]
    table = session.create_table("t", [{"key": n, **dict.fromkeys(columns, 0)} for n in range(128)])
    table.add_computed_column(z=traced(table.key + 1000 * table.c0))
    calls.clear()
    source = [
        {"key": n, **{name: n >> position & 1 for position, name in enumerate(columns)}}
        for n in range(128)
    ]
    assert table.upsert(source, on="key").updated == 127
    # Rows of the rarest kinds of changes are written together.
    assert {key - 1000 for key in calls if key > 1000} == set(range(1, 128, 2))
    assert len(calls) <= 128
    displayed = table.order_by("key").select("key", *columns).collect()
    assert list(displayed) == source
    assert table.count().to_pyarrow().as_py() == 128


class TestMedia:
    """The file behind an unchanged reference may have changed."""

    @pytest.fixture
    def notes(self, session, calls, tmp_path):
        @bb.udf(name="unchanged.length")
        def length(note: bb.Document) -> int:
            calls.append(1)
            return len(Path(note).read_text())

        (tmp_path / "a.txt").write_text("one")
        table = session.create_table("notes", {"key": bb.Int, "note": bb.Document})
        table.insert(key=1, note=str(tmp_path / "a.txt"))
        table.add_computed_column(size=length(table.note))
        calls.clear()
        return table

    def test_media_with_same_content_is_unchanged(self, notes, calls, tmp_path):
        path = str(tmp_path / "a.txt")
        assert notes.update({"note": path}).rows == 0
        assert notes.upsert([{"key": 1, "note": path}], on="key").rows == 0
        assert notes.update({"note": notes.note}).rows == 0
        assert calls == []

    def test_media_with_new_content_is_a_change(self, notes, calls, tmp_path):
        path = tmp_path / "a.txt"
        path.write_text("three")
        assert notes.update({"note": notes.note}, where=notes.note.changed()).rows == 1
        assert (notes.collect()["size"], calls) == ([5], [1])
        path.write_text("seven")  # of the same length
        assert notes.upsert([{"key": 1, "note": str(path)}], on="key").rows == 1
        assert len(calls) == 2
        assert notes.filter(notes.note.changed()).count().to_pyarrow().as_py() == 0

    def test_stored_media_are_compared_by_content(self, session, calls):
        table = session.create_table("p", {"key": bb.Int, "img": bb.Image})
        pixels = np.zeros((2, 2, 3), np.uint8)
        table.insert(key=1, img=pixels)
        assert table.upsert([{"key": 1, "img": pixels}], on="key").rows == 0
        assert table.upsert([{"key": 1, "img": pixels + 1}], on="key").rows == 1

    def test_unvalidated_media_count_as_changed(self, session, tmp_path):
        path = tmp_path / "b.txt"
        path.write_text("one")
        table = session.create_table(
            "n", {"key": bb.Int, "note": bb.Document}, media_validation="on_read"
        )
        table.insert([{"key": 1, "note": str(path)}, {"key": 2, "note": None}])
        assert table.update({"note": table.note}).rows == 1

    def test_update_to_null_removes_cell_error(self, session):
        table = session.create_table("n", {"key": bb.Int, "note": bb.Document})
        table.insert([{"key": 1, "note": "no such file.txt"}], on_error="null")
        assert table.errors().count().to_pyarrow().as_py() == 1
        assert table.update({"note": None}).rows == 1
        assert table.errors().count().to_pyarrow().as_py() == 0
        assert table.update({"note": None}).rows == 0


def test_batch_update_with_unknown_keys_changes_nothing(session):
    table = session.create_table("t", [{"k": 1, "s": "a"}, {"k": 2, "s": "b"}])
    version = table.history()[0, "version"]
    for rows in ([{"k": 9, "s": "n"}], [{"k": 9, "s": "n"}, {"k": 8}], []):
        done = table.batch_update(rows, on="k", if_not_exists="ignore")
        assert (done.rows, done.updated, done.inserted, done.version) == (0, 0, 0, version)
    assert table.batch_update([{"k": 1}], on="k").rows == 0
    done = table.batch_update([{"k": 1, "s": "x"}, {"k": 9}], on="k", if_not_exists="ignore")
    assert (done.rows, done.updated, done.version) == (1, 1, version + 1)
    assert len(table.history()) == version + 2
