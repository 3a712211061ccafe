"""Rows that no database has to read: constants, and staged rows whose columns are only renamed.

Owns how such queries are recognised. The database would read each row and write it again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import ibis.expr.operations as ops

from barbule.fast_paths import fast_paths_enabled
from barbule.nodes import VectorLiteral
from barbule.values.cells import arrow_type

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

__all__ = ["constant_row", "staged_rows"]


def constant_row(source: ops.Relation) -> list[pa.RecordBatch] | None:
    """Return the row of a constant string or vector; None for other relations."""
    import pyarrow as pa

    if not isinstance(source, ops.DummyTable):
        return None
    columns: dict[str, pa.Array] = {}
    for name, value in source.values.items():
        if isinstance(value, VectorLiteral):
            numbers = pa.array(value.numbers())
            columns[name] = pa.FixedSizeListArray.from_arrays(numbers, value.length)
        elif isinstance(value, ops.Literal) and isinstance(value.value, str):
            columns[name] = pa.array([value.value], pa.string())
        else:
            return None
    return [pa.record_batch(columns)]


def staged_rows(query: ops.Relation, stage_tables: Mapping[str, pa.Table]) -> pa.Table | None:
    """Return staged rows if a query only names their columns, else None.

    Parameters
    ----------
    stage_tables
        The staged rows, by the name of their table.
    """
    import pyarrow as pa

    values = _selected_values(query) if fast_paths_enabled() else None
    rows = None if values is None else stage_tables.get(query.parent.name)
    if values is None or rows is None:
        return None
    if not all(isinstance(value, ops.Field) for value in values.values()):
        return None
    columns = [rows.column(value.name) for value in values.values()]
    types = [arrow_type(dtype) for dtype in query.schema.types]
    if [column.type for column in columns] != types:
        return None
    return pa.Table.from_arrays(columns, list(values))


def _selected_values(query: ops.Relation) -> Mapping[str, ops.Value] | None:
    """Return the values of a query of one table that neither filters, orders nor joins its rows."""
    if not isinstance(getattr(query, "parent", None), ops.DatabaseTable):
        return None
    if isinstance(query, ops.Project):
        return query.values
    from ibis.backends.sql.rewrites import Select

    if not isinstance(query, Select) or query.distinct:
        return None
    changes_rows = query.predicates or query.qualified or query.sort_keys
    return None if changes_rows else query.selections
