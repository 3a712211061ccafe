"""JSON exported to other libraries and files is JSON again where the format marks it."""

from __future__ import annotations

import io
import json
import pathlib

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import barbule as bb
from barbule.errors import DataError

KINDS = {
    "j": bb.Json,
    "l": bb.Array(bb.Json),
    "s": bb.Struct({"a": bb.Json, "b": bb.String}),
    "text": bb.String,
    "n": bb.Int,
}
ROW = {
    "j": {"x": [1, None]},
    "l": [{"y": 2}, "z"],
    "s": {"a": [1.5], "b": "b"},
    "text": "{}",
    "n": 1,
}
EMPTY = dict.fromkeys(KINDS)


@pytest.fixture
def t(session, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = session.create_table("t", KINDS)
    table.insert([ROW, EMPTY])
    return table.order_by("n")


def ipc(table):
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return pa.ipc.open_stream(sink.getvalue()).read_all()


def parquet(query, **options):
    query.to_parquet("t.parquet", **options)
    return pq.read_table("t.parquet")


def read(query, **options):
    query.to_parquet("t.parquet", **options)
    return bb.read_parquet("t.parquet")


EXPORTS = {
    "arrow": lambda q: q.to_pyarrow(),
    "limited": lambda q: q.to_pyarrow(limit=5),
    "batches": lambda q: q.to_pyarrow_batches().read_all(),
    "reader": lambda q: q.to_pyarrow_batches(),
    "result": lambda q: q.collect(),
    "result as arrow": lambda q: q.collect().to_pyarrow(),
    "ipc": lambda q: ipc(q.to_pyarrow()),
    "embedded": lambda q: parquet(q, embed_media=True),
    "read": read,
    "read with media": lambda q: read(q, embed_media=True),
    "calls": lambda q: ipc(q.collect().to_pyarrow()),
}


@pytest.mark.parametrize("export", EXPORTS.values(), ids=EXPORTS)
def test_exported_json_round_trips(t, export):
    again = bb.create_table("again", export(t))
    assert dict(again.schema().items()) == dict(t.schema().items())
    assert again.order_by("n").collect() == [ROW, EMPTY]
    assert again.select(x=again.j.x[0]).collect()["x"] in ([1, None], [None, 1])


def test_exported_schema_creates_json_column(t):
    assert bb.create_table("again", t.to_pyarrow().schema).schema()["j"].is_json()


def test_other_libraries_read_json_as_strings(t):
    rows = t.to_pyarrow()
    assert rows["j"].type == pa.string()
    assert rows["l"].type == pa.list_(pa.string())
    assert json.loads(rows["j"][0].as_py()) == ROW["j"]
    assert rows.schema.field("j").metadata[b"ARROW:extension:name"] == b"arrow.json"
    assert rows.schema.field("text").metadata is None
    assert t.to_polars().schema["j"] == pl.String
    assert isinstance(t.to_pandas(), pd.DataFrame)
    assert bb.create_table("texts", t.to_polars(), if_exists="replace").schema()["j"].is_string()
    source = bb.create_table("given", {"j": bb.Json, "n": bb.Int})
    source.insert(t.select("j", "n").to_polars())  # whose strings are parsed as JSON
    assert source.order_by("n").collect()["j"] == [ROW["j"], None]
    t.select("j", "n").to_csv("t.csv")
    assert "{" in pathlib.Path("t.csv").read_text()


def test_schema_without_json_has_no_metadata(session):
    plain = session.create_table("plain", [{"n": 1}])
    assert plain.to_pyarrow().schema.field("n").metadata is None


def test_invalid_json_in_marked_column_is_refused(session):
    marked = {"ARROW:extension:name": "arrow.json"}
    field = pa.field("item", pa.string(), metadata=marked)
    for kind, value in ((pa.list_(field), ["{"]), (pa.struct([field]), {"item": "{"})):
        table = pa.table({"j": pa.array([value], kind)})
        with pytest.raises(DataError, match=r"column 'j', row 0: this is not valid JSON"):
            bb.create_table("t", table)
    assert session.list_tables() == []
    plain = bb.create_table("plain", {"l": bb.Array(bb.Json)})
    plain.insert(pa.table({"l": [["{"]]}))  # plain values without a mark
    assert plain.collect()["l"] == [["{"]]
