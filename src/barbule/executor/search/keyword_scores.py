"""Keyword scores of columns, at any version.

Owns which rows belong to a corpus, and how its postings follow the table: they are read when a
column is searched first, and after that only what changed since. They are kept in memory alone;
the texts in the tables are the truth.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from barbule.backends.base import FOREVER, FROM, RID, TO, Backend
from barbule.indexes.keyword import Postings
from barbule.planner.lowering.table_schemas import physical_schema
from barbule.planner.stages import HIT, SCORE

if TYPE_CHECKING:
    from collections.abc import Callable

    import ibis.expr.types as ir
    import pyarrow as pa

    from barbule.catalog.records import Column, TableRecord
    from barbule.catalog.store import Catalog
    from barbule.planner.stages import KeywordStage

__all__ = ["Keywords"]

_BATCH_ROWS = 65536
_KEPT = 16  # corpora in memory; the one that was asked longest ago makes room


@dataclass
class _Corpus:
    """The postings of a column, and the commit up to which they are known."""

    postings: Postings = field(default_factory=Postings)
    watermark: int = -1
    compacted: int = 0


class Keywords:
    """The corpora of one session.

    Parameters
    ----------
    read
        Reads columns of a table with its row identities, at a commit: what is not stored with
        the rows of a table itself.
    """

    def __init__(
        self,
        backend: Backend,
        catalog: Catalog,
        read: Callable[[int, int | None, str], ir.Table],
        arrow: Callable[[ir.Table], pa.Table],
    ) -> None:
        self._backend = backend
        self._catalog = catalog
        self._read = read
        self._arrow = arrow
        self._open: OrderedDict[tuple[Any, ...], _Corpus] = OrderedDict()
        self._lock = threading.RLock()

    def scores(self, stage: KeywordStage) -> pa.Table:
        """Return the rows in which the query's terms occur, and their scores."""
        import pyarrow as pa

        record = self._catalog.record(stage.table_id, stage.commit)
        column = record.column(stage.column)
        with self._lock:
            if column is not None and column.kind != "virtual" and record.origin is None:
                postings, commit = self._stored(record, column, stage.commit)
            else:
                postings, commit = self._as_read(stage), 0
            rids, scores = postings.scores(stage.query, commit)
        return pa.table({HIT: rids, SCORE: scores})

    def _corpus(self, key: tuple[Any, ...]) -> _Corpus:
        corpus = self._open.setdefault(key, _Corpus())
        self._open.move_to_end(key)
        if len(self._open) > _KEPT:
            self._open.popitem(last=False)
        return corpus

    def _stored(
        self, record: TableRecord, column: Column, commit: int | None
    ) -> tuple[Postings, int]:
        """Bring the postings of a column up to the latest commit; they know all versions."""
        key = (record.id, column.id)
        corpus = self._corpus(key)
        # Of a table that has been dropped too: a snapshot may still show it.
        latest = self._catalog.history(record.id)[-1][1].compacted
        head = self._catalog.latest(record.id).commit
        # An older copy of the database took its place, or rows have been removed for good.
        if corpus.watermark > head or corpus.compacted != latest:
            del self._open[key]
            corpus = self._corpus(key)
            corpus.compacted = latest
        if corpus.watermark < head:
            self._follow(record, column, corpus, head)
        return corpus.postings, head if commit is None else commit

    def _follow(self, record: TableRecord, column: Column, corpus: _Corpus, head: int) -> None:
        since, text = corpus.watermark, column.physical
        rows = self._backend.table(record.physical, physical_schema(record)).to_expr()
        if since >= 0:
            ended = rows.filter(rows[FROM] <= since, rows[TO] > since, rows[TO] <= head)
            gone = self._backend.arrow(ended.select(RID, TO), {})
            if gone.num_rows:
                corpus.postings.end(gone[RID].to_numpy(), gone[TO].to_numpy())
        fresh = rows.filter(rows[FROM] > since, rows[FROM] <= head, rows[text].notnull())
        for batch in self._backend.batches(fresh.select(RID, FROM, TO, text), {}, _BATCH_ROWS):
            if batch.num_rows:
                ends = batch.column(TO).to_numpy().copy()
                ends[ends > head] = FOREVER  # not committed, or not asked for yet
                rids, born = (batch.column(name).to_numpy() for name in (RID, FROM))
                corpus.postings.add(rids, born, ends, _texts(batch.column(text)))
        corpus.watermark = head

    def _as_read(self, stage: KeywordStage) -> Postings:
        """Make the postings of what a table shows: of a branch, or of a column of its base."""
        import numpy as np

        at = self._catalog.head if stage.commit is None else stage.commit
        pending = self._catalog.pending is not None
        key = (stage.table_id, stage.column, stage.commit is None, at)
        if key in self._open and not pending:
            self._open.move_to_end(key)
            return self._open[key].postings
        rows = self._arrow(self._read(stage.table_id, stage.commit, stage.column))
        postings = Postings()
        for batch in rows.filter(rows[stage.column].is_valid()).to_batches(_BATCH_ROWS):
            always = np.zeros(batch.num_rows, np.int64)
            rids = batch.column(RID).to_numpy()
            postings.add(rids, always, always + FOREVER, _texts(batch.column(stage.column)))
        if not pending:
            self._corpus(key).postings = postings
        return postings


def _texts(column: pa.Array) -> pa.Array:
    import pyarrow as pa

    return column.cast(pa.string())
