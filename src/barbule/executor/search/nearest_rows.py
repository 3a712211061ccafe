"""The nearest rows: which way they are found, and finding them.

Owns the choice between a vector index, vectors kept in memory, and a scan by the database; and
the vectors kept in memory, which follow the tables. Where an index gives too few rows that
qualify, another way is taken: there are always as many as are wanted and there are.
"""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt
import ibis.expr.operations as ops

from barbule.backends.base import FROM, RID, Backend
from barbule.errors import ExpressionError, VectorIndexError
from barbule.executor.search.index_sync import (
    Indexing,
    as_matrix,
    ended_since,
    living_at,
    physical_rows,
)
from barbule.planner.stages import SCORE

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from barbule.catalog.records import Index, TableRecord
    from barbule.catalog.store import Catalog
    from barbule.indexes.matrix import Matrix
    from barbule.planner.stages import CandidateStage, NearestStage, SearchedIndex

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
_ROUGHLY = 10  # a tenth of the rows may be others before they are counted again
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


@dataclass(frozen=True)
class _Question:
    """What is searched for, but its vector.

    Attributes
    ----------
    count
        How many rows are wanted.
    among
        The identities of those that qualify; None for all.
    at
        The commit of whose rows they are.
    """

    record: TableRecord
    index: Index
    count: int
    among: Ids | None
    at: int

    @property
    def kept(self) -> int | None:
        """How many rows qualify; None for all."""
        return None if self.among is None else len(self.among)


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
        return self.fits(record, index) or self._indexing.usable(record, index) is not None

    def fits(self, record: TableRecord, index: Index) -> bool:
        """Whether the vectors of the live rows may be kept in memory."""
        return self._fits(record, index, self._rows(record, self._catalog.head, roughly=True))

    def _rows(self, record: TableRecord, at: int, *, roughly: bool = False) -> int:
        """Count the rows of a table that live at a commit.

        Parameters
        ----------
        roughly
            Whether a tenth more or less is no matter.
        """
        head = self._catalog.version_at(record.id, at).commit
        known = self._counts.get(record.id)
        if roughly and known is not None and known[0] < head:
            written = self._catalog.rows_written_between(record.id, known[0], head)
            if written * _ROUGHLY <= known[1]:
                return known[1]
        if known is None or known[0] != head:
            rows = living_at(physical_rows(self._backend, record), head)
            counted = self._backend.arrow(rows.aggregate(n=rows.count()), {})
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
        return self._way(record, index, stage.count, among, self._catalog.head)

    def _known(self, stage: CandidateStage | NearestStage) -> tuple[TableRecord, Index]:
        record = self._catalog.record(stage.table_id)
        return record, next(each for each in record.indexes if each.name == stage.index)

    def _way(self, record: TableRecord, index: Index, k: int, among: int | None, at: int) -> Way:
        total = self._rows(record, at, roughly=True)
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

    def search(
        self, stage: CandidateStage, vector: Any, among: pa.Array | None, at: int
    ) -> pa.Table:
        """Return the nearest rows and how similar they are.

        Parameters
        ----------
        among
            The identities of the rows that qualify; None for all.
        at
            The commit of whose rows they are.
        """
        import numpy as np
        import pyarrow as pa

        record, index = self._known(stage)
        self._indexing.look_after(record)
        rids = None if among is None else among.to_numpy()
        asked = _Question(record, index, stage.count, rids, at)
        found = None
        if vector is not None and stage.count > 0:
            found = self._found(asked, np.asarray(vector, np.float32))
        if found is None or self._is_short(asked, len(found[0])):
            # Rows that are like nothing come last, where the nearest are not enough.
            return self._scanned(asked, vector)
        return pa.table({RID: pa.array(found[0]), SCORE: pa.array(found[1])})

    def _is_short(self, asked: _Question, found: int) -> bool:
        """Whether there are more rows than were found of those that are wanted."""
        if found >= asked.count:
            return False
        there = self._rows(asked.record, asked.at) if asked.kept is None else asked.kept
        return found < min(asked.count, there)

    def _scanned(self, asked: _Question, vector: Any) -> pa.Table:
        """Have the database compare all rows that qualify."""
        import ibis
        import pyarrow as pa

        index = asked.index
        rows = living_at(physical_rows(self._backend, asked.record), asked.at)
        name = asked.record.column_by_id(index.embedding).physical
        staged = {}
        if asked.among is not None:
            staged[_AMONG] = pa.table({RID: asked.among})
            kept = self._backend.table(_AMONG, ibis.schema({RID: "int64"}))
            shown = ops.Project(kept, {RID: ops.Field(kept, RID)})
            rows = rows.filter(ops.InSubquery(shown, rows[RID].op()).to_expr())
        score: Any = ibis.null("float64")
        if vector is not None:
            kind = rows.schema()[name]
            given = pa.array([vector], ibis.schema({"q": kind}).to_pyarrow().field("q").type)
            staged[_QUERY] = pa.table({"q": given})
            told = self._backend.table(_QUERY, ibis.schema({"q": kind}))
            query = ops.ScalarSubquery(ops.Project(told, {"q": ops.Field(told, "q")}))
            score = self._backend.similarity(rows[name].op(), query, index.metric).to_expr()
        scored = rows.select(RID, **{SCORE: score.cast("float64")})
        best = scored.order_by(ibis.desc(scored[SCORE], nulls_first=False), RID)
        return self._backend.arrow(best.limit(max(asked.count, 0)), staged)

    def _found(self, asked: _Question, vector: Any) -> tuple[Ids, Any] | None:
        """Return the nearest and their scores, or None where the database has to compare all."""
        record, index = asked.record, asked.index
        way = self._way(record, index, asked.count, asked.kept, asked.at)
        if way.name == "index":
            found = self._by_index(asked, vector, way.asked)
            if found is not None or not self.fits(record, index):
                return found
        if way.name == "database":
            return None
        matrix = self._matrix(record, index, asked.at)
        return matrix.nearest(vector, asked.count, asked.among, commit=asked.at)

    def _by_index(self, asked: _Question, vector: Any, most: int) -> tuple[Ids, Any] | None:
        """Ask an index; None where it cannot answer, or where too few of its rows qualify."""
        import numpy as np

        vectors = self._indexing.usable(asked.record, asked.index)
        if vectors is None:
            return None
        try:
            later = self._later(asked.record, asked.index, vectors.watermark, asked.at)
            if later is None:
                return None
            gone, fresh = later
            (nearest,) = vectors.search([vector], max(most, _LEAST) + len(gone))
        except VectorIndexError:
            return None
        stale = np.isin(nearest.ids, np.concatenate([gone, fresh.ids]))
        ids = nearest.ids[~stale]
        scores = _similar(nearest.distances[~stale], asked.index.metric)
        if asked.among is not None:
            kept = np.isin(ids, asked.among)
            ids, scores = ids[kept], scores[kept]
        if len(ids) < asked.count:
            return None
        new, alike = fresh.nearest(vector, asked.count, asked.among) or (ids[:0], scores[:0])
        ids, scores = np.concatenate([ids, new]), np.concatenate([scores, alike])
        order = np.lexsort((ids, -scores))[: asked.count]
        return ids[order], scores[order]

    def _later(
        self, record: TableRecord, index: Index, since: int, at: int
    ) -> tuple[Ids, Matrix] | None:
        """Return what an index lacks: rows that ended, and the vectors of new ones.

        None where they are too many, or the index is ahead of the commit.
        """
        import numpy as np

        from barbule.indexes.matrix import Matrix

        fresh = Matrix(self._dimension(record, index), index.metric)  # type: ignore[arg-type]
        head = self._catalog.version_at(record.id, at).commit
        if since > at:
            return None
        if since >= head:
            return np.empty(0, np.int64), fresh
        written = self._catalog.rows_written_between(record.id, since, head)
        if written > _MOST_LACKING:
            return None
        rows = physical_rows(self._backend, record)
        name = record.column_by_id(index.embedding).physical
        ended, found = self._backend.changes(rows, name, since, head)
        if found.num_rows:
            fresh.put(found.column(0).to_numpy(), as_matrix(found.column(1)))
        return ended.to_numpy(), fresh

    def pairs(
        self, stage: NearestStage, queries: pa.ChunkedArray, among: pa.Array | None, at: int
    ) -> tuple[Ids, Ids, Any]:
        """Return the nearest rows of many vectors: places of vectors, identities, scores."""
        import numpy as np

        record, index = self._known(stage)
        valid = np.flatnonzero(queries.is_valid().to_numpy())
        if not len(valid) or stage.count <= 0:
            return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
        asked = as_matrix(queries.drop_null())
        rids = None if among is None else among.to_numpy()
        pairs = None
        while pairs is None:  # those of an earlier commit may be forgotten meanwhile
            pairs = self._matrix(record, index, at).pairs(asked, stage.count, rids, commit=at)
            at = self._catalog.head
        places, found, scores = pairs
        return valid[places], found, scores

    # Vectors in memory

    def _matrix(self, record: TableRecord, index: Index, at: int) -> Matrix:
        """Bring the vectors of an index up to a commit at least."""
        key = (record.id, index.embedding)
        head = self._catalog.version_at(record.id, at).commit
        kept = self._kept.get(key)
        if kept is not None and kept.watermark >= head and self._follows(kept, record):
            with contextlib.suppress(KeyError):  # another search may just have made room
                self._kept.move_to_end(key)
            return kept.matrix
        with self._lock:  # one reads for all
            return self._brought_up(record, index, key, head)

    def _follows(self, kept: _Kept, record: TableRecord) -> bool:
        """Whether the database is the same one, and no rows of the table were removed for good."""
        latest = self._catalog.latest(record.id).commit
        return kept.watermark <= latest and kept.compacted == record.compacted

    def _brought_up(
        self, record: TableRecord, index: Index, key: tuple[int, int], head: int
    ) -> Matrix:
        from barbule.indexes.matrix import Matrix

        kept = self._kept.get(key)
        if kept is None or not self._follows(kept, record):
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
        since, matrix = kept.watermark, kept.matrix
        few = (
            since >= 0 and self._catalog.rows_written_between(record.id, since, head) <= _READ_ROWS
        )
        if few:
            ended, new = self._backend.changes(rows, name, since, head)
            matrix.remove(ended.to_numpy(), commit=head)
            batches: Iterable[Any] = [new]
        else:
            if since >= 0:
                ended = self._backend.arrow(ended_since(rows, since, head), {}).column(0)
                matrix.remove(ended.to_numpy(), commit=head)
            else:
                matrix.reserve(self._rows(record, head))
                matrix.earliest_commit = head
            fresh = living_at(rows, head).filter(rows[FROM] > since, rows[name].notnull())
            batches = self._backend.batches(fresh.select(RID, name), {}, _READ_ROWS)
        for batch in batches:
            if batch.num_rows:
                ids, vectors = batch.column(0).to_numpy(), as_matrix(batch.column(1))
                matrix.put(ids, vectors, commit=head)
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


def check_query(vector: npt.NDArray[np.float32], searched: SearchedIndex) -> None:
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
