"""Changes of structure: tables and views are made and dropped, columns and indexes added.

Owns what each does to the catalog and to stored rows.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import ibis.expr.types as ir

from barbule import types
from barbule.backends.base import BASE, FOREVER, FROM, RID, TO
from barbule.catalog import codec
from barbule.catalog.records import Column, Index, TableRecord, View
from barbule.errors import (
    ColumnNotFoundError,
    ConfigurationError,
    ExpressionError,
    SchemaError,
    TableExistsError,
    TableNotFoundError,
    UnsupportedError,
)
from barbule.functions.registry import Function
from barbule.nodes import FunctionCall, ManagedTable
from barbule.planner.lineage import calls_in
from barbule.planner.lower import physical_schema
from barbule.tables.change import Change, UpdateResult, mutate
from barbule.tables.columns import bind_column, compute, dependents, new_column, physical_rows
from barbule.tables.views import (
    base_of,
    data_columns,
    items_query,
    iterator_columns,
    write_rows,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from barbule.executor.engine import Engine

__all__ = ["add_computed_columns", "add_embedding_index", "create_table", "create_view", "drop"]

IfExists = Literal["error", "ignore", "replace", "replace_force"]
_IF_EXISTS = ("error", "ignore", "replace", "replace_force")
_METRICS = ("cosine", "ip", "l2")
_RESERVED = {RID, FROM, TO, BASE}


def _check_policy(value: str, allowed: tuple[str, ...], name: str) -> None:
    if value not in allowed:
        raise ConfigurationError(
            f"{name} is one of {', '.join(map(repr, allowed))}.", value=value, hint="Choose one."
        )


def _check_names(names: Any, table: str) -> None:
    for name in names:
        if name in _RESERVED or name.lower().startswith("bb_"):
            raise SchemaError(
                "this name is kept for barbule.",
                table=table,
                column=name,
                hint="Names that begin with bb_, and _rid, _base, _from, _to are not available.",
            )


def _present(engine: Engine, name: str, if_exists: IfExists) -> TableRecord | None:
    """Return the table that stays under a name, if there is one and it stays.

    Raises
    ------
    TableExistsError
        When there is one and it is in the way.
    """
    _check_policy(if_exists, _IF_EXISTS, "if_exists")
    if not isinstance(name, str) or not all(name.split(".")):
        raise SchemaError(
            "a table has a name, with dots between folders.", value=name, hint='"docs.reports".'
        )
    present = engine.catalog.find(name)
    if present is not None and if_exists == "error":
        raise TableExistsError(
            "the name is taken.",
            table=name,
            hint='Choose another name, or give if_exists="ignore" or "replace".',
        )
    return present if if_exists == "ignore" else None


def _make_room(change: Change, name: str, if_exists: IfExists) -> list[TableRecord]:
    """Drop what has to go to make room for another table; return it."""
    present = change.engine.catalog.find(name)
    if present is None:
        return []
    if if_exists in {"error", "ignore"}:
        raise TableExistsError(
            "the name has just been taken.", table=name, hint="Choose another name."
        )
    doomed = _doomed(change.engine, present, cascade=if_exists == "replace_force")
    _remove(change, doomed)
    return doomed


def create_table(
    engine: Engine, name: str, columns: Any, if_exists: IfExists = "error"
) -> ManagedTable:
    """Make a table; return its leaf."""
    engine.catalog.refresh()
    if (present := _present(engine, name, if_exists)) is not None:
        return engine.leaf(present.id)
    schema = types.schema(columns)
    _check_names(schema.names, name)
    if not schema.names:
        raise SchemaError("a table has at least one column.", table=name)
    made = tuple(
        Column(id=place, name=column, dtype=kind)
        for place, (column, kind) in enumerate(schema.items())
    )

    def work(change: Change) -> int:
        _make_room(change, name, if_exists)
        record = TableRecord(engine.catalog.next_table_id(), name, made, next_column=len(made))
        change.put(record)
        change.create(record)
        return record.id

    _, table_id = mutate(engine, "create table", work)
    return engine.leaf(table_id)


def drop(engine: Engine, name: str, *, cascade: bool = False) -> None:
    """Drop a table or view with its rows and indexes.

    Raises
    ------
    TableNotFoundError
        When there is none of that name.
    TableExistsError
        When views depend on it and `cascade` is False.
    """

    def work(change: Change) -> None:
        record = engine.catalog.find(name)
        if record is None:
            raise TableNotFoundError(
                "there is no table of this name.",
                table=name,
                hint="bb.list_tables() lists them; if_not_exists='ignore' passes over it.",
            )
        _remove(change, _doomed(engine, record, cascade=cascade))

    mutate(engine, "drop table", work)


def _doomed(engine: Engine, record: TableRecord, *, cascade: bool) -> list[TableRecord]:
    """Return what is dropped with a table: the views that depend on it, then itself."""
    views = engine.catalog.views_of(record.id)
    if views and not cascade:
        raise TableExistsError(
            f"it is the base of {', '.join(repr(view.name) for view in views)}.",
            table=record.name,
            hint="Drop them first, or say cascade=True (if_exists='replace_force').",
        )
    return [*(each for view in views for each in _doomed(engine, view, cascade=True)), record]


def _remove(change: Change, doomed: list[TableRecord]) -> None:
    for record in doomed:
        change.put(replace(record, dropped=True, compacted=FOREVER))
        change.drop_rows(record)
        for index in record.indexes:
            change.afterwards(partial(change.engine.indexing.drop, record, index))


def create_view(
    engine: Engine,
    name: str,
    query: ir.Table,
    *,
    iterator: Any = None,
    computed_columns: Mapping[str, Any] | None = None,
    if_exists: IfExists = "error",
) -> ManagedTable:
    """Make a view and compute its rows; return its leaf."""
    engine.catalog.refresh()
    if (present := _present(engine, name, if_exists)) is not None:
        return engine.leaf(present.id)
    base_id = base_of(query, name).table_id
    items = None if iterator is None else items_query(query, iterator, name)
    own = [] if items is None else iterator_columns(items)
    _check_view_names([column for column, _ in own], query, name)
    view = View(base_id, codec.dump(query.op()), codec.dump(items) if items else None)

    def work(change: Change) -> int:
        base = engine.catalog.record(base_id)
        if base in _make_room(change, name, if_exists):
            raise TableExistsError(
                "a view cannot take the place of what it is computed from.",
                table=name,
                hint="Choose another name.",
            )
        record = TableRecord(
            engine.catalog.next_table_id(),
            name,
            tuple(data_columns(0, own)),
            view=view,
            next_column=len(own),
        )
        change.put(record)
        record = _with_computed(change, record, computed_columns or {}, query)
        change.create(record)
        write_rows(change, record, base, None)
        return record.id

    _, table_id = mutate(engine, "create view", work, slow=True)
    return engine.leaf(table_id)


def _check_view_names(names: list[str], query: ir.Table, view: str) -> None:
    _check_names(names, view)
    for name in names:
        if name in query.columns:
            raise SchemaError(
                "the iterator gives a column that the base has already.",
                table=view,
                column=name,
                hint="Leave it out of the base: create_view(name, table.select(...)).",
            )


def _with_computed(
    change: Change, record: TableRecord, computed: Mapping[str, Any], query: ir.Table
) -> TableRecord:
    """Add the computed columns that a view is created with."""
    engine = change.engine
    _check_names(computed, record.name)
    for column, expr in computed.items():
        if column in query.columns or record.column(column):
            raise SchemaError(
                "the view has a column of this name already.",
                table=record.name,
                column=column,
                hint="Give the computed column another name.",
            )
        leaf = engine.leaf(record.id)
        # The expression is over the base's columns; the view shows the same names.
        bound = bind_column(query, expr, column)
        sources = {query.op(), *query.op().find(ManagedTable)}
        moved = {
            field: ops.Field(leaf, field.name)
            for field in bound.find(ops.Field, filter=ops.Value)
            if field.rel in sources
        }
        value = bound.replace(moved, filter=ops.Value)
        record = record.with_columns(new_column(record, column, value, stored=None))
        change.put(record)
    return record


def add_computed_columns(
    table: ir.Table,
    columns: Mapping[str, Any],
    *,
    stored: bool | None = None,
    if_exists: IfExists = "error",
) -> UpdateResult:
    """Add computed columns and compute them for all rows."""
    leaf = table.op()
    engine: Engine = leaf.source
    _check_policy(if_exists, _IF_EXISTS[:3], "if_exists")
    _refuse_old(leaf)
    engine.catalog.refresh()
    record = engine.catalog.record(leaf.table_id)
    _check_names(columns, record.name)
    wanted = {
        name: bind_column(table, expr, name)
        for name, expr in columns.items()
        if _is_wanted(table, record, name, if_exists)
    }
    if not wanted:
        return UpdateResult(0, 0, engine.catalog.latest(record.id).version)
    calls = [call for value in wanted.values() for call in calls_in(value)]
    engine.caller.expect(call.function for call in calls)

    def work(change: Change) -> int:
        return _add_columns(change, engine.catalog.record(leaf.table_id), wanted, stored=stored)[1]

    change, count = mutate(engine, "add computed column", work, slow=bool(calls))
    return change.result(UpdateResult, record.id, count)  # type: ignore[return-value]


def _refuse_old(leaf: ManagedTable) -> None:
    if leaf.commit is not None:
        raise UnsupportedError(
            "this is a look at an old version, which cannot be changed.",
            table=leaf.name,
            hint="Change the table itself.",
        )


def _is_wanted(table: ir.Table, record: TableRecord, name: str, if_exists: IfExists) -> bool:
    if name not in table.columns:
        return True
    if if_exists == "ignore":
        return False
    column = record.column(name)
    if if_exists == "replace" and column is not None and column.kind != "data":
        return True
    raise SchemaError(
        "the column exists already."
        if if_exists == "error"
        else "only a computed column of the table itself can be replaced by another.",
        table=record.name,
        column=name,
        hint='Choose another name, or give if_exists="replace" for a computed column.',
    )


def _add_columns(
    change: Change,
    record: TableRecord,
    values: Mapping[str, ops.Value],
    *,
    stored: bool | None,
    hidden: bool = False,
) -> tuple[TableRecord, int]:
    """Add columns, or put them in the place of those of their names, and fill them.

    Returns
    -------
    tuple
        The table with the columns, and for how many rows they were computed.
    """
    engine = change.engine
    replaced = {name for name in values if record.column(name)}
    downstream = dependents(engine, record, replaced) if replaced else []
    fresh = []
    for name, value in values.items():
        _refuse_cycle(record, name, downstream if name in replaced else [], value)
        column = new_column(record, name, value, stored=stored, hidden=hidden)
        old = record.column(name)
        record = record.in_place_of(old, column) if old else record.with_columns(column)
        fresh.append(column)
    # What is computed from them anew gets other places too: old versions keep what they had.
    for column in downstream:
        if column.kind == "stored" and column.name not in values:
            moved = replace(column, id=record.next_column)
            for index in record.indexes:
                if index.embedding == column.id:
                    change.afterwards(partial(engine.indexing.drop, record, index))
            record = record.in_place_of(column, moved)
            fresh.append(moved)
    change.put(record)
    made = [column for column in fresh if column.kind == "stored"]
    for column in made:
        change.add_column(record, column)
    if not made:
        return record, 0
    rows = compute(change, record, _live_rows(engine, record, made), made)
    for column in made:
        change.fill(record, column.physical, rows)
    change.touch(record.id, rows=rows.num_rows)
    return record, rows.num_rows


def _live_rows(engine: Engine, record: TableRecord, empty: list[Column]) -> Any:
    """Read all live rows, but not the columns that are about to be filled."""
    without = replace(record, columns=tuple(c for c in record.columns if c not in empty))
    return physical_rows(engine, without, engine.leaf(record.id, hidden=True).to_expr())


def _refuse_cycle(
    record: TableRecord, name: str, downstream: list[Column], value: ops.Value
) -> None:
    read = {field.name for field in value.find(ops.Field)}
    circle = read & {name, *(column.name for column in downstream)}
    if circle:
        raise ExpressionError(
            f"the column would be computed from itself, by way of {', '.join(sorted(circle))}.",
            table=record.name,
            column=name,
            hint="Compute it from other columns.",
        )


def add_embedding_index(
    table: ir.Table,
    column: str,
    embedding: Function,
    *,
    metric: str = "cosine",
    name: str | None = None,
    if_exists: IfExists = "error",
) -> UpdateResult:
    """Embed a column, keep the vectors with the rows, and index them."""
    leaf = table.op()
    engine: Engine = leaf.source
    _refuse_old(leaf)
    _check_policy(metric, _METRICS, "metric")
    _check_policy(if_exists, _IF_EXISTS[:3], "if_exists")
    engine.catalog.refresh()
    record = engine.catalog.record(leaf.table_id)
    searched = record.column(column)
    if searched is None:
        raise ColumnNotFoundError(
            "there is no such column to index.",
            table=record.name,
            column=column,
            hint=f"Columns of its own are {', '.join(c.name for c in record.columns)}.",
        )
    title = name or f"{column}_{getattr(embedding, 'name', 'embedding').rsplit('.', 1)[-1]}"
    if any(index.name == title for index in record.indexes):
        if if_exists == "ignore":
            return UpdateResult(0, 0, engine.catalog.latest(record.id).version)
        if if_exists == "error":
            raise TableExistsError(
                f"there is an embedding index {title!r} already.",
                table=record.name,
                column=column,
                hint='Give it another name=, or if_exists="replace".',
            )
    value = _embedded(table, column, embedding)

    def work(change: Change) -> int:
        record = engine.catalog.record(leaf.table_id)
        if any(index.name == title for index in record.indexes):
            record = _without_index(change, record, title)
        hidden = f"bb_embedding_{record.next_column}"
        before = record.next_column
        record, count = _add_columns(change, record, {hidden: value}, stored=True, hidden=True)
        index = Index(title, searched.id, before, metric)
        change.put(replace(record, indexes=(*record.indexes, index)))
        return count

    change, count = mutate(engine, "add embedding index", work, slow=True)
    return change.result(UpdateResult, record.id, count)  # type: ignore[return-value]


def _without_index(change: Change, record: TableRecord, name: str) -> TableRecord:
    index = next(each for each in record.indexes if each.name == name)
    change.afterwards(partial(change.engine.indexing.drop, record, index))
    vector = record.column_by_id(index.embedding)
    return replace(
        record.with_columns(without=(vector.name,)),
        indexes=tuple(each for each in record.indexes if each.name != name),
    )


def _embedded(table: ir.Table, column: str, embedding: Function) -> ops.Value:
    """Make the call that embeds a column; its answers are kept in the ledger."""
    if not isinstance(embedding, Function):
        raise ExpressionError(
            "an embedding is a function of barbule.",
            table=table.get_name(),
            column=column,
            value=embedding,
            hint="Decorate it with @bb.udf(batch_size=32) and annotate its result as "
            "list[bb.Vector(n)].",
        )
    value = embedding.of(table[column], cached=True).op()
    kind = value.dtype
    fits = isinstance(kind, dt.Array) and isinstance(kind.value_type, dt.Float32) and kind.length
    if not fits or not isinstance(value, FunctionCall):
        raise ExpressionError(
            f"{embedding.name} gives {kind}, not vectors of a known length.",
            table=table.get_name(),
            column=column,
            hint="Annotate its result as bb.Vector(n), in a batch function list[bb.Vector(n)].",
        )
    return value
