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
    """Maintenance verbs of a session."""

    _engine: Engine

    def calls(self) -> Query:
        """Return the call ledger as a table with one row per call.

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
        """Drop answers from the call ledger; the same calls are made again later.

        Values of tables are not changed.

        Parameters
        ----------
        older_than
            Answers of this age or older are dropped.
        max_bytes
            If all answers take more bytes, the oldest are dropped.

        Returns
        -------
        int
            The number of dropped calls.

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
        """Delete the files of the media store that are no longer referenced.

        Files that any version, label, snapshot, branch or answer of the call ledger references are
        kept; so are files that were given by path or URL, which are not in the store. `compact()`,
        `drop_table()` and `evict_calls()` create garbage; this verb removes it. You may interrupt
        it and run it again, and other processes may write at the same time.

        Parameters
        ----------
        grace
            Files stored more recently than this are kept, because a transaction may be about to
            commit them: choose longer than the longest insert takes. A day by default.
        dry_run
            Whether only to report what would be deleted.
        shared
            Whether to continue if other databases have put files into the same store: their files
            are deleted too.

        Returns
        -------
        CollectedMedia
            The number of files, and their bytes.

        Raises
        ------
        UnsupportedError
            If other databases store media files in the same store, and `shared` is False.

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
        """Compare all vector indexes with their tables, and find missing media files and readers.

        Each file of the media store to which a row of any version refers must exist. The content of
        files is not read: use `t.filter(t.img.changed())` for that. Documents of live rows whose
        reader is not installed are listed.

        Parameters
        ----------
        repair
            Whether an index that differs from its table is rebuilt.

        Returns
        -------
        CheckResult
            What was found and repaired, by index, which files are missing, by table, and which
            documents have no reader, by column; true if everything is consistent or was repaired.

        Examples
        --------
        >>> import barbule as bb
        >>> bool(bb.check())
        True
        """
        return check.check(self._engine, repair=repair)
