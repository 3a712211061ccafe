"""What is removed with a table, and the refusal to remove what others depend on."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from barbule.backends.base import FOREVER
from barbule.errors import (
    DependencyError,
    TableExistsError,
)
from barbule.tables.views.query_functions import check_queried

if TYPE_CHECKING:
    from collections.abc import Iterable

    from barbule.catalog.records import TableRecord
    from barbule.executor.engine import Engine
    from barbule.tables.arguments import IfExists
    from barbule.tables.transaction.transaction import Transaction

__all__ = ["make_room", "remove", "removed_with"]


def make_room(transaction: Transaction, name: str, if_exists: IfExists) -> list[TableRecord]:
    """Drop what has to go to make room for another table; return it."""
    found = transaction.engine.catalog.find(name)
    if found is None:
        return []
    if if_exists in {"error", "ignore"}:
        raise TableExistsError(
            "the name has just been taken.", table=name, hint="Choose another name."
        )
    force = 'if_exists="replace_force"'
    forced = if_exists == "replace_force"
    doomed = removed_with(transaction.engine, found, cascade=forced, force=force)
    if not forced:
        check_queried(transaction.engine, doomed, force)
    remove(transaction, doomed)
    return doomed


def removed_with(
    engine: Engine, record: TableRecord, *, cascade: bool, force: str = "cascade=True"
) -> list[TableRecord]:
    """Return what is dropped with a table: what depends on it, then itself.

    Parameters
    ----------
    force
        The argument that drops what depends on it too, for errors.

    Raises
    ------
    DependencyError
        When views or branches depend on it and `cascade` is False.
    """
    catalog = engine.catalog
    views = [*catalog.views_of(record.id), *catalog.queries_over(record.id)]
    branches = engine.catalog.branches_of(record.id)
    if (views or branches) and not cascade:
        needed = [f"the view {view.name!r}" for view in views]
        needed += [f"the branch {branch.name!r}" for branch in branches]
        raise DependencyError(
            f"it is the base of {', '.join(needed)}.",
            table=record.name,
            hint=f"Drop them first, or give {force}.",
        )
    found: dict[int, TableRecord] = {}
    _find_dependent(engine, record, found)
    return list(found.values())


def _find_dependent(engine: Engine, record: TableRecord, found: dict[int, TableRecord]) -> None:
    """Add what depends on a table, then itself; what several others reach is gone into once."""
    catalog = engine.catalog
    above = (catalog.views_of, catalog.queries_over, catalog.branches_of)
    for each in (each for over in above for each in over(record.id)):
        if each.id not in found:
            _find_dependent(engine, each, found)
    found[record.id] = record


def remove(transaction: Transaction, doomed: Iterable[TableRecord]) -> None:
    """Drop tables; what a snapshot holds of them is kept."""
    catalog = transaction.engine.catalog
    for record in doomed:
        held = tuple(sorted(catalog.externally_referenced_commits(record.id)))
        transaction.put_record(
            replace(record, dropped=True, compacted=FOREVER, retained_commits=held)
        )
        if not held:
            transaction.drop_storage(record)
        for index in record.indexes:
            transaction.on_commit(partial(transaction.engine.indexing.drop, record, index))
