"""Streams of Arrow tables, cut into even pieces.

Owns that, and the table without rows that shows the columns of a stream.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pyarrow as pa

__all__ = ["READ_ROWS", "empty", "sized"]

READ_ROWS = 65_536  # at a time, of what is joined into pieces
_PIECE_BYTES = 64 << 20


def empty(schema: pa.Schema) -> pa.Table:
    """Make a table without rows; Arrow's own way fails at extension types within others."""
    import pyarrow as pa

    return pa.Table.from_batches([], schema)


def sized(tables: Iterable[pa.Table], size: int) -> Iterator[pa.Table]:
    """Cut and join tables of one schema into pieces of `size` rows; the last may be shorter.

    Wide rows make shorter pieces: one stays near 64 MB, so that memory is bounded whatever the
    rows hold. Nothing is copied. An empty table that comes first is passed on, as it shows the
    columns.

    Examples
    --------
    >>> import pyarrow as pa
    >>> pieces = sized([pa.table({"n": [1]}), pa.table({"n": [2, 3, 4]})], 3)
    >>> [piece["n"].to_pylist() for piece in pieces]
    [[1, 2, 3], [4]]
    """
    import pyarrow as pa

    waiting: list[pa.Table] = []
    count = 0
    for place, table in enumerate(tables):
        if not place and not table.num_rows:
            yield table
        most, start = _rows_of_a_piece(table, size), 0
        while count + table.num_rows - start >= most:
            piece = table.slice(start, max(0, most - count))
            start += piece.num_rows
            yield pa.concat_tables([*waiting, piece]) if waiting else piece
            waiting, count = [], 0
        if start < table.num_rows:
            waiting.append(table.slice(start))
            count += table.num_rows - start
    if waiting:
        yield pa.concat_tables(waiting)


def _rows_of_a_piece(table: pa.Table, size: int) -> int:
    """Return how many rows like those of a table make a piece."""
    wide = table.num_rows * _PIECE_BYTES // max(1, table.nbytes)
    return max(1, min(size, wide)) if table.num_rows else size
