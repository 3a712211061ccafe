"""Counts of rows of a table, asked of a query over it: `t.filter(...).agg(n=t.count())`.

Owns whose rows are counted there. Ibis reads `t.x` as the column of the query, where it is one, and
leaves `t.count()` as it is, which an aggregation then refuses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ibis.expr.operations as ops
import ibis.expr.types as ir
from ibis import Deferred

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["counted_elsewhere", "counting_rows", "recounted"]

_COUNTS = (ops.CountStar, ops.CountDistinctStar)
# What keeps to the rows of its parent: one count is meant, that of the rows which are left.
_KEEPING = (
    ops.Filter, ops.Project, ops.Sort, ops.Limit, ops.Sample, ops.Distinct, ops.DropColumns,
    ops.DropNull, ops.FillNull, ops.SelfReference,
)  # fmt: skip


def counting_rows(query: Any, given: Any) -> Any:
    """Let values count the rows of a query where they count those of a table that it filters.

    A value that reads the query too is left: `f.count() / t.count()` may mean a share of all rows.

    Parameters
    ----------
    query
        The query that is aggregated.
    given
        An argument of its verb: a value, or a list or dict of values; all else is left.
    """
    before = _before(query.op())
    return _mapped(given, lambda value: _counting(value, query.op(), before)) if before else given


def recounted(query: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return the arguments of a verb with counts of the query's rows; None if that is no change."""
    changed = counting_rows(query, [*args, kwargs])
    same = all(one is other for one, other in zip(changed, [*args, kwargs], strict=True))
    return None if same else (changed[:-1], changed[-1])


def counted_elsewhere(query: Any, given: Any) -> bool:
    """Whether an argument of a verb counts the rows of something else than the query."""
    found: list[Any] = []
    _mapped(given, lambda value: found.extend(value.op().find(_COUNTS, filter=ops.Value)), query)
    return any(each.arg != query.op() for each in found)


def _mapped(given: Any, change: Callable[[ir.Value], Any], query: Any = None) -> Any:
    """Change the values among arguments; those that wait for the query too, where it is given."""
    if query is not None and isinstance(given, Deferred):
        given = given.resolve(query)
    if isinstance(given, ir.Value):
        return change(given)
    if type(given) in {list, tuple}:
        items = [_mapped(each, change, query) for each in given]
        changed = any(one is not other for one, other in zip(items, given, strict=True))
        return type(given)(items) if changed else given
    if type(given) is dict:
        old = list(given.values())
        values = _mapped(old, change, query)
        return given if values is old else dict(zip(given, values, strict=True))
    return given


def _counting(value: ir.Value, relation: ops.Relation, before: set[Any]) -> ir.Value:
    op = value.op()
    if relation in op.relations:
        return value
    counts = op.find(_COUNTS, filter=ops.Value)
    changed = {each: each.copy(arg=relation) for each in counts if each.arg in before}
    if not changed:
        return value
    return op.replace(changed, filter=ops.Value).to_expr().name(value.get_name())


def _before(relation: Any) -> set[Any]:
    """Return the relations whose rows a query filters, sorts or projects."""
    found: set[Any] = set()
    while isinstance(relation, _KEEPING) and not _makes_rows(relation):
        relation = relation.parent
        found.add(relation)
    return found


def _makes_rows(relation: Any) -> bool:
    values = relation.values.values() if isinstance(relation, ops.Project) else ()
    return any(value.find(ops.Unnest, filter=ops.Value) for value in values)
