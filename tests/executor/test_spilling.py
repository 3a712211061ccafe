"""SpillingTable: a table that exceeds memory keeps its rows and their order."""

from __future__ import annotations

import gc
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import barbule as bb
from barbule.executor import plan_runner, stage_calls
from barbule.executor.results import spilling
from barbule.executor.results.spilling import SpillingTable

SCHEMA = pa.schema([("n", pa.int64()), ("v", pa.list_(pa.float32(), 2)), ("s", pa.string())])


def part(start: int, count: int) -> pa.Table:
    rows = range(start, start + count)
    vectors = [[float(n), -float(n)] if n % 3 else None for n in rows]
    return pa.table({"n": list(rows), "v": vectors, "s": [f"é{n}" for n in rows]}, schema=SCHEMA)


@pytest.mark.parametrize("limit", [0, 1000, 1 << 20], ids=["at-once", "later", "never"])
@pytest.mark.parametrize("sizes", [(), (0,), (3,), (3, 0, 100, 1)], ids=str)
def test_spilled_table_keeps_rows_and_order(tmp_path, monkeypatch, sizes, limit):
    folder = tmp_path / "spilled"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    parts, start = SpillingTable(SCHEMA, limit), 0
    for size in sizes:
        parts.add(part(start, size))
        start += size
    spilled = parts.table()
    assert spilled.schema == SCHEMA
    assert spilled.to_pylist() == part(0, start).to_pylist()
    assert not list(folder.iterdir())  # the file is unlinked


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="no list of open files")
def test_spilled_table_leaves_no_open_file():
    def opened():
        gc.collect()
        return len(list(Path("/proc/self/fd").iterdir()))

    before = opened()
    for _ in range(5):
        parts = SpillingTable(SCHEMA, 0)
        parts.add(part(0, 5))
        assert parts.table().num_rows == 5
    del parts
    assert opened() <= before


@bb.udf(batch_size=7)
def halves(values: list[int]) -> list[bb.Vector(2)]:
    return [np.array([value / 2, 1.0], "float32") for value in values]


def test_query_results_are_equal_when_spilled(session, monkeypatch):
    monkeypatch.setattr(spilling, "_MAX_BYTES_IN_MEMORY", 0)
    for module in (plan_runner, stage_calls):
        monkeypatch.setattr(module, "MAX_BATCH_ROWS", 10)
    table = bb.create_table("t", {"n": bb.Int})
    table.insert([{"n": n} for n in range(95)])
    query = table.select("n", h=halves(table.n))
    for rows in (query.to_pyarrow(), query.to_pyarrow_batches(chunk_size=20).read_all()):
        assert [row["h"] for row in rows.sort_by("n").to_pylist()] == [
            [n / 2, 1.0] for n in range(95)
        ]
    assert table.filter(halves(table.n)[0] > 40).count().execute() == 14
