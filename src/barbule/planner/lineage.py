"""Where a column comes from, and which columns of a relation are needed.

Owns the walks over relations that the rules and the lowering share. All are pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import ibis.expr.operations as ops

from barbule.backends.base import RID
from barbule.nodes import FunctionCall, ManagedTable
from barbule.relations.value_origins import PASSING, origin, trace

__all__ = [
    "LOOKS_AROUND",
    "PASSING",
    "calls_in",
    "changes_row_count",
    "each_relation",
    "expose",
    "hide",
    "is_unsteady",
    "needed_columns",
    "origin",
    "own_values",
    "prune",
    "repoint",
    "trace",
    "with_rid",
    "without_filters",
]

# Values that depend on other rows than their own.
LOOKS_AROUND = (ops.Reduction, ops.Analytic, ops.WindowFunction, ops.Subquery)


def each_relation(root: ops.Relation, change: Callable[[ops.Relation], ops.Relation]) -> Any:
    """Rebuild a tree bottom-up, changing each relation once its parents are done."""

    def replace(node: ops.Node, kwargs: dict[str, Any] | None) -> ops.Node:
        rebuilt = node.__recreate__(kwargs) if kwargs else node
        return change(rebuilt) if isinstance(rebuilt, ops.Relation) else rebuilt

    return root.replace(replace)


def calls_in(
    value: ops.Node, kind: type[ops.Value] | tuple[type[ops.Value], ...] = FunctionCall
) -> list[Any]:
    """Find the calls in a value, those in subqueries left aside."""
    return value.find(kind, filter=ops.Value)


def changes_row_count(value: ops.Node) -> bool:
    """Whether a relation has more or fewer rows for holding a value among its columns."""
    return not isinstance(value, ops.Field) and bool(value.find(ops.Unnest, filter=ops.Value))


def is_unsteady(node: ops.Node) -> bool:
    """Whether a value, or what a relation shows, may be another each time that it is read."""
    within = ops.Value if isinstance(node, ops.Value) else None
    return bool(node.find((ops.Impure, ops.Sample), filter=within))


def own_values(relation: ops.Relation) -> list[ops.Value]:
    """List the values that a relation itself holds: its predicates, keys, columns."""
    values: list[ops.Value] = []
    for argument in relation.args:
        if isinstance(argument, ops.Node):
            items: Any = (argument,)
        else:
            items = argument.values() if isinstance(argument, Mapping) else argument
        if isinstance(items, Iterable) and not isinstance(items, str | bytes):
            values += [item for item in items if isinstance(item, ops.Value)]
    return values


def repoint(value: Any, old: ops.Relation, new: ops.Relation) -> Any:
    """Make a value that reads `old` read the columns of the same names of `new`."""

    def replace(node: ops.Node, kwargs: dict[str, Any] | None) -> ops.Node:
        if isinstance(node, ops.Field) and node.rel == old:
            return ops.Field(new, node.name)
        if old in node.args:  # CountStar and the like hold the relation itself
            arguments = dict(zip(node.argnames, node.args, strict=True)) | (kwargs or {})
            return node.__recreate__({k: new if v == old else v for k, v in arguments.items()})
        return node.__recreate__(kwargs) if kwargs else node

    return value.replace(replace, filter=ops.Value)


def rebuild(
    node: ops.Relation, parent: ops.Relation, change: Callable[[Any], Any] | None = None
) -> ops.Relation:
    """Put a relation that has one parent onto another; `change` rewrites its values first."""
    alter = change or (lambda value: value)
    old = node.parent

    def move(value: Any) -> Any:
        if isinstance(value, ops.Value):
            return repoint(alter(value), old, parent)
        if isinstance(value, tuple):
            return tuple(move(item) for item in value)
        if hasattr(value, "items"):
            return {name: move(item) for name, item in value.items()}
        return value

    arguments = {
        name: parent if name == "parent" else move(value)
        for name, value in zip(node.argnames, node.args, strict=True)
    }
    return type(node)(**arguments)


def hide(node: ops.Relation, names: tuple[str, ...]) -> ops.Relation:
    """Show just the columns of these names."""
    if tuple(node.schema.names) == tuple(names):
        return node
    return ops.Project(node, {name: ops.Field(node, name) for name in names})


def expose(
    relation: ops.Relation,
    leaf: ManagedTable,
    column: str,
    path: ops.Value,
    known: Mapping[ops.Relation, str] | None = None,
) -> tuple[ops.Relation, str] | None:
    """Carry a hidden column of `leaf` up to `relation`, along the way that `path` came.

    Parameters
    ----------
    known
        Relations on the way that show it already, and its name there; then only these count.

    Returns
    -------
    tuple or None
        The relation with one column more and the name of that column; None where a relation
        on the way does not hand on single rows.
    """
    if known is not None and relation in known:
        return relation, known[relation]
    if isinstance(relation, ManagedTable):
        return (relation.copy(hidden=True), column) if known is None else None
    if not isinstance(path, ops.Field):  # a value that is made above the column
        return None
    if isinstance(relation, PASSING):
        further = ops.Field(relation.parent, path.name)
        below = expose(relation.parent, leaf, column, further, known)
        return below and (rebuild(relation, below[0]), below[1])
    if isinstance(relation, ops.Project):
        inner = relation.values[path.name]
        below = expose(relation.parent, leaf, column, inner, known)
        if below is None:
            return None
        parent, name = below
        values = {
            key: repoint(value, relation.parent, parent) for key, value in relation.values.items()
        }
        carried = ops.Field(parent, name)
        same = next((key for key, value in values.items() if value == carried), None)
        fresh = same or fresh_name(name, values)
        return ops.Project(parent, {**values, fresh: carried}), fresh
    if isinstance(relation, ops.JoinChain):
        return _exposed_by_join(relation, leaf, column, relation.values[path.name], known)
    return None


def _exposed_by_join(
    join: ops.JoinChain,
    leaf: ManagedTable,
    column: str,
    path: ops.Value,
    seen: Mapping[ops.Relation, str] | None = None,
) -> tuple[ops.Relation, str] | None:
    if not isinstance(path, ops.Field) or not isinstance(path.rel, ops.JoinReference):
        return None
    side = path.rel
    below = expose(side.parent, leaf, column, path, seen)
    if below is None:
        return None
    fresh = side.copy(parent=below[0])

    def move(node: ops.Node, kwargs: dict[str, Any] | None) -> ops.Node:
        if isinstance(node, ops.Field) and node.rel == side:
            return ops.Field(fresh, node.name)
        if node == side:
            return fresh
        return node.__recreate__(kwargs) if kwargs else node

    moved = join.replace(move)
    carried = ops.Field(fresh, below[1])
    known = next((key for key, value in moved.values.items() if value == carried), None)
    name = known or fresh_name(below[1], moved.values)
    return moved.copy(values={**moved.values, name: carried}), name


def fresh_name(name: str, taken: Any) -> str:
    """Return `name`, with underscores added until it is not taken."""
    while name in taken:
        name = f"{name}_"
    return name


def with_rid(relation: ops.Relation) -> ops.Relation | None:
    """Add the row identity of its base to a query over single rows of it, else return None.

    A row of the base may be shown by several rows, or none, where the query unnests, filters or
    samples.
    """
    if isinstance(relation, ManagedTable):
        return relation.copy(hidden=True)
    if isinstance(relation, ops.Filter | ops.Sample):
        below = with_rid(relation.parent)
        return below and rebuild(relation, below)
    if isinstance(relation, ops.Project):
        below = with_rid(relation.parent)
        if below is None or RID in relation.values:
            return below and rebuild(relation, below)
        values = {
            name: repoint(value, relation.parent, below) for name, value in relation.values.items()
        }
        return ops.Project(below, {**values, RID: ops.Field(below, RID)})
    if isinstance(relation, ops.DropColumns):
        below = with_rid(relation.parent)
        return below and ops.DropColumns(below, relation.columns_to_drop)
    return None


def without_filters(
    root: ops.Relation, dropped: Callable[[ops.Value], bool] = lambda _predicate: True
) -> ops.Relation:
    """Leave out predicates of filters, those that are `dropped`."""

    def change(relation: ops.Relation) -> ops.Relation:
        if not isinstance(relation, ops.Filter):
            return relation
        left = [each for each in relation.predicates if not dropped(each)]
        if len(left) == len(relation.predicates):
            return relation
        return ops.Filter(relation.parent, left) if left else relation.parent

    return each_relation(root, change)


def needed_columns(root: ops.Relation) -> dict[ops.Relation, set[str]]:
    """Say which columns of each relation something above it reads.

    Returns
    -------
    dict
        For each relation below and including `root`; all columns of `root` are needed, and
        those that decide how many rows there are, as `unnest()` does.
    """
    relations = _from_the_top(root)
    needed: dict[ops.Relation, set[str]] = {relation: set() for relation in relations}
    needed[root] = set(root.schema.names)
    for subquery in root.find(ops.Subquery):
        needed[subquery.rel] |= set(subquery.rel.schema.names)
    for relation in relations:
        wanted = needed[relation]
        if isinstance(relation, ops.Project | ops.JoinChain):
            wanted |= _lasting_columns(relation.values, wanted)
        for value in _read_values(relation, wanted):
            for field in value.find(ops.Field, filter=ops.Value):
                needed[field.rel].add(field.name)
            for rows in value.find(ops.CountDistinctStar, filter=ops.Value):
                needed[rows.arg] |= set(rows.arg.schema.names)  # all columns tell rows apart
        for child in _children(relation):
            if isinstance(relation, (*PASSING, ops.Reference)):
                needed[child] |= wanted
            elif not isinstance(relation, ops.Project | ops.Aggregate | ops.JoinChain):
                needed[child] |= set(child.schema.names)
    return needed


def _lasting_columns(values: Mapping[str, ops.Value], wanted: set[str]) -> set[str]:
    """Return the columns of a relation that stay though nothing may read them.

    These are what unnests, and one where there would be none: rows may still be counted.
    """
    lasting = {name for name, value in values.items() if changes_row_count(value)}
    if lasting or wanted or not values:
        return lasting
    return {min(values, key=lambda name: len(calls_in(values[name])))}


def _read_values(relation: ops.Relation, wanted: set[str]) -> list[ops.Value]:
    """List the values of a relation that are computed when only some columns are wanted."""
    if isinstance(relation, ops.Project):
        return [value for name, value in relation.values.items() if name in wanted]
    if isinstance(relation, ops.JoinChain):
        shown = [value for name, value in relation.values.items() if name in wanted]
        return [*shown, *(each for link in relation.rest for each in link.predicates)]
    return own_values(relation)


def prune(root: ops.Relation) -> ops.Relation:
    """Leave out what projections and joins compute and nothing reads."""
    needed = needed_columns(root)

    def replace(node: ops.Node, kwargs: dict[str, Any] | None) -> ops.Node:
        if isinstance(node, ops.Field) and kwargs and node.name not in kwargs["rel"].schema:
            return node  # part of a value that is about to be left out
        if not isinstance(node, ops.Project | ops.JoinChain):
            return node.__recreate__(kwargs) if kwargs else node
        arguments = dict(zip(node.argnames, node.args, strict=True)) | (kwargs or {})
        kept = {name: v for name, v in node.values.items() if name in needed[node]}
        if len(kept) == len(node.values):
            return node.__recreate__(kwargs) if kwargs else node
        values = {name: arguments["values"][name] for name in kept}
        return node.__recreate__({**arguments, "values": values})

    return root.replace(replace)


def _from_the_top(root: ops.Relation) -> list[ops.Relation]:
    """List relations so that each comes before those it reads."""
    order: list[ops.Relation] = []
    root.map(lambda node, _results, **_kwargs: order.append(node))
    return [node for node in reversed(order) if isinstance(node, ops.Relation)]


def _children(relation: ops.Relation) -> list[ops.Relation]:
    return [value for value in relation.args if isinstance(value, ops.Relation)]
