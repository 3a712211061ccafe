"""Companion columns of a column: the errors of its cells, and the recorded content of its media.

Owns the rewrite of expressions that read them. A view has companions of its own columns; those of
columns from its base are read from the base.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import ibis.expr.operations as ops
import ibis.expr.types as ir

from barbule.backends.base import BASE, RID
from barbule.errors import UnsupportedError
from barbule.nodes import CellError, FunctionCall, ManagedTable, Recorded
from barbule.planner.hidden_columns import expose
from barbule.planner.lineage import (
    calls_in,
    each_relation,
    fresh_name,
    hide,
    origin,
    own_values,
    rebuild,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from barbule.planner.plan_builder import PlanBuilder

__all__ = ["COMPANION_VALUES", "join_companion_columns"]

COMPANION_VALUES = (CellError, Recorded)
_COMPANION = "bb_kept"
_Companion: TypeAlias = CellError | Recorded
_ColumnOrigin = tuple[ManagedTable, str]


def join_companion_columns(root: ops.Relation, builder: PlanBuilder) -> ops.Relation:
    """Rewrite reads of cell errors and recorded media content to companion columns."""

    def join(relation: ops.Relation) -> ops.Relation:
        companions = dict.fromkeys(
            companion
            for value in own_values(relation)
            for companion in calls_in(value, COMPANION_VALUES)
            if not isinstance(companion.arg, FunctionCall)
        )
        return _with_companions(relation, list(companions), builder) if companions else relation

    return each_relation(root, join)


def _with_companions(
    relation: ops.Relation, companions: list[_Companion], builder: PlanBuilder
) -> ops.Relation:
    parent: ops.Relation | None = getattr(relation, "parent", None)
    base_columns: dict[_Companion, dict[ops.Relation, str]] = {}
    if parent is not None:
        joined_views, base_columns = _join_bases(parent, companions, builder)
        parent = parent.replace(joined_views) if joined_views else parent
    replacements: dict[ops.Node, ops.Node] = {}
    names = {}
    for companion in companions:
        column_origin = origin(companion.arg)
        in_base = base_columns.get(companion)
        own_column = None
        if column_origin and not in_base:
            own_column = _companion_of(companion, builder)(*column_origin)
        if own_column is None and not in_base:
            replacements[companion] = ops.Literal(None, companion.dtype)  # the column has none
            continue
        exposed = None
        if parent is not None and column_origin:
            exposed = expose(parent, column_origin[0], str(own_column), companion.arg, in_base)
        if not exposed:
            raise UnsupportedError(
                "the companion columns of a column cannot be read inside "
                f"{type(relation).__name__}.",
                hint="Read them with mutate() or select() first.",
            )
        parent, names[companion] = exposed
    for companion, name in names.items():
        replacements[companion] = ops.Field(parent, name)
    rebuilt = rebuild(relation, parent, lambda value: value.replace(replacements, filter=ops.Value))
    return hide(rebuilt, relation.schema.names)


def _companion_of(
    companion: _Companion, builder: PlanBuilder
) -> Callable[[ManagedTable, str], str | None]:
    return builder.facts.errors_of if isinstance(companion, CellError) else builder.facts.content_of


def _join_bases(
    parent: ops.Relation, companions: Iterable[_Companion], builder: PlanBuilder
) -> tuple[dict[ops.Node, ops.Node], dict[_Companion, dict[ops.Relation, str]]]:
    """Join views with the companion columns of the columns that they take from their bases.

    Returns
    -------
    tuple
        The relations that stand for the views, and which of them holds a companion, under which
        name.
    """
    names: dict[_Companion, tuple[ManagedTable, str]] = {}
    joined_views: dict[ManagedTable, ops.Relation] = {}
    for companion in companions:
        column_origin = origin(companion.arg)
        base_column = column_origin and _base_column(column_origin, companion, builder)
        if not column_origin or not base_column:
            continue
        leaf = column_origin[0]
        if not parent.find(lambda node, leaf=leaf: node == leaf):
            continue
        view = joined_views.get(leaf, leaf.copy(hidden=True))
        joined_views[leaf] = _join_base(view, companion, base_column, builder)
        names[companion] = (leaf, joined_views[leaf].schema.names[-1])
    columns = {companion: {joined_views[leaf]: name} for companion, (leaf, name) in names.items()}
    return dict(joined_views), columns


def _base_column(
    column_origin: _ColumnOrigin, companion: _Companion, builder: PlanBuilder
) -> _ColumnOrigin | None:
    """Return the table and column that a view passes on, if that has a companion."""
    companion_of = _companion_of(companion, builder)
    if companion_of(*column_origin):
        return None
    base_column = deeper_column = builder.base_column(*column_origin)
    while deeper_column is not None and not companion_of(*deeper_column):
        deeper_column = builder.base_column(*deeper_column)
    return None if deeper_column is None else base_column


def _join_base(
    view: ops.Relation, companion: _Companion, base_column: _ColumnOrigin, builder: PlanBuilder
) -> ops.Relation:
    """Return the rows of a view with the companion of a column of its base as the last column."""
    leaf, column = base_column[0].copy(hidden=True), base_column[1]
    base_columns = {
        RID: ops.Field(leaf, RID),
        _COMPANION: type(companion)(ops.Field(leaf, column)),
    }
    base = join_companion_columns(ops.Project(leaf, base_columns), builder)
    left, right = ir.Table(view), ir.Table(base)
    rows = left.left_join(right, left[BASE] == right[RID])
    columns = {name: left[name] for name in view.schema.names}
    return rows.select(**columns, **{fresh_name(_COMPANION, view.schema): right[_COMPANION]}).op()
