"""Lowering: what is left of barbule's own becomes plain Ibis.

Owns how a managed leaf becomes its stored rows at a commit, how virtual columns are inlined,
and how our types become storage types. After it a tree holds nothing but operations of Ibis
over tables of the backend.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import ibis.expr.schema as sch

from barbule.backends.base import BASE, FOREVER, FROM, RID, TO
from barbule.errors import ColumnNotFoundError, UnsupportedError
from barbule.nodes import (
    ERROR,
    CellError,
    FunctionCall,
    HeldRows,
    ManagedTable,
    Recorded,
    Similarity,
    StoredVector,
    SystemTable,
    managed_table,
)
from barbule.planner.lineage import (
    calls_in,
    changes_row_count,
    is_unsteady,
    needed_columns,
    prune,
    trace,
    with_rid,
    without_filters,
)
from barbule.planner.lowering.single_select import Move, Shown, flatten
from barbule.planner.rules.json_lists import compared_by_kind
from barbule.planner.rules.time_zones import by_the_clock
from barbule.planner.rules.total_order import total_orders
from barbule.relations.promotion import as_declared
from barbule.types import storage, storage_schema

if TYPE_CHECKING:
    from barbule.catalog.records import Column, TableRecord

__all__ = [
    "Source",
    "hidden_names",
    "kept_names",
    "lower",
    "physical_schema",
    "shown_schema",
    "view_columns",
    "visible",
]


class Source(Protocol):
    """What lowering asks of the catalog and the backend.

    Attributes
    ----------
    zone
        The zone of moments that have none.
    """

    zone: str

    def record(self, leaf: ManagedTable) -> TableRecord:
        """Return the structure of a table as a leaf sees it."""

    def expression(self, text: str, commit: int | None) -> Any:
        """Read a stored expression, its leaves seen at a commit."""

    def stored(self, name: str, schema: sch.Schema) -> ops.DatabaseTable:
        """Make the leaf of a table in the backend."""

    def has_closed_rows(self, table_id: int) -> bool:
        """Whether rows of a table have ever been updated or deleted."""

    def head(self) -> int:
        """Return the latest commit."""

    def track_rows_read(self, table_id: int) -> None:
        """Note that what is lowered reads the live rows of a table."""


Rows = Mapping[int, ops.Relation]


def physical_schema(record: TableRecord) -> sch.Schema:
    """Return the schema of a table's rows in the backend."""
    keys = {RID: dt.int64, FROM: dt.int64, TO: dt.int64}
    if record.view:
        keys[BASE] = dt.int64
    kept = {c.physical: storage(c.dtype) for c in record.columns if c.kind != "virtual"}
    reasons = {c.errors: ERROR for c in record.columns if c.fallible}
    return sch.Schema({**keys, **kept, **reasons})


def hidden_names(record: TableRecord) -> dict[str, dt.DataType]:
    """Return the columns of a hidden leaf that users do not see."""
    embeddings = {column.name: column.dtype for column in record.columns if column.hidden}
    keys = {RID: dt.int64, BASE: dt.int64} if record.view else {RID: dt.int64}
    reasons = {column.error_name: ERROR for column in record.columns if column.fallible}
    return {**keys, **embeddings, **reasons}


def view_columns(record: TableRecord, commit: int | None, source: Source) -> sch.Schema:
    """Return the columns that a view shows of its base."""
    if record.view is None or record.view.bases:
        return sch.Schema({})
    # Names of the view's own columns win; there are none at its creation.
    inherited = source.expression(record.view.query, commit).schema
    own = {column.name for column in record.columns}
    return sch.Schema({name: kind for name, kind in inherited.items() if name not in own})


def kept_names(record: TableRecord, commit: int | None, source: Source) -> list[str]:
    """Name the columns that the query of a view's rows gives beside those of its base.

    They were the first columns of the view's own, in this order; the view may have renamed them.
    """
    if record.view is None or record.view.rows is None:
        return []
    shown = source.expression(record.view.query, commit).schema
    rows = source.expression(record.view.rows, commit).schema
    return [name for name in rows.names if name not in shown]


