"""The nearest rows: which way they are found, and finding them.

Owns the choice between a vector index, vectors kept in memory, and a scan by the database; and
the vectors kept in memory, which follow the tables. Where an index gives too few rows that
qualify, another way is taken: there are always as many as are wanted and there are.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt
import ibis.expr.operations as ops

from barbule.backends.base import FOREVER, FROM, RID, TO, Backend
from barbule.errors import ExpressionError, VectorIndexError
from barbule.executor.indexing import Indexing, as_matrix, ended_since, physical_rows
from barbule.planner.plan import SCORE

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from barbule.catalog.records import Index, TableRecord
    from barbule.catalog.store import Catalog
    from barbule.indexes.base import VectorIndex
    from barbule.indexes.matrix import Matrix
    from barbule.planner.plan import CandidateStage, NearestStage, Searched

    Ids = npt.NDArray[np.int64]

__all__ = ["Nearest", "Way", "check_query"]

_AMONG = "bb_among"
_QUERY = "bb_query"
_READ_ROWS = 65536
# What a scan and a question to an index cost, in milliseconds, as measured on two cores: bytes
# of vectors that are compared, the question itself, each row that it returns.
_SCANNED = 2e7
_ASKED = 2.0
_RETURNED = 0.006
# Exact answers are worth this much time more than those of an index.
_WORTH = 6.0
# An index is asked for no more rows than this; nor are more rows compared that it lacks.
_MOST = 2000
_LEAST = 64
_MOST_LACKING = 5000
# How many rows more are asked for than the share of qualifying ones lets expect.
_SPARE = 2.0


@dataclass(frozen=True)
class Way:
    """How the nearest rows are found.

    Attributes
    ----------
    name
        "memory", "index" or "database".
    reason
        Why, in words.
    asked
        How many rows an index is asked for.
    """

    name: str
    reason: str
    asked: int = 0

    def __str__(self) -> str:
        shown = {
            "memory": "compared exactly with vectors in memory",
            "index": f"asked of the index, {self.asked} rows",
            "database": "compared exactly by the database",
        }
        return f"{shown[self.name]}: {self.reason}"


@dataclass
class _Kept:
    """The vectors of an index in memory, up to a commit."""

    matrix: Matrix
    watermark: int = -1
    compacted: int = 0


class Nearest:
    """Finds the nearest rows of live tables.

    Parameters
    ----------
    most
        The memory for vectors, in bytes. Those that were asked for longest ago make room.
    """

    def __init__(self, backend: Backend, catalog: Catalog, indexing: Indexing, most: int) -> None:
        self._backend = backend
        self._catalog = catalog
        self._indexing = indexing
        self._most = most
        self._kept: OrderedDict[tuple[int, int], _Kept] = OrderedDict()
        self._counts: dict[int, tuple[int, int]] = {}
        self._lock = threading.RLock()

    # Choosing

    def ready(self, record: TableRecord, index: Index) -> bool:
        """Whether there is another way than a scan by the database."""
        return (
            self._fits(record, index, self._rows(record))
            or self._indexing.usable(record, index) is not None
        )

    def fits(self, record: TableRecord, index: Index) -> bool:
        """Whether the vectors of the live rows may be kept in memory."""
        return self._fits(record, index, self._rows(record))

    def _rows(self, record: TableRecord) -> int:
        """Count the live rows of a table."""
        head = self._catalog.latest(record.id).commit
        known = self._counts.get(record.id)
        if known is None or known[0] != head:
            rows = physical_rows(self._backend, record)
            live = rows.filter(rows[TO] == FOREVER)
            counted = self._backend.arrow(live.aggregate(n=live.count()), {})
            known = self._counts[record.id] = (head, counted.column(0)[0].as_py())
        return known[1]

    def _fits(self, record: TableRecord, index: Index, count: int) -> bool:
        return count * self._dimension(record, index) * 4 <= self._most

    @staticmethod
    def _dimension(record: TableRecord, index: Index) -> int:
        kind = record.column_by_id(index.embedding).dtype
        return int(kind.length or 0) if isinstance(kind, dt.Array) else 0

    def way(self, stage: CandidateStage, among: int | None) -> Way:
        """Choose how the nearest rows are found.

        Parameters
        ----------
        among
            How many rows qualify; None for all.
        """
        record, index = self._known(stage)
        return self._way(record, index, stage.count, among)

    def _known(self, stage: CandidateStage | NearestStage) -> tuple[TableRecord, Index]:
        record = self._catalog.record(stage.table_id)
        return record, next(each for each in record.indexes if each.name == stage.index)

    def _way(self, record: TableRecord, index: Index, k: int, among: int | None) -> Way:
        total = self._rows(record)
        kept = total if among is None else among
        share = kept / total if total else 1.0
        size = f"{kept} of {total} rows" if among is not None else f"{total} rows"
        fits = self._fits(record, index, total)
        compared = total if share > 0.1 else kept  # noqa: PLR2004 - fewer are copied out first
        scan = compared * self._dimension(record, index) * 4 / _SCANNED
        asked = k if among is None else int(k / max(share, 1e-9) * _SPARE) + k
        asking = _ASKED + _RETURNED * asked
        if fits and scan <= max(_WORTH, asking):
            return Way("memory", f"{size}, about {scan:.1f} ms")
        if asked <= _MOST and self._indexing.usable(record, index) is not None:
            checked = "" if among is None else ", each checked"
            return Way("index", f"{size}{checked}, about {asking:.1f} ms", asked)
        if fits:
            return Way("memory", f"{size}, and the index cannot be asked for so many")
        return Way("database", f"{size}, which are too many to be kept in memory")

    # Finding

    def search(self, stage: CandidateStage, vector: Any, among: pa.Array | None) -> pa.Table:
        """Return the nearest rows and how similar they are.

        Parameters
        ----------
        among
            The identities of the rows that qualify; None for all.
        """
        import numpy as np
        import pyarrow as pa

        record, index = self._known(stage)
        self._indexing.look_after(record)
        rids = None if among is None else among.to_numpy()
        found = None
        if vector is not None and stage.count > 0:
            query = np.asarray(vector, np.float32)
            found = self._found(record, index, query, stage.count, rids)
        there = self._rows(record) if rids is None else len(rids)
        if found is None or len(found[0]) < min(stage.count, there):
            # Rows that are like nothing come last, where the nearest are not enough.
            return self._scanned(record, index, vector, stage.count, among)
        return pa.table({RID: pa.array(found[0]), SCORE: pa.array(found[1])})

    def _scanned(
        self, record: TableRecord, index: Index, vector: Any, k: int, among: pa.Array | None
    ) -> pa.Table:
        """Have the database compare all rows that qualify."""
        import ibis
        import pyarrow as pa

        rows = physical_rows(self._backend, record)
        name = record.column_by_id(index.embedding).physical
        rows = rows.filter(rows[TO] == FOREVER)
        staged = {}
        if among is not None:
            staged[_AMONG] = pa.table({RID: among})
            kept = self._backend.table(_AMONG, ibis.schema({RID: "int64"}))
            shown = ops.Project(kept, {RID: ops.Field(kept, RID)})
            rows = rows.filter(ops.InSubquery(shown, rows[RID].op()).to_expr())
        score: Any = ibis.null("float64")
        if vector is not None:
            kind = rows.schema()[name]
            given = pa.array([vector], ibis.schema({"q": kind}).to_pyarrow().field("q").type)
            staged[_QUERY] = pa.table({"q": given})
            asked = self._backend.table(_QUERY, ibis.schema({"q": kind}))
            query = ops.ScalarSubquery(ops.Project(asked, {"q": ops.Field(asked, "q")}))
            score = self._backend.similarity(rows[name].op(), query, index.metric).to_expr()
        scored = rows.select(RID, **{SCORE: score.cast("float64")})
        best = scored.order_by(ibis.desc(scored[SCORE], nulls_first=False), RID).limit(max(k, 0))
        return self._backend.arrow(best, staged)

    def _found(
        self, record: TableRecord, index: Index, query: Any, k: int, rids: Ids | None
    ) -> tuple[Ids, Any] | None:
        """Return the nearest and their scores, or None where the database has to compare all."""
        way = self._way(record, index, k, None if rids is None else len(rids))
        if way.name == "index":
            vectors = self._indexing.usable(record, index)
            found = self._asked(record, index, vectors, query, k, rids) if vectors else None
            if found is not None or not self._fits(record, index, self._rows(record)):
                return found
        if way.name == "database":
            return None
        with self._lock:
            return self._matrix(record, index).nearest(query, k, rids)

    def _asked(
        self,
        record: TableRecord,
        index: Index,
        vectors: VectorIndex,
        query: Any,
        k: int,
        rids: Ids | None,
    ) -> tuple[Ids, Any] | None:
        """Ask an index; None where it cannot answer, or where too few of its rows qualify."""
        import numpy as np

        way = self._way(record, index, k, None if rids is None else len(rids))
        try:
            later = self._later(record, index, vectors.watermark)
            if later is None:
                return None
            gone, fresh = later
            (nearest,) = vectors.search([query], max(way.asked, _LEAST) + len(gone))
        except VectorIndexError:
            return None
        stale = np.isin(nearest.ids, np.concatenate([gone, fresh.ids]))
        ids, scores = nearest.ids[~stale], _similar(nearest.distances[~stale], index.metric)
        if rids is not None:
            kept = np.isin(ids, rids)
            ids, scores = ids[kept], scores[kept]
        if len(ids) < k:
            return None
        new, alike = fresh.nearest(query, k, rids)
        ids, scores = np.concatenate([ids, new]), np.concatenate([scores, alike])
        order = np.lexsort((ids, -scores))[:k]
        return ids[order], scores[order]

    def _later(self, record: TableRecord, index: Index, since: int) -> tuple[Ids, Matrix] | None:
        """Return what an index lacks: rows that ended, and the vectors of new ones.

        None where they are too many.
        """
        import numpy as np

        from barbule.indexes.matrix import Matrix

        fresh = Matrix(self._dimension(record, index), index.metric)  # type: ignore[arg-type]
        if since >= self._catalog.latest(record.id).commit:
            return np.empty(0, np.int64), fresh
        rows = physical_rows(self._backend, record)
        gone = self._backend.arrow(ended_since(rows, since), {})[RID].to_numpy()
        name = record.column_by_id(index.embedding).physical
        later = rows.filter(rows[FROM] > since, rows[TO] == FOREVER, rows[name].notnull())
        found = self._backend.arrow(later.select(RID, name).limit(_MOST_LACKING + 1), {})
        if found.num_rows + len(gone) > _MOST_LACKING:
            return None
        if found.num_rows:
            fresh.put(found[RID].to_numpy(), as_matrix(found[name]))
        return gone, fresh

    def pairs(
        self, stage: NearestStage, queries: pa.ChunkedArray, among: pa.Array | None
    ) -> tuple[Ids, Ids, Any]:
        """Return the nearest rows of many vectors: places of vectors, identities, scores."""
        import numpy as np

        record, index = self._known(stage)
        valid = np.flatnonzero(queries.is_valid().to_numpy())
        if not len(valid) or stage.count <= 0:
            return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
        asked = as_matrix(queries.drop_null())
        rids = None if among is None else among.to_numpy()
        with self._lock:
            matrix = self._matrix(record, index)
            places, found, scores = matrix.pairs(asked, stage.count, rids)
        return valid[places], found, scores

    # Vectors in memory

    def _matrix(self, record: TableRecord, index: Index) -> Matrix:
        """Bring the vectors of an index up to the latest commit."""
        from barbule.indexes.matrix import Matrix

        key = (record.id, index.embedding)
        head = self._catalog.latest(record.id).commit
        kept = self._kept.get(key)
        # An older copy of the database took its place, or rows have been removed for good.
        if kept is None or kept.watermark > head or kept.compacted != record.compacted:
            matrix = Matrix(self._dimension(record, index), index.metric)  # type: ignore[arg-type]
            kept = self._kept[key] = _Kept(matrix, compacted=record.compacted)
        self._kept.move_to_end(key)
        if kept.watermark < head:
            self._follow(record, index, kept, head)
            self._make_room()
        return kept.matrix

    def _follow(self, record: TableRecord, index: Index, kept: _Kept, head: int) -> None:
        name = record.column_by_id(index.embedding).physical
        rows = physical_rows(self._backend, record)
        since = kept.watermark
        if since >= 0:
            gone = self._backend.arrow(ended_since(rows, since), {})[RID].to_numpy()
            kept.matrix.remove(gone)
        else:
            kept.matrix.reserve(self._rows(record))
        fresh = rows.filter(rows[FROM] > since, rows[TO] == FOREVER, rows[name].notnull())
        for batch in self._backend.batches(fresh.select(RID, name), {}, _READ_ROWS):
            if batch.num_rows:
                kept.matrix.put(batch.column(0).to_numpy(), as_matrix(batch.column(1)))
        kept.watermark = head

    def _make_room(self) -> None:
        while len(self._kept) > 1 and self.nbytes > self._most:
            self._kept.popitem(last=False)

    @property
    def nbytes(self) -> int:
        """The memory that vectors take."""
        return sum(kept.matrix.nbytes for kept in self._kept.values())

    def forget(self) -> None:
        """Free the memory."""
        with self._lock:
            self._kept.clear()


def check_query(vector: npt.NDArray[np.float32], searched: Searched) -> None:
    """Refuse a query that cannot be compared with the vectors of an index.

    Raises
    ------
    ExpressionError
        When it holds what is no number, or has no direction where that is compared.
    """
    import numpy as np

    from barbule.indexes.matrix import comparable

    if comparable(vector[None], searched.metric)[0]:  # type: ignore[arg-type]
        return
    if comparable(vector[None], "ip")[0]:
        what = "is zero and has no cosine"
    elif np.isfinite(vector).all():
        what = "holds far too large numbers"
    else:
        what = "holds NaN or an infinite number"
    raise ExpressionError(
        f"the vector of what is searched for {what}.",
        table=searched.table,
        hint=f"Check what is given, or what the function of the index {searched.index!r} "
        "returns for it.",
    )


def _similar(distances: Any, metric: str) -> Any:
    """Turn the distances of an index into similarities."""
    import numpy as np

    apart = distances.astype(np.float64)
    return -np.sqrt(np.maximum(apart, 0)) if metric == "l2" else 1 - apart
