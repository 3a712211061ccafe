"""The origin of columns, and the columns of a relation that are needed.

Owns the walks over relations that the rules and the lowering share. All are pure.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, TypeVar

import ibis.expr.operations as ops

from barbule.nodes import (
    FunctionCall,
    KeywordScore,
    RerankedScore,
    Similarity,
    StoredVector,
    TableScore,
)
from barbule.nodes.tree_walk import find_nodes
from barbule.relations.value_origins import PASSING, origin, trace

if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "EXPENSIVE_VALUES",
    "LOOKS_AROUND",
    "NOT_ROWWISE",
    "PASSING",
    "calls_in",
    "changes_row_count",
    "each_relation",
    "fresh_name",
    "hide",
    "is_expensive",
    "is_plain",
    "is_rowwise",
    "is_unsteady",
    "needed_columns",
    "origin",
    "own_values",
    "prune",
    "rebuild",
    "repoint",
    "trace",
    "tree_size",
    "without_filters",
]

V = TypeVar("V", bound=ops.Value)

# Values that depend on other rows than their own.
LOOKS_AROUND = (ops.Reduction, ops.Analytic, ops.WindowFunction, ops.Subquery)
# The same, and values that change the number of rows or identify the row.
NOT_ROWWISE = (*LOOKS_AROUND, ops.RowID, ops.Unnest)
# Values that the database does not compute itself, or not from the row alone.
EXPENSIVE_VALUES: tuple[type[ops.Value], ...] = (
    FunctionCall,
    KeywordScore,
    RerankedScore,
    Similarity,
    StoredVector,
    TableScore,
)


def each_relation(
    root: ops.Relation, change: Callable[[ops.Relation], ops.Relation]
) -> ops.Relation:
    """Rebuild a tree bottom-up, changing each relation after its parents."""

    def replace(node: ops.Node, kwargs: dict[str, Any] | None) -> ops.Node:
        rebuilt = node.__recreate__(kwargs) if kwargs else node
        return change(rebuilt) if isinstance(rebuilt, ops.Relation) else rebuilt

    return root.replace(replace)


def calls_in(
    value: ops.Node, kind: type[ops.Value] | tuple[type[ops.Value], ...] = FunctionCall
) -> list[Any]:
    """Find the calls in a value, except those in subqueries."""
    if isinstance(value, ops.Field):  # as most values are of a long chain of relations
        return [value] if isinstance(value, kind) else []
    return value.find(kind, filter=ops.Value)


def is_expensive(value: ops.Value) -> bool:
    """Whether a value contains a call, a search or a score."""
    return bool(calls_in(value, EXPENSIVE_VALUES))


def changes_row_count(value: ops.Node) -> bool:
    """Whether a value among the columns of a relation changes its number of rows."""
    return not isinstance(value, ops.Field) and bool(value.find(ops.Unnest, filter=ops.Value))


def tree_size(value: ops.Value) -> int:
    """Count the nodes of a value as it is written out, those that it repeats each time."""

    def size(_node: ops.Node, *sizes: Any) -> int:
        return 1 + sum(size for size in sizes if isinstance(size, int))

    total: int = value.map_nodes(size, filter=ops.Value)[value]
    return total


def is_unsteady(node: ops.Node) -> bool:
    """Whether a value, or the rows of a relation, may differ each time they are read."""
    node_filter = ops.Value if isinstance(node, ops.Value) else None
    return bool(node.find((ops.Impure, ops.Sample), filter=node_filter))


def own_values(relation: ops.Relation) -> list[ops.Value]:
    """List the values that a relation itself holds: its predicates, keys, columns."""
    values: list[ops.Value] = []
    for argument in relation.args:
        if isinstance(argument, ops.Node):
            members: object = (argument,)
        else:
            members = argument.values() if isinstance(argument, Mapping) else argument
        if isinstance(members, Iterable) and not isinstance(members, str | bytes):
            values += [member for member in members if isinstance(member, ops.Value)]
    return values


def is_rowwise(relation: ops.Relation) -> bool:
    """Whether a relation computes its values from one row at a time."""
    return not any(value.find(NOT_ROWWISE, filter=ops.Value) for value in own_values(relation))


def is_plain(relation: ops.Relation) -> bool:
    """Whether a relation computes its values row by row, without calls."""
    return is_rowwise(relation) and not any(calls_in(value) for value in own_values(relation))


def repoint(value: V, old: ops.Relation, new: ops.Relation) -> V:
    """Make a value that reads `old` read the columns of the same names of `new`."""

    def replace(node: ops.Node, kwargs: dict[str, Any] | None) -> ops.Node:
        if isinstance(node, ops.Field) and node.rel == old:
            return ops.Field(new, node.name)
        if old in node.args:  # CountStar and similar operations hold the relation itself
            arguments = dict(zip(node.argnames, node.args, strict=True)) | (kwargs or {})
            return node.__recreate__(
                {name: new if argument == old else argument for name, argument in arguments.items()}
            )
        return node.__recreate__(kwargs) if kwargs else node

    return value.replace(replace, filter=ops.Value)


def rebuild(
    relation: ops.Relation,
    parent: ops.Relation,
    change: Callable[[ops.Value], ops.Value] | None = None,
) -> ops.Relation:
    """Replace the parent of a relation that has one parent; `change` rewrites its values first."""
    old = relation.parent

    def rewrite(argument: Any) -> Any:
        if isinstance(argument, ops.Value):
            return repoint(argument if change is None else change(argument), old, parent)
        if isinstance(argument, tuple):
            return tuple(rewrite(member) for member in argument)
        if hasattr(argument, "items"):
            return {name: rewrite(value) for name, value in argument.items()}
        return argument

    arguments = {
        name: parent if name == "parent" else rewrite(argument)
        for name, argument in zip(relation.argnames, relation.args, strict=True)
    }
    return type(relation)(**arguments)


def hide(relation: ops.Relation, names: tuple[str, ...]) -> ops.Relation:
    """Select only the columns of these names."""
    if tuple(relation.schema.names) == tuple(names):
        return relation
    return ops.Project(relation, {name: ops.Field(relation, name) for name in names})


def fresh_name(name: str, existing: Collection[str]) -> str:
    """Return `name`, with underscores appended until it is unique."""
    while name in existing:
        name = f"{name}_"
    return name


def without_filters(
    root: ops.Relation, dropped: Callable[[ops.Value], bool] = lambda _predicate: True
) -> ops.Relation:
    """Remove the predicates of filters that are `dropped`."""

    def change(relation: ops.Relation) -> ops.Relation:
        if not isinstance(relation, ops.Filter):
            return relation
        predicates = [predicate for predicate in relation.predicates if not dropped(predicate)]
        if len(predicates) == len(relation.predicates):
            return relation
        return ops.Filter(relation.parent, predicates) if predicates else relation.parent

    return each_relation(root, change)


def needed_columns(root: ops.Relation) -> dict[ops.Relation, set[str]]:
    """Return which columns of each relation are read above it.

    Returns
    -------
    dict
        For each relation below and including `root`; all columns of `root` are needed, and those
        that determine the number of rows, as `unnest()` does.
    """
    relations = _top_down(root)
    needed: dict[ops.Relation, set[str]] = {relation: set() for relation in relations}
    needed[root] = set(root.schema.names)
    for subquery in find_nodes(root, ops.Subquery):
        needed[subquery.rel] |= set(subquery.rel.schema.names)
    for relation in relations:
        names = needed[relation]
        if isinstance(relation, ops.Project | ops.JoinChain):
            names |= _unprunable_columns(relation.values, names)
        for value in _read_values(relation, names):
            for field in _fields_in(value):
                needed[field.rel].add(field.name)
            for count in value.find(ops.CountDistinctStar, filter=ops.Value):
                needed[count.arg] |= set(count.arg.schema.names)  # all columns distinguish rows
        for child in _child_relations(relation):
            if isinstance(relation, (*PASSING, ops.Reference)):
                needed[child] |= names
            elif not isinstance(relation, ops.Project | ops.Aggregate | ops.JoinChain):
                needed[child] |= set(child.schema.names)
    return needed


def _fields_in(value: ops.Value) -> list[ops.Field]:
    if isinstance(value, ops.Field):  # as most values are of a long chain of relations
        return [value]
    return value.find(ops.Field, filter=ops.Value)


def _unprunable_columns(values: Mapping[str, ops.Value], needed: set[str]) -> set[str]:
    """Return the columns of a relation that stay even if nothing reads them.

    These are columns that unnest, and one if there would be none: rows may still be counted.
    """
    unnested = {name for name, value in values.items() if changes_row_count(value)}
    if unnested or needed or not values:
        return unnested
    return {min(values, key=lambda name: len(calls_in(values[name])))}


def _read_values(relation: ops.Relation, needed: set[str]) -> list[ops.Value]:
    """List the values of a relation that are computed when only some columns are needed."""
    if isinstance(relation, ops.Project):
        return [value for name, value in relation.values.items() if name in needed]
    if isinstance(relation, ops.JoinChain):
        columns = [value for name, value in relation.values.items() if name in needed]
        return [*columns, *(predicate for link in relation.rest for predicate in link.predicates)]
    return own_values(relation)


def prune(root: ops.Relation) -> ops.Relation:
    """Remove the columns that projections and joins compute and nothing reads."""
    needed = needed_columns(root)

    def replace(node: ops.Node, kwargs: dict[str, Any] | None) -> ops.Node:
        if isinstance(node, ops.Field) and kwargs and node.name not in kwargs["rel"].schema:
            return node  # part of a value that is about to be removed
        if not isinstance(node, ops.Project | ops.JoinChain):
            return node.__recreate__(kwargs) if kwargs else node
        arguments = dict(zip(node.argnames, node.args, strict=True)) | (kwargs or {})
        names = [name for name in node.values if name in needed[node]]
        if len(names) == len(node.values):
            return node.__recreate__(kwargs) if kwargs else node
        values = {name: arguments["values"][name] for name in names}
        return node.__recreate__({**arguments, "values": values})

    return root.replace(replace)


def _top_down(root: ops.Relation) -> list[ops.Relation]:
    """List relations so that each comes before those it reads."""
    nodes: list[ops.Node] = []
    root.map(lambda node, _results, **_kwargs: nodes.append(node))
    return [node for node in reversed(nodes) if isinstance(node, ops.Relation)]


def _child_relations(relation: ops.Relation) -> list[ops.Relation]:
    return [argument for argument in relation.args if isinstance(argument, ops.Relation)]
