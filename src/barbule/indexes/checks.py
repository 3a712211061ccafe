"""Checks of ids, vectors and queries, which every index applies to its arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from barbule.errors import VectorIndexError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import numpy.typing as npt

    from barbule.indexes.base import Metric

__all__ = ["checked_ids", "checked_queries", "checked_vectors"]


def checked_ids(ids: npt.ArrayLike, *, name: str) -> npt.NDArray[np.int64]:
    """Return row identities as a flat int64 array.

    Raises
    ------
    VectorIndexError
        If they are not integers.
    """
    import numpy as np

    array = np.asarray(ids)
    if array.size == 0:
        return np.empty(0, dtype=np.int64)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise VectorIndexError(
            f"index {name!r}: ids must be a one-dimensional array of integers, not {array.dtype} "
            f"of shape {array.shape}.",
            hint="Pass the row ids of the table.",
        )
    return array.astype(np.int64, copy=False)


def checked_vectors(
    ids: npt.ArrayLike, vectors: npt.ArrayLike, *, name: str, dimension: int, metric: Metric
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Return the ids and vectors for an index, one vector for an id: the last of equal ids.

    Raises
    ------
    VectorIndexError
        If the shapes do not match, or a vector cannot be compared by the metric; the message
        names the id.
    """
    import numpy as np

    keys = checked_ids(ids, name=name)
    rows = _checked_rows(vectors, name=name, dimension=dimension)
    if len(keys) != len(rows):
        raise VectorIndexError(
            f"index {name!r}: {len(keys)} ids were passed with {len(rows)} vectors.",
            hint="Pass one vector for each id.",
        )
    _check_comparable(rows, metric, lambda index: f"index {name!r}: the vector of id {keys[index]}")
    last = len(keys) - 1 - np.unique(keys[::-1], return_index=True)[1]
    if len(last) < len(keys):
        last.sort()
        keys, rows = keys[last], rows[last]
    return keys, rows


def checked_queries(
    query: npt.ArrayLike, *, name: str, dimension: int, metric: Metric
) -> npt.NDArray[np.float32]:
    """Return one query or several as float32 of shape (n, dimension).

    Raises
    ------
    VectorIndexError
        If a query has another shape, or cannot be compared by the metric.
    """
    import numpy as np

    array = np.asarray(query)
    rows = _checked_rows(
        array[None] if array.ndim == 1 and array.size else array, name=name, dimension=dimension
    )
    _check_comparable(rows, metric, lambda index: f"index {name!r}: query {index}")
    return rows


def _checked_rows(vectors: npt.ArrayLike, *, name: str, dimension: int) -> npt.NDArray[np.float32]:
    import numpy as np

    try:
        # A float64 beyond float32 becomes infinite here, and an error in the next check.
        with np.errstate(over="ignore"):
            rows = np.ascontiguousarray(vectors, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise VectorIndexError(
            f"index {name!r}: the vectors are not a two-dimensional array of numbers.",
            hint=f"Pass float32 rows of {dimension} numbers.",
        ) from error
    if rows.size == 0 and rows.shape[0] == 0:
        return rows.reshape(0, dimension)
    if rows.ndim != 2 or rows.shape[1] != dimension:  # noqa: PLR2004 - rows and columns
        raise VectorIndexError(
            f"index {name!r} holds vectors of {dimension} numbers, not of shape {rows.shape}.",
            hint="Use the embedding function that the index was made with, or rebuild the index.",
        )
    return rows


def _check_comparable(
    rows: npt.NDArray[np.float32], metric: Metric, subject: Callable[[int], str]
) -> None:
    import numpy as np

    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        squares = np.einsum("ij,ij->i", rows, rows)
    invalid = np.flatnonzero(~np.isfinite(squares))
    if invalid.size:
        raise VectorIndexError(
            f"{subject(int(invalid[0]))} holds NaN, an infinite number or a number that is too "
            "large.",
            hint="Check what the embedding function returned for that row.",
        )
    # Below the smallest normal float32 rounding changes the direction, too.
    invalid = np.flatnonzero(squares < np.finfo(np.float32).tiny) if metric == "cosine" else invalid
    if invalid.size:
        raise VectorIndexError(
            f"{subject(int(invalid[0]))} is zero and has no cosine distance.",
            hint="Set the cell to NULL, or use the metric 'l2' or 'ip'.",
        )
