"""The catalog: tables, versions, labels and commits, kept in the backend.

Owns the metadata tables and the one step by which something becomes visible: the row of a
commit. It is written in the transaction that writes the rows, so what a crash leaves is nothing.
"""

from __future__ import annotations

import datetime
import getpass
import json
import os
import socket
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import ibis.expr.schema as sch

from barbule.catalog import migrations
from barbule.catalog.records import ALL_TABLES, Commit, Label, TableRecord, Version
from barbule.catalog.time_travel import as_timestamp, timestamp_hint
from barbule.errors import (
    BarbuleError,
    ConfigurationError,
    TableNotFoundError,
    UnreachableError,
    VersionError,
    message_of,
)

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator

    from barbule.backends.base import Backend
    from barbule.catalog.derivations import Derived

__all__ = ["Catalog", "PendingCatalog"]

_SCHEMAS = {
    "bb_meta": sch.Schema({"key": "string", "value": "string"}),
    "bb_commits": sch.Schema(
        {
            "id": "int64",
            "at": "timestamp('UTC')",
            "operation": "string",
            "by": "string",
            "seconds": "float64",
            "changes": "string",
        }
    ),
    "bb_labels": sch.Schema({"table_id": "int64", "label": "string", "version": "int64"}),
}

_LABEL, _REMOVE_LABEL = _LABELLING = ("label", "remove label")
_DELETE_MEDIA = "delete media"
_OF_COMMITS = {"commit", "operation"}  # what a version has of the commit that made it


@dataclass
class PendingCatalog:
    """What a commit is going to make visible; until then the thread that prepares it sees it.

    Attributes
    ----------
    base_commit
        The latest commit when the preparation began.
    records
        The structures that it gives to tables: read here, written by `put`.
    versions
        The versions of the tables, numbered when they are written.
    derived
        What was derived from the structure as the preparing thread sees it.
    structures_read, rows_read, labels_read
        The tables whose structure, and those whose live rows, the preparation has read; and
        whether it has read which versions are held by labels and snapshots.
    """

    operation: str
    base_commit: int
    structures_read: set[int] = field(default_factory=set)
    rows_read: set[int] = field(default_factory=set)
    labels_read: bool = False
    records: dict[int, TableRecord] = field(default_factory=dict)
    versions: dict[int, Version] = field(default_factory=dict)
    labels: list[Label] = field(default_factory=list)
    derived: dict[Hashable, Derived] = field(default_factory=dict)

    def put(self, record: TableRecord) -> None:
        """Give a table this structure; what was derived from another one is forgotten."""
        self.records[record.id] = record
        self.derived = {
            key: each for key, each in self.derived.items() if record.id not in each.tables
        }