def shown_schema(record: TableRecord, commit: int | None, source: Source) -> sch.Schema:
    """Return the columns that users see of a table, in their order."""
    shown = dict(view_columns(record, commit, source).items())
    shown |= {column.name: column.dtype for column in record.columns if not column.hidden}
    if record.view is None or record.view.rows is None:
        return sch.Schema(shown)
    own = {column.id: column.name for column in record.columns}
    called = {name: own.get(n) for n, name in enumerate(kept_names(record, commit, source))}
    made = source.expression(record.view.rows, commit).schema.names
    ordered = [name for name in (called.get(each, each) for each in made) if name in shown]
    return sch.Schema({name: shown[name] for name in dict.fromkeys((*ordered, *shown))})


def lower(root: ops.Relation, source: Source, rows: Rows | None = None) -> ops.Relation:
    """Lower a tree without calls to plain Ibis.

    Parameters
    ----------
    root
        A relation over managed tables, stages and tables of the backend.
    rows
        Physical rows to read instead of the stored ones, by table id: how computed columns
        are computed for new rows alone.

    Raises
    ------
    UnsupportedError
        When a node of barbule is left over.
    """
    rows = rows or {}
    root = total_orders(root)
    flat = flatten(root, lambda leaf: _in_one(leaf, source, rows))
    if flat is not None:
        return flat
    root = prune(root)
    needed = needed_columns(root)
    leaves = {
        leaf: _relation(leaf, needed.get(leaf, set()), source, rows)
        for leaf in root.find(ManagedTable)
    }

    def replace(node: ops.Node, kwargs: dict[str, Any] | None) -> ops.Node:
        if isinstance(node, ManagedTable):
            return leaves[node]
        if isinstance(node, HeldRows):
            return node.held.rows
        if isinstance(node, SystemTable):
            return source.stored(node.name, node.schema)
        if isinstance(node, FunctionCall | Similarity | StoredVector | CellError | Recorded):
            raise UnsupportedError(
                f"{node.name} is called where it cannot be computed.",
                hint="Compute the call with mutate() first and use its column.",
            )
        return _plain(node, kwargs, source.zone)

    return root.replace(replace)


def _in_one(leaf: ManagedTable, source: Source, rows: Rows) -> Shown | None:
    """Show a table that is nobody's view or branch."""
    record = source.record(leaf)
    if record.view or record.origin:
        return None
    base, alive = rows.get(leaf.table_id), []
    if base is None:
        base = source.stored(record.physical, physical_schema(record))
        alive = _alive(base, leaf, source)
    names = {column.name: column.physical for column in record.columns}
    names |= {column.error_name: column.errors for column in record.columns if column.fallible}
    move = Move(lambda name: ops.Field(base, names.get(name, name)), base, source.zone)
    return Shown(base, alive, lambda name: move(_value(name, record, leaf, source)), source.zone)


def _plain(node: ops.Node, kwargs: dict[str, Any] | None, zone: str) -> ops.Node:
    """Rebuild a node with storage types in place of ours; moments go by their clocks."""
    changed = dict(kwargs) if kwargs else {}
    for name, value in zip(node.argnames, node.args, strict=True):
        if isinstance(value, dt.DataType) and storage(value) != value:
            changed[name] = storage(value)
        elif isinstance(value, sch.Schema):
            plain = storage_schema(value)
            if plain != value:
                changed[name] = plain
    if changed:
        arguments = dict(zip(node.argnames, node.args, strict=True))
        node = node.__recreate__({**arguments, **changed})
    return compared_by_kind(by_the_clock(node, zone))


def _over(value: ops.Value, fields: Mapping[ops.Node, ops.Node], zone: str) -> ops.Value:
    """Express a value over other columns, in plain Ibis."""

    def replace(node: ops.Node, kwargs: dict[str, Any] | None) -> ops.Node:
        return fields[node] if node in fields else _plain(node, kwargs, zone)

    return value.replace(replace)


