"""The check of indexes and media against the tables, and the repair of indexes.

Owns `CheckResult`, the comparison of every embedding index with the rows of its table, and that of
the media store with the references in rows. `check_documents` finds documents without a reader. The
tables are the source of truth: an index that differs is rebuilt from them; a missing media file
cannot be restored.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from barbule.backends.base import FOREVER, RID, TO
from barbule.errors import ConfigurationError, VectorIndexError
from barbule.executor.search.row_states import as_matrix, row_states
from barbule.suggestions import VerbResult
from barbule.tables.transaction.media_references import missing_media
from barbule.tables.verbs.check_documents import DocumentCheck, documents_without_reader

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from barbule.catalog.records import Index, TableRecord
    from barbule.executor.engine import Engine
    from barbule.indexes.base import VectorIndex

__all__ = ["CheckResult", "DocumentCheck", "IndexCheck", "MediaCheck", "check"]

# The number of vectors of an index that are searched for themselves.
_SAMPLE_ROWS = 200
_MIN_RECALL = 0.9
_MAX_REFERENCES_SHOWN = 3  # references of files that are missing


@dataclass(frozen=True)
class IndexCheck:
    """The result for one embedding index.

    Attributes
    ----------
    rows
        Rows of the table with a comparable vector.
    missing, extra
        Rows that the index lacks, and rows in the index that the table lacks.
    unfound
        The vectors of a sample that a search for themselves does not find.
    problem
        The reason why the index could not be checked; None if it could.
    repaired
        Whether it was rebuilt and is now correct.
    """

    table: str
    index: str
    rows: int
    missing: int = 0
    extra: int = 0
    unfound: int = 0
    problem: str | None = None
    repaired: bool = False

    @property
    def ok(self) -> bool:
        """Whether the index matched the table."""
        return not (self.missing or self.extra or self.unfound or self.problem)

    def __str__(self) -> str:
        problems = {"missing": self.missing, "extra": self.extra, "not found": self.unfound}
        wrong = ", ".join(f"{count} {name}" for name, count in problems.items() if count)
        state = self.problem or wrong or "complete"
        repaired = ", repaired" if self.repaired else ""
        return f"{self.table}, index {self.index!r}: {self.rows} vectors, {state}{repaired}"


@dataclass(frozen=True)
class MediaCheck:
    """The media files of one table that the media store lacks.

    Attributes
    ----------
    missing
        The references in rows of any version whose files are not in the store.
    """

    table: str
    missing: tuple[str, ...]

    def __str__(self) -> str:
        files = "file is" if len(self.missing) == 1 else "files are"
        first = ", ".join(self.missing[:_MAX_REFERENCES_SHOWN]) + (
            ", …" if len(self.missing) > _MAX_REFERENCES_SHOWN else ""
        )
        return f"{self.table}: {len(self.missing)} {files} not in the media store: {first}"


@dataclass(frozen=True, repr=False)
class CheckResult(VerbResult):
    """The result of `check`; true if everything is consistent, or was repaired.

    Attributes
    ----------
    indexes
        One entry for each embedding index of a table.
    media
        One entry for each table that refers to files which the media store lacks. They cannot be
        repaired: restore them, insert them again, or delete the rows that `changed()` finds.
    documents
        One entry for each column and file extension whose reader is not installed.
    """

    indexes: tuple[IndexCheck, ...]
    media: tuple[MediaCheck, ...] = ()
    documents: tuple[DocumentCheck, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether everything was consistent before the repair."""
        return not self._files and all(check.ok for check in self.indexes)

    @property
    def _files(self) -> tuple[MediaCheck | DocumentCheck, ...]:
        return (*self.media, *self.documents)

    def __bool__(self) -> bool:
        return not self._files and all(check.ok or check.repaired for check in self.indexes)

    def __repr__(self) -> str:
        lines = [f"  {check}" for check in self.indexes] or ["  no indexes"]
        lines += [f"  {check}" for check in self._files]
        title = "no problems found" if self.ok else "repaired" if self else "problems found"
        return "\n".join([f"Check: {title}", *lines])


