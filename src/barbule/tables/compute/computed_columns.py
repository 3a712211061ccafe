"""Computed columns: what they depend on, and their values for given rows.

Owns the order in which stored columns are computed and the computation for a set of rows, be
they new, changed or all. Virtual columns are inlined by the planner and never computed here.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import ibis.expr.types as ir

from barbule.backends.base import BASE, RID
from barbule.catalog import codec
from barbule.catalog.records import Column, TableRecord
from barbule.errors import BarbuleError, ExpressionError
from barbule.executor.budgets.table_budget import TableBudget
from barbule.executor.calls.provenance import Purpose
from barbule.executor.results.spilling import put_together
from barbule.nodes import (
    CONTENT,
    CellError,
    FunctionCall,
    ManagedTable,
    Similarity,
    StoredVector,
    build_call,
)
from barbule.planner.lineage import LOOKS_AROUND, calls_in, changes_row_count
from barbule.planner.lowering.table_schemas import physical_schema
from barbule.relations.promotion import as_declared
from barbule.tables.compute.function_expressions import resolve
from barbule.tables.compute.function_versions import note_versions, warn_of_mixing
from barbule.types import Document, Media, refusal, storage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import pyarrow as pa

    from barbule.executor.engine import Engine
    from barbule.tables.transaction.transaction import Change

_PART = 64 << 20  # bytes of results that are computed at a time
_FEWEST = 16384  # rows, so that functions which take many at a time get them
_UNKNOWN = 256  # bytes of a value of no fixed width

__all__ = [
    "bind_column",
    "by_rid",
    "compute",
    "compute_all",
    "dependents",
    "fresh_rows",
    "kept_fields",
    "new_column",
    "physical_rows",
    "query_of_all",
    "reads",
    "rows_relation",
    "with_contents",
    "with_policy",
    "within_backend",
]


def bind_column(table: ir.Table, expr: Any, name: str) -> ops.Value:
    """Bind the expression of a computed column to its table.

    Raises
    ------
    ExpressionError
        When it looks at other rows than its own.
    """
    value = table.select(**{name: resolve(table, expr, name)}).op().values[name]
    if refused := refusal(value.dtype):
        reason, hint = refused
        raise ExpressionError(reason, table=table.get_name(), column=name, hint=hint)
    found = value.find(LOOKS_AROUND, filter=ops.Value)
    if value.find(StoredVector, filter=ops.Value):
        raise ExpressionError(
            "a column is not computed from the vectors of an index, which may be dropped.",
            table=table.get_name(),
            column=name,
            hint="Call the embedding function itself: embed(t.text). The ledger has its answers.",
        )
    if found or value.find(Similarity, filter=ops.Value):
        raise ExpressionError(
            "a computed column is computed from the values of its own row.",
            table=table.get_name(),
            column=name,
            hint="Use a query, or a view over one, for what looks at other rows; "
            "@bb.query for what searches.",
        )
    if changes_row_count(value):
        raise ExpressionError(
            "a computed column has one value for each row, and unnest() makes rows.",
            table=table.get_name(),
            column=name,
            hint=f"Make a view of the items: create_view(name, table.select({name}=...)).",
        )
    return value


def with_policy(value: ops.Value, on_error: str | None) -> ops.Value:
    """Say what becomes of errors in the calls of a value that leave it open."""
    if on_error is None:
        return value

    def change(node: ops.Node, kwargs: dict[str, Any] | None) -> ops.Node:
        rebuilt = node.__recreate__(kwargs) if kwargs else node
        if isinstance(rebuilt, FunctionCall) and rebuilt.on_error is None:
            return rebuilt.copy(on_error=on_error)
        return rebuilt

    changed: ops.Value = value.replace(change, filter=ops.Value)
    return changed


def new_column(
    record: TableRecord, name: str, value: ops.Value, *, stored: bool | None, hidden: bool = False
) -> Column:
    """Make the record of a computed column.

    Parameters
    ----------
    stored
        Whether its values are kept; None keeps those of columns that call functions.
    """
    calls = bool(calls_in(value))
    if stored is False and calls:
        raise ExpressionError(
            "a column that calls a function is stored.",
            table=record.name,
            column=name,
            hint="Leave out stored=False, or call the function in queries.",
        )
    unsteady = value.find((ops.Impure,), filter=ops.Value)
    keep = calls or bool(unsteady) if stored is None else stored
    return Column(
        id=record.next_column,
        name=name,
        dtype=value.dtype,
        kind="stored" if keep else "virtual",
        expression=codec.dump(value),
        hidden=hidden,
        fallible=calls and not hidden,
    )


def with_contents(engine: Engine, record: TableRecord, names: Iterable[str]) -> TableRecord:
    """Add the hidden columns that record the content of media which are validated.

    The record is known to the catalog.
    """
    for name in names:
        column = record.column(name)
        if column is None or not isinstance(column.dtype, Media) or not column.validated:
            continue
        # As a document: functions of these get the path of the file, and open nothing.
        file = ops.Field(engine.leaf(record.id), name).to_expr().cast(Document())
        value = build_call("barbule.functions.media.content", CONTENT, {"media": file}).op()
        made = new_column(record, column.content_name, value, stored=True, hidden=True)
        record = record.with_columns(made)
    return record


def reads(engine: Engine, record: TableRecord, column: Column) -> set[str]:
    """Return the columns of its table that a computed column reads, virtual ones resolved."""
    value = engine.expression(str(column.expression), None)
    found: set[str] = set()
    for field in value.find(ops.Field):
        if not isinstance(field.rel, ManagedTable) or field.rel.table_id != record.id:
            continue
        known = record.column(field.name)
        if known is not None and known.kind == "virtual":
            found |= reads(engine, record, known)
        found.add(field.name)
    return found


def dependents(engine: Engine, record: TableRecord, changed: set[str]) -> list[Column]:
    """Return the computed columns downstream of changed columns."""
    affected = set(changed)
    found: list[Column] = []
    remaining = [column for column in record.columns if column.kind != "data"]
    while True:
        hit = [c for c in remaining if reads(engine, record, c) & affected]
        if not hit:
            return found
        found += hit
        affected |= {column.name for column in hit}
        remaining = [column for column in remaining if column not in hit]


def rows_relation(engine: Engine, record: TableRecord, rows: pa.Table, name: str) -> Any:
    """Make the relation by which the planner reads physical rows that are staged."""
    schema = physical_schema(record)
    shown = {column: schema[column] for column in rows.column_names}
    return engine.stored(name, type(schema)(shown))


def compute(
    change: Change,
    record: TableRecord,
    rows: pa.Table,
    columns: Iterable[Column],
) -> pa.Table:
    """Compute stored columns for physical rows and add them.

    Parameters
    ----------
    rows
        Physical columns by their physical names, `_rid` among them.
    columns
        The stored columns to compute; they may read each other, and what a view shows of its
        base: of that, the rows in `change.fresh` where there are any.

    Returns
    -------
    pyarrow.Table
        The rows, ordered by `_rid`, with the columns added or replaced.
    """
    columns = [column for column in columns if column.kind == "stored"]
    if rows.num_rows:
        warn_of_mixing(change, record, columns)
    rows = put_together(_computed_parts(change, record, rows, columns))
    change.fresh[record.id] = rows
    if rows.num_rows:
        note_versions(change, record, columns)
    return rows


def _computed_parts(
    change: Change, record: TableRecord, rows: pa.Table, columns: list[Column]
) -> Iterator[pa.Table]:
    """Compute a bounded number of rows at a time: each from its own values alone."""
    size = _at_a_time(columns)
    for start in range(0, max(rows.num_rows, 1), size):
        with _counting_from(start):
            yield _compute_rows(change, record, rows.slice(start, size), columns)


def _compute_rows(
    change: Change, record: TableRecord, rows: pa.Table, columns: list[Column]
) -> pa.Table:
    """Compute columns level by level, those first that the others read."""
    remaining = columns
    while remaining:
        waiting = {column.name for column in remaining}
        level = [
            column
            for column in remaining
            if not reads(change.engine, record, column) & (waiting - {column.name})
        ]
        rows = _compute_level(change, record, rows, level)
        remaining = [column for column in remaining if column not in level]
    return rows


def _compute_level(
    change: Change,
    record: TableRecord,
    rows: pa.Table,
    level: list[Column],
) -> pa.Table:
    change.fresh[record.id] = rows
    relations, staged = fresh_rows(change, record)
    computed = _computed(change.engine, record, level, relations, staged, lenient=change.lenient)
    return _joined(rows, computed, level)


def compute_all(engine: Engine, record: TableRecord, columns: list[Column]) -> pa.Table:
    """Compute stored columns, none of which reads another of them, for all rows of a table.

    Returns
    -------
    pyarrow.Table
        The row identities and the columns, by their physical names.
    """
    with engine.caller.watching():
        return put_together(_computed_ranges(engine, record, columns))


def _computed_ranges(
    engine: Engine, record: TableRecord, columns: list[Column]
) -> Iterator[pa.Table]:
    done = 0
    for rids in _ranges(engine, record, columns):
        with _counting_from(done):
            computed = _computed(engine, record, columns, {}, {}, rids)
        for column in columns:
            wanted = storage(column.dtype).to_pyarrow()
            cells = computed.column(column.physical).cast(wanted)
            computed = _with_column(computed, column.physical, cells)
        done += computed.num_rows
        yield computed


def _ranges(
    engine: Engine, record: TableRecord, columns: list[Column]
) -> Iterator[tuple[int, int] | None]:
    """Yield ranges of row identities whose results take a bounded memory; None for all rows."""
    rows, size = engine.catalog.latest(record.id).next_rid, _at_a_time(columns)
    if rows <= size:
        yield None
        return
    for start in range(0, rows, size):
        yield start, start + size


def _at_a_time(columns: Iterable[Column]) -> int:
    """Return for how many rows columns are computed together, so that a bounded memory is taken."""
    return max(_FEWEST, _PART // max(1, sum(_width(storage(each.dtype)) for each in columns)))


@contextlib.contextmanager
def _counting_from(first: int) -> Iterator[None]:
    """Let errors count rows from the first of all parts."""
    try:
        yield
    except BarbuleError as error:
        error.row = None if error.row is None else error.row + first
        raise


def _width(kind: dt.DataType) -> int:
    """Return how many bytes a value takes in Arrow, or what a text may take."""
    if isinstance(kind, dt.Array) and kind.length is not None:
        return kind.length * _width(kind.value_type)
    if isinstance(kind, dt.Struct):
        return sum(map(_width, kind.fields.values()))
    try:
        return max(1, kind.to_pyarrow().bit_width // 8)
    except ValueError:
        return _UNKNOWN


_PLAIN = (dt.Boolean, dt.Date, dt.Floating, dt.Integer, dt.String)


def query_of_all(engine: Engine, record: TableRecord, columns: list[Column]) -> ir.Table | None:
    """Make the query by which the backend alone computes columns for all rows of a table.

    Returns
    -------
    ibis.expr.types.Table or None
        What `compute_all` would return; None where it takes more than the backend.
    """
    query = _query_of(engine, record, columns)
    exact = all(map(_is_assigned_exactly, query.values.values()))
    return within_backend(engine, query.to_expr()) if exact else None


def _is_assigned_exactly(value: ops.Value) -> bool:
    """Whether SQL assigns a value to a column exactly as it travels by Arrow."""
    return isinstance(value.dtype, _PLAIN) and not isinstance(value.dtype, Media)


def within_backend(engine: Engine, query: ir.Table) -> ir.Table | None:
    """Lower a query for the backend; None where it needs more than the backend."""
    plan = engine.plan(query)
    return None if plan.stages else plan.final.to_expr()


def _query_of(engine: Engine, record: TableRecord, columns: list[Column]) -> ops.Project:
    """Make the query of the values of columns, and why there are none, by row identity."""
    leaf = engine.leaf(record.id, hidden=True)
    visible = engine.leaf(record.id)
    values = {RID: ops.Field(leaf, RID)}
    for column in columns:
        value = engine.expression(str(column.expression), None).replace({visible: leaf})
        values[column.physical] = as_declared(value, column.dtype)
        if column.fallible:
            reasons = tuple(CellError(call) for call in calls_in(value))
            values[column.errors] = ops.Coalesce(reasons) if len(reasons) > 1 else reasons[0]
    return ops.Project(leaf, values)


def _computed(
    engine: Engine,
    record: TableRecord,
    columns: list[Column],
    relations: Mapping[int, ops.Relation],
    staged: Mapping[str, pa.Table],
    rids: tuple[int, int] | None = None,
    *,
    lenient: bool = False,
) -> pa.Table:
    def query() -> ir.Table:
        return _query_of(engine, record, columns).to_expr()

    try:
        with engine.caller.computing(_purpose(engine, record, columns, lenient=lenient)):
            if relations:
                key = (record.id, tuple(column.id for column in columns))
                return engine.computed(engine.plan_once(key, query, relations), staged)
            rows = query()
            if rids is not None:
                rows = rows.filter(rows[RID] >= rids[0], rows[RID] < rids[1])
            return engine.arrow(rows, relations, staged)
    except BarbuleError as error:
        column = columns[0] if len(columns) == 1 else None
        if error.column is not None:
            column = next((c for c in columns if c.hidden and c.name == error.column), column)
        shown = None if column is None else _name_shown(engine, record, column)
        if column is not None and error.column == column.name:
            error.column = shown
        raise error.at(table=record.name, column=shown) from error.__cause__


def _name_shown(engine: Engine, record: TableRecord, column: Column) -> str:
    """Name a column for people: for the vectors of an index the column that it searches."""
    return min(reads(engine, record, column), default=column.name) if column.hidden else column.name


def _purpose(
    engine: Engine, record: TableRecord, columns: list[Column], *, lenient: bool
) -> Purpose:
    """Say what is computed, for the call ledger and the budget of the table."""
    versions = engine.catalog.versions(record.id)
    names = {column.physical: column.name for column in columns}
    names |= {column.errors: column.name for column in columns}
    first = versions[-1].next_rid if versions else 0
    budget = TableBudget.of(record, engine.ledger, engine.backend)
    return Purpose(record.name, names, first, budget, lenient)


def fresh_rows(
    change: Change, record: TableRecord
) -> tuple[dict[int, ops.Relation], dict[str, pa.Table]]:
    """Return the fresh rows of a table and of what it is a view of: as relations, and staged."""
    relations: dict[int, ops.Relation] = {}
    staged = {}
    while True:
        rows = change.fresh.get(record.id)
        if rows is not None:
            name = f"bb_fresh_{record.id}"
            relations[record.id] = rows_relation(change.engine, record, rows, name)
            staged[name] = rows
        if record.view is None or record.view.bases:
            return relations, staged
        record = change.engine.catalog.record(record.view.base)


def _joined(rows: pa.Table, computed: pa.Table, level: list[Column]) -> pa.Table:
    """Put computed columns beside their rows, by row identity."""
    rows, computed = by_rid(rows), by_rid(computed)
    for column in level:
        wanted = storage(column.dtype).to_pyarrow()
        rows = _with_column(rows, column.physical, computed.column(column.physical).cast(wanted))
        if column.fallible:
            rows = _with_column(rows, column.errors, computed.column(column.errors))
    return rows


def _with_column(rows: pa.Table, name: str, values: pa.ChunkedArray) -> pa.Table:
    if name in rows.column_names:
        return rows.set_column(rows.column_names.index(name), name, values)
    return rows.append_column(name, values)


def by_rid(rows: pa.Table) -> pa.Table:
    """Order rows by their identity."""
    import pyarrow.compute as pc

    return rows.take(pc.sort_indices(rows.column(RID)))


def physical_rows(
    engine: Engine,
    record: TableRecord,
    query: ir.Table,
    staged: Mapping[str, pa.Table] | None = None,
) -> pa.Table:
    """Read the physical columns of rows of a hidden leaf that a query keeps."""
    relation = query.op()
    return engine.arrow(
        ops.Project(relation, kept_fields(record, relation)).to_expr(), staged=staged
    )


def kept_fields(record: TableRecord, relation: ops.Relation) -> dict[str, ops.Value]:
    """Return what is kept of each row, by physical names, as fields of a hidden relation."""
    fields: dict[str, ops.Value] = {RID: ops.Field(relation, RID)}
    if record.view:
        fields[BASE] = ops.Field(relation, BASE)
    for column in record.columns:
        if column.kind != "virtual":
            fields[column.physical] = ops.Field(relation, column.name)
        if column.fallible:
            fields[column.errors] = ops.Field(relation, column.error_name)
    return fields
