"""What every vector index must do, run over each implementation."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import uuid

import numpy as np
import pytest

from barbule.errors import ConfigurationError, VectorIndexError
from barbule.indexes.stores import open_store
from patience import PATIENCE

DIMENSION = 64
METRICS = ["cosine", "ip", "l2"]


def clustered(count, dimension=DIMENSION, seed=0):
    random = np.random.default_rng(seed)
    centres = random.normal(size=(40, dimension))
    spread = random.normal(size=(count, dimension)) * 0.5
    return (centres[random.integers(0, 40, count)] + spread).astype(np.float32)


def brute(ids, rows, query, metric):
    """Distances in float64, by id."""
    rows, query = rows.astype(np.float64), query.astype(np.float64)
    if metric == "l2":
        values = ((rows - query) ** 2).sum(axis=1)
    else:
        values = rows @ query
        if metric == "cosine":
            values = values / np.linalg.norm(rows, axis=1) / np.linalg.norm(query)
        values = 1 - values
    return dict(zip(ids.tolist(), values.tolist(), strict=True))


def check_search(index, ids, rows, queries, metric, k=10, recall=0.95):
    hits = 0
    for query, candidates in zip(queries, index.search(queries, k), strict=True):
        distances = brute(ids, rows, query, metric)
        best = sorted(distances, key=distances.get)[:k]
        assert candidates.ids.dtype == np.int64
        assert candidates.distances.dtype == np.float32
        assert len(candidates) == len(set(candidates.ids.tolist())) == min(k, len(ids))
        assert np.all(np.diff(candidates.distances) >= 0)
        expected = [distances[key] for key in candidates.ids.tolist()]
        np.testing.assert_allclose(candidates.distances, expected, rtol=1e-3, atol=1e-3)
        hits += len(set(best) & set(candidates.ids.tolist()))
    assert hits >= recall * len(queries) * min(k, len(ids))


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """A real Chroma server on loopback."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("server")
    program = "from chromadb.cli.cli import app; app()"
    arguments = ["run", "--path", str(folder), "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        cwd=folder,
        env={**os.environ, "ANONYMIZED_TELEMETRY": "False"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"chroma+http://127.0.0.1:{port}"
    deadline = time.monotonic() + PATIENCE
    while True:
        store = open_store(url)
        if store.usable:
            break
        assert time.monotonic() < deadline, store.reason
        assert process.poll() is None
        time.sleep(0.1)
    store.close()
    yield url
    process.terminate()
    process.wait(PATIENCE)


@pytest.fixture(params=["exact", "chroma", "server"])
def url(request, tmp_path):
    if request.param == "exact":
        return "exact:"
    if request.param == "chroma":
        return f"chroma://{tmp_path / 'vectors'}"
    return request.getfixturevalue("server")


@pytest.fixture
def store(url):
    opened = open_store(url)
    assert opened.usable, opened.reason
    assert opened.reason is None
    yield opened
    opened.close()


@pytest.fixture
def name():
    return f"docs.chunks/text é {uuid.uuid4().hex}"


@pytest.mark.parametrize("metric", METRICS)
def test_search_matches_brute_force(store, name, metric):
    rows = clustered(2000)
    ids = np.arange(2000) + 2**33
    index = store.open(name, DIMENSION, metric)
    assert index.name == name
    index.upsert(ids, rows)
    assert index.count() == 2000
    check_search(index, ids, rows, clustered(30, seed=1), metric)


def test_upsert_overwrites_and_delete_removes(store, name):
    rows = clustered(300)
    ids = np.arange(300)
    index = store.open(name, DIMENSION, "cosine")
    index.upsert(ids, rows)
    index.upsert(ids, rows)
    assert index.count() == 300
    changed = clustered(100, seed=7)
    index.upsert(ids[:100], changed)
    rows[:100] = changed
    index.delete([5, 250, 250, 99_999])
    index.delete([])
    index.upsert([], [])
    live = np.setdiff1d(ids, [5, 250])
    assert index.count() == 298
    check_search(index, live, rows[live], rows[::10], "cosine")
    index.delete(live)
    assert index.count() == 0
    assert len(index.search(rows[0], 3)[0]) == 0
    index.upsert(ids[:2], rows[:2])
    assert index.search(rows[1], 1)[0].ids.tolist() == [1]


@pytest.mark.parametrize("noise", [0, 1e-3])
def test_repeated_upserts_lose_no_vector(store, name, noise):
    rows = clustered(300)
    ids = np.arange(300)
    index = store.open(name, DIMENSION, "cosine")
    for step in range(9):
        rows += (noise * np.random.default_rng(step).normal(size=rows.shape)).astype(np.float32)
        index.upsert(ids, rows)
    check_search(index, ids, rows, rows[::10], "cosine", recall=0.99)


def test_last_of_duplicate_ids_wins(store, name):
    index = store.open(name, 2, "l2")
    index.upsert([1, 2, 1], [[9, 9], [5, 5], [0, 0]])
    assert index.count() == 2
    candidates = index.search([0, 0], 2)[0]
    assert candidates.ids.tolist() == [1, 2]
    assert candidates.distances.tolist() == [0, 50]


def test_ties_go_to_the_smaller_id(store, name):
    index = store.open(name, 2, "l2")
    index.upsert([9, 4, 7], [[1, 0], [1, 0], [1, 0]])
    assert index.search([0, 0], 3)[0].ids.tolist() == [4, 7, 9]


def test_search_with_edge_values_of_k_and_shape(store, name):
    rows = clustered(20)
    index = store.open(name, DIMENSION, "l2")
    assert [len(one) for one in index.search(rows[:3], 5)] == [0, 0, 0]
    index.upsert(range(20), rows)
    assert [len(one) for one in index.search(rows[:2], 0)] == [0, 0]
    assert [len(one) for one in index.search(rows[:2], 500)] == [20, 20]
    assert [len(one) for one in index.search(rows[0], 3)] == [3]
    assert index.search(np.empty((0, DIMENSION)), 3) == []


def test_ids_may_be_large_or_negative(store, name):
    ids = [2**31 + 1, 2**62, -3, 0]
    index = store.open(name, 4, "l2")
    index.upsert(ids, np.eye(4))
    assert [one.ids[0] for one in index.search(np.eye(4), 1)] == ids


def test_reset_clears_watermark_and_vectors(store, name):
    index = store.open(name, 2, "cosine")
    assert index.watermark == -1
    index.upsert([1], [[1, 1]])
    assert index.watermark == -1
    index.advance(4)
    index.advance(2)
    assert index.watermark == 4
    index.reset()
    assert (index.watermark, index.count()) == (-1, 0)
    index.upsert([2], [[1, 1]])
    index.advance(5)
    assert (index.watermark, index.search([1, 1], 9)[0].ids.tolist()) == (5, [2])


def test_index_opened_twice_shares_state(store, name):
    first = store.open(name, 2, "l2")
    first.upsert([1], [[1, 1]])
    first.advance(3)
    second = store.open(name, 2, "l2")
    assert (second.watermark, second.count()) == (3, 1)


@pytest.mark.parametrize("other", [(3, "l2"), (2, "cosine")])
def test_other_dimension_or_metric_opens_empty_index(store, name, other):
    index = store.open(name, 2, "l2")
    index.upsert([1], [[1, 1]])
    index.advance(3)
    again = store.open(name, *other)
    assert (again.watermark, again.count()) == (-1, 0)
    again.upsert([1], np.ones((1, other[0])))
    assert again.count() == 1


def test_indexes_with_similar_names_are_separate(store, name):
    names = [name, f"{name}_", f"{name}-g1", name.replace(".", "_2e"), name * 20, name * 20 + "x"]
    for key, one in enumerate(names):
        store.open(one, 2, "l2").upsert([key], [[1, 1]])
    for key, one in enumerate(names):
        assert store.open(one, 2, "l2").search([1, 1], 9)[0].ids.tolist() == [key]


def test_dropped_index_reopens_empty(store, name):
    index = store.open(name, 2, "l2")
    index.upsert([1], [[1, 1]])
    index.advance(3)
    store.drop(name)
    store.drop(name)
    again = store.open(name, 2, "l2")
    assert (again.watermark, again.count()) == (-1, 0)


def test_invalid_vectors_are_refused_and_nothing_is_written(store, name):
    index = store.open(name, 2, "cosine")
    index.upsert([1], [[1, 1]])
    for bad, message in [
        ([[1, 1], [0, 0]], "id 8 is zero"),
        ([[1, 1], [np.nan, 1]], "id 8 holds NaN"),
        ([[1, 1], [np.inf, 1]], "id 8 holds NaN"),
        ([[1, 1], [1e300, 1]], "id 8 holds NaN"),
        ([[1, 1, 1], [1, 1, 1]], "holds vectors of 2 numbers"),
        ([[1, 1]], "2 ids were passed with 1 vectors"),
        ([[1, 1], [1]], "a two-dimensional array"),
    ]:
        with pytest.raises(VectorIndexError, match=message):
            index.upsert([7, 8], bad)
    with pytest.raises(VectorIndexError, match="one-dimensional array of integers"):
        index.upsert([1.5], [[1, 1]])
    with pytest.raises(VectorIndexError, match="query 0 is zero"):
        index.search([0, 0], 1)
    with pytest.raises(VectorIndexError, match="holds vectors of 2 numbers"):
        index.search([1, 1, 1], 1)
    assert index.count() == 1
    assert index.search([1, 1], 5)[0].ids.tolist() == [1]


def test_zero_vector_is_valid_with_l2(store, name):
    index = store.open(name, 2, "l2")
    index.upsert([1, 2], [[0, 0], [3, 4]])
    assert index.search([0, 0], 2)[0].distances.tolist() == [0, 25]


def test_zero_dimension_is_refused(store, name):
    with pytest.raises(VectorIndexError, match="must be 1 or more"):
        store.open(name, 0, "l2")


def test_close_is_idempotent(url):
    store = open_store(url)
    index = store.open("t.v", 2, "l2")
    store.close()
    store.close()
    assert not store.usable
    assert "closed" in store.reason
    assert index.name == "t.v"
    with pytest.raises(VectorIndexError, match="closed"):
        store.open("t.v", 2, "l2")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("faiss:///x", "scheme 'faiss:'.*chroma:, chroma\\+http:"),
        ("chroma", "scheme 'chroma'"),
        ("chroma://", "has no directory"),
        ("exact://x", "takes no path"),
        ("chroma+http://", "only a host and a port"),
        ("chroma+http://h:99999", "not a number"),
        ("chroma+http://h:1/path", "only a host and a port"),
    ],
)
def test_invalid_urls_are_refused(url, message):
    with pytest.raises(ConfigurationError, match=message):
        open_store(url)


