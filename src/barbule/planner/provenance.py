"""The result column for which each call of a plan is made.

Owns the walk from the result back to the stages. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import ibis.expr.operations as ops

from barbule.planner.lineage import trace

if TYPE_CHECKING:
    from collections.abc import Iterable

    from barbule.planner.stages import CallStage

__all__ = ["columns_of"]


def columns_of(
    logical: ops.Relation | None, calls: Iterable[CallStage]
) -> dict[tuple[str, str], str]:
    """Return the result column for which each call of a plan is made.

    Parameters
    ----------
    logical
        The final query before it was lowered.

    Returns
    -------
    dict
        Names of columns by the names of a stage and of the call's output. A call that is in no
        column, for example in a filter, is left out; one that several columns need is assigned to
        the first.
    """
    if logical is None:
        return {}
    stages = {stage.name: stage for stage in calls}
    columns: dict[tuple[str, str], str] = {}
    for name in logical.schema.names:
        pending: list[ops.Value] = [ops.Field(logical, name)]
        while pending:
            for field in trace(pending.pop()).find(ops.Field, filter=ops.Value):
                source = trace(field)
                if not isinstance(source, ops.Field):
                    pending.append(source)
                    continue
                stage = stages.get(getattr(source.rel, "name", ""))
                if stage is not None and (stage.name, source.name) not in columns:
                    columns[stage.name, source.name] = name
                    pending += _input_values(stage, source.name)
    return columns


def _input_values(stage: CallStage, output: str) -> list[ops.Value]:
    """List the values that a column of a stage is computed from."""
    source = stage.source if stage.logical is None else stage.logical
    values = getattr(source, "values", {})
    call = next((call for call in stage.calls if output in (call.output, call.errors)), None)
    names = (output,) if call is None else call.arguments
    return [values[name] for name in names if name in values]
