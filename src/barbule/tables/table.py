"""The table that users hold: an Ibis table with thin verbs for what Ibis has no word for.

Owns the names and the documentation of the verbs; each hands over to the module that does it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from barbule.errors import DataError, ExpressionError
from barbule.relations import Query
from barbule.tables import history, mutations, structure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from barbule.executor.results import ResultSet
    from barbule.functions.registry import Function
    from barbule.tables.change import DeleteResult, InsertResult, UpdateResult
    from barbule.tables.history import VersionLike
    from barbule.tables.structure import IfExists
    from barbule.versions import Checkpoint, Diff

__all__ = ["Table"]


class Table(Query):
    """A managed table or view.

    It is an `ibis.Table`: everything Ibis can do with a table works on it. What it adds changes
    rows and structure, or looks at versions.
    """

    __slots__ = ()

    def insert(self, source: Any = None, /, **values: Any) -> InsertResult:
        """Insert rows; computed columns, views and indexes follow at once.

        Parameters
        ----------
        source
            A mapping or a list of mappings, pydantic objects or dataclasses; a pandas or polars
            data frame, an Arrow table, or an Ibis expression.
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
        if (source is None) == (not values):
            raise DataError(
                "insert takes rows, or the values of one row by name.",
                table=self.get_name(),
                hint='insert([{"name": "Up"}]) or insert(name="Up").',
            )
        return mutations.insert(self.op(), values if source is None else source)

    def update(self, values: Mapping[str, Any], where: Any = None) -> UpdateResult:
        """Give columns new values, in the rows for which `where` holds.

        Only computed columns downstream of what changed are computed again, for those rows.

        Parameters
        ----------
        values
            New values by column: plain values, or expressions over the table.
        where
            A condition; None for all rows.

        Examples
        --------
        >>> import barbule as bb
        >>> films = bb.create_table("films", {"name": bb.String, "revenue": bb.Float})
        >>> _ = films.insert(name="Up", revenue=735.1)
        >>> films.update({"revenue": films.revenue + 1}, where=films.name == "Up").rows
        1
        """
        return mutations.update(self, values, where)

    def delete(self, where: Any = None) -> DeleteResult:
        """Delete the rows for which `where` holds (None: all); old versions keep them."""
        return mutations.delete(self, where)

    def add_computed_column(
        self, *, stored: bool | None = None, if_exists: IfExists = "error", **columns: Any
    ) -> UpdateResult:
        """Add columns that are computed from others, and kept computed.

        Parameters
        ----------
        stored
            Whether values are kept. None keeps those of columns that call functions; the rest
            is inlined when it is read.
        if_exists
            "error", "ignore", or "replace" for a computed column of that name.
        columns
            The expression of each column, by its name; a callable gets the table.

        Examples
        --------
        >>> import barbule as bb
        >>> t = bb.create_table("films", {"revenue": bb.Float, "budget": bb.Float})
        >>> _ = t.add_computed_column(profit=t.revenue - t.budget)
        >>> _ = t.insert(revenue=800.5, budget=200.0)
        >>> t.select(t.profit).collect()[0]
        {'profit': 600.5}
        """
        return structure.add_computed_columns(self, columns, stored=stored, if_exists=if_exists)

    def add_embedding_index(
        self,
        column: str,
        *,
        embedding: Function | None = None,
        string_embed: Function | None = None,
        image_embed: Function | None = None,
        metric: str = "cosine",
        name: str | None = None,
        if_exists: IfExists = "error",
    ) -> UpdateResult:
        """Make a column searchable by `similarity`.

        The vectors are kept with the rows, computed once for each content, and follow the table.

        Parameters
        ----------
        column
            The column to embed.
        embedding, string_embed, image_embed
            The function that embeds its values and what is searched for: one of the three.
        metric
            "cosine", "ip" (inner product) or "l2" (Euclidean distance).
        name
            Of the index; by default column and function.
        """
        given = [each for each in (embedding, string_embed, image_embed) if each is not None]
        if len(given) != 1:
            raise ExpressionError(
                "an index has one embedding function.",
                table=self.get_name(),
                column=column,
                hint="Give embedding=, string_embed= or image_embed=.",
            )
        return structure.add_embedding_index(
            self, column, given[0], metric=metric, name=name, if_exists=if_exists
        )

    def at(self, version: VersionLike) -> Table:
        """Return the table as it was: read-only, with the columns it had.

        Parameters
        ----------
        version
            A number, a label or checkpoint, or a moment (`datetime`; local time without zone).
        """
        return Table(history.at(self.op(), version))

    def checkpoint(self, label: str) -> Checkpoint:
        """Give the current version a label; it can be used wherever a version is."""
        return history.checkpoint(self.op(), label)

    def diff(self, old: VersionLike, new: VersionLike) -> Diff:
        """Compare two versions, row by row and column by column.

        Examples
        --------
        >>> import barbule as bb
        >>> runs = bb.create_table("runs", {"config": bb.String, "result": bb.Float})
        >>> _ = runs.insert(config="a", result=0.78)
        >>> v1 = runs.checkpoint("baseline")
        >>> _ = runs.update({"result": 0.85}, where=runs.config == "a")
        >>> runs.diff(v1, 2)
        Diff of 'runs', version 1 to 2: 0 added, 0 removed, 1 changed
        """
        return history.difference(self.op(), old, new)

    def history(self) -> ResultSet:
        """Return the versions of the table, newest first: number, moment, operation, rows."""
        return history.history(self.op())
