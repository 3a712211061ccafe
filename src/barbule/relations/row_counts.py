"""Counts of table rows in an aggregation of a query over it: `t.filter(...).agg(n=t.count())`.

Owns which rows are counted there. Ibis resolves `t.x` to the column of the query, if it has it, but
leaves `t.count()` unchanged, which an aggregation then refuses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import ibis.expr.operations as ops
import ibis.expr.types as ir
from ibis import Deferred
from ibis.expr.rewrites import DerefMap

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["counted_elsewhere", "counting_rows", "recounted"]

T = TypeVar("T")

_COUNTS = (ops.CountStar, ops.CountDistinctStar)
# Relations that keep rows of their parent: the count of the remaining rows is meant.
_ROW_SUBSETS = (
    ops.Filter, ops.Project, ops.Sort, ops.Limit, ops.Sample, ops.Distinct, ops.DropColumns,
    ops.DropNull, ops.FillNull, ops.SelfReference,
)  # fmt: skip


def counting_rows(query: ir.Table, argument: T) -> T:
    """Let values count the rows of a query if they count those of a table that it filters.

    A value that also reads the query is left unchanged: `f.count() / t.count()` may mean a share of
    all rows.

    Parameters
    ----------
    query
        The query that is aggregated.
    argument
        The arguments of its method: a value, or a list or dict of values; all else is unchanged.
    """
    sources = _row_sources(query.op())
    if not sources:
        return argument
    return _map_values(argument, lambda value: _counting(value, query.op(), sources))


def recounted(
    query: ir.Table, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    """Return the arguments of a method with counts of the query's rows; None if nothing changes."""
    *new_args, new_kwargs = counting_rows(query, [*args, kwargs])
    same = all(
        new is old for new, old in zip([*new_args, new_kwargs], [*args, kwargs], strict=True)
    )
    return None if same else (tuple(new_args), new_kwargs)


def counted_elsewhere(query: ir.Table, argument: object) -> bool:
    """Whether an argument of a method counts the rows of another relation than the query."""
    counts: list[ops.Value] = []

    def collect(value: ir.Value) -> ir.Value:
        counts.extend(value.op().find(_COUNTS, filter=ops.Value))
        return value

    _map_values(argument, collect, query)
    return any(count.arg != query.op() for count in counts)


def _map_values(
    argument: Any, change: Callable[[ir.Value], ir.Value], query: ir.Table | None = None
) -> Any:
    """Change the values among arguments; deferred ones too, if the query is given."""
    if query is not None and isinstance(argument, Deferred):
        argument = argument.resolve(query)
    if isinstance(argument, ir.Value):
        return change(argument)
    if type(argument) in {list, tuple}:
        members = [_map_values(member, change, query) for member in argument]
        changed = any(new is not old for new, old in zip(members, argument, strict=True))
        return type(argument)(members) if changed else argument
    if type(argument) is dict:
        old_values = list(argument.values())
        values = _map_values(old_values, change, query)
        return argument if values is old_values else dict(zip(argument, values, strict=True))
    return argument


def _counting(value: ir.Value, relation: ops.Relation, sources: set[ops.Relation]) -> ir.Value:
    op = value.op()
    if relation in op.relations:
        return value
    counts = op.find(_COUNTS, filter=ops.Value)
    changed = {count: _counting_in(count, relation) for count in counts if count.arg in sources}
    if not changed:
        return value
    return op.replace(changed, filter=ops.Value).to_expr().name(value.get_name())


def _counting_in(count: ops.Value, relation: ops.Relation) -> ops.Value:
    """Return a count of the rows of a relation, whose condition reads its columns, too."""
    where: ops.Value | None = count.where
    if where is not None:
        (where,) = DerefMap.from_targets(relation).dereference(where)
    return count.copy(arg=relation, where=where)


def _row_sources(relation: ops.Relation) -> set[ops.Relation]:
    """Return the relations whose rows a query filters, sorts or projects."""
    sources: set[ops.Relation] = set()
    while isinstance(relation, _ROW_SUBSETS) and not _unnests(relation):
        relation = relation.parent
        sources.add(relation)
    return sources


def _unnests(relation: ops.Relation) -> bool:
    values = relation.values.values() if isinstance(relation, ops.Project) else ()
    return any(value.find(ops.Unnest, filter=ops.Value) for value in values)
