"""What the query of a view is made over: single rows of one table, or whole tables.

Owns that decision, how calls in a query over single rows become computed columns of the view, so
that they are made for new and changed rows alone, and which of its columns are kept with the
rows: items of arrays and what is random.
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
from barbule.types import refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    import ibis.expr.datatypes as dt

__all__ = ["ViewQuery", "read_query"]


@dataclass(frozen=True)
class ViewQuery:
    """The query of a view, by what has to be done when its tables change.

    Attributes
    ----------
    relation
        What the view shows, without the columns of `calls` and `rows`.
    base
        The table each of whose rows the query shows by itself; `MULTIPLE_BASES` where it puts rows
        together.
    bases
        All tables that are read, where `base` is `MULTIPLE_BASES`.
    calls
        Columns that call functions, as values over the base, in order.
    shown
        The columns of `relation` and `rows` as values over the base, where there are calls.
    rows
        The query that gives the rows and all columns that call nothing, in their order, where
        reading `relation` again would give others.
    """

    relation: ops.Relation
    base: int
    bases: tuple[int, ...] = ()
    calls: Mapping[str, ops.Value] = field(default_factory=dict)
    shown: Mapping[str, ops.Value] = field(default_factory=dict)
    rows: ops.Relation | None = None

    @property
    def kept(self) -> dict[str, dt.DataType]:
        """The columns that are kept with the rows, and their types."""
        if self.rows is None:
            return {}
        own = set(self.rows.schema.names) - set(self.relation.schema.names)
        return {name: kind for name, kind in self.rows.schema.items() if name in own}

    def over(self, name: str, leaf: ManagedTable, view: str) -> ops.Value:
        """Express a column that calls functions over the view's own leaf.

        Raises
        ------
        UnsupportedError
            When it reads a column of the base that the view does not show.
        """
        known = dict(self.shown)
        for each, value in self.calls.items():
            if each == name:
                break
            known[each] = value
        own = {value: ops.Field(leaf, each) for each, value in known.items()}
        value = self.calls[name].replace(own, filter=ops.Value)
        if changes_row_count(value):
            raise UnsupportedError(
                "the call unnests an array, whose items the view does not show.",
                table=view,
                column=name,
                hint="Select the items as a column too, and call the function with that.",
            )
        for read in value.find(ops.Field, filter=ops.Value):
            if read.rel != leaf:
                raise UnsupportedError(
                    f"the call reads {read.name!r}, which the view does not show.",
                    table=view,
                    column=name,
                    hint=f"Select {read.name!r} too: the call is made again when it changes.",
                )
        return value


def check_query(query: object, name: str) -> None:
    """Refuse what is no query: data, a column, a name.

    Raises
    ------
    ExpressionError
        It says what to write.
    """
    if isinstance(query, ir.Table):
        return
    kind = f"{type(query).__name__} of {type(query).__module__.split('.')[0]}"
    if isinstance(query, str):
        kind, hint = "a name", f"Write bb.get_table({query!r}), or a query over it."
    elif isinstance(query, GroupedTable):
        kind, hint = "a grouped query", "Aggregate it: t.group_by(t.name).agg(n=ibis._.count())."
    elif isinstance(query, ir.Value):
        kind, hint = "a column", "Write a query with it: t.select(x=...)."
    elif callable(query):
        hint = "Write the query itself: t.filter(t.n > 1)."
    else:
        hint = (
            "A view follows tables. Make a table of data, bb.create_table(name, data), and the "
            "view over that; rows that .collect() gave were asked by a query that can be the "
            "view's."
        )
    raise ExpressionError(
        f"a view is made of a query over tables, and this is {kind}.", table=name, hint=hint
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
        When the query reads no managed table, or an old version; or calls functions where
        rows are put together.
    """
    check_query(query, name)
    relation = query.op()
    for column, kind in query.schema().items():
        if refused := refusal(kind):
            reason, hint = refused
            raise ExpressionError(reason, table=name, column=column, hint=hint)
    leaves = relation.find(ManagedTable)
    if not leaves:
        raise UnsupportedError(
            "a view is made over tables of barbule, and this reads none.",
            table=name,
            hint="Insert the data into a table first.",
        )
    if any(leaf.commit is not None for leaf in leaves):
        raise UnsupportedError(
            "a view follows its base, and this is a look at an old version of it.",
            table=name,
            hint="Make the view over the table itself.",
        )
    called = bool(relation.find(FunctionCall))
    if len(leaves) == 1 and with_rid(relation) is not None and not _looks_around(relation):
        if called or is_unsteady(relation) or _unnests(relation):
            return _by_rows(relation, name)
        return ViewQuery(relation, leaves[0].table_id)
    if called:
        raise UnsupportedError(
            "its query calls functions and puts rows together.",
            table=name,
            hint="Make a view, or a computed column, with the call, and this view over that: "
            "then it is called for new rows alone.",
        )
    bases = tuple(sorted({leaf.table_id for leaf in leaves}))
    # Of the columns that the tables have now: they may get others, or other names.
    relation = prune(relation.replace({leaf: ops.Project(leaf, leaf.fields) for leaf in leaves}))
    drawn = _drawn(relation)
    if not drawn:
        return ViewQuery(relation, MULTIPLE_BASES, bases)
    shown = {name: value for name, value in relation.values.items() if name not in drawn}
    return ViewQuery(relation.copy(values=shown), MULTIPLE_BASES, bases, drawn, shown)


