"""The mutations of rows: insert, update, delete.

Owns what each does to the rows of a table; views follow in the same change.
"""

from __future__ import annotations

import functools
import itertools
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import ibis
import ibis.expr.operations as ops
import ibis.expr.schema as sch
import ibis.expr.types as ir

from barbule.backends.base import RID
from barbule.catalog import codec
from barbule.errors import ColumnNotFoundError, DataError, ExpressionError, UnsupportedError
from barbule.nodes import ERROR
from barbule.planner.lineage import LOOKS_AROUND, changes_row_count
from barbule.relations.errors.invalid_queries import refuse_plain
from barbule.suggestions import one_of
from barbule.tables.compute.computed_columns import compute, dependents, kept_fields, within_backend
from barbule.tables.compute.function_expressions import resolve
from barbule.tables.compute.lossless_casts import (
    holds_decimals,
    loses_by_cast,
    may_be_too_large,
    on_the_clock,
    without_loss,
)
from barbule.tables.compute.media_errors import cell_rules, place_of, with_reasons
from barbule.tables.compute.required_values import asks_for_values, first_missing
from barbule.tables.sources import check_choices, read_batches, read_rows
from barbule.tables.transaction.changed_rows import write_differing
from barbule.tables.transaction.names import check_policy, current, physical_name
from barbule.tables.transaction.transaction import (
    Change,
    DeleteResult,
    InsertResult,
    MutationResult,
    NothingToDo,
    UpdateResult,
    isolated,
    located,
    mutate,
    mutate_in_parts,
    reading_once,
)
from barbule.tables.views.propagation import propagate
from barbule.types import Media, storage
from barbule.values.cells import holds_media

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import pyarrow as pa

    from barbule.catalog.records import Column, TableRecord
    from barbule.executor.engine import Engine
    from barbule.nodes import ManagedTable

__all__ = ["delete", "insert", "update"]

PART_ROWS = 1 << 20
_OLD = "bb_old_"
Result = TypeVar("Result", bound=MutationResult)


def writable(leaf: ManagedTable) -> TableRecord:
    """Return the structure of a table whose rows can be changed."""
    record = current(leaf)
    if record.view:
        raise UnsupportedError(
            "the rows of a view follow those of its base.",
            table=record.name,
            hint="Change the rows of the base table.",
        )
    return record


def data_schema(record: TableRecord) -> sch.Schema:
    """Return the columns that take data."""
    return sch.Schema({c.name: c.dtype for c in record.columns if c.kind == "data"})


def defaults(record: TableRecord) -> dict[str, Any]:
    """Return the values of cells that an insert leaves out."""
    return {
        column.name: codec.load_value(column.default)
        for column in record.columns
        if column.default is not None
    }


@isolated
def insert(
    leaf: ManagedTable, source: Any, on_error: Literal["abort", "null"] = "abort"
) -> InsertResult:
    """Insert rows; computed columns, views and indexes follow."""
    engine: Engine = leaf.source
    since = engine.catalog.refresh()
    record = writable(leaf)
    engine.backend.check_writable()  # before media are put
    check_policy(on_error, ("abort", "null"), "on_error")

    def target(change: Change) -> TableRecord:
        change.lenient = on_error == "null"
        return writable(leaf)

    with reading_once(engine, source, record.name, since):
        parts = read_batches(
            source,
            data_schema(record),
            record.name,
            engine.library,
            defaults=defaults(record),
            size=PART_ROWS,
            rules=cell_rules(record, on_error),
        )
        first = next(parts, None)
        if first is None:
            return InsertResult(0, 0, engine.catalog.latest(record.id).version)
        change, record, count = insert_parts(
            engine,
            "insert",
            itertools.chain((first,), parts),
            target,
            since=since,
            slow=calls_functions(engine, record),
        )
    return change.result(InsertResult, record.id, count)  # type: ignore[return-value]


def insert_parts(
    engine: Engine,
    operation: str,
    parts: Iterator[pa.Table],
    target: Callable[[Change], TableRecord],
    *,
    since: int,
    slow: bool = False,
) -> tuple[Change, TableRecord, int]:
    """Insert rows in one change, each part written before the next is read.

    Parameters
    ----------
    target
        Gives the structure of the table within the change, where it may be made.

    Returns
    -------
    tuple
        The change that was made, the structure of the table, and how many rows there were.
    """
    first, second = next(parts, None), next(parts, None)

    def whole(change: Change) -> tuple[TableRecord, int]:
        record = target(change)
        return record, 0 if first is None else _insert_part(change, record, first)

    def by_parts(change: Change) -> tuple[TableRecord, int]:
        record, count = whole(change)
        change.flush()
        for rows in itertools.chain((second,), parts):
            count += _insert_part(change, record, rows)
            change.flush()
        return record, count

    if second is None:
        change, (record, count) = mutate(engine, operation, whole, since=since, slow=slow)
    else:
        change, (record, count) = mutate_in_parts(engine, operation, by_parts, since=since)
    return change, record, count


