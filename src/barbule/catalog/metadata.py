"""The metadata tables of a database, and the part of them that this process has read.

Owns the schemas of the tables `bb_meta`, `bb_commits` and `bb_labels`, their creation, and the
loading of commits that other processes have made. A commit is one row of `bb_commits`, written in
the transaction that writes its rows: what a crash leaves is no commit.
"""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import ibis.expr.schema as sch

from barbule.catalog import migrations
from barbule.catalog.records import Commit, TableRecord, Version
from barbule.errors import BarbuleError, ConfigurationError, UnreachableError, message_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from barbule.backends.base import Backend

__all__ = ["DELETE_MEDIA", "Metadata", "changes_to_json"]

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

DELETE_MEDIA = "delete media"
"""The operation of a commit that announces deletions from the media store."""

_COMMIT_FIELDS = {"commit", "operation"}  # of a version: they are columns of its commit's row


class Metadata:
    """The metadata of one database, as this process last read it.

    Parameters
    ----------
    backend
        Where the metadata tables are stored; they are created when they are missing, and migrated
        when an older version has created them.

    Attributes
    ----------
    identity
        What the database says of itself.
    structure
        The number of the database, because another one may replace it, and the latest commit that
        changed the structure of a table.
    records
        The structures of each table, oldest first, with the commits that made them.
    versions, labels
        The versions of each table, oldest first, and its labels.
    commits
        The commits, by number.
    head
        The latest commit.
    media_deletion
        The latest commit that announced deletions from the media store; 0 for none.
    """

    identity: migrations.Identity

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.guard = threading.RLock()  # held while commits are added
        self._stamp: object = None
        self.structure = (0, 0)
        self._clear()
        self._open()

    def _clear(self) -> None:
        self.records: dict[int, list[tuple[int, TableRecord]]] = {}
        self.versions: dict[int, list[Version]] = {}
        self.commits: dict[int, Commit] = {}
        self.labels: dict[int, dict[str, int]] = {}
        self.head = 0
        self.media_deletion = 0
        self.structure = (self.structure[0] + 1, 0)

    # Opening

    def _open(self) -> None:
        with self._backend.use():
            if self._backend.tables() >= _SCHEMAS.keys() or not self._create_tables():
                self._check_format()
                self.refresh()

    def _create_tables(self) -> bool:
        """Create the metadata tables; return whether all were missing.

        Another process may have created them first. A new database is not read: that would load
        modules that its first table does not need.
        """
        with self._backend.write_lock():
            with self._backend.transaction():
                missing = _SCHEMAS.keys() - self._backend.tables()
                for name in missing:
                    self._backend.create_table(name, _SCHEMAS[name])
                if "bb_meta" in missing:
                    meta = migrations.initial()
                    rows = [{"key": key, "value": value} for key, value in meta.items()]
                    self._backend.insert("bb_meta", rows)
                    self.identity = migrations.Identity.of(meta)
            if new := missing == _SCHEMAS.keys():
                self.save_stamp()
            return new

    def _check_format(self) -> None:
        meta = self._read_meta()
        if migrations.check(meta) < migrations.FORMAT:
            with self._backend.write_lock(), self._backend.transaction():
                # Another process may have migrated it since.
                meta = migrations.migrate(self._backend, self._read_meta())
        self.identity = migrations.Identity.of(meta)

    def _read_meta(self) -> dict[str, str]:
        return {row["key"]: row["value"] for row in self._read_rows("bb_meta")}

    def _read_rows(self, name: str, after: dict[str, int] | None = None) -> list[dict[str, Any]]:
        leaf = self._backend.table(name, _SCHEMAS[name])
        query: ops.Relation = leaf
        if after:
            query = ops.Filter(
                leaf,
                [
                    ops.Greater(ops.Field(leaf, column), ops.Literal(bound, dt.int64))
                    for column, bound in after.items()
                ],
            )
        return self._backend.arrow(query.to_expr(), {}).to_pylist()

    # Loading commits of other processes

    def refresh(self) -> int:
        """Load what other processes have committed; return the latest commit."""
        with self._backend.use():  # other processes may have used it before
            stamp = self._backend.stamp()
            if stamp != self._stamp:
                self._load_changes(stamp)
            return self.head

    def load_until(self, commit: int) -> None:
        """Load a commit that the calling thread can read already, before it is published."""
        if self.head >= commit:
            return
        with self.guard:
            if self.head < commit:
                self._apply(self._read_rows("bb_commits", {"id": self.head}))

    def _load_changes(self, stamp: object) -> None:
        with self.guard:
            if stamp == self._stamp:  # another thread has loaded them
                return
            rows = self._read_rows("bb_commits", {"id": self.head})
            if self.head and not rows and not self._head_exists():
                self._clear()  # an older copy of the database replaced it
                rows = self._read_rows("bb_commits")
            if rows:
                self._apply(rows)
            labels: dict[int, dict[str, int]] = {}
            for row in self._read_rows("bb_labels"):
                labels.setdefault(row["table_id"], {})[row["label"]] = row["version"]
            self.labels = labels
            self._stamp = stamp

    def _head_exists(self) -> bool:
        rows = self._read_rows("bb_commits", {"id": self.head - 1})
        return any(row["id"] == self.head for row in rows)

    def _apply(self, rows: list[dict[str, Any]]) -> None:
        """Add commits, given as rows of their table."""
        rows = sorted(rows, key=lambda row: row["id"])
        _check_gaps(self.head, [row["id"] for row in rows])
        for row in rows:
            with _unreadable_commit(row["id"]):
                records, versions = _changes_from_json(row.pop("changes"))
                commit = Commit(**row)
            for record in records:
                self.add_record(commit.id, record)
            for fields in versions:
                version = Version(**fields, commit=commit.id, operation=commit.operation)
                self.versions.setdefault(version.table_id, []).append(version)
            self.commits[commit.id] = commit
            if commit.operation == DELETE_MEDIA:
                self.media_deletion = commit.id
        self.head = max(self.commits)

    def add_record(self, commit: int, record: TableRecord) -> None:
        """Add the structure that a commit gave a table."""
        self.records.setdefault(record.id, []).append((commit, record))
        self.structure = (self.structure[0], commit)

    def save_stamp(self) -> None:
        """Remember that this process knows the latest commit, which it has just made."""
        try:
            self._stamp = self._backend.stamp()
        except UnreachableError:  # the commit is made, but others may have followed it since
            self._stamp = None


