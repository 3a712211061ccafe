"""Tables, views and folders are dropped."""

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
    current,
)
from barbule.tables.verbs.removal import remove, removed_with
from barbule.tables.views.query_functions import check_queried

if TYPE_CHECKING:
    from barbule.catalog.records import TableRecord
    from barbule.executor.engine import Engine
    from barbule.tables.arguments import IfNotExists
    from barbule.tables.transaction.transaction import Transaction

__all__ = ["drop", "drop_folder", "folders"]


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

    def prepare(transaction: Transaction) -> None:
        try:
            record = _named(engine, str(table)) if leaf is None else current(leaf)
        except TableNotFoundError:
            if if_not_exists == "ignore":
                raise NothingToDo from None
            raise
        doomed = removed_with(engine, record, cascade=cascade)
        if not cascade:
            check_queried(engine, doomed, "cascade=True")
        remove(transaction, doomed)

    with contextlib.suppress(NothingToDo):
        run_transaction(engine, "drop table", prepare, since=since)


def _leaf_of(engine: Engine, table: object) -> ManagedTable | None:
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

    def prepare(transaction: Transaction) -> None:
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
        remove(transaction, doomed.values())

    run_transaction(engine, "drop folder", prepare, since=since)
