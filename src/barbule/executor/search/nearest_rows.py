"""The nearest rows of live tables: a search by the cheapest access path.

Owns the search itself. If an index returns too few qualifying rows, another path is used: the
result has as many rows as requested, if the table has them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ibis.expr.operations as ops

from barbule.backends.base import RID, Reader
from barbule.errors import ExpressionError, VectorIndexError
from barbule.executor.search.access_path import AccessPath, choose_access_path
from barbule.executor.search.row_states import as_matrix, live_at, row_states
from barbule.executor.search.vector_cache import VectorCache, vector_length
from barbule.planner.stages import SCORE
from barbule.tracing import annotate, span

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from barbule.catalog.records import Index, TableRecord
    from barbule.catalog.store import Catalog
    from barbule.executor.search.index_sync import IndexSync
    from barbule.indexes.matrix import Matrix
    from barbule.planner.stages import CandidateStage, NearestStage, SearchedIndex

    Ids = npt.NDArray[np.int64]
    Vector = npt.NDArray[np.float32]
    Scores = npt.NDArray[np.floating]

__all__ = ["NearestRows", "check_query_vector"]

_QUALIFYING_ROWS = "bb_among"
_QUERY_VECTOR = "bb_query"
_MIN_INDEX_ROWS = 64
_MAX_MISSING_ROWS = 5000  # missing rows of an index up to which it is still searched


@dataclass(frozen=True)
class _Search:
    """A search, without its vector.

    Attributes
    ----------
    count
        The number of rows that are requested.
    qualifying
        The row ids of the qualifying rows; None for all.
    commit
        The commit whose rows are searched.
    """

    record: TableRecord
    index: Index
    count: int
    qualifying: Ids | None
    commit: int

    @property
    def qualifying_count(self) -> int | None:
        """The number of qualifying rows; None for all."""
        return None if self.qualifying is None else len(self.qualifying)


class NearestRows:
    """Finds the nearest rows of live tables.

    Parameters
    ----------
    max_bytes
        The memory for vectors. The least recently searched ones are evicted.
    """

    def __init__(
        self, reader: Reader, catalog: Catalog, index_sync: IndexSync, max_bytes: int
    ) -> None:
        self._reader = reader
        self._catalog = catalog
        self._index_sync = index_sync
        self._cache = VectorCache(reader, catalog, max_bytes)

    @property
    def nbytes(self) -> int:
        """The memory that vectors take."""
        return self._cache.nbytes

    def clear(self) -> None:
        """Free the memory."""
        self._cache.clear()

    # Choosing the access path

    def may_fit_in_memory(self, record: TableRecord, index: Index) -> bool:
        """Whether the vectors of the live rows may be in memory, by what is known of their number.

        Nothing is read: plans ask.
        """
        return self._cache.fits(record, index, self._cache.maximum_rows(record))

    def fits_in_memory(self, record: TableRecord, index: Index) -> bool:
        """Whether the vectors of the live rows may be in memory."""
        count = self._cache.count_rows(record, self._catalog.head, approximate=True)
        return self._cache.fits(record, index, count)

    def access_path(self, stage: CandidateStage, qualifying: int | None) -> AccessPath:
        """Choose how the nearest rows of a stage are found.

        Parameters
        ----------
        qualifying
            The number of qualifying rows; None for all.
        """
        record, index = self._index_of(stage)
        return self._access_path(record, index, stage.count, qualifying, self._catalog.head)

    def _index_of(self, stage: CandidateStage | NearestStage) -> tuple[TableRecord, Index]:
        record = self._catalog.record(stage.table_id)
        return record, next(index for index in record.indexes if index.name == stage.index)

    def _access_path(
        self, record: TableRecord, index: Index, count: int, qualifying: int | None, commit: int
    ) -> AccessPath:
        total = self._cache.count_rows(record, commit, approximate=True)
        return choose_access_path(
            count,
            total,
            qualifying,
            vector_length(record, index),
            fits_in_memory=self._cache.fits(record, index, total),
            has_index=lambda: self._index_sync.usable(record, index) is not None,
        )

    # Searching

    def search(
        self, stage: CandidateStage, vector: Vector | None, qualifying: pa.Array | None, commit: int
    ) -> pa.Table:
        """Return the nearest rows and their similarity.

        Parameters
        ----------
        qualifying
            The row ids of the qualifying rows; None for all.
        commit
            The commit whose rows are searched.
        """
        with span("search", stage.index, path="database") as traced:
            rows = self._search(stage, vector, qualifying, commit)
            traced.set(rows=rows.num_rows)
        return rows

    def _search(
        self, stage: CandidateStage, vector: Vector | None, qualifying: pa.Array | None, commit: int
    ) -> pa.Table:
        import numpy as np
        import pyarrow as pa

        record, index = self._index_of(stage)
        self._index_sync.schedule_if_behind(record)
        rids = None if qualifying is None else qualifying.to_numpy()
        search = _Search(record, index, stage.count, rids, commit)
        nearest = None
        if vector is not None and stage.count > 0:
            nearest = self._nearest(search, np.asarray(vector, np.float32))
        if nearest is None or self._is_incomplete(search, len(nearest[0])):
            # Rows without a vector come last, if there are not enough nearest rows.
            annotate(path="database")
            return self._scan(search, vector)
        return pa.table({RID: pa.array(nearest[0]), SCORE: pa.array(nearest[1])})

    def _is_incomplete(self, search: _Search, count: int) -> bool:
        """Whether a search has found fewer rows than are requested and exist."""
        if count >= search.count:
            return False
        existing = search.qualifying_count
        if existing is None:
            existing = self._cache.count_rows(search.record, search.commit)
        return count < min(search.count, existing)

    def _scan(self, search: _Search, vector: Vector | None) -> pa.Table:
        """Let the database compare all qualifying rows."""
        import ibis
        import ibis.expr.types as ir
        import pyarrow as pa

        index = search.index
        states = live_at(row_states(self._reader, search.record), search.commit)
        name = search.record.column_by_id(index.embedding).physical
        staged = {}
        if search.qualifying is not None:
            staged[_QUALIFYING_ROWS] = pa.table({RID: search.qualifying})
            leaf = self._reader.table(_QUALIFYING_ROWS, ibis.schema({RID: "int64"}))
            rids = ops.Project(leaf, {RID: ops.Field(leaf, RID)})
            states = states.filter(ops.InSubquery(rids, states[RID].op()).to_expr())
        score: ir.Value = ibis.null("float64")
        if vector is not None:
            schema = ibis.schema({"q": states.schema()[name]})
            query_type = schema.to_pyarrow().field("q").type
            staged[_QUERY_VECTOR] = pa.table({"q": pa.array([vector], query_type)})
            leaf = self._reader.table(_QUERY_VECTOR, schema)
            query = ops.ScalarSubquery(ops.Project(leaf, {"q": ops.Field(leaf, "q")}))
            score = self._reader.similarity(states[name].op(), query, index.metric).to_expr()
        scored = states.select(RID, **{SCORE: score.cast("float64")})
        nearest_first = scored.order_by(ibis.desc(scored[SCORE], nulls_first=False), RID)
        return self._reader.arrow(nearest_first.limit(max(search.count, 0)), staged)

    def _nearest(self, search: _Search, vector: Vector) -> tuple[Ids, Scores] | None:
        """Return the nearest and their scores, or None if the database has to compare all."""
        record, index = search.record, search.index
        path = self._access_path(
            record, index, search.count, search.qualifying_count, search.commit
        )
        annotate(path=path.name, reason=path.reason)
        if path.name == "index":
            nearest = self._nearest_by_index(search, vector, path.index_rows)
            if nearest is not None or not self.fits_in_memory(record, index):
                return nearest
        if path.name == "database":
            return None
        annotate(path="memory")
        matrix = self._cache.matrix(record, index, search.commit)
        return matrix.nearest(vector, search.count, search.qualifying, commit=search.commit)

    def _nearest_by_index(
        self, search: _Search, vector: Vector, index_rows: int
    ) -> tuple[Ids, Scores] | None:
        """Search an index; return None if it cannot answer, or too few of its rows qualify."""
        import numpy as np

        vectors = self._index_sync.usable(search.record, search.index)
        if vectors is None:
            return None
        try:
            changes = self._changes_since(vectors.watermark, search)
            if changes is None:
                return None
            ended, new = changes
            (nearest,) = vectors.search([vector], max(index_rows, _MIN_INDEX_ROWS) + len(ended))
        except VectorIndexError:
            return None
        is_stale = np.isin(nearest.ids, np.concatenate([ended, new.ids]))
        ids = nearest.ids[~is_stale]
        scores = _similarities(nearest.distances[~is_stale], search.index.metric)
        if search.qualifying is not None:
            qualifies = np.isin(ids, search.qualifying)
            ids, scores = ids[qualifies], scores[qualifies]
        if len(ids) < search.count:
            return None
        nearest_new = new.nearest(vector, search.count, search.qualifying)
        new_ids, new_scores = nearest_new or (ids[:0], scores[:0])
        ids, scores = np.concatenate([ids, new_ids]), np.concatenate([scores, new_scores])
        order = np.lexsort((ids, -scores))[: search.count]
        return ids[order], scores[order]

    def _changes_since(self, watermark: int, search: _Search) -> tuple[Ids, Matrix] | None:
        """Return the missing changes of an index: rows that ended, and the vectors of new ones.

        None if there are too many, or the index is ahead of the commit.
        """
        import numpy as np

        from barbule.indexes.matrix import Matrix

        record, index = search.record, search.index
        new = Matrix(vector_length(record, index), index.metric)  # type: ignore[arg-type]
        head = self._catalog.version_at(record.id, search.commit).commit
        if watermark > search.commit:
            return None
        if watermark >= head:
            return np.empty(0, np.int64), new
        written = self._catalog.rows_written_between(record.id, watermark, head)
        if written > _MAX_MISSING_ROWS:
            return None
        states = row_states(self._reader, record)
        name = record.column_by_id(index.embedding).physical
        ended, new_rows = self._reader.changes(states, name, watermark, head)
        if new_rows.num_rows:
            new.put(new_rows.column(0).to_numpy(), as_matrix(new_rows.column(1)))
        return ended.to_numpy(), new

    def pairs(
        self,
        stage: NearestStage,
        queries: pa.ChunkedArray,
        qualifying: pa.Array | None,
        commit: int,
    ) -> tuple[Ids, Ids, Scores]:
        """Return the nearest rows of many vectors.

        Returns
        -------
        tuple
            The positions of vectors among the queries, the row ids, and the scores.
        """
        import numpy as np

        record, index = self._index_of(stage)
        valid = np.flatnonzero(queries.is_valid().to_numpy())
        if not len(valid) or stage.count <= 0:
            return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
        vectors = as_matrix(queries.drop_null())
        rids = None if qualifying is None else qualifying.to_numpy()
        pairs = None
        while pairs is None:  # those of an earlier commit may be dropped in the meantime
            matrix = self._cache.matrix(record, index, commit)
            pairs = matrix.pairs(vectors, stage.count, rids, commit=commit)
            commit = self._catalog.head
        positions, ids, scores = pairs
        return valid[positions], ids, scores


def check_query_vector(vector: Vector, searched: SearchedIndex) -> None:
    """Refuse a query that cannot be compared with the vectors of an index.

    Raises
    ------
    ExpressionError
        If it contains invalid numbers, or has no direction although the metric needs one.
    """
    import numpy as np

    from barbule.indexes.matrix import comparable

    if comparable(vector[None], searched.metric)[0]:  # type: ignore[arg-type]
        return
    if comparable(vector[None], "ip")[0]:
        problem = "is zero and has no cosine distance"
    elif np.isfinite(vector).all():
        problem = "holds numbers that are too large"
    else:
        problem = "holds NaN or an infinite number"
    raise ExpressionError(
        f"the query vector {problem}.",
        table=searched.table,
        hint=f"Check the query, or the vector that the function of the index {searched.index!r} "
        "returns for it.",
    )


def _similarities(distances: npt.NDArray[Any], metric: str) -> npt.NDArray[np.float64]:
    """Convert the distances of an index to similarities."""
    import numpy as np

    exact = distances.astype(np.float64)
    return -np.sqrt(np.maximum(exact, 0)) if metric == "l2" else 1 - exact