def check(engine: Engine, *, repair: bool) -> CheckResult:
    """Compare every index with its table, and the media store with the references in rows."""
    engine.catalog.refresh()
    media = tuple(MediaCheck(table, tuple(names)) for table, names in missing_media(engine).items())
    documents = documents_without_reader(engine)
    if not engine.indexing.is_persistent:
        return CheckResult((), media, documents)
    engine.indexing.wait({record.id for record in engine.catalog.tables()})
    checks = []
    for record in engine.catalog.tables():
        if record.origin is None:  # a branch is searched exactly, and has no index
            checks += [_check_index(engine, record, index, repair) for index in record.indexes]
    return CheckResult(tuple(checks), media, documents)


def _check_index(engine: Engine, record: TableRecord, index: Index, repair: bool) -> IndexCheck:
    result = _compare_index(engine, record, index)
    if result.ok or not repair:
        return result
    try:
        engine.indexing.reset(record, index)
    except (VectorIndexError, ConfigurationError) as error:
        return replace(result, problem=result.problem or error.message)
    engine.indexing.wait({record.id})
    return replace(result, repaired=_compare_index(engine, record, index).ok)


def _compare_index(engine: Engine, record: TableRecord, index: Index) -> IndexCheck:
    import numpy as np

    rids, sample, vectors = _expected_vectors(engine, record, index)
    result = IndexCheck(record.name, index.name, len(rids))
    try:
        index_store = engine.indexing.usable(record, index)
        if index_store is None:
            index_error = engine.indexing.errors.get(record.id)
            reason = engine.indexing.store.reason or index_error or "it is not complete"
            return replace(result, missing=len(rids), problem=f"it is not available: {reason}")
        index_rids = index_store.ids()
        unfound = _unfound_count(index_store, sample, vectors)
    except (VectorIndexError, ConfigurationError) as error:  # of an extension that is no index
        return replace(result, problem=error.message)
    return replace(
        result,
        missing=len(np.setdiff1d(rids, index_rids)),
        extra=len(np.setdiff1d(index_rids, rids)),
        unfound=unfound,
    )


def _expected_vectors(
    engine: Engine, record: TableRecord, index: Index
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Return the rows that belong in an index, and a sample of them with their vectors."""
    import numpy as np

    from barbule.indexes.matrix import comparable

    name = record.column_by_id(index.embedding).physical
    rows = row_states(engine.backend, record)
    live = rows.filter(rows[TO] == FOREVER, rows[name].notnull()).select(RID, name)
    rids, step = [np.empty(0, np.int64)], 0
    samples: list[tuple[Any, Any]] = []
    for batch in engine.backend.batches(live, {}, 16384):
        if batch.num_rows:
            vectors = as_matrix(batch.column(1))
            is_comparable = comparable(vectors, index.metric)  # type: ignore[arg-type]
            rids.append(batch.column(0).to_numpy()[is_comparable])
            step = max(1, len(rids[-1]) // 50)
            samples.append((rids[-1][::step], vectors[is_comparable][::step]))
    if not samples:
        return rids[0], rids[0], np.empty((0, 0), np.float32)
    ids = np.concatenate([sample_rids for sample_rids, _ in samples])
    vectors = np.concatenate([sample_vectors for _, sample_vectors in samples])
    step = max(1, len(ids) // _SAMPLE_ROWS)
    return np.concatenate(rids), ids[::step], vectors[::step]


def _unfound_count(
    index_store: VectorIndex, sample: npt.NDArray[np.int64], vectors: npt.NDArray[np.float32]
) -> int:
    """Count vectors that a search for themselves does not find; any graph misses a few."""
    if not len(sample):
        return 0
    answers = index_store.search(vectors, 10)
    unfound = sum(
        int(rid not in answer.ids and not (len(answer) and answer.distances[0] <= 1e-3))  # noqa: PLR2004 - as near as itself
        for rid, answer in zip(sample.tolist(), answers, strict=True)
    )
    return unfound if unfound > (1 - _MIN_RECALL) * len(sample) else 0
