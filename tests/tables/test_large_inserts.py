"""Inserts that do not fit in memory are written as they are read."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import barbule as bb
from barbule.tables.sources.arrow_streams import rechunked

MB = 1 << 20
ROWS = 40


def _batches(count: int, held: list[int]):
    """Yield batches of 40 MB in Arrow's memory, and record how much is in use before each."""
    before = pa.total_allocated_bytes()
    text = pa.array(["x" * MB] * ROWS)
    for position in range(count):
        held.append(pa.total_allocated_bytes() - before)
        numbers = pc.add(pa.array(np.arange(ROWS)), position * ROWS)
        yield pa.table({"n": numbers, "text": pc.utf8_upper(text)})


def test_large_insert_memory_is_bounded(session):
    held: list[int] = []
    table = session.create_table("big", {"n": bb.Int, "text": bb.String})
    inserted = table.insert(_batches(20, held))
    assert inserted.rows == 20 * ROWS
    assert table.agg(rows=table.count(), last=table.n.max()).collect() == [
        {"rows": 20 * ROWS, "last": 20 * ROWS - 1}
    ]
    # Of 800: a few batches are in use at a time, in several forms.
    assert max(held) < 440 * MB


def test_large_insert_is_atomic(session):
    table = session.create_table("big", {"n": bb.Int, "text": bb.String})

    def broken():
        yield from _batches(4, [])
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        table.insert(broken())
    assert table.count().execute() == 0
    table.insert([{"n": 1, "text": "a"}])
    table.insert(pa.table({"n": range(100), "text": ["b"] * 100}))
    assert table.text.nunique().execute() == 2


def test_large_insert_restores_memory_limit(tmp_path):
    with bb.connect(f"duckdb://{tmp_path / 'app.duckdb'}", vectors="exact:") as session:
        limit = "SELECT current_setting('memory_limit')"
        before = session.ibis.con.execute(limit).fetchall()
        table = session.create_table("big", {"n": bb.Int, "text": bb.String})
        for _ in range(3):
            table.insert(_batches(3, []))
        assert session.ibis.con.execute(limit).fetchall() == before


def test_wide_rows_are_rechunked_into_small_batches():
    wide = pa.table({"text": ["x" * MB] * 200})
    pieces = list(rechunked([wide.slice(0, 50), wide.slice(50)], 1000))
    assert sum(piece.num_rows for piece in pieces) == 200
    assert max(piece.nbytes for piece in pieces) < 66 * MB
    assert len(pieces) < 6
