"""What the query of a view is made over: single rows of one table, or whole tables.

Owns that decision, and how calls in a query that keeps rows become computed columns of the view,
so that they are made for new and changed rows alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import ibis.expr.operations as ops

from barbule.catalog.records import MANY
from barbule.errors import UnsupportedError
from barbule.nodes import FunctionCall, ManagedTable
from barbule.planner.lineage import LOOKS_AROUND, calls_in, own_values, repoint, with_rid

if TYPE_CHECKING:
    from collections.abc import Mapping

    import ibis.expr.types as ir

__all__ = ["ViewQuery", "read_query"]


@dataclass(frozen=True)
class ViewQuery:
    """The query of a view, by what has to be done when its tables change.

    Attributes
    ----------
    relation
        What the view shows, without the columns of `calls`.
    base
        The table whose rows the query keeps; `MANY` where each of its rows is not one of a
        table.
    bases
        All tables that are read, where `base` is `MANY`.
    calls
        Columns that call functions, as values over the base, in order.
    shown
        The columns of `relation` as values over the base, where there are calls.
    """

    relation: ops.Relation
    base: int
    bases: tuple[int, ...] = ()
    calls: Mapping[str, ops.Value] = field(default_factory=dict)
    shown: Mapping[str, ops.Value] = field(default_factory=dict)

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
        for read in value.find(ops.Field, filter=ops.Value):
            if read.rel != leaf:
                raise UnsupportedError(
                    f"the call reads {read.name!r}, which the view does not show.",
                    table=view,
                    column=name,
                    hint=f"Select {read.name!r} too: the call is made again when it changes.",
                )
        return value


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
    relation = query.op()
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
        return _by_rows(relation, name) if called else ViewQuery(relation, leaves[0].table_id)
    if called:
        raise UnsupportedError(
            "its query calls functions and puts rows together.",
            table=name,
            hint="Make a view, or a computed column, with the call, and this view over that: "
            "then it is called for new rows alone.",
        )
    return ViewQuery(relation, MANY, tuple(sorted({leaf.table_id for leaf in leaves})))


def _looks_around(relation: ops.Relation) -> bool:
    """Whether a value of the query depends on other rows than its own."""
    return any(
        value.find(LOOKS_AROUND, filter=ops.Value)
        for each in relation.find(ops.Relation)
        for value in own_values(each)
    )


def _by_rows(relation: ops.Relation, name: str) -> ViewQuery:
    """Take the columns that call functions out of a query; its filters may go on calling."""
    (leaf,) = relation.find(ManagedTable)
    values, predicates = _unfolded(relation)
    calls = {column: value for column, value in values.items() if calls_in(value)}
    shown = {column: value for column, value in values.items() if column not in calls}
    if not shown:
        raise UnsupportedError(
            "it shows nothing but calls.",
            table=name,
            hint="Select the columns too that the calls read: they are made again when those "
            "change.",
        )
    kept = ops.Filter(leaf, predicates) if predicates else leaf
    left = ops.Project(kept, {column: repoint(shown[column], leaf, kept) for column in shown})
    return ViewQuery(left, leaf.table_id, (), calls, shown)


def _unfolded(relation: ops.Relation) -> tuple[dict[str, ops.Value], list[ops.Value]]:
    """Express the columns and predicates of a query that keeps rows over its table."""
    if isinstance(relation, ManagedTable):
        return {name: ops.Field(relation, name) for name in relation.schema.names}, []
    below, predicates = _unfolded(relation.parent)
    if isinstance(relation, ops.DropColumns):
        return {n: v for n, v in below.items() if n not in relation.columns_to_drop}, predicates
    known = {ops.Field(relation.parent, name): value for name, value in below.items()}
    if isinstance(relation, ops.Filter):
        found = [each.replace(known, filter=ops.Value) for each in relation.predicates]
        return below, [*predicates, *found]
    values = {n: v.replace(known, filter=ops.Value) for n, v in relation.values.items()}
    return values, predicates
