"""The answers of the call ledger to drop: those that are too old, or too many.

Owns these two queries; the ledger deletes what they list.
"""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

import ibis
import ibis.expr.datatypes as dt

from barbule.executor.ledger.answers import CALLS_SCHEMA, CALLS_TABLE

if TYPE_CHECKING:
    from barbule.backends.base import Reader

__all__ = ["expired_keys", "keys_beyond_size"]

_BATCH_ROWS = 65536  # answers whose sizes are read at once


@ibis.udf.scalar.builtin(name="octet_length")
def _octet_length(answer: dt.binary) -> dt.int64: ...


def expired_keys(reader: Reader, max_age: datetime.timedelta) -> list[str]:
    """Return the keys of calls that are older than an age."""
    calls = reader.table(CALLS_TABLE, CALLS_SCHEMA).to_expr()
    oldest = ibis.literal(datetime.datetime.now(datetime.UTC) - max_age)
    latest = calls.group_by("key").agg(last=calls["at"].max())
    expired = latest.filter(latest["last"] < oldest).select("key")
    return list(reader.arrow(expired, {})["key"].to_pylist())


def keys_beyond_size(reader: Reader, max_bytes: int) -> list[str]:
    """Return the oldest keys to drop, so that all other answers take at most this many bytes."""
    calls = reader.table(CALLS_TABLE, CALLS_SCHEMA).to_expr()
    sized = calls.group_by("key").agg(
        last=calls["at"].max(), size=_octet_length(calls.answer).sum().fill_null(0)
    )
    newest_first = sized.order_by(ibis.desc(sized["last"]), sized["key"]).select("key", "size")
    total, beyond = 0, []
    for batch in reader.batches(newest_first, {}, _BATCH_ROWS):
        sizes = batch.column("size").to_pylist()
        for key, size in zip(batch.column("key").to_pylist(), sizes, strict=True):
            total += size
            if total > max_bytes:
                beyond.append(key)
    return beyond
