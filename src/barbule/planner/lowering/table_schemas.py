"""The schemas of a managed table: physical, hidden and visible columns.

Owns which columns a table has for users and for barbule.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import ibis.expr.datatypes as dt
import ibis.expr.schema as sch

from barbule.backends.base import BASE, FROM, RID, TO
from barbule.nodes import CELL_ERROR_TYPE
from barbule.types import storage

if TYPE_CHECKING:
    from barbule.catalog.records import TableRecord
    from barbule.planner.facts import PlannerFacts

__all__ = [
    "hidden_columns",
    "inherited_columns",
    "physical_names",
    "physical_schema",
    "stored_view_columns",
    "visible_schema",
]


def physical_schema(record: TableRecord) -> sch.Schema:
    """Return the schema of a table's rows in the backend."""
    keys = {RID: dt.int64, FROM: dt.int64, TO: dt.int64}
    if record.view:
        keys[BASE] = dt.int64
    stored = {
        column.physical: storage(column.dtype)
        for column in record.columns
        if column.kind != "virtual"
    }
    errors = {column.errors: CELL_ERROR_TYPE for column in record.columns if column.fallible}
    return sch.Schema({**keys, **stored, **errors})


def physical_names(record: TableRecord) -> dict[str, str]:
    """Return the physical names of stored columns, and of those with their errors."""
    stored = {column.name: column.physical for column in record.columns if column.kind != "virtual"}
    errors = {column.error_name: column.errors for column in record.columns if column.fallible}
    return {**stored, **errors}


def hidden_columns(record: TableRecord) -> dict[str, dt.DataType]:
    """Return the columns of a hidden leaf that are not visible to users."""
    embeddings = {column.name: column.dtype for column in record.columns if column.hidden}
    keys = {RID: dt.int64, BASE: dt.int64} if record.view else {RID: dt.int64}
    errors = {column.error_name: CELL_ERROR_TYPE for column in record.columns if column.fallible}
    return {**keys, **embeddings, **errors}


def inherited_columns(record: TableRecord, commit: int | None, facts: PlannerFacts) -> sch.Schema:
    """Return the columns that a view takes from its base."""
    if record.view is None or record.view.bases:
        return sch.Schema({})
    # Names of the view's own columns take precedence; there are none at its creation.
    query_schema = facts.expression(record.view.query, commit).schema
    own_names = {column.name for column in record.columns}
    return sch.Schema({name: kind for name, kind in query_schema.items() if name not in own_names})


def stored_view_columns(record: TableRecord, commit: int | None, facts: PlannerFacts) -> list[str]:
    """Return the names of the columns that the query of a view's rows adds to those of its base.

    They were the first own columns of the view, in this order; the view may have renamed them.
    """
    if record.view is None or record.view.rows is None:
        return []
    query_schema = facts.expression(record.view.query, commit).schema
    row_schema = facts.expression(record.view.rows, commit).schema
    return [name for name in row_schema.names if name not in query_schema]


def visible_schema(record: TableRecord, commit: int | None, facts: PlannerFacts) -> sch.Schema:
    """Return the visible columns of a table, in their order."""
    columns = dict(inherited_columns(record, commit, facts).items())
    columns |= {column.name: column.dtype for column in record.columns if not column.hidden}
    if record.view is None or record.view.rows is None:
        return sch.Schema(columns)
    names_by_id = {column.id: column.name for column in record.columns}
    stored_names = stored_view_columns(record, commit, facts)
    new_names = {name: names_by_id.get(number) for number, name in enumerate(stored_names)}
    row_names = facts.expression(record.view.rows, commit).schema.names
    ordered = [new_names.get(name, name) for name in row_names]
    first = [name for name in ordered if name in columns]
    return sch.Schema({name: columns[name] for name in dict.fromkeys((*first, *columns))})
