"""Walk a plan: run its stages over Arrow batches, then its final query.

Owns the walk. How a function is called is `batch`'s business, how a search is made the
indexes'; what is read and written is Arrow.
"""

from __future__ import annotations

import contextlib
import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import ibis.expr.operations as ops

from barbule.errors import BarbuleError, DataError
from barbule.executor.calls.call_errors import Deferred, Failure
from barbule.executor.calls.provenance import Purpose
from barbule.executor.display.progress import Meter
from barbule.executor.limit_batches import Slices, chain_of, next_size
from barbule.executor.results.spilling import Spilling
from barbule.executor.search.index_sync import as_matrix
from barbule.executor.search.nearest_rows import check_query
from barbule.functions.registry import lookup
from barbule.nodes import CELL_ERROR_TYPE, VectorLiteral
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
from barbule.values.cells import arrow_type, to_array

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager

    import ibis.expr.datatypes as dt
    import pyarrow as pa

    from barbule.backends.base import Backend
    from barbule.executor.calls.caller import Caller
    from barbule.executor.calls.provenance import Asker
    from barbule.executor.search.filter_cache import Qualifying
    from barbule.planner.plan import Plan
    from barbule.planner.stages import EarlyStop, Stage

__all__ = ["Runner", "first_of_searches"]

_BATCH_ROWS = 16384


