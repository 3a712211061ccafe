"""Columns that take data are added; existing rows get their defaults."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from barbule import types
from barbule.backends.base import RID
from barbule.catalog import codec
from barbule.catalog.records import Column, TableRecord
from barbule.errors import (
    SchemaError,
)
from barbule.tables.commit import run_transaction
from barbule.tables.compute.binding import with_contents
from barbule.tables.sources import read_rows
from barbule.tables.transaction.isolation import isolated
from barbule.tables.transaction.names import (
    IF_EXISTS,
    check_names,
    check_policy,
    current,
)
from barbule.tables.transaction.results import UpdateResult
from barbule.tables.verbs.columns.column_options import check_validation, stored_defaults
from barbule.tables.verbs.columns.column_writes import check_names_in_views, write_new_column

if TYPE_CHECKING:
    from collections.abc import Mapping

    import ibis.expr.types as ir

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

    def prepare(transaction: Transaction) -> int:
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
            transaction.add_column(record, column)
            if column.default is not None and rids.num_rows:
                _fill_with_default(transaction, record, column, rids)
        transaction.put_record(record)
        record = with_contents(engine, known := record, wanted)
        for column in record.columns[len(known.columns) :]:
            transaction.add_column(record, column)
        transaction.put_record(record)
        check_names_in_views(engine, record, wanted)
        return rids.num_rows if stored else 0

    if not wanted:
        return UpdateResult(0, 0, engine.catalog.latest(record.id).version)
    transaction, count = run_transaction(engine, "add column", prepare, since=since)
    return transaction.result(UpdateResult, record.id, count)


def _fill_with_default(
    transaction: Transaction, record: TableRecord, column: Column, rids: Any
) -> None:
    import pyarrow as pa

    single = types.schema({column.name: column.dtype})
    value = codec.load_value(str(column.default))
    cell = read_rows({column.name: value}, single, record.name, transaction.engine.library)
    cells = cell.column(column.name).combine_chunks().take(pa.repeat(0, rids.num_rows))
    write_new_column(transaction, record, column, rids.append_column(column.physical, cells))
