"""Runs a plan: its stages over Arrow batches, then its final query.

Owns the order of stages. `stage_calls` calls functions, `search` runs searches; all data is Arrow.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import ibis.expr.operations as ops

from barbule.executor.limit_batches import Slices, next_batch_size, stage_chain
from barbule.executor.plain_rows import constant_row, staged_rows
from barbule.executor.search.nearest_rows import check_query_vector
from barbule.executor.search.row_states import as_matrix
from barbule.executor.stage_calls import MAX_BATCH_ROWS, CallTargets, StageCalls, calls_for_rows
from barbule.planner.stages import (
    HIT,
    QUERY_ROW,
    SCORE,
    Call,
    CallStage,
    CandidateStage,
    KeywordStage,
    NearestStage,
)
from barbule.tracing import span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from barbule.backends.base import Backend
    from barbule.catalog.catalog_reader import CatalogReader
    from barbule.executor.calls.caller import Caller
    from barbule.executor.calls.operation import Operation
    from barbule.executor.display.progress import Meter
    from barbule.executor.search.filter_cache import FilterCache
    from barbule.executor.search.nearest_rows import NearestRows
    from barbule.planner.plan import Plan
    from barbule.planner.stages import EarlyStop, Stage

__all__ = ["PlanRunner", "first_final_search"]

_CallColumns = dict[tuple[str, str], tuple[Call, list[list[Any]]]]
"""Calls and the columns of their arguments, by function and template."""


class PlanRunner:
    """Runs plans on one backend.

    Parameters
    ----------
    filters
        Reads the rows that qualify for a search, if only a commit can change them; None for a
        transaction, whose rows are its own.
    keywords
        Scores the rows of a stage by keywords.
    """

    def __init__(
        self,
        backend: Backend,
        catalog: CatalogReader,
        caller: Caller,
        nearest: NearestRows,
        keywords: Callable[[KeywordStage], pa.Table],
        filters: FilterCache | None,
    ) -> None:
        self.backend = backend
        self.caller = caller
        self._catalog = catalog
        self._nearest = nearest
        self._keywords = keywords
        self._filters = filters
        self._stage_calls = StageCalls(backend, caller)

    def arrow(
        self, plan: Plan, operation: Operation, staged: Mapping[str, pa.Table] | None = None
    ) -> pa.Table:
        """Run a plan and return its rows.

        Parameters
        ----------
        operation
            The operation for which it is run.
        staged
            Arrow tables that the plan reads by name.
        """
        with contextlib.ExitStack() as snapshot:
            stage_tables = self.stages(plan, operation, staged, snapshot)
            rows = staged_rows(plan.final, stage_tables)
            return self.backend.arrow(plan.final.to_expr(), stage_tables) if rows is None else rows

    def stages(
        self,
        plan: Plan,
        operation: Operation,
        staged: Mapping[str, pa.Table] | None = None,
        snapshot: contextlib.ExitStack | None = None,
    ) -> dict[str, pa.Table]:
        """Run the stages of a plan; return the tables that the final query reads, by name.

        Parameters
        ----------
        snapshot
            The block in which the final query is run: enters the snapshot of the database in which
            the nearest rows are searched, if no function has to be called after that.
        """
        stage_tables = dict(staged or {})
        if plan.reads_calls:
            self.caller.ledger.flush()
        targets = CallTargets(plan, operation)
        with contextlib.ExitStack() as progress:
            if any(map(calls_for_rows, plan.stages)):
                progress.enter_context(operation.progress.shown())
            self._run_stages(plan, stage_tables, targets, snapshot)
        return stage_tables

    def _run_stages(
        self,
        plan: Plan,
        stage_tables: dict[str, pa.Table],
        targets: CallTargets,
        snapshot: contextlib.ExitStack | None,
    ) -> None:
        final_search = first_final_search(plan) if snapshot is not None else None
        chains = {
            stage.name: stage_chain(plan, stage)
            for stage in plan.stages
            if isinstance(stage, CallStage) and stage.early_stop
        }
        chained = {stage.name for chain in chains.values() for stage in chain[:-1]}
        commit: int | None = None
        for stage in plan.stages:
            if stage is final_search and snapshot is not None:
                commit = snapshot.enter_context(self._snapshot())
            if isinstance(stage, CallStage) and stage.early_stop:
                chain = chains[stage.name]
                stage_tables[stage.name] = self._until_enough(
                    chain, stage.early_stop, stage_tables, targets
                )
            elif stage.name not in chained:
                stage_tables[stage.name] = self._run_stage(stage, stage_tables, targets, commit)

    @contextlib.contextmanager
    def _snapshot(self) -> Iterator[int]:
        """Let the calling thread read at one commit, and yield it."""
        with self.backend.snapshot() as commit:
            self._catalog.metadata.load_until(commit)
            yield commit

    def stage(
        self, plan: Plan, operation: Operation, stage: Stage, stage_tables: Mapping[str, pa.Table]
    ) -> pa.Table:
        """Run a stage; those before it have been run."""
        targets = CallTargets(plan, operation)
        return self._run_stage(stage, stage_tables, targets)

    def _run_stage(
        self,
        stage: Stage,
        stage_tables: Mapping[str, pa.Table],
        targets: CallTargets,
        commit: int | None = None,
    ) -> pa.Table:
        if isinstance(stage, CandidateStage):
            commit = self._catalog.head if commit is None else commit
            vector = _vector(stage_tables[stage.vector])
            qualifying = self.qualifying(stage, stage_tables, commit)
            return self._nearest.search(stage, vector, qualifying, commit)
        if isinstance(stage, NearestStage):
            return self._pairs(
                stage, stage_tables, self._catalog.head if commit is None else commit
            )
        if isinstance(stage, KeywordStage):
            with span("search", "keywords", path="postings") as traced:
                scores = self._keywords(stage)
                traced.set(rows=scores.num_rows)
            return scores
        rows = self._call(stage, stage_tables, targets)
        if stage.searched_indexes and (vector := _vector(rows)) is not None:
            for searched in stage.searched_indexes:
                check_query_vector(vector, searched)
        return rows

    # Searches

    def qualifying(
        self,
        stage: CandidateStage | NearestStage,
        stage_tables: Mapping[str, pa.Table],
        commit: int | None = None,
    ) -> pa.Array | None:
        """Return the row ids of the rows that qualify for a search; None for all.

        Parameters
        ----------
        commit
            The commit at which the calling thread reads; by default the latest one.
        """
        if stage.rows is None:
            return None
        if stage.stable and self._filters is not None:
            return self._filters.rows(stage.rows, self._catalog.head if commit is None else commit)
        return self.backend.arrow(stage.rows.to_expr(), stage_tables).column(0).combine_chunks()

    def _pairs(
        self, stage: NearestStage, stage_tables: Mapping[str, pa.Table], commit: int
    ) -> pa.Table:
        import pyarrow as pa

        queries = stage_tables[stage.queries]
        vectors = queries.column(stage.vector)
        qualifying = self.qualifying(stage, stage_tables, commit)
        with span("search", stage.index, path="memory", queries=len(vectors)) as traced:
            positions, rids, scores = self._nearest.pairs(stage, vectors, qualifying, commit)
            traced.set(rows=len(rids))
        query_rows = queries.column(QUERY_ROW).take(pa.array(positions))
        return pa.table({QUERY_ROW: query_rows, HIT: pa.array(rids), SCORE: pa.array(scores)})

    # Calls

    def batches(
        self, stage: CallStage, stage_tables: Mapping[str, pa.Table], size: int
    ) -> Iterable[pa.RecordBatch]:
        """Read the rows for which a stage calls functions."""
        batches = constant_row(stage.source)
        if batches is None and (rows := staged_rows(stage.source, stage_tables)) is not None:
            batches = rows.to_batches(max_chunksize=size)
        return batches or self.backend.batches(stage.source.to_expr(), stage_tables, size)

    def _call(
        self, stage: CallStage, stage_tables: Mapping[str, pa.Table], targets: CallTargets
    ) -> pa.Table:
        meters = self._stage_calls.meters(stage, targets.operation)
        source = self.batches(stage, stage_tables, MAX_BATCH_ROWS)
        if meters and targets.operation.progress.is_visible:
            source = self._with_totals(stage, stage_tables, source, meters)
        return self._stage_calls.rows(stage, source, targets, meters)

    def _with_totals(
        self,
        stage: CallStage,
        stage_tables: Mapping[str, pa.Table],
        source: Iterable[pa.RecordBatch],
        meters: list[Meter],
    ) -> Iterator[pa.RecordBatch]:
        """Set the number of rows of the meters, after the first batch is read."""
        for number, batch in enumerate(source):
            if number == 0:
                total = batch.num_rows
                if total >= MAX_BATCH_ROWS:
                    total = self._count(stage.source, stage_tables)
                for meter in meters:
                    meter.total = total
            yield batch

    def _until_enough(
        self,
        chain: list[CallStage],
        early_stop: EarlyStop,
        stage_tables: Mapping[str, pa.Table],
        targets: CallTargets,
    ) -> pa.Table:
        """Run stages in growing batches, until enough rows of the last one qualify."""
        import pyarrow as pa

        first, last = chain[0], chain[-1]
        meters = {stage.name: self._stage_calls.meters(stage, targets.operation) for stage in chain}
        source = Slices(self.batches(first, stage_tables, MAX_BATCH_ROWS))
        parts: list[pa.Table] = []
        read = qualified = 0
        try:
            while not parts or qualified < early_stop.count:
                size = next_batch_size(read, qualified, early_stop.count)
                batches = list(source.take(size))
                if not batches and parts:
                    break
                rows = self._stage_calls.rows(first, batches, targets, meters[first.name], read)
                for stage in chain[1:]:
                    chain_tables = {**stage_tables, _source_name(stage): rows}
                    stage_source = self.batches(stage, chain_tables, MAX_BATCH_ROWS)
                    rows = self._stage_calls.rows(stage, stage_source, targets, meters[stage.name])
                parts.append(rows)
                if not batches:
                    break
                read += sum(batch.num_rows for batch in batches)
                if rows.num_rows:
                    qualified += self._count(
                        early_stop.qualifying, {**stage_tables, last.name: rows}
                    )
        finally:
            source.close()
        return pa.concat_tables(parts)

    def _count(self, relation: ops.Relation, stage_tables: Mapping[str, pa.Table]) -> int:
        count = relation.to_expr().count().as_table()
        return int(self.backend.arrow(count, stage_tables).column(0)[0].as_py())

    # Calls of query functions

    def prefetch(self, plans: list[Plan], operation: Operation) -> None:
        """Make the calls for constants of several plans at once, into the ledger."""
        calls: _CallColumns = {}
        for plan in plans:
            for stage in plan.stages:
                if isinstance(stage, CallStage) and isinstance(stage.source, ops.DummyTable):
                    _add_constant_calls(stage, calls)
        for call, columns in calls.values():
            if columns and len(columns[0]) > 1:
                self.caller.call(operation, call, columns, len(columns[0]))


def _add_constant_calls(stage: CallStage, calls: _CallColumns) -> None:
    for call in stage.calls:
        values = [stage.source.values[name] for name in call.arguments]
        if not call.cached or not all(isinstance(value, ops.Literal) for value in values):
            continue
        _, columns = calls.setdefault((call.function, call.template), (call, [[] for _ in values]))
        for column, value in zip(columns, values, strict=True):
            column.append(value.value)


def first_final_search(plan: Plan) -> CandidateStage | None:
    """Return the first search of a plan, if no function is called after it."""
    for index, stage in enumerate(plan.stages):
        if isinstance(stage, CandidateStage):
            calls = any(isinstance(later, CallStage) for later in plan.stages[index:])
            return None if calls else stage
    return None


def _vector(rows: pa.Table) -> npt.NDArray[np.float32] | None:
    """Return the vector of the single row of a stage; None if it is missing."""
    column = rows.column(0)
    return None if column.null_count else as_matrix(column)[0]


def _source_name(stage: CallStage) -> str:
    """Return the name of the only stage that another one reads."""
    (leaf,) = stage.source.find(ops.PhysicalTable)
    return str(leaf.name)
