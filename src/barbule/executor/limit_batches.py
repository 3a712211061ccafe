"""Stages that end when enough rows qualify, computed in growing batches.

Owns the number of rows of the next batch, and which stages are run together, batch by batch.
`plan_runner` runs a stage.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import ibis.expr.operations as ops

from barbule.planner.stages import CallStage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pyarrow as pa

    from barbule.planner.plan import Plan
    from barbule.planner.stages import Stage

__all__ = ["Slices", "next_batch_size", "stage_chain"]

_MAX_BATCH_ROWS = 16384
_ROW_WISE = (ops.Filter, ops.Project, ops.DropColumns, ops.PhysicalTable)


def next_batch_size(read: int, qualified: int, requested: int) -> int:
    """Return how many rows to compute next.

    First the number of requested rows; then as many as should contain the missing ones, by the
    fraction of rows that have qualified so far.

    Examples
    --------
    >>> next_batch_size(0, 0, 5), next_batch_size(5, 3, 5), next_batch_size(5, 0, 5)
    (5, 4, 35)
    """
    missing = requested - qualified
    share = (qualified + 1) / (read + 2) if read else 1.0
    return min(_MAX_BATCH_ROWS, max(missing, math.ceil(missing / share)))


class Slices:
    """Rows of a stream of batches, in pieces of any size.

    Examples
    --------
    >>> import pyarrow as pa
    >>> numbers = pa.table({"n": list(range(5))})
    >>> slices = Slices(numbers.to_batches(2))
    >>> [[piece.num_rows for piece in slices.take(size)] for size in (3, 9)]
    [[2, 1], [1, 1]]
    """

    def __init__(self, batches: Iterable[pa.RecordBatch]) -> None:
        self._batches = iter(batches)
        self._remaining: pa.RecordBatch | None = None

    def take(self, count: int) -> Iterator[pa.RecordBatch]:
        """Yield the next rows, fewer where there are no more."""
        while count > 0:
            if self._remaining is None or not self._remaining.num_rows:
                self._remaining = next(self._batches, None)
                if self._remaining is None:
                    return
            piece = self._remaining.slice(0, count)
            self._remaining = self._remaining.slice(piece.num_rows)
            count -= piece.num_rows
            yield piece

    def pieces(self, count: int) -> Iterator[pa.RecordBatch]:
        """Yield all rows in batches of this size, regardless of the batches of the stream."""
        import pyarrow as pa

        while parts := list(self.take(count)):
            if len(parts) == 1:
                yield parts[0]
            else:
                yield from pa.Table.from_batches(parts).combine_chunks().to_batches()

    def close(self) -> None:
        """Close the stream; its remaining rows are not read."""
        close = getattr(self._batches, "close", None)
        if close is not None:
            close()


def stage_chain(plan: Plan, last: CallStage) -> list[CallStage]:
    """List the stages that can be computed row by row up to the last one, inclusive."""
    chain = [last]
    while True:
        source = chain[0].source
        leaves = source.find(ops.PhysicalTable)
        inputs = [stage for stage in plan.stages if _reads(leaves, stage.name)]
        if len(leaves) != 1 or len(inputs) != 1 or not isinstance(inputs[0], CallStage):
            return chain
        if not all(isinstance(node, _ROW_WISE) for node in source.find(ops.Relation)):
            return chain
        if source.find((ops.WindowFunction, ops.Reduction, ops.Unnest)) or not inputs[0].calls:
            return chain
        if len(_readers(plan, inputs[0].name)) > 1:
            return chain
        chain.insert(0, inputs[0])


def _reads(leaves: Iterable[ops.PhysicalTable], name: str) -> bool:
    return any(getattr(leaf, "name", None) == name for leaf in leaves)


def _readers(plan: Plan, name: str) -> list[ops.Relation | Stage]:
    """List the readers of a stage: relations of other stages, the final query, and searches."""
    relations = [plan.final, *(getattr(stage, "source", None) for stage in plan.stages)]
    relations += [getattr(stage, "rows", None) for stage in plan.stages]
    readers: list[ops.Relation | Stage] = [
        relation
        for relation in relations
        if relation is not None and _reads(relation.find(ops.PhysicalTable), name)
    ]
    readers += [
        stage
        for stage in plan.stages
        if name in {getattr(stage, "vector", None), getattr(stage, "queries", None)}
    ]
    return readers
