"""Outages of a server at each step of an operation: it succeeds or raises.

A step is a message to the server. The message or its answer is lost; the server is reachable again
at once, or after the operation. No change is lost or duplicated, and the next operation works.
"""

from __future__ import annotations

import itertools
import os
import time
from pathlib import Path

import numpy as np
import pytest

import barbule as bb
from barbule.backends.postgres.connections import commit_status
from barbule.errors import UnreachableError
from barbule.executor.search import index_sync
from barbule.functions import openai
from barbule.indexes.chroma import http, server
from patience import PATIENCE
from servers.chroma import chroma_server as start_chroma
from servers.proxy import proxy

FULL = bool(os.environ.get("BARBULE_TEST_FULL"))
STRIDE = 1 if FULL else 5
STRIDE_OF_INDEX = 1 if FULL else 31  # some wait for a second
ROWS = 6


def _sweep(network, work, fault, back, stride=STRIDE):
    """Run `work` with a fault at each of its steps, and yield each outcome.

    An outcome is the result of `work`, or the error that it raised.
    """
    for step in itertools.count(1, stride):
        network.plan(step, fault, stays=back == "afterwards")
        try:
            done = work()
        except UnreachableError as error:
            done = error
        network.restore()
        if not network.struck.is_set():
            assert step > 1
            return
        yield done


@pytest.fixture
def network(postgres):
    with proxy(postgres.port) as network:
        yield network


@pytest.fixture
def session(postgres, network, monkeypatch):
    monkeypatch.setattr(commit_status, "_RESTART_SECONDS", 1.0)
    with (
        postgres.schema() as url,
        bb.connect(url.replace(str(postgres.port), str(network.port)), vectors="exact:") as session,
    ):
        yield session


def vector_of(text: str) -> list[float]:
    return np.random.default_rng(len(text)).normal(size=4).astype("float32").tolist()


@pytest.fixture
def embed():
    @bb.udf(batch_size=4)
    def embed(texts: list[str]) -> list[bb.Vector(4)]:
        return [vector_of(text) for text in texts]

    return embed


@pytest.fixture
def table(session, embed):
    """Make a table with a computed column, a view and an index over it."""
    table = session.create_table("t", {"n": bb.Int, "text": bb.String})
    table.add_computed_column(loud=table.text.upper(), stored=True)
    table.add_embedding_index("text", string_embed=embed)
    session.create_view("v", table.filter(table.n % 2 == 0))
    table.insert([{"n": n, "text": "x" * n} for n in range(ROWS)])
    return table


FAULTS = pytest.mark.parametrize("fault", ["lost", "unanswered"])
FAULTS_OF_CHROMA = pytest.mark.parametrize("fault", ["lost", "unanswered", "frozen"])
BACK = pytest.mark.parametrize("back", ["at once", "afterwards"])


def _state(session):
    rows = session.get_table("t").order_by("n").collect()
    assert rows["loud"] == [text.upper() for text in rows["text"]]
    assert session.get_table("v").order_by("n").collect()["n"] == [
        n for n in rows["n"] if n % 2 == 0
    ]
    return rows["n"]


@FAULTS
@BACK
def test_insert_during_outage_is_atomic(session, table, network, fault, back):
    numbers = itertools.count(ROWS)
    inserted = []

    def insert():
        inserted[:] = [next(numbers), next(numbers)]
        return table.insert([{"n": n, "text": "x" * n} for n in inserted])

    before, outcomes = _state(session), set()
    for done in _sweep(network, insert, fault, back):
        after = _state(session)
        outcomes.add(type(done).__name__)
        if not isinstance(done, UnreachableError):
            assert after == before + inserted
        elif "is unknown" not in str(done):
            assert after == before, done
        assert after in (before, before + inserted)
        assert table.insert(n=next(numbers), text="later").rows == 1
        before = _state(session)
        assert len(before) == len(after) + 1
    assert "UnreachableError" in outcomes
    assert "InsertResult" in outcomes or not FULL  # at the last steps, after the commit
    versions = table.history()["version"]
    assert versions == list(range(len(versions) - 1, -1, -1))


@FAULTS
@BACK
def test_search_during_outage_returns_same_rows_or_raises(session, table, network, fault, back):
    def search():
        nearest = table.order_by(table.text.similarity("xxx"), asc=False).limit(2)
        return nearest.collect()["n"]

    assert search()[0] == 3
    expected = search()
    for done in _sweep(network, search, fault, back):
        assert isinstance(done, UnreachableError) or done == expected
        assert "is unknown" not in str(done)
        assert search() == expected


@FAULTS
@BACK
def test_model_calls_are_paid_once_despite_outage(models, session, table, network, fault, back):
    numbers = itertools.count()
    number = 0

    def ask():
        nonlocal number
        number = next(numbers)
        messages = [{"role": "user", "content": f"{number}: " + table.text}]
        reply = openai.chat_completions(model="echo", messages=messages)
        return table.add_computed_column(said=reply.choices[0].message.content, if_exists="replace")

    ask()
    call_count = models.count
    for done in _sweep(network, ask, fault, back):
        if isinstance(done, UnreachableError):
            columns = session.get_table("t").columns
            numbers = itertools.chain([number], numbers)
            assert "said" in columns  # at least that of the previous turn
            ask()
        replies = session.get_table("t").order_by("n").collect()["said"]
        assert replies == [f"echo: {number}: " + "x" * n for n in range(ROWS)]
        call_count += ROWS
        assert models.count == call_count
        calls = session.calls()
        keys = calls.filter(calls.model.notnull()).collect()["key"]
        assert len(keys) == len(set(keys)) == call_count


# The Chroma server


@pytest.fixture(scope="module")
def chroma(tmp_path_factory):
    with start_chroma(tmp_path_factory.mktemp("server")) as (address, _stop):
        yield int(address.rsplit(":", 1)[1])


@FAULTS_OF_CHROMA
@BACK
def test_index_outage_breaks_no_change_or_search(chroma, embed, fault, back, monkeypatch):
    monkeypatch.setattr(server, "_RETRY_SECONDS", 0.1)
    monkeypatch.setattr(server, "_RETRY_SILENT_SECONDS", 0.1)
    monkeypatch.setattr(http, "_WRITE_SECONDS", 1.0)
    monkeypatch.setattr(index_sync, "_RETRY_SECONDS", 0.1)
    Path("barbule.toml").write_text("[search]\nmax_matrix_bytes = 0\n")
    with (
        proxy(chroma) as network,
        bb.connect(vectors=f"chroma+http://127.0.0.1:{network.port}") as session,
    ):
        table = session.create_table("t", {"n": bb.Int, "text": bb.String})
        table.add_embedding_index("text", string_embed=embed)
        table.insert([{"n": n, "text": "x" * n} for n in range(ROWS)])
        session._engine.indexing.wait()
        numbers = itertools.count(ROWS)

        def work():
            n = next(numbers)
            table.insert(n=n, text="x" * n)
            table.delete(table.n == n - 2)
            nearest = [_nearest(table, n), _nearest(table, n - 1), _nearest(table, 0)]
            session._engine.indexing.wait()
            return nearest == [n, n - 1, 0]

        assert work()
        for done in _sweep(network, work, fault, back, STRIDE_OF_INDEX):
            assert done
            deadline = time.monotonic() + PATIENCE
            while not session.check().ok:  # it catches up
                assert time.monotonic() < deadline, session.check()
                _nearest(table, 0)
                session._engine.indexing.wait()
            assert work()


def _nearest(table, n):
    similar = table.text.similarity("x" * n)
    return table.order_by(similar, asc=False).limit(1).collect()["n"][0]