def _drawn(relation: ops.Relation) -> dict[str, ops.Value]:
    """Return the random columns of a query that can be computed beside its other columns.

    They are drawn for new rows alone then, and not for all whenever a table changes.
    """
    if not isinstance(relation, ops.Project | ops.JoinChain):
        return {}
    drawn = {
        name: value
        for name, value in relation.values.items()
        if is_unsteady(value) and not value.find((*LOOKS_AROUND, ops.Unnest), filter=ops.Value)
    }
    shown = {value for name, value in relation.values.items() if name not in drawn}
    read = {field for value in drawn.values() for field in value.find(ops.Field, filter=ops.Value)}
    return drawn if shown and read <= shown else {}


def _looks_around(relation: ops.Relation) -> bool:
    """Whether a value of the query depends on other rows than its own."""
    seeded = any(sample.seed is not None for sample in relation.find(ops.Sample))
    return seeded or any(
        value.find(LOOKS_AROUND, filter=ops.Value)
        for each in relation.find(ops.Relation)
        for value in own_values(each)
    )


def _unnests(relation: ops.Relation) -> bool:
    return any(
        changes_row_count(value)
        for each in relation.find(ops.Project)
        for value in each.values.values()
    )


def _by_rows(relation: ops.Relation, name: str) -> ViewQuery:
    """Take the columns that call functions out of a query, and those kept with its rows.

    Its filters may go on calling.
    """
    (leaf,) = relation.find(ManagedTable)
    values, predicates = _unfolded(relation)
    calls = {column: value for column, value in values.items() if calls_in(value)}
    known = {column: value for column, value in values.items() if column not in calls}
    if not known:
        raise UnsupportedError(
            "it shows nothing but calls.",
            table=name,
            hint="Select the columns too that the calls read: they are made again when those "
            "change.",
        )
    shown = {column: value for column, value in known.items() if not _is_kept(value)}
    steady = [each for each in predicates if not _is_kept(each)]
    filtered = ops.Filter(leaf, steady) if steady else leaf
    left = ops.Project(filtered, {c: repoint(shown[c], leaf, filtered) for c in shown})
    rows = None
    if is_unsteady(relation) or _unnests(relation):
        rows = prune(ops.Project(relation, {c: ops.Field(relation, c) for c in known}))
    return ViewQuery(left, leaf.table_id, (), calls, known, rows)


def _is_kept(value: ops.Value) -> bool:
    """Whether a value is kept with the rows of a view: it cannot be made again of their base."""
    return changes_row_count(value) or is_unsteady(value)


def _unfolded(relation: ops.Relation) -> tuple[dict[str, ops.Value], list[ops.Value]]:
    """Express the columns and predicates of a query over single rows of its table."""
    if isinstance(relation, ManagedTable):
        return {name: ops.Field(relation, name) for name in relation.schema.names}, []
    below, predicates = _unfolded(relation.parent)
    if isinstance(relation, ops.DropColumns):
        return {n: v for n, v in below.items() if n not in relation.columns_to_drop}, predicates
    known = {ops.Field(relation.parent, name): value for name, value in below.items()}
    if isinstance(relation, ops.Sample):
        return below, predicates
    if isinstance(relation, ops.Filter):
        found = [each.replace(known, filter=ops.Value) for each in relation.predicates]
        return below, [*predicates, *found]
    values = {n: v.replace(known, filter=ops.Value) for n, v in relation.values.items()}
    return values, predicates
