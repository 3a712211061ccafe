"""Tables, views and folders are made and dropped.

Owns what each does to the catalog and to stored rows; their columns are `alter`'s business.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, ValuesView
from typing import TYPE_CHECKING, Any

import ibis.expr.operations as ops
import ibis.expr.types as ir

from barbule import types
from barbule.catalog import codec
from barbule.catalog.records import Column, TableRecord, View
from barbule.errors import (
    DependencyError,
    ExpressionError,
    SchemaError,
    TableExistsError,
    TableNotFoundError,
    UnsupportedError,
)
from barbule.nodes import ManagedTable
from barbule.tables.compute.computed_columns import bind_column, new_column, with_contents
from barbule.tables.compute.virtual_columns import check_readable
from barbule.tables.sources import CellRules, as_rows, read_batches
from barbule.tables.transaction.names import (
    IF_NOT_EXISTS,
    check_names,
    check_policy,
    current,
    make_room,
    present,
    remove,
    removed_with,
)
from barbule.tables.transaction.transaction import (
    Change,
    NothingToDo,
    isolated,
    mutate,
    reading_once,
)
from barbule.tables.verbs.alter import check_validation, stored_defaults
from barbule.tables.verbs.mutations import PART_ROWS, insert_parts
from barbule.tables.views.base_tables import ViewQuery, read_query
from barbule.tables.views.full_refresh import refresh
from barbule.tables.views.incremental import data_columns, items_query, iterator_columns, write_rows
from barbule.tables.views.query_functions import check_queried

if TYPE_CHECKING:
    from barbule.executor.engine import Engine
    from barbule.functions.registry import OnError
    from barbule.tables.transaction.names import IfExists, IfNotExists

__all__ = ["create_table", "create_view", "drop", "drop_folder", "folders"]


@isolated
def create_table(
    engine: Engine,
    name: str,
    columns: Any,
    if_exists: IfExists = "error",
    defaults: Mapping[str, Any] | None = None,
    media_validation: str | Mapping[str, str] | None = None,
) -> ManagedTable:
    """Make a table, with the rows of `columns` where that is data; return its leaf."""
    since = engine.catalog.refresh()
    if (found := present(engine, name, if_exists)) is not None:
        if found.view is not None:
            raise TableExistsError(
                "there is a view of this name, and no table.",
                table=name,
                hint="Choose another name, or get it by get_table().",
            )
        return engine.leaf(found.id)
    engine.backend.check_writable()  # before media are put
    columns = _at_hand(as_rows(columns), name)
    given = types.holds_rows(columns)
    try:
        schema = types.infer(columns) if given else types.schema(columns)
    except SchemaError as error:
        raise error.at(table=name) from error.__cause__
    check_names(schema.names, name)
    if not schema.names:
        raise SchemaError("a table has at least one column.", table=name)
    of_class = {} if given else types.defaults_of(columns)
    choices = {} if given else types.choices_of(columns)
    stored = stored_defaults(engine, schema, defaults, name, of_class)
    validated = check_validation(engine, schema, media_validation, name)
    made = tuple(
        Column(
            id=place,
            name=column,
            dtype=kind,
            default=stored.get(column),
            fallible=isinstance(kind, types.Media),
            validated=column in validated,
            choices=choices.get(column, ()),
        )
        for place, (column, kind) in enumerate(schema.items())
    )

    def work(change: Change) -> TableRecord:
        make_room(change, name, if_exists)
        record = TableRecord(engine.catalog.next_table_id(), name, made, next_column=len(made))
        change.put(record)
        record = with_contents(engine, record, schema.names)
        change.put(record)
        change.create(record)
        return record

    if given:
        with reading_once(engine, columns, name, since):
            rules = CellRules(frozenset(schema.names) - validated)
            parts = read_batches(columns, schema, name, engine.library, size=PART_ROWS, rules=rules)
            _, record, _ = insert_parts(engine, "create table", parts, work, since=since)
    else:
        _, record = mutate(engine, "create table", work, since=since)
    return engine.leaf(record.id)


def _at_hand(columns: Any, name: str) -> Any:
    """Make a list of rows that come one by one, as types are told from all of them."""
    if isinstance(columns, Iterator | ValuesView) and not types.holds_rows(columns):
        columns = list(columns)
    if isinstance(columns, list | tuple) and not columns:
        raise SchemaError(
            "there is no row, so that no types are told.",
            table=name,
            hint='Give the schema, {"name": bb.String}, and insert() the rows.',
        )
    return columns


@isolated
def drop(
    engine: Engine,
    table: str | ir.Table,
    *,
    cascade: bool = False,
    if_not_exists: IfNotExists = "error",
) -> None:
    """Drop a table or view with its rows and indexes.

    Raises
    ------
    TableNotFoundError
        When there is none of that name, or the table has been dropped.
    DependencyError
        When views depend on it and `cascade` is False.
    """
    check_policy(if_not_exists, IF_NOT_EXISTS, "if_not_exists")
    since = engine.catalog.refresh()
    leaf = _leaf_of(engine, table)

    def work(change: Change) -> None:
        try:
            record = _named(engine, str(table)) if leaf is None else current(leaf)
        except TableNotFoundError:
            if if_not_exists == "ignore":
                raise NothingToDo from None
            raise
        doomed = removed_with(engine, record, cascade=cascade)
        if not cascade:
            check_queried(engine, doomed, "cascade=True")
        remove(change, doomed)

    with contextlib.suppress(NothingToDo):
        mutate(engine, "drop table", work, since=since)


def _leaf_of(engine: Engine, table: Any) -> ManagedTable | None:
    """Return the leaf of a table that is given itself, None for a name."""
    if isinstance(table, str):
        return None
    leaf = table.op() if isinstance(table, ir.Table) else None
    if not isinstance(leaf, ManagedTable):
        raise ExpressionError(
            "this is no table that can be dropped.",
            value=table,
            hint="Give the name of a table or view, or what create_table() and get_table() return.",
        )
    if leaf.source is not engine:
        raise ExpressionError(
            "the table is of another session.", table=leaf.name, hint="Drop it there."
        )
    return leaf


def _named(engine: Engine, name: str) -> TableRecord:
    record = engine.catalog.find(name)
    if record is None:
        raise TableNotFoundError(
            "there is no table of this name.",
            table=name,
            hint="bb.list_tables() lists them; if_not_exists='ignore' passes over it.",
        )
    return record


def folders(engine: Engine, parent: str | None = None) -> list[str]:
    """Return the names of all folders, or of those within one."""
    engine.catalog.refresh()
    found = set()
    for record in engine.catalog.tables():
        parts = record.name.split(".")[:-1]
        found |= {".".join(parts[: end + 1]) for end in range(len(parts))}
    return sorted(name for name in found if parent is None or name.startswith(f"{parent}."))


@isolated
def drop_folder(engine: Engine, name: str, *, cascade: bool, if_not_exists: IfNotExists) -> None:
    """Drop a folder with all tables in it."""
    check_policy(if_not_exists, IF_NOT_EXISTS, "if_not_exists")
    since = engine.catalog.refresh()
    if name not in folders(engine):
        if if_not_exists == "ignore":
            return
        known = ", ".join(map(repr, folders(engine))) or "none"
        raise TableNotFoundError(
            "there is no folder of this name.", table=name, hint=f"There are: {known}."
        )

    def work(change: Change) -> None:
        inside = [each for each in engine.catalog.tables() if each.name.startswith(f"{name}.")]
        if not cascade:
            raise DependencyError(
                f"the folder holds {', '.join(repr(each.name) for each in inside)}.",
                table=name,
                hint="Drop them first, or give cascade=True.",
            )
        doomed: dict[int, TableRecord] = {}
        for record in inside:
            doomed |= {each.id: each for each in removed_with(engine, record, cascade=True)}
        outside = [each.name for each in doomed.values() if not each.name.startswith(f"{name}.")]
        if outside:
            raise DependencyError(
                f"tables outside the folder depend on it: {', '.join(map(repr, outside))}.",
                table=name,
                hint="Drop them first.",
            )
        check_queried(engine, list(doomed.values()), "drop_table(..., cascade=True)")
        remove(change, doomed.values())

    mutate(engine, "drop folder", work, since=since)


@isolated
def create_view(
    engine: Engine,
    name: str,
    query: ir.Table,
    *,
    iterator: Any = None,
    computed_columns: Mapping[str, Any] | None = None,
    if_exists: IfExists = "error",
    on_error: OnError | None = None,
) -> ManagedTable:
    """Make a view and compute its rows; return its leaf."""
    since = engine.catalog.refresh()
    found = present(engine, name, if_exists)
    read = read_query(query, name)
    if not read.bases:  # rows of others are computed at once
        check_readable(engine, query, name)
    base_id, bases = read.base, read.bases
    if found is not None:
        _check_same_view(engine, found, base_id, bases)
        return engine.leaf(found.id)
    if bases and iterator is not None:
        raise UnsupportedError(
            "an iterator goes over the rows of one table.",
            table=name,
            hint="Make a view over the join or aggregate, and one with the iterator over that.",
        )
    if read.rows is not None and iterator is not None:
        raise UnsupportedError(
            "an iterator goes over rows that stay, and the query unnests or is random.",
            table=name,
            hint="Make a view of the query, and one with the iterator over that.",
        )
    items = None if iterator is None else items_query(query, iterator, name, on_error)
    own = _own_columns(read, items, query, name)
    view = View(
        base_id,
        codec.dump(read.relation),
        codec.dump(items) if items else None,
        bases,
        rows=codec.dump(read.rows) if read.rows else None,
    )

    def work(change: Change) -> int:
        doomed = {each.id for each in make_room(change, name, if_exists)}
        if doomed & {base_id, *bases}:
            raise TableExistsError(
                "a view cannot take the place of what it is computed from.",
                table=name,
                hint="Choose another name.",
            )
        record = TableRecord(
            engine.catalog.next_table_id(),
            name,
            tuple(own),
            view=view,
            next_column=len(own),
        )
        change.put(record)
        for column in read.calls:
            value = read.over(column, engine.leaf(record.id), name)
            record = _with_column(change, record, column, value)
        record = _with_computed(change, record, computed_columns or {}, query)
        change.create(record)
        if bases:
            refresh(change, record.id, created=True)
        else:
            write_rows(change, record, engine.catalog.record(base_id), None)
        return record.id

    _, table_id = mutate(engine, "create view", work, since=since, slow=True)
    return engine.leaf(table_id)


def _own_columns(
    read: ViewQuery, items: ops.Relation | None, query: ir.Table, view: str
) -> list[Column]:
    """Make the records of the columns that are kept with the rows of a view, none computed yet."""
    if items is not None:
        own = iterator_columns(items, query.columns)
        _check_view_names([column.name for column in own], query, view)
        return own
    check_names(query.columns, view)
    kept = read.relation.schema if read.bases else read.kept
    return data_columns(0, list(kept.items()))


def _check_same_view(engine: Engine, found: TableRecord, base: int, bases: tuple[int, ...]) -> None:
    """Check that what has the name already is a view, and of the same tables."""
    view = found.view
    if view is None:
        raise TableExistsError(
            "there is a table of this name, and no view.",
            table=found.name,
            hint="Choose another name.",
        )
    if (view.base, view.bases) != (base, bases):
        known = [engine.catalog.record(each).name for each in view.bases or (view.base,)]
        raise TableExistsError(
            f"there is a view of this name already, over {', '.join(map(repr, known))}.",
            table=found.name,
            hint='Choose another name, or give if_exists="replace".',
        )


def _check_view_names(names: list[str], query: ir.Table, view: str) -> None:
    check_names([*query.columns, *names], view)
    for name in names:
        if name in query.columns:
            raise SchemaError(
                "the iterator gives a column that the base has already.",
                table=view,
                column=name,
                hint="Leave it out of the base: create_view(name, table.select(...)).",
            )


def _with_computed(
    change: Change, record: TableRecord, computed: Mapping[str, Any], query: ir.Table
) -> TableRecord:
    """Add the computed columns that a view is created with."""
    engine = change.engine
    if not isinstance(computed, Mapping):
        raise ExpressionError(
            f"computed_columns maps names to expressions, and this is a {type(computed).__name__}.",
            table=record.name,
            hint='For example computed_columns={"double": table.n * 2}.',
        )
    check_names(computed, record.name, query.columns)
    for column, expr in computed.items():
        if column in query.columns or record.column(column):
            raise SchemaError(
                "the view has a column of this name already.",
                table=record.name,
                column=column,
                hint="Give the computed column another name.",
            )
        leaf = engine.leaf(record.id)
        # The expression is over the base's columns; the view shows the same names.
        bound = bind_column(query, expr, column)
        sources = {query.op(), *query.op().find(ManagedTable)}
        moved = {
            field: ops.Field(leaf, field.name)
            for field in bound.find(ops.Field, filter=ops.Value)
            if field.rel in sources
        }
        record = _with_column(change, record, column, bound.replace(moved, filter=ops.Value))
    return record


def _with_column(change: Change, record: TableRecord, name: str, value: ops.Value) -> TableRecord:
    record = record.with_columns(new_column(record, name, value, stored=None))
    change.put(record)
    return record
