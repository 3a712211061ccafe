"""Snapshots: all tables at one moment.

Owns the names of such moments, and the look at the tables as they were then. One commit is
visible in all tables at once, so a snapshot is no more than the name of a commit.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from barbule.catalog.records import ALL_TABLES, Label
from barbule.catalog.time_travel import as_timestamp, timestamp_hint
from barbule.errors import SchemaError, TableExistsError, TableNotFoundError, VersionError
from barbule.suggestions import VerbResult
from barbule.tables.commit import run_transaction
from barbule.tables.table import Table
from barbule.tables.transaction.names import IF_EXISTS, IF_NOT_EXISTS, check_policy, check_storable

if TYPE_CHECKING:
    from barbule.executor.engine import Engine
    from barbule.tables.arguments import IfExists, IfNotExists
    from barbule.tables.transaction.transaction import Transaction

__all__ = ["Snapshot", "drop", "look", "names", "take"]


@dataclass(frozen=True)
class Snapshot(VerbResult):
    """All tables as they were at a moment, read-only.

    Attributes
    ----------
    name
        The name of the snapshot, or the moment.
    """

    name: str
    _engine: Engine
    _commit: int

    def __repr__(self) -> str:
        return f"Snapshot({self.name!r}: {', '.join(self.list_tables()) or 'no tables'})"

    def list_tables(self) -> list[str]:
        """Return the names of the tables and views that there were, sorted."""
        return [record.name for record in self._engine.catalog.tables(self._commit)]

    def get_table(self, name: str) -> Table:
        """Return a table or view as it was.

        Raises
        ------
        TableNotFoundError
            When there was none of that name.
        """
        record = self._engine.catalog.find(name, self._commit)
        if record is None:
            known = ", ".join(map(repr, self.list_tables())) or "none"
            raise TableNotFoundError(
                f"there was no table of this name at {self.name!r}.",
                table=name,
                hint=f"There were: {known}.",
            )
        return Table(self._engine.leaf(record.id, self._commit))


def take(engine: Engine, name: str, if_exists: IfExists) -> Snapshot:
    """Give the latest commit a name."""
    check_policy(if_exists, IF_EXISTS[:3], "if_exists")
    if not isinstance(name, str) or not name.strip():
        raise SchemaError(
            "the name of a snapshot is a text that is not empty.", value=name, hint='"release-1".'
        )
    check_storable(name, "the name of a snapshot")
    with engine.backend.write_lock():
        engine.catalog.refresh()
        known = engine.catalog.labels(ALL_TABLES)
        if name in known and if_exists == "error":
            raise TableExistsError(
                f"there is a snapshot {name!r} already.",
                hint='Choose another name, or give if_exists="replace".',
            )
        if name not in known or if_exists == "replace":
            engine.catalog.add_label(Label(ALL_TABLES, name, engine.catalog.head))
            _let_go(engine)
    return look(engine, name)


def look(engine: Engine, moment: str | datetime.datetime) -> Snapshot:
    """Return all tables as they were in a snapshot, or at a moment."""
    engine.catalog.refresh()
    known = as_timestamp(moment)
    if known is not None and isinstance(moment, datetime.datetime):
        return Snapshot(moment.isoformat(), engine, engine.catalog.commit_at(known))
    if not isinstance(moment, str):
        raise VersionError(
            "all tables together are looked at by the name of a snapshot, or a moment.",
            value=moment,
            hint=timestamp_hint(moment) or "Numbers of versions belong to one table: table.at(3).",
        )
    return Snapshot(moment, engine, engine.catalog.snapshot(moment))


def names(engine: Engine) -> list[str]:
    """Return the names of all snapshots, oldest first."""
    engine.catalog.refresh()
    known = engine.catalog.labels(ALL_TABLES)
    return sorted(known, key=lambda name: (known[name], name))


def drop(engine: Engine, name: str, if_not_exists: IfNotExists) -> None:
    """Forget a snapshot, and the rows of dropped tables that no other one holds."""
    check_policy(if_not_exists, IF_NOT_EXISTS, "if_not_exists")
    with engine.backend.write_lock():
        engine.catalog.refresh()
        if name not in engine.catalog.labels(ALL_TABLES) and if_not_exists == "ignore":
            return
        engine.catalog.snapshot(name)
        engine.catalog.remove_label(ALL_TABLES, name)
        _let_go(engine)


def _let_go(engine: Engine) -> None:
    """Drop the rows of dropped tables that no snapshot holds any more."""
    catalog = engine.catalog

    def prepare(transaction: Transaction) -> None:
        for record in catalog.dropped():
            held = catalog.externally_referenced_commits(record.id)
            if left := [commit for commit in record.retained_commits if commit not in held]:
                kept = tuple(commit for commit in record.retained_commits if commit not in left)
                transaction.put_record(replace(record, retained_commits=kept))
                if not kept:
                    transaction.drop_storage(record)

    if any(
        set(each.retained_commits) - catalog.externally_referenced_commits(each.id)
        for each in catalog.dropped()
    ):
        run_transaction(engine, "drop snapshot", prepare, since=catalog.head)
