"""The cells for which functions are called: the table, its columns, and their budget.

Owns these records. They belong to the thread that runs an operation; the columns of the ledger and
the budgets are filled from them when calls are made.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from barbule.backends.base import RID
from barbule.nodes import ManagedTable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from barbule.executor.budgets.table_budget import TableBudget
    from barbule.planner.plan import Plan

__all__ = ["PROVISIONAL", "CallTarget", "Provenance"]

# Ids of new rows while a change is prepared: above all possible ids, in order.
PROVISIONAL = 2**62


@dataclass(frozen=True)
class CallTarget:
    """The cells for which a call is made.

    Attributes
    ----------
    rows
        The row id of each row of the batch; None if rows have none.
    """

    table: str | None = None
    column: str | None = None
    rows: Sequence[int | None] | None = None

    def row_id(self, row: int) -> int | None:
        """Return the row id of a row of the batch."""
        return None if self.rows is None else self.rows[row]


@dataclass(frozen=True)
class Provenance:
    """The table and columns that an operation computes.

    Attributes
    ----------
    columns
        The names of the table's columns, by their names in the plan.
    first_row
        The row id of the first new row.
    budget
        The budget of the table.
    lenient
        Whether calls whose errors are read may fail, regardless of their functions' declarations.
    """

    table: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    first_row: int = 0
    budget: TableBudget | None = None
    lenient: bool = False

    def target(self, column: str | None, batch: pa.RecordBatch) -> CallTarget:
        """Return the cells of a batch for which a plan makes a call."""
        rows = None
        if RID in batch.schema.names:
            rows = [
                row if row is None or row < PROVISIONAL else row - PROVISIONAL + self.first_row
                for row in batch.column(RID).to_pylist()
            ]
        name = None if column is None else self.columns.get(column, column)
        return CallTarget(self.table, name, rows)

    @classmethod
    def of_query(cls, plan: Plan) -> Provenance:
        """Return the target of a query: its own columns, and the only table that it reads."""
        relations = [plan.logical, *(getattr(stage, "logical", None) for stage in plan.stages)]
        names = {
            leaf.name
            for relation in relations
            if relation is not None
            for leaf in relation.find(ManagedTable)
        }
        return cls(names.pop() if len(names) == 1 else None)
