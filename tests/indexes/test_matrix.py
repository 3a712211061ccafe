"""In-memory vectors of the current and recent commits, during concurrent writes."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from barbule.indexes.matrix import Matrix

METRICS = ("cosine", "ip", "l2")


def exact(rows, query, k, metric):
    """Compare all rows, a mapping of row ids to vectors, by the definition."""
    ids = np.array(sorted(rows))
    vectors = np.array([rows[row] for row in ids], np.float64).reshape(len(ids), -1)
    vector = np.asarray(query, np.float64)
    if metric == "l2":
        scores = -np.linalg.norm(vectors - vector, axis=1)
    else:
        scores = vectors @ vector
        if metric == "cosine":
            scores /= np.linalg.norm(vectors, axis=1) * np.linalg.norm(vector)
    return ids[np.lexsort((ids, -scores))[:k]].tolist()


@pytest.mark.parametrize("metric", METRICS)
def test_matrix_answers_for_each_past_commit(metric):
    chance = np.random.default_rng(5)
    matrix, rows, states = Matrix(8, metric), {}, {}
    for commit in range(1, 60):
        new = chance.choice(120, 6, replace=False)
        vectors = chance.normal(size=(6, 8)).astype("f4")
        removed = chance.choice(120, 3, replace=False)
        matrix.remove(removed, commit=commit)
        matrix.put(new, vectors, commit=commit)
        for rid in removed:
            rows.pop(rid, None)
        rows |= dict(zip(new.tolist(), vectors, strict=True))
        states[commit] = dict(rows)
        assert matrix.ids.tolist() == sorted(rows)
        assert len(matrix) == len(rows)
    query = chance.normal(size=8).astype("f4")
    some = np.arange(0, 120, 3)
    for commit, vectors_at in states.items():
        for among in (None, some, some[:2]):
            remaining = (
                vectors_at if among is None else {k: v for k, v in vectors_at.items() if k in among}
            )
            result = matrix.nearest(query, 5, among, commit=commit)
            assert (
                result[0].tolist() == exact(remaining, query, 5, metric)
                if remaining
                else not len(result[0])
            )
            _, ids, _ = matrix.pairs(query[None], 5, among, commit=commit)
            assert ids.tolist() == result[0].tolist()


def test_matrix_returns_none_for_discarded_commit():
    matrix = Matrix(2, "cosine")
    ids = np.arange(3000)
    vectors = np.random.default_rng(1).normal(size=(3000, 2)).astype("f4")
    matrix.put(ids, vectors, commit=1)
    before = matrix.nbytes
    matrix.remove(ids[:2500], commit=2)
    query = vectors[0]
    assert matrix.earliest_commit == 2
    assert matrix.nearest(query, 3, commit=1) is None
    assert matrix.pairs(query[None], 3, commit=1) is None
    nearest_ids, _ = matrix.nearest(query, 3, commit=2)
    assert set(nearest_ids.tolist()) <= set(range(2500, 3000))
    assert matrix.nbytes < before / 2


def test_equal_scores_are_ordered_by_row_id():
    matrix = Matrix(2, "cosine")
    same = np.array([[1.0, 0.0]], np.float32)
    matrix.put(np.arange(1000), np.repeat(same, 1000, axis=0), commit=1)
    matrix.put(np.array([3]), same, commit=2)  # it is stored behind all others
    nearest_ids, _ = matrix.nearest(same[0], 5, commit=2)
    assert nearest_ids.tolist() == [0, 1, 2, 3, 4]


def test_nan_vector_is_removed_from_its_commit_on():
    matrix = Matrix(2, "cosine")
    matrix.put(np.array([1]), np.array([[1.0, 0.0]], np.float32), commit=1)
    matrix.put(np.array([1]), np.array([[np.nan, 0.0]], np.float32), commit=2)
    query = np.array([1.0, 0.0], np.float32)
    assert matrix.nearest(query, 1, commit=1)[0].tolist() == [1]
    assert matrix.nearest(query, 1, commit=2)[0].tolist() == []


def test_readers_see_their_commit_while_another_thread_writes():
    """At commit n all rows have the vector of n, so that a mix of two commits is detected."""
    count, commits = 64, 400
    ids = np.arange(count)
    matrix = Matrix(2, "l2")
    matrix.put(ids, np.full((count, 2), 1, np.float32), commit=1)
    latest, wrong, done = [1], [], threading.Event()

    def read():
        while not done.is_set():
            commit = latest[0]
            result = matrix.nearest(np.full(2, commit, np.float32), count, commit=commit)
            if result is not None and (len(result[0]) != count or result[1].any()):
                wrong.append((commit, len(result[0])))

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    for commit in range(2, commits):
        matrix.put(ids, np.full((count, 2), commit, np.float32), commit=commit)
        latest[0] = commit
    done.set()
    for reader in readers:
        reader.join()
    assert not wrong
