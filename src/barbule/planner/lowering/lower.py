"""Lowering: barbule's remaining operations become plain Ibis.

Owns how a managed leaf becomes its stored rows at a commit, how virtual columns are inlined, and
how barbule's types become storage types. After it a tree contains only Ibis operations over tables
of the backend.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import ibis.expr.schema as sch

from barbule.backends.base import BASE, RID
from barbule.errors import UnsupportedError
from barbule.nodes import (
    CachedRows,
    CellError,
    FunctionCall,
    ManagedTable,
    Recorded,
    Similarity,
    StoredVector,
    SystemTable,
)
from barbule.nodes.tree_walk import find_nodes
from barbule.planner.hidden_columns import with_rid
from barbule.planner.lineage import (
    calls_in,
    changes_row_count,
    is_unsteady,
    needed_columns,
    prune,
    trace,
    without_filters,
)
from barbule.planner.lowering.inlining import Columns
from barbule.planner.lowering.json_lists import unwrap_json
from barbule.planner.lowering.single_select import FlatTable, flatten
from barbule.planner.lowering.table_schemas import (
    inherited_columns,
    physical_names,
    physical_schema,
)
from barbule.planner.lowering.time_zones import in_local_time
from barbule.planner.lowering.total_order import total_orders
from barbule.planner.lowering.virtual_layers import virtual_layers
from barbule.planner.lowering.visible_rows import visibility, visible_rows
from barbule.types import storage, storage_schema

if TYPE_CHECKING:
    from typing import Any

    from barbule.catalog.records import TableRecord
    from barbule.planner.facts import PlannerFacts
    from barbule.planner.lowering.visible_rows import RowsRead

__all__ = ["Lowering", "Rows", "lower"]

# Physical rows to read instead of the stored ones, by table id.
Rows: TypeAlias = Mapping[int, ops.Relation]


@dataclass(frozen=True)
class Lowering:
    """What lowering reads, and what it records for the plan.

    Attributes
    ----------
    reads
        Records which rows the lowered relations read.
    rows
        Physical rows to read instead of the stored ones, by table id: used to compute computed
        columns only for new rows.
    """

    facts: PlannerFacts
    reads: RowsRead
    rows: Rows


def lower(root: ops.Relation, lowering: Lowering) -> ops.Relation:
    """Lower a tree without calls to plain Ibis.

    Parameters
    ----------
    root
        A relation over managed tables, stages and tables of the backend.

    Raises
    ------
    UnsupportedError
        If a node of barbule remains.
    """
    root = total_orders(root)
    flat = flatten(root, lambda leaf, names: _flat_table(leaf, names, lowering))
    if flat is not None:
        return flat
    root = prune(root)
    needed = needed_columns(root)
    leaves = {
        leaf: _table_rows(leaf, needed.get(leaf, set()), lowering)
        for leaf in find_nodes(root, ManagedTable)
    }

    def replace(node: ops.Node, kwargs: dict[str, Any] | None) -> ops.Node:
        if isinstance(node, ManagedTable):
            return leaves[node]
        if isinstance(node, CachedRows):
            return node.cache.rows
        if isinstance(node, SystemTable):
            return lowering.facts.stored(node.name, node.schema)
        if isinstance(node, FunctionCall | Similarity | StoredVector | CellError | Recorded):
            raise UnsupportedError(
                f"{node.name} is called where it cannot be computed.",
                hint="Compute the call with mutate() first and use its column.",
            )
        return _with_storage_types(node, kwargs, lowering.facts.zone)

    return root.replace(replace)


def _flat_table(leaf: ManagedTable, names: Collection[str], lowering: Lowering) -> FlatTable:
    """Show columns of a table for a single SELECT, over one relation of the backend."""
    record = lowering.facts.record(leaf)
    if record.view or record.origin:
        layers, relation, shown = _unlayered_columns(leaf, set(names), lowering)
        return FlatTable(relation, [], Columns(shown.__getitem__), layers, lowering.facts.zone)
    physical = lowering.rows.get(leaf.table_id)
    predicates: list[ops.Value] = []
    if physical is None:
        physical = lowering.facts.stored(record.physical, physical_schema(record))
        predicates = visibility(physical, leaf, lowering.reads)
    stored = physical_names(record)
    columns = Columns(lambda name: ops.Field(physical, stored.get(name, name)))
    layers = virtual_layers(names, record, leaf, lowering.facts)
    return FlatTable(physical, predicates, columns, layers, lowering.facts.zone)


def _with_storage_types(node: ops.Node, kwargs: dict[str, Any] | None, zone: str) -> ops.Node:
    """Rebuild a node with storage types instead of barbule's; timestamps use their local time."""
    changed = dict(kwargs) if kwargs else {}
    for name, argument in zip(node.argnames, node.args, strict=True):
        if isinstance(argument, dt.DataType) and storage(argument) != argument:
            changed[name] = storage(argument)
        elif isinstance(argument, sch.Schema):
            plain_schema = storage_schema(argument)
            if plain_schema != argument:
                changed[name] = plain_schema
    if changed:
        arguments = dict(zip(node.argnames, node.args, strict=True))
        node = node.__recreate__({**arguments, **changed})
    return unwrap_json(in_local_time(node, zone))


