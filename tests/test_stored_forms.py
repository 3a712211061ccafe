"""The stored forms of values: bytes in databases that other versions have written and read.

Each is compared with the bytes that released versions write. A changed form loses answers of the
ledger, or makes expressions and columns unreadable.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import json
import math
import types
import uuid

import ibis.expr.datatypes as dt
import numpy as np
import pydantic
import pytest

from barbule.catalog import codec
from barbule.errors import DataError, ExpressionError
from barbule.executor.ledger.answers import decode_answer, encode_answer
from barbule.executor.ledger.call_keys import call_key_builder, template_hash
from barbule.io.text_cells import json_writer
from barbule.nodes import bind_arguments, fill_template
from barbule.types import Json
from barbule.values.cells import to_array
from barbule.values.json_values import json_constant

UUID = uuid.UUID("12345678-1234-5678-1234-567812345678")
BERLIN = datetime.timezone(datetime.timedelta(hours=2))
LIBRARY = types.SimpleNamespace(zone="UTC")  # which stores no media here
MOMENT = datetime.datetime.fromisoformat("2024-02-29T13:05:06.000789")


class Size(enum.Enum):
    SMALL = "S"


class Level(enum.IntEnum):
    LOW = 1


class Film(pydantic.BaseModel):
    name: str
    on: datetime.date


@dataclasses.dataclass
class Point:
    x: int
    tags: tuple[str, ...]


EXPRESSION_FORMS = [
    (None, "null"),
    (True, "true"),
    (-7, "-7"),
    (2**70, "1180591620717411303424"),
    ("ä\u2028\ud800", '"ä\u2028\ud800"'),
    (1.5, '{"$":"float","v":"1.5"}'),
    (-0.0, '{"$":"float","v":"-0.0"}'),
    (math.inf, '{"$":"float","v":"inf"}'),
    (-math.inf, '{"$":"float","v":"-inf"}'),
    (math.nan, '{"$":"float","v":"nan"}'),
    (1e300, '{"$":"float","v":"1e+300"}'),
    (b"\x00\xff", '{"$":"bytes","v":"AP8="}'),
    (MOMENT, '{"$":"datetime","v":"2024-02-29T13:05:06.000789"}'),
    (MOMENT.replace(tzinfo=BERLIN), '{"$":"datetime","v":"2024-02-29T13:05:06.000789+02:00"}'),
    (MOMENT.date(), '{"$":"date","v":"2024-02-29"}'),
    (datetime.time(1, 2, 3, 4), '{"$":"time","v":"01:02:03.000004"}'),
    (datetime.timedelta(days=-1, microseconds=5), '{"$":"timedelta","v":[-1,0,5]}'),
    (decimal.Decimal("1.50"), '{"$":"decimal","v":"1.50"}'),
    (decimal.Decimal("-0E+3"), '{"$":"decimal","v":"-0E+3"}'),
    (UUID, '{"$":"uuid","v":"12345678-1234-5678-1234-567812345678"}'),
    ([1, (2.5, None)], '{"$":"tuple","v":[1,{"$":"tuple","v":[{"$":"float","v":"2.5"},null]}]}'),
    (
        {"a": 1, 2: (b"x",)},
        '{"$":"map","v":[["a",1],[2,{"$":"tuple","v":[{"$":"bytes","v":"eA=="}]}]]}',
    ),
    (np.array([1, 2]), '{"$":"tuple","v":[1,2]}'),
    (dt.Decimal(5, 2), '{"$":"type","c":"Decimal","a":{"precision":5,"scale":2,"nullable":true}}'),
    (
        dt.Array(Json()),
        '{"$":"type","c":"Array","a":{"value_type":{"$":"type","c":"Json","a":{"binary":false,"nullable":true}},"length":null,"nullable":true}}',
    ),
]


@pytest.mark.parametrize(("value", "text"), EXPRESSION_FORMS, ids=repr)
def test_values_in_stored_expressions(value, text):
    assert codec.dump_value(value) == text
    read = codec.load_value(text)
    expected = value.tolist() if isinstance(value, np.ndarray) else value
    assert repr(read) == repr(expected)


def test_sets_in_stored_expressions():
    text = '{"$":"set","v":["a","b"]}'
    assert codec.dump_value(frozenset({"b", "a"})) == text
    assert codec.load_value(text) == {"a", "b"}


def test_values_that_stored_expressions_refuse():
    for value in (Size.SMALL, Level.LOW, object(), 1j):
        with pytest.raises(ExpressionError, match="cannot be saved"):
            codec.dump_value(value)


ARGUMENT_FORMS = [
    (None, "null", "32267c612213f1cb9aa19f0de2538782dfa27e387c1e287521079a45f0f29205"),
    (True, "true", "e53b05b1ba2f8cfcf7227b39aa4d056f9c7280ffb68c42c697c89f49c8a9df4c"),
    (-7, "-7", "86a46462b52d253035c859e5ded1c155889d0051d1f4fbca21391a8a20b37ac3"),
    (
        2**70,
        "1180591620717411303424",
        "3d79d3266234781e2293ac9b63d83e9a4ae1eb48bd104c3c02e3925661891b22",
    ),
    (
        "ä\u2028\ud800",
        '"ä\u2028\ud800"',
        "8e947aeb90f9dbece6a20245b303986c7626bf066bd1d947b6e3fa148c2403f2",
    ),
    (1.5, "1.5", "1473bceb30f3ba2eb748e5277dcbe6911e73c6c9403ef6d11168a6c0973a9c67"),
    (-0.0, "-0.0", "bcb08118be649f15b2da9bbe19688e4ba1f42392c7b459efab4374fe991dc178"),
    (
        math.inf,
        '{"$float":"inf"}',
        "3b42bd3d0e8e6b769d56e689dbc7ba6bc140e1b4507207373bfcb4b9ac804836",
    ),
    (
        math.nan,
        '{"$float":"nan"}',
        "5ee578331fea6baeae4520bd517ebbc3fb27b164a64fce2e38fb3804e3b99ade",
    ),
    (
        b"\x00\xff",
        '{"$bytes":"AP8="}',
        "32e039baa80a8560ee04253ad4e62e619d75a74f00f32c034e1bae1770f5c50d",
    ),
    (
        MOMENT,
        '{"$datetime":"2024-02-29T13:05:06.000789"}',
        "03e0b11fbf12f7d466c6b49081204b456892c6ff253e1b47d11b9c4e6185698c",
    ),
    (
        MOMENT.replace(tzinfo=BERLIN),
        '{"$datetime":"2024-02-29T13:05:06.000789+02:00"}',
        "4eee45acc591fbd1b0ea7ed28d4b8860a3a04f1038a6a578607cb74bcb8238d4",
    ),
    (
        MOMENT.date(),
        '{"$date":"2024-02-29"}',
        "b14011be8ec6b676224e11d85c6b93a88643382462d4ef00562988335f29dcaa",
    ),
    (
        datetime.time(1, 2, 3, 4),
        '{"$time":"01:02:03.000004"}',
        "004aab4b5ee737c7a1dd5864c85c119edb7d5eb0dd3e06dd60884da02c059a37",
    ),
    (
        datetime.timedelta(days=-1, microseconds=5),
        '{"$duration":"-86399999995"}',
        "e3a24873f77a71b8a9be0679f07140fe1994715e74faa08fd3347d2fc381f15e",
    ),
    (
        decimal.Decimal("1.50"),
        '{"$decimal":"1.50"}',
        "71f7d8c00615e58fb63e8467ee6b35f12ae3c31c7fb6cbea034d7efd36d1d441",
    ),
    (
        UUID,
        '{"$uuid":"12345678-1234-5678-1234-567812345678"}',
        "d0710693fb41d63ca0c46cc625ae2b1e3e4ebb8b42c75e1e5cf36945aa4fbbee",
    ),
    (Level.LOW, "1", "89433c4cef259efc93a9e8693cda2fa72423f5c2eb758cbc5c5a5e1ca25cfaae"),
    (
        [1, [2.5, None]],
        "[1,[2.5,null]]",
        "5ec606d76281f1e75d3aa17a0fa3c80a175c8e96b096414fd697e18d9b83d92d",
    ),
    ((1, 2), "[1,2]", "74c3b63b3163b61b0b59be5ebbd003dd078fe28b0dcc49a4ce156018d66477d5"),
    (
        {"a": 1, "2": [b"x"]},
        '{"a":1,"2":[{"$bytes":"eA=="}]}',
        "a0ed911b1efe017cf97f155ec41025d61d4a24e78778f7bb0b0349a76d07c348",
    ),
    ({1: "one"}, '{"1":"one"}', "22a54da0ffc1b8e46786fee9bb3d5ec49eb674dc6aadef5ea1010bc8cb646e85"),
    (
        {"$": 3},
        '{"$map":[["$",3]]}',
        "b077a67cfac1faa73f148a23c1ce35b822b2962068dc100b6df20b12387c92e0",
    ),
    (
        {"$bytes": "a"},
        '{"$map":[["$bytes","a"]]}',
        "7fe824aef38f6bd5efda897f8364b77451be2b04826b82d036425408395450ec",
    ),
    (
        {"$map": [], "a": 1},
        '{"$map":[],"a":1}',
        "08fd712f13614f6e6ce8adbf3e08a0b6fbdad3e7cef9fb20fee6a08df6b3f33b",
    ),
    (
        {"$date": {"$uuid": "u"}},
        '{"$map":[["$date",{"$map":[["$uuid","u"]]}]]}',
        "fbdcc89033b4aafe0515f23f8cc97ae0f49a86963caa9e482064b57c2aeecad5",
    ),
    (np.array([1, 2]), "[1,2]", "74c3b63b3163b61b0b59be5ebbd003dd078fe28b0dcc49a4ce156018d66477d5"),
    (
        np.array([[0.5]], dtype="float32"),
        "[[0.5]]",
        "a850b0dcd420a359f268a8d7378a8f5b07292334076cd5c41e243313d91fc125",
    ),
    (np.float64(0.25), "0.25", "e53d37522006644bfc6d7e6942dbcb4c949a49af8c5ead7478048963a40f78a8"),
    (np.int64(3), "3", "1748d31b37550bcfa00f733c2ed9ba8953a107d68e31130640201236c9595841"),
    (
        np.array([math.inf]),
        '[{"$float":"inf"}]',
        "3e9bb4174337cc1f837bf93130ce14af1502f2fec2312c71b7a2aa497263f651",
    ),
]


@pytest.mark.parametrize(("value", "text", "key"), ARGUMENT_FORMS, ids=repr)
def test_arguments_of_calls(value, text, key):
    assert bind_arguments(value) == (text, ())
    assert call_key_builder("m.f", "v1", '{"x":{"$":0}}')([value]) == key
    assert encode_answer(value, Json()) == text.encode(errors="surrogatepass")
    read = decode_answer(encode_answer(value, Json()), Json())
    assert repr(fill_template(json.loads(text), ())) == repr(read)
    assert bind_arguments(read)[0] == text


def test_vectors_in_answers():
    vector = encode_answer([1.5, -2.0], dt.Array(dt.float32, length=2))
    assert vector.hex() == "0000c03f000000c0"
    assert encode_answer(None, dt.Array(dt.float32)) == b"null"


def test_hashes_of_templates():
    assert template_hash("m.f", "v1", '{"x":{"$":0},"y":"ä"}') == "f4f53e853861ac77"


CELL_FORMS = [
    (True, "true"),
    (-7, "-7"),
    (2**70, "1180591620717411303424"),
    ("ä\u2028", '"ä\u2028"'),
    (1.5, "1.5"),
    (-0.0, "-0.0"),
    (MOMENT, '"2024-02-29T13:05:06.000789"'),
    (MOMENT.replace(tzinfo=BERLIN), '"2024-02-29T13:05:06.000789+02:00"'),
    (MOMENT.date(), '"2024-02-29"'),
    (datetime.time(1, 2, 3, 4), '"01:02:03.000004"'),
    (UUID, '"12345678-1234-5678-1234-567812345678"'),
    (Size.SMALL, '"S"'),
    (Level.LOW, "1"),
    ([1, [2.5, None]], "[1, [2.5, null]]"),
    ({"a": 1, 2: {"b": "c"}}, '{"a": 1, "2": {"b": "c"}}'),
    ((1, 2), "[1, 2]"),
    ({"x"}, '["x"]'),
    (Film(name="Up", on=datetime.date(2009, 5, 29)), '{"name": "Up", "on": "2009-05-29"}'),
    (
        {"film": Film(name="Up", on=datetime.date(2009, 5, 29))},
        '{"film": {"name": "Up", "on": "2009-05-29"}}',
    ),
    (Point(1, ("a", "b")), '{"x": 1, "tags": ["a", "b"]}'),
    (np.array([1, 2]), "[1, 2]"),
    (np.float32(0.1), "0.10000000149011612"),
    (np.int64(3), "3"),
    (np.datetime64("2024-01-02T03:04:05"), '"2024-01-02T03:04:05"'),
    (
        {"at": MOMENT, "of": [UUID]},
        '{"at": "2024-02-29T13:05:06.000789", "of": ["12345678-1234-5678-1234-567812345678"]}',
    ),
]


@pytest.mark.parametrize(("value", "text"), CELL_FORMS, ids=repr)
def test_values_in_json_columns(value, text):
    assert to_array([value], Json(), LIBRARY).to_pylist() == [text]


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, b"a", decimal.Decimal(1), datetime.timedelta(1), {1: "a", "1": "b"}, 1j],
    ids=repr,
)
def test_values_that_json_columns_refuse(value):
    with pytest.raises(DataError, match="not a valid"):
        to_array([value], Json(), LIBRARY)


CONSTANT_FORMS = [
    (True, "true"),
    (-7, "-7"),
    ("ä", '"\\u00e4"'),
    (1.5, "1.5"),
    ([1, {"a": None}], '[1, {"a": null}]'),
    ({"b": 1, "a": "x"}, '{"b": 1, "a": "x"}'),
]


@pytest.mark.parametrize(("value", "text"), CONSTANT_FORMS, ids=repr)
def test_json_constants_of_queries(value, text):
    assert json_constant(value).value == text


FILE_FORMS = [
    ("int64", 3, 3),
    ("binary", b"hooks", "aG9va3M="),
    ("interval('us')", datetime.timedelta(days=1, seconds=2, microseconds=3), "P1DT2.000003S"),
    ("timestamp", MOMENT, "2024-02-29T13:05:06.000789"),
    ("date", MOMENT.date(), "2024-02-29"),
    ("time", datetime.time(1, 2), "01:02:00"),
    ("json", '{"a": 1}', {"a": 1}),
    ("decimal(5, 2)", decimal.Decimal("1.50"), 1.5),
    ("decimal(30, 2)", decimal.Decimal("1.50"), "1.50"),
    ("uuid", str(UUID), "12345678-1234-5678-1234-567812345678"),
    ("string", "a", "a"),
    ("array<binary>", [b"a", None], ["YQ==", None]),
    ("array<int64>", [1, None], [1, None]),
    ("struct<a: binary, b: int64>", {"a": None, "b": 1}, {"a": None, "b": 1}),
    ("struct<a: date>", {"a": MOMENT.date()}, {"a": "2024-02-29"}),
    ("map<int64, binary>", [(1, b"a")], {"1": "YQ=="}),
    ("map<string, array<json>>", [("k", ["[1]", None])], {"k": [[1], None]}),
    ("map<date, float64>", [(MOMENT.date(), 0.5)], {"2024-02-29": 0.5}),
]


@pytest.mark.parametrize(("kind", "cell", "value"), FILE_FORMS, ids=repr)
def test_cells_in_files(kind, cell, value):
    write = json_writer(dt.dtype(kind))
    assert repr(cell if write is None else write(cell)) == repr(value)


POSTGRES_FORMS = [
    ("int64", 3, "3", "3"),
    ("float64", 1.5, "1.5", "1.5"),
    ("float64", math.inf, '"Infinity"', "Infinity"),
    ("float64", math.nan, '"NaN"', "NaN"),
    ("boolean", True, "true", "true"),
    ("string", "ä", '"\\u00e4"', "ä"),
    ("binary", b"\x00\xff", '"\\\\x00ff"', "\\x00ff"),
    (
        "interval('us')",
        datetime.timedelta(days=1, seconds=2, microseconds=3),
        '"86402000003 microseconds"',
        "86402000003 microseconds",
    ),
    ("timestamp", MOMENT, '"2024-02-29T13:05:06.000789"', "2024-02-29T13:05:06.000789"),
    (
        "timestamp('UTC')",
        MOMENT.replace(tzinfo=datetime.UTC),
        '"2024-02-29T13:05:06.000789+00:00"',
        "2024-02-29T13:05:06.000789+00:00",
    ),
    ("date", MOMENT.date(), '"2024-02-29"', "2024-02-29"),
    ("time", datetime.time(1, 2), '"01:02:00"', "01:02:00"),
    ("json", '{"a": 1}', '{"a": 1}', '{"a": 1}'),
    ("decimal(5, 2)", decimal.Decimal("1.50"), '"1.50"', "1.50"),
    (
        "uuid",
        str(UUID),
        '"12345678-1234-5678-1234-567812345678"',
        "12345678-1234-5678-1234-567812345678",
    ),
    ("array<int64>", [1, None], "[1, null]", "{1,NULL}"),
    ("array<binary>", [b"a", None], '["\\\\x61", null]', '{"\\\\x61",NULL}'),
    ("array<array<float64>>", [[1.0, None], None], "[[1.0, null], null]", '{"[1.0, null]",NULL}'),
    ("array<json>", ["[1]", None], "[[1], null]", '{"[1]",NULL}'),
    (
        "struct<a: binary, b: array<date>>",
        {"a": None, "b": [MOMENT.date()]},
        '{"a": null, "b": ["2024-02-29"]}',
        '{"a": null, "b": ["2024-02-29"]}',
    ),
    (
        "map<string, decimal(5, 2)>",
        [("k", decimal.Decimal("1.50"))],
        '{"k": "1.50"}',
        '{"k": "1.50"}',
    ),
    ("array<map<string, json>>", [[("k", "{}")]], '[{"k": {}}]', '{"{\\"k\\": {}}"}'),
]


@pytest.mark.parametrize(("kind", "value", "form", "text"), POSTGRES_FORMS, ids=repr)
def test_values_in_postgres(kind, value, form, text):
    literals = pytest.importorskip("barbule.backends.postgres.sql.literals")
    dtype = dt.dtype(kind)
    written = literals.to_json_value(value, dtype)
    assert json.dumps(written) == form
    assert literals.value_text(value, dtype) == text
    read = literals.json_reader(dtype)
    assert repr(written if read is None else read(json.loads(form))) == repr(value)
