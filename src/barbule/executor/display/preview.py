"""The preview of a query: its first rows, and the errors of empty cells.

Owns which rows these are and how a plain value is written in a cell. `notebook` and `terminal`
render a preview.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt
import ibis.expr.operations as ops

from barbule.errors import BarbuleError, UnsupportedError
from barbule.json_codec import to_shown
from barbule.nodes import CALLING_NODES, CellError, ManagedTable
from barbule.planner.lineage import origin

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import ibis.expr.schema as sch
    import ibis.expr.types as ir
    import pyarrow as pa

    from barbule.executor.display.query_source import QuerySource

__all__ = [
    "PREVIEW_ROWS",
    "Preview",
    "Reason",
    "cell_text",
    "first_rows",
    "missing_reasons",
    "table_title",
]

PREVIEW_ROWS = 20
_REASON_PREFIX = "bb_error_"
_MAX_NUMBERS = 4  # of a vector
_MIN_LONG_NUMBER = 1e8  # above this, eight digits would not include the units

Reason = dict[str, str]  # type and message of a cell error


@dataclass(frozen=True)
class Preview:
    """Rows as they are displayed.

    Attributes
    ----------
    rows
        In storage form.
    schema
        Their columns, as users see them.
    reasons
        For columns with failed cells: the error of each row, or None.
    title
        The title above the rows.
    note
        The note below them, about rows that are not shown.
    types
        The types of columns whose cells are texts about their values.
    """

    rows: pa.Table
    schema: sch.Schema
    reasons: Mapping[str, Sequence[Reason | None]] = field(default_factory=dict)
    title: str = ""
    note: str = ""
    types: Mapping[str, str] = field(default_factory=dict)

    def columns(self) -> Iterator[tuple[str, dt.DataType, list[tuple[Any, Reason | None]]]]:
        """Yield name, type and cells of each column, each cell with its error."""
        for name, dtype in self.schema.items():
            cells = self.rows.column(name).to_pylist()
            reasons = self.reasons.get(name) or [None] * len(cells)
            yield name, dtype, list(zip(cells, reasons, strict=True))


def first_rows(source: QuerySource, query: ir.Table, count: int = PREVIEW_ROWS) -> Preview:
    """Run a query for its first rows, and the cell errors of stored columns."""
    relation = query.op()
    failing = _failing_columns(source, relation)
    try:
        rows = source.arrow(_with_reasons(relation, failing, count + 1))
    except UnsupportedError:  # it reads the columns through a join or similar
        failing = []
        rows = source.arrow(_with_reasons(relation, failing, count + 1))
    title, total = table_title(source, query) if isinstance(relation, ManagedTable) else ("", None)
    note = "" if rows.num_rows <= count else f"The first {count:,} rows"
    if note:
        note += "." if total is None else f" of {total:,}."
    rows = rows.slice(0, count)
    reasons = {name: rows.column(f"{_REASON_PREFIX}{name}").to_pylist() for name in failing}
    return Preview(rows, query.schema(), reasons, title, note)


def missing_reasons(
    source: QuerySource, query: ir.Table, rows: pa.Table
) -> dict[str, list[Reason | None]]:
    """Return the cell errors of the first rows of a query.

    The query is run again; if it does not return the same rows, or would call functions, there are
    none.
    """
    relation = query.op()
    failing = [] if relation.find(CALLING_NODES) else _failing_columns(source, relation)
    if not failing:
        return {}
    try:
        again = source.arrow(_with_reasons(relation, failing, rows.num_rows))
    except BarbuleError:  # it reads the columns through a join, or the session is closed
        return {}
    if not again.select(rows.column_names).equals(rows):
        return {}
    return {name: again.column(f"{_REASON_PREFIX}{name}").to_pylist() for name in failing}


def table_title(source: QuerySource, table: ir.Table) -> tuple[str, int]:
    """Return the title of a table, and its number of rows."""
    leaf = table.op()
    total = source.arrow(table.count()).column(0)[0].as_py()
    label = "view" if source.record(leaf).view else "table"
    version = "" if leaf.commit is None else ", an earlier version"
    rows = "1 row" if total == 1 else f"{total:,} rows"
    return f"{leaf.name}: {label} of {rows}{version}", total


def _failing_columns(source: QuerySource, relation: ops.Relation) -> list[str]:
    """Return the columns that are stored columns which can fail."""
    names = []
    for name in relation.schema.names:
        column = origin(ops.Field(relation, name))
        if column is not None and source.errors_of(*column):
            names.append(name)
    return names


def _with_reasons(relation: ops.Relation, failing: list[str], count: int) -> ir.Table:
    fields = {name: ops.Field(relation, name) for name in relation.schema.names}
    reasons = {f"{_REASON_PREFIX}{name}": CellError(fields[name]) for name in failing}
    query = ops.Project(relation, {**fields, **reasons}) if failing else relation
    return query.to_expr().limit(count)


def cell_text(value: Any, dtype: dt.DataType) -> str:
    """Return a value, which is not None, as text; for a vector its first numbers.

    Examples
    --------
    >>> cell_text({"a": [1, None]}, dt.json)
    '{"a": [1, null]}'
    >>> cell_text([0.12345] * 384, dt.Array(dt.float32))
    '[0.1235, 0.1235, 0.1235, 0.1235, … 384 in all]'
    """
    if isinstance(dtype, dt.Array) and dtype.value_type.is_floating() and len(value) > _MAX_NUMBERS:
        numbers = ("NULL" if number is None else f"{number:.4g}" for number in value[:_MAX_NUMBERS])
        return f"[{', '.join(numbers)}, … {len(value):,} in all]"
    if isinstance(value, dict | list):
        return to_shown(value)
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    if isinstance(value, float):
        return f"{value:.8g}" if abs(value) < _MIN_LONG_NUMBER else str(value)
    return str(value)