def test_a_secret_in_a_url_is_not_shown():
    with pytest.raises(ConfigurationError, match="holds credentials") as caught:
        open_store("chroma+http://me:sesame@host:1")
    assert "sesame" not in str(caught.value)


def test_unreachable_server_makes_store_unusable():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        store = open_store(f"chroma+http://127.0.0.1:{free.getsockname()[1]}")
        assert not store.usable
        assert "does not answer" in store.reason
        with pytest.raises(VectorIndexError, match="not usable"):
            store.open("x", 2, "l2")
        store.close()


def test_server_keeps_watermark_and_refuses_stale_handle(server, name):
    first, second = open_store(server), open_store(server)
    mine = first.open(name, 2, "l2")
    mine.upsert([1], [[1, 1]])
    mine.advance(6)
    theirs = second.open(name, 2, "l2")
    assert theirs.watermark == 6
    theirs.reset()
    with pytest.raises(VectorIndexError, match="could not be"):
        mine.upsert([2], [[1, 1]])
    with pytest.raises(VectorIndexError, match="could not be advanced"):
        mine.advance(7)
    assert (mine.watermark, mine.count()) == (-1, 0)
    mine.upsert([2], [[1, 1]])
    mine.advance(7)
    assert theirs.watermark == 7
    first.close()
    second.close()


def test_import_of_stores_loads_no_heavy_library():
    program = (
        "import sys, barbule.errors; before = set(sys.modules); import barbule.indexes.stores; "
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}; "
        "sys.exit(bool(new & {'chromadb', 'numpy'}))"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
