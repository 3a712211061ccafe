"""Grouped queries, whose results keep barbule's methods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ibis.expr.types.groupby import GroupedTable

from barbule.relations.errors.invalid_queries import no_group_verb
from barbule.relations.errors.refused_arguments import checked_conditions, refuse_masks
from barbule.relations.ibis_verbs import register_wrapper, run_verb
from barbule.relations.row_counts import counting_rows

if TYPE_CHECKING:
    from barbule.relations.signatures import Query

__all__ = ["GroupedQuery"]


class GroupedQuery(GroupedTable):
    """A grouped query whose results keep barbule's methods."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name in self.table.schema.names:
            return super().__getattr__(name)
        raise no_group_verb(self, name)

    def aggregate(self, *metrics: Any, **named: Any) -> Query:
        """Compute aggregates over each group."""
        return run_verb(self, GroupedTable.aggregate, *metrics, **named)

    agg = aggregate

    def having(self, *predicates: Any) -> GroupedQuery:
        """Keep the groups for which all predicates hold."""
        table = self.table.to_expr()
        conditions = checked_conditions(predicates, table, refuse_masks)
        grouped: GroupedQuery = run_verb(
            self, GroupedTable.having, *counting_rows(table, conditions)
        )
        return grouped

    def order_by(self, *by: Any) -> GroupedQuery:
        """Sort the rows of each group."""
        grouped: GroupedQuery = run_verb(self, GroupedTable.order_by, *by)
        return grouped

    def mutate(self, *args: Any, **kwargs: Any) -> Query:
        """Add columns computed over each group's window."""
        return run_verb(self, GroupedTable.mutate, *args, **kwargs)

    def select(self, *args: Any, **kwargs: Any) -> Query:
        """Select columns computed over each group's window."""
        return run_verb(self, GroupedTable.select, *args, **kwargs)

    def count(self) -> Query:
        """Count the rows of each group."""
        return run_verb(self, GroupedTable.count)

    size = count


register_wrapper(GroupedTable, lambda grouped: GroupedQuery(*grouped.__args__))
