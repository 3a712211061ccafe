"""The verbs that change rows: insert, update, delete, upsert.

Owns their names and documentation; each calls the function of `verbs.rows` that does it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from barbule.errors import DataError
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
    """Verbs of managed tables that change rows."""

    __slots__ = ()

    def insert(
        self,
        source: RowSource | None = None,
        /,
        *,
        on_error: OnCellError | None = None,
        **values: Any,
    ) -> InsertResult:
        """Insert rows; computed columns, views and indexes follow at once.

        Parameters
        ----------
        source
            A mapping or a list of mappings, pydantic objects or dataclasses; a pandas or polars
            data frame, an Arrow table, or an Ibis expression.
        on_error
            What a media file that is missing or unreadable does, and a function that fails in a
            computed column: "abort" ends the insert; "null" leaves the cell empty, and
            `table.column.error` and `errors()` say why. By default files end it, and functions
            do as they or their columns say. Iterators of views do as the views say.
        values
            The values of a single row, instead of `source`.

        Returns
        -------
        InsertResult
            The rows inserted, cells that stayed empty by an error, and the new version.

        Raises
        ------
        DataError
            When a value does not fit; nothing is inserted then.
        MediaError
            When a media file is missing or unreadable; nothing is inserted then.

        Examples
        --------
        >>> import barbule as bb
        >>> films = bb.create_table("films", {"name": bb.String, "revenue": bb.Float})
        >>> films.insert([{"name": "Up", "revenue": 735.1}]).rows
        1
        """
        if on_error is not None and "on_error" in self.columns and source is None:
            values["on_error"], on_error = on_error, None  # a column of that name
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
        """Give columns new values, in the rows for which `where` holds.

        Only computed columns downstream of what changed are computed again, for those rows, in
        views too. Rows that have these values already are left as they are: they are not counted,
        and where there are no others there is no new version.

        Parameters
        ----------
        values
            New values by column: plain values, or expressions over the table. Media that are
            given by path or URL count as new where their content is not what was recorded.
        where
            A condition; None for all rows.

        Raises
        ------
        DataError
            When a value does not fit, such as one with a fraction in a column of whole numbers,
            be it of an expression; or when `values` is no mapping: rows, each with its key, are for
            `batch_update` and `upsert`.
        ExpressionError
            When `where` is a function that returns None.

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
                f"update takes a mapping of columns to new values, not a {type(values).__name__}.",
                table=self.get_name(),
                hint='Write update({"n": 5}, where=table.k == 1); to update rows by key, use '
                'batch_update(rows, on="k") or upsert(rows, on="k").',
            )
        named = {column_name(self, column): value for column, value in values.items()}
        return update(self, named, where)

    def delete(self, where: Condition | None = None, *, purge: bool = False) -> DeleteResult:
        """Delete the rows for which `where` holds (None: all); old versions keep them.

        Parameters
        ----------
        where
            A condition; None for all rows.
        purge
            Removes them for good, from all versions, labels and snapshots: every state of every
            row of which `where` holds for one state, deleted before or not; what views made of
            them; the answers in the call ledger that no other row asks for; the files in the
            media store to which nothing else refers. Files and URLs that were given by
            reference are not touched. Views that are computed as a whole (joins, aggregates)
            lose their history. Answers to calls that depend on functions outside of the ledger
            are found by the row that made the call first, and not kept for others.

        Returns
        -------
        DeleteResult
            After a purge it is a `PurgeResult`: how much was removed of what, and what stayed
            because others hold it.

        Raises
        ------
        ExpressionError
            When `where` is a function that returns None.

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
        """Update the rows whose keys are there, and insert the others.

        Parameters
        ----------
        rows
            What `insert` takes; of a row that is there, only the given columns change. One that
            has these values already is left as it is, and nothing is computed for it.
        on
            The column, or columns, whose values are the key. Rows of the table in which it is
            missing are found by no key.

        Raises
        ------
        DataError
            When a key is missing or given twice, or a value does not fit; nothing is written then.

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
        """Give many rows new values at once, each found by its key.

        Parameters
        ----------
        rows
            What `insert` takes: the keys, and the new values of other columns.
        on
            The column, or columns, whose values are the key.
        if_not_exists
            What becomes of a key that no row has: "error", "ignore" or "insert".

        Raises
        ------
        DataError
            When a key is missing or given twice, or a value does not fit; nothing is written then.

        Examples
        --------
        >>> import barbule as bb
        >>> films = bb.create_table("films", [{"name": "Up", "revenue": 1.0}])
        >>> films.batch_update([{"name": "Up", "revenue": 735.1}], on="name").updated
        1
        """
        keys = column_names(self, on)
        return write_by_key(self.op(), rows, keys, "batch update", if_not_exists)
