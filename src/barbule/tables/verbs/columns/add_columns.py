"""Adds data columns; existing rows get their defaults."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from barbule import types
from barbule.catalog import codec
from barbule.errors import (
    SchemaError,
)
from barbule.tables.commit import run_transaction
from barbule.tables.compute.binding import with_content_columns
from barbule.tables.compute.stored_rows import read_rids
from barbule.tables.sources import read_rows
from barbule.tables.transaction.isolation import isolated
from barbule.tables.transaction.names import (
    IF_EXISTS,
    check_names,
    check_policy,
    current_record,
)
from barbule.tables.transaction.results import UpdateResult
from barbule.tables.verbs.columns.column_options import (
    check_validation,
    data_column,
    stored_defaults,
)
from barbule.tables.verbs.columns.column_writes import check_names_in_views, write_new_column

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import ibis.expr.types as ir
    import pyarrow as pa

    from barbule.catalog.records import Column, TableRecord
    from barbule.executor.engine import Engine
    from barbule.nodes import ManagedTable
    from barbule.tables.arguments import IfExists, SchemaLike
    from barbule.tables.transaction.transaction import Transaction

__all__ = ["add_columns"]


@isolated
def add_columns(
    table: ir.Table,
    columns: SchemaLike,
    *,
    defaults: Mapping[str, Any] | None = None,
    if_exists: IfExists = "error",
) -> UpdateResult:
    """Add data columns; existing rows get the default."""
    leaf: ManagedTable = table.op()
    engine: Engine = leaf.source
    check_policy(if_exists, IF_EXISTS[:2], "if_exists")
    since = engine.catalog.refresh()
    record = current_record(leaf)
    if record.view:
        raise SchemaError(
            "a view cannot have data columns.",
            table=record.name,
            hint="Add the column to its base, or add a computed column.",
        )
    schema = types.schema(columns)
    check_names(schema.names, record.name, table.columns)
    existing = _existing_names(record, table.columns, schema.names, if_exists)
    class_defaults = types.defaults_of(columns)
    stored = stored_defaults(engine, schema, defaults, record.name, class_defaults)
    choices = types.choices_of(columns)
    new_columns = {name: dtype for name, dtype in schema.items() if name not in existing}
    validated = check_validation(engine, schema, None, record.name)

    def prepare(transaction: Transaction) -> int:
        record = current_record(transaction.leaf(leaf))
        rids = read_rids(transaction.engine, record)
        for name, dtype in new_columns.items():
            if not dtype.nullable and name not in stored and rids.num_rows:
                raise _missing_default(record, name)
            column = data_column(record.next_column, name, dtype, stored, validated, choices)
            record = record.with_columns(column)
            transaction.add_column(record, column)
            if column.default is not None and rids.num_rows:
                _fill_with_default(transaction, record, column, rids)
        transaction.put_record(record)
        record = with_content_columns(transaction.engine, data_record := record, new_columns)
        for column in record.columns[len(data_record.columns) :]:
            transaction.add_column(record, column)
        transaction.put_record(record)
        check_names_in_views(transaction.engine, record, new_columns)
        return rids.num_rows if stored else 0

    if not new_columns:
        return UpdateResult(0, 0, engine.catalog.latest(record.id).version)
    transaction, count = run_transaction(engine, "add column", prepare, since=since)
    return transaction.result(UpdateResult, record.id, count)


def _missing_default(record: TableRecord, name: str) -> SchemaError:
    return SchemaError(
        "a required column needs a default for the existing rows.",
        table=record.name,
        column=name,
        hint="Pass defaults=, or make it nullable.",
    )


def _existing_names(
    record: TableRecord, columns: Iterable[str], names: Iterable[str], if_exists: IfExists
) -> list[str]:
    """Return the columns that a table already has.

    Raises
    ------
    SchemaError
        If there is one, and `if_exists` is "error".
    """
    existing = [name for name in names if name in columns]
    if existing and if_exists == "error":
        raise SchemaError(
            "the column already exists.",
            table=record.name,
            column=existing[0],
            hint='Choose another name, or pass if_exists="ignore".',
        )
    return existing


def _fill_with_default(
    transaction: Transaction, record: TableRecord, column: Column, rids: pa.Table
) -> None:
    import pyarrow as pa

    single_schema = types.schema({column.name: column.dtype})
    value = codec.load_value(str(column.default))
    cell = read_rows({column.name: value}, single_schema, record.name, transaction.engine.library)
    cells = cell.column(column.name).combine_chunks().take(pa.repeat(0, rids.num_rows))
    write_new_column(transaction, record, column, rids.append_column(column.physical, cells))
