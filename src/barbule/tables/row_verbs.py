"""The methods that change rows: insert, update, delete, upsert.

Owns their signatures and documentation; each calls the function in `verbs.rows` that implements it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from barbule.errors import DataError, with_article
from barbule.relations import Query
from barbule.suggestions import check_methods, did_you_mean
from barbule.tables.transaction.names import column_name, column_names
from barbule.tables.verbs.rows.delete import delete
from barbule.tables.verbs.rows.insert import insert
from barbule.tables.verbs.rows.purge import purge as purge_rows
from barbule.tables.verbs.rows.update import update
from barbule.tables.verbs.rows.upsert import write_by_key

if TYPE_CHECKING:
    from barbule.tables.arguments import ColumnLike, Condition, OnCellError, RowSource
    from barbule.tables.transaction.results import DeleteResult, InsertResult, UpdateResult
    from barbule.tables.verbs.rows.upsert import IfMissing, UpsertResult

__all__ = ["RowVerbs"]


@check_methods
class RowVerbs(Query):
    """Methods of managed tables that change rows."""

    __slots__ = ()

    def insert(
        self,
        source: RowSource | None = None,
        /,
        *,
        on_error: OnCellError | None = None,
        **values: Any,
    ) -> InsertResult:
        """Insert rows; computed columns, views and indexes are updated in the same commit.

        Parameters
        ----------
        source
            A mapping or a list of mappings, pydantic objects or dataclasses; a pandas or polars
            data frame, an Arrow table, or an Ibis expression.
        on_error
            The error policy for a media file that is missing or unreadable, and for a function that
            fails in a computed column: "abort" ends the insert; "null" leaves the cell empty, and
            `table.column.error` and `errors()` show the reason. By default files end it, and
            functions follow their own or their column's policy. Iterators of views follow the
            policy of the view.
        values
            The values of a single row, instead of `source`.

        Returns
        -------
        InsertResult
            The number of inserted rows and of cells with errors, and the new version.

        Raises
        ------
        DataError
            If a value does not fit; nothing is inserted.
        MediaError
            If a media file is missing or unreadable; nothing is inserted.

        Examples
        --------
        >>> import barbule as bb
        >>> films = bb.create_table("films", {"name": bb.String, "revenue": bb.Float})
        >>> films.insert([{"name": "Up", "revenue": 735.1}]).rows
        1
        """
        if on_error is not None and "on_error" in self.columns and source is None:
            values["on_error"], on_error = on_error, None  # a column with that name
        if source is not None and values:
            wrong = next(iter(values))
            raise DataError(
                f"insert takes either rows or the values of one row by name: {wrong!r} was passed "
                "together with rows.",
                table=self.get_name(),
                hint=did_you_mean(wrong, ["on_error"]) or 'insert([{"name": "Up"}]).',
            )
        if source is None and not values:
            raise DataError(
                "insert takes either rows or the values of one row by name.",
                table=self.get_name(),
                hint='insert([{"name": "Up"}]) or insert(name="Up").',
            )
        rows = values if source is None else source
        return insert(self.op(), rows, on_error or "abort")

    def update(self, values: Mapping[str, Any], where: Condition | None = None) -> UpdateResult:
        """Update columns of the rows that match `where`.

        Only computed columns downstream of the changed ones are recomputed, for those rows, in
        views too. Rows that already have these values are left unchanged: they are not counted, and
        if there are no others, no new version is created.

        Parameters
        ----------
        values
            New values by column: plain values, or expressions over the table. Media given by path
            or URL count as new if their content differs from the recorded content.
        where
            A condition; None for all rows.

        Raises
        ------
        DataError
            If a value does not fit, for example a fraction in an integer column, also as the result
            of an expression; or if `values` is not a mapping: use `batch_update` and `upsert` for
            rows with keys.
        ExpressionError
            If `where` is a function that returns None.

        Examples
        --------
        >>> import barbule as bb
        >>> films = bb.create_table("films", {"name": bb.String, "revenue": bb.Float})
        >>> _ = films.insert(name="Up", revenue=735.1)
        >>> films.update({"revenue": films.revenue + 1}, where=films.name == "Up").rows
        1
        """
        if not isinstance(values, Mapping):
            raise DataError(
                f"update takes a mapping of columns to new values, not "
                f"{with_article(type(values).__name__)}.",
                table=self.get_name(),
                hint='Write update({"n": 5}, where=table.k == 1); to update rows by key, use '
                'batch_update(rows, on="k") or upsert(rows, on="k").',
            )
        named = {column_name(self, column): value for column, value in values.items()}
        return update(self, named, where)

    def delete(self, where: Condition | None = None, *, purge: bool = False) -> DeleteResult:
        """Delete the rows that match `where` (None: all); old versions keep them.

        Parameters
        ----------
        where
            A condition; None for all rows.
        purge
            Removes the rows permanently, from all versions, labels and snapshots: every state of
            every row for which `where` holds in one state, deleted before or not; the rows of views
            derived from them; the answers in the call ledger that no other row uses; the files in
            the media store that nothing else references. Files and URLs that were given by
            reference are not touched. Views that are refreshed in full (joins, aggregates) lose
            their history. Answers to calls that depend on functions outside the ledger are
            attributed to the row that made the call first, and not kept for others.

        Returns
        -------
        DeleteResult
            For a purge it is a `PurgeResult`: what was removed, and what remained because other
            rows use it.

        Raises
        ------
        ExpressionError
            If `where` is a function that returns None.

        Examples
        --------
        >>> import barbule as bb
        >>> people = bb.create_table("people", [{"name": "Ada"}, {"name": "Alan"}])
        >>> people.delete(where=people.name == "Ada").rows
        1
        >>> people.at(0).count().to_pyarrow().as_py()
        2
        >>> done = people.delete(where=people.name == "Ada", purge=True)
        >>> done.rows, done.states, people.at(0).count().to_pyarrow().as_py()
        (1, 1, 1)
        """
        return purge_rows(self, where) if purge else delete(self, where)

    def upsert(self, rows: RowSource, on: ColumnLike | list[ColumnLike]) -> UpsertResult:
        """Update the rows whose keys exist, and insert the others.

        Parameters
        ----------
        rows
            Any source that `insert` takes; in an existing row, only the given columns change. A row
            that already has these values is left unchanged, and nothing is computed for it.
        on
            The key column or columns. Rows of the table with a NULL key are never matched.

        Raises
        ------
        DataError
            If a key is missing or given twice, or a value does not fit; nothing is written.

        Examples
        --------
        >>> import barbule as bb
        >>> films = bb.create_table("films", {"name": bb.String, "revenue": bb.Float})
        >>> _ = films.insert(name="Up", revenue=1.0)
        >>> done = films.upsert([{"name": "Up", "revenue": 735.1}, {"name": "Soul"}], on="name")
        >>> done.updated, done.inserted
        (1, 1)
        """
        return write_by_key(self.op(), rows, column_names(self, on), "upsert", "insert")

    def batch_update(
        self,
        rows: RowSource,
        on: ColumnLike | list[ColumnLike],
        *,
        if_not_exists: IfMissing = "error",
    ) -> UpsertResult:
        """Update many rows at once, each found by its key.

        Parameters
        ----------
        rows
            Any source that `insert` takes: the keys, and the new values of other columns.
        on
            The key column or columns.
        if_not_exists
            The policy for a key that no row has: "error", "ignore" or "insert".

        Raises
        ------
        DataError
            If a key is missing or given twice, or a value does not fit; nothing is written.

        Examples
        --------
        >>> import barbule as bb
        >>> films = bb.create_table("films", [{"name": "Up", "revenue": 1.0}])
        >>> films.batch_update([{"name": "Up", "revenue": 735.1}], on="name").updated
        1
        """
        keys = column_names(self, on)
        return write_by_key(self.op(), rows, keys, "batch update", if_not_exists)