class Catalog:
    """The tables of one database, as this process last saw them.

    Parameters
    ----------
    backend
        Where the metadata tables live; they are made when they are missing, and brought to the
        format of this version when an older one has made them.

    Attributes
    ----------
    identity
        What the database says of itself.
    """

    identity: migrations.Identity

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._guard = threading.RLock()
        self._local = threading.local()
        self._stamp: object = None
        # Which database this is, as another may take its place, and its latest commit that gave
        # a table another structure.
        self.structure = (0, 0)
        self._forget()
        self._open()

    def _forget(self) -> None:
        self._records: dict[int, list[tuple[int, TableRecord]]] = {}
        self._versions: dict[int, list[Version]] = {}
        self._commits: dict[int, Commit] = {}
        self._labels: dict[int, dict[str, int]] = {}
        self.head = 0
        self.media_deletion = 0  # the latest commit that noted one
        self.structure = (self.structure[0] + 1, 0)

    def _open(self) -> None:
        with self._backend.use():
            if self._backend.tables() >= _SCHEMAS.keys() or not self._make():
                self._check_format()
                self.refresh()

    def _make(self) -> bool:
        """Make the metadata tables, unless another process has just done so.

        A new database is not read: that would load what its first table does not need.
        """
        with self._backend.write_lock():
            with self._backend.transaction():
                missing = _SCHEMAS.keys() - self._backend.tables()
                for name in missing:
                    self._backend.create(name, _SCHEMAS[name])
                if "bb_meta" in missing:
                    meta = migrations.initial()
                    rows = [{"key": key, "value": value} for key, value in meta.items()]
                    self._backend.insert("bb_meta", rows)
                    self.identity = migrations.Identity.of(meta)
            if new := missing == _SCHEMAS.keys():
                self._note_stamp()
            return new

    def _rows(self, name: str, after: dict[str, int] | None = None) -> list[dict[str, Any]]:
        leaf = self._backend.table(name, _SCHEMAS[name])
        query: ops.Relation = leaf
        if after:
            query = ops.Filter(
                leaf,
                [
                    ops.Greater(ops.Field(leaf, column), ops.Literal(least, dt.int64))
                    for column, least in after.items()
                ],
            )
        return self._backend.arrow(query.to_expr(), {}).to_pylist()

    def _check_format(self) -> None:
        meta = self._meta()
        if migrations.check(meta) < migrations.FORMAT:
            with self._backend.write_lock(), self._backend.transaction():
                # Another process may just have done it.
                meta = migrations.migrate(self._backend, self._meta())
        self.identity = migrations.Identity.of(meta)

    def _meta(self) -> dict[str, str]:
        return {row["key"]: row["value"] for row in self._rows("bb_meta")}

    def refresh(self) -> int:
        """Learn what other processes have committed; return the latest commit."""
        with self._backend.use():  # once it is open: others may have had the database meanwhile
            stamp = self._backend.stamp()
            if stamp != self._stamp:
                self._catch_up(stamp)
            return self.head

    def load_until(self, commit: int) -> None:
        """Learn of a commit that the calling thread sees, and whose maker may not have told yet."""
        if self.head >= commit:
            return
        with self._guard:
            if self.head < commit:
                self._learn(self._rows("bb_commits", {"id": self.head}))

    def _catch_up(self, stamp: object) -> None:
        with self._guard:
            if stamp == self._stamp:  # another thread has just done so
                return
            commits = self._rows("bb_commits", {"id": self.head})
            if self.head and not commits and not self._still_there():
                self._forget()  # an older copy of the database took its place
                commits = self._rows("bb_commits")
            if commits:
                self._learn(commits)
            labels: dict[int, dict[str, int]] = {}
            for row in self._rows("bb_labels"):
                labels.setdefault(row["table_id"], {})[row["label"]] = row["version"]
            self._labels = labels
            self._stamp = stamp

    def _still_there(self) -> bool:
        return any(
            row["id"] == self.head for row in self._rows("bb_commits", {"id": self.head - 1})
        )

    def _learn(self, commits: list[dict[str, Any]]) -> None:
        commits = sorted(commits, key=lambda row: row["id"])
        _refuse_gaps(self.head, [row["id"] for row in commits])
        for row in commits:
            with _readable(row["id"]):
                records, versions = _read_changes(row.pop("changes"))
                commit = Commit(**row)
            for record in records:
                self._add_record(commit.id, record)
            for plain in versions:
                version = Version(**plain, commit=commit.id, operation=commit.operation)
                self._versions.setdefault(version.table_id, []).append(version)
            self._commits[commit.id] = commit
            if commit.operation == _DELETE_MEDIA:
                self.media_deletion = commit.id
        self.head = max(self._commits)

    def _add_record(self, commit: int, record: TableRecord) -> None:
        self._records.setdefault(record.id, []).append((commit, record))
        self.structure = (self.structure[0], commit)

    # Reading

    def record(self, table_id: int, commit: int | None = None) -> TableRecord:
        """Return the structure of a table at a commit (None: the latest).

        Raises
        ------
        TableNotFoundError
            When it has been dropped, or did not exist yet.
        """
        pending = self.pending
        if commit is None and pending:
            pending.structures_read.add(table_id)
            if table_id in pending.records:
                return pending.records[table_id]
        history = self._records.get(table_id, [])
        seen = [record for at, record in history if commit is None or at <= commit]
        latest = history[-1][1] if history else None
        gone = latest and latest.dropped and (commit is None or not latest.holds(commit))
        if not seen or seen[-1].dropped or gone:
            name = history[-1][1].name if history else f"with the number {table_id}"
            raise TableNotFoundError(
                f"the table {name!r} has been dropped or replaced."
                if seen
                else f"the table {name!r} did not exist at that version.",
                hint="Get it again by bb.get_table(...).",
            )
        if commit is not None and not history[-1][1].holds(commit):
            raise _compacted(history[-1][1])
        return seen[-1]

    def find(self, name: str, commit: int | None = None) -> TableRecord | None:
        """Return the table of that name, or None."""
        return next((each for each in self.tables(commit) if each.name == name), None)

    def tables(self, commit: int | None = None) -> list[TableRecord]:
        """Return all tables and views that there are (or were at a commit), by name."""
        pending = self.pending.records if commit is None and self.pending else {}
        seen = {}
        for table_id, history in list(self._records.items()):
            known = [record for at, record in history if commit is None or at <= commit]
            if known:
                seen[table_id] = known[-1]
        latest = {**seen, **pending}.values()
        return sorted((each for each in latest if not each.dropped), key=lambda each: each.name)

    def table_ids(self) -> list[int]:
        """Return the identities of all tables that there are or have been."""
        return sorted(self._records)

    def history(self, table_id: int) -> list[tuple[int, TableRecord]]:
        """Return the structures that a table has had, and the commits that gave it them."""
        return self._records.get(table_id, [])

    def structure_changed_since(self, commit: int, tables: Iterable[int] | None = None) -> bool:
        """Whether the structure of any table, or of any of these, has changed after a commit."""
        if tables is None:
            return self.structure[1] > commit
        return any(self._records[each][-1][0] > commit for each in tables if each in self._records)

    def with_bases(self, tables: Iterable[int]) -> frozenset[int]:
        """Return tables and those that they, row by row, are views of."""
        pending = self.pending.records if self.pending else {}
        found: set[int] = set()
        waiting = list(tables)
        while waiting:
            table_id = waiting.pop()
            if table_id in found:
                continue
            found.add(table_id)
            history = self._records.get(table_id)
            record = pending.get(table_id) or (history[-1][1] if history else None)
            if record is not None and record.view and not record.view.bases:
                waiting.append(record.view.base)
        return frozenset(found)

    def is_new(self, table_id: int) -> bool:
        """Whether a table is not committed yet."""
        return table_id not in self._records

    def labels_changed_since(self, since: int) -> bool:
        """Whether a label or snapshot has been given or taken away after a commit."""
        return any(self._commits[each].operation in _LABELLING for each in self._after(since))

    def media_deleted_since(self, since: int) -> bool:
        """Whether files of the media store may have been deleted after a commit was the latest.

        A deletion is noted before it is done, and nobody commits meanwhile: one that is the
        commit itself may not have been over.
        """
        return 0 < self.media_deletion >= since

    def _after(self, commit: int) -> Iterator[int]:
        return (each for each in range(commit + 1, self.head + 1) if each in self._commits)

    def track_rows_read(self, *table_ids: int) -> None:
        """Note that the commit which the calling thread prepares goes by live rows of tables."""
        if self.pending:
            self.pending.rows_read.update(table_ids)

    def _note_structure_read(self, table_id: int) -> None:
        if self.pending:
            self.pending.structures_read.add(table_id)

    def tables_restructured_since(self, since: int) -> set[int]:
        """Return the tables whose structure has changed after a commit.

        A view or branch that has been made, changed or dropped counts as a change of the tables
        that it reads, too: what a change of their rows has to do depends on it.
        """
        found: set[int] = set()
        for table_id, history in list(self._records.items()):
            for commit, record in reversed(history):
                if commit <= since:
                    break
                found |= {table_id, *record.reads}
        return found

    def views_of(self, table_id: int) -> list[TableRecord]:
        """Return the views each of whose rows comes from one of a table."""
        self._note_structure_read(table_id)
        return [each for each in self.tables() if each.view and each.view.base == table_id]

    def versions(self, table_id: int) -> list[Version]:
        """Return all versions of a table, oldest first."""
        return self._versions.get(table_id, [])

    def has_closed_rows(self, table_id: int) -> bool:
        """Whether rows of a table have ever been updated or deleted."""
        return any(version.closed for version in self._versions.get(table_id, [])[-1:])

    def latest(self, table_id: int) -> Version:
        """Return the current version of a table."""
        return self._versions[table_id][-1]

    def version_at(self, table_id: int, commit: int) -> Version:
        """Return the version of a table that was the current one at a commit."""
        return next(each for each in reversed(self._versions[table_id]) if each.commit <= commit)

    def rows_written_between(self, table_id: int, since: int, until: int) -> int:
        """Return how many rows were written or removed after a commit, until another one."""
        count = 0
        for version in reversed(self._versions[table_id]):
            if version.commit <= since:
                break
            if version.commit <= until:
                count += version.rows
        return count

    def commit(self, commit_id: int) -> Commit:
        """Return a commit."""
        return self._commits[commit_id]

    def labels(self, table_id: int) -> dict[str, int]:
        """Return the labels of a table and the versions they stand for."""
        return self._labels.get(table_id, {})

    def stable_name(self, table_id: int) -> str:
        """Name a table for what is stored elsewhere: one that replaces it is meant as well."""
        pending = self.pending.records if self.pending else {}
        record = pending.get(table_id) or self._records[table_id][-1][1]
        return f"{record.name}#{table_id}" if record.dropped else record.name

    def next_table_id(self) -> int:
        """Return the identity for a new table."""
        pending = self.pending.records if self.pending else {}
        return max([*self._records, *pending], default=0) + 1

    def queries_over(self, table_id: int) -> list[TableRecord]:
        """Return the views whose query, computed as a whole, reads a table."""
        self._note_structure_read(table_id)
        return [each for each in self.tables() if each.view and table_id in each.view.bases]

    def dropped(self) -> list[TableRecord]:
        """Return the tables that have been dropped and whose rows a snapshot may have held."""
        latest = [history[-1][1] for history in self._records.values()]
        return [record for record in latest if record.dropped and record.kept]

    def commit_at(self, moment: datetime.datetime) -> int:
        """Return the latest commit at a moment that has a zone."""
        found = [each.id for each in self._commits.values() if each.at <= moment]
        if not found:
            first = min((each.at for each in self._commits.values()), default=None)
            raise VersionError(
                f"there was nothing yet at {moment.isoformat()}.",
                hint=f"The first moment is {first.isoformat()}." if first else "Make a table.",
            )
        return max(found)

    def branches_of(self, table_id: int) -> list[TableRecord]:
        """Return the tables that branched off a table."""
        self._note_structure_read(table_id)
        return [each for each in self.tables() if each.origin and each.origin.table == table_id]

    def snapshots_of(self, table_id: int) -> set[int]:
        """Return the commits of the snapshots in which a table is."""
        history = self._records.get(table_id, [])
        first = history[0][0] if history else self.head + 1
        end = next((at for at, record in history if record.dropped), self.head + 1)
        return {commit for commit in self.labels(ALL_TABLES).values() if first <= commit < end}

    def _note_labels_read(self) -> None:
        if self.pending:
            self.pending.labels_read = True

    def referenced_commits(self, table_id: int) -> set[int]:
        """Return the commits of a table that a label, a snapshot or a branch holds."""
        numbers = set(self.labels(table_id).values())
        commits = {each.commit for each in self.versions(table_id) if each.version in numbers}
        return commits | self.externally_referenced_commits(table_id)

    def externally_referenced_commits(self, table_id: int) -> set[int]:
        """Return the commits of a table that a snapshot, or a branch or what is left of it, holds.

        A branch that has been dropped reads its origin as long as a snapshot shows the branch.
        """
        pending = self.pending.records if self.pending else {}
        self._note_labels_read()
        latest = {**{key: each[-1][1] for key, each in list(self._records.items())}, **pending}
        return self.snapshots_of(table_id) | {
            each.origin.commit
            for each in latest.values()
            if each.origin
            and each.origin.table == table_id
            and (not each.dropped or self.snapshots_of(each.id))
        }

    def resolve(self, table_id: int, version: int | str | datetime.datetime) -> Version:
        """Find a version by number, label or moment.

        Raises
        ------
        VersionError
            When the table has no such version.
        """
        versions = self.versions(table_id)
        name = self._records[table_id][-1][1].name
        moment = as_timestamp(version)
        if moment is not None:
            found = [each for each in versions if self._commits[each.commit].at <= moment]
            if not found:
                raise VersionError(
                    f"there was no version yet at {moment.isoformat()}.",
                    table=name,
                    hint=f"The first is of {self._commits[versions[0].commit].at.isoformat()}.",
                )
            return found[-1]
        number: Any = None if isinstance(version, bool | str) else version
        if isinstance(version, str):
            self._note_labels_read()
            number = self.labels(table_id).get(version)
            taken = self.labels(ALL_TABLES).get(version)
            if number is None and taken is not None:
                number = max((v.version for v in versions if v.commit <= taken), default=None)
                if number is None:
                    raise VersionError(
                        f"there was no version yet when the snapshot {version!r} was taken.",
                        table=name,
                        hint=f"Versions go from 0 to {versions[-1].version}.",
                    )
        match = next((each for each in versions if each.version == number), None)
        if match is None:
            labels = ", ".join(map(repr, self.labels(table_id))) or "none"
            raise VersionError(
                f"there is no version {version!r}.",
                table=name,
                hint=f"Versions go from 0 to {versions[-1].version}; labels are: {labels}. "
                f"{timestamp_hint(version)}".rstrip(),
            )
        return match

    def resolve_commit(self, table_id: int, version: int | str | datetime.datetime) -> int:
        """Return the commit at which a version of a table can be looked at.

        Raises
        ------
        VersionError
            When there is no such version, or its rows have been dropped.
        """
        if isinstance(version, str) and version not in self.labels(table_id):
            taken = self.labels(ALL_TABLES).get(version)
            if taken is not None:
                self.resolve(table_id, version)
                return taken
        found = self.resolve(table_id, version)
        held = self.readable_commit(table_id, found)
        if held is None:
            raise _compacted(self._records[table_id][-1][1])
        return held

    def readable_commit(self, table_id: int, version: Version) -> int | None:
        """Return a commit of a version whose rows are still there, if there is one."""
        record = self._records[table_id][-1][1]
        if record.holds(version.commit):
            return version.commit
        later = [v.commit for v in self.versions(table_id) if v.commit > version.commit]
        end = min(later, default=self.head + 1)
        if record.compacted < end:
            return record.compacted
        return max((c for c in record.kept if version.commit <= c < end), default=None)

    def snapshot(self, label: str) -> int:
        """Return the commit of a snapshot of all tables.

        Raises
        ------
        VersionError
            When there is none of that name.
        """
        known = self.labels(ALL_TABLES)
        if label not in known:
            names = ", ".join(map(repr, known)) or "none"
            hint = f"There are: {names}. {timestamp_hint(label)}".rstrip()
            raise VersionError(f"there is no snapshot {label!r}.", hint=hint)
        return known[label]

    # Writing

    @property
    def pending(self) -> PendingCatalog | None:
        """The commit that the calling thread prepares."""
        return getattr(self._local, "pending", None)

    def begin(self, operation: str) -> PendingCatalog:
        """Start a commit; what is put into it is seen at once, by the calling thread."""
        self._local.pending = PendingCatalog(operation, self.head)
        return self._local.pending

    def end(self) -> None:
        """Forget the commit that the calling thread prepared."""
        self._local.pending = None

    def write(self, pending: PendingCatalog, seconds: float) -> Commit:
        """Write what a commit makes visible, within the transaction that writes its rows."""
        for label in pending.labels:
            self._write_label(label)
        changes = _changes(pending.records.values(), pending.versions.values())
        return self._note(pending.operation, seconds, changes)

    def publish(self, pending: PendingCatalog, commit: Commit) -> None:
        """Make a commit that has succeeded known to this process."""
        with self._guard:
            if commit.id not in self._commits:  # else a thread that reads has learned of it
                for record in pending.records.values():
                    self._add_record(commit.id, record)
                for version in pending.versions.values():
                    self._versions.setdefault(version.table_id, []).append(version)
            for label in pending.labels:
                self._labels.setdefault(label.table_id, {})[label.label] = label.version
            self._commits[commit.id] = commit
            self.head = commit.id
            self._note_stamp()

    def _note_stamp(self) -> None:
        """Note that this process knows the latest commit, which it has just made."""
        try:
            self._stamp = self._backend.stamp()
        except UnreachableError:  # the commit is made, but others may have followed it since
            self._stamp = None

    def _write_label(self, label: Label) -> None:
        self._backend.delete("bb_labels", {"table_id": label.table_id, "label": label.label})
        self._backend.insert("bb_labels", [vars(label)])

    def add_label(self, label: Label) -> None:
        """Give a version a name; an older use of the name in the table ends."""
        with self._backend.write_lock(), self._guard:
            self.refresh()
            with self._backend.transaction():
                self._write_label(label)
                commit = self._note(_LABEL)
            self._commits[commit.id], self.head = commit, commit.id
            self._labels.setdefault(label.table_id, {})[label.label] = label.version
            self._note_stamp()

    def _note(self, operation: str, seconds: float = 0.0, changes: str | None = None) -> Commit:
        """Write the next commit: by it other processes learn that something is new."""
        now = datetime.datetime.now(datetime.UTC)
        if (last := self._commits.get(self.head)) is not None:
            # A clock may jump back; a moment would then name rows that came after it.
            now = max(now, last.at + datetime.timedelta(microseconds=1))
        commit = Commit(self.head + 1, now, operation, _whoami(), seconds)
        self._backend.insert("bb_commits", [{**vars(commit), "changes": changes}])
        return commit

    def remove_label(self, table_id: int, label: str) -> None:
        """Take a name away; the version it stood for stays."""
        with self._backend.write_lock(), self._guard:
            with self._backend.transaction():
                self._backend.delete("bb_labels", {"table_id": table_id, "label": label})
                commit = self._note(_REMOVE_LABEL)
            self._commits[commit.id], self.head = commit, commit.id
            self._labels.get(table_id, {}).pop(label, None)
            self._note_stamp()

    def commit_media_deletion(self) -> None:
        """Let all who prepare a change know that files of the media store are being deleted.

        Whoever deletes them keeps the right to write from before this until it is done.
        """
        with self._backend.write_lock(), self._guard:
            with self._backend.transaction():
                commit = self._note(_DELETE_MEDIA)
            self._commits[commit.id] = commit
            self.head = self.media_deletion = commit.id
            self._stamp = self._backend.stamp()

    def next_version(
        self, table_id: int, commit: int, pending: PendingCatalog, done: Version
    ) -> Version:
        """Give the version of a table that a commit makes its number.

        Parameters
        ----------
        done
            What the change did; its `next_rid` counts the identities that it used.
        """
        history = self._versions.get(table_id)
        last = history[-1] if history else None
        return replace(
            done,
            version=last.version + 1 if last else 0,
            commit=commit,
            operation=pending.operation,
            next_rid=done.next_rid + (last.next_rid if last else 0),
            closed=done.closed or bool(last and last.closed),
        )


