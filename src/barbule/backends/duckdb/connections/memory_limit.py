"""The limit on the memory that DuckDB uses for what it writes."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import duckdb

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["limited_memory"]

_WRITE_LIMIT = "512 MiB"


@contextmanager
def limited_memory(cursor: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Limit the memory of DuckDB during large writes: otherwise it caches as much as it can."""
    (limit,) = cursor.execute("SELECT current_setting('memory_limit')").fetchall()[0]
    if _to_bytes(limit) > _to_bytes(_WRITE_LIMIT):
        with suppress(duckdb.Error):  # others use more at the moment
            cursor.execute(f"SET memory_limit = '{_WRITE_LIMIT}'")
    try:
        yield
    finally:
        number, unit = limit.split()
        # DuckDB prints it truncated to one decimal: half a decimal more restores the previous
        # value.
        cursor.execute(f"SET memory_limit = '{float(number) + 0.05} {unit}'")


def _to_bytes(size: str) -> float:
    """Parse a size as DuckDB prints it, for example `18.7 GiB`."""
    number, unit = size.split()
    prefix = unit.removesuffix("bytes").removesuffix("iB")
    return float(number) * 1024 ** (" KMGT".index(prefix) if prefix else 0)
