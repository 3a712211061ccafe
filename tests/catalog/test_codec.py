"""Expressions and data types as JSON: supported ones round-trip, others are refused."""

# ruff: noqa: ARG005 - all expressions take both tables

from __future__ import annotations

import base64
import datetime
import decimal
import json
import math
import pickle
import uuid

import ibis
import ibis.expr.datatypes as dt
import ibis.selectors as s
import pytest
from ibis import _

import barbule as bb
from barbule.catalog import codec
from barbule.errors import ExpressionError


@bb.udf
def shout(text: str, times: int = 1) -> str:
    return text.upper() + times * "!"


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    from barbule.config import load_settings
    from barbule.session import Session

    home = str(tmp_path_factory.mktemp("codec"))
    with Session(load_settings(backend="duckdb://", vectors="exact:", home=home)) as session:
        yield session


@pytest.fixture(scope="module")
def tables(opened):
    t = opened.create_table(
        "t",
        {
            "i": bb.Int, "f": bb.Float, "s": bb.String, "b": bb.Bool, "ts": bb.Timestamp,
            "d": bb.Date, "tm": bb.Time, "j": bb.Json, "arr": bb.Array(bb.Int), "img": bb.Image,
            "st": bb.Struct({"x": bb.Int, "y": bb.String}), "raw": bb.Binary, "v": bb.Vector(3),
            "dec": "decimal(10, 2)", "m": "map<string, int64>", "u": bb.UUID,
        },
    )  # fmt: skip
    return t, opened.create_table("other", {"i": bb.Int, "z": bb.Float})


def _load(opened, text):
    engine = opened._engine
    return codec.load(text, engine.leaf)


TIMESTAMP = datetime.datetime(2024, 2, 29, 12, 30, 15, 123456)  # noqa: DTZ001
ROUND_TRIPS = {
    "table": lambda t, o: t,
    "old table": lambda t, o: t.at(0),
    "field": lambda t, o: t.i,
    "arithmetic": lambda t, o: (t.i + 1) * t.f / 2 - t.i % 3,
    "comparison": lambda t, o: (t.i > 3) & (t.f <= 0.1) | ~t.b,
    "text": lambda t, o: t.s.upper().replace("a", "ü").length() + t.s.find("x"),
    "regex": lambda t, o: t.s.re_extract(r"(\d+)", 1),
    "concat": lambda t, o: t.s + "-" + t.s,
    "cases": lambda t, o: ibis.cases((t.i > 1, "a"), (t.i > 0, "b"), else_="c"),
    "ifelse": lambda t, o: t.b.ifelse(t.i, 0),
    "coalesce": lambda t, o: ibis.coalesce(t.s, "none"),
    "isin": lambda t, o: t.s.isin(["a", "b"]),
    "between": lambda t, o: t.f.between(0.25, 1e300),
    "cast": lambda t, o: t.i.cast("decimal(12, 3)"),
    "cast to ours": lambda t, o: t.s.cast(bb.Image()),
    "struct field": lambda t, o: t.st.y.length() + t.st["x"],
    "struct": lambda t, o: ibis.struct({"a": t.i, "b": t.s}),
    "array": lambda t, o: t.arr.length() + t.arr[0],
    "array map": lambda t, o: t.arr.map(lambda x: x * 2),
    "array made": lambda t, o: ibis.array([t.i, 1, 2]),
    "array literal": lambda t, o: ibis.literal([1.5, 2.5], "array<float64>"),
    "map": lambda t, o: t.m["a"],
    "json path": lambda t, o: t.j.a.b[0].str,
    "datetime": lambda t, o: t.ts > TIMESTAMP,
    "zoned datetime": lambda t, o: ibis.literal(TIMESTAMP.replace(tzinfo=datetime.UTC)),
    "date": lambda t, o: t.d >= datetime.date(2024, 2, 29),
    "time": lambda t, o: t.tm == datetime.time(23, 59, 58, 7),
    "interval": lambda t, o: t.ts + ibis.interval(days=3),
    "timedelta": lambda t, o: t.ts - ibis.interval(datetime.timedelta(days=-1, microseconds=7)),
    "truncate": lambda t, o: t.ts.truncate("M"),
    "strftime": lambda t, o: t.d.strftime("%Y"),
    "decimal": lambda t, o: t.dec + decimal.Decimal("1.10"),
    "uuid": lambda t, o: t.u == uuid.UUID(int=7),
    "bytes": lambda t, o: t.raw == b"\x00\xff",
    "infinite": lambda t, o: t.f < math.inf,
    "huge": lambda t, o: ibis.literal(2**64 - 1, "uint64"),
    "small": lambda t, o: t.f == 5e-324,
    "quotes": lambda t, o: t.s == 'it\'s "x" \\ \n \u2028 😀 $',
    "null": lambda t, o: ibis.null("string"),
    "call": lambda t, o: shout(t.s.strip(), times=3),
    "nested call": lambda t, o: shout(shout(t.s) + "x", times=t.i).length(),
    "similarity": lambda t, o: t.s.similarity("query", index="i"),
    "aggregate": lambda t, o: t.group_by("s").agg(n=_.count(), m=_.f.mean()),
    "window": lambda t, o: t.f.sum().over(ibis.window(group_by=t.s, order_by=t.i, rows=(-2, 0))),
    "filter": lambda t, o: t.filter(t.i > 1, t.s.notnull()),
    "project": lambda t, o: t.filter(t.b).select("i", x=t.f * 2).order_by(ibis.desc("x")).limit(3),
    "drop": lambda t, o: t.drop("j", "raw"),
    "selectors": lambda t, o: t.select(s.numeric()),
    "join": lambda t, o: t.join(o, "i").select(t.s, o.z),
    "left join": lambda t, o: t.left_join(o, t.i == o.i).filter(_.z > 1),
    "self join": lambda t, o: t.join(v := t.view(), t.i == v.i).select(t.s, other=v.s),
    "union": lambda t, o: t.select("i").union(o.select("i")),
    "subquery": lambda t, o: t.filter(t.i.isin(o.i), t.f > o.z.max()),
    "distinct": lambda t, o: t.select("s", "i").distinct(),
    "unnest": lambda t, o: t.select("i", a=t.arr.unnest()),
    "hidden leaf": lambda t, o: t.op().copy(hidden=True).to_expr(),
}


