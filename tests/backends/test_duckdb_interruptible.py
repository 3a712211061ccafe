"""DuckDB queries that run in another thread, so that Ctrl-C can interrupt them."""

from __future__ import annotations

import pytest

import barbule as bb
from barbule.backends.duckdb import reader


@pytest.fixture
def joined(session, monkeypatch):
    """Record for each query that joins whether another thread runs it."""
    interrupted = []
    read_table = reader.read_table

    def reading(cursor, sql, *, long_join):
        if " JOIN " in sql:
            interrupted.append(long_join)
        return read_table(cursor, sql, long_join=long_join)

    monkeypatch.setattr(reader, "read_table", reading)
    return interrupted


@pytest.fixture
def table(session):
    table = session.create_table("t", {"n": bb.Int, "v": bb.Vector(2)})
    table.insert([{"n": n, "v": [float(n), 1.0]} for n in range(20)])
    return table


def test_search_and_view_queries_stay_in_their_thread(session, table, joined):
    table.add_embedding_index("v")
    view = session.create_view("w", table.where(table.n > 3))
    nearest = table.where(table.n > 4).order_by(table.v.similarity([1.0, 2.0]), asc=False)

    assert nearest.limit(2).select("n").collect()["n"] == [5, 6]
    assert len(view.collect()) == 16
    assert joined
    assert not any(joined)


@pytest.mark.parametrize("equal", [True, False])
def test_user_join_runs_in_another_thread(table, joined, equal):
    other = table.view()
    predicate = table.n == other.n if equal else table.n > other.n

    assert table.join(other, predicate).count().execute() == (20 if equal else 190)
    assert joined == [True]
