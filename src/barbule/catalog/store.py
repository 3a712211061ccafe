"""The catalog: tables, versions, labels and commits, kept in the backend.

Owns the metadata tables and the one step by which something becomes visible: the row of a
commit. It is written in the transaction that writes the rows, so what a crash leaves is nothing.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import ibis.expr.schema as sch

from barbule.catalog.records import Commit, Label, TableRecord, Version
from barbule.errors import ConfigurationError, TableNotFoundError, VersionError

if TYPE_CHECKING:
    from barbule.backends.base import Backend

__all__ = ["Catalog", "Pending"]

FORMAT = "1"

_SCHEMAS = {
    "bb_meta": sch.Schema({"key": "string", "value": "string"}),
    "bb_commits": sch.Schema({"id": "int64", "at": "timestamp('UTC')", "operation": "string"}),
    "bb_records": sch.Schema({"table_id": "int64", "commit": "int64", "record": "string"}),
    "bb_versions": sch.Schema(
        {
            "table_id": "int64",
            "version": "int64",
            "commit": "int64",
            "operation": "string",
            "rows": "int64",
            "next_rid": "int64",
            "closed": "boolean",
        }
    ),
    "bb_labels": sch.Schema({"table_id": "int64", "label": "string", "version": "int64"}),
}


@dataclass
class Pending:
    """What one commit is going to make visible."""

    id: int
    operation: str
    records: dict[int, TableRecord] = field(default_factory=dict)
    versions: dict[int, Version] = field(default_factory=dict)


class Catalog:
    """The tables of one database, as this process last saw them.

    Parameters
    ----------
    backend
        Where the metadata tables live; they are made when they are missing.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._records: dict[int, list[tuple[int, TableRecord]]] = {}
        self._versions: dict[int, list[Version]] = {}
        self._commits: dict[int, Commit] = {}
        self._labels: dict[int, dict[str, int]] = {}
        self.head = 0
        self.pending: Pending | None = None
        self._open()

    def _open(self) -> None:
        present = self._backend.tables()
        missing = {name: columns for name, columns in _SCHEMAS.items() if name not in present}
        if missing:
            with self._backend.transaction():
                for name, columns in missing.items():
                    self._backend.create(name, columns)
                if "bb_meta" in missing:
                    self._backend.insert("bb_meta", [{"key": "format", "value": FORMAT}])
        else:
            self._load()

    def _rows(self, name: str) -> list[dict[str, object]]:
        leaf = self._backend.table(name, _SCHEMAS[name])
        return self._backend.arrow(leaf.to_expr(), {}).to_pylist()

    def _load(self) -> None:
        meta = {row["key"]: row["value"] for row in self._rows("bb_meta")}
        if meta.get("format") != FORMAT:
            raise ConfigurationError(
                f"the database has the catalog format {meta.get('format')!r}, known is {FORMAT!r}.",
                hint="It was written by another version of barbule; upgrade this one.",
            )
        self._commits = {row["id"]: Commit(**row) for row in self._rows("bb_commits")}  # type: ignore[arg-type, misc]
        self.head = max(self._commits, default=0)
        records = sorted(self._rows("bb_records"), key=lambda row: row["commit"])  # type: ignore[arg-type, return-value]
        for row in records:
            self._add_record(row["commit"], TableRecord.from_json(row["record"]))  # type: ignore[arg-type]
        versions = sorted(self._rows("bb_versions"), key=lambda row: row["version"])  # type: ignore[arg-type, return-value]
        for row in versions:
            self._versions.setdefault(row["table_id"], []).append(Version(**row))  # type: ignore[arg-type]
        for row in self._rows("bb_labels"):
            label = Label(**row)  # type: ignore[arg-type]
            self._labels.setdefault(label.table_id, {})[label.label] = label.version

    def _add_record(self, commit: int, record: TableRecord) -> None:
        self._records.setdefault(record.id, []).append((commit, record))

    # Reading

    def record(self, table_id: int, commit: int | None = None) -> TableRecord:
        """Return the structure of a table at a commit (None: the latest).

        Raises
        ------
        TableNotFoundError
            When it has been dropped, or did not exist yet.
        """
        if commit is None and self.pending and table_id in self.pending.records:
            return self.pending.records[table_id]
        history = self._records.get(table_id, [])
        seen = [record for at, record in history if commit is None or at <= commit]
        if not seen or history[-1][1].dropped:  # its rows are gone, those of old versions too
            name = history[-1][1].name if history else f"with the number {table_id}"
            raise TableNotFoundError(
                f"the table {name!r} has been dropped or replaced."
                if seen
                else f"the table {name!r} did not exist at that version.",
                hint="Get it again by bb.get_table(...).",
            )
        return seen[-1]

    def find(self, name: str) -> TableRecord | None:
        """Return the table of that name, or None."""
        return next((each for each in self.tables() if each.name == name), None)

    def tables(self) -> list[TableRecord]:
        """Return all tables and views, by name."""
        latest = (history[-1][1] for history in self._records.values())
        return sorted((each for each in latest if not each.dropped), key=lambda each: each.name)

    def views_of(self, table_id: int) -> list[TableRecord]:
        """Return the views whose rows come directly from a table."""
        return [each for each in self.tables() if each.view and each.view.base == table_id]

    def versions(self, table_id: int) -> list[Version]:
        """Return all versions of a table, oldest first."""
        return self._versions.get(table_id, [])

    def latest(self, table_id: int) -> Version:
        """Return the current version of a table."""
        if self.pending and table_id in self.pending.versions:
            return self.pending.versions[table_id]
        return self._versions[table_id][-1]

    def commit(self, commit_id: int) -> Commit:
        """Return a commit."""
        return self._commits[commit_id]

    def labels(self, table_id: int) -> dict[str, int]:
        """Return the labels of a table and the versions they stand for."""
        return self._labels.get(table_id, {})

    def next_table_id(self) -> int:
        """Return the identity for a new table."""
        return max(self._records, default=0) + 1

    def resolve(self, table_id: int, version: int | str | datetime.datetime) -> Version:
        """Find a version by number, label or moment.

        Raises
        ------
        VersionError
            When the table has no such version.
        """
        versions = self.versions(table_id)
        name = self._records[table_id][-1][1].name
        if isinstance(version, datetime.datetime):
            moment = version if version.tzinfo else version.astimezone()
            found = [each for each in versions if self._commits[each.commit].at <= moment]
            if not found:
                raise VersionError(
                    f"there was no version yet at {version.isoformat()}.",
                    table=name,
                    hint=f"The first is of {self._commits[versions[0].commit].at.isoformat()}.",
                )
            return found[-1]
        number: int | None = None if isinstance(version, bool | str) else version
        if isinstance(version, str):
            number = self.labels(table_id).get(version)
        match = next((each for each in versions if each.version == number), None)
        if match is None:
            labels = ", ".join(map(repr, self.labels(table_id))) or "none"
            raise VersionError(
                f"there is no version {version!r}.",
                table=name,
                hint=f"Versions go from 0 to {versions[-1].version}; labels are: {labels}.",
            )
        return match

    # Writing: within a transaction of the backend, made known here when it has succeeded

    def begin(self, operation: str) -> Pending:
        """Start the next commit; what is put into it is seen at once, by this process."""
        self.pending = Pending(self.head + 1, operation)
        return self.pending

    def abandon(self) -> None:
        """Forget the commit that was begun."""
        self.pending = None

    def write(self, pending: Pending) -> Commit:
        """Write what a commit makes visible, the commit itself last."""
        commit = Commit(pending.id, datetime.datetime.now(datetime.UTC), pending.operation)
        if pending.records:
            rows = [
                {"table_id": each.id, "commit": pending.id, "record": each.to_json()}
                for each in pending.records.values()
            ]
            self._backend.insert("bb_records", rows)
        if pending.versions:
            self._backend.insert("bb_versions", [vars(each) for each in pending.versions.values()])
        self._backend.insert("bb_commits", [vars(commit)])
        return commit

    def publish(self, pending: Pending, commit: Commit) -> None:
        """Make a commit that has succeeded known to this process."""
        self.pending = None
        for record in pending.records.values():
            self._add_record(pending.id, record)
        for version in pending.versions.values():
            self._versions.setdefault(version.table_id, []).append(version)
        self._commits[commit.id] = commit
        self.head = commit.id

    def add_label(self, label: Label) -> None:
        """Give a version a name; an older use of the name in the table ends."""
        key = {"table_id": label.table_id, "label": label.label}
        with self._backend.transaction():
            self._backend.delete("bb_labels", key)
            self._backend.insert("bb_labels", [vars(label)])
        self._labels.setdefault(label.table_id, {})[label.label] = label.version
