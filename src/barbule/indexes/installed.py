"""Vector indexes of installed packages, checked on each call.

Owns the errors of stores and indexes that do not implement their protocol or that fail. An index is
a cache: one that fails is not searched, and the search reads the tables.
"""

from __future__ import annotations

import threading
import warnings
from typing import TYPE_CHECKING, Any, TypeVar

from barbule.errors import BarbuleError, VectorIndexError, message_of
from barbule.extensions import is_interrupt, signature_problem, unfulfilled
from barbule.indexes.base import Candidates, IndexStore, VectorIndex

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import numpy.typing as npt

    from barbule.extensions import Extension
    from barbule.indexes.base import Graph, Metric

__all__ = ["open_installed"]

T = TypeVar("T")


def open_installed(package: Extension, location: str, graph: Graph) -> IndexStore:
    """Open the store of an installed package.

    Raises
    ------
    ConfigurationError
        If its entry point cannot be called, fails, or returns no `IndexStore`.
    """
    if problem := signature_problem(package.value, "address", "graph"):
        raise package.problem(
            problem, "Its entry point must name a function or class that opens a store."
        )
    with package.guarded("it opened the store"):
        store = package.value(location, graph)
    if lack := unfulfilled(store, IndexStore):
        raise package.problem(f"returned an object that is no store: it {lack}")
    return _InstalledStore(package, store)


class _Guarded:
    """Calls the code of a package; what it raises is a `VectorIndexError` that names it."""

    def __init__(self, package: Extension, subject: str) -> None:
        self._package = package
        self._subject = subject

    def _error(self, reason: str) -> VectorIndexError:
        return VectorIndexError(
            f"{self._package.label} failed in {self._subject}: {reason}.",
            hint="Searches compare all vectors exactly meanwhile. Report this to the author of "
            "the package.",
        )

    def _run(self, action: str, call: Callable[[], T]) -> T:
        try:
            return call()
        except VectorIndexError:
            raise
        except BaseException as error:
            if is_interrupt(error):
                raise
            reason = message_of(error).rstrip(".")
            if not isinstance(error, BarbuleError):
                reason = f"{type(error).__name__}: {reason}"
            raise self._error(f"{action}: {reason}") from error

    def _typed(self, action: str, value: object, expected: type[T]) -> T:
        if not isinstance(value, expected) or (isinstance(value, bool) and expected is not bool):
            raise self._error(f"{action} returned {value!r:.80}, not {expected.__name__}")
        return value


class _InstalledStore(_Guarded):
    """A store of an installed package."""

    def __init__(self, package: Extension, store: IndexStore) -> None:
        super().__init__(package, "the store")
        self._store = store

    @property
    def usable(self) -> bool:
        """Whether this process may use the store now."""
        return self._typed("usable", self._run("usable", lambda: self._store.usable), bool)

    @property
    def reason(self) -> str | None:
        """Why the store is not usable, None when it is."""
        try:
            reason: object = self._run("reason", lambda: self._store.reason)
        except VectorIndexError as error:
            return error.message
        return None if reason is None else str(reason)

    def open(self, name: str, dimension: int, metric: Metric) -> VectorIndex:
        """Open an index.

        Raises
        ------
        ConfigurationError
            If the store opens something else.
        """
        index = self._run("open", lambda: self._store.open(name, dimension, metric))
        if lack := unfulfilled(index, VectorIndex):
            raise self._package.problem(f"opened an object that is no index: it {lack}")
        return _InstalledIndex(self._package, name, index)

    def drop(self, name: str) -> None:
        """Remove an index, if it exists."""
        self._run("drop", lambda: self._store.drop(name))

    def close(self) -> None:
        """Release the store's resources; a failure is a warning, so that the session ends."""
        try:
            self._run("close", self._store.close)
        except VectorIndexError as error:
            warnings.warn(str(error), RuntimeWarning, stacklevel=2)


