"""Columns are added, dropped, renamed and widened.

Owns what each does to the catalog and to stored rows. Old versions keep the columns, names and
types that they had: what changes gets a place of its own, and nothing is removed before
`compact`.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import ibis.expr.operations as ops

from barbule import types
from barbule.backends.base import RID
from barbule.catalog import codec
from barbule.catalog.expression_edits import rename_columns
from barbule.catalog.records import Column, TableRecord
from barbule.errors import (
    BarbuleError,
    ConfigurationError,
    DependencyError,
    ExpressionError,
    SchemaError,
)
from barbule.planner.lineage import calls_in
from barbule.tables.compute.computed_columns import (
    bind_column,
    by_rid,
    compute,
    compute_all,
    dependents,
    new_column,
    physical_rows,
    query_of_all,
    reads,
    with_contents,
    with_policy,
)
from barbule.tables.compute.function_versions import mended
from barbule.tables.compute.virtual_columns import check_readable
from barbule.tables.sources import read_rows
from barbule.tables.transaction.names import (
    IF_EXISTS,
    IF_NOT_EXISTS,
    check_names,
    check_policy,
    current,
    own_column,
    remove,
    removed_with,
)
from barbule.tables.transaction.transaction import Change, UpdateResult, isolated, mutate
from barbule.tables.views.base_columns import readers_of
from barbule.tables.views.propagation import propagate_update, refresh_readers
from barbule.tables.views.type_propagation import is_wider, retype_views, retyped, taking
from barbule.values.cells import holds_media

if TYPE_CHECKING:
    from collections.abc import Iterable

    import ibis.expr.schema as sch
    import ibis.expr.types as ir
    import pyarrow as pa

    from barbule.executor.engine import Engine
    from barbule.nodes import ManagedTable
    from barbule.tables.transaction.names import IfExists, IfNotExists

__all__ = [
    "add_columns",
    "add_computed_columns",
    "change_type",
    "check_validation",
    "drop_column",
    "put_computed",
    "rename_column",
    "rename_everywhere",
    "stored_defaults",
]


def stored_defaults(
    engine: Engine,
    schema: sch.Schema,
    given: Mapping[str, Any] | None,
    table: str,
    usual: Mapping[str, Any] | None = None,
) -> dict[str, str]:
    """Check the defaults of columns and return their stored form.

    Parameters
    ----------
    usual
        Those of the class whose fields the columns are.
    """
    stored = {}
    for name, value in {**(usual or {}), **_by_column(given, "defaults", table)}.items():
        if name not in schema:
            raise SchemaError(
                "there is a default for a column that is not there.",
                table=table,
                column=name,
                hint=f"Columns are {', '.join(schema.names)}.",
            )
        single = type(schema)({name: schema[name]})
        read_rows({name: value}, single, table, engine.library)
        stored[name] = codec.dump_value(value.value if isinstance(value, enum.Enum) else value)
    return stored


def _by_column(given: Any, argument: str, table: str) -> dict[str, Any]:
    if given is None or isinstance(given, Mapping):
        return dict(given or {})
    raise ConfigurationError(
        f"{argument} is by column, a mapping, and this is a {type(given).__name__}.",
        table=table,
        value=given,
        hint=f'For example {argument}={{"name": ...}}.',
    )


def check_validation(
    engine: Engine, schema: sch.Schema, given: str | Mapping[str, str] | None, table: str
) -> frozenset[str]:
    """Return the columns whose media are looked at when they are written; all that are none."""
    usual = given if isinstance(given, str) else engine.library.validation
    chosen = {} if isinstance(given, str) else _by_column(given, "media_validation", table)
    for name, value in {"": usual, **chosen}.items():
        if value not in {"on_write", "on_read"}:
            raise ConfigurationError(
                "media_validation is one of 'on_write', 'on_read'.", table=table, value=value
            )
        if name and (name not in schema or not holds_media(schema[name])):
            raise SchemaError(
                "media_validation is of columns with media.",
                table=table,
                column=name,
                hint="Give one for all, or names of such columns.",
            )
    return frozenset(
        name
        for name, kind in schema.items()
        if not holds_media(kind) or chosen.get(name, usual) == "on_write"
    )


@isolated
def add_columns(
    table: ir.Table,
    columns: Any,
    *,
    defaults: Mapping[str, Any] | None = None,
    if_exists: IfExists = "error",
) -> UpdateResult:
    """Add columns that take data; rows that are there get the default."""
    leaf: ManagedTable = table.op()
    engine: Engine = leaf.source
    check_policy(if_exists, IF_EXISTS[:2], "if_exists")
    since = engine.catalog.refresh()
    record = current(leaf)
    if record.view:
        raise SchemaError(
            "a view takes no data.",
            table=record.name,
            hint="Add the column to its base, or a computed one.",
        )
    schema = types.schema(columns)
    check_names(schema.names, record.name, table.columns)
    taken = [name for name in schema.names if name in table.columns]
    if taken and if_exists == "error":
        raise SchemaError(
            "the column exists already.",
            table=record.name,
            column=taken[0],
            hint='Choose another name, or give if_exists="ignore".',
        )
    of_class = types.defaults_of(columns)
    stored = stored_defaults(engine, schema, defaults, record.name, of_class)
    choices = types.choices_of(columns)
    wanted = {name: kind for name, kind in schema.items() if name not in taken}
    validated = check_validation(engine, schema, None, record.name)

    def work(change: Change) -> int:
        record = current(leaf)
        rids = engine.arrow(engine.leaf(record.id, hidden=True).to_expr().select(RID))
        for name, kind in wanted.items():
            if not kind.nullable and name not in stored and rids.num_rows:
                raise SchemaError(
                    "a required column needs a default for the rows that are there.",
                    table=record.name,
                    column=name,
                    hint="Give defaults=, or make it nullable.",
                )
            column = Column(
                record.next_column,
                name,
                kind,
                default=stored.get(name),
                fallible=isinstance(kind, types.Media),
                validated=name in validated,
                choices=choices.get(name, ()),
            )
            record = record.with_columns(column)
            change.add_column(record, column)
            if column.default is not None and rids.num_rows:
                _fill_with_default(change, record, column, rids)
        change.put(record)
        record = with_contents(engine, known := record, wanted)
        for column in record.columns[len(known.columns) :]:
            change.add_column(record, column)
        change.put(record)
        _check_views_for(engine, record, wanted)
        return rids.num_rows if stored else 0

    if not wanted:
        return UpdateResult(0, 0, engine.catalog.latest(record.id).version)
    change, count = mutate(engine, "add column", work, since=since)
    return change.result(UpdateResult, record.id, count)  # type: ignore[return-value]


def _fill_with_default(change: Change, record: TableRecord, column: Column, rids: Any) -> None:
    import pyarrow as pa

    single = types.schema({column.name: column.dtype})
    value = codec.load_value(str(column.default))
    cell = read_rows({column.name: value}, single, record.name, change.engine.library)
    cells = cell.column(column.name).combine_chunks().take(pa.repeat(0, rids.num_rows))
    _put_values(change, record, column, rids.append_column(column.physical, cells))


def _put_values(change: Change, record: TableRecord, column: Column, values: pa.Table) -> None:
    """Write a new column, given by row identity, beside what is kept of each row."""
    rows = values
    if record.origin is not None:
        engine = change.engine
        known = replace(record, columns=tuple(c for c in record.columns if c != column))
        rows = physical_rows(engine, known, engine.leaf(record.id, hidden=True).to_expr())
        cells = by_rid(values).column(column.physical)
        rows = by_rid(rows).append_column(column.physical, cells)
    _write_columns(change, record, rows, [column])


def _check_views_for(engine: Engine, record: TableRecord, names: Iterable[str]) -> None:
    """Check that names which views would show of their base are free in them."""
    for view in engine.catalog.views_of(record.id):
        if view.view is None:
            continue
        shown = engine.expression(view.view.query, None).schema
        seen = [name for name in names if name in shown]
        own = {column.name for column in view.columns if not column.hidden}
        others = {each.lower(): each for each in [*own, *(n for n in shown.names if n not in seen)]}
        if taken := [name for name in seen if name.lower() in others]:
            other = others[taken[0].lower()]
            alike = "" if other == taken[0] else f", but for upper and lower case: {other!r}"
            raise SchemaError(
                f"the view {view.name!r} has a column of this name{alike}.",
                table=record.name,
                column=taken[0],
                hint="Choose another name.",
            )
        if seen:
            _check_views_for(engine, view, seen)


@isolated
def add_computed_columns(
    table: ir.Table,
    columns: Mapping[str, Any],
    *,
    stored: bool | None = None,
    if_exists: IfExists = "error",
    on_error: str | None = None,
) -> UpdateResult:
    """Add computed columns and compute them for all rows.

    Parameters
    ----------
    on_error
        What becomes of a row for which a function fails, where the call itself does not say so.
    """
    leaf = table.op()
    engine: Engine = leaf.source
    check_policy(if_exists, IF_EXISTS[:3], "if_exists")
    if on_error is not None:
        check_policy(on_error, ("abort", "null"), "on_error")
    since = engine.catalog.refresh()
    record = current(leaf)
    check_names(columns, record.name, table.columns)
    for name, expr in columns.items():
        _refuse_options(record, name, expr)
    wanted = {
        name: with_policy(bind_column(table, expr, name), on_error)
        for name, expr in columns.items()
        if _is_wanted(table, record, name, if_exists)
    }
    if not wanted:
        return UpdateResult(0, 0, engine.catalog.latest(record.id).version)
    if not stored:  # what is stored is computed at once
        check_readable(engine, ops.Project(leaf, wanted).to_expr(), record.name)
    calls = [call for value in wanted.values() for call in calls_in(value)]
    engine.caller.expect(call.function for call in calls)

    def work(change: Change) -> None:
        record = put_computed(change, current(leaf), wanted, stored=stored)
        _check_views_for(engine, record, wanted)

    change, _ = mutate(engine, "add computed column", work, since=since, slow=bool(calls))
    rows = change.rows_of(record.id)
    return change.result(UpdateResult, record.id, rows)  # type: ignore[return-value]


def _refuse_options(record: TableRecord, name: str, expr: Any) -> None:
    """Refuse what looks like an argument of the verb, of which it would make a column."""
    if expr is None or isinstance(expr, str | bytes | bool | list | tuple | dict | set):
        raise ExpressionError(
            "the column is to be computed, and this is no expression.",
            table=record.name,
            column=name,
            # Expressions in it would be shown as plans.
            value=None if isinstance(expr, list | tuple | dict | set) else expr,
            hint="There is no such argument; an expression is made of columns, t.a + 1, and a "
            'constant by ibis.literal(...); ibis.struct({"a": t.a}) makes a record of columns, and '
            "ibis.array([t.a, 1]) a list.",
        )


def _is_wanted(table: ir.Table, record: TableRecord, name: str, if_exists: IfExists) -> bool:
    if name not in table.columns:
        return True
    if if_exists == "ignore":
        return False
    column = record.column(name)
    if if_exists == "replace" and column is not None and column.kind != "data":
        return True
    raise SchemaError(
        "the column exists already."
        if if_exists == "error"
        else "only a computed column of the table itself can be replaced by another.",
        table=record.name,
        column=name,
        hint='Choose another name, or give if_exists="replace" for a computed column.',
    )


def put_computed(
    change: Change,
    record: TableRecord,
    values: Mapping[str, ops.Value],
    *,
    stored: bool | None,
    hidden: bool = False,
) -> TableRecord:
    """Add computed columns, or put them in the place of those of their names, and fill them.

    Returns
    -------
    TableRecord
        The table with the columns. The change counts the rows for which they were computed.
    """
    replaced = {name for name in values if record.column(name)}
    downstream = dependents(change.engine, record, replaced) if replaced else []
    fresh = []
    for name, value in values.items():
        _refuse_cycle(record, name, downstream if name in replaced else [], value)
        column = new_column(record, name, value, stored=stored, hidden=hidden)
        old = record.column(name)
        record = record.replace_column(old, column) if old else record.with_columns(column)
        fresh.append(column)
    change.put(record)
    again = [column for column in downstream if column.name not in values]
    record, moved = _moved_on(change, record, again)
    _compute_anew(change, record, fresh + moved)
    if replaced and _views(change.engine, record):
        _pass_to_views(change, record, replaced | {column.name for column in downstream})
    return record


def _pass_to_views(change: Change, record: TableRecord, changed: set[str]) -> None:
    """Let views follow columns that are computed otherwise, or have other types, now."""
    engine = change.engine
    retype_views(change, record, changed)
    rows = change.fresh.get(record.id)
    if rows is None:  # nothing is stored of them
        rows = physical_rows(engine, record, engine.leaf(record.id, hidden=True).to_expr())
        change.fresh[record.id] = rows
    change.show(record.id, rows)
    refresh_readers(change, record, changed)
    propagate_update(change, record, rows, changed)


def _moved_on(
    change: Change, record: TableRecord, columns: list[Column]
) -> tuple[TableRecord, list[Column]]:
    """Give columns that are computed anew other places: old versions keep what they had."""
    moved = []
    for column in columns:
        with taking(record, None, f"the column {column.name!r}"):
            value = retyped(change.engine, str(column.expression))
        new = replace(column, dtype=value.dtype)
        if column.kind == "stored":
            new = replace(mended(change.engine, new), id=record.next_column)
            moved.append(new)
            for index in record.indexes:
                if index.embedding == column.id:
                    change.afterwards(partial(change.engine.indexing.drop, record, index))
        record = record.replace_column(column, new)
        change.put(record)
    return record, moved


def _compute_anew(change: Change, record: TableRecord, columns: list[Column]) -> None:
    """Make room for the stored ones of new columns, and compute them for all rows."""
    engine = change.engine
    made = [column for column in columns if column.kind == "stored"]
    for column in made:
        change.add_column(record, column)
    if not made:
        return
    names = {column.name for column in made}
    apart = not any(reads(engine, record, column) & names for column in made)
    if apart and record.origin is None and not record.view and not _views(engine, record):
        query = None if engine.backend.many_writers else query_of_all(engine, record, made)
        if query is not None:
            change.fill_by(record, query, made[0].name if len(made) == 1 else None)
            return
        rows = compute_all(engine, record, made)
    else:
        known = replace(record, columns=tuple(c for c in record.columns if c not in made))
        rows = physical_rows(engine, known, engine.leaf(record.id, hidden=True).to_expr())
        rows = compute(change, record, rows, made)
    _write_columns(change, record, rows, made)
    change.touch(record.id, rows=rows.num_rows)


def _write_columns(
    change: Change, record: TableRecord, rows: pa.Table, columns: list[Column]
) -> None:
    """Write columns of all rows, which are given whole; a branch gets rows of its own."""
    if record.origin is not None:
        change.close(record, rows.column(RID))
        change.append(record, rows)
        return
    for column in columns:
        change.fill(record, column.physical, rows)
        if column.errors not in rows.column_names:  # data, which was not missing by an error
            continue
        if rows.column(column.errors).null_count < rows.num_rows:
            change.fill(record, column.errors, rows)


def _refuse_cycle(
    record: TableRecord, name: str, downstream: list[Column], value: ops.Value
) -> None:
    read = {field.name for field in value.find(ops.Field)}
    circle = read & {name, *(column.name for column in downstream)}
    if circle:
        raise ExpressionError(
            f"the column would be computed from itself, by way of {', '.join(sorted(circle))}.",
            table=record.name,
            column=name,
            hint="Compute it from other columns.",
        )


@isolated
def drop_column(
    table: ir.Table, name: str, *, cascade: bool = False, if_not_exists: IfNotExists = "error"
) -> UpdateResult:
    """Drop a column; old versions keep it."""
    leaf: ManagedTable = table.op()
    engine: Engine = leaf.source
    check_policy(if_not_exists, IF_NOT_EXISTS, "if_not_exists")
    since = engine.catalog.refresh()
    record = current(leaf)
    if if_not_exists == "ignore" and name not in table.columns:
        return UpdateResult(0, 0, engine.catalog.latest(record.id).version)

    def work(change: Change) -> None:
        record = current(leaf)
        column = own_column(record, name, table.columns)
        doomed = _dropped_with(engine, record, column, cascade=cascade)
        kept = [each for each in record.columns if each.name not in doomed]
        if not any(not each.hidden for each in kept) and record.view is None:
            raise SchemaError(
                "it is the only column.", table=record.name, column=name, hint="Drop the table."
            )
        change.put(_without(change, record, doomed))

    change, _ = mutate(engine, "drop column", work, since=since)
    return change.result(UpdateResult, record.id, 0)  # type: ignore[return-value]


def _without(change: Change, record: TableRecord, names: set[str]) -> TableRecord:
    """Leave out columns, with the indexes that search them and the views that read them."""
    engine = change.engine
    gone = [index for index in record.indexes if _is_over(record, index, names)]
    for index in gone:
        change.afterwards(partial(engine.indexing.drop, record, index))
    hidden = {record.column_by_id(index.embedding).name for index in gone}
    hidden |= {each.content_name for each in record.columns if each.name in names}
    doomed = [
        each
        for view in readers_of(engine, record, names)
        for each in removed_with(engine, view, cascade=True)
    ]
    remove(change, {each.id: each for each in doomed}.values())
    left = record.with_columns(without=tuple(names | hidden))
    return replace(left, indexes=tuple(index for index in record.indexes if index not in gone))


def _is_over(record: TableRecord, index: Any, names: set[str]) -> bool:
    return any(each.id == index.column and each.name in names for each in record.columns)


def _dropped_with(
    engine: Engine, record: TableRecord, column: Column, *, cascade: bool
) -> set[str]:
    """Return the names of the columns that go with one.

    Raises
    ------
    DependencyError
        When something depends on it, and `cascade` is False.
    """
    indexes = [index for index in record.indexes if index.column == column.id]
    own = {record.column_by_id(index.embedding).name for index in indexes}
    own.add(column.content_name)
    columns = [c for c in dependents(engine, record, {column.name}) if c.name not in own]
    names = {column.name, *(each.name for each in columns)}
    views = readers_of(engine, record, names)
    needed = [f"the column {each.name!r}" for each in columns]
    needed += [f"the index {index.name!r}" for index in indexes]
    needed += [f"the view {view.name!r}" for view in views]
    if needed and not cascade:
        raise DependencyError(
            f"it is needed by {', '.join(needed)}.",
            table=record.name,
            column=column.name,
            hint="Drop them first, or give cascade=True.",
        )
    return names


def _views(engine: Engine, record: TableRecord) -> list[TableRecord]:
    return [*engine.catalog.views_of(record.id), *engine.catalog.queries_over(record.id)]


@isolated
def rename_column(table: ir.Table, old: str, new: str) -> UpdateResult:
    """Give a column another name, wherever it is used; old versions keep the old one."""
    leaf: ManagedTable = table.op()
    engine: Engine = leaf.source
    since = engine.catalog.refresh()
    record = current(leaf)
    own_column(record, old, table.columns)
    check_names([new], record.name, [name for name in table.columns if name != old])
    if new in table.columns:
        raise SchemaError(
            "there is a column of this name already.",
            table=record.name,
            column=new,
            hint="Choose another name.",
        )

    def work(change: Change) -> None:
        rename_everywhere(change, current(leaf), {old: new}, {})

    change, _ = mutate(engine, "rename column", work, since=since)
    return change.result(UpdateResult, record.id, 0)  # type: ignore[return-value]


def rename_everywhere(
    change: Change,
    record: TableRecord,
    names: dict[str, str],
    known: dict[int, dict[str, str]],
) -> None:
    """Rename columns that a table shows, in its own expressions and in those of its views."""
    known = {**known, record.id: names}
    columns = tuple(
        replace(
            column,
            name=names.get(column.name, column.name),
            expression=column.expression and rename_columns(column.expression, known)[0],
        )
        for column in record.columns
    )
    change.put(replace(record, columns=columns))
    for view in change.engine.catalog.queries_over(record.id):
        if view.view is not None:
            query = rename_columns(view.view.query, known)[0]
            change.put(replace(view, view=replace(view.view, query=query)))
    for view in change.engine.catalog.views_of(record.id):
        if view.view is None:
            continue
        query, shown = rename_columns(view.view.query, known)
        items = view.view.items and rename_columns(view.view.items, known)[0]
        rows = view.view.rows and rename_columns(view.view.rows, known)[0]
        own = {column.name.lower() for column in view.columns if not column.hidden}
        taken = [name for name in shown.values() if name.lower() in own]
        if taken:
            raise SchemaError(
                f"the view {view.name!r} has a column of this name.",
                table=record.name,
                column=taken[0],
                hint="Choose another name.",
            )
        hidden = {column.name for column in view.columns}
        shown = {old: new for old, new in shown.items() if old not in hidden}
        moved = replace(view, view=replace(view.view, query=query, items=items, rows=rows))
        rename_everywhere(change, moved, shown, known)


@isolated
def change_type(table: ir.Table, name: str, kind: Any) -> UpdateResult:
    """Widen the type of a column; what is computed from it is computed anew."""
    leaf: ManagedTable = table.op()
    engine: Engine = leaf.source
    since = engine.catalog.refresh()
    record = current(leaf)
    column = own_column(record, name, table.columns)
    try:
        wanted = types.dtype(kind)
    except BarbuleError as error:
        raise error.at(table=record.name, column=name) from error.__cause__
    if record.view is not None:
        raise SchemaError(
            "a view has the types that it is computed with.",
            table=record.name,
            column=name,
            hint="Cast in the query or the function that the view is made of.",
        )
    if column.kind != "data" or not is_wider(column.dtype, wanted):
        raise SchemaError(
            f"{column.dtype} cannot become {wanted}: only wider types take all values as they are."
            if column.kind == "data"
            else "the column is computed.",
            table=record.name,
            column=name,
            hint="Add a computed column with .cast(...), or a new column.",
        )

    choices = types.choices_of({name: kind}).get(name, ())
    if choices and not (column.choices and set(choices) >= set(column.choices)):
        raise SchemaError(
            "it may hold other values than these already.",
            table=record.name,
            column=name,
            value=choices,
            hint="Give all values that it takes now, or a type that takes all.",
        )
    if (wanted, choices) == (column.dtype, column.choices):
        return UpdateResult(0, 0, engine.catalog.latest(record.id).version)

    def work(change: Change) -> int:
        record = current(leaf)
        old = own_column(record, name)
        new = replace(old, id=record.next_column, dtype=wanted, choices=choices)
        source = engine.leaf(record.id, hidden=True)
        values = {
            RID: ops.Field(source, RID),
            new.physical: ops.Cast(ops.Field(source, name), types.storage(wanted)),
        }
        rows = engine.arrow(ops.Project(source, values).to_expr())
        below = dependents(engine, record, {name})
        record = record.replace_column(old, new).with_columns(without=(old.content_name,))
        change.put(record)
        change.add_column(record, new)
        _put_values(change, record, new, rows)
        record, moved = _moved_on(change, record, below)
        followed = _views(engine, record)
        if moved or followed:
            change.fresh.clear()
            whole = _compute_from(change, record, moved, rows, new)
        if followed:
            change.fresh[record.id] = whole
            _pass_to_views(change, record, {name, *(each.name for each in below)})
        change.touch(record.id, rows=rows.num_rows)
        return rows.num_rows

    change, count = mutate(engine, "change type", work, since=since, slow=True)
    return change.result(UpdateResult, record.id, count)  # type: ignore[return-value]


def _compute_from(
    change: Change, record: TableRecord, columns: list[Column], cast: Any, new: Column
) -> pa.Table:
    """Compute columns anew from the new form of a column, which is not written yet.

    Returns
    -------
    pyarrow.Table
        All rows with the new form and these columns, by their physical names.
    """
    engine = change.engine
    for column in columns:
        change.add_column(record, column)
    unread = {new, *columns}
    known = replace(record, columns=tuple(c for c in record.columns if c not in unread))
    rows = physical_rows(engine, known, engine.leaf(record.id, hidden=True).to_expr())
    rows = by_rid(rows).append_column(new.physical, by_rid(cast).column(new.physical))
    if columns:
        rows = compute(change, record, rows, columns)
        _write_columns(change, record, rows, columns)
    return rows