def _over(value: ops.Value, fields: Mapping[ops.Node, ops.Node], zone: str) -> ops.Value:
    """Express a value over other columns, in plain Ibis."""

    def replace(node: ops.Node, kwargs: dict[str, Any] | None) -> ops.Node:
        return fields[node] if node in fields else _with_storage_types(node, kwargs, zone)

    return value.replace(replace)


def _table_rows(leaf: ManagedTable, names: set[str], lowering: Lowering) -> ops.Relation:
    """Return the needed columns of a managed table as plain Ibis."""
    layers, relation, columns = _unlayered_columns(leaf, names, lowering)
    rid, zone = columns[RID], lowering.facts.zone
    for layer in layers:
        hidden = leaf.copy(hidden=True)
        fields = {ops.Field(hidden, name): value for name, value in columns.items()}
        own_values = {name: _over(value, fields, zone) for name, value in layer.items()}
        if layer is not layers[-1]:
            relation = ops.Project(relation, {**columns, **own_values})
            columns = {name: ops.Field(relation, name) for name in relation.schema.names}
            rid = columns[RID]
        else:
            columns |= own_values
    ordered = {name: columns[name] for name in leaf.schema.names if name in names & columns.keys()}
    return ops.Project(relation, ordered or {RID: rid})


def _unlayered_columns(
    leaf: ManagedTable, names: set[str], lowering: Lowering
) -> tuple[list[dict[str, ops.Value]], ops.Relation, dict[str, ops.Value]]:
    """Return the columns that the needed columns of a managed table are computed from.

    Returns
    -------
    tuple
        The layers of virtual columns; a relation; and the columns that are stored or inherited
        from the base of a view, as values over the relation.
    """
    record = lowering.facts.record(leaf)
    base_names = set(inherited_columns(record, leaf.commit, lowering.facts).names)
    own_names = names - base_names
    layers = virtual_layers(own_names, record, leaf, lowering.facts)
    virtual = {name for layer in layers for name in layer}
    # The relation below must provide the columns that virtual columns read.
    read_names = own_names | {
        field.name
        for layer in layers
        for value in layer.values()
        for field in value.find(ops.Field, filter=ops.Value)
    }
    stored = _stored_columns(leaf, record, read_names - virtual, lowering)
    inherited = (names | read_names) & base_names
    if not inherited and not leaf.hidden:
        inherited = _multiplying_columns(leaf, record, lowering)
    if not inherited:  # in one projection: each additional one costs Ibis a millisecond to compile
        return layers, stored.parent, dict(stored.values)
    relation = _join_base(stored, inherited, leaf, record, lowering)
    return layers, relation, {name: ops.Field(relation, name) for name in relation.schema.names}


def _multiplying_columns(leaf: ManagedTable, record: TableRecord, lowering: Lowering) -> set[str]:
    """Return columns without which a view would have too few rows.

    Columns that unnest are now stored with the rows. Views of databases of version 0.1.0 have one
    row for all items of an array, which are unnested whenever they are read.
    """
    if record.view is None or record.view.bases or record.view.rows:
        return set()
    query = lowering.facts.expression(record.view.query, leaf.commit)
    names = inherited_columns(record, leaf.commit, lowering.facts).names
    return {name for name in names if changes_row_count(trace(ops.Field(query, name)))}


def _stored_columns(
    leaf: ManagedTable,
    record: TableRecord,
    names: set[str],
    lowering: Lowering,
) -> ops.Project:
    """Return stored columns by their names, the row id, and a view's base row id."""
    physical = lowering.rows.get(leaf.table_id)
    if physical is None:
        stored = [column.physical for column in record.columns if column.name in names]
        errors = [column.errors for column in record.columns if column.error_name in names]
        physical = visible_rows(leaf, record, lowering.reads, {RID, BASE, *stored, *errors})
    columns: dict[str, ops.Value] = {RID: ops.Field(physical, RID)}
    if record.view:
        columns[BASE] = ops.Field(physical, BASE)
    for column in record.columns:
        if column.name in names and column.kind != "virtual":
            columns[column.name] = ops.Field(physical, column.physical)
        if column.fallible and column.error_name in names:
            columns[column.error_name] = ops.Field(physical, column.errors)
    return ops.Project(physical, columns)


def _join_base(
    own_rows: ops.Relation,
    names: set[str],
    leaf: ManagedTable,
    record: TableRecord,
    lowering: Lowering,
) -> ops.Relation:
    """Join the rows of a view with the columns of its base."""
    if record.view is None:
        return own_rows
    # The rows of a view have passed its filters: filters that call functions, or that other rows
    # pass each time, are not evaluated again.
    query = lowering.facts.expression(record.view.query, leaf.commit)
    query = with_rid(
        without_filters(query, lambda value: bool(calls_in(value)) or is_unsteady(value))
    )
    columns = {name: ops.Field(query, name) for name in (RID, *sorted(names))}
    base = lower(ops.Project(query, columns), lowering)
    # Made of nodes: Ibis' own verb would look up each column in all relations below.
    left, right = ops.JoinReference(own_rows, 0), ops.JoinReference(base, 1)
    is_base_row = ops.Equals(ops.Field(left, BASE), ops.Field(right, RID))
    return ops.JoinChain(
        left,
        (ops.JoinLink("inner", right, (is_base_row,)),),
        {
            **{name: ops.Field(left, name) for name in own_rows.schema.names},
            **{name: ops.Field(right, name) for name in sorted(names)},
        },
    )
