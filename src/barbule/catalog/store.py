"""The catalog: tables, versions, labels and commits, stored in the backend.

Owns how commits and labels are written, and how this process learns of its own commits. Reading
is inherited: `structures` looks up tables and `catalog_reader` versions, in what `metadata` loads.
"""

from __future__ import annotations

import datetime
import getpass
import os
import socket
from dataclasses import replace
from typing import TYPE_CHECKING

from barbule.catalog.catalog_reader import LABEL, REMOVE_LABEL, CatalogReader
from barbule.catalog.metadata import DELETE_MEDIA, Metadata, changes_to_json
from barbule.catalog.migrations import READER_PREFIX
from barbule.catalog.pending import PendingCatalog
from barbule.catalog.records import Commit, Label

if TYPE_CHECKING:
    from collections.abc import Mapping

    from barbule.backends.base import Backend
    from barbule.catalog.records import Version

__all__ = ["Catalog"]


class Catalog(CatalogReader):
    """The tables of one database, and the commits that change them.

    Parameters
    ----------
    backend
        Where the catalog is stored; it is created when it is missing.
    """

    def __init__(self, backend: Backend) -> None:
        super().__init__(Metadata(backend))
        self._backend = backend

    @property
    def media_deletion(self) -> int:
        """The latest commit that announced deletions from the media store; 0 for none."""
        return self.metadata.media_deletion

    def begin(self, operation: str) -> PendingCatalog:
        """Start to prepare a commit; return the catalog as its preparation sees it."""
        return PendingCatalog(self, operation)

    def write(self, pending: PendingCatalog, seconds: float) -> Commit:
        """Write the changes of a commit, within the transaction that writes its rows."""
        for label in pending.new_labels:
            self._write_label(label)
        self._write_readers(pending.readers)
        changes = changes_to_json(pending.records.values(), pending.new_versions.values())
        return self._write_commit(pending.operation, seconds, changes)

    def publish(self, pending: PendingCatalog, commit: Commit) -> None:
        """Make a commit that has succeeded visible to all threads of this process."""
        with self.metadata.guard:
            if commit.id not in self.metadata.commits:  # else a reading thread has loaded it
                for record in pending.records.values():
                    self.metadata.add_record(commit.id, record)
                for version in pending.new_versions.values():
                    self.metadata.versions.setdefault(version.table_id, []).append(version)
            for label in pending.new_labels:
                self.metadata.labels.setdefault(label.table_id, {})[label.label] = label.version
            self.metadata.commits[commit.id] = commit
            self.metadata.head = commit.id
            if pending.readers:
                readers = {**self.metadata.identity.readers, **pending.readers}
                self.metadata.identity = replace(self.metadata.identity, readers=readers)
            self.metadata.save_stamp()

    def _write_readers(self, readers: Mapping[str, str]) -> None:
        """Record the packages whose readers have read documents, by file extension."""
        for extension, package in readers.items():
            if self.metadata.identity.readers.get(extension) != package:
                key = f"{READER_PREFIX}{extension}"
                self._backend.delete_rows("bb_meta", {"key": key})
                self._backend.insert("bb_meta", [{"key": key, "value": package}])

    def next_version(
        self, table_id: int, commit: int, pending: PendingCatalog, change: Version
    ) -> Version:
        """Return the numbered version of a table that a commit makes.

        Parameters
        ----------
        change
            What the commit does to the table; its `next_rid` counts the identities that it used.
        """
        history = self.metadata.versions.get(table_id)
        last = history[-1] if history else None
        return replace(
            change,
            version=last.version + 1 if last else 0,
            commit=commit,
            operation=pending.operation,
            next_rid=change.next_rid + (last.next_rid if last else 0),
            closed=change.closed or bool(last and last.closed),
        )

    def _write_commit(
        self, operation: str, seconds: float = 0.0, changes: str | None = None
    ) -> Commit:
        """Write the row of the next commit, from which other processes learn of it."""
        now = datetime.datetime.now(datetime.UTC)
        if (last := self.metadata.commits.get(self.head)) is not None:
            # A clock may jump back; a timestamp would then name rows that came after it.
            now = max(now, last.at + datetime.timedelta(microseconds=1))
        commit = Commit(self.head + 1, now, operation, _author(), seconds)
        self._backend.insert("bb_commits", [{**vars(commit), "changes": changes}])
        return commit

    # Labels

    def _write_label(self, label: Label) -> None:
        self._backend.delete_rows("bb_labels", {"table_id": label.table_id, "label": label.label})
        self._backend.insert("bb_labels", [vars(label)])

    def add_label(self, label: Label) -> None:
        """Give a version a name; the name no longer refers to another version of the table."""
        with self._backend.write_lock(), self.metadata.guard:
            self.refresh()
            with self._backend.transaction():
                self._write_label(label)
                commit = self._write_commit(LABEL)
            self.metadata.commits[commit.id], self.metadata.head = commit, commit.id
            self.metadata.labels.setdefault(label.table_id, {})[label.label] = label.version
            self.metadata.save_stamp()

    def remove_label(self, table_id: int, label: str) -> None:
        """Remove a name; the version that it referred to stays."""
        with self._backend.write_lock(), self.metadata.guard:
            with self._backend.transaction():
                self._backend.delete_rows("bb_labels", {"table_id": table_id, "label": label})
                commit = self._write_commit(REMOVE_LABEL)
            self.metadata.commits[commit.id], self.metadata.head = commit, commit.id
            self.metadata.labels.get(table_id, {}).pop(label, None)
            self.metadata.save_stamp()

    # Media

    def commit_media_deletion(self) -> None:
        """Announce deletions from the media store to all who prepare a change.

        Whoever deletes holds the write lock from before this until the files are deleted.
        """
        with self._backend.write_lock(), self.metadata.guard:
            with self._backend.transaction():
                commit = self._write_commit(DELETE_MEDIA)
            self.metadata.commits[commit.id] = commit
            self.metadata.head = self.metadata.media_deletion = commit.id
            self.metadata.save_stamp()


def _author() -> str:
    """Return the user and the process, as commits name them."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # no such user in this container
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()} (pid {os.getpid()})"