def _relation(leaf: ManagedTable, names: set[str], source: Source, rows: Rows) -> ops.Relation:
    """Show the needed columns of a managed table, as plain Ibis."""
    record = source.record(leaf)
    inherited = names & set(view_columns(record, leaf.commit, source).names)
    own = {name: _value(name, record, leaf, source) for name in names - inherited}
    # What the virtual columns read must be shown by the relation below them.
    fields = {f.name for value in own.values() for f in value.find(ops.Field)}
    below = _stored_columns(leaf, record, fields, source, rows)
    inherited |= fields & set(view_columns(record, leaf.commit, source).names)
    if not inherited and not leaf.hidden:
        inherited = _multiplying(leaf, record, source)
    if not inherited:  # in one projection: each one more costs Ibis a millisecond to compile
        stored = {ops.Field(leaf.copy(hidden=True), name): v for name, v in below.values.items()}
        columns = {name: _over(value, stored, source.zone) for name, value in own.items()}
        named = {name: columns[name] for name in _live_names(leaf) if name in columns}
        return ops.Project(below.parent, named or {RID: below.values[RID]})
    below = _with_inherited(below, inherited, leaf, record, source, rows)
    shown = {name: ops.Field(below, name) for name in inherited & names}
    for name, value in own.items():
        shown[name] = _over(value, {leaf.copy(hidden=True): below}, source.zone)
    ordered = {name: shown[name] for name in _live_names(leaf) if name in shown}
    return ops.Project(below, ordered or {RID: ops.Field(below, RID)})


def _multiplying(leaf: ManagedTable, record: TableRecord, source: Source) -> set[str]:
    """Return columns without which a view would show too few rows.

    Those that unnest are kept with the rows nowadays. Views of databases of version 0.1.0 have
    one row for all items of an array, which are unnested whenever they are read.
    """
    if record.view is None or record.view.bases or record.view.rows:
        return set()
    query = source.expression(record.view.query, leaf.commit)
    names = view_columns(record, leaf.commit, source).names
    return {name for name in names if changes_row_count(trace(ops.Field(query, name)))}


def _live_names(leaf: ManagedTable) -> tuple[str, ...]:
    return leaf.schema.names


def _value(name: str, record: TableRecord, leaf: ManagedTable, source: Source) -> ops.Value:
    """Express a column by stored columns alone, over the hidden form of the leaf."""
    hidden = leaf.copy(hidden=True)
    column = record.column(name)
    if column is None and name not in hidden_names(record):
        raise ColumnNotFoundError(
            f"there is no column {name!r}" + ("." if leaf.commit is None else " at this version."),
            table=record.name,
            hint="It may have been dropped or renamed since the expression was written.",
        )
    if column is None or column.kind != "virtual":
        return ops.Field(hidden, name)
    value = as_declared(source.expression(str(column.expression), leaf.commit), column.dtype)

    def inline(node: ops.Node, kwargs: dict[str, Any] | None) -> ops.Node:
        if isinstance(node, ops.Field) and _same_table(node.rel, leaf):
            known = record.column(node.name)
            if known is None or known.kind != "virtual":
                return ops.Field(hidden, node.name)
            return _value(node.name, record, leaf, source)
        return node.__recreate__(kwargs) if kwargs else node

    return value.replace(inline, filter=ops.Value)


def _same_table(relation: ops.Relation, leaf: ManagedTable) -> bool:
    return isinstance(relation, ManagedTable) and relation.table_id == leaf.table_id


def _stored_columns(
    leaf: ManagedTable, record: TableRecord, names: set[str], source: Source, rows: Rows
) -> ops.Project:
    """Show stored columns by their names, the row identity, and a view's base identity."""
    physical = rows.get(leaf.table_id)
    if physical is None:
        kept = [c.physical for c in record.columns if c.name in names]
        reasons = [c.errors for c in record.columns if c.error_name in names]
        physical = visible(leaf, record, source, {RID, BASE, *kept, *reasons})
    shown: dict[str, ops.Value] = {RID: ops.Field(physical, RID)}
    if record.view:
        shown[BASE] = ops.Field(physical, BASE)
    for column in record.columns:
        if column.name in names and column.kind != "virtual":
            shown[column.name] = _stored(physical, column)
        if column.fallible and column.error_name in names:
            shown[column.error_name] = ops.Field(physical, column.errors)
    return ops.Project(physical, shown)


