"""Ibis expressions as sources.

Owns how their rows are set aside before they are inserted: a database does not read one result
while it writes to the table that the result may come from.
"""

from __future__ import annotations

import itertools
import tempfile
import warnings
from typing import TYPE_CHECKING

from barbule.tables.sources.arrow_streams import empty

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import ibis.expr.types as ir
    import pyarrow as pa

__all__ = ["staged"]

_IN_MEMORY = 128 << 20  # bytes


def staged(expression: ir.Table, size: int, *, in_memory: int = _IN_MEMORY) -> Iterator[pa.Table]:
    """Compute an expression to its end, then give its rows.

    Parameters
    ----------
    size
        The rows that are taken from the database at a time.
    in_memory
        The bytes that are kept in memory; what is beyond goes to a temporary file.

    Examples
    --------
    >>> import ibis
    >>> rows = ibis.memtable({"n": [1, 2, 3]})
    >>> sum(table.num_rows for table in staged(rows.filter(rows.n > 1), 10))
    2
    """
    import pyarrow as pa

    reader = expression.to_pyarrow_batches(chunk_size=size)
    batches = _batches(reader)
    kept: list[pa.RecordBatch] = []
    used = 0
    for batch in batches:
        kept.append(batch)
        used += batch.nbytes
        if used > in_memory:
            break
    else:
        yield pa.Table.from_batches(kept) if kept else empty(reader.schema)
        return
    # The reader's own schema may call columns nullable that those of the batches are not.
    schema = kept[0].schema
    yield from _by_file(itertools.chain(_emptied(kept), batches), schema)


def _batches(reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    while True:
        with warnings.catch_warnings():  # Ibis calls what DuckDB has given another name
            warnings.filterwarnings("ignore", "fetch_record_batch", DeprecationWarning)
            try:
                batch = reader.read_next_batch()
            except StopIteration:
                return
        yield batch


def _emptied(batches: list[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    while batches:
        yield batches.pop(0)


def _by_file(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.Table]:
    import pyarrow as pa

    with tempfile.TemporaryFile(prefix="barbule-") as file:
        with pa.ipc.new_stream(file, schema) as writer:
            for batch in batches:
                writer.write_batch(batch)
        file.seek(0)
        for batch in pa.ipc.open_stream(file):
            yield pa.Table.from_batches([batch])
