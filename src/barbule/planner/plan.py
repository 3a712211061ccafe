"""The plan of an operation: frozen stages and a final query, printable as a tree.

Owns the stage records. A stage reads plain relations and earlier stages by name, and leaves an
Arrow table under its own name; the final relation is plain Ibis that any backend compiles.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import ibis.expr.operations as ops
import ibis.expr.schema as sch

if TYPE_CHECKING:
    import ibis.expr.datatypes as dt

__all__ = ["Call", "CallStage", "CandidateStage", "Plan", "Stage"]


@dataclass(frozen=True)
class Call:
    """One function call of a stage.

    Attributes
    ----------
    output
        The column of the stage that holds the results.
    arguments
        The columns of the source that hold the values for the template.
    kinds
        The data types of those values.
    """

    output: str
    function: str
    template: str
    arguments: tuple[str, ...]
    kinds: tuple[dt.DataType, ...]
    dtype: dt.DataType
    version: str
    cached: bool


@dataclass(frozen=True)
class CallStage:
    """Calls functions for each row of a source.

    Attributes
    ----------
    source
        Plain Ibis: what is kept for later, and the arguments of the calls.
    keep
        The columns of the source that later stages read.
    schema
        The columns of the result: what is kept and the outputs of the calls, with the types
        that they have for users.
    """

    name: str
    source: ops.Relation
    keep: tuple[str, ...]
    calls: tuple[Call, ...]
    schema: sch.Schema

    def __str__(self) -> str:
        calls = ", ".join(f"{call.output} = {call.function}" for call in self.calls)
        return f"Call {self.name}: {calls}"


@dataclass(frozen=True)
class CandidateStage:
    """Asks a vector index for the rows that may be among the nearest.

    Attributes
    ----------
    vector
        The name of the earlier stage that holds the query vector, in its only column.
    count
        How many candidates to ask for.
    """

    name: str
    table_id: int
    index: str
    vector: str
    count: int

    def __str__(self) -> str:
        return f"Candidates {self.name}: {self.count} nearest of index {self.index!r}"


Stage = CallStage | CandidateStage


@dataclass(frozen=True)
class Plan:
    """What to run, in order, and the query that gives the result."""

    stages: tuple[Stage, ...]
    final: ops.Relation
    schema: sch.Schema

    def __str__(self) -> str:
        from ibis.expr.format import pretty

        lines = [str(stage) for stage in self.stages]
        query = "\n".join(f"  {line}" for line in pretty(self.final).splitlines())
        return "\n".join([*lines, "Query:", query])
