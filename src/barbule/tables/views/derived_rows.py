"""The rows of views that derive from given rows of their base.

Owns how they are found: for all views of a table by one query.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import ibis
import ibis.expr.schema as sch

from barbule.backends.base import BASE, RID

if TYPE_CHECKING:
    from collections.abc import Sequence

    import ibis.expr.types as ir
    import pyarrow as pa

    from barbule.catalog.records import TableRecord
    from barbule.executor.engine import Engine
    from barbule.tables.transaction.transaction import Transaction

__all__ = ["derived_identities", "staged_rids"]

_STAGED_RIDS = "bb_chosen"
_VIEW = "bb_view"


def derived_identities(
    transaction: Transaction, views: Sequence[TableRecord], base_rids: pa.Array | pa.ChunkedArray
) -> dict[int, pa.Table]:
    """Read the identities of the rows of views that derive from rows of their base.

    Parameters
    ----------
    views
        Views of one table.
    base_rids
        The identities of rows of this table.

    Returns
    -------
    dict
        By view the identities of its rows, and those of the rows from which they derive.
    """
    import pyarrow.compute as pc

    engine = transaction.engine
    view_ids = tuple(view.id for view in views)
    plan = engine.planner.plan_once(
        ("derived", view_ids), lambda engine: _derived_query(engine, view_ids), lambda _engine: {}
    )
    rows = engine.run_plan(plan, staged_rids(transaction, base_rids)[0])
    identities = rows.select([RID, BASE])
    if len(views) == 1:
        return {view_ids[0]: identities}
    return {
        view_id: identities.filter(pc.equal(rows.column(_VIEW), view_id)) for view_id in view_ids
    }


def _derived_query(engine: Engine, view_ids: Sequence[int]) -> ir.Table:
    base_rows = _staged_relation(engine)
    parts = []
    for view_id in view_ids:
        leaf = engine.leaf(view_id, hidden=True).to_expr()
        rows = leaf.select(RID, BASE, **{_VIEW: ibis.literal(view_id, "int64")})
        parts.append(rows.semi_join(base_rows, rows[BASE] == base_rows[RID]))
    return parts[0].union(*parts[1:], distinct=False) if len(parts) > 1 else parts[0]


def staged_rids(
    transaction: Transaction, rids: pa.Array | pa.ChunkedArray
) -> tuple[dict[str, pa.Table], ir.Table]:
    """Return identities as a staged table, and the relation that reads them."""
    import pyarrow as pa

    return {_STAGED_RIDS: pa.table({RID: rids})}, _staged_relation(transaction.engine)


def _staged_relation(engine: Engine) -> ir.Table:
    return engine.stored(_STAGED_RIDS, sch.Schema({RID: "int64"})).to_expr()
