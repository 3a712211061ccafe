"""The access path of a search for the nearest rows: memory, an index, or a scan of the database.

Owns the cost estimates of each path, and the choice between them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["AccessPath", "choose_access_path"]

# Costs as measured on two cores: bytes of vectors that are compared per millisecond, milliseconds
# of a request to an index, and of each row that it returns.
_COMPARED_BYTES_PER_MS = 2e7
_INDEX_REQUEST_MS = 2.0
_INDEX_ROW_MS = 0.006
_EXACTNESS_MS = 6.0  # exact answers may take this much more time than those of an index
_MAX_INDEX_ROWS = 2000
_INDEX_ROWS_MARGIN = 2.0  # rows that are requested, by the fraction of them that should qualify
_MIN_COPIED_SHARE = 0.1  # if fewer rows qualify, their vectors are copied out first
_SHORTEST_MS = 0.1  # shorter durations are not shown exactly


@dataclass(frozen=True)
class AccessPath:
    """How the nearest rows are found.

    Attributes
    ----------
    name
        "memory", "index" or "database".
    reason
        The reason, in words.
    index_rows
        The number of rows that are requested from an index.
    """

    name: str
    reason: str
    index_rows: int = 0

    def __str__(self) -> str:
        descriptions = {
            "memory": "compared exactly with vectors in memory",
            "index": f"found by the index, {self.index_rows} rows",
            "database": "compared exactly by the database",
        }
        return f"{descriptions[self.name]}: {self.reason}"


def choose_access_path(
    count: int,
    total: int,
    qualifying: int | None,
    dimension: int,
    *,
    fits_in_memory: bool,
    has_index: Callable[[], bool],
) -> AccessPath:
    """Choose how the nearest rows are found.

    Parameters
    ----------
    count
        The number of rows that are requested.
    total
        The number of rows of the table.
    qualifying
        The number of qualifying rows; None for all.
    has_index
        Whether an index can be searched now.
    """
    candidates = total if qualifying is None else qualifying
    share = candidates / total if total else 1.0
    size = f"{total} rows" if qualifying is None else f"{qualifying} of {total} rows"
    compared = total if share > _MIN_COPIED_SHARE else candidates
    scan_ms = compared * dimension * 4 / _COMPARED_BYTES_PER_MS
    index_rows = (
        count if qualifying is None else int(count / max(share, 1e-9) * _INDEX_ROWS_MARGIN) + count
    )
    index_ms = _INDEX_REQUEST_MS + _INDEX_ROW_MS * index_rows
    if fits_in_memory and scan_ms <= max(_EXACTNESS_MS, index_ms):
        return AccessPath("memory", f"{size}, {_duration(scan_ms)}")
    if index_rows <= _MAX_INDEX_ROWS and has_index():
        checked = "" if qualifying is None else ", each row checked"
        return AccessPath("index", f"{size}{checked}, {_duration(index_ms)}", index_rows)
    if fits_in_memory:
        return AccessPath("memory", f"{size}, too many results for the index")
    return AccessPath("database", f"{size}, too many vectors to keep in memory")


def _duration(ms: float) -> str:
    return f"about {ms:.1f} ms" if ms >= _SHORTEST_MS else f"less than {_SHORTEST_MS} ms"
