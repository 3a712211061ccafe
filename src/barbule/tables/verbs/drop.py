"""Drops tables, views and folders."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import ibis.expr.types as ir

from barbule.errors import (
    DependencyError,
    ExpressionError,
    TableNotFoundError,
)
from barbule.nodes import ManagedTable
from barbule.tables.commit import run_transaction
from barbule.tables.transaction.isolation import NothingToDo, isolated
from barbule.tables.transaction.names import (
    IF_NOT_EXISTS,
    check_policy,
    current_record,
)
from barbule.tables.verbs.removal import drop_subject, remove_tables, tables_dropped_with
from barbule.tables.views.query_functions import check_query_functions

if TYPE_CHECKING:
    from barbule.catalog.records import TableRecord
    from barbule.executor.engine import Engine
    from barbule.tables.arguments import IfNotExists
    from barbule.tables.transaction.transaction import Transaction

__all__ = ["drop_folder", "drop_table", "list_folders"]


@isolated
def drop_table(
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
        If there is none with that name, or the table has been dropped.
    DependencyError
        If views depend on it and `cascade` is False.
    """
    check_policy(if_not_exists, IF_NOT_EXISTS, "if_not_exists")
    since = engine.catalog.refresh()
    leaf = _managed_leaf(engine, table)

    def prepare(transaction: Transaction) -> None:
        try:
            record = (
                _find_record(transaction.engine, str(table))
                if leaf is None
                else current_record(transaction.leaf(leaf))
            )
        except TableNotFoundError:
            if if_not_exists == "ignore":
                raise NothingToDo from None
            raise
        dropped = tables_dropped_with(transaction.engine, record, cascade=cascade)
        if not cascade:
            check_query_functions(transaction.engine, dropped, "cascade=True")
        remove_tables(transaction, dropped)

    with contextlib.suppress(NothingToDo):
        run_transaction(engine, "drop table", prepare, since=since)


def _managed_leaf(engine: Engine, table: object) -> ManagedTable | None:
    """Return the leaf of a table that is passed as an object, None for a name."""
    if isinstance(table, str):
        return None
    leaf = table.op() if isinstance(table, ir.Table) else None
    if not isinstance(leaf, ManagedTable):
        raise ExpressionError(
            "this is not a table that can be dropped.",
            value=table,
            hint="Pass the name of a table or view, or the table that create_table() or "
            "get_table() returned.",
        )
    if leaf.source != engine:
        raise ExpressionError(
            "the table belongs to another session.",
            table=leaf.name,
            hint="Drop it in that session.",
        )
    return leaf


def _find_record(engine: Engine, name: str) -> TableRecord:
    record = engine.catalog.find(name)
    if record is None:
        raise TableNotFoundError(
            "there is no table with this name.",
            table=name,
            hint="bb.list_tables() lists them; if_not_exists='ignore' skips missing tables.",
        )
    return record


def list_folders(engine: Engine, parent: str | None = None) -> list[str]:
    """Return the names of all folders, or of those within one."""
    engine.catalog.refresh()
    names = set()
    for record in engine.catalog.tables():
        parts = record.name.split(".")[:-1]
        names |= {".".join(parts[: end + 1]) for end in range(len(parts))}
    return sorted(name for name in names if parent is None or name.startswith(f"{parent}."))


@isolated
def drop_folder(engine: Engine, name: str, *, cascade: bool, if_not_exists: IfNotExists) -> None:
    """Drop a folder with all tables in it."""
    check_policy(if_not_exists, IF_NOT_EXISTS, "if_not_exists")
    since = engine.catalog.refresh()
    if name not in list_folders(engine):
        if if_not_exists == "ignore":
            return
        existing = ", ".join(map(repr, list_folders(engine))) or "none"
        raise TableNotFoundError(
            "there is no folder with this name.", table=name, hint=f"There are: {existing}."
        )

    def prepare(transaction: Transaction) -> None:
        records = [
            record
            for record in transaction.engine.catalog.tables()
            if record.name.startswith(f"{name}.")
        ]
        if not cascade:
            names = [repr(record.name) for record in records]
            raise DependencyError(
                f"the folder contains {', '.join(names)}.",
                table=name,
                hint=f"Drop {drop_subject(names)} first, or pass cascade=True.",
            )
        dropped: dict[int, TableRecord] = {}
        for record in records:
            dropped |= {
                record.id: record
                for record in tables_dropped_with(transaction.engine, record, cascade=True)
            }
        outside_names = [
            repr(record.name)
            for record in dropped.values()
            if not record.name.startswith(f"{name}.")
        ]
        if outside_names:
            raise DependencyError(
                f"tables outside the folder depend on it: {', '.join(outside_names)}.",
                table=name,
                hint=f"Drop {drop_subject(outside_names)} first.",
            )
        check_query_functions(
            transaction.engine, list(dropped.values()), "drop_table(..., cascade=True)"
        )
        remove_tables(transaction, dropped.values())

    run_transaction(engine, "drop folder", prepare, since=since)
