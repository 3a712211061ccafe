"""The stages of a plan: frozen records, printable.

A stage reads plain relations and earlier stages by name, and leaves an Arrow table under its own
name. Owns what each kind of stage consists of; the executor runs them.
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

# The columns of a stage of scores: the identity of a row, and its score.
HIT = "bb_hit"
SCORE = "bb_score"
# The number of a row among those that each search for others.
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
        The column of the stage that tells why results are missing, where something reads it.
    on_error
        What becomes of a row for which it fails; None leaves it to the function.
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
    """What one call of a stage is going to take, counted before anything is called.

    Attributes
    ----------
    rows
        Rows that need an answer.
    distinct, hits
        Distinct call keys, and those of them that the call ledger answers.
    calls
        Calls that remain.
    exact
        Whether these are the numbers, or the most that there can be: which rows an earlier call
        lets pass is not known.
    tokens_in, tokens_out
        Tokens of all requests; of all answers the fewest, the expected and the most.
    usd
        What that costs; None where it is no model's, or its price is not known.
    counted
        Whether the tokens of each request were counted, or of some of them.
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
    """When a stage has been computed for enough rows.

    Attributes
    ----------
    qualifying
        Plain Ibis over the stage: the rows of it that qualify.
    count
        How many of them are needed.
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
        The columns of the result: those passed through and the outputs of the calls, with the
        types that they have for users.
    logical
        The source before it was lowered, by the names that users know; for printing.
    forecasts
        What each of the calls is going to take, where that was counted.
    early_stop
        When no further row is needed; None where all are.
    searched_indexes
        The indexes whose vectors are compared with the one value that the stage gives.
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
        How many of the nearest are needed.
    rows
        Plain Ibis: the identities of the rows that qualify; None for all live rows.
    logical
        The same before it was lowered; for printing.
    stable
        Whether nothing but a commit changes which rows qualify.
    strategy
        How they are found and why, where it is known; for printing.
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
    """Finds for each of many vectors the rows that may be among the nearest.

    Attributes
    ----------
    queries
        The name of the earlier stage that holds the vectors, in its column `vector`; the number
        of each is in the column `bb_place`.
    count, rows, logical, stable, strategy
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
        The commit at which the table is seen; None for the latest.
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
