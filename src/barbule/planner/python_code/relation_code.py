"""Queries as chains of methods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ibis.expr.operations as ops

from barbule.nodes import ManagedTable
from barbule.planner.python_code.fragments import Code, plain
from barbule.planner.python_code.operation_names import snake

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["is_table", "link", "query", "table_name"]


def is_table(relation: ops.Relation) -> bool:
    """Whether columns are named by it; those of a query are named by `_`."""
    return isinstance(relation, ops.PhysicalTable)


def query(node: ops.Relation, fragments: Mapping[str, Any]) -> str:
    """Write a relation, given the code of its arguments."""
    if isinstance(node, ManagedTable):
        return table_name(node)
    if isinstance(node, ops.PhysicalTable):
        return str(getattr(node, "name", type(node).__name__))
    if isinstance(node, ops.Reference):
        return str(fragments["parent"])
    write = _RELATIONS.get(type(node))
    if write is not None:
        return write(node, fragments)
    parent, *others = fragments.values()
    arguments = [plain(fragment) for fragment in others if fragment is not None and fragment != ()]
    return f"{parent}.{snake(type(node).__name__)}({', '.join(arguments)})"


def table_name(leaf: ManagedTable) -> str:
    """Write a table by its name, without its folder, and its version."""
    name = leaf.name.rpartition(".")[2]
    code = name if name.isidentifier() else f"bb.get_table({leaf.name!r})"
    if leaf.commit is None:
        return code
    versions = leaf.source.catalog.versions(leaf.table_id)
    seen_versions = (v.version for v in versions if v.commit <= leaf.commit)
    return f"{code}.at({max(seen_versions)})"


def _columns(
    relation: ops.Relation, values: Mapping[str, ops.Value], codes: Mapping[str, str]
) -> str:
    """Write columns: those that keep their name as a string, the others by keyword."""
    names, keywords = [], []
    for name, value in values.items():
        if isinstance(value, ops.Field) and value.name == name and value.rel is relation.parent:
            names.append(repr(name))
        elif name.isidentifier():
            keywords.append(f"{name}={codes[name]}")
        else:
            keywords.append(f"**{{{name!r}: {codes[name]}}}")
    return ", ".join([*names, *keywords])


def _project(node: ops.Project, fragments: Mapping[str, Any]) -> str:
    values: Mapping[str, ops.Value] = node.values
    parent_names = tuple(node.parent.schema.names)
    if tuple(values)[: len(parent_names)] != parent_names or any(
        not isinstance(values[name], ops.Field) or values[name].name != name
        for name in parent_names
    ):
        columns = _columns(node, values, fragments["values"])
        return f"{fragments['parent']}.select({columns})"
    added = {name: value for name, value in values.items() if name not in parent_names}
    if not added:
        return str(fragments["parent"])
    return f"{fragments['parent']}.mutate({_columns(node, added, fragments['values'])})"


def _filter(_node: ops.Node, fragments: Mapping[str, Any]) -> str:
    return f"{fragments['parent']}.filter({', '.join(fragments['predicates'])})"


def _aggregate(node: ops.Aggregate, fragments: Mapping[str, Any]) -> str:
    metrics = f".agg({_columns(node, node.metrics, fragments['metrics'])})"
    if not node.groups:
        return f"{fragments['parent']}{metrics}"
    groups = _columns(node, node.groups, fragments["groups"])
    return f"{fragments['parent']}.group_by({groups}){metrics}"


def _sort(_node: ops.Node, fragments: Mapping[str, Any]) -> str:
    return f"{fragments['parent']}.order_by({', '.join(fragments['keys'])})"


def _limit(node: ops.Limit, fragments: Mapping[str, Any]) -> str:
    offset = f", offset={fragments['offset']}" if node.offset else ""
    return f"{fragments['parent']}.limit({fragments['n']}{offset})"


def _drop(node: ops.DropColumns, fragments: Mapping[str, Any]) -> str:
    return f"{fragments['parent']}.drop({', '.join(map(repr, sorted(node.columns_to_drop)))})"


def _join(node: ops.JoinChain, fragments: Mapping[str, Any]) -> str:
    code = str(fragments["first"])
    for join_link, arguments in zip(node.rest, fragments["rest"], strict=True):
        how = "" if join_link.how == "inner" else f"{join_link.how}_"
        code = f"{code}.{how}join{arguments}"
    columns = list(node.values.items())
    if all(isinstance(value, ops.Field) and value.name == name for name, value in columns):
        return code
    codes = fragments["values"]
    selected = ", ".join(f"{name}={codes[name]}" for name, _ in columns if name.isidentifier())
    return f"{code}.select({selected})"


def link(_node: ops.Node, fragments: Mapping[str, Any]) -> Code:
    """Write the arguments of the method that joins one more table."""
    return Code(f"({fragments['table']}, [{', '.join(fragments['predicates'])}])")


def _set(node: ops.Set, fragments: Mapping[str, Any]) -> str:
    names = {ops.Union: "union", ops.Intersection: "intersect", ops.Difference: "difference"}
    distinct = ", distinct=True" if node.distinct and isinstance(node, ops.Union) else ""
    return f"{fragments['left']}.{names[type(node)]}({fragments['right']}{distinct})"


_RELATIONS: dict[type[ops.Node], Callable[[Any, Mapping[str, Any]], str]] = {
    ops.Project: _project,
    ops.Filter: _filter,
    ops.Aggregate: _aggregate,
    ops.Sort: _sort,
    ops.Limit: _limit,
    ops.DropColumns: _drop,
    ops.JoinChain: _join,
    ops.Union: _set,
    ops.Intersection: _set,
    ops.Difference: _set,
}
