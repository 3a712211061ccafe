"""Arguments of functions: conversion to annotated types, opened media, and rejected values."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import pathlib
import uuid
from typing import Annotated, Any, NamedTuple, TypedDict

import ibis
import numpy as np
import PIL.Image
import pydantic
import pytest

import barbule as bb
from barbule.errors import ExpressionError
from fakes.models_server import _speech


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclasses.dataclass
class Corner:
    x: float
    y: float = 0.0


@dataclasses.dataclass
class Box:
    label: str
    corners: list[Corner]
    color: Color | None = None


class Model(pydantic.BaseModel):
    label: str
    corners: list[Corner]
    color: Color | None = None


class Typed(TypedDict):
    label: str
    corners: list[Corner]
    color: Color | None


class Pair(NamedTuple):
    left: str
    right: int


BOX = {"label": "b", "corners": [{"x": 1.0, "y": 2.0}, {"x": 3.0, "y": 4.0}], "color": "red"}


@pytest.fixture
def table(session):
    made = bb.create_table(
        "things",
        {
            "n": bb.Int,
            "w": bb.String,
            "f": bb.Float,
            "j": bb.Json,
            "box": Box,
            "tags": bb.Array(bb.String),
            "vector": bb.Vector(2),
            "id": bb.UUID,
            "day": bb.Date,
        },
    )
    made.insert(
        [
            {
                "n": 1,
                "w": "a",
                "f": 0.5,
                "j": {"k": [1]},
                "box": BOX,
                "tags": ["x", "y", "x"],
                "vector": [1.0, 2.0],
                "id": uuid.UUID(int=7),
                "day": datetime.date(2026, 1, 2),
            },
            {"n": 2, "w": "b"},
        ]
    )
    return made


def first(table, value):
    return table.order_by("n").limit(1).select(x=value).collect()["x"][0]


def given(annotation, **options):
    """Make a function of one parameter, and the list of what it is given."""
    seen: list[Any] = []

    def take(value):
        seen.append(value)
        return True

    take.__annotations__ = {"value": annotation, "return": bool}
    return bb.udf(take, **options), seen


@pytest.mark.parametrize(
    ("annotation", "column", "wanted"),
    [
        (Box, "box", Box("b", [Corner(1.0, 2.0), Corner(3.0, 4.0)], Color.RED)),
        (Box | None, "box", Box("b", [Corner(1.0, 2.0), Corner(3.0, 4.0)], Color.RED)),
        (Model, "box", Model(**BOX)),
        (
            Typed,
            "box",
            {"label": "b", "corners": [Corner(1.0, 2.0), Corner(3.0, 4.0)], "color": Color.RED},
        ),
        (dict, "box", BOX),
        (Any, "box", BOX),
        (dict, "j", {"k": [1]}),
        (set[str], "tags", {"x", "y"}),
        (tuple[str, ...], "tags", ("x", "y", "x")),
        (list, "tags", ["x", "y", "x"]),
        (uuid.UUID, "id", uuid.UUID(int=7)),
        (datetime.date, "day", datetime.date(2026, 1, 2)),
        (Annotated[str, "a note"], "w", "a"),
        (float, "n", 1.0),
        (bb.Float, "f", 0.5),
        (pathlib.Path, "w", pathlib.Path("a")),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_argument_is_converted_to_its_annotation(table, annotation, column, wanted):
    function, seen = given(annotation)
    first(table, function(table[column]))
    assert seen == [wanted]
    assert type(seen[0]) is type(wanted)


def test_numpy_annotation_gets_an_array(table):
    function, seen = given(np.ndarray)
    first(table, function(table.vector))
    assert isinstance(seen[0], np.ndarray)
    assert seen[0].tolist() == [1.0, 2.0]


def test_batch_function_gets_lists_of_objects(table):
    @bb.udf(batch_size=4)
    def labels(boxes: list[Box], upper: bool = False) -> list[str]:
        return [box.label.upper() if upper else box.label for box in boxes]

    assert table.order_by("n").select(x=labels(table.box, upper=True)).collect()["x"] == ["B", None]
    with pytest.raises(ExpressionError, match=r"'upper' takes one value for the whole batch"):
        labels(table.box, table.n > 1)


def test_constants_and_containers_are_converted(table):
    @bb.udf
    def named(n: int, box: Box, color: Color = Color.BLUE) -> str:
        return f"{n}{box.label}{type(box.corners[0]).__name__}{color.name}"

    constant = Box("c", [Corner(1.0)], Color.BLUE)
    assert first(table, named(table.n, constant)) == "1cCornerBLUE"
    assert first(table, named(table.n, Model(**BOX), color=Color.RED)) == "1bCornerRED"
    built = {"label": table.w, "corners": [{"x": table.f, "y": 1.0}], "color": None}
    assert first(table, named(table.n, built)) == "1aCornerBLUE"


def test_variadic_arguments_are_converted_and_nullable(table):
    seen = []

    @bb.udf
    def take(*boxes: Box | None, **more: Color) -> int:
        seen.append((boxes, more))
        return len(boxes)

    found = table.order_by("n").select(x=take(table.box, table.box, c="red")).collect()["x"]
    assert found == [2, 2]
    assert [type(each) for each in seen[0][0]] == [Box, Box]
    assert seen[1] == ((None, None), {"c": Color.RED})


# -- Media -----------------------------------------------------------------------------------------


@pytest.fixture
def media(session):
    PIL.Image.new("RGB", (3, 2), "red").save("red.png")
    pathlib.Path("a.wav").write_bytes(_speech({"input": "hello"}))
    pathlib.Path("note.md").write_text("# Barbs")
    kinds = {
        "img": bb.Image,
        "snd": bb.Audio,
        "doc": bb.Document,
        "name": bb.String,
        "imgs": bb.Array(bb.Image),
        "both": bb.Struct({"img": bb.Image, "n": bb.Int}),
    }
    made = bb.create_table("media", kinds)
    made.insert(
        img="red.png",
        snd="a.wav",
        doc="note.md",
        name="red.png",
        imgs=["red.png", "red.png"],
        both={"img": "red.png", "n": 1},
    )
    return made


@pytest.mark.parametrize("annotation", [bb.Image, PIL.Image.Image, "PIL.Image.Image"], ids=str)
def test_image_arguments_are_opened(media, annotation):
    function, seen = given(eval(annotation) if isinstance(annotation, str) else annotation)
    media.select(a=function(media.img), b=function(media.name)).collect()
    media.select(c=function(ibis._.img), d=function(media.imgs[0])).collect()
    assert [each.size for each in seen] == [(3, 2)] * 4


def test_media_in_lists_and_structs_are_opened(media):
    function, seen = given(list[bb.Image])
    media.select(x=function(media.imgs)).collect()
    function, records = given(bb.Struct({"img": bb.Image, "n": bb.Int}))
    media.select(x=function(media.both)).collect()
    assert [each.size for each in seen[0]] == [(3, 2)] * 2
    assert (records[0]["img"].size, records[0]["n"]) == ((3, 2), 1)


@pytest.mark.parametrize("annotation", [str, bb.Audio, pathlib.Path, None], ids=str)
def test_other_media_are_passed_as_local_paths(media, annotation):
    function, seen = given(annotation)
    media.select(x=function(media.snd)).collect()
    assert isinstance(seen[0], pathlib.Path if annotation is pathlib.Path else str)
    assert pathlib.Path(seen[0]).read_bytes()[:4] == b"RIFF"


def test_image_is_passed_as_a_path_to_a_string_parameter(media):
    function, seen = given(str)
    media.select(x=function(media.img)).collect()
    assert pathlib.Path(seen[0]).read_bytes()[1:4] == b"PNG"


@pytest.mark.parametrize("image", ["path", "image", "bytes"])
def test_constant_images_are_opened(media, image):
    seen = []

    @bb.udf
    def take(name: str, mark: bb.Image) -> str:
        seen.append(mark)
        return name

    path = pathlib.Path("red.png").absolute()
    with PIL.Image.open(path) as opened:
        forms = {"path": str(path), "image": opened, "bytes": path.read_bytes()}
        media.select(x=take(media.name, forms[image])).collect()
    assert seen[0].size == (3, 2)


# -- Overloads -------------------------------------------------------------------------------------


@pytest.fixture
def size():
    @bb.udf
    def size(value: str) -> str:
        return f"text {len(value)}"

    @size.overload
    def _(value: int, times: int = 1) -> int:
        return value * times

    @size.overload
    def _(value: float) -> float:
        return value / 2

    @size.overload(return_type=bb.Float)
    def _(image: bb.Image):
        return image.width / image.height

    return size


def test_matching_overload_is_called(table, media, size):
    row = (
        table.order_by("n")
        .limit(1)
        .select(a=size(table.w), b=size(table.n), c=size(table.f), d=size(table.n, times=3))
    )
    assert row.collect() == [{"a": "text 1", "b": 1, "c": 0.25, "d": 3}]
    assert media.select(x=size(media.img)).collect() == [{"x": 1.5}]
    assert (size("ab"), size(3), size(PIL.Image.new("L", (4, 2)))) == ("text 2", 3, 2.0)
    assert table.select(x=size(ibis._.w)).columns == ("x",)
    table.add_computed_column(x=size(table.n), y=size(table.w))
    table.insert(n=5, w="abc")
    assert table.order_by(ibis.desc("n")).limit(1).select("x", "y").collect() == [
        {"x": 5, "y": "text 3"}
    ]


def test_argument_without_a_matching_overload_is_rejected(table, size):
    with pytest.raises(ExpressionError, match=r"no overload takes \(date\)\. There are: \(value: "):
        size(table.day)
    with pytest.raises(ExpressionError, match="takes the same types as the function itself"):

        @size.overload
        def _(other: str) -> str: ...

    with pytest.raises(ExpressionError, match="takes no overloads"):
        bb.functions.openai.chat_completions.overload(lambda x: x)


# -- Rejected arguments ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotation", "column", "takes"),
    [
        (int, "w", "int64, but 'w' is string"),
        (int, "f", "int64, but 'f' is float64"),
        (str, "n", "string, but 'n' is int64"),
        (bb.Image, "n", "image, but 'n' is int64"),
        (list[str], "w", "array<string>, but 'w' is string"),
        (list[int], "tags", "array<int64>, but 'tags' is array<string>"),
        (bb.Vector(3), "vector", r"array<float32, 3>, but 'vector' is array<float32, 2>"),
        (Corner, "box", "struct<x: float64, y: float64>, but 'box' is struct"),
        (datetime.datetime, "day", r"timestamp.*, but 'day' is date"),
    ],
    ids=str,
)
def test_column_of_another_type_is_rejected_at_once(table, annotation, column, takes):
    function, seen = given(annotation)
    message = rf"table 'things', column '{column}': \S+take: the parameter 'value' takes {takes}"
    with pytest.raises(ExpressionError, match=message):
        function(table[column])
    assert seen == []


@pytest.mark.parametrize(
    ("annotation", "value", "message"),
    [
        (int, "x", r"takes int64\. \(value: 'x'\)"),
        (int, 1.5, r"takes int64\. \(value: 1\.5\)"),
        (str, 5, r"takes string\. \(value: 5\)"),
        (str, ["a"], r"takes string\. \(value: \['a'\]\)"),
        (list[str], "a", r"takes array<string>\. \(value: 'a'\)"),
        (str, None, r"takes string, but this is None\. Annotate 'other' as optional"),
        (datetime.date, "2026-01-01", r"takes date\. \(value: '2026-01-01'\)"),
    ],
    ids=str,
)
def test_constant_of_another_type_is_rejected_at_once(table, annotation, value, message):
    def take(n, other):
        return n

    take.__annotations__ = {"n": int, "other": annotation, "return": int}
    with pytest.raises(ExpressionError, match=message):
        bb.udf(take)(table.n, value)


def test_json_column_is_accepted_for_a_list(table):
    function, seen = given(list[int])
    first(table, function(table.j.k))
    assert seen == [[1]]


def test_table_is_rejected_as_an_argument(table):
    function, _ = given(str)
    with pytest.raises(ExpressionError, match=r"takes a table\. Pass a column of that type"):
        function(table)


def test_deferred_call_with_wrong_arguments_is_rejected(table):
    function, _ = given(str)
    with pytest.raises(ExpressionError, match="too many positional arguments"):
        function(ibis._.w, ibis._.n)
    with pytest.raises(ExpressionError, match="takes string, but 'n' is int64"):
        table.select(x=function(ibis._.n))