def _stored(physical: ops.Relation, column: Column) -> ops.Value:
    return ops.Field(physical, column.physical)


def visible(
    leaf: ManagedTable, record: TableRecord, source: Source, names: set[str] | None = None
) -> ops.Relation:
    """Read the physical rows that live at the leaf's commit.

    The latest state of a table without closed rows needs no filter at all.

    Parameters
    ----------
    names
        The physical columns that are read; None for all.
    """
    stored = source.stored(record.physical, physical_schema(record))
    if record.origin is not None:
        return _visible_branch(stored, leaf, record, source, names)
    alive = _alive(stored, leaf, source)
    return ops.Filter(stored, alive) if alive else stored


def _alive(stored: ops.Relation, leaf: ManagedTable, source: Source) -> list[ops.Value]:
    """Return what holds for the rows that live at the leaf's commit."""
    if leaf.commit is None:
        source.track_rows_read(leaf.table_id)
    if leaf.commit is None and not source.has_closed_rows(leaf.table_id):
        return []
    return _living(stored, leaf.commit)


def _living(stored: ops.Relation, commit: int | None) -> list[ops.Value]:
    to = ops.Field(stored, TO)
    if commit is None:
        return [ops.Equals(to, ops.Literal(FOREVER, dt.int64))]
    moment = ops.Literal(commit, dt.int64)
    return [ops.LessEqual(ops.Field(stored, FROM), moment), ops.Greater(to, moment)]


def _visible_branch(
    stored: ops.Relation,
    leaf: ManagedTable,
    record: TableRecord,
    source: Source,
    names: set[str] | None,
) -> ops.Relation:
    """Read the rows of a branch: its own, and those of its origin that it has no state of."""
    if record.origin is None:
        raise ValueError(f"{record.name} is no branch")
    if leaf.commit is None:
        source.track_rows_read(leaf.table_id)
    below = managed_table("origin", source, record.origin.table, commit=record.origin.commit)
    old = visible(below, source.record(below), source, names)
    known: ops.Relation = stored
    if leaf.commit is not None:
        moment = ops.Literal(leaf.commit, dt.int64)
        known = ops.Filter(stored, [ops.LessEqual(ops.Field(stored, FROM), moment)])
    hidden = ops.InSubquery(ops.Project(known, {RID: ops.Field(known, RID)}), ops.Field(old, RID))
    shared = ops.Filter(old, [ops.Not(hidden)])
    columns: dict[str, ops.Value] = {
        name: ops.Field(shared, name) if name in shared.schema else ops.Literal(None, kind)
        for name, kind in physical_schema(record).items()
        # All columns would be read as `*`, which may be more than is known.
        if name != TO and (names is None or name in names)
    }
    own = ops.Filter(stored, _living(stored, leaf.commit))
    return ops.Union(
        ops.Project(own, {name: ops.Field(own, name) for name in columns}),
        ops.Project(shared, columns),
        distinct=False,
    )


def _with_inherited(
    below: ops.Relation,
    names: set[str],
    leaf: ManagedTable,
    record: TableRecord,
    source: Source,
    rows: Rows,
) -> ops.Relation:
    """Join the rows of a view with the columns that it shows of its base."""
    if record.view is None:
        return below
    # The rows of a view have passed its filters: those are not asked again that call functions,
    # or are passed by other rows each time.
    query = source.expression(record.view.query, leaf.commit)
    query = with_rid(without_filters(query, lambda each: bool(calls_in(each)) or is_unsteady(each)))
    wanted = {name: ops.Field(query, name) for name in (RID, *sorted(names))}
    base = lower(ops.Project(query, wanted), source, rows).to_expr()
    own = below.to_expr()
    renamed = base.select(bb_base=base[RID], **{name: base[name] for name in names})
    joined = own.join(renamed, own[BASE] == renamed["bb_base"])
    return joined.select(
        *(own[name] for name in below.schema.names), *(renamed[n] for n in names)
    ).op()
