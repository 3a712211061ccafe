"""Snapshots: all tables at one commit.

Owns their names, and the tables at such a commit. A commit is visible in all tables at once, so a
snapshot is only a name of a commit.
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

__all__ = ["Snapshot", "create_snapshot", "drop_snapshot", "get_snapshot", "list_snapshots"]


@dataclass(frozen=True)
class Snapshot(VerbResult):
    """All tables at a commit, read-only.

    Attributes
    ----------
    name
        The name of the snapshot, or the timestamp.
    """

    name: str
    _engine: Engine
    _commit: int

    def __repr__(self) -> str:
        return f"Snapshot({self.name!r}: {', '.join(self.list_tables()) or 'no tables'})"

    def list_tables(self) -> list[str]:
        """Return the sorted names of the tables and views at that commit."""
        return [record.name for record in self._engine.catalog.tables(self._commit)]

    def get_table(self, name: str) -> Table:
        """Return a table or view at that commit.

        Raises
        ------
        TableNotFoundError
            If there was none with that name.
        """
        record = self._engine.catalog.find(name, self._commit)
        if record is None:
            existing = ", ".join(map(repr, self.list_tables())) or "none"
            raise TableNotFoundError(
                f"there was no table with this name at {self.name!r}.",
                table=name,
                hint=f"There were: {existing}.",
            )
        return Table(self._engine.leaf(record.id, self._commit))


def create_snapshot(engine: Engine, name: str, if_exists: IfExists) -> Snapshot:
    """Name the latest commit."""
    check_policy(if_exists, IF_EXISTS[:3], "if_exists")
    if not isinstance(name, str) or not name.strip():
        raise SchemaError(
            "the name of a snapshot must be a non-empty string.", value=name, hint='"release-1".'
        )
    check_storable(name, "the name of a snapshot")
    with engine.backend.write_lock():
        engine.catalog.refresh()
        commits = engine.catalog.labels(ALL_TABLES)
        if name in commits and if_exists == "error":
            raise TableExistsError(
                f"a snapshot {name!r} already exists.",
                hint='Choose another name, or pass if_exists="replace".',
            )
        if name not in commits or if_exists == "replace":
            engine.database.catalog.add_label(Label(ALL_TABLES, name, engine.catalog.head))
            _drop_unreferenced(engine)
    return get_snapshot(engine, name)


def get_snapshot(engine: Engine, snapshot: str | datetime.datetime) -> Snapshot:
    """Return all tables as of a snapshot or a timestamp."""
    engine.catalog.refresh()
    timestamp = as_timestamp(snapshot)
    if timestamp is not None and isinstance(snapshot, datetime.datetime):
        return Snapshot(snapshot.isoformat(), engine, engine.catalog.commit_at(timestamp))
    if not isinstance(snapshot, str):
        raise VersionError(
            "at() of the whole database takes the name of a snapshot or a datetime.",
            value=snapshot,
            hint=timestamp_hint(snapshot)
            or "Version numbers belong to a single table: table.at(3).",
        )
    return Snapshot(snapshot, engine, engine.catalog.snapshot(snapshot))


def list_snapshots(engine: Engine) -> list[str]:
    """Return the names of all snapshots, oldest first."""
    engine.catalog.refresh()
    commits = engine.catalog.labels(ALL_TABLES)
    return sorted(commits, key=lambda name: (commits[name], name))


def drop_snapshot(engine: Engine, name: str, if_not_exists: IfNotExists) -> None:
    """Drop a snapshot, and the rows of dropped tables that no other one references."""
    check_policy(if_not_exists, IF_NOT_EXISTS, "if_not_exists")
    with engine.backend.write_lock():
        engine.catalog.refresh()
        if name not in engine.catalog.labels(ALL_TABLES) and if_not_exists == "ignore":
            return
        engine.catalog.snapshot(name)
        engine.database.catalog.remove_label(ALL_TABLES, name)
        _drop_unreferenced(engine)


def _drop_unreferenced(engine: Engine) -> None:
    """Drop the rows of dropped tables that no snapshot references any more."""
    catalog = engine.catalog

    def prepare(transaction: Transaction) -> None:
        seen = transaction.engine.catalog
        for record in seen.dropped():
            referenced = seen.externally_referenced_commits(record.id)
            if released := [
                commit for commit in record.retained_commits if commit not in referenced
            ]:
                still_referenced = tuple(
                    commit for commit in record.retained_commits if commit not in released
                )
                transaction.put_record(replace(record, retained_commits=still_referenced))
                if not still_referenced:
                    transaction.drop_storage(record)

    if any(
        set(record.retained_commits) - catalog.externally_referenced_commits(record.id)
        for record in catalog.dropped()
    ):
        run_transaction(engine, "drop snapshot", prepare, since=catalog.head)
