"""What is kept beside the cells of a column: why they are empty, what was recorded of media.

Owns the rewriting of expressions that ask for it. A view keeps it beside its own columns; of what
it shows of its base, it is read there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ibis.expr.operations as ops
import ibis.expr.types as ir

from barbule.backends.base import BASE, RID
from barbule.errors import UnsupportedError
from barbule.nodes import CellError, FunctionCall, ManagedTable, Recorded
from barbule.planner.lineage import (
    calls_in,
    each_relation,
    expose,
    fresh_name,
    hide,
    origin,
    own_values,
    rebuild,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from barbule.planner.rules.rewrites import Scope

__all__ = ["BESIDE", "errors_of_cells"]

BESIDE = (CellError, Recorded)
_KEPT = "bb_kept"
_Place = tuple[ManagedTable, str]
_Asked = CellError | Recorded


def errors_of_cells(root: ops.Relation, scope: Scope) -> ops.Relation:
    """Read why cells are empty, and what was recorded of media, from beside their values."""

    def change(node: ops.Relation) -> ops.Relation:
        found = [each for value in own_values(node) for each in calls_in(value, BESIDE)]
        asked = [each for each in dict.fromkeys(found) if not isinstance(each.arg, FunctionCall)]
        return _with_errors(node, asked, scope) if asked else node

    return each_relation(root, change)


def _with_errors(node: Any, found: list[_Asked], scope: Scope) -> ops.Relation:
    parent: Any = getattr(node, "parent", None)
    kept_at: dict[_Asked, dict[ops.Relation, str]] = {}
    if parent is not None:
        shown, kept_at = _of_bases(parent, found, scope)
        parent = parent.replace(shown) if shown else parent
    replaced: dict[ops.Node, ops.Node] = {}
    names = {}
    for error in found:
        place = origin(error.arg)
        known = kept_at.get(error)
        kept = _beside(error, scope)(*place) if place and not known else None
        if kept is None and not known:
            replaced[error] = ops.Literal(None, error.dtype)  # nothing is kept beside it
            continue
        above = parent and expose(parent, place[0], str(kept), error.arg, known) if place else None
        if not above:
            raise UnsupportedError(
                f"what is kept beside a column cannot be read inside {type(node).__name__}.",
                hint="Read them with mutate() or select() first.",
            )
        parent, names[error] = above
    for error, name in names.items():
        replaced[error] = ops.Field(parent, name)
    rebuilt = rebuild(node, parent, lambda value: value.replace(replaced, filter=ops.Value))
    return hide(rebuilt, node.schema.names)


def _beside(error: _Asked, scope: Scope) -> Callable[[ManagedTable, str], str | None]:
    return scope.errors_of if isinstance(error, CellError) else scope.content_of


def _of_bases(
    parent: ops.Relation, found: Iterable[_Asked], scope: Scope
) -> tuple[dict[ops.Node, ops.Node], dict[_Asked, dict[ops.Relation, str]]]:
    """Join views with what their bases keep beside the columns that they show of them.

    Returns
    -------
    tuple
        The relations that stand for the views, and where each of `found` is shown in one.
    """
    names: dict[_Asked, tuple[ManagedTable, str]] = {}
    joined: dict[ManagedTable, ops.Relation] = {}
    for error in found:
        place = origin(error.arg)
        base = place and _keeping(place, error, scope)
        if not place or not base or not parent.find(lambda node, leaf=place[0]: node == leaf):
            continue
        leaf = place[0]
        view = joined.get(leaf, leaf.copy(hidden=True))
        joined[leaf] = _joined(view, error, base, scope)
        names[error] = (leaf, joined[leaf].schema.names[-1])
    known = {error: {joined[leaf]: name} for error, (leaf, name) in names.items()}
    return dict(joined), known


def _keeping(place: _Place, error: _Asked, scope: Scope) -> _Place | None:
    """Return which column of which table a view shows, where something is kept beside it."""
    beside = _beside(error, scope)
    if beside(*place):
        return None
    shown = below = scope.shown_of(*place)
    while below is not None and not beside(*below):
        below = scope.shown_of(*below)
    return None if below is None else shown


def _joined(view: ops.Relation, error: _Asked, base: _Place, scope: Scope) -> ops.Relation:
    """Show the rows of a view with what is kept beside a column of its base, as the last one."""
    leaf, column = base[0].copy(hidden=True), base[1]
    asked = {RID: ops.Field(leaf, RID), _KEPT: type(error)(ops.Field(leaf, column))}
    left, right = ir.Table(view), ir.Table(errors_of_cells(ops.Project(leaf, asked), scope))
    rows = left.left_join(right, left[BASE] == right[RID])
    columns = {name: left[name] for name in view.schema.names}
    return rows.select(**columns, **{fresh_name(_KEPT, view.schema): right[_KEPT]}).op()
