"""For whom functions are called: the table, its columns, and what they may spend.

Owns these records. They travel with the thread that runs an operation; what is made of them (the
ledger's columns, a budget) is decided where calls are made.
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

__all__ = ["PROVISIONAL", "Asker", "Purpose"]

# Identities of new rows while a change is prepared: above all that there can be, in order.
PROVISIONAL = 2**62


@dataclass(frozen=True)
class Asker:
    """The cells for which a call is made.

    Attributes
    ----------
    rows
        For each row of the batch its identity in the table; None where rows have none.
    """

    table: str | None = None
    column: str | None = None
    rows: Sequence[int | None] | None = None

    def row(self, place: int) -> int | None:
        """Return the identity of a row of the batch."""
        return None if self.rows is None else self.rows[place]


@dataclass(frozen=True)
class Purpose:
    """What an operation computes.

    Attributes
    ----------
    columns
        The names of columns by those that the plan gives them.
    first_row
        The identity that the first new row is going to have.
    budget
        What the table may spend.
    lenient
        Whether calls whose errors are read may fail, whatever their functions say.
    """

    table: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    first_row: int = 0
    budget: TableBudget | None = None
    lenient: bool = False

    def asker(self, column: str | None, batch: pa.RecordBatch) -> Asker:
        """Say for which cells a call is made that a plan needs for a column."""
        rows = None
        if RID in batch.schema.names:
            rows = [
                row if row is None or row < PROVISIONAL else row - PROVISIONAL + self.first_row
                for row in batch.column(RID).to_pylist()
            ]
        name = None if column is None else self.columns.get(column, column)
        return Asker(self.table, name, rows)

    @classmethod
    def of_query(cls, plan: Plan) -> Purpose:
        """Say what a query computes: columns of its own, of the only table that it reads."""
        relations = [plan.logical, *(getattr(stage, "logical", None) for stage in plan.stages)]
        names = {
            leaf.name for each in relations if each is not None for leaf in each.find(ManagedTable)
        }
        return cls(names.pop() if len(names) == 1 else None)