def _insert_part(change: Change, record: TableRecord, rows: pa.Table) -> int:
    physical = rows.rename_columns([place_of(record, name) for name in rows.column_names])
    physical = physical.append_column(RID, change.new_rids(record.id, rows.num_rows))
    write_new(change, record, physical)
    return rows.num_rows


def write_new(change: Change, record: TableRecord, rows: pa.Table) -> None:
    """Compute the stored columns of new rows and write them; views follow."""
    rows = with_reasons(change, record, rows)
    stored = [column for column in record.columns if column.kind == "stored"]
    rows = compute(change, record, rows, stored)
    change.append(record, rows)
    change.touch(record.id, rows=rows.num_rows)
    propagate(change, record, rows, None)


def calls_functions(engine: Engine, record: TableRecord) -> bool:
    """Whether new rows of a table make functions be called, for itself or for its views."""
    seen, waiting = set(), [record]
    while waiting:
        each = waiting.pop()
        if each.id in seen:
            continue
        seen.add(each.id)
        if (each.view and each.view.items) or any(c.kind == "stored" for c in each.columns):
            return True
        waiting += engine.catalog.views_of(each.id)
        waiting += engine.catalog.queries_over(each.id)
    return False


def _no_condition(table: ir.Table, hint: str) -> ExpressionError:
    return ExpressionError(
        "the condition is None, and not one of each row.", table=table.get_name(), hint=hint
    )


def chosen_rows(table: ir.Table, where: Any) -> ir.Table:
    """Return the hidden rows of a table for which a condition holds; None chooses all rows."""
    refuse_plain(where, table)
    given, where = where, resolve(table, where)
    if where is None and given is not None:
        raise _no_condition(table, "Let the function return it: lambda t: t.n > 3.")
    leaf = table.op()
    hidden = leaf.copy(hidden=True)
    if isinstance(where, ir.BooleanColumn) and _is_of_each_row(where.op(), leaf):
        return ops.Filter(hidden, [_moved(where.op(), leaf, hidden)]).to_expr()
    filtered = (table if where is None else table.filter(where)).op()
    return filtered.replace({leaf: hidden}).to_expr()


def _bound(table: ir.Table, values: Mapping[str, Any]) -> Mapping[str, ops.Value]:
    """Bind the expressions of new values to their table."""
    leaf = table.op()
    if all(
        isinstance(each, ir.Value)
        and not holds_decimals(each.type())  # which have their digits once they are bound
        and _is_of_each_row(each.op(), leaf)
        for each in values.values()
    ):
        return {name: each.op() for name, each in values.items()}
    bound: Mapping[str, ops.Value] = table.select(**values).op().values
    for name, value in bound.items():
        if changes_row_count(value):
            raise ExpressionError(
                "a new value is one for each row, and unnest() makes rows.",
                table=table.get_name(),
                column=name,
                hint="Choose one item: t.items[0].",
            )
    return bound


def _is_of_each_row(value: ops.Value, leaf: ManagedTable) -> bool:
    """Whether a value asks nothing but the row itself, so that it needs no binding."""
    other = (*LOOKS_AROUND, ops.Alias, ops.Unnest)
    return value.relations <= {leaf} and not value.find(other, filter=ops.Value)


@isolated
def delete(table: ir.Table, where: Any) -> DeleteResult:
    """End the life of rows, and of what views made of them."""
    leaf = table.op()
    engine: Engine = leaf.source
    since = engine.catalog.refresh()

    def work(change: Change) -> int | None:
        record = writable(leaf)
        if _stands_alone(engine, record):
            chosen = within_backend(engine, _identities(chosen_rows(table, where)))
            if chosen is not None:
                change.close_by(record, chosen)
                return None
        with located(record):
            rids = engine.arrow(_identities(chosen_rows(table, where))).column(RID)
        end_rows(change, record, rids)
        return len(rids)

    return unless_empty(leaf, DeleteResult, "delete", work, since=since)


def _identities(rows: ir.Table) -> ir.Table:
    relation = rows.op()
    return ops.Project(relation, {RID: ops.Field(relation, RID)}).to_expr()


def end_rows(change: Change, record: TableRecord, rids: pa.Array) -> None:
    """End the life of rows; views follow."""
    if len(rids):
        change.close(record, rids)
        change.touch(record.id, rows=len(rids))
        propagate(change, record, None, rids)