@pytest.mark.parametrize("name", ROUND_TRIPS)
def test_expression_round_trips(opened, tables, name):
    node = ROUND_TRIPS[name](*tables).op()
    text = codec.dump(node)
    loaded = _load(opened, text)
    assert loaded == node
    assert type(loaded) is type(node)
    assert codec.dump(loaded) == text
    assert json.loads(text)["format"] == 1
    if hasattr(node, "dtype"):
        assert type(loaded.dtype) is type(node.dtype)
    else:
        assert loaded.schema == node.schema


def test_nan_round_trips(opened, tables):
    loaded = _load(opened, codec.dump((tables[0].f + math.nan).op()))
    assert math.isnan(loaded.right.value)


def test_shared_subexpression_is_written_once(opened, tables):
    shared = tables[0].s.upper()
    for _step in range(30):
        shared = shared + shared
    text = codec.dump(shared.op())
    assert len(text) < 20_000
    assert _load(opened, text) == shared.op()


@ibis.udf.scalar.python
def ibis_function(x: int) -> int:
    return x


REFUSED = {
    "memtable": (lambda t, raw: ibis.memtable({"a": [1]}).op(), "InMemoryTable"),
    "join with a memtable": (
        lambda t, raw: t.join(ibis.memtable({"i": [1]}), "i").op(),
        "InMemoryTable",
    ),
    "raw table": (lambda t, raw: raw.op(), "DatabaseTable"),
    "unbound table": (lambda t, raw: ibis.table({"a": "int64"}, name="x").op(), "UnboundTable"),
    "ibis udf": (lambda t, raw: ibis_function(t.i).op(), "ibis_function"),
    "builtin ibis udf": (lambda t, raw: _builtin()(t.f).op(), "sqrt"),
}


def _builtin():
    @ibis.udf.scalar.builtin
    def sqrt(x: float) -> float: ...

    return sqrt


