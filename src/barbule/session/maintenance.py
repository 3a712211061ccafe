"""The verbs of a session for its call ledger, media store and indexes.

Holds their documentation; each calls the module that does the work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from barbule.suggestions import check_methods
from barbule.tables.transaction import media_references
from barbule.tables.verbs import check

if TYPE_CHECKING:
    import datetime

    from barbule.executor.engine import Engine
    from barbule.relations import Query
    from barbule.tables.transaction.media_references import CollectedMedia
    from barbule.tables.verbs.check import CheckResult

__all__ = ["Maintenance"]


@check_methods
class Maintenance:
    """The verbs of a session that look after its database."""

    _engine: Engine

    def calls(self) -> Query:
        """Return the call ledger as a table: one row for each question that was asked.

        Examples
        --------
        >>> import barbule as bb
        >>> bb.calls().count().to_pyarrow().as_py()
        0
        """
        return self._engine.calls()

    def evict_calls(
        self,
        *,
        older_than: datetime.timedelta | None = None,
        max_bytes: int | None = None,
    ) -> int:
        """Drop answers from the call ledger; the same questions are asked again then.

        Values of tables stay as they are.

        Parameters
        ----------
        older_than
            The age from which answers are dropped.
        max_bytes
            Where all answers take more, the oldest are dropped.

        Returns
        -------
        int
            How many questions were dropped.

        Examples
        --------
        >>> import barbule as bb, datetime
        >>> bb.evict_calls(older_than=datetime.timedelta(days=90), max_bytes=10**9)
        0
        """
        return self._engine.ledger.evict(older_than, max_bytes)

    def collect_media(
        self,
        *,
        grace: datetime.timedelta | None = None,
        dry_run: bool = False,
        shared: bool = False,
    ) -> CollectedMedia:
        """Delete the files of the media store to which nothing refers any more.

        What any version, label, snapshot, branch or answer of the call ledger holds stays; so do
        files that were given by path or URL, which are not in the store. `compact()`,
        `drop_table()` and `evict_calls()` make garbage, this removes it. It may be interrupted
        and run again, and others may write meanwhile.

        Parameters
        ----------
        grace
            What has been stored more recently than this stays, as somebody may be about to
            commit it: longer than the longest insert takes. A day by default.
        dry_run
            Whether to say only what would be deleted.
        shared
            Whether to go on although other databases have put files into the same store: theirs
            are deleted too.

        Returns
        -------
        CollectedMedia
            The number of files, and their bytes.

        Raises
        ------
        UnsupportedError
            When other databases keep media in the same store, and `shared` is False.

        Examples
        --------
        >>> import barbule as bb, datetime
        >>> bb.collect_media(grace=datetime.timedelta(hours=1))
        CollectedMedia(files=0, bytes=0, kept=0)
        """
        return media_references.collect_unused(
            self._engine,
            media_references.DEFAULT_GRACE_PERIOD if grace is None else grace,
            dry_run=dry_run,
            shared=shared,
        )

    def check(self, *, repair: bool = True) -> CheckResult:
        """Compare all vector indexes with their tables, and look for media that are gone.

        Each file of the media store to which a row refers, of any version, should be there. What
        is in a file is not read: `t.filter(t.img.changed())` does that.

        Parameters
        ----------
        repair
            Whether an index that does not fit is filled anew.

        Returns
        -------
        CheckResult
            What was found and done, by index, and which files are missing, by table; true when all
            is well or was repaired.

        Examples
        --------
        >>> import barbule as bb
        >>> bool(bb.check())
        True
        """
        return check.check(self._engine, repair=repair)
