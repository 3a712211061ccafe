"""Keyword scores of columns, at any version.

Owns which rows belong to a corpus, and how its postings are updated: they are read when a column is
first searched, and after that only the changes. They are only in memory; the texts in the tables
are the source of truth.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from barbule.backends.base import FOREVER, FROM, RID, TO, Reader
from barbule.indexes.keyword import Postings
from barbule.planner.lowering.table_schemas import physical_schema
from barbule.planner.stages import HIT, SCORE

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    from barbule.catalog.catalog_reader import CatalogReader
    from barbule.catalog.records import Column, TableRecord
    from barbule.planner.stages import KeywordStage

    ReadColumn = Callable[[int, int | None, str], pa.Table]

__all__ = ["KeywordScores"]

_BATCH_ROWS = 65536
_MAX_CORPORA = 16  # in memory; the least recently searched one is evicted


_Key = tuple[int | str | bool, ...]


@dataclass
class _Corpus:
    """The postings of a column, up to a commit."""

    postings: Postings = field(default_factory=Postings)
    watermark: int = -1
    compacted: int = 0


class KeywordScores:
    """The corpora of one session."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._open: OrderedDict[_Key, _Corpus] = OrderedDict()
        self._lock = threading.RLock()

    def scores(self, stage: KeywordStage, catalog: CatalogReader, read: ReadColumn) -> pa.Table:
        """Return the rows in which terms of the query occur, and their scores.

        Parameters
        ----------
        catalog
            The tables as the operation sees them.
        read
            Reads a column of a table with its row ids, at a commit, as the operation sees it: for
            columns that are not stored with the rows of the table itself.
        """
        import pyarrow as pa

        record = catalog.record(stage.table_id, stage.commit)
        column = record.column(stage.column)
        with self._lock:
            if column is not None and column.kind != "virtual" and record.origin is None:
                postings, commit = self._stored_postings(record, column, stage.commit, catalog)
            else:
                postings, commit = self._visible_postings(stage, catalog, read), 0
            rids, scores = postings.scores(stage.query, commit)
        return pa.table({HIT: rids, SCORE: scores})

    def _corpus(self, key: _Key) -> _Corpus:
        corpus = self._open.setdefault(key, _Corpus())
        self._open.move_to_end(key)
        if len(self._open) > _MAX_CORPORA:
            self._open.popitem(last=False)
        return corpus

    def _stored_postings(
        self, record: TableRecord, column: Column, commit: int | None, catalog: CatalogReader
    ) -> tuple[Postings, int]:
        """Update the postings of a column to the latest commit; they cover all versions."""
        key = (record.id, column.id)
        corpus = self._corpus(key)
        # Also of a dropped table, which a snapshot may still have.
        latest = catalog.history(record.id)[-1][1].compacted
        head = catalog.latest(record.id).commit
        # An older copy of the database replaced it, or rows have been removed permanently.
        if corpus.watermark > head or corpus.compacted != latest:
            del self._open[key]
            corpus = self._corpus(key)
            corpus.compacted = latest
        if corpus.watermark < head:
            self._update(record, column, corpus, head)
        return corpus.postings, head if commit is None else commit

    def _update(self, record: TableRecord, column: Column, corpus: _Corpus, head: int) -> None:
        since, name = corpus.watermark, column.physical
        rows = self._reader.table(record.physical, physical_schema(record)).to_expr()
        if since >= 0:
            ended = rows.filter(rows[FROM] <= since, rows[TO] > since, rows[TO] <= head)
            ended_rows = self._reader.arrow(ended.select(RID, TO), {})
            if ended_rows.num_rows:
                corpus.postings.end(ended_rows[RID].to_numpy(), ended_rows[TO].to_numpy())
        new_rows = rows.filter(rows[FROM] > since, rows[FROM] <= head, rows[name].notnull())
        for batch in self._reader.batches(new_rows.select(RID, FROM, TO, name), {}, _BATCH_ROWS):
            if batch.num_rows:
                ends = batch.column(TO).to_numpy().copy()
                ends[ends > head] = FOREVER  # not committed, or not read yet
                rids, starts = (batch.column(name).to_numpy() for name in (RID, FROM))
                corpus.postings.add(rids, starts, ends, _texts(batch.column(name)))
        corpus.watermark = head

    def _visible_postings(
        self, stage: KeywordStage, catalog: CatalogReader, read: ReadColumn
    ) -> Postings:
        """Return the postings of a column as queries read it: for a branch, or from its base."""
        import numpy as np

        commit = catalog.head if stage.commit is None else stage.commit
        key = (stage.table_id, stage.column, stage.commit is None, commit)
        if key in self._open and not catalog.is_pending:
            self._open.move_to_end(key)
            return self._open[key].postings
        rows = read(stage.table_id, stage.commit, stage.column)
        postings = Postings()
        for batch in rows.filter(rows[stage.column].is_valid()).to_batches(_BATCH_ROWS):
            start = np.zeros(batch.num_rows, np.int64)
            rids = batch.column(RID).to_numpy()
            postings.add(rids, start, start + FOREVER, _texts(batch.column(stage.column)))
        if not catalog.is_pending:
            self._corpus(key).postings = postings
        return postings


def _texts(column: pa.Array) -> pa.Array:
    import pyarrow as pa

    return column.cast(pa.string())