@pytest.mark.parametrize("name", REFUSED)
def test_unsupported_operation_is_refused_by_name(opened, tables, name):
    opened.ibis.raw_sql("CREATE TABLE IF NOT EXISTS raw (a BIGINT)")
    raw = ibis.expr.operations.DatabaseTable(
        name="raw", schema=ibis.schema({"a": "int64"}), source=opened.ibis
    ).to_expr()
    make, named = REFUSED[name]
    with pytest.raises(ExpressionError, match=f"the operation {named}.* cannot be saved"):
        codec.dump(make(tables[0], raw))


def test_computed_column_over_ibis_udf_is_refused(opened, tables):
    table = opened.create_table("refusing", {"i": bb.Int})
    with pytest.raises(ExpressionError, match=r"ibis_function.*cannot be saved.*@bb\.udf"):
        table.add_computed_column(x=ibis_function(table.i))
    assert table.columns == ("i",)


def test_argument_without_json_form_is_refused(tables):
    with pytest.raises(ExpressionError, match="an object cannot be an argument of a stored call"):
        shout(tables[0].s, times=object())


@pytest.mark.parametrize("number", [2, 0, None, "1"])
def test_unknown_format_number_is_refused(opened, tables, number):
    document = json.loads(codec.dump(tables[0].i.op()))
    document["format"] = number
    with pytest.raises(
        ExpressionError, match=f"has the format {number!r}; the supported format is 1"
    ):
        _load(opened, json.dumps(document))


@pytest.mark.parametrize(
    "name", ["DatabaseTable", "InMemoryTable", "ScalarUDF", "os.system", "Nope"]
)
def test_unlisted_operation_is_not_loaded(opened, name):
    text = json.dumps({"format": 1, "expression": {"$": "op", "id": 0, "c": name, "a": {}}})
    with pytest.raises(
        ExpressionError, match=f"the operation '{name}', which this version does not support"
    ):
        _load(opened, text)


@pytest.mark.parametrize("kind", ["pickle", "code", "shape2"])
def test_unknown_value_kind_is_not_loaded(opened, kind):
    text = json.dumps({"format": 1, "expression": {"$": kind, "v": "x"}})
    with pytest.raises(ExpressionError, match=f"a value of the unknown type '{kind}'"):
        _load(opened, text)


def test_catalog_stores_no_pickle(opened, tables, monkeypatch):
    """Pickling is disabled, and no stored text looks like a pickle."""

    def refuse(*_args: object, **_kwargs: object) -> None:
        raise AssertionError("something was pickled")

    for name in ("dumps", "loads", "dump", "load"):
        monkeypatch.setattr(pickle, name, refuse)
    table = opened.create_table("plain", {"s": bb.String, "i": bb.Int})
    table.insert(s="a", i=1)
    table.add_computed_column(loud=shout(table.s), more=table.i + 1)
    table.update({"i": 2})
    changes = opened.ibis.con.execute("SELECT changes FROM bb_commits").fetchall()
    for (text,) in changes:
        json.loads(text)
        assert base64.b64encode(b"\x80\x04").decode()[:3] not in text


KINDS = [
    bb.String(), bb.Int(nullable=False), dt.int8, dt.Decimal(10, 2), dt.Timestamp("UTC"),
    dt.Timestamp(scale=3), bb.Image(), bb.Audio(nullable=False), bb.Json(), bb.Vector(3),
    bb.Array(bb.Image), bb.Struct({"a": bb.Json, "b": bb.Array(bb.Struct({"c": bb.Date}))}),
    dt.Map(dt.string, bb.Json()), dt.Interval("D"), bb.UUID(), bb.Binary(), bb.Time(),
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_data_type_round_trips(kind):
    written = json.loads(json.dumps(codec.dump_type(kind)))
    loaded = codec.load_type(written)
    assert loaded == kind
    assert type(loaded) is type(kind)
    assert loaded.nullable == kind.nullable


def test_table_in_data_type_is_refused():
    with pytest.raises(ExpressionError, match="a data type cannot hold table 3"):
        codec.load_type({"$": "table", "v": 3, "commit": None, "hidden": False, "id": 0})
