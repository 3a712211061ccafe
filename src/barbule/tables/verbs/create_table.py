"""Creates tables: their columns, and their initial rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, ValuesView
from typing import TYPE_CHECKING, Any

from barbule import types
from barbule.catalog.records import TableRecord
from barbule.errors import (
    SchemaError,
    TableExistsError,
)
from barbule.tables.commit import run_transaction
from barbule.tables.compute.binding import with_content_columns
from barbule.tables.sources import CellRules, as_rows, read_batches
from barbule.tables.transaction.isolation import isolated, single_pass_source
from barbule.tables.transaction.names import (
    check_names,
    existing_table,
)
from barbule.tables.verbs.columns.column_options import (
    check_validation,
    data_column,
    stored_defaults,
)
from barbule.tables.verbs.removal import replace_existing
from barbule.tables.verbs.rows.insert import BATCH_ROWS, insert_batches

if TYPE_CHECKING:
    import ibis.expr.schema as sch

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
    """Create a table, with the rows of `columns` if that is data; return its leaf."""
    since = engine.catalog.refresh()
    if (existing := existing_table(engine, name, if_exists)) is not None:
        return _existing_leaf(engine, existing)
    engine.backend.check_writable()  # before media are stored
    columns = _materialized_rows(as_rows(columns), name)
    holds_rows = types.holds_rows(columns)
    schema = _checked_schema(columns, name)
    class_defaults = {} if holds_rows else types.defaults_of(columns)
    choices = {} if holds_rows else types.choices_of(columns)
    stored = stored_defaults(engine, schema, defaults, name, class_defaults)
    validated = check_validation(engine, schema, media_validation, name)
    created_columns = tuple(
        data_column(column_id, column, dtype, stored, validated, choices)
        for column_id, (column, dtype) in enumerate(schema.items())
    )

    def prepare(transaction: Transaction) -> TableRecord:
        replace_existing(transaction, name, if_exists)
        table_id = transaction.engine.catalog.next_table_id()
        record = TableRecord(table_id, name, created_columns, next_column=len(created_columns))
        transaction.put_record(record)
        record = with_content_columns(transaction.engine, record, schema.names)
        transaction.put_record(record)
        transaction.create_storage(record)
        return record

    if holds_rows:
        with single_pass_source(engine, columns, name, since):
            rules = CellRules(frozenset(schema.names) - validated)
            batches = read_batches(
                columns, schema, name, engine.library, size=BATCH_ROWS, rules=rules
            )
            _, record, _ = insert_batches(engine, "create table", batches, prepare, since=since)
    else:
        _, record = run_transaction(engine, "create table", prepare, since=since)
    return engine.committed.leaf(record.id)


def _checked_schema(columns: SchemaLike | RowSource, name: str) -> sch.Schema:
    """Return the schema that is passed, or that of the rows."""
    try:
        schema = types.infer(columns) if types.holds_rows(columns) else types.schema(columns)
    except SchemaError as error:
        raise error.at(table=name) from error.__cause__
    check_names(schema.names, name)
    if not schema.names:
        raise SchemaError("a table must have at least one column.", table=name)
    return schema


def _existing_leaf(engine: Engine, existing: TableRecord) -> ManagedTable:
    """Return the leaf of the existing object with the name, which must be a table."""
    if existing.view is not None:
        raise TableExistsError(
            "there is a view with this name, not a table.",
            table=existing.name,
            hint="Choose another name, or get the view with get_table().",
        )
    return engine.committed.leaf(existing.id)


def _materialized_rows(columns: SchemaLike | RowSource, name: str) -> SchemaLike | RowSource:
    """Convert an iterator of rows to a list, because the types are inferred from all rows."""
    if isinstance(columns, Iterator | ValuesView) and not types.holds_rows(columns):
        columns = list(columns)
    if isinstance(columns, list | tuple) and not columns:
        raise SchemaError(
            "there are no rows to infer types from.",
            table=name,
            hint='Pass a schema, {"name": bb.String}, and insert() the rows.',
        )
    return columns
