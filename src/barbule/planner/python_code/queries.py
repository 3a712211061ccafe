"""Queries as chains of the verbs that make them."""

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


def query(node: ops.Relation, given: Mapping[str, Any]) -> str:
    """Write a relation, given what its parts are written as."""
    if isinstance(node, ManagedTable):
        return table_name(node)
    if isinstance(node, ops.PhysicalTable):
        return str(getattr(node, "name", type(node).__name__))
    if isinstance(node, ops.Reference):
        return str(given["parent"])
    write = _RELATIONS.get(type(node))
    if write is not None:
        return write(node, given)
    parent, *others = given.values()
    rest = [plain(each) for each in others if each is not None and each != ()]
    return f"{parent}.{snake(type(node).__name__)}({', '.join(rest)})"


def table_name(leaf: ManagedTable) -> str:
    """Write a table by its name, without its folder, and the version at which it is seen."""
    name = leaf.name.rpartition(".")[2]
    shown = name if name.isidentifier() else f"bb.get_table({leaf.name!r})"
    if leaf.commit is None:
        return shown
    versions = leaf.source.catalog.versions(leaf.table_id)
    return f"{shown}.at({max(v.version for v in versions if v.commit <= leaf.commit)})"


def _named(node: Any, values: Mapping[str, ops.Value], texts: Mapping[str, str]) -> str:
    """Write columns: those that keep their name as a text, the others by keyword."""
    plain, named = [], []
    for name, value in values.items():
        if isinstance(value, ops.Field) and value.name == name and value.rel is node.parent:
            plain.append(repr(name))
        elif name.isidentifier():
            named.append(f"{name}={texts[name]}")
        else:
            named.append(f"**{{{name!r}: {texts[name]}}}")
    return ", ".join([*plain, *named])


def _project(node: ops.Project, given: Mapping[str, Any]) -> str:
    shown = list(node.values)
    kept = list(node.parent.schema.names)
    values: Mapping[str, ops.Value] = node.values
    if shown[: len(kept)] == kept and all(
        isinstance(values[name], ops.Field) and values[name].name == name for name in kept
    ):
        added = {name: values[name] for name in shown[len(kept) :]}
        if not added:
            return str(given["parent"])
        return f"{given['parent']}.mutate({_named(node, added, given['values'])})"
    return f"{given['parent']}.select({_named(node, values, given['values'])})"


def _filter(_node: ops.Node, given: Mapping[str, Any]) -> str:
    return f"{given['parent']}.filter({', '.join(given['predicates'])})"


def _aggregate(node: ops.Aggregate, given: Mapping[str, Any]) -> str:
    metrics = f".agg({_named(node, node.metrics, given['metrics'])})"
    if not node.groups:
        return f"{given['parent']}{metrics}"
    return f"{given['parent']}.group_by({_named(node, node.groups, given['groups'])}){metrics}"


def _sort(_node: ops.Node, given: Mapping[str, Any]) -> str:
    return f"{given['parent']}.order_by({', '.join(given['keys'])})"


def _limit(node: ops.Limit, given: Mapping[str, Any]) -> str:
    offset = f", offset={given['offset']}" if node.offset else ""
    return f"{given['parent']}.limit({given['n']}{offset})"


def _dropped(node: ops.DropColumns, given: Mapping[str, Any]) -> str:
    return f"{given['parent']}.drop({', '.join(map(repr, sorted(node.columns_to_drop)))})"


def _join(node: ops.JoinChain, given: Mapping[str, Any]) -> str:
    text = str(given["first"])
    for link, shown in zip(node.rest, given["rest"], strict=True):
        how = "" if link.how == "inner" else f"{link.how}_"
        text = f"{text}.{how}join{shown}"
    fields = list(node.values.items())
    whole = all(isinstance(value, ops.Field) and value.name == name for name, value in fields)
    texts = given["values"]
    picked = ", ".join(f"{name}={texts[name]}" for name, _ in fields if name.isidentifier())
    return text if whole else f"{text}.select({picked})"


def link(_node: ops.Node, given: Mapping[str, Any]) -> Code:
    """Write the arguments of the verb that joins one more table."""
    return Code(f"({given['table']}, [{', '.join(given['predicates'])}])")


def _set(node: ops.Set, given: Mapping[str, Any]) -> str:
    names = {ops.Union: "union", ops.Intersection: "intersect", ops.Difference: "difference"}
    distinct = ", distinct=True" if node.distinct and isinstance(node, ops.Union) else ""
    return f"{given['left']}.{names[type(node)]}({given['right']}{distinct})"


_RELATIONS: dict[type[ops.Node], Callable[[Any, Mapping[str, Any]], str]] = {
    ops.Project: _project,
    ops.Filter: _filter,
    ops.Aggregate: _aggregate,
    ops.Sort: _sort,
    ops.Limit: _limit,
    ops.DropColumns: _dropped,
    ops.JoinChain: _join,
    ops.Union: _set,
    ops.Intersection: _set,
    ops.Difference: _set,
}