@isolated
def update(table: ir.Table, values: Mapping[str, Any], where: Any) -> UpdateResult:
    """Give columns of rows new values; only what is downstream of them is computed again."""
    leaf = table.op()
    engine: Engine = leaf.source
    since = engine.catalog.refresh()
    record = writable(leaf)
    if not values:
        raise ExpressionError(
            "update takes at least one column.", table=record.name, hint='update({"a": 1}).'
        )

    def work(change: Change) -> int | None:
        record = writable(leaf)
        chosen = chosen_rows(table, where)
        if _stands_alone(engine, record):
            query = _new_values_query(engine, table, record, chosen, assigned)
            if query is not None:
                kept = kept_fields(record, chosen.op()).keys() - set(query.columns)
                change.replace_by(record, query, sorted(kept))
                return None
        rows, old = _new_state(engine, table, record, chosen, assigned)
        check_new_values(record, rows, set(values))
        return write_differing(change, record, rows, old, values)

    assigned = {name: _assigned(engine, table, record, name, values[name]) for name in values}
    return unless_empty(leaf, UpdateResult, "update", work, since=since)


def unless_empty(
    leaf: ManagedTable,
    kind: type[Result],
    operation: str,
    work: Callable[[Change], int | None],
    *,
    since: int,
    slow: bool | None = None,
) -> Result:
    """Make a change of rows; where it is found that there are none, there is no new version.

    Parameters
    ----------
    work
        Prepares the change and returns how many rows it is of; None where that is known once
        they are written.
    """
    engine: Engine = leaf.source
    record = engine.catalog.record(leaf.table_id)

    def checked(change: Change) -> int | None:
        count = work(change)
        if count == 0:
            raise NothingToDo
        return count

    try:
        if slow is None:
            slow = calls_functions(engine, record)
        change, count = mutate(engine, operation, checked, since=since, slow=slow)
    except NothingToDo:
        return kind(0, 0, engine.catalog.latest(record.id).version)
    rows = change.rows_of(record.id) if count is None else count
    return change.result(kind, record.id, rows)  # type: ignore[return-value]


def _stands_alone(engine: Engine, record: TableRecord) -> bool:
    """Whether nothing follows the rows of a table, so that they can change where they are."""
    if record.origin is not None or engine.backend.many_writers:
        return False
    catalog = engine.catalog
    return not (catalog.views_of(record.id) or catalog.queries_over(record.id))


def _assigned(engine: Engine, table: ir.Table, record: TableRecord, name: str, value: Any) -> Any:
    """Return the expression of a new value; of a plain one, once it is checked, the cell."""
    column = record.column(name)
    if column is None or column.hidden:
        raise ColumnNotFoundError(
            "there is no such column.",
            table=record.name,
            column=name,
            hint=one_of(name, table.columns, "It has"),
        )
    if column.kind != "data":
        raise ExpressionError(
            "the column is computed.",
            table=record.name,
            column=name,
            hint="Update what it is computed from, or replace its expression by "
            "add_computed_column(..., if_exists='replace').",
        )
    if isinstance(value, ir.Expr) or hasattr(value, "__ibis_deferred__"):
        return value
    if callable(value) or type(value).__name__ == "Deferred":
        return resolve(table, value, name)
    # Not by way of a literal: SQL reads 0.7 as a decimal, and not all types have literals.
    single = sch.Schema({name: column.dtype})
    rules = cell_rules(record)
    row = read_rows({name: value}, single, record.name, engine.library, rules=rules)
    return row.column(name).combine_chunks()


def _new_state(
    engine: Engine,
    table: ir.Table,
    record: TableRecord,
    old: ir.Table,
    assigned: Mapping[str, Any],
) -> tuple[pa.Table, pa.Table]:
    """Read the chosen rows with the assigned columns in their new state, and these as they are."""
    import pyarrow as pa

    leaf = table.op()
    expressions = {
        name: value for name, value in assigned.items() if not isinstance(value, pa.Array)
    }
    bound = _bound(table, expressions) if expressions else {}
    parent = old.op()
    shown = kept_fields(record, parent)
    checked: list[Column] = []
    for column in record.columns:
        if column.name in bound:
            value = _moved(bound[column.name], leaf, parent)
            kinds = value.dtype, column.dtype
            if loses_by_cast(*kinds) or may_be_too_large(*kinds):
                value = on_the_clock(value)
                checked.append(column)
            elif storage(value.dtype) != storage(column.dtype):
                value = ops.Cast(value, column.dtype)
            shown[column.physical] = value
        if column.name in assigned and column.fallible:
            shown[column.errors] = ops.Literal(None, ERROR)
    kept = kept_fields(record, parent)
    places = [place for name in assigned for place in _places(record, name)]
    before = {f"{_OLD}{place}": kept[place] for place in places}
    with located(record, next(iter(bound)) if len(bound) == 1 else None):
        read = engine.arrow(ops.Project(parent, {**shown, **before}).to_expr())
    rows, old = read.select(list(shown)), read.select(list(before)).rename_columns(places)
    for column in checked:
        place = rows.column_names.index(column.physical)
        cells = without_loss(rows.column(place), column, record.name, engine.library)
        rows = rows.set_column(place, column.physical, cells)
    for name in assigned.keys() - expressions.keys():
        place = list(shown).index(physical_name(record, name))
        cells = assigned[name].take(pa.repeat(0, rows.num_rows))
        rows = rows.set_column(place, rows.column_names[place], cells)
    return rows, old