def changes_to_json(records: Iterable[TableRecord], versions: Iterable[Version]) -> str:
    """Write the changes of a commit as JSON: one row with all of them is written fastest."""
    plain = [
        {key: value for key, value in vars(version).items() if key not in _COMMIT_FIELDS}
        for version in versions
    ]
    structures = ",".join(record.to_json() for record in records)
    return f'{{"versions":{json.dumps(plain, separators=(",", ":"))},"records":[{structures}]}}'


def _changes_from_json(text: str | None) -> tuple[list[TableRecord], list[dict[str, Any]]]:
    if text is None:
        return [], []
    changes = json.loads(text)
    return [TableRecord.from_plain(plain) for plain in changes["records"]], changes["versions"]


@contextmanager
def _unreadable_commit(commit: int) -> Iterator[None]:
    """Name the commit whose changes this version of barbule cannot read.

    Raises
    ------
    ConfigurationError
        When reading them fails.
    """
    try:
        yield
    except BarbuleError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ConfigurationError(
            f"commit {commit} of the catalog cannot be read ({type(error).__name__}: "
            f"{message_of(error)}).",
            hint="If a newer version of barbule wrote it, upgrade this installation. Otherwise "
            "the database is damaged: restore a backup.",
        ) from error


def _check_gaps(head: int, following: list[int]) -> None:
    """Check that no commit is missing: each has the number after its predecessor's.

    Raises
    ------
    ConfigurationError
        When one is missing: how it changed the tables is not known.
    """
    missing = sorted(set(range(head + 1, max(following, default=head) + 1)) - set(following))
    if missing:
        numbers = ", ".join(map(str, missing[:5])) + (" …" if missing[5:] else "")
        raise ConfigurationError(
            f"{len(missing)} of the {following[-1]} commits of the catalog are missing from the "
            f"table bb_commits: {numbers}.",
            hint="The database is damaged: restore a backup. Only barbule may delete rows of "
            "tables whose names begin with bb_.",
        )
