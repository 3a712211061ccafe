"""The stages of a plan: frozen records, printable.

A stage reads plain relations and earlier stages by name, and stores an Arrow table under its own
name. Owns the parts of each type of stage; the executor runs them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from barbule.planner.plan_text import (
    call_text,
    cost_text,
    count_text,
    stage_title,
    tree_lines,
    value_text,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    import ibis.expr.datatypes as dt
    import ibis.expr.operations as ops
    import ibis.expr.schema as sch

__all__ = [
    "HIT",
    "QUERY_ROW",
    "SCORE",
    "Call",
    "CallStage",
    "CandidateStage",
    "EarlyStop",
    "Forecast",
    "KeywordStage",
    "NearestStage",
    "SearchedIndex",
    "Stage",
]

# The columns of a stage of scores: the row id, and the score.
HIT = "bb_hit"
SCORE = "bb_score"
# The number of a query row in a search for many rows.
QUERY_ROW = "bb_place"


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
        The column of the stage that holds cell errors, if something reads it.
    on_error
        The error policy for a row for which it fails; None uses the function's own.
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
    on_error: str | None = None


@dataclass(frozen=True)
class Forecast:
    """The forecast of one call of a stage, counted before anything is called.

    Attributes
    ----------
    rows
        Rows that need an answer.
    distinct, hits
        Distinct call keys, and those of them that are in the call ledger.
    calls
        Calls that remain.
    exact
        Whether these numbers are exact or the maximum: which rows pass an earlier call is unknown.
    tokens_in, tokens_out
        Tokens of all requests; for all answers the minimum, the expected number and the maximum.
    usd
        The cost; None if it is not a model call, or its price is unknown.
    counted
        Whether the tokens of each request were counted, or only of a sample.
    """

    rows: int
    distinct: int
    hits: int
    calls: int
    exact: bool = True
    tokens_in: int | None = None
    tokens_out: tuple[int, int, int] | None = None
    usd: tuple[float, float, float] | None = None
    counted: bool = True

    def __str__(self) -> str:
        if not self.exact:
            return f"at most {count_text(self.calls, 'call')}, depending on answers"
        parts = [count_text(self.rows, "row"), f"{self.distinct:,} distinct"]
        parts += [f"{self.hits:,} in the ledger"] if self.hits else []
        lines = [f"{count_text(self.calls, 'call')}: {', '.join(parts)}"]
        if self.tokens_in is not None and self.tokens_out is not None:
            low, expected, high = self.tokens_out
            about = "" if self.counted else "about "
            tokens = f"{about}{self.tokens_in:,} tokens in"
            lines.append(tokens + (f", {expected:,} out ({low:,} to {high:,})" if high else ""))
            lines.append(cost_text(self.usd))
        return "; ".join(lines)


@dataclass(frozen=True)
class EarlyStop:
    """The condition for a stage to stop early.

    Attributes
    ----------
    qualifying
        Plain Ibis over the stage: its rows that qualify.
    count
        The number of rows that are needed.
    """

    qualifying: ops.Relation
    count: int


@dataclass(frozen=True)
class SearchedIndex:
    """The index whose vectors are compared with a constant."""

    table: str
    index: str
    metric: str


@dataclass(frozen=True)
class CallStage:
    """Calls functions for each row of a source.

    Attributes
    ----------
    source
        Plain Ibis: the columns that are passed through, and the arguments of the calls.
    passthrough
        The columns of the source that later stages read.
    schema
        The columns of the result: those passed through and the outputs of the calls, with their
        user-visible types.
    logical
        The source before it was lowered, with user-visible names; for printing.
    forecasts
        The forecast of each call, if it was counted.
    early_stop
        When no further row is needed; None if all rows are needed.
    searched_indexes
        The indexes whose vectors are compared with the single value of the stage.
    """

    name: str
    source: ops.Relation
    passthrough: tuple[str, ...]
    calls: tuple[Call, ...]
    schema: sch.Schema
    logical: ops.Relation | None = None
    forecasts: tuple[Forecast, ...] = ()
    early_stop: EarlyStop | None = None
    searched_indexes: tuple[SearchedIndex, ...] = ()

    def __str__(self) -> str:
        source = self.source if self.logical is None else self.logical
        calls = ", ".join(self._call_text(call, source.values) for call in self.calls)
        outputs = calls or value_text(source.values[self.passthrough[0]])
        parent = getattr(source, "parent", None)
        lines = [f"{stage_title(self.name)}: {outputs}"]
        lines += [f"  {forecast}" for forecast in self.forecasts]
        if self.early_stop:
            lines.append(f"  until {count_text(self.early_stop.count, 'row')} qualify")
        if parent is not None:
            lines += [f"  keep {', '.join(self.passthrough)}"] if self.passthrough else []
            lines += tree_lines(parent)
        return "\n".join(lines)

    @staticmethod
    def _call_text(call: Call, columns: Mapping[str, ops.Value]) -> str:
        values = [value_text(columns[name]) for name in call.arguments]
        suffix = " (ledger)" if call.cached else ""
        return f"{call.output} = {call_text(call.function, call.template, values)}{suffix}"


@dataclass(frozen=True)
class CandidateStage:
    """Finds the rows that may be among the nearest, by a vector index or in memory.

    Attributes
    ----------
    vector
        The name of the earlier stage that holds the query vector, in its only column.
    count
        The number of nearest rows that are needed.
    rows
        Plain Ibis: the row ids of the qualifying rows; None for all live rows.
    logical
        The same before it was lowered; for printing.
    stable
        Whether only a commit can change the qualifying rows.
    strategy
        The access path and its reason, if known; for printing.
    """

    name: str
    table_id: int
    index: str
    vector: str
    count: int
    rows: ops.Relation | None = None
    logical: ops.Relation | None = None
    stable: bool = False
    strategy: str = ""

    def __str__(self) -> str:
        return _search_text(self, f"the {self.count} nearest to {stage_title(self.vector).lower()}")


@dataclass(frozen=True)
class NearestStage:
    """Finds the rows that may be among the nearest for each of many vectors.

    Attributes
    ----------
    queries
        The name of the earlier stage that holds the vectors, in its column `vector`; the number
        of each is in the column `bb_place`.
    count, rows, logical, stable, strategy
        As for a `CandidateStage`.
    """

    name: str
    table_id: int
    index: str
    queries: str
    vector: str
    count: int
    rows: ops.Relation | None = None
    logical: ops.Relation | None = None
    stable: bool = False
    strategy: str = ""

    def __str__(self) -> str:
        queries = stage_title(self.queries).lower()
        return _search_text(self, f"the {self.count} nearest to each of {queries}")


@dataclass(frozen=True)
class KeywordStage:
    """Scores the texts of a column by the words of a query; rows without them are left out.

    Attributes
    ----------
    commit
        The commit at which the table is read; None for the latest.
    """

    name: str
    table_id: int
    commit: int | None
    column: str
    query: str

    def __str__(self) -> str:
        title = stage_title(self.name)
        return f"{title}: rows whose {self.column!r} contains words of {self.query!r}"


Stage: TypeAlias = CallStage | CandidateStage | KeywordStage | NearestStage


def _search_text(stage: CandidateStage | NearestStage, rows: str) -> str:
    lines = [f"{stage_title(stage.name)}: {rows} by the index {stage.index!r}"]
    lines += [f"  {stage.strategy}"] if stage.strategy else []
    lines += tree_lines(stage.logical) if stage.logical is not None else []
    return "\n".join(lines)
