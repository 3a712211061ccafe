"""The plan of an operation: frozen stages and a final query, printable as a tree.

Owns the stage records. A stage reads plain relations and earlier stages by name, and leaves an
Arrow table under its own name; the final relation is plain Ibis that any backend compiles.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from barbule.planner.show import call_text, tree, value_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    import ibis.expr.datatypes as dt
    import ibis.expr.operations as ops
    import ibis.expr.schema as sch

__all__ = [
    "HIT",
    "PLACE",
    "SCORE",
    "Call",
    "CallStage",
    "CandidateStage",
    "KeywordStage",
    "NearestStage",
    "Plan",
    "Stage",
]

# The columns of a stage of keyword scores: the identity of a row, and its score.
HIT = "bb_hit"
SCORE = "bb_score"
# The place of a row among those that each search for others.
PLACE = "bb_place"


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
    errors
        The column of the stage that tells why results are missing, where something reads it.
    """

    output: str
    function: str
    template: str
    arguments: tuple[str, ...]
    kinds: tuple[dt.DataType, ...]
    dtype: dt.DataType
    version: str
    cached: bool
    errors: str | None = None


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
    logical
        The source before it was lowered, by the names that users know; for printing.
    """

    name: str
    source: ops.Relation
    keep: tuple[str, ...]
    calls: tuple[Call, ...]
    schema: sch.Schema
    logical: ops.Relation | None = None

    def __str__(self) -> str:
        source: Any = self.source if self.logical is None else self.logical
        calls = ", ".join(self._shown(call, source.values) for call in self.calls)
        below = getattr(source, "parent", None)
        lines = [f"{_title(self.name)}: {calls or value_text(source.values[self.keep[0]])}"]
        if below is not None:
            lines += ([f"  keep {', '.join(self.keep)}"] if self.keep else []) + _indented(below)
        return "\n".join(lines)

    @staticmethod
    def _shown(call: Call, columns: Mapping[str, ops.Value]) -> str:
        values = [value_text(columns[name]) for name in call.arguments]
        remembered = " (ledger)" if call.cached else ""
        return f"{call.output} = {call_text(call.function, call.template, values)}{remembered}"


@dataclass(frozen=True)
class CandidateStage:
    """Finds the rows that may be among the nearest, by a vector index or in memory.

    Attributes
    ----------
    vector
        The name of the earlier stage that holds the query vector, in its only column.
    count
        How many of the nearest are wanted.
    rows
        Plain Ibis: the identities of the rows that qualify; None for all live rows.
    logical
        The same before it was lowered; for printing.
    way
        How they are found and why, where it is known; for printing.
    """

    name: str
    table_id: int
    index: str
    vector: str
    count: int
    rows: ops.Relation | None = None
    logical: ops.Relation | None = None
    way: str = ""

    def __str__(self) -> str:
        what = f"the {self.count} nearest to {_title(self.vector).lower()}"
        return _found(self, what)


@dataclass(frozen=True)
class NearestStage:
    """Finds for each of many vectors the rows that may be among the nearest.

    Attributes
    ----------
    queries
        The name of the earlier stage that holds the vectors, in its column `vector`; where each
        stands is in the column `bb_place`.
    count, rows, logical
        As those of a `CandidateStage`.
    """

    name: str
    table_id: int
    index: str
    queries: str
    vector: str
    count: int
    rows: ops.Relation | None = None
    logical: ops.Relation | None = None
    way: str = ""

    def __str__(self) -> str:
        return _found(self, f"the {self.count} nearest to each of {_title(self.queries).lower()}")


@dataclass(frozen=True)
class KeywordStage:
    """Scores the texts of a column by the words of a query; rows without them are left out.

    Attributes
    ----------
    commit
        The commit at which the table is seen; None for the latest.
    """

    name: str
    table_id: int
    commit: int | None
    column: str
    query: str

    def __str__(self) -> str:
        return f"{_title(self.name)}: the rows whose {self.column!r} has words of {self.query!r}"


Stage = CallStage | CandidateStage | KeywordStage | NearestStage


@dataclass(frozen=True)
class Plan:
    """What to run, in order, and the query that gives the result.

    Attributes
    ----------
    logical
        The final query before it was lowered; for printing.
    """

    stages: tuple[Stage, ...]
    final: ops.Relation
    schema: sch.Schema
    logical: ops.Relation | None = None

    def __str__(self) -> str:
        lines = [str(stage) for stage in self.stages]
        query = self.final if self.logical is None else self.logical
        return "\n".join([*lines, "Query:", *_indented(query)])


def _title(name: str) -> str:
    """Write the name of a stage for people: "Stage 0"."""
    return name.removeprefix("bb_").replace("_", " ").capitalize()


def _found(stage: CandidateStage | NearestStage, what: str) -> str:
    lines = [f"{_title(stage.name)}: {what} by the index {stage.index!r}"]
    lines += [f"  {stage.way}"] if stage.way else []
    lines += _indented(stage.logical) if stage.logical is not None else []
    return "\n".join(lines)


def _indented(relation: ops.Relation) -> list[str]:
    return [f"  {line}" for line in tree(relation).splitlines()]
