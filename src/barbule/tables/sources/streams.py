"""Streams of Arrow tables, cut into even pieces.

Owns one function.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pyarrow as pa

__all__ = ["sized"]


def sized(tables: Iterable[pa.Table], size: int) -> Iterator[pa.Table]:
    """Cut and join tables of one schema into pieces of `size` rows; the last may be shorter.

    Nothing is copied. An empty table that comes first is passed on, as it shows the columns.

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
        start = 0
        while count + table.num_rows - start >= size:
            piece = table.slice(start, size - count)
            start += piece.num_rows
            yield pa.concat_tables([*waiting, piece]) if waiting else piece
            waiting, count = [], 0
        if start < table.num_rows:
            waiting.append(table.slice(start))
            count += table.num_rows - start
    if waiting:
        yield pa.concat_tables(waiting)
