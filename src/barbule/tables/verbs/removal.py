"""Removes tables with their dependents, or refuses to."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from barbule.backends.base import FOREVER
from barbule.errors import (
    DependencyError,
    TableExistsError,
)
from barbule.tables.views.query_functions import check_query_functions

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from barbule.catalog.records import TableRecord
    from barbule.executor.engine import Engine
    from barbule.tables.arguments import IfExists
    from barbule.tables.transaction.transaction import Transaction

__all__ = ["drop_subject", "remove_tables", "replace_existing", "tables_dropped_with"]


def replace_existing(transaction: Transaction, name: str, if_exists: IfExists) -> list[TableRecord]:
    """Drop the table that another one replaces, with its dependents; return them."""
    existing = transaction.engine.catalog.find(name)
    if existing is None:
        return []
    if if_exists in {"error", "ignore"}:
        raise TableExistsError(
            "another transaction has just taken the name.", table=name, hint="Choose another name."
        )
    force = 'if_exists="replace_force"'
    forced = if_exists == "replace_force"
    dropped = tables_dropped_with(transaction.engine, existing, cascade=forced, force=force)
    if not forced:
        check_query_functions(transaction.engine, dropped, force)
    remove_tables(transaction, dropped)
    return dropped


def tables_dropped_with(
    engine: Engine, record: TableRecord, *, cascade: bool, force: str = "cascade=True"
) -> list[TableRecord]:
    """Return the tables to drop with a table: its dependents, then itself.

    Parameters
    ----------
    force
        The argument that also drops dependents, for errors.

    Raises
    ------
    DependencyError
        If views or branches depend on it and `cascade` is False.
    """
    catalog = engine.catalog
    views = [*catalog.views_of(record.id), *catalog.queries_over(record.id)]
    branches = engine.catalog.branches_of(record.id)
    if (views or branches) and not cascade:
        dependents = [f"the view {view.name!r}" for view in views]
        dependents += [f"the branch {branch.name!r}" for branch in branches]
        raise DependencyError(
            f"it is the base of {', '.join(dependents)}.",
            table=record.name,
            hint=f"Drop {drop_subject(dependents)} first, or pass {force}.",
        )
    dropped: dict[int, TableRecord] = {}
    _add_dependents(engine, record, dropped)
    return list(dropped.values())


def drop_subject(names: Sequence[str]) -> str:
    """Return how a hint names the objects to drop that the message lists."""
    return names[0] if len(names) == 1 else "them"


def _add_dependents(engine: Engine, record: TableRecord, dropped: dict[int, TableRecord]) -> None:
    """Add the dependents of a table, then itself; each is visited once."""
    catalog = engine.catalog
    dependents_of = (catalog.views_of, catalog.queries_over, catalog.branches_of)
    for dependent in (dependent for relation in dependents_of for dependent in relation(record.id)):
        if dependent.id not in dropped:
            _add_dependents(engine, dependent, dropped)
    dropped[record.id] = record


def remove_tables(transaction: Transaction, dropped: Iterable[TableRecord]) -> None:
    """Drop tables; their commits that snapshots reference remain."""
    catalog = transaction.engine.catalog
    for record in dropped:
        referenced_commits = tuple(sorted(catalog.externally_referenced_commits(record.id)))
        transaction.put_record(
            replace(record, dropped=True, compacted=FOREVER, retained_commits=referenced_commits)
        )
        if not referenced_commits:
            transaction.drop_storage(record)
        for index in record.indexes:
            transaction.drop_index(record, index)
