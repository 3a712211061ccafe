"""Whether the query of a view is over single rows of one table, or over entire tables.

Owns that decision; how calls in a query over single rows become computed columns of the view, so
that they run only for new and changed rows; and which of its columns are materialized: items of
arrays and random values.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import ibis.expr.operations as ops
import ibis.expr.types as ir
from ibis.expr.types.groupby import GroupedTable

from barbule.catalog.records import MULTIPLE_BASES
from barbule.errors import ExpressionError, UnsupportedError
from barbule.nodes import FunctionCall, ManagedTable
from barbule.planner.hidden_columns import with_rid
from barbule.planner.lineage import (
    LOOKS_AROUND,
    calls_in,
    changes_row_count,
    is_unsteady,
    own_values,
    prune,
    repoint,
)
from barbule.types import unsupported_reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    import ibis.expr.datatypes as dt

__all__ = ["ViewQuery", "read_query"]


@dataclass(frozen=True)
class ViewQuery:
    """The query of a view, divided by how its parts depend on the tables.

    Attributes
    ----------
    relation
        The columns of the view, without the columns of `calls` and `rows`.
    base
        The table whose rows the query reads one by one; `MULTIPLE_BASES` if it combines rows.
    bases
        All tables that are read, if `base` is `MULTIPLE_BASES`.
    calls
        Columns that call functions, as values over the base, in order.
    base_values
        The columns of `relation` and `rows` as values over the base, if there are calls.
    rows
        The query that returns the rows and all columns without calls, in their order, if reading
        `relation` again would return others.
    """

    relation: ops.Relation
    base: int
    bases: tuple[int, ...] = ()
    calls: Mapping[str, ops.Value] = field(default_factory=dict)
    base_values: Mapping[str, ops.Value] = field(default_factory=dict)
    rows: ops.Relation | None = None

    @property
    def materialized(self) -> dict[str, dt.DataType]:
        """The columns that are materialized with the rows, and their types."""
        if self.rows is None:
            return {}
        names = set(self.rows.schema.names) - set(self.relation.schema.names)
        return {name: kind for name, kind in self.rows.schema.items() if name in names}

    def bind_call(self, name: str, leaf: ManagedTable, view: str) -> ops.Value:
        """Express a column that calls functions over the view's own leaf.

        Raises
        ------
        UnsupportedError
            If it reads a column of the base that the view does not have.
        """
        base_values = dict(self.base_values)
        for column, value in self.calls.items():
            if column == name:
                break
            base_values[column] = value
        own_fields = {value: ops.Field(leaf, column) for column, value in base_values.items()}
        value = self.calls[name].replace(own_fields, filter=ops.Value)
        if changes_row_count(value):
            raise UnsupportedError(
                "the call unnests an array whose items are not a column of the view.",
                table=view,
                column=name,
                hint="Select the items as a column as well, and call the function with that "
                "column.",
            )
        for field_read in value.find(ops.Field, filter=ops.Value):
            if field_read.rel != leaf:
                raise UnsupportedError(
                    f"the call reads {field_read.name!r}, which is not a column of the view.",
                    table=view,
                    column=name,
                    hint=f"Select {field_read.name!r} as well: the call is repeated when it "
                    "changes.",
                )
        return value


def check_query(query: object, name: str) -> None:
    """Refuse a value that is not a query: data, a column, a name.

    Raises
    ------
    ExpressionError
        The hint says what to write.
    """
    if isinstance(query, ir.Table):
        return
    description = f"{type(query).__name__} of {type(query).__module__.split('.')[0]}"
    if isinstance(query, str):
        description, hint = "a name", f"Write bb.get_table({query!r}), or a query over it."
    elif isinstance(query, GroupedTable):
        description, hint = (
            "a grouped query",
            "Aggregate it: t.group_by(t.name).agg(n=ibis._.count()).",
        )
    elif isinstance(query, ir.Value):
        description, hint = "a column", "Write a query with it: t.select(x=...)."
    elif callable(query):
        hint = "Write the query itself: t.filter(t.n > 1)."
    else:
        hint = (
            "A view reads tables. Create a table from the data, bb.create_table(name, data), and "
            "a view over that; if the rows come from .collect(), use its query for the view."
        )
    raise ExpressionError(
        f"a view needs a query over tables, but this is {description}.", table=name, hint=hint
    )


def read_query(query: ir.Table, name: str) -> ViewQuery:
    """Read the query of a view.

    Parameters
    ----------
    name
        The name of the view, for errors.

    Raises
    ------
    UnsupportedError
        If the query reads no managed table, or an old version; or calls functions and combines
        rows.
    """
    check_query(query, name)
    relation = query.op()
    for column, dtype in query.schema().items():
        if refusal_reason := unsupported_reason(dtype):
            reason, hint = refusal_reason
            raise ExpressionError(reason, table=name, column=column, hint=hint)
    leaves = relation.find(ManagedTable)
    if not leaves:
        raise UnsupportedError(
            "a view needs a query over barbule tables, but this reads none.",
            table=name,
            hint="Insert the data into a table first.",
        )
    if any(leaf.commit is not None for leaf in leaves):
        raise UnsupportedError(
            "a view needs the current version of a table, but this is an old version.",
            table=name,
            hint="Create the view over the table itself.",
        )
    has_calls = bool(relation.find(FunctionCall))
    if len(leaves) == 1 and with_rid(relation) is not None and not _reads_other_rows(relation):
        if has_calls or is_unsteady(relation) or _unnests(relation):
            return _row_view_query(relation, name)
        return ViewQuery(relation, leaves[0].table_id)
    if has_calls:
        raise UnsupportedError(
            "its query calls functions and combines rows.",
            table=name,
            hint="Create a view or a computed column with the call, and this view over that: "
            "then the function is called only for new rows.",
        )
    bases = tuple(sorted({leaf.table_id for leaf in leaves}))
    # The columns that the tables have now: they may get others, or other names.
    relation = prune(relation.replace({leaf: ops.Project(leaf, leaf.fields) for leaf in leaves}))
    random_columns = _random_columns(relation)
    if not random_columns:
        return ViewQuery(relation, MULTIPLE_BASES, bases)
    base_values = {
        name: value for name, value in relation.values.items() if name not in random_columns
    }
    return ViewQuery(
        relation.copy(values=base_values), MULTIPLE_BASES, bases, random_columns, base_values
    )


def _random_columns(relation: ops.Relation) -> dict[str, ops.Value]:
    """Return the random columns of a query that can be computed separately.

    They are then drawn only for new rows, and not for all rows whenever a table changes.
    """
    if not isinstance(relation, ops.Project | ops.JoinChain):
        return {}
    random_columns = {
        name: value
        for name, value in relation.values.items()
        if is_unsteady(value) and not value.find((*LOOKS_AROUND, ops.Unnest), filter=ops.Value)
    }
    base_values = {value for name, value in relation.values.items() if name not in random_columns}
    fields_read = {
        field
        for value in random_columns.values()
        for field in value.find(ops.Field, filter=ops.Value)
    }
    return random_columns if base_values and fields_read <= base_values else {}


def _reads_other_rows(relation: ops.Relation) -> bool:
    """Whether a value of the query depends on other rows than its own."""
    has_seeded_sample = any(sample.seed is not None for sample in relation.find(ops.Sample))
    return has_seeded_sample or any(
        value.find(LOOKS_AROUND, filter=ops.Value)
        for node in relation.find(ops.Relation)
        for value in own_values(node)
    )


def _unnests(relation: ops.Relation) -> bool:
    return any(
        changes_row_count(value)
        for projection in relation.find(ops.Project)
        for value in projection.values.values()
    )


def _row_view_query(relation: ops.Relation, name: str) -> ViewQuery:
    """Split a query into computed columns, materialized columns and the remaining query.

    Its filters may still contain calls.
    """
    (leaf,) = relation.find(ManagedTable)
    values, predicates = _values_over_base(relation)
    calls = {column: value for column, value in values.items() if calls_in(value)}
    base_values = {column: value for column, value in values.items() if column not in calls}
    if not base_values:
        raise UnsupportedError(
            "all its columns are calls.",
            table=name,
            hint="Select the columns that the calls read as well: the calls are repeated when "
            "those change.",
        )
    reproducible = {
        column: value for column, value in base_values.items() if not _is_materialized(value)
    }
    reproducible_predicates = [
        predicate for predicate in predicates if not _is_materialized(predicate)
    ]
    filtered = ops.Filter(leaf, reproducible_predicates) if reproducible_predicates else leaf
    shown_relation = ops.Project(
        filtered, {column: repoint(reproducible[column], leaf, filtered) for column in reproducible}
    )
    rows = None
    if is_unsteady(relation) or _unnests(relation):
        rows = prune(
            ops.Project(relation, {column: ops.Field(relation, column) for column in base_values})
        )
    return ViewQuery(shown_relation, leaf.table_id, (), calls, base_values, rows)


def _is_materialized(value: ops.Value) -> bool:
    """Whether a value is materialized in a view because it is not reproducible from the base."""
    return changes_row_count(value) or is_unsteady(value)


def _values_over_base(relation: ops.Relation) -> tuple[dict[str, ops.Value], list[ops.Value]]:
    """Express the columns and predicates of a query over single rows of its table."""
    if isinstance(relation, ManagedTable):
        return {name: ops.Field(relation, name) for name in relation.schema.names}, []
    parent_values, predicates = _values_over_base(relation.parent)
    if isinstance(relation, ops.DropColumns):
        return {
            column: value
            for column, value in parent_values.items()
            if column not in relation.columns_to_drop
        }, predicates
    parent_fields = {
        ops.Field(relation.parent, name): value for name, value in parent_values.items()
    }
    if isinstance(relation, ops.Sample):
        return parent_values, predicates
    if isinstance(relation, ops.Filter):
        own_predicates = [
            predicate.replace(parent_fields, filter=ops.Value) for predicate in relation.predicates
        ]
        return parent_values, [*predicates, *own_predicates]
    values = {
        name: value.replace(parent_fields, filter=ops.Value)
        for name, value in relation.values.items()
    }
    return values, predicates