def _changes(records: Iterable[TableRecord], versions: Iterable[Version]) -> str:
    """Write what a commit makes visible, of which it is a part: as one row is written fastest."""
    plain = [
        {key: value for key, value in vars(version).items() if key not in _OF_COMMITS}
        for version in versions
    ]
    structures = ",".join(record.to_json() for record in records)
    return f'{{"versions":{json.dumps(plain, separators=(",", ":"))},"records":[{structures}]}}'


@contextmanager
def _readable(commit: int) -> Iterator[None]:
    """Say which commit holds what this version of barbule does not know how to read.

    Raises
    ------
    ConfigurationError
        When one does.
    """
    try:
        yield
    except BarbuleError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ConfigurationError(
            f"commit {commit} of the catalog cannot be read ({type(error).__name__}: "
            f"{message_of(error)}).",
            hint="The database is damaged: restore a copy of it; or a newer version of barbule "
            "has written it: upgrade this one.",
        ) from error


def _refuse_gaps(known: int, following: list[int]) -> None:
    """Refuse a catalog without all its commits: each has the number after the one before it.

    Raises
    ------
    ConfigurationError
        When one is missing: what it did to tables is not known.
    """
    missing = sorted(set(range(known + 1, max(following, default=known) + 1)) - set(following))
    if missing:
        shown = ", ".join(map(str, missing[:5])) + (" …" if missing[5:] else "")
        raise ConfigurationError(
            f"{len(missing)} of the {following[-1]} commits of the catalog are missing in the "
            f"table bb_commits: {shown}.",
            hint="The database is damaged: restore a copy of it. Only barbule may delete rows of "
            "tables whose names begin with bb_.",
        )


def _read_changes(text: str | None) -> tuple[list[TableRecord], list[dict[str, Any]]]:
    if text is None:
        return [], []
    changes = json.loads(text)
    return [TableRecord.from_plain(each) for each in changes["records"]], changes["versions"]


def _compacted(record: TableRecord) -> VersionError:
    return VersionError(
        "the rows of this version have been dropped by drop_table() or compact().",
        table=record.name,
        hint="Labels and snapshots hold versions; history() lists what is there.",
    )


def _whoami() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # no such user in this container
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()} (pid {os.getpid()})"
