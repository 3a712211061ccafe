"""Budgets of tables, as caps in the catalog.

Owns their assignment; `executor.budgets` enforces them.
"""

from __future__ import annotations

import datetime
from dataclasses import replace
from typing import TYPE_CHECKING

from barbule.catalog.records import Caps
from barbule.executor.budgets.budget import Budget
from barbule.tables.commit import run_transaction
from barbule.tables.transaction.isolation import isolated
from barbule.tables.transaction.names import current_record
from barbule.tables.transaction.results import UpdateResult

if TYPE_CHECKING:
    from barbule.executor.engine import Engine
    from barbule.nodes import ManagedTable
    from barbule.tables.transaction.transaction import Transaction

__all__ = ["set_budget"]


@isolated
def set_budget(
    leaf: ManagedTable,
    *,
    usd: float | None = None,
    calls: int | None = None,
    tokens: int | None = None,
) -> UpdateResult:
    """Limit the budget for calls of a table's computed columns from now on."""
    engine: Engine = leaf.source
    since = engine.catalog.refresh()
    record = current_record(leaf)
    limits = Budget(usd=usd, calls=calls, tokens=tokens).caps  # which checks them
    now = datetime.datetime.now(datetime.UTC).isoformat()
    limited = any(cap is not None for cap in limits.values())
    caps = Caps(now, usd, calls, tokens) if limited else None

    def prepare(transaction: Transaction) -> None:
        transaction.put_record(replace(current_record(transaction.leaf(leaf)), budget=caps))

    transaction, _ = run_transaction(engine, "set budget", prepare, since=since)
    return transaction.result(UpdateResult, record.id, 0)
