"""The plan of an operation: frozen stages and a final query, printable as a tree.

Owns the stage records. A stage reads plain relations and earlier stages by name, and leaves an
Arrow table under its own name; the final relation is plain Ibis that any backend compiles.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from barbule.planner.plan_text import call_text, tree, value_text
from barbule.planner.provenance import columns_of
from barbule.suggestions import Answer

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
    "Enough",
    "Forecast",
    "KeywordStage",
    "NearestStage",
    "Plan",
    "Searched",
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
        Different questions, and those of them that the call ledger answers.
    calls
        Calls that are left.
    exact
        Whether these are the numbers, or the most that there can be: which rows an earlier call
        keeps is not known.
    tokens_in, tokens_out
        Tokens of all questions; of all answers the fewest, the expected and the most.
    usd
        What that costs; None where it is no model's, or its price is not known.
    counted
        Whether the tokens of each question were counted, or of some of them.
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
            return f"at most {_number(self.calls, 'call')}, as answers decide"
        parts = [_number(self.rows, "row"), f"{self.distinct:,} distinct"]
        parts += [f"{self.hits:,} in the ledger"] if self.hits else []
        lines = [f"{_number(self.calls, 'call')}: {', '.join(parts)}"]
        if self.tokens_in is not None and self.tokens_out is not None:
            low, expected, high = self.tokens_out
            about = "" if self.counted else "about "
            tokens = f"{about}{self.tokens_in:,} tokens in"
            lines.append(tokens + (f", {expected:,} out ({low:,} to {high:,})" if high else ""))
            lines.append(_cost(self.usd))
        return "; ".join(lines)


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _cost(usd: tuple[float, float, float] | None) -> str:
    if usd is None:
        return "price not known"
    low, expected, high = (f"${each:.4g}" for each in usd)
    return expected if low == high else f"{expected} ({low} to {high})"


@dataclass(frozen=True)
class Enough:
    """When a stage has been computed for enough rows.

    Attributes
    ----------
    kept
        Plain Ibis over the stage: the rows of it that are wanted.
    count
        How many of them.
    """

    kept: ops.Relation
    count: int


@dataclass(frozen=True)
class Searched:
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
        Plain Ibis: what is kept for later, and the arguments of the calls.
    keep
        The columns of the source that later stages read.
    schema
        The columns of the result: what is kept and the outputs of the calls, with the types
        that they have for users.
    logical
        The source before it was lowered, by the names that users know; for printing.
    forecasts
        What each of the calls is going to take, where that was counted.
    enough
        When no further row is needed; None where all are.
    searched
        The indexes whose vectors are compared with the one value that the stage gives.
    """

    name: str
    source: ops.Relation
    keep: tuple[str, ...]
    calls: tuple[Call, ...]
    schema: sch.Schema
    logical: ops.Relation | None = None
    forecasts: tuple[Forecast, ...] = ()
    enough: Enough | None = None
    searched: tuple[Searched, ...] = ()

    def __str__(self) -> str:
        source: Any = self.source if self.logical is None else self.logical
        calls = ", ".join(self._shown(call, source.values) for call in self.calls)
        below = getattr(source, "parent", None)
        lines = [f"{_title(self.name)}: {calls or value_text(source.values[self.keep[0]])}"]
        lines += [f"  {each}" for each in self.forecasts]
        lines += [f"  until {_number(self.enough.count, 'row')} qualify"] if self.enough else []
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
    lasting
        Whether nothing but a commit changes which rows qualify.
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
    lasting: bool = False
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
    count, rows, logical, lasting
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
    lasting: bool = False
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
class Plan(Answer):
    """What to run, in order, and the query that gives the result.

    Attributes
    ----------
    logical
        The final query before it was lowered; for printing.
    notes
        What else a reader wants to know, a line each.
    """

    stages: tuple[Stage, ...]
    final: ops.Relation
    schema: sch.Schema
    logical: ops.Relation | None = None
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [str(stage) for stage in self.stages]
        lines += [self._total()] if len(self.forecasts) > 1 else []
        lines += self.notes
        query = self.final if self.logical is None else self.logical
        return "\n".join([*lines, "Query:", *_indented(query)])

    @functools.cached_property
    def columns(self) -> Mapping[tuple[str, str], str]:
        """The column of the result that each call is made for; see `columns_of`."""
        calls = (stage for stage in self.stages if isinstance(stage, CallStage))
        return columns_of(self.logical, calls)

    @property
    def forecasts(self) -> tuple[Forecast, ...]:
        """What the calls are going to take, where that was counted."""
        stages = (stage for stage in self.stages if isinstance(stage, CallStage))
        return tuple(each for stage in stages for each in stage.forecasts)

    @property
    def calls(self) -> int:
        """How many calls there are going to be; the most, where it depends on answers."""
        return sum(each.calls for each in self.forecasts)

    @property
    def usd(self) -> tuple[float, float, float]:
        """The lowest, the expected and the highest cost, as far as prices are known."""
        known = [each.usd for each in self.forecasts if each.usd is not None]
        low, expected, high = (sum(column) for column in zip(*known, (0.0,) * 3, strict=True))
        return low, expected, high

    def _total(self) -> str:
        most = "" if all(each.exact for each in self.forecasts) else "at most "
        cost = f"; {_cost(self.usd)}" if any(each.usd for each in self.forecasts) else ""
        return f"In all: {most}{_number(self.calls, 'call')}{cost}"


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
