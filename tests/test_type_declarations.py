"""One declaration for each data type: look-up, nested types, and tables by class."""

from __future__ import annotations

import dataclasses
import types as types_module

import ibis.expr.datatypes as dt
import pytest

from barbule import types
from barbule.io.file_types import kind_of_file
from barbule.io.text_cells import json_writer
from barbule.types import (
    Audio,
    Document,
    Image,
    Json,
    Media,
    Video,
    declaration,
    declarations,
    holds_media,
)
from barbule.types.declarations import by_class, by_pair, entries, holds, holds_json, is_vector
from barbule.types.declarations.nested import CellForm, leaves, parts, rebuild
from barbule.types.declarations.storage_forms import canonical, storage
from barbule.types.schemas import unsupported_reason
from barbule.values.cells import arrow_type, reader, to_array


def test_every_type_of_barbule_has_an_entry_of_its_own():
    declared = [entry.dtype for entry in entries.DECLARATIONS]
    assert len(declared) == len(set(declared))
    own = {
        cls
        for cls in vars(types).values()
        if isinstance(cls, type) and issubclass(cls, dt.DataType)
    }
    assert {Media, Image, Audio, Video, Document, Json} <= own <= {*declared, dt.Int64, dt.Float64}


def test_a_type_without_an_entry_has_that_of_the_class_it_extends():
    class Photograph(Image):
        pass

    assert declaration(dt.int8) is declaration(dt.int64) is declaration(dt.uint16)
    assert declaration(Photograph()) is declaration(Image())
    assert declaration(Image(nullable=False)) is declaration(Image())
    assert declaration(Image()).modality == "image"
    assert declaration(dt.string).modality == "text"


def test_names_annotations_and_suffixes_are_declared():
    for attribute in ("names", "annotations", "suffixes"):
        meanings = [item for entry in entries.DECLARATIONS for item in getattr(entry, attribute)]
        assert len(meanings) == len(set(meanings)) > 5
    assert types.dtype("image") == types.dtype(Image) == declaration(Image()).make()
    assert types.dtype(int) == types.dtype("int") == declaration(dt.int8).make() == dt.int64
    assert kind_of_file("a.FLAC") is Audio


@pytest.mark.parametrize("cls", [Image, Audio, Video, Document], ids=lambda cls: cls.__name__)
def test_media_are_references(cls):
    declared = declaration(cls())
    assert declared.is_media
    assert declared.display == "media"
    assert declared.checked
    assert declared.modality == cls.__name__.lower()
    assert storage(cls(nullable=False)) == dt.String(nullable=False)


def test_facts_of_nested_types_follow_from_their_parts():
    gallery = dt.Struct({"title": dt.string, "pages": dt.Array(Image())})
    assert holds_media(gallery)
    assert not holds_media(dt.Struct({"title": dt.string}))
    assert holds_json(dt.Map(dt.string, dt.Array(Json())))
    assert not holds_json(gallery)
    assert holds(dt.Array(dt.Struct({"n": dt.float16})), dt.Float16)
    assert not holds(dt.Struct({"n": dt.float16}), dt.Float16, into=(dt.Array,))
    assert is_vector(dt.Array(dt.float32, length=3))
    assert not is_vector(dt.Array(dt.float32))


def test_parts_and_leaves():
    kind = dt.Map(dt.date, dt.Struct({"a": dt.int8, "b": dt.Array(dt.json)}))
    assert [str(leaf) for leaf in leaves(kind)] == ["date", "int8", "json"]
    assert [str(leaf) for leaf in leaves(kind, keys=False)] == ["int8", "json"]
    assert parts(kind, keys=False) == {"": kind.value_type}


def test_types_are_rebuilt_from_the_inside():
    kind = dt.Struct(
        {"a": dt.Array(Image(nullable=False), length=2), "m": dt.Map("string", Json())}
    )
    assert storage(kind) == dt.Struct(
        {"a": dt.Array(dt.string, length=2), "m": dt.Map("string", dt.json)}
    )
    assert type(canonical(dt.Map("string", dt.json)).value_type) is Json
    seen = []
    rebuild(kind, lambda part: seen.append(type(part).__name__) or part)
    assert seen == ["Image", "Array", "String", "Json", "Map", "Struct"]


def test_tables_by_class():
    table = {dt.Integer: "whole", dt.Numeric: "any", dt.String: "text"}
    assert by_class(table, dt.uint8) == "whole"
    assert by_class(table, dt.Decimal(4, 1)) == "any"
    assert by_class(table, Image()) == "text"
    assert by_class(table, dt.date) is None
    pairs = {dt.Numeric: {dt.String: 1}}
    assert by_pair(pairs, dt.int8, Image()) == 1
    assert by_pair(pairs, dt.int8, dt.date) is None
    assert by_pair(pairs, dt.date, dt.string) is None


def _doubled(kind):
    return (lambda number: 2 * number) if kind.is_integer() else None


NESTED = dt.Struct({"a": dt.Array(dt.int8), "t": dt.string, "m": dt.Map(dt.string, dt.int8)})


def test_cells_are_converted_part_by_part():
    convert = CellForm(_doubled).converter(NESTED)
    assert convert({"a": [1, None], "t": "x", "m": [("k", 3)]}) == {
        "a": [2, None],
        "t": "x",
        "m": {"k": 6},
    }
    assert CellForm(_doubled).converter(dt.Array(dt.string)) is None
    assert CellForm(_doubled, maps=None).converter(dt.Map(dt.string, dt.string)) is None


def test_forms_of_cells():
    complete = CellForm(_doubled, key=lambda _: None, maps=list, complete=True).converter(NESTED)
    assert complete({"a": (1,), "m": {"k": 1}}) == {"a": [2], "t": None, "m": [("k", 2)]}
    tolerant = CellForm(_doubled, maps=None, tolerant=True).converter(NESTED)
    assert tolerant("no struct") == "no struct"
    assert tolerant({"a": "no list", "m": 3}) == {"a": "no list", "m": 3}


def test_one_entry_is_enough_for_a_new_type(monkeypatch):
    class Celsius(dt.Float64):
        pass

    entry = dataclasses.replace(
        declaration(dt.float64),
        dtype=Celsius,
        storage=dt.Float64,
        write=lambda _kind, _library: lambda text: float(text.removesuffix(" °C")),
        python=frozenset(),
        read=lambda _library: "{} °C".format,
        to_file=lambda _kind: "{} °C".format,
        refusal=lambda kind: ("it is too cold.", "Wait.") if not kind.nullable else None,
    )
    monkeypatch.setitem(declarations._BY_CLASS, Celsius, entry)
    kind = dt.Array(Celsius())
    cells = to_array([["1.5 °C", None]], kind, types_module.SimpleNamespace(zone="UTC"))
    assert cells.type == arrow_type(dt.Array(dt.float64))
    assert cells.to_pylist() == [[1.5, None]]
    assert reader(kind)([1.5, None]) == ["1.5 °C", None]
    assert json_writer(kind)([1.5]) == ["1.5 °C"]
    assert unsupported_reason(dt.Struct({"t": Celsius(nullable=False)}))[1] == "Wait."
    assert declaration(dt.float64).storage is None
