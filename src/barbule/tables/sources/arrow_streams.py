"""Streams of Arrow tables, split into chunks of even size.

Owns the limit of a chunk in rows and bytes, and the empty table that declares the columns of a
stream.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from barbule.io.bounds.repeated_values import spread

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pyarrow as pa

__all__ = ["MAX_READ_ROWS", "empty_table", "rechunked"]

MAX_READ_ROWS = 65_536  # maximum number of tables that are joined at once
_CHUNK_BYTES = 64 << 20


def empty_table(schema: pa.Schema) -> pa.Table:
    """Return a table without rows; `Schema.empty_table` fails for nested extension types."""
    import pyarrow as pa

    return pa.Table.from_batches([], schema)


def rechunked(tables: Iterable[pa.Table], size: int) -> Iterator[pa.Table]:
    """Split and join tables of one schema into chunks of `size` rows; the last may be shorter.

    Wide rows get shorter chunks of about 64 MB, so that memory is bounded for any row size. Nothing
    is copied. A leading empty table is passed on, because it declares the columns.

    Examples
    --------
    >>> import pyarrow as pa
    >>> pieces = rechunked([pa.table({"n": [1]}), pa.table({"n": [2, 3, 4]})], 3)
    >>> [piece["n"].to_pylist() for piece in pieces]
    [[1, 2, 3], [4]]
    """
    import pyarrow as pa

    parts: list[pa.Table] = []
    count = 0
    for position, table in enumerate(tables):
        if not position and not table.num_rows:
            yield table
        max_rows, start = _chunk_rows(table, size), 0
        while count + table.num_rows - start >= max_rows:
            chunk = table.slice(start, max(0, max_rows - count))
            start += chunk.num_rows
            yield pa.concat_tables([*parts, chunk]) if parts else chunk
            parts, count = [], 0
        if start < table.num_rows:
            parts.append(table.slice(start))
            count += table.num_rows - start
    if parts:
        yield pa.concat_tables(parts)


def _chunk_rows(table: pa.Table, size: int) -> int:
    """Return the number of rows like those of a table that fit in a chunk."""
    if not table.num_rows:
        return size
    size_of = spread(table)
    row_bytes = -(-max(size_of.total, table.nbytes) // table.num_rows)
    return max(1, min(size, _CHUNK_BYTES // max(row_bytes, size_of.widest, 1)))
