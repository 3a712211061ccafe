"""Growing Arrow tables: beyond a size their rows are in a file, not in memory.

Owns the temporary file. It has no name once it is open, so that it is removed even when a process
is killed.
"""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pyarrow as pa

__all__ = ["SpillingTable", "concatenate_tables", "table_bytes"]

_MAX_BYTES_IN_MEMORY = 64 << 20
_SMALL_BYTES = 1 << 16


def table_bytes(rows: pa.Table) -> int:
    """Return the bytes of rows; of a few those of the buffers that they are in.

    To look at each column for the part of its buffers that is used takes twenty times as long.
    """
    size = rows.get_total_buffer_size()
    return int(size if size <= _SMALL_BYTES else rows.nbytes)


class SpillingTable:
    """A table that consists of parts.

    Parameters
    ----------
    schema
        The columns of all parts.
    max_bytes
        The maximum bytes in memory; 64 MB by default.

    Examples
    --------
    >>> import pyarrow as pa
    >>> part = pa.table({"n": [1, 2]})
    >>> rows = SpillingTable(part.schema, max_bytes=0)
    >>> rows.add(part)
    >>> rows.add(part)
    >>> rows.table()["n"].to_pylist()
    [1, 2, 1, 2]
    """

    def __init__(self, schema: pa.Schema, max_bytes: int | None = None) -> None:
        self._schema = schema
        self._max_bytes = _MAX_BYTES_IN_MEMORY if max_bytes is None else max_bytes
        self._parts: list[pa.Table] = []
        self._size = 0
        self._file: Any = None
        self._writer: pa.RecordBatchStreamWriter | None = None

    def add(self, part: pa.Table) -> None:
        """Add rows at the end."""
        self._parts.append(part)
        self._size += table_bytes(part)
        if self._size > self._max_bytes:
            self._spill()

    def _spill(self) -> None:
        import pyarrow as pa

        if self._writer is None:
            self._file = tempfile.TemporaryFile(prefix="barbule-")  # noqa: SIM115 - mapped, then closed
            self._writer = pa.ipc.new_stream(self._file, self._schema)
        for part in self._parts:
            self._writer.write_table(part)
        self._parts, self._size = [], 0

    def table(self) -> pa.Table:
        """Return all rows; those in the file are memory-mapped, and read when they are used."""
        import mmap

        import pyarrow as pa

        if self._writer is None:
            return pa.concat_tables(self._parts) if self._parts else self._schema.empty_table()
        self._spill()
        self._writer.close()
        self._file.flush()
        with self._file:  # the map, which the table keeps, outlives the open file
            mapped = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        return pa.ipc.open_stream(pa.py_buffer(mapped)).read_all()


def concatenate_tables(parts: Iterable[pa.Table]) -> pa.Table:
    """Concatenate tables of one schema, at least one, as they arrive.

    Examples
    --------
    >>> import pyarrow as pa
    >>> concatenate_tables(pa.table({"n": [n]}) for n in range(3))["n"].to_pylist()
    [0, 1, 2]
    """
    remaining = iter(parts)
    first = next(remaining)
    rows = SpillingTable(first.schema)
    rows.add(first)
    for part in remaining:
        rows.add(part)
    return rows.table()
