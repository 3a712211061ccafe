"""Virtual columns: their expressions over stored columns, in layers of bounded size.

A virtual column is inlined where it is read. One that reads other virtual columns would repeat
their expressions: the statement of a chain would grow with the square of its length, and that of
columns which read another one twice would double with each. So a column whose inlined expression
is too large is computed by a projection of its own, over the columns that it reads.
"""

from __future__ import annotations

from graphlib import TopologicalSorter
from typing import TYPE_CHECKING

import ibis.expr.operations as ops

from barbule.errors import ColumnNotFoundError
from barbule.nodes import ManagedTable
from barbule.planner.lineage import tree_size
from barbule.planner.lowering.table_schemas import hidden_columns
from barbule.relations.promotion import as_declared

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from barbule.catalog.records import TableRecord
    from barbule.planner.facts import PlannerFacts

__all__ = ["virtual_layers"]

# Nodes of the expressions of other columns that a column repeats.
_MAX_REPEATED_NODES = 32


def virtual_layers(
    names: Iterable[str], record: TableRecord, leaf: ManagedTable, facts: PlannerFacts
) -> list[dict[str, ops.Value]]:
    """Express virtual columns over the columns that they read, layer by layer.

    Parameters
    ----------
    names
        Columns of the table, virtual ones and others.

    Returns
    -------
    list
        The virtual columns of each layer, the lowest first, as values over the hidden form of
        `leaf`: its stored columns, those that a view shows of its base, and virtual columns of
        the layers below.

    Raises
    ------
    ColumnNotFoundError
        When the table has no column of a name.
    """
    names = set(names)
    expressions = _expressions(names, record, leaf, facts)
    inlined: dict[str, ops.Value] = {}
    layer_of: dict[str, int] = {}
    for name, reads in _in_order(expressions, leaf):
        lowest = max((layer_of[read] for read in reads), default=0)
        same_layer = {read: inlined[read] for read in reads if layer_of[read] == lowest}
        value = _over_hidden_leaf(expressions[name], leaf, same_layer)
        own_value = _over_hidden_leaf(expressions[name], leaf, {}) if same_layer else value
        if tree_size(value) - tree_size(own_value) > _MAX_REPEATED_NODES:
            lowest, value = lowest + 1, own_value
        layer_of[name], inlined[name] = lowest, value
    layers: list[dict[str, ops.Value]] = []
    for number in reversed(range(max(layer_of.values(), default=-1) + 1)):
        layer = {
            name: value
            for name, value in inlined.items()
            if layer_of[name] == number and name in names
        }
        names |= {name for value in layer.values() for name in _columns_read(value, leaf)}
        layers.insert(0, layer)
    return layers


def _expressions(
    names: set[str], record: TableRecord, leaf: ManagedTable, facts: PlannerFacts
) -> dict[str, ops.Value]:
    """Read the expressions of virtual columns, and of those that they read."""
    expressions: dict[str, ops.Value] = {}
    remaining = list(names)
    columns = {column.name: column for column in record.columns}
    hidden_names = hidden_columns(record)
    while remaining:
        name = remaining.pop()
        column = columns.get(name)
        if column is None and name not in hidden_names and name in names:
            raise ColumnNotFoundError(
                f"there is no column {name!r}"
                + ("." if leaf.commit is None else " at this version."),
                table=record.name,
                hint="It may have been dropped or renamed since the expression was written.",
            )
        if name in expressions or column is None or column.kind != "virtual":
            continue
        expression = facts.expression(str(column.expression), leaf.commit)
        value = as_declared(expression, column.dtype)
        expressions[name] = value
        remaining += _columns_read(value, leaf)
    return expressions


def _in_order(expressions: dict[str, ops.Value], leaf: ManagedTable) -> list[tuple[str, list[str]]]:
    """List columns with the virtual columns that each reads, which come before it."""
    reads = {
        name: [read for read in _columns_read(value, leaf) if read in expressions]
        for name, value in expressions.items()
    }
    return [(name, reads[name]) for name in TopologicalSorter(reads).static_order()]


def _columns_read(value: ops.Value, leaf: ManagedTable) -> dict[str, None]:
    """Name the columns of a leaf's table that a value reads."""
    fields = value.find(ops.Field, filter=ops.Value)
    return dict.fromkeys(field.name for field in fields if _is_same_table(field.rel, leaf))


def _over_hidden_leaf(
    value: ops.Value, leaf: ManagedTable, inlined: dict[str, ops.Value]
) -> ops.Value:
    """Make an expression read the hidden form of a leaf; some of its columns are inlined."""
    hidden = leaf.copy(hidden=True)

    def inline(node: ops.Node, kwargs: dict[str, Any] | None) -> ops.Node:
        if isinstance(node, ops.Field) and _is_same_table(node.rel, leaf):
            return inlined.get(node.name) or ops.Field(hidden, node.name)
        return node.__recreate__(kwargs) if kwargs else node

    return value.replace(inline, filter=ops.Value)


def _is_same_table(relation: ops.Relation, leaf: ManagedTable) -> bool:
    return isinstance(relation, ManagedTable) and relation.table_id == leaf.table_id
