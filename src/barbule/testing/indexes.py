# ruff: noqa: D102 - tests say by their names what they show
"""The contract of vector stores, as one class of tests."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, ClassVar

import pytest

from barbule.errors import VectorIndexError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    import numpy.typing as npt

    from barbule.indexes.base import IndexStore, Metric

__all__ = ["IndexContract"]

_DIMENSION = 48
_METRICS: list[Metric] = ["cosine", "ip", "l2"]


def _clustered_vectors(count: int, seed: int = 0) -> npt.NDArray[np.float32]:
    import numpy as np

    random = np.random.default_rng(seed)
    centres = np.random.default_rng(1).normal(size=(20, _DIMENSION))
    spread = random.normal(size=(count, _DIMENSION)) * 0.5
    return (centres[random.integers(0, 20, count)] + spread).astype(np.float32)


def _distances(rows: npt.ArrayLike, query: npt.ArrayLike, metric: Metric) -> np.ndarray:
    import numpy as np

    left, right = np.asarray(rows, np.float64), np.asarray(query, np.float64)
    if metric == "l2":
        return np.asarray(((left - right) ** 2).sum(axis=1))
    inner = left @ right
    if metric == "cosine":
        inner = inner / np.linalg.norm(left, axis=1) / np.linalg.norm(right)
    return np.asarray(1 - inner)


class IndexContract:
    """The tests of stores of vector indexes; derive from it, and define `connect`.

    Attributes
    ----------
    recall
        The minimum share of the nearest vectors that a search finds.
    durable
        Whether vectors still exist when the store is opened again.

    Examples
    --------
    >>> import pytest
    >>> class TestMine(IndexContract):
    ...     @pytest.fixture
    ...     def connect(self, tmp_path):
    ...         return lambda: MyStore(tmp_path)
    """

    recall: ClassVar[float] = 0.95
    durable: ClassVar[bool] = True

    @pytest.fixture
    def connect(self) -> Callable[[], IndexStore]:
        """Return a function that opens the store, the same one each time; override it."""
        pytest.fail(f"{type(self).__name__} does not define how its store is opened")

    @pytest.fixture
    def store(self, connect: Callable[[], IndexStore]) -> Iterator[IndexStore]:
        opened = connect()
        assert opened.usable, opened.reason
        yield opened
        opened.close()

    @pytest.fixture
    def name(self) -> str:
        return f"table.column/é {uuid.uuid4().hex}"

    @pytest.mark.parametrize("metric", _METRICS)
    def test_a_search_finds_the_nearest(self, store: IndexStore, name: str, metric: Metric) -> None:
        import numpy as np

        rows, queries = _clustered_vectors(800), _clustered_vectors(20, seed=2)
        ids = np.arange(800) * 3 + 2**33
        index = store.open(name, _DIMENSION, metric)
        index.upsert(ids, rows)
        hits = 0
        for query, candidates in zip(queries, index.search(queries, 10), strict=True):
            distances = _distances(rows, query, metric)
            assert len(set(candidates.ids.tolist())) == 10  # noqa: PLR2004 - as asked
            indexes = np.searchsorted(ids, candidates.ids)
            np.testing.assert_allclose(
                candidates.distances,
                distances[indexes],
                rtol=1e-3,
                atol=1e-3,
                err_msg=f"the distances for {metric!r} are not those of `Candidates.distances`",
            )
            assert np.all(np.diff(candidates.distances) >= 0), "the nearest is not first"
            hits += len(
                set(ids[np.argsort(distances)[:10]].tolist()) & set(candidates.ids.tolist())
            )
        assert hits >= self.recall * 200

    def test_writes_replace_and_remove(self, store: IndexStore, name: str) -> None:
        import numpy as np

        rows = _clustered_vectors(100)
        index = store.open(name, _DIMENSION, "cosine")
        index.upsert(np.arange(100), rows)
        index.upsert(np.arange(50), -rows[:50])
        index.upsert([], [])
        index.delete([7, 7, 99, 12_345])
        index.delete([])
        assert index.count() == 98  # noqa: PLR2004 - of 100
        assert index.ids().tolist() == sorted(set(range(100)) - {7, 99})
        assert index.search(-rows[3], 1)[0].ids.tolist() == [3]
        index.delete(index.ids())
        assert index.count() == 0
        assert [len(candidates) for candidates in index.search(rows[:2], 3)] == [0, 0]

    def test_k_may_be_zero_or_more_than_there_is(self, store: IndexStore, name: str) -> None:
        index = store.open(name, 2, "l2")
        index.upsert([1, 2], [[0.0, 0.0], [3.0, 4.0]])
        assert len(index.search([0.0, 0.0], 0)[0]) == 0
        assert index.search([3.0, 4.0], 50)[0].ids.tolist() == [2, 1]

    def test_a_watermark_only_rises_until_all_is_reset(self, store: IndexStore, name: str) -> None:
        index = store.open(name, 2, "cosine")
        assert index.watermark == -1
        index.upsert([1], [[1.0, 0.0]])
        index.advance(5)
        index.advance(3)
        assert index.watermark == 5  # noqa: PLR2004 - as said
        index.reset()
        assert (index.watermark, index.count()) == (-1, 0)

    @pytest.mark.parametrize("bad", [[float("nan"), 1.0], [0.0, 0.0], [1e30, 1e30], [1.0]])
    def test_bad_vectors_are_refused_whole(
        self, store: IndexStore, name: str, bad: list[float]
    ) -> None:
        index = store.open(name, 2, "cosine")
        with pytest.raises(VectorIndexError):
            index.upsert([1, 2], [[1.0, 0.0], bad])
        assert index.count() == 0

    def test_what_was_written_is_there_again(
        self, connect: Callable[[], IndexStore], name: str
    ) -> None:
        first = connect()
        index = first.open(name, 2, "cosine")
        index.upsert([4, 5], [[1.0, 0.0], [0.0, 1.0]])
        index.advance(9)
        first.close()
        assert not first.usable
        second = connect()
        again = second.open(name, 2, "cosine")
        expected = (9, [4, 5]) if self.durable else (-1, [])
        assert (again.watermark, again.ids().tolist()) == expected
        second.close()
        second.close()

    def test_another_shape_is_another_index(self, store: IndexStore, name: str) -> None:
        index = store.open(name, 2, "cosine")
        index.upsert([1], [[1.0, 0.0]])
        index.advance(4)
        assert store.open(name, 3, "cosine").count() == 0
        assert store.open(name, 3, "cosine").watermark == -1

    def test_dropping_forgets(self, store: IndexStore, name: str) -> None:
        index = store.open(name, 2, "cosine")
        index.upsert([1], [[1.0, 0.0]])
        store.drop(name)
        store.drop(name)
        assert store.open(name, 2, "cosine").count() == 0