@dataclass(frozen=True)
class Runner:
    """Runs plans on one backend.

    Parameters
    ----------
    search
        Gives the nearest rows and how similar they are, for a `CandidateStage`, a query vector,
        the rows that qualify and a commit.
    pairs
        Gives for many vectors the places of vectors, their nearest rows, and how similar.
    head
        Gives the latest commit that is known, where it is not that of a snapshot.
    score
        Gives the rows and scores of a `KeywordStage`.
    remembered
        Gives the rows that qualify, where nothing but a commit changes them.
    snapshot
        Lets the calling thread read at one commit, and gives it.
    """

    backend: Backend
    caller: Caller
    search: Callable[[CandidateStage, Any, pa.Array | None, int], pa.Table]
    pairs: Callable[[NearestStage, pa.ChunkedArray, pa.Array | None, int], tuple[Any, Any, Any]]
    head: Callable[[], int]
    score: Callable[[KeywordStage], pa.Table]
    remembered: Qualifying
    snapshot: Callable[[], AbstractContextManager[int]]

    def arrow(self, plan: Plan, staged: Mapping[str, pa.Table] | None = None) -> pa.Table:
        """Run a plan and return its rows.

        Parameters
        ----------
        staged
            Arrow tables that the plan reads by name.
        """
        with contextlib.ExitStack() as reading:
            ready = self.stages(plan, staged, reading)
            shown = _shown_as_they_are(plan.final, ready)
            return self.backend.arrow(plan.final.to_expr(), ready) if shown is None else shown

    def stages(
        self,
        plan: Plan,
        staged: Mapping[str, pa.Table] | None = None,
        reading: contextlib.ExitStack | None = None,
    ) -> dict[str, pa.Table]:
        """Run the stages of a plan; return what the final query reads, by name.

        Parameters
        ----------
        reading
            Within it the final query is run: takes the snapshot of the database in which the
            nearest rows are found, where no function has to be called after that.
        """
        ready = dict(staged or {})
        origins = _Origins(plan, self.caller.purpose)
        with self.caller.watching() if any(map(_counts, plan.stages)) else contextlib.nullcontext():
            self._stages(plan, ready, origins, reading)
        return ready

    def _stages(
        self,
        plan: Plan,
        ready: dict[str, pa.Table],
        origins: _Origins,
        reading: contextlib.ExitStack | None,
    ) -> None:
        searched = first_of_searches(plan) if reading is not None else None
        chains = [
            chain_of(plan, stage)
            for stage in plan.stages
            if isinstance(stage, CallStage) and stage.early_stop
        ]
        early = {stage.name for chain in chains for stage in chain[:-1]}
        last = {chain[-1].name: chain for chain in chains}
        at: int | None = None
        for stage in plan.stages:
            if stage is searched and reading is not None:
                at = reading.enter_context(self.snapshot())
            if stage.name in last:
                ready[stage.name] = self._until_enough(last[stage.name], ready, origins)
            elif stage.name not in early:
                ready[stage.name] = self._run(stage, ready, origins, at)

    def stage(self, plan: Plan, stage: Stage, ready: Mapping[str, pa.Table]) -> pa.Table:
        """Run a stage for which those before it are ready."""
        return self._run(stage, ready, _Origins(plan, self.caller.purpose))

    def _run(
        self,
        stage: Stage,
        ready: Mapping[str, pa.Table],
        origins: _Origins,
        at: int | None = None,
    ) -> pa.Table:
        if isinstance(stage, CandidateStage):
            at = self.head() if at is None else at
            vector = _vector(ready[stage.vector])
            return self.search(stage, vector, self.qualifying(stage, ready, at), at)
        if isinstance(stage, NearestStage):
            return self._pairs(stage, ready, self.head() if at is None else at)
        if isinstance(stage, KeywordStage):
            return self.score(stage)
        made = self._call(stage, ready, origins)
        if stage.searched_indexes and (vector := _vector(made)) is not None:
            for each in stage.searched_indexes:
                check_query(vector, each)
        return made

    def batches(
        self, stage: CallStage, ready: Mapping[str, pa.Table], size: int
    ) -> Iterable[pa.RecordBatch]:
        """Read what a stage calls functions for."""
        known = _constants(stage.source)
        if known is None and (rows := _shown_as_they_are(stage.source, ready)) is not None:
            known = rows.to_batches(max_chunksize=size)
        return known or self.backend.batches(stage.source.to_expr(), ready, size)

    def qualifying(
        self,
        stage: CandidateStage | NearestStage,
        ready: Mapping[str, pa.Table],
        at: int | None = None,
    ) -> pa.Array | None:
        """Return the identities of the rows that a search may find; None for all.

        Parameters
        ----------
        at
            The commit at which the calling thread reads; by default the latest one.
        """
        if stage.rows is None:
            return None
        if stage.stable:
            return self.remembered.rows(stage.rows, self.head() if at is None else at)
        return self.backend.arrow(stage.rows.to_expr(), ready).column(0).combine_chunks()

    def _pairs(self, stage: NearestStage, ready: Mapping[str, pa.Table], at: int) -> pa.Table:
        import pyarrow as pa

        asked = ready[stage.queries]
        vectors = asked.column(stage.vector)
        rows = self.qualifying(stage, ready, at)
        queries, found, scores = self.pairs(stage, vectors, rows, at)
        places = asked.column(QUERY_ROW).take(pa.array(queries))
        return pa.table({QUERY_ROW: places, HIT: pa.array(found), SCORE: pa.array(scores)})

    def _until_enough(
        self, chain: list[CallStage], ready: Mapping[str, pa.Table], origins: _Origins
    ) -> pa.Table:
        """Compute stages in growing batches, until enough rows of the last one qualify."""
        import pyarrow as pa

        first, last = chain[0], chain[-1]
        meters = {stage.name: self._meters(stage) for stage in chain}
        enough = cast("EarlyStop", last.early_stop)
        source = Slices(self.batches(first, ready, _BATCH_ROWS))
        parts: list[pa.Table] = []
        seen = kept = 0
        try:
            while not parts or kept < enough.count:
                batches = list(source.take(next_size(seen, kept, enough.count)))
                if not batches and parts:
                    break
                made = self._called(first, batches, origins, meters[first.name], seen)
                for stage in chain[1:]:
                    rows = self.batches(stage, {**ready, _below(stage): made}, _BATCH_ROWS)
                    made = self._called(stage, rows, origins, meters[stage.name])
                parts.append(made)
                if not batches:
                    break
                seen += sum(batch.num_rows for batch in batches)
                kept += self._kept(last, made, ready)
        finally:
            source.close()
        return pa.concat_tables(parts)

    def _kept(self, stage: CallStage, rows: pa.Table, ready: Mapping[str, pa.Table]) -> int:
        """Count the rows of a stage that are wanted."""
        if not rows.num_rows:
            return 0
        kept = cast("EarlyStop", stage.early_stop).qualifying.to_expr()
        count = kept.count().as_table()
        return int(self.backend.arrow(count, {**ready, stage.name: rows}).column(0)[0].as_py())

    def _call(self, stage: CallStage, ready: Mapping[str, pa.Table], origins: _Origins) -> pa.Table:
        meters = self._meters(stage)
        source = self.batches(stage, ready, _BATCH_ROWS)
        if meters and self.caller.watched:
            source = self._measured(stage, ready, source, meters)
        return self._called(stage, source, origins, meters)

    def _meters(self, stage: CallStage) -> list[Meter]:
        if not _counts(stage):
            return [Meter() for _ in stage.calls]
        with self.caller.watching() as progress:
            return [progress.meter(call.function.rpartition(".")[2]) for call in stage.calls]

    def _measured(
        self,
        stage: CallStage,
        ready: Mapping[str, pa.Table],
        source: Iterable[pa.RecordBatch],
        meters: list[Meter],
    ) -> Iterator[pa.RecordBatch]:
        """Tell the meters how many rows there are, once the first batch is read."""
        for number, batch in enumerate(source):
            if number == 0:
                total = batch.num_rows
                if total >= _BATCH_ROWS:
                    count = stage.source.to_expr().count().as_table()
                    total = int(self.backend.arrow(count, ready).column(0)[0].as_py())
                for meter in meters:
                    meter.total = total
            yield batch

    def _called(
        self,
        stage: CallStage,
        source: Iterable[pa.RecordBatch],
        origins: _Origins,
        meters: list[Meter],
        offset: int = 0,
    ) -> pa.Table:
        import pyarrow as pa

        names = stage.schema.names
        wanted = pa.schema([(name, arrow_type(kind)) for name, kind in stage.schema.items()])
        parts = Spilling(wanted)
        with _ended(source):
            for batch in _read_ahead(_filled(stage, source)):
                columns = {name: batch.column(name) for name in stage.passthrough}
                for call, meter in zip(stage.calls, meters, strict=True):
                    try:
                        asker = functools.partial(origins.asker, stage, call, batch)
                        columns |= self._columns(call, batch, asker, meter)
                    except BarbuleError as error:
                        if error.row is not None:
                            error.row += offset
                        raise error.at(column=origins.column(stage, call)) from error.__cause__
                offset += batch.num_rows
                parts.add(pa.table([columns[name] for name in names], schema=wanted))
        return parts.table()

    def _columns(
        self, call: Call, batch: pa.RecordBatch, asker: Callable[[], Asker], meter: Meter
    ) -> dict[str, pa.Array]:
        arguments = [batch.column(name).to_pylist() for name in call.arguments]
        values = self.caller.call(call, arguments, batch.num_rows, asker, meter)
        failed: list[Failure | None] = [None] * len(values)
        if {Failure, Deferred} & set(map(type, values)):
            failed = [each if isinstance(each, Failure) else None for each in values]
            values = [None if isinstance(each, Failure) else each for each in values]
        made = {call.output: self._array(call, values, failed)}
        if call.errors:
            made[call.errors] = _reasons(failed)
        return made

    def _array(self, call: Call, values: list[Any], failed: list[Failure | None]) -> pa.Array:
        """Make the column of results; those of a wrong type have failed, where they may."""
        while True:
            try:
                return self._storable(to_array(values, call.dtype, self.caller.library), call.dtype)
            except BarbuleError as error:
                error.message = f"{call.function} returned a wrong value: {error.message}"
                function = lookup(call.function, call.version)
                own = call.on_error is None and function.on_error == "null"
                forgiven = own or self.caller.forgives(call)
                if error.row is None or not forgiven:
                    raise
                reason = Failure(type(error).__name__, error.message)
                values[error.row], failed[error.row] = None, reason
                self.caller.tally.errors += 1

    def _storable(self, made: pa.Array, kind: dt.DataType) -> pa.Array:
        """Return a column, if the database can keep all of it."""
        if (place := self.backend.first_unstorable(made, kind)) is not None:
            raise DataError(
                f"{self.backend.name.title()} cannot keep a text with the character NUL (\\x00).",
                row=place,
                value=made[place].as_py(),
                hint="Remove it, or return bytes.",
            )
        return made

    def prefetch(self, plans: list[Plan]) -> None:
        """Ask what many plans are going to ask of constants, all at once, into the ledger."""
        asked: dict[tuple[str, str], tuple[Call, list[list[Any]]]] = {}
        for plan in plans:
            for stage in plan.stages:
                if isinstance(stage, CallStage) and isinstance(stage.source, ops.DummyTable):
                    self._note(stage, asked)
        for call, columns in asked.values():
            if columns and len(columns[0]) > 1:
                self.caller.call(call, columns, len(columns[0]))

    def _note(
        self, stage: CallStage, asked: dict[tuple[str, str], tuple[Call, list[list[Any]]]]
    ) -> None:
        for call in stage.calls:
            values = [stage.source.values[name] for name in call.arguments]
            if not call.cached or not all(isinstance(value, ops.Literal) for value in values):
                continue
            _, columns = asked.setdefault(
                (call.function, call.template), (call, [[] for _ in values])
            )
            for column, value in zip(columns, values, strict=True):
                column.append(value.value)


