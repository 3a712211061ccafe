"""Stages that are done once enough rows qualify: computed in growing batches.

Owns how many rows are taken next, and which stages are walked together, batch by batch. How a
batch is computed is `run`'s business.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import ibis.expr.operations as ops

from barbule.planner.stages import CallStage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pyarrow as pa

    from barbule.planner.plan import Plan
    from barbule.planner.stages import Stage

__all__ = ["Slices", "chain_of", "next_size"]

_MOST = 16384
_PLAIN = (ops.Filter, ops.Project, ops.DropColumns, ops.PhysicalTable)


def next_size(seen: int, kept: int, wanted: int) -> int:
    """Return how many rows to compute next.

    At first as many as are wanted; then as many as should hold what is missing, by the share of
    rows that have qualified so far.

    Examples
    --------
    >>> next_size(0, 0, 5), next_size(5, 3, 5), next_size(5, 0, 5)
    (5, 4, 35)
    """
    missing = wanted - kept
    share = (kept + 1) / (seen + 2) if seen else 1.0
    return min(_MOST, max(missing, math.ceil(missing / share)))


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
        self._rest: Any = None

    def take(self, count: int) -> Iterator[pa.RecordBatch]:
        """Yield the next rows, fewer where there are no more."""
        while count > 0:
            if self._rest is None or not self._rest.num_rows:
                self._rest = next(self._batches, None)
                if self._rest is None:
                    return
            piece = self._rest.slice(0, count)
            self._rest = self._rest.slice(piece.num_rows)
            count -= piece.num_rows
            yield piece

    def pieces(self, count: int) -> Iterator[pa.RecordBatch]:
        """Yield all rows, so many in a batch, whatever the sizes of those of the stream."""
        import pyarrow as pa

        while parts := list(self.take(count)):
            if len(parts) == 1:
                yield parts[0]
            else:
                yield from pa.Table.from_batches(parts).combine_chunks().to_batches()

    def close(self) -> None:
        """End the stream; the rest of it is not read."""
        close = getattr(self._batches, "close", None)
        if close is not None:
            close()


def chain_of(plan: Plan, last: CallStage) -> list[CallStage]:
    """List the stages that can be computed row by row up to the last one, itself among them."""
    chain = [last]
    while True:
        source = chain[0].source
        leaves = source.find(ops.PhysicalTable)
        below = [each for each in plan.stages if _is_leaf(each, leaves)]
        if len(leaves) != 1 or len(below) != 1 or not isinstance(below[0], CallStage):
            return chain
        if not all(isinstance(node, _PLAIN) for node in source.find(ops.Relation)):
            return chain
        if source.find((ops.WindowFunction, ops.Reduction, ops.Unnest)) or not below[0].calls:
            return chain
        if len(_readers(plan, below[0].name)) > 1:
            return chain
        chain.insert(0, below[0])


def _is_leaf(stage: Stage, leaves: list[Any]) -> bool:
    return any(getattr(leaf, "name", None) == stage.name for leaf in leaves)


def _readers(plan: Plan, name: str) -> list[Any]:
    """List what reads a stage: other stages, and the final query."""
    relations = [plan.final, *(getattr(each, "source", None) for each in plan.stages)]
    relations += [getattr(each, "rows", None) for each in plan.stages]
    found = [
        each
        for each in relations
        if each is not None
        and any(getattr(leaf, "name", None) == name for leaf in each.find(ops.PhysicalTable))
    ]
    named = [
        each
        for each in plan.stages
        if name in {getattr(each, "vector", None), getattr(each, "queries", None)}
    ]
    return [*found, *named]
