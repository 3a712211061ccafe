"""The methods for versions: time travel, labels, diffs, branches.

Owns their signatures and documentation; each calls the function in `verbs.versions` that implements
it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from barbule.relations import Query
from barbule.suggestions import check_methods
from barbule.tables.verbs.versions import history
from barbule.tables.verbs.versions.branch import branch
from barbule.tables.verbs.versions.compact import compact
from barbule.tables.verbs.versions.revert import revert

if TYPE_CHECKING:
    from barbule.executor.results.result_set import ResultSet
    from barbule.tables.arguments import IfExists, IfNotExists
    from barbule.tables.transaction.results import UpdateResult
    from barbule.tables.verbs.versions.history import VersionLike
    from barbule.versions import Checkpoint, Diff

__all__ = ["VersionVerbs"]


@check_methods
class VersionVerbs(Query):
    """Methods of managed tables that read, label, revert and branch versions."""

    __slots__ = ()

    def at(self, version: VersionLike) -> Self:
        """Return the table at a version: read-only, with the columns of that version.

        Parameters
        ----------
        version
            A number, a label or checkpoint, the name of a snapshot, or a timestamp (`datetime`;
            local time if it has no zone). Views have their own numbers and labels; a snapshot or a
            timestamp selects the same state of a view and its base table.
        """
        return type(self)(history.leaf_at(self.op(), version))

    def checkpoint(self, label: str, *, if_exists: IfExists = "error") -> Checkpoint:
        """Label the current version; the label is accepted wherever a version is.

        Parameters
        ----------
        label
            A string. The current version may have several labels.
        if_exists
            If the label already names another version: "error", "ignore" (return that version) or
            "replace" (move it to the current version).

        Raises
        ------
        TableExistsError
            If the label names another version.

        Examples
        --------
        >>> import barbule as bb
        >>> runs = bb.create_table("runs", {"n": bb.Int})
        >>> runs.checkpoint("best")
        Checkpoint(0, 'best')
        >>> _ = runs.insert(n=1)
        >>> runs.checkpoint("best", if_exists="replace")
        Checkpoint(1, 'best')
        """
        return history.checkpoint(self.op(), label, if_exists)

    def drop_checkpoint(self, label: str, *, if_not_exists: IfNotExists = "error") -> None:
        """Remove a label; the version remains, and `compact` may then drop it.

        Examples
        --------
        >>> import barbule as bb
        >>> runs = bb.create_table("runs", {"config": bb.String})
        >>> _ = runs.checkpoint("baseline")
        >>> runs.drop_checkpoint("baseline")
        >>> runs.history()[0, "labels"]
        []
        """
        history.drop_checkpoint(self.op(), label, if_not_exists)

    def diff(self, old: VersionLike, new: VersionLike) -> Diff:
        """Compare two versions, row by row and column by column.

        Printed, or in a notebook, it shows the first added, removed and changed rows; for changed
        rows the changed columns, as old → new.

        Examples
        --------
        >>> import barbule as bb
        >>> runs = bb.create_table("runs", {"config": bb.String, "result": bb.Float})
        >>> _ = runs.insert(config="a", result=0.78)
        >>> v1 = runs.checkpoint("baseline")
        >>> _ = runs.update({"result": 0.85}, where=runs.config == "a")
        >>> runs.diff(v1, 2)
        Diff of 'runs', version 1 to 2: 0 added, 0 removed, 1 changed
        changed: 1
        ╭────────┬─────────────╮
        │ config │ result      │
        │ string │ float64     │
        ├────────┼─────────────┤
        │ a      │ 0.78 → 0.85 │
        ╰────────┴─────────────╯
        """
        return history.diff_versions(self.op(), old, new)

    def history(self) -> ResultSet:
        """Return the versions of the table, newest first.

        Its columns are `version`, `at`, `operation`, `rows` (written or removed), `by` (user and
        process), `seconds` (duration) and `labels`.
        """
        return history.history(self.op())

    def revert(self, to: VersionLike | None = None) -> UpdateResult:
        """Create a new version that equals an old one, in rows and columns; views are updated.

        Nothing is lost: the versions in between remain, and you can revert to them.

        Parameters
        ----------
        to
            A version, as for `at`; by default the one before the current version, so that each call
            goes one version further back.

        Examples
        --------
        >>> import barbule as bb
        >>> runs = bb.create_table("runs", {"config": bb.String})
        >>> _ = runs.insert(config="a")
        >>> _ = runs.insert(config="b")
        >>> _ = runs.revert()
        >>> runs.collect()["config"]
        ['a']
        >>> _ = runs.revert()
        >>> runs.collect()["config"]
        []
        """
        return revert(self.op(), to)

    def branch(self, name: str, *, if_exists: IfExists = "error") -> Self:
        """Create an independent table with the current rows of this one.

        Rows are shared until they are changed; answers of functions are in the same ledger.

        Examples
        --------
        >>> import barbule as bb
        >>> runs = bb.create_table("runs", {"config": bb.String})
        >>> _ = runs.insert(config="a")
        >>> other = runs.branch("other")
        >>> _ = other.insert(config="b")
        >>> other.count().to_pyarrow().as_py(), runs.count().to_pyarrow().as_py()
        (2, 1)
        """
        engine = self.op().source
        return type(self)(engine.leaf(branch(self.op(), name, if_exists)))

    def compact(self, before: VersionLike | None = None) -> int:
        """Drop the history of the table and its views; labels and snapshots keep their versions.

        Parameters
        ----------
        before
            The oldest version to keep, as for `at`; the current one by default.

        Returns
        -------
        int
            The number of row states that were dropped.
        """
        return compact(self.op(), before)