def _counts(stage: Stage) -> bool:
    """Whether a stage calls functions for rows, and not for what is searched for alone."""
    return isinstance(stage, CallStage) and not isinstance(stage.source, ops.DummyTable)


def first_of_searches(plan: Plan) -> CandidateStage | None:
    """Return the first search of a plan after which no function is called, if there is one."""
    for place, stage in enumerate(plan.stages):
        if isinstance(stage, CandidateStage):
            called = any(isinstance(each, CallStage) for each in plan.stages[place:])
            return None if called else stage
    return None


def _shown_as_they_are(final: ops.Relation, ready: Mapping[str, pa.Table]) -> pa.Table | None:
    """Return rows that are ready where a query does no more than name their columns, else None.

    The database would read each of them, and write it again.
    """
    import pyarrow as pa

    values = _only_named(final)
    rows = None if values is None else ready.get(final.parent.name)
    if (
        values is None
        or rows is None
        or not all(isinstance(value, ops.Field) for value in values.values())
    ):
        return None
    columns = [rows.column(value.name) for value in values.values()]
    wanted = [arrow_type(kind) for kind in final.schema.types]
    if [column.type for column in columns] != wanted:
        return None
    return pa.Table.from_arrays(columns, list(values))


def _only_named(query: ops.Relation) -> Mapping[str, ops.Value] | None:
    """Return the values of a query of one table that neither filters, orders nor joins its rows."""
    if not isinstance(getattr(query, "parent", None), ops.DatabaseTable):
        return None
    if isinstance(query, ops.Project):
        return query.values
    from ibis.backends.sql.rewrites import Select

    if not isinstance(query, Select) or query.distinct:
        return None
    changed = query.predicates or query.qualified or query.sort_keys
    return None if changed else query.selections


