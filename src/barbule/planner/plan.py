"""The plan of an operation: its stages and a final query, printable as a tree.

The final relation is plain Ibis, which any backend compiles.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from barbule.planner.plan_text import cost_text, count_text, tree_lines
from barbule.planner.provenance import columns_of
from barbule.planner.stages import CallStage, Forecast, Stage
from barbule.suggestions import VerbResult

if TYPE_CHECKING:
    from collections.abc import Mapping

    import ibis.expr.operations as ops
    import ibis.expr.schema as sch

__all__ = ["Plan"]


@dataclass(frozen=True)
class Plan(VerbResult):
    """The stages to run, in order, and the query that returns the result.

    Attributes
    ----------
    logical
        The final query before it was lowered; for printing.
    notes
        Additional notes for the reader, one line each.
    rows_read
        The tables whose live rows it depends on.
    unclosed
        The tables of which no row may have been closed, as it does not look at their lives.
    reads_calls
        Whether it reads the call ledger, whose latest answers are then written first.
    """

    stages: tuple[Stage, ...]
    final: ops.Relation
    schema: sch.Schema
    logical: ops.Relation | None = None
    notes: tuple[str, ...] = ()
    rows_read: frozenset[int] = field(default=frozenset(), repr=False)
    unclosed: frozenset[int] = field(default=frozenset(), repr=False)
    reads_calls: bool = False

    def __str__(self) -> str:
        lines = [str(stage) for stage in self.stages]
        lines += [self._total()] if len(self.forecasts) > 1 else []
        lines += self.notes
        query = self.final if self.logical is None else self.logical
        return "\n".join([*lines, "Query:", *tree_lines(query)])

    @functools.cached_property
    def columns(self) -> Mapping[tuple[str, str], str]:
        """The column of the result that each call is made for; see `columns_of`."""
        calls = (stage for stage in self.stages if isinstance(stage, CallStage))
        return columns_of(self.logical, calls)

    @property
    def forecasts(self) -> tuple[Forecast, ...]:
        """The forecast of the calls, if it was counted."""
        stages = (stage for stage in self.stages if isinstance(stage, CallStage))
        return tuple(forecast for stage in stages for forecast in stage.forecasts)

    @property
    def calls(self) -> int:
        """The number of calls to be made; the maximum, if it depends on answers."""
        return sum(forecast.calls for forecast in self.forecasts)

    @property
    def usd(self) -> tuple[float, float, float]:
        """The lowest, the expected and the highest cost, as far as prices are known."""
        costs = [forecast.usd for forecast in self.forecasts if forecast.usd is not None]
        low, expected, high = (sum(column) for column in zip(*costs, (0.0,) * 3, strict=True))
        return low, expected, high

    def _total(self) -> str:
        at_most = "" if all(forecast.exact for forecast in self.forecasts) else "at most "
        cost = f"; {cost_text(self.usd)}" if any(f.usd for f in self.forecasts) else ""
        return f"In all: {at_most}{count_text(self.calls, 'call')}{cost}"
