"""Ibis expressions as sources of rows.

Owns the spooling of their results before they are inserted: a database does not read a result while
it writes to the table that the result may come from.
"""

from __future__ import annotations

import itertools
import tempfile
import warnings
from typing import TYPE_CHECKING

from barbule.tables.sources.arrow_streams import empty_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import ibis.expr.types as ir
    import pyarrow as pa

__all__ = ["spooled"]

_MAX_MEMORY_BYTES = 128 << 20  # bytes


def spooled(
    expression: ir.Table, size: int, *, in_memory: int = _MAX_MEMORY_BYTES
) -> Iterator[pa.Table]:
    """Compute an expression completely, then yield its rows.

    Parameters
    ----------
    size
        The number of rows that are fetched from the database at once.
    in_memory
        The bytes that are kept in memory; the rest goes to a temporary file.

    Examples
    --------
    >>> import ibis
    >>> rows = ibis.memtable({"n": [1, 2, 3]})
    >>> sum(table.num_rows for table in spooled(rows.filter(rows.n > 1), 10))
    2
    """
    import pyarrow as pa

    reader = expression.to_pyarrow_batches(chunk_size=size)
    batches = _batches(reader)
    buffered: list[pa.RecordBatch] = []
    buffered_bytes = 0
    for batch in batches:
        buffered.append(batch)
        buffered_bytes += batch.nbytes
        if buffered_bytes > in_memory:
            break
    else:
        yield pa.Table.from_batches(buffered) if buffered else empty_table(reader.schema)
        return
    # The schema of the reader may declare columns nullable that those of the batches do not.
    schema = buffered[0].schema
    yield from _from_file(itertools.chain(_consumed(buffered), batches), schema)


def _batches(reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    while True:
        with warnings.catch_warnings():  # Ibis keeps names that DuckDB has changed
            warnings.filterwarnings("ignore", "fetch_record_batch", DeprecationWarning)
            try:
                batch = reader.read_next_batch()
            except StopIteration:
                return
        yield batch


def _consumed(batches: list[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    while batches:
        yield batches.pop(0)


def _from_file(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.Table]:
    import pyarrow as pa

    with tempfile.TemporaryFile(prefix="barbule-") as file:
        with pa.ipc.new_stream(file, schema) as writer:
            for batch in batches:
                writer.write_batch(batch)
        file.seek(0)
        for batch in pa.ipc.open_stream(file):
            yield pa.Table.from_batches([batch])
