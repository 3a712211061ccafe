"""Tables are created: their columns, and the rows that they are created from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, ValuesView
from typing import TYPE_CHECKING, Any

from barbule import types
from barbule.catalog.records import Column, TableRecord
from barbule.errors import (
    SchemaError,
    TableExistsError,
)
from barbule.tables.commit import run_transaction
from barbule.tables.compute.binding import with_contents
from barbule.tables.sources import CellRules, as_rows, read_batches
from barbule.tables.transaction.isolation import isolated, single_pass_source
from barbule.tables.transaction.names import (
    check_names,
    present,
)
from barbule.tables.verbs.columns.column_options import check_validation, stored_defaults
from barbule.tables.verbs.removal import make_room
from barbule.tables.verbs.rows.insert import PART_ROWS, insert_parts

if TYPE_CHECKING:
    from barbule.executor.engine import Engine
    from barbule.nodes import ManagedTable
    from barbule.tables.arguments import IfExists, RowSource, SchemaLike
    from barbule.tables.transaction.transaction import Transaction

__all__ = ["create_table"]


@isolated
def create_table(
    engine: Engine,
    name: str,
    columns: SchemaLike | RowSource,
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

    def prepare(transaction: Transaction) -> TableRecord:
        make_room(transaction, name, if_exists)
        record = TableRecord(engine.catalog.next_table_id(), name, made, next_column=len(made))
        transaction.put_record(record)
        record = with_contents(engine, record, schema.names)
        transaction.put_record(record)
        transaction.create_storage(record)
        return record

    if given:
        with single_pass_source(engine, columns, name, since):
            rules = CellRules(frozenset(schema.names) - validated)
            parts = read_batches(columns, schema, name, engine.library, size=PART_ROWS, rules=rules)
            _, record, _ = insert_parts(engine, "create table", parts, prepare, since=since)
    else:
        _, record = run_transaction(engine, "create table", prepare, since=since)
    return engine.leaf(record.id)


def _at_hand(columns: SchemaLike | RowSource, name: str) -> SchemaLike | RowSource:
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
