"""What is shown of a query, in a page or a terminal: its first rows, and why cells are empty.

Owns which rows these are and how a plain value is written in a cell. Neither HTML nor a terminal
is known here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt
import ibis.expr.operations as ops

from barbule.errors import BarbuleError, UnsupportedError
from barbule.nodes import CALLING_NODES, CellError, ManagedTable
from barbule.planner.lineage import origin

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import ibis.expr.schema as sch
    import ibis.expr.types as ir
    import pyarrow as pa

    from barbule.executor.engine import Engine

__all__ = ["SHOWN_ROWS", "Reason", "Shown", "cell_text", "first_rows", "reasons_of", "title_of"]

SHOWN_ROWS = 20
_REASON = "bb_error_"
_MOST_NUMBERS = 4
_LONG = 1e8  # from here on, eight digits would not show the units

Reason = dict[str, str]  # type and message of the error for which a cell is empty


@dataclass(frozen=True)
class Shown:
    """Rows that are shown.

    Attributes
    ----------
    rows
        In storage form.
    schema
        Their columns as users see them.
    reasons
        For columns of which cells failed: the error of each row, or None.
    title
        What they are rows of.
    note
        What is not shown.
    types
        What is written below the names of columns whose cells are texts about their values.
    """

    rows: pa.Table
    schema: sch.Schema
    reasons: Mapping[str, Sequence[Reason | None]] = field(default_factory=dict)
    title: str = ""
    note: str = ""
    types: Mapping[str, str] = field(default_factory=dict)

    def columns(self) -> Iterator[tuple[str, dt.DataType, list[tuple[Any, Reason | None]]]]:
        """Give name, type and cells of each column, a cell with why it is empty."""
        for name, kind in self.schema.items():
            cells = self.rows.column(name).to_pylist()
            why = self.reasons.get(name) or [None] * len(cells)
            yield name, kind, list(zip(cells, why, strict=True))


def first_rows(engine: Engine, query: ir.Table, count: int = SHOWN_ROWS) -> Shown:
    """Run a query for its first rows, and for why cells of stored columns are empty."""
    relation = query.op()
    failing = _failing(engine, relation)
    try:
        rows = engine.arrow(_with_reasons(relation, failing, count + 1))
    except UnsupportedError:  # the errors lie beneath a join or the like
        failing = []
        rows = engine.arrow(_with_reasons(relation, failing, count + 1))
    title, total = title_of(engine, query) if isinstance(relation, ManagedTable) else ("", None)
    note = "" if rows.num_rows <= count else f"The first {count:,} rows"
    if note:
        note += "." if total is None else f" of {total:,}."
    rows = rows.slice(0, count)
    reasons = {name: rows.column(f"{_REASON}{name}").to_pylist() for name in failing}
    return Shown(rows, query.schema(), reasons, title, note)


def reasons_of(engine: Engine, query: ir.Table, rows: pa.Table) -> dict[str, list[Reason | None]]:
    """Find out why cells of the first rows that a query gave are empty.

    The query is asked again; where it does not give the same rows, or would call functions,
    nothing is known.
    """
    relation = query.op()
    failing = [] if relation.find(CALLING_NODES) else _failing(engine, relation)
    if not failing:
        return {}
    try:
        again = engine.arrow(_with_reasons(relation, failing, rows.num_rows))
    except BarbuleError:  # the errors lie beneath a join, or the session is closed
        return {}
    if not again.select(rows.column_names).equals(rows):
        return {}
    return {name: again.column(f"{_REASON}{name}").to_pylist() for name in failing}


def title_of(engine: Engine, table: ir.Table) -> tuple[str, int]:
    """Say what a table is and how many rows it has."""
    leaf = table.op()
    total = engine.arrow(table.count()).column(0)[0].as_py()
    kind = "view" if engine.record(leaf).view else "table"
    past = "" if leaf.commit is None else ", an earlier version"
    rows = "1 row" if total == 1 else f"{total:,} rows"
    return f"{leaf.name}: {kind} of {rows}{past}", total


def _failing(engine: Engine, relation: ops.Relation) -> list[str]:
    """Name the columns that are stored columns which can fail."""
    found = []
    for name in relation.schema.names:
        place = origin(ops.Field(relation, name))
        if place is not None and engine.errors_of(*place):
            found.append(name)
    return found


def _with_reasons(relation: ops.Relation, failing: list[str], count: int) -> ir.Table:
    fields = {name: ops.Field(relation, name) for name in relation.schema.names}
    reasons = {f"{_REASON}{name}": CellError(fields[name]) for name in failing}
    shown = ops.Project(relation, {**fields, **reasons}) if failing else relation
    return shown.to_expr().limit(count)


def cell_text(value: Any, kind: dt.DataType) -> str:
    """Write a value that is there as text; of a vector its first numbers.

    Examples
    --------
    >>> cell_text({"a": [1, None]}, dt.json)
    '{"a": [1, null]}'
    >>> cell_text([0.12345] * 384, dt.Array(dt.float32))
    '[0.1235, 0.1235, 0.1235, 0.1235, … 384 in all]'
    """
    if isinstance(kind, dt.Array) and kind.value_type.is_floating() and len(value) > _MOST_NUMBERS:
        first = ("NULL" if each is None else f"{each:.4g}" for each in value[:_MOST_NUMBERS])
        return f"[{', '.join(first)}, … {len(value):,} in all]"
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, default=str)
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    if isinstance(value, float):
        return f"{value:.8g}" if abs(value) < _LONG else str(value)
    return str(value)
