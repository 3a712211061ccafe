"""How much memory DuckDB takes for what it writes."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import duckdb

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["little_cached"]

_LITTLE = "512 MiB"


@contextmanager
def little_cached(cursor: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Keep what is written from filling the memory: DuckDB caches it as long as there is any."""
    (before,) = cursor.execute("SELECT current_setting('memory_limit')").fetchall()[0]
    if _bytes(before) > _bytes(_LITTLE):
        with suppress(duckdb.Error):  # others use more at this moment
            cursor.execute(f"SET memory_limit = '{_LITTLE}'")
    try:
        yield
    finally:
        number, unit = before.split()
        # It is shown cut off after one decimal: half of one more brings back what was shown.
        cursor.execute(f"SET memory_limit = '{float(number) + 0.05} {unit}'")


def _bytes(size: str) -> float:
    """Read a size as DuckDB writes it, say `18.7 GiB`."""
    number, unit = size.split()
    prefix = unit.removesuffix("bytes").removesuffix("iB")
    return float(number) * 1024 ** (" KMGT".index(prefix) if prefix else 0)
