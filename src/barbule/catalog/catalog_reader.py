"""The catalog as one operation reads it: tables, and their versions by number, label or timestamp.

Owns which versions can still be read: those whose rows are stored, because they are recent or
because a label, a snapshot or a branch refers to them.
"""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

from barbule.catalog.records import ALL_TABLES
from barbule.catalog.structures import TableStructures, compacted_error
from barbule.catalog.time_travel import as_timestamp, timestamp_hint
from barbule.errors import VersionError

if TYPE_CHECKING:
    from barbule.catalog.records import Commit, TableRecord, Version

__all__ = ["LABEL", "REMOVE_LABEL", "CatalogReader"]

LABEL, REMOVE_LABEL = "label", "remove label"
"""The operations of commits that change labels or snapshots."""

VersionKey = int | str | datetime.datetime
"""What users name a version by: its number, a label or snapshot, or a timestamp."""


class CatalogReader(TableStructures):
    """Tables, their versions, labels and snapshots, as one operation sees them.

    `Catalog` is the committed state; `PendingCatalog` adds the changes of a transaction.
    """

    def versions(self, table_id: int) -> list[Version]:
        """Return all versions of a table, oldest first."""
        return self.metadata.versions.get(table_id, [])

    def latest(self, table_id: int) -> Version:
        """Return the current version of a table."""
        return self.metadata.versions[table_id][-1]

    def version_at(self, table_id: int, commit: int) -> Version:
        """Return the version of a table that was the current one at a commit."""
        history = reversed(self.metadata.versions[table_id])
        return next(version for version in history if version.commit <= commit)

    def has_closed_rows(self, table_id: int) -> bool:
        """Whether rows of a table have ever been updated or deleted."""
        return any(version.closed for version in self.metadata.versions.get(table_id, [])[-1:])

    def rows_written_between(self, table_id: int, since: int, until: int) -> int:
        """Return how many rows were written or removed after a commit, until another one."""
        count = 0
        for version in reversed(self.metadata.versions[table_id]):
            if version.commit <= since:
                break
            if version.commit <= until:
                count += version.rows
        return count

    # Commits

    def commit(self, commit_id: int) -> Commit:
        """Return a commit."""
        return self.metadata.commits[commit_id]

    def commit_at(self, timestamp: datetime.datetime) -> int:
        """Return the latest commit at a timestamp that has a zone."""
        commits = self.metadata.commits.values()
        earlier = [commit.id for commit in commits if commit.at <= timestamp]
        if not earlier:
            first = min((commit.at for commit in commits), default=None)
            raise VersionError(
                f"the database had no commit at {timestamp.isoformat()}.",
                hint=f"The first commit is of {first.isoformat()}." if first else "Create a table.",
            )
        return max(earlier)

    def labels_changed_since(self, since: int) -> bool:
        """Whether a label or snapshot has been set or removed after a commit."""
        later = (self.metadata.commits.get(number) for number in range(since + 1, self.head + 1))
        return any(commit and commit.operation in {LABEL, REMOVE_LABEL} for commit in later)

    def media_deleted_since(self, commit: int) -> bool:
        """Whether files of the media store may have been deleted after a commit was the latest.

        A deletion is announced before it is done, and nobody commits meanwhile: one that is the
        commit itself may not have been over.
        """
        return 0 < self.metadata.media_deletion >= commit

    # Labels and snapshots

    def labels(self, table_id: int) -> dict[str, int]:
        """Return the labels of a table and the versions that they refer to."""
        return self.metadata.labels.get(table_id, {})

    def snapshot(self, label: str) -> int:
        """Return the commit of a snapshot of all tables.

        Raises
        ------
        VersionError
            When there is none of that name.
        """
        snapshots = self.labels(ALL_TABLES)
        if label not in snapshots:
            names = ", ".join(map(repr, snapshots)) or "none"
            hint = f"There are: {names}. {timestamp_hint(label)}".rstrip()
            raise VersionError(f"there is no snapshot {label!r}.", hint=hint)
        return snapshots[label]

    def snapshots_of(self, table_id: int) -> set[int]:
        """Return the commits of the snapshots that contain a table."""
        history = self.metadata.records.get(table_id, [])
        first = history[0][0] if history else self.head + 1
        end = next((at for at, record in history if record.dropped), self.head + 1)
        return {commit for commit in self.labels(ALL_TABLES).values() if first <= commit < end}

    def _track_labels_read(self) -> None:
        """Record that a transaction depends on which versions labels and snapshots refer to."""

    def referenced_commits(self, table_id: int) -> set[int]:
        """Return the commits of a table that a label, a snapshot or a branch refers to."""
        numbers = set(self.labels(table_id).values())
        labelled = {
            version.commit for version in self.versions(table_id) if version.version in numbers
        }
        return labelled | self.externally_referenced_commits(table_id)

    def externally_referenced_commits(self, table_id: int) -> set[int]:
        """Return the commits of a table that a snapshot or a branch refers to.

        A dropped branch reads its origin as long as a snapshot contains the branch.
        """
        self._track_labels_read()
        histories = list(self.metadata.records.items())
        latest: dict[int, TableRecord] = {key: history[-1][1] for key, history in histories}
        latest |= self._pending_records
        return self.snapshots_of(table_id) | {
            record.origin.commit
            for record in latest.values()
            if record.origin
            and record.origin.table == table_id
            and (not record.dropped or self.snapshots_of(record.id))
        }

    # Versions by what users name them by

    def resolve(self, table_id: int, version: VersionKey) -> Version:
        """Find a version by number, label, snapshot or timestamp.

        Raises
        ------
        VersionError
            When the table has no such version.
        """
        timestamp = as_timestamp(version)
        if timestamp is not None:
            return self._version_at_timestamp(table_id, timestamp)
        versions = self.versions(table_id)
        number = (
            self._labelled_number(table_id, version)
            if isinstance(version, str)
            else None
            if isinstance(version, bool)
            else version
        )
        match = next((candidate for candidate in versions if candidate.version == number), None)
        if match is None:
            labels = ", ".join(map(repr, self.labels(table_id))) or "none"
            raise VersionError(
                f"there is no version {version!r}.",
                table=self._latest_record(table_id).name,
                hint=f"Versions are 0 to {versions[-1].version}; labels are: {labels}. "
                f"{timestamp_hint(version) or self._base_label_hint(table_id, version)}".rstrip(),
            )
        return match

    def _base_label_hint(self, table_id: int, label: object) -> str:
        """Return how to read a view at a label that one of its base tables has."""
        if not isinstance(label, str):
            return ""
        for base in self._bases_of_view(table_id):
            number = self.labels(base).get(label)
            if number is None:
                continue
            commits = [each.commit for each in self.versions(base) if each.version >= number]
            end = commits[1] if len(commits) > 1 else self.head + 1
            first = max(commits[0], self.versions(table_id)[0].commit)
            reading = ""
            if first < end:  # otherwise the base had changed before the view was created
                timestamp = self.metadata.commits[first].at.isoformat()
                reading = (
                    f" t.at(datetime.datetime.fromisoformat({timestamp!r})) reads the view at that "
                    "version of the base table."
                )
            name = self._latest_record(base).name
            return (
                f"{label!r} is a label of the base table {name!r}; a view has its own versions and "
                f"labels.{reading} bb.snapshot(name) names a state of all tables and views."
            )
        return ""

    def _bases_of_view(self, table_id: int) -> list[int]:
        """Return the tables and views that a view reads, directly or through other views."""
        bases: list[int] = []
        queue = [table_id]
        while queue:
            view = self._latest_record(queue.pop()).view
            if view is not None:
                read = view.bases or (view.base,)
                known = self.metadata.records
                added = [base for base in read if base in known and base not in bases]
                bases += added
                queue += added
        return bases

    def _version_at_timestamp(self, table_id: int, timestamp: datetime.datetime) -> Version:
        versions, commits = self.versions(table_id), self.metadata.commits
        earlier = [version for version in versions if commits[version.commit].at <= timestamp]
        if not earlier:
            raise VersionError(
                f"the table had no version at {timestamp.isoformat()}.",
                table=self._latest_record(table_id).name,
                hint=f"The first version is of {commits[versions[0].commit].at.isoformat()}.",
            )
        return earlier[-1]

    def _labelled_number(self, table_id: int, label: str) -> int | None:
        """Return the version that a label of the table, or else a snapshot, refers to."""
        self._track_labels_read()
        number = self.labels(table_id).get(label)
        snapshot = self.labels(ALL_TABLES).get(label)
        if number is not None or snapshot is None:
            return number
        versions = self.versions(table_id)
        number = max(
            (version.version for version in versions if version.commit <= snapshot), default=None
        )
        if number is None:
            raise VersionError(
                f"the table had no version when the snapshot {label!r} was taken.",
                table=self._latest_record(table_id).name,
                hint=f"Versions are 0 to {versions[-1].version}.",
            )
        return number

    def resolve_commit(self, table_id: int, version: VersionKey) -> int:
        """Return the commit at which a version of a table can be read.

        Raises
        ------
        VersionError
            When there is no such version, or its rows have been dropped.
        """
        if isinstance(version, str) and version not in self.labels(table_id):
            snapshot = self.labels(ALL_TABLES).get(version)
            if snapshot is not None:
                self.resolve(table_id, version)
                return snapshot
        commit = self._commit_of(table_id, version)
        if commit is None:
            raise compacted_error(self._latest_record(table_id))
        return commit

    def _commit_of(self, table_id: int, version: VersionKey) -> int | None:
        """Return a commit of a version whose rows are still stored, if there is one."""
        resolved, record = self.resolve(table_id, version), self._latest_record(table_id)
        timestamp = as_timestamp(version)
        if record.view is None or timestamp is None:
            return self.readable_commit(table_id, resolved)
        # Columns of the base table change without a new version of the view.
        commit = self.commit_at(timestamp)
        return commit if record.holds(commit) else None

    def readable_commit(self, table_id: int, version: Version) -> int | None:
        """Return a commit of a version whose rows are still stored, if there is one."""
        record = self._latest_record(table_id)
        if record.holds(version.commit):
            return version.commit
        commits = (other.commit for other in self.versions(table_id))
        later = [commit for commit in commits if commit > version.commit]
        end = min(later, default=self.head + 1)
        if record.compacted < end:
            return record.compacted
        retained = (commit for commit in record.retained_commits if version.commit <= commit < end)
        return max(retained, default=None)
