"""Which columns of their bases views read, and which they show.

Owns what follows from the queries of views; nothing is computed here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import ibis.expr.operations as ops

from barbule.nodes import ManagedTable
from barbule.planner.lineage import LOOKS_AROUND, changes_row_count, is_unsteady, own_values, trace
from barbule.planner.lowering.table_schemas import stored_view_columns
from barbule.tables.compute.dependencies import reads
from barbule.tables.views.incremental import ITEMS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from collections.abc import Set as AbstractSet

    from barbule.catalog.records import TableRecord
    from barbule.executor.engine import Engine

__all__ = [
    "read_by_filters",
    "read_by_view",
    "read_of_base",
    "read_to_make_rows",
    "readers_of",
    "shown_of",
    "steady_columns",
]


def read_by_filters(engine: Engine, view: TableRecord) -> set[str]:
    """Return the columns of its base on which it depends which rows a view keeps."""
    found: set[str] = set()
    if view.view is not None:
        query = engine.expression(view.view.query, None)
        for kept in query.find(ops.Filter):
            for predicate in kept.predicates:
                found |= read_of_base(predicate)
    return found


def read_to_make_rows(engine: Engine, view: TableRecord) -> set[str]:
    """Return the columns of its base of which a view makes its rows, and what is kept with them.

    By an iterator, by unnesting, or by what is another each time that it is computed.
    """
    found: set[str] = set()
    if view.view is None:
        return found
    if view.view.items:
        found |= read_of_base(engine.expression(view.view.items, None).values[ITEMS])
    if view.view.rows:
        rows = engine.expression(view.view.rows, None)
        values = [ops.Field(rows, name) for name in stored_view_columns(view, None, engine)]
        predicates = [each for kept in rows.find(ops.Filter) for each in kept.predicates]
        values += [each for each in predicates if is_unsteady(each) or changes_row_count(each)]
        for value in values:
            found |= read_of_base(value)
    return found


def read_by_view(engine: Engine, view: TableRecord) -> set[str]:
    """Return the columns of its base that a view would miss: those it only hands on left out."""
    found: set[str] = set()
    if view.view is None:
        return found
    query = engine.expression(view.view.query, None)
    if view.view.bases:
        fields = query.find(ops.Field)
        # A join reads its tables by way of references to them.
        return {f.name for f in fields if isinstance(f.rel, ManagedTable | ops.Reference)}
    values = [value for each in query.find(ops.Relation) for value in own_values(each)]
    if view.view.rows:
        rows = engine.expression(view.view.rows, None)
        values += [each for kept in rows.find(ops.Filter) for each in kept.predicates]
        values += [ops.Field(rows, name) for name in stored_view_columns(view, None, engine)]
    if view.view.items:
        values.append(engine.expression(view.view.items, None).values[ITEMS])
    for value in values:
        found |= read_of_base(value)
    handed_on = {name: read_of_base(ops.Field(query, name)) for name in query.schema.names}
    for column in view.columns:
        if column.kind != "data":
            for name in reads(engine, view, column):
                found |= handed_on.get(name, set())
    return found


def readers_of(
    engine: Engine,
    record: TableRecord,
    names: set[str],
    skip: Callable[[TableRecord], bool] = lambda _view: False,
) -> list[TableRecord]:
    """Return the views that would miss columns of a table, directly or by way of other views.

    Parameters
    ----------
    skip
        Tells the views that are to be passed over themselves; those over them are not.
    """
    if not names:
        return []
    views = engine.catalog.views_of(record.id)
    all_views = (*views, *engine.catalog.queries_over(record.id))
    found = [v for v in all_views if not skip(v) and read_by_view(engine, v) & names]
    for view in views:
        if view not in found:
            found += readers_of(engine, view, shown_of(engine, view, names), skip)
    return list({each.id: each for each in found}.values())


def shown_of(engine: Engine, view: TableRecord, names: set[str]) -> set[str]:
    """Return the columns that a view shows of its base and that are made of some of its columns."""
    return {name for name, read in _shown(engine, view).items() if read & names}


def _shown(engine: Engine, view: TableRecord) -> dict[str, set[str]]:
    """Return for each column that a view shows of its base the columns that it is made of."""
    if view.view is None:
        return {}
    query = engine.expression(view.view.query, None)
    return {name: read_of_base(ops.Field(query, name)) for name in query.schema.names}


def read_of_base(value: ops.Value) -> set[str]:
    """Return the columns of the base that a value over its query is made of."""
    found: set[str] = set()
    for field in value.find(ops.Field, filter=ops.Value):
        below = trace(field)
        if not isinstance(below, ops.Field):
            found |= read_of_base(below)
        elif isinstance(below.rel, ManagedTable):
            found.add(below.name)
        else:
            found |= read_of_base(ops.Field(below.rel.parent, below.name))
    return found


def steady_columns(
    engine: Engine, view: TableRecord, changed: Mapping[int, AbstractSet[str]]
) -> list[str]:
    """Return the columns of a view's whole query that tell which of its rows is which.

    These are the keys of an aggregate; elsewhere what is made of columns alone that did not
    change.

    Parameters
    ----------
    changed
        The columns that changed, by table.
    """
    if view.view is None:
        return []
    query = engine.expression(view.view.query, None)
    names = [column.name for column in view.columns if column.kind == "data"]
    return [name for name in names if _is_steady(ops.Field(query, name), changed)]


def _is_steady(value: ops.Value, changed: Mapping[int, AbstractSet[str]]) -> bool:
    if value.find(LOOKS_AROUND, filter=ops.Value):
        return False
    return all(
        all(_is_steady(each, changed) for each in _one_level_down(field))
        if not isinstance(field.rel, ManagedTable)
        else field.name not in changed.get(field.rel.table_id, ())
        for field in value.find(ops.Field, filter=ops.Value)
    )


def _one_level_down(field: ops.Field) -> list[ops.Value]:
    """Return what a column of a relation is made of: values of the relations that it reads."""
    relation, name = field.rel, field.name
    if isinstance(relation, ops.Aggregate):
        return [relation.groups.get(name) or relation.metrics[name]]
    if isinstance(relation, ops.Project | ops.JoinChain):
        return [relation.values[name]]
    below = [each for each in relation.args if isinstance(each, ops.Relation)]
    return [ops.Field(each, name) for each in below if name in each.schema]
