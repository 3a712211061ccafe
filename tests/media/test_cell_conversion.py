"""Conversion of Python values to Arrow cells and back, per type."""

from __future__ import annotations

import dataclasses
import datetime
from pathlib import Path

import numpy as np
import pydantic
import pytest

import barbule as bb
from barbule.errors import DataError
from barbule.media.library import MediaLibrary
from barbule.types import dtype
from barbule.values.cells import arrow_type, reader, to_array


@pytest.fixture
def library(tmp_path):
    return MediaLibrary(str(tmp_path / "media"), tmp_path / "cache")


def round_trip(values, kind, library):
    kind = dtype(kind)
    read = reader(kind)
    cells = to_array(values, kind, library).to_pylist()
    return [cell if read is None or cell is None else read(cell) for cell in cells]


NOON = datetime.datetime.fromisoformat("2024-01-02T12:30")


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (bb.String, ["a", None, "", "ü"]),
        (bb.Int, [1, None, -(2**62)]),
        (bb.Float, [1.5, None, -0.0]),
        (bb.Bool, [True, None, False]),
        (bb.Binary, [b"\x00", None]),
        (bb.Date, [NOON.date(), None]),
        (bb.Time, [NOON.time(), None]),
        (bb.Json, [{"a": [1, None, "x"]}, None, [1], 3, "text", True]),
        (bb.Array(bb.Int), [[1, None], [], None]),
        (bb.Vector(2), [[1.0, 2.0], None]),
        (bb.Struct({"a": bb.Int, "b": bb.Json}), [{"a": 1, "b": {"k": [2]}}, None]),
        (bb.Array(bb.Json), [[{"a": 1}, None], None]),
    ],
    ids=lambda value: str(value) if not isinstance(value, list) else "",
)
def test_values_round_trip(kind, values, library):
    assert round_trip(values, kind, library) == values


def test_timestamp_accepts_a_string(library):
    cells = to_array(["2024-01-02T12:30:00", NOON], dtype(bb.Timestamp), library).to_pylist()
    assert cells[0] == cells[1]


def test_objects_become_structs_and_json(library):
    @dataclasses.dataclass
    class Point:
        x: int
        y: int

    class Spot(pydantic.BaseModel):
        x: int
        y: int

    point = {"x": 1, "y": 2}
    record = bb.Struct({"x": bb.Int, "y": bb.Int})

    assert round_trip([Point(1, 2), Spot(x=1, y=2), point], record, library) == [point] * 3
    assert round_trip([Point(1, 2), Spot(x=1, y=2)], bb.Json, library) == [point] * 2


def test_numpy_values_are_accepted(library):
    assert round_trip([np.int64(3)], bb.Int, library) == [3]
    assert round_trip([np.bool_(True)], bb.Bool, library) == [True]
    assert round_trip([np.array([1, 2], "float32")], bb.Vector(2), library) == [[1.0, 2.0]]
    assert round_trip([{"a": np.arange(2)}], bb.Json, library) == [{"a": [0, 1]}]


def test_missing_struct_fields_are_null(library):
    record = bb.Struct({"x": bb.Int, "y": bb.Int})
    assert round_trip([{"x": 1}], record, library) == [{"x": 1, "y": None}]


@pytest.mark.parametrize(
    ("kind", "bad", "message"),
    [
        (bb.String, 3, "got int, not a string"),
        (bb.Int, "three", "int64"),
        (bb.Int, 2**70, "int64"),
        (bb.Float, "x", "float64"),
        (bb.Bool, "yes", "got str, not a bool"),
        (bb.Bool, 1, "got int, not a bool"),
        (bb.Timestamp, "yesterday", "timestamp"),
        (bb.Date, "2024-13-01", "date"),
        (bb.Json, {"f": 1j}, "cannot be written as JSON"),
        (bb.Array(bb.Int), "abc", "got str, not a list"),
        (bb.Vector(2), [1.0], "1 items, not 2"),
        (bb.Struct({"x": bb.Int}), {"z": 1}, "unknown fields 'z'"),
        (bb.Struct({"x": bb.Int}), 5, "got int, not a record"),
    ],
    ids=str,
)
def test_invalid_value_is_named_with_its_row(kind, bad, message, library):
    with pytest.raises(DataError, match=rf"^row 1: this is not a valid .*{message}") as caught:
        to_array([None, bad], dtype(kind), library)

    assert caught.value.row == 1
    assert caught.value.hint


def test_media_cell_is_a_reference(library, tmp_path):
    audio = dtype(bb.Audio)
    references = to_array(["http://example.com/a.wav", tmp_path, b"RIFF"], audio, library)

    assert references.type == arrow_type(audio)
    url, path, stored = references.to_pylist()
    assert url == "http://example.com/a.wav"
    assert Path(path) == tmp_path
    assert library.content(stored) == b"RIFF"


def test_home_directory_is_expanded_in_paths(library, tmp_path):
    (path,) = to_array(["~/a.png"], dtype(bb.Image), library).to_pylist()
    assert path == str(tmp_path / "a.png")
