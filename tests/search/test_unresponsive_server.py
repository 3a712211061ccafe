"""A Chroma server that hangs: searches stay exact, nothing blocks, the index catches up."""

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
BOUND = 5.0  # seconds, for operations that take about one on an idle machine


@pytest.fixture
def link(tmp_path):
    with (
        chroma_server(tmp_path / "server") as (address, _stop),
        proxy(int(address.rsplit(":", 1)[1])) as link,
    ):
        yield link


@pytest.fixture
def session(link, monkeypatch):
    Path("barbule.toml").write_text("[search]\nmax_matrix_bytes = 0\n")  # searches use the index
    monkeypatch.setattr(adapter, "_RETRY_SECONDS", 0.2)
    monkeypatch.setattr(adapter, "_RETRY_SILENT_SECONDS", 2.0)
    monkeypatch.setattr(index_sync, "_RETRY_SECONDS", 0.1)
    with bb.connect(vectors=f"chroma+http://127.0.0.1:{link.port}") as session:
        yield session


def top(table, query="query", k=5):
    return table.order_by(table.text.similarity(query), asc=False).limit(k).collect()["text"]


def _uses_server(link, chunks, query):
    """Return whether a search sends a request to the server."""
    before = link.messages
    assert top(chunks, query) == nearest(chunks.collect()["text"], query, 5)
    return link.messages > before


def test_hanging_server_delays_first_search_only(session, embed, link):
    chunks = filled(embed, ROWS)
    session._engine.indexing.wait()
    top(chunks, "before")  # imports modules before the timing
    link.freeze()
    started = time.monotonic()
    assert top(chunks) == nearest(texts_of(ROWS), "query", 5)
    assert time.monotonic() - started < BOUND
    assert not _uses_server(link, chunks, "another")
    assert "does not answer" in str(session.check())

    link.restore()
    deadline = time.monotonic() + PATIENCE
    while not _uses_server(link, chunks, f"after {time.monotonic()}"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert session.check().ok


@pytest.mark.parametrize("fault", ["frozen", "cut"])
def test_changes_do_not_wait_for_server_and_index_catches_up(session, embed, link, fault):
    chunks = filled(embed, ROWS)
    session._engine.indexing.wait()
    (link.freeze if fault == "frozen" else link.cut)()
    started = time.monotonic()
    chunks.insert([{"n": ROWS, "text": "query"}])
    chunks.update({"text": "another"}, where=chunks.n == 0)
    chunks.delete(chunks.n == 1)
    assert time.monotonic() - started < BOUND
    assert top(chunks)[0] == "query"
    assert time.monotonic() - started < 2 * BOUND

    link.restore()
    # There are no more commits: searches trigger the sync.
    deadline = time.monotonic() + PATIENCE
    while not session.check().ok:
        assert time.monotonic() < deadline, session.check()
        assert top(chunks)[0] == "query"
        time.sleep(0.1)
    assert _uses_server(link, chunks, "at last")


def test_search_works_when_server_hangs_from_start(session, embed, link):
    link.freeze()
    chunks = filled(embed, ROWS)
    started = time.monotonic()
    assert top(chunks) == nearest(texts_of(ROWS), "query", 5)
    assert time.monotonic() - started < 2 * BOUND


def test_index_drop_and_session_close_do_not_wait_for_server(session, embed, link):
    chunks = filled(embed, ROWS)
    session._engine.indexing.wait()
    link.freeze()
    top(chunks)
    started = time.monotonic()
    chunks.drop_embedding_index("text")
    session.close()
    assert time.monotonic() - started < BOUND


def test_session_close_keeps_connections_of_other_session(session, embed, link, tmp_path):
    chunks = filled(embed, ROWS)
    session._engine.indexing.wait()
    other = Session(load_settings(vectors=session.settings.vectors, home=str(tmp_path / "other")))
    other.create_table("t", {"v": bb.Vector(2)}).add_embedding_index("v")
    other._engine.indexing.wait()
    other.close()
    assert _uses_server(link, chunks, "query")
