"""Which new rows of a table its views keep, and the views over these: decided by one query.

Owns for which views that is possible: those that show single rows of their base which pass
filters that the database computes. All others, and what fails here, `incremental` computes view
by view.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import ibis.expr.datatypes as dt
import ibis.expr.operations as ops

from barbule.backends.base import RID
from barbule.errors import BarbuleError
from barbule.fast_paths import fast_paths_enabled
from barbule.nodes import ManagedTable
from barbule.planner.lineage import NOT_ROWWISE, changes_row_count, is_expensive, own_values
from barbule.relations.promotion import as_declared
from barbule.tables.compute.stored_rows import staged_new_rows

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from barbule.catalog.records import TableRecord
    from barbule.executor.engine import Engine
    from barbule.tables.transaction.transaction import Transaction

__all__ = ["PassingRows", "evaluate_view_filters"]

_MAX_NODES = 1000  # of a condition, in which shared parts count each time that they are written


class PassingRows:
    """Which new rows of a table its views keep, and those over them.

    Parameters
    ----------
    table_id
        The table.
    rids
        The identities of its new rows.
    passes
        By view: which of these rows pass its own filters.
    """

    def __init__(
        self, table_id: int, rids: npt.NDArray[np.int64], passes: dict[int, npt.NDArray[np.bool_]]
    ) -> None:
        import numpy as np

        self._passes = passes
        self._positions = {table_id: np.arange(len(rids))}
        self._rids = {table_id: rids}

    def decides(self, view: TableRecord) -> bool:
        """Whether it is decided which rows of its base a view keeps."""
        return view.id in self._passes and _base(view) in self._rids

    def base_rids(self, view: TableRecord) -> npt.NDArray[np.int64]:
        """Return the identities of the rows of its base that a view keeps, in their order."""
        return self._rids[_base(view)][self._passes[view.id][self._positions[_base(view)]]]

    def keeps(self, view: TableRecord, base_rids: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
        """Return for some of the rows of its base whether a view keeps them."""
        return self._passes[view.id][self._positions_of(_base(view), base_rids)]

    def add_rows(
        self, view: TableRecord, base_rids: pa.ChunkedArray, rids: pa.ChunkedArray
    ) -> None:
        """Note the rows that a view has for rows of its base, by the identities of both."""
        self._positions[view.id] = self._positions_of(_base(view), base_rids)
        self._rids[view.id] = rids.to_numpy()

    def _positions_of(self, table_id: int, rids: pa.ChunkedArray) -> npt.NDArray[np.intp]:
        import numpy as np

        known = self._rids[table_id]
        order = np.argsort(known, kind="stable")
        found = order[np.searchsorted(known, rids.to_numpy(), sorter=order)]
        return self._positions[table_id][found]


def _base(view: TableRecord) -> int:
    return view.id if view.view is None else view.view.base


def evaluate_view_filters(transaction: Transaction, record: TableRecord) -> PassingRows | None:
    """Decide which of its rows in `transaction.new_rows` the views of a table keep.

    Returns
    -------
    PassingRows or None
        None where no view can be decided, or the query fails, as it may for rows that a filter
        before it drops.
    """
    import numpy as np

    engine = transaction.engine
    views = _views_below(engine, record)
    if not views or not fast_paths_enabled():
        return None
    new_rows = staged_new_rows(transaction, record)
    plan = engine.planner.plan_once(
        ("view filters", record.id, tuple(view.id for view in views), new_rows.key),
        lambda engine: _conditions_query(engine, record, views),
        new_rows.relations,
        [view.id for view in views],
    )
    decided = [view for view in views if _column(view) in plan.schema]
    if not decided or plan.stages:
        return None
    if not transaction.new_rows[record.id].num_rows:
        nothing = np.empty(0, bool)
        return PassingRows(record.id, np.empty(0, np.int64), {view.id: nothing for view in decided})
    try:
        rows = engine.run_plan(plan, new_rows.staged)
    except BarbuleError:
        return None
    rids = rows.column(RID).to_numpy()
    order = np.argsort(rids, kind="stable")
    passes = {
        view.id: rows.column(_column(view)).fill_null(False).to_numpy()[order] for view in decided
    }
    return PassingRows(record.id, rids[order], passes)


def _column(view: TableRecord) -> str:
    return f"bb_passes_{view.id}"


def _views_below(engine: Engine, record: TableRecord) -> list[TableRecord]:
    """List the views that show rows of a table one for one, each after its base."""
    below: list[TableRecord] = []
    tables = [record]
    for table in tables:
        views = [
            view
            for view in engine.catalog.views_of(table.id)
            if view.view is not None and view.view.items is None and view.view.rows is None
        ]
        below += views
        # What stored columns hold is known once they are computed.
        tables += [view for view in views if all(c.kind != "stored" for c in view.columns)]
    return below


def _conditions_query(engine: Engine, record: TableRecord, views: list[TableRecord]) -> ir.Table:
    """Make the query of the conditions on which views keep rows, where they can be written."""
    leaf = engine.leaf(record.id, hidden=True)
    values: dict[str, ops.Value] = {RID: ops.Field(leaf, RID)}
    inlined = _InlinedColumns(engine, record, {view.id: view for view in views})
    for view in views:
        if _base(view) != record.id and f"bb_passes_{_base(view)}" not in values:
            continue
        condition = _condition(engine, view, inlined)
        if condition is not None:
            values[_column(view)] = condition
    return ops.Project(leaf, values).to_expr()


def _condition(engine: Engine, view: TableRecord, inlined: _InlinedColumns) -> ops.Value | None:
    """Return the condition on which a view keeps a row of its base; None if there is none."""
    relation = engine.expression(str(view.view and view.view.query), None)
    filters: list[ops.Filter] = []
    while not isinstance(relation, ManagedTable):
        if not isinstance(relation, ops.Filter | ops.Project | ops.DropColumns):
            return None
        if any(map(changes_row_count, own_values(relation))):
            return None
        if isinstance(relation, ops.Filter):
            filters.append(relation)
        relation = relation.parent
    condition: ops.Value | None = None
    for predicate in (predicate for relation in filters for predicate in relation.predicates):
        value = inlined.value(predicate)
        if is_expensive(value) or value.find((*NOT_ROWWISE, ops.Impure), filter=ops.Value):
            return None
        # Those that come later may fail for rows that do not pass those before.
        condition = value if condition is None else ops.IfElse(value, condition, False)
    if condition is None:
        return ops.Literal(True, dt.boolean)
    return condition if _node_count(condition) <= _MAX_NODES else None


def _node_count(value: ops.Value) -> int:
    """Return how many nodes a value has when it is written out."""

    def count(node: ops.Node, counts: dict[ops.Node, int], **_arguments: object) -> int:
        return 1 + sum(counts.get(child, 0) for child in node.__children__)

    counts: dict[ops.Node, int] = value.map(count, filter=ops.Value)
    return counts[value]


class _InlinedColumns:
    """The columns of a table and of views over it, as values over its hidden leaf."""

    def __init__(self, engine: Engine, record: TableRecord, views: dict[int, TableRecord]) -> None:
        self._engine = engine
        self._leaf = engine.leaf(record.id, hidden=True)
        self._views = views
        self._field = functools.cache(self._inlined_field)

    def value(self, value: ops.Value) -> ops.Value:
        """Return a value over such columns as one over the leaf."""
        fields = value.find(ops.Field, filter=ops.Value)
        return value.replace({field: self._field(field) for field in fields}, filter=ops.Value)

    def _inlined_field(self, field: ops.Field) -> ops.Value:
        relation, name = field.rel, field.name
        if isinstance(relation, ops.Project):
            return self.value(relation.values[name])
        if not isinstance(relation, ManagedTable):
            return self._field(ops.Field(relation.parent, name))
        view = self._views.get(relation.table_id)
        if view is None:
            return ops.Field(self._leaf, name)
        column = view.column(name)
        if column is not None:
            value = self._engine.expression(str(column.expression), None)
            return self.value(as_declared(value, column.dtype))
        query = self._engine.expression(str(view.view and view.view.query), None)
        return self._field(ops.Field(query, name))