def _vector(made: pa.Table) -> Any:
    """Return the vector that a stage gives; None where it gives none."""
    cell = made.column(0)
    return None if cell.null_count else as_matrix(cell)[0]


def _read_ahead(source: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Read each batch before the one before it is worked on.

    So a stream that has ended lets go of the database, which other processes may wait for.
    """
    stream = iter(source)
    batch = next(stream, None)
    while batch is not None:
        following = next(stream, None)
        yield batch
        batch = following


def _filled(stage: CallStage, source: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
    """Cut rows so that functions which take several at a time get as many as they take."""
    sizes = {lookup(call.function, call.version).batch_size for call in stage.calls} - {1}
    if not sizes:
        return source
    size = math.lcm(*sizes)
    size = size if size <= _BATCH_ROWS else max(sizes)
    return Slices(source).pieces(size * max(1, _BATCH_ROWS // size))


def _below(stage: CallStage) -> str:
    """Return the name of the stage that another one reads, and nothing else."""
    (leaf,) = stage.source.find(ops.PhysicalTable)
    return str(leaf.name)


class _Origins:
    """For which cells the calls of a plan are made, found out where one is made."""

    def __init__(self, plan: Plan, purpose: Purpose | None) -> None:
        self._plan = plan
        self._purpose = purpose

    def column(self, stage: CallStage, call: Call) -> str | None:
        """Name the column of a table for which a call is made, if it is for one."""
        if self._purpose is None or not self._purpose.columns:
            return None
        return self._purpose.columns.get(self._plan.columns.get((stage.name, call.output), ""))

    def asker(self, stage: CallStage, call: Call, batch: pa.RecordBatch) -> Asker:
        self._purpose = self._purpose or Purpose.of_query(self._plan)
        return self._purpose.asker(self._plan.columns.get((stage.name, call.output)), batch)


def _constants(source: ops.Relation) -> list[pa.RecordBatch] | None:
    """Make the row of a constant text or vector, for which no database has to be asked."""
    import pyarrow as pa

    if not isinstance(source, ops.DummyTable):
        return None
    columns: dict[str, pa.Array] = {}
    for name, value in source.values.items():
        if isinstance(value, VectorLiteral):
            flat = pa.array(value.numbers())
            columns[name] = pa.FixedSizeListArray.from_arrays(flat, value.length)
        elif isinstance(value, ops.Literal) and isinstance(value.value, str):
            columns[name] = pa.array([value.value], pa.string())
        else:
            return None
    return [pa.record_batch(columns)]


def _reasons(failed: list[Failure | None]) -> pa.Array:
    """Make the column that tells why cells are empty."""
    import pyarrow as pa

    kind = arrow_type(CELL_ERROR_TYPE)
    if not any(failed):
        return pa.nulls(len(failed), kind)
    cells = [each and {"type": each.type, "message": each.message} for each in failed]
    return pa.array(cells, kind)


@contextlib.contextmanager
def _ended(source: Iterable[pa.RecordBatch]) -> Iterator[None]:
    """End a stream of rows, also where an error left it, which may keep it for long.

    Until then it holds the database.
    """
    try:
        yield
    finally:
        if callable(close := getattr(source, "close", None)):
            close()