def _places(record: TableRecord, name: str) -> list[str]:
    """Return where the values of a column are, and why they are missing."""
    column = record.column(name)
    return [] if column is None else [column.physical, column.errors][: 1 + column.fallible]


def _new_values_query(
    engine: Engine,
    table: ir.Table,
    record: TableRecord,
    old: ir.Table,
    assigned: Mapping[str, Any],
) -> ir.Table | None:
    """Make the query of new values by rows; None where the backend alone cannot compute them."""
    changed = [column for column in record.columns if column.name in assigned]
    affected = dependents(engine, record, set(assigned))
    if any(column.kind == "stored" for column in affected):
        return None
    if any(column.choices or asks_for_values(column.dtype) for column in changed):
        return None
    values = {name: _literal(value) for name, value in assigned.items()}
    if any(value is None for value in values.values()):
        return None
    leaf, parent = table.op(), old.op()
    bound = _bound(table, values)
    if any(loses_by_cast(bound[column.name].dtype, column.dtype) for column in changed):
        return None
    new: dict[str, ops.Value] = {}
    for column in changed:
        value, kind = bound[column.name], storage(column.dtype)
        new[column.name] = value if value.dtype == kind else ops.Cast(value, kind)
    if not any(value.find(ops.Impure, filter=ops.Value) for value in new.values()):
        # What is random would be another here than where it is written.
        differing = [
            each
            for column in changed
            for each in _differing(column, _moved(new[column.name], leaf, parent), parent)
        ]
        parent = ops.Filter(parent, [functools.reduce(ops.Or, differing)])
    shown: dict[str, ops.Value] = {RID: ops.Field(parent, RID)}
    for column in changed:
        shown[column.physical] = _moved(new[column.name], leaf, parent)
        if column.fallible:
            shown[column.errors] = ops.Literal(None, ERROR)
    return within_backend(engine, ops.Project(parent, shown).to_expr())


def _differing(column: Column, new: ops.Value, parent: ops.Relation) -> list[ops.Value]:
    """Say, by any of several conditions, that a cell is another than before or may be.

    It is told for rows in Python by `changed_rows`.
    """
    old, kind = ops.Field(parent, column.name), storage(column.dtype)
    plain = old if old.dtype == kind else ops.Cast(old, kind)
    found: list[ops.Value] = [ops.Not(ops.IdenticalTo(plain, new))]
    if column.fallible:
        found.append(ops.NotNull(ops.Field(parent, column.error_name)))
    if isinstance(column.dtype, Media):
        found.append(ops.Not(ops.StartsWith(plain, "media:")))
    elif holds_media(column.dtype):
        found.append(ops.NotNull(old))
    return found


def _literal(value: Any) -> Any:
    """Make a value of the query's of a cell that SQL writes exactly; None for others."""
    import pyarrow as pa

    if not isinstance(value, pa.Array):
        return value
    cell = value[0].as_py()
    exact = (
        pa.types.is_signed_integer,
        pa.types.is_float64,
        pa.types.is_string,
        pa.types.is_boolean,
    )
    if cell is None or not any(test(value.type) for test in exact):
        return None
    return ibis.literal(cell)


def _moved(value: ops.Value, leaf: ManagedTable, parent: ops.Relation) -> ops.Value:
    fields = {
        field: ops.Field(parent, field.name)
        for field in value.find(ops.Field, filter=ops.Value)
        if field.rel == leaf
    }
    return value.replace(fields, filter=ops.Value)


def check_new_values(record: TableRecord, rows: pa.Table, names: set[str]) -> None:
    """Check that columns, of these names, have values in each row that they take."""
    for name in names:
        column = record.column(name)
        if column and column.choices:
            try:
                check_choices(rows.column(column.physical), column.choices, name)
            except DataError as error:
                raise error.at(table=record.name) from None
        missing = column and first_missing(rows.column(column.physical), column.dtype)
        if missing:
            path = ".".join(missing[1])
            what = f"its field {path!r}" if path else "the column"
            raise DataError(
                f"{what} is required, and the new value is missing.",
                table=record.name,
                column=name,
                hint="Give a value, or choose other rows.",
            )
