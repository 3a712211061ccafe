"""The columns of their bases that views read, and the columns of views that derive from them.

Owns the conclusions from the queries of views; nothing is computed here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import ibis.expr.operations as ops

from barbule.nodes import ManagedTable
from barbule.planner.lineage import LOOKS_AROUND, changes_row_count, is_unsteady, own_values, trace
from barbule.planner.lowering.table_schemas import stored_view_columns
from barbule.tables.compute.dependencies import columns_read
from barbule.tables.views.incremental import ITEMS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from collections.abc import Set as AbstractSet

    from barbule.catalog.records import TableRecord
    from barbule.executor.engine import Engine

__all__ = [
    "base_columns_of",
    "columns_read_by_filters",
    "columns_read_by_view",
    "columns_read_for_rows",
    "derived_columns",
    "row_key_columns",
    "views_reading",
]


def columns_read_by_filters(engine: Engine, view: TableRecord) -> frozenset[str]:
    """Return the columns of its base that the filters of a view read."""

    def names(query: ops.Relation) -> frozenset[str]:
        predicates = (value for filtered in query.find(ops.Filter) for value in filtered.predicates)
        return frozenset(name for value in predicates for name in base_columns_of(value))

    if view.view is None:
        return frozenset()
    return engine.facts.derived("columns read by filters", view.view.query, names)


def columns_read_for_rows(engine: Engine, view: TableRecord) -> set[str]:
    """Return the columns of its base that determine a view's rows and materialized columns.

    Through an iterator, through unnesting, or through values that differ on each computation.
    """
    names: set[str] = set()
    if view.view is None:
        return names
    if view.view.items:
        names |= base_columns_of(engine.expression(view.view.items, None).values[ITEMS])
    if view.view.rows:
        rows = engine.expression(view.view.rows, None)
        values = [ops.Field(rows, name) for name in stored_view_columns(view, None, engine.facts)]
        predicates = [
            predicate for filtered in rows.find(ops.Filter) for predicate in filtered.predicates
        ]
        values += [
            predicate
            for predicate in predicates
            if is_unsteady(predicate) or changes_row_count(predicate)
        ]
        for value in values:
            names |= base_columns_of(value)
    return names


def columns_read_by_view(engine: Engine, view: TableRecord) -> set[str]:
    """Return the columns of its base that a view needs; not those it only passes through."""
    names: set[str] = set()
    if view.view is None:
        return names
    query = engine.expression(view.view.query, None)
    if view.view.bases:
        fields = query.find(ops.Field)
        # A join reads its tables through references to them.
        return {
            field.name for field in fields if isinstance(field.rel, ManagedTable | ops.Reference)
        }
    values = [value for relation in query.find(ops.Relation) for value in own_values(relation)]
    if view.view.rows:
        rows = engine.expression(view.view.rows, None)
        values += [
            predicate for filtered in rows.find(ops.Filter) for predicate in filtered.predicates
        ]
        values += [ops.Field(rows, name) for name in stored_view_columns(view, None, engine.facts)]
    if view.view.items:
        values.append(engine.expression(view.view.items, None).values[ITEMS])
    for value in values:
        names |= base_columns_of(value)
    passed_through = {name: base_columns_of(ops.Field(query, name)) for name in query.schema.names}
    for column in view.columns:
        if column.kind != "data":
            for name in columns_read(engine, view, column):
                names |= passed_through.get(name, set())
    return names


def views_reading(
    engine: Engine,
    record: TableRecord,
    names: set[str],
    skip: Callable[[TableRecord], bool] = lambda _view: False,
) -> list[TableRecord]:
    """Return the views that need columns of a table, directly or through other views.

    Parameters
    ----------
    skip
        Selects the views to skip; views over them are not skipped.
    """
    if not names:
        return []
    views = engine.catalog.views_of(record.id)
    all_views = (*views, *engine.catalog.queries_over(record.id))
    readers = [
        view for view in all_views if not skip(view) and columns_read_by_view(engine, view) & names
    ]
    for view in views:
        if view not in readers:
            readers += views_reading(engine, view, derived_columns(engine, view, names), skip)
    return list({reader.id: reader for reader in readers}.values())


def derived_columns(engine: Engine, view: TableRecord, names: set[str]) -> set[str]:
    """Return the columns of a view's query that derive from columns of its base."""
    return {
        name for name, sources in _base_columns_by_name(engine, view).items() if sources & names
    }


def _base_columns_by_name(engine: Engine, view: TableRecord) -> Mapping[str, set[str]]:
    """Return for each column of a view's query the columns of the base it derives from."""

    def sources(query: ops.Relation) -> dict[str, set[str]]:
        return {name: base_columns_of(ops.Field(query, name)) for name in query.schema.names}

    if view.view is None:
        return {}
    return engine.facts.derived("columns derived from", view.view.query, sources)


def base_columns_of(value: ops.Value) -> set[str]:
    """Return the columns of the base that a value over its query derives from."""
    names: set[str] = set()
    for field in value.find(ops.Field, filter=ops.Value):
        source = trace(field)
        if not isinstance(source, ops.Field):
            names |= base_columns_of(source)
        elif isinstance(source.rel, ManagedTable):
            names.add(source.name)
        else:
            names |= base_columns_of(ops.Field(source.rel.parent, source.name))
    return names


def row_key_columns(
    engine: Engine, view: TableRecord, changed: Mapping[int, AbstractSet[str]]
) -> list[str]:
    """Return the columns that identify the rows of a view with a full refresh.

    These are the keys of an aggregate; otherwise the columns that are computed only from unchanged
    columns.

    Parameters
    ----------
    changed
        The columns that changed, by table.
    """
    if view.view is None:
        return []
    query = engine.expression(view.view.query, None)
    names = [column.name for column in view.columns if column.kind == "data"]
    return [name for name in names if _is_unchanged(ops.Field(query, name), changed)]


def _is_unchanged(value: ops.Value, changed: Mapping[int, AbstractSet[str]]) -> bool:
    if value.find(LOOKS_AROUND, filter=ops.Value):
        return False
    return all(
        all(_is_unchanged(source, changed) for source in _source_values(field))
        if not isinstance(field.rel, ManagedTable)
        else field.name not in changed.get(field.rel.table_id, ())
        for field in value.find(ops.Field, filter=ops.Value)
    )


def _source_values(field: ops.Field) -> list[ops.Value]:
    """Return the values over its parents that a column of a relation is computed from."""
    relation, name = field.rel, field.name
    if isinstance(relation, ops.Aggregate):
        return [relation.groups.get(name) or relation.metrics[name]]
    if isinstance(relation, ops.Project | ops.JoinChain):
        return [relation.values[name]]
    parents = [parent for parent in relation.args if isinstance(parent, ops.Relation)]
    return [ops.Field(parent, name) for parent in parents if name in parent.schema]