class _InstalledIndex(_Guarded):
    """An index of an installed package."""

    def __init__(self, package: Extension, name: str, index: VectorIndex) -> None:
        super().__init__(package, f"the index {name!r}")
        self._name = name
        self._index = index
        self._lock = threading.Lock()
        self._warned = False

    @property
    def name(self) -> str:
        """The name the index was opened by."""
        return self._name

    @property
    def watermark(self) -> int:
        """The commit up to which the index is complete; -1 when its vectors are unreliable."""
        return int(
            self._integer("watermark", self._run("watermark", lambda: self._index.watermark))
        )

    def count(self) -> int:
        """Return how many vectors are in the index."""
        return int(self._integer("count", self._run("count", self._index.count)))

    def _integer(self, action: str, value: Any) -> int:
        import numpy as np

        if isinstance(value, np.integer):
            return int(value)
        return self._typed(action, value, int)

    def ids(self) -> npt.NDArray[np.int64]:
        """Return the ids of all vectors, in order."""
        return self._ids("ids", self._run("ids", self._index.ids))

    def _ids(self, action: str, value: object) -> npt.NDArray[np.int64]:
        import numpy as np

        array = self._array(action, value)
        if array.size and array.dtype.kind not in "iu":
            raise self._error(f"{action} returned ids of type {array.dtype}, not integers")
        return array.astype(np.int64)

    def _array(self, action: str, value: object) -> npt.NDArray[Any]:
        import numpy as np

        array = self._run(action, lambda: np.asarray(value))
        if array.ndim != 1:
            raise self._error(f"{action} returned {value!r:.80}, not a one-dimensional array")
        return array

    def upsert(self, ids: npt.ArrayLike, vectors: npt.ArrayLike) -> None:
        """Add vectors, replacing those of the same id."""
        self._run("upsert", lambda: self._index.upsert(ids, vectors))

    def delete(self, ids: npt.ArrayLike) -> None:
        """Remove vectors; unknown ids are ignored."""
        self._run("delete", lambda: self._index.delete(ids))

    def advance(self, watermark: int) -> None:
        """Set the watermark, once all vectors up to a commit are in."""
        self._run("advance", lambda: self._index.advance(watermark))

    def reset(self) -> None:
        """Empty the index."""
        self._run("reset", self._index.reset)

    def search(self, query: npt.ArrayLike, k: int) -> list[Candidates]:
        """Find the nearest vectors.

        A failure is a warning as well, the first time: the search is slower, with the same result.
        """
        try:
            found: object = self._run("search", lambda: self._index.search(query, k))
            return self._checked(found, query)
        except VectorIndexError as error:
            with self._lock:
                first, self._warned = not self._warned, True
            if first:
                warnings.warn(str(error), RuntimeWarning, stacklevel=2)
            raise

    def _checked(self, found: object, query: npt.ArrayLike) -> list[Candidates]:
        """Check the result of a search.

        Raises
        ------
        VectorIndexError
            If it is not one `Candidates` with ids and distances for each query.
        """
        import numpy as np

        shape = np.shape(query)
        queries = shape[0] if len(shape) > 1 else 1
        results = list(found) if isinstance(found, list | tuple) else None
        if results is None or not all(isinstance(each, Candidates) for each in results):
            raise self._error(f"search returned {found!r:.80}, not a list of Candidates")
        if len(results) != queries:
            raise self._error(f"search returned {len(results)} Candidates for {queries} queries")
        return [self._candidates(each) for each in results]

    def _candidates(self, candidates: Candidates) -> Candidates:
        import numpy as np

        ids = self._ids("search", candidates.ids)
        distances = self._array("search", candidates.distances)
        if distances.size and distances.dtype.kind not in "fiu":
            raise self._error(f"search returned distances of type {distances.dtype}, not floats")
        if len(ids) != len(distances):
            raise self._error(f"search returned {len(distances)} distances for {len(ids)} ids")
        if len(np.unique(ids)) != len(ids):
            raise self._error("search returned an id twice")
        if not np.all(np.diff(distances) >= 0):  # NaN too
            raise self._error(
                "search returned distances that do not ascend: smaller is nearer, and the nearest "
                "is first"
            )
        return Candidates(ids, distances.astype(np.float32))
