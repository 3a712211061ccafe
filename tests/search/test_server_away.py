"""A Chroma server that hangs: searches go on exactly, nothing waits for it, and it catches up."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

import barbule as bb
from barbule.config import load_settings
from barbule.executor.search import index_sync
from barbule.indexes.chroma import server as adapter
from barbule.session import Session
from patience import PATIENCE
from servers.chroma import chroma_server
from servers.proxy import proxy

from .conftest import filled, nearest, texts_of

ROWS = 60
BOUND = 5.0  # for what should take about a second, on a machine that does much else


@pytest.fixture
def way(tmp_path):
    with (
        chroma_server(tmp_path / "server") as (address, _stop),
        proxy(int(address.rsplit(":", 1)[1])) as way,
    ):
        yield way


@pytest.fixture
def session(way, monkeypatch):
    Path("barbule.toml").write_text("[search]\nmax_matrix_bytes = 0\n")  # the index is asked
    monkeypatch.setattr(adapter, "_RETRY_SECONDS", 0.2)
    monkeypatch.setattr(adapter, "_RETRY_SILENT_SECONDS", 2.0)
    monkeypatch.setattr(index_sync, "_RETRY_SECONDS", 0.1)
    with bb.connect(vectors=f"chroma+http://127.0.0.1:{way.port}") as session:
        yield session


def top(table, query="query", k=5):
    return table.order_by(table.text.similarity(query), asc=False).limit(k).collect()["text"]


def _asks(way, chunks, query):
    """Whether a search for something asks the server."""
    before = way.messages
    assert top(chunks, query) == nearest(chunks.collect()["text"], query, 5)
    return way.messages > before


def test_a_server_that_hangs_is_waited_for_once_and_briefly(session, embed, way):
    chunks = filled(embed, ROWS)
    session._engine.indexing.wait()
    top(chunks, "before")  # what is imported first is
    way.freeze()
    started = time.monotonic()
    assert top(chunks) == nearest(texts_of(ROWS), "query", 5)
    assert time.monotonic() - started < BOUND
    assert not _asks(way, chunks, "another")
    assert "does not answer" in str(session.check())

    way.restore()
    deadline = time.monotonic() + PATIENCE
    while not _asks(way, chunks, f"after {time.monotonic()}"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert session.check().ok


@pytest.mark.parametrize("fault", ["frozen", "cut"])
def test_changes_do_not_wait_for_it_and_the_index_catches_up(session, embed, way, fault):
    chunks = filled(embed, ROWS)
    session._engine.indexing.wait()
    (way.freeze if fault == "frozen" else way.cut)()
    started = time.monotonic()
    chunks.insert([{"n": ROWS, "text": "query"}])
    chunks.update({"text": "another"}, where=chunks.n == 0)
    chunks.delete(chunks.n == 1)
    assert time.monotonic() - started < BOUND
    assert top(chunks)[0] == "query"
    assert time.monotonic() - started < 2 * BOUND

    way.restore()
    # Nothing is committed any more: the searches bring it about.
    deadline = time.monotonic() + PATIENCE
    while not session.check().ok:
        assert time.monotonic() < deadline, session.check()
        assert top(chunks)[0] == "query"
        time.sleep(0.1)
    assert _asks(way, chunks, "at last")


def test_a_server_that_hangs_from_the_start(session, embed, way):
    way.freeze()
    chunks = filled(embed, ROWS)
    started = time.monotonic()
    assert top(chunks) == nearest(texts_of(ROWS), "query", 5)
    assert time.monotonic() - started < 2 * BOUND


def test_an_index_is_dropped_and_a_session_closed_while_it_hangs(session, embed, way):
    chunks = filled(embed, ROWS)
    session._engine.indexing.wait()
    way.freeze()
    top(chunks)
    started = time.monotonic()
    chunks.drop_embedding_index("text")
    session.close()
    assert time.monotonic() - started < BOUND


def test_sessions_of_a_process_do_not_close_each_others_connections(session, embed, way, tmp_path):
    chunks = filled(embed, ROWS)
    session._engine.indexing.wait()
    other = Session(load_settings(vectors=session.settings.vectors, home=str(tmp_path / "other")))
    other.create_table("t", {"v": bb.Vector(2)}).add_embedding_index("v")
    other._engine.indexing.wait()
    other.close()
    assert _asks(way, chunks, "query")
