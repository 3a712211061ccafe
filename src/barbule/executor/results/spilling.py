"""Arrow tables that grow: beyond a size they lie in a file, not in memory.

Owns the temporary file. It has no name once it is open, so that nothing stays where a process
ends at once.
"""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pyarrow as pa

__all__ = ["Spilling", "put_together"]

_IN_MEMORY = 64 << 20  # bytes


class Spilling:
    """A table that is made of parts.

    Parameters
    ----------
    schema
        The columns of all parts.
    in_memory
        The bytes that stay in memory; 64 MB by default.

    Examples
    --------
    >>> import pyarrow as pa
    >>> part = pa.table({"n": [1, 2]})
    >>> parts = Spilling(part.schema, in_memory=0)
    >>> parts.add(part)
    >>> parts.add(part)
    >>> parts.table()["n"].to_pylist()
    [1, 2, 1, 2]
    """

    def __init__(self, schema: pa.Schema, in_memory: int | None = None) -> None:
        self._schema = schema
        self._limit = _IN_MEMORY if in_memory is None else in_memory
        self._parts: list[pa.Table] = []
        self._size = 0
        self._file: Any = None
        self._writer: pa.RecordBatchStreamWriter | None = None

    def add(self, part: pa.Table) -> None:
        """Add rows below those that are there."""
        self._parts.append(part)
        self._size += part.nbytes
        if self._size > self._limit:
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
        """Return all rows; those that lie in the file are read when they are looked at."""
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


def put_together(parts: Iterable[pa.Table]) -> pa.Table:
    """Put tables of one schema, of which there is one at least, below each other as they come.

    Examples
    --------
    >>> import pyarrow as pa
    >>> put_together(pa.table({"n": [n]}) for n in range(3))["n"].to_pylist()
    [0, 1, 2]
    """
    coming = iter(parts)
    first = next(coming)
    whole = Spilling(first.schema)
    whole.add(first)
    for part in coming:
        whole.add(part)
    return whole.table()
