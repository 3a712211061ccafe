"""Server outages during operations, and the recovery after them."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager

import ibis
import pytest

import barbule as bb
from barbule.backends.opening import open_backend
from barbule.backends.postgres.connections import commit_status
from barbule.errors import UnreachableError
from patience import PATIENCE
from servers.proxy import Proxy, proxy

FULL = bool(os.environ.get("BARBULE_TEST_FULL"))


@pytest.fixture
def network(postgres):
    with proxy(postgres.port) as network:
        yield network


@pytest.fixture
def proxied_url(postgres, network):
    """Return the URL of an empty database, via the proxy that tests interrupt."""
    with postgres.schema() as url:
        yield url.replace(str(postgres.port), str(network.port))


@pytest.fixture
def direct_url(postgres, proxied_url, network):
    """Return the direct URL of the same database."""
    return proxied_url.replace(str(network.port), str(postgres.port))


@pytest.fixture
def session(proxied_url):
    with bb.connect(proxied_url, vectors="exact:") as session:
        yield session


@contextmanager
def outage(network: Proxy):
    """Interrupt the connection to the server."""
    network.cut()
    try:
        yield
    finally:
        network.restore()


def _operations(session, table):
    """Return operations of users by name."""
    return {
        "collect": lambda: len(table.collect()),
        "insert": lambda: table.insert(n=0).rows,
        "delete": lambda: table.delete(table.n == 0).rows,
        "tables": session.list_tables,
        "get_table": lambda: session.get_table("t").columns,
        "snapshot": lambda: session.snapshot("here", if_exists="replace").name,
        "batches": lambda: sum(batch.num_rows for batch in table.to_pyarrow_batches()),
        "calls": lambda: len(session.calls().collect()),
        "sql": lambda: session.ibis.raw_sql("SELECT 1").fetchall(),
        "ibis": session.ibis.list_tables,
    }


def test_each_operation_raises_during_outage_and_works_after(session, network):
    table = session.create_table("t", [{"n": number} for number in range(1, 100)])
    for name, use in _operations(session, table).items():
        before = use()
        with outage(network):
            for _ in range(3):
                with pytest.raises(UnreachableError, match=r"postgres://tester@127") as caught:
                    use()
                assert "pass" not in str(caught.value)
                assert "Check that the server runs" in str(caught.value)
                assert caught.value.retryable
        assert type(use()) is type(before), name
    assert table.count().to_pyarrow().as_py() == 99


@pytest.mark.parametrize("noticed", [True, False])
def test_each_thread_works_after_outage(session, network, noticed):
    table = session.create_table("t", [{"n": 1}])
    turns = threading.Barrier(5)
    failures, results = [], []

    def work():
        len(table.collect())
        turns.wait(PATIENCE)
        turns.wait(PATIENCE)  # the outage begins
        for _ in range(2 if noticed else 0):
            try:
                table.collect()
            except UnreachableError as error:
                failures.append(error)
        turns.wait(PATIENCE)
        turns.wait(PATIENCE)  # the outage has ended
        results.append((len(table.collect()) > 0, table.insert(n=2).rows))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    turns.wait(PATIENCE)
    with outage(network):
        turns.wait(PATIENCE)
        turns.wait(PATIENCE)
    turns.wait(PATIENCE)
    for thread in threads:
        thread.join()
    assert len(failures) == (8 if noticed else 0)
    assert results == [(True, 1)] * 4


def test_connection_loss_while_reading_raises(session, network):
    table = session.create_table(
        "t", [{"n": number, "text": "x" * 500} for number in range(40_000)]
    )
    batches = iter(table.to_pyarrow_batches(chunk_size=100))
    first = next(batches).num_rows
    with outage(network), pytest.raises(UnreachableError, match="was lost"):
        first += sum(batch.num_rows for batch in batches)
    assert first < 40_000
    assert sum(batch.num_rows for batch in table.to_pyarrow_batches(chunk_size=100)) == 40_000


def test_change_that_lost_write_lock_is_aborted(proxied_url, network):
    backend = open_backend(proxied_url)
    backend.create_table("t", _SCHEMA)

    def change():
        with backend.write_lock():
            with outage(network), pytest.raises(UnreachableError):
                backend.insert("t", [{"n": 1}])
            backend.insert("t", [{"n": 2}])  # another session may write now

    with pytest.raises(UnreachableError):
        change()
    with backend.write_lock(), backend.transaction():
        backend.insert("t", [{"n": 3}])
    assert [row["n"] for row in _rows(backend)] == [3]
    backend.disconnect()


_SCHEMA = ibis.schema({"n": "int64"})


def _rows(backend):
    return backend.arrow(backend.table("t", _SCHEMA).to_expr(), {}).to_pylist()


@pytest.mark.parametrize("fault", ["lost", "unanswered"])
def test_unanswered_commit_is_looked_up(proxied_url, network, fault):
    backend = open_backend(proxied_url)
    backend.create_table("t", _SCHEMA)

    def change():
        with backend.transaction():
            backend.insert("t", [{"n": 1}])
            network.plan(1, fault, stays=False)

    if fault == "lost":
        with pytest.raises(
            UnreachableError, match="was lost; uncommitted changes were rolled back"
        ):
            change()
    else:
        change()
    assert _rows(backend) == ([{"n": 1}] if fault == "unanswered" else [])
    with backend.write_lock(), backend.transaction():
        backend.insert("t", [{"n": 2}])
    assert len(_rows(backend)) == (2 if fault == "unanswered" else 1)
    backend.disconnect()


def test_commit_that_never_reached_server_is_rolled_back(proxied_url, direct_url, network):
    """The server is not notified that its client is gone: the transaction stays open."""
    backend = open_backend(proxied_url)
    backend.create_table("t", _SCHEMA)

    def change():
        with backend.transaction():
            backend.insert("t", [{"n": 1}])
            network.desert()

    with pytest.raises(UnreachableError, match="were rolled back"):
        change()
    assert _rows(backend) == []
    backend.disconnect()


def test_commit_status_is_unknown_while_server_is_unreachable(proxied_url, network, monkeypatch):
    monkeypatch.setattr(commit_status, "_RESTART_SECONDS", 0.5)
    backend = open_backend(proxied_url)
    backend.create_table("t", _SCHEMA)

    def change():
        with backend.transaction():
            backend.insert("t", [{"n": 1}])
            network.plan(1, "unanswered")

    with pytest.raises(UnreachableError, match="whether the change was committed is unknown"):
        change()
    network.restore()
    assert _rows(backend) == [{"n": 1}]
    backend.disconnect()
