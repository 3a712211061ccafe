"""The verbs of columns: data, computed ones, embedding indexes, and what their calls may cost.

Owns their names and documentation; each calls the function of `verbs.columns` that does it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from barbule.relations import Query
from barbule.suggestions import check_methods
from barbule.tables.compute import function_versions
from barbule.tables.transaction.names import column_name, column_names
from barbule.tables.verbs.budgets import set_budget
from barbule.tables.verbs.columns.add_columns import add_columns
from barbule.tables.verbs.columns.add_computed_columns import add_computed_columns
from barbule.tables.verbs.columns.change_type import change_type
from barbule.tables.verbs.columns.drop_column import drop_column
from barbule.tables.verbs.columns.embedding_index import add_embedding_index, drop_embedding_index
from barbule.tables.verbs.columns.recompute import errors, recompute
from barbule.tables.verbs.columns.rename_column import rename_column

if TYPE_CHECKING:
    from collections.abc import Mapping

    from barbule.executor.results.result_set import ResultSet
    from barbule.functions.function import Function
    from barbule.planner.plan import Plan
    from barbule.tables.arguments import (
        ColumnLike,
        Condition,
        DtypeLike,
        IfExists,
        IfNotExists,
        OnCellError,
        SchemaLike,
    )
    from barbule.tables.transaction.results import UpdateResult

__all__ = ["ColumnVerbs"]


@check_methods
class ColumnVerbs(Query):
    """Verbs of managed tables and views that add, change and recompute columns."""

    __slots__ = ()

    def add_columns(
        self,
        columns: SchemaLike,
        *,
        defaults: Mapping[str, Any] | None = None,
        if_exists: IfExists = "error",
    ) -> UpdateResult:
        """Add columns that take data.

        Parameters
        ----------
        columns
            A schema, as for `bb.create_table`.
        defaults
            Values by column: for the rows that are there, and where an insert leaves them out.
        if_exists
            "error" or "ignore".

        Examples
        --------
        >>> import barbule as bb
        >>> films = bb.create_table("films", {"name": bb.String})
        >>> _ = films.insert(name="Up")
        >>> _ = films.add_columns({"year": bb.Int}, defaults={"year": 2009})
        >>> films.collect()[0]
        {'name': 'Up', 'year': 2009}
        """
        return add_columns(self, columns, defaults=defaults, if_exists=if_exists)

    def drop_column(
        self, name: ColumnLike, *, cascade: bool = False, if_not_exists: IfNotExists = "error"
    ) -> UpdateResult:
        """Drop a column; old versions keep it.

        Parameters
        ----------
        name
            Its name, or the column itself: `t.drop_column(t.a)`.
        cascade
            Whether computed columns, indexes and views that need it go too; otherwise they
            forbid it.
        """
        column = column_name(self, name)
        return drop_column(self, column, cascade=cascade, if_not_exists=if_not_exists)

    def rename_column(self, old: ColumnLike, new: str) -> UpdateResult:
        """Give a column another name; computed columns and views that use it go along.

        Examples
        --------
        >>> import barbule as bb
        >>> films = bb.create_table("films", {"revenue": bb.Float, "budget": bb.Float})
        >>> _ = films.add_computed_column(profit=films.revenue - films.budget)
        >>> _ = films.rename_column("revenue", "gross")
        >>> films.columns
        ('gross', 'budget', 'profit')
        """
        return rename_column(self, column_name(self, old), new)

    def change_type(self, name: ColumnLike, dtype: DtypeLike) -> UpdateResult:
        """Give a column a wider type, one that takes all its values as they are.

        What is computed from it is computed again and gets the types that follow, in views too.

        Raises
        ------
        SchemaError
            When the type is not wider, or a view or computed column cannot take it.

        Examples
        --------
        >>> import barbule as bb
        >>> films = bb.create_table("films", {"name": bb.String, "year": "int16"})
        >>> _ = films.change_type("year", bb.Int)
        >>> str(films.year.type())
        'int64'
        """
        return change_type(self, column_name(self, name), dtype)

    def add_computed_column(
        self,
        *,
        stored: bool | None = None,
        if_exists: IfExists = "error",
        on_error: OnCellError | None = None,
        **columns: SchemaLike,
    ) -> UpdateResult:
        """Add columns that are computed from others, and kept computed.

        Parameters
        ----------
        stored
            Whether values are kept. None keeps those of columns that call functions; the rest
            is inlined when it is read.
        if_exists
            "error", "ignore", or "replace" for a computed column of that name.
        on_error
            What becomes of a row for which a function fails, now and whenever it is computed:
            "null" leaves its cell empty and keeps the reason, `t.column.error`; "abort" ends the
            operation. None leaves it to the functions.
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
        policy: Any = on_error
        if policy is not None and not isinstance(policy, str):  # a column of that name
            columns["on_error"], policy = policy, None
        return add_computed_columns(
            self, columns, stored=stored, if_exists=if_exists, on_error=policy
        )

    def explain_column(self, **columns: Any) -> Plan:
        """Say what it would take to add computed columns; no function or model is called.

        Parameters
        ----------
        columns
            The expression of each column, by its name, as for `add_computed_column`.

        Returns
        -------
        Plan
            It prints the stages, with the number of calls that are left after filters, limits,
            duplicates and answers of the call ledger, their tokens and their cost; `calls` and
            `usd` are the sums.

        Examples
        --------
        >>> import barbule as bb
        >>> @bb.udf(cache=True)
        ... def shout(text: str) -> str:
        ...     return text.upper()
        >>> words = bb.create_table("words", [{"word": "a"}, {"word": "a"}, {"word": "b"}])
        >>> print(words.explain_column(loud=shout(words.word)))
        Stage 0: v0 = shout(word) (ledger)
          2 calls: 3 rows, 2 distinct
          words
        Query:
          Project loud = v0
            stage 0
        """
        return self.op().source.explain(self.select(**columns))

    def recompute(
        self, *columns: ColumnLike, where: Condition | str | None = None, errors_only: bool = False
    ) -> UpdateResult:
        """Compute stored columns again, and what depends on them.

        Answers that are in the call ledger are taken from there.

        Parameters
        ----------
        columns
            Their names, or the columns themselves; all stored columns where none is given.
        where
            A condition that chooses rows; "deferred", for cells that are empty because a
            budget was spent; or "stale", for columns that an older version of a function
            computed.
        errors_only
            Whether only cells that are empty because of an error are computed; of a view also
            the rows for which its iterator failed.
        """
        names = tuple(column_names(self, columns))
        return recompute(self, names, where, errors_only=errors_only)

    def stale(self) -> ResultSet:
        """List the columns that an older version of a function computed, wholly or in part.

        A function changes with its source, and with the helpers and constants that it reads;
        comments, docstrings and formatting do not count. `version=` of `@bb.udf` says it
        instead. New rows are computed by the function as it is;
        `recompute(where="stale")` brings the others up to it.

        Returns
        -------
        ResultSet
            `column` (of an embedding index the one that is searched; None for the rows of a
            view, which its iterator gave), `function`, the versions that `computed` its values
            and are not the `current` one. Functions that this process does not define are not
            listed.

        Examples
        --------
        >>> import barbule as bb
        >>> words = bb.create_table("words", [{"word": "barb"}])
        >>> shout = bb.udf(lambda text: text.upper(), name="shout", return_type=bb.String)
        >>> _ = words.add_computed_column(loud=shout(words.word))
        >>> shout = bb.udf(lambda text: text.upper() + "!", name="shout", return_type=bb.String)
        >>> words.stale()["column"]
        ['loud']
        >>> words.recompute(where="stale").rows, words.collect()["loud"], len(words.stale())
        (1, ['BARB!'], 0)
        """
        return function_versions.stale_table(self.op())

    def errors(self) -> Query:
        """Return the cells that are empty because a function failed.

        For a single column `t.column.error` is the same beside each row: a struct, whose parts
        are `t.column.error["type"]` and `t.column.error["message"]`.

        Returns
        -------
        Query
            The columns `row` (its identity), `column`, `type` and `message`.
        """
        return errors(self)

    def set_budget(
        self, *, usd: float | None = None, calls: int | None = None, tokens: int | None = None
    ) -> UpdateResult:
        """Limit what calls for the computed columns of the table may take from now on.

        It holds in all sessions and processes; what is spent is counted in the call ledger. When
        it is spent, cells are deferred as with `bb.budget`.

        Parameters
        ----------
        usd, calls, tokens
            The caps, as of `bb.budget`; without any the table has no budget any more.

        Examples
        --------
        >>> import barbule as bb
        >>> films = bb.create_table("films", {"name": bb.String})
        >>> _ = films.set_budget(usd=5)
        """
        return set_budget(self.op(), usd=usd, calls=calls, tokens=tokens)

    def add_embedding_index(
        self,
        column: ColumnLike,
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
        To go over to another embedding, give it with the `name` of the index and
        `if_exists="replace"`: all rows are embedded again, and searches change in one commit.

        Parameters
        ----------
        column
            The column to embed: of texts, images, documents, sounds, videos or vectors. A view
            may index the columns of its base too.
        embedding
            The function that embeds its values. A column of vectors needs none: it is searched
            as it is.
        string_embed, image_embed
            The same for a column of texts or of images. Beside a function for the column's own
            values: what embeds texts (or images) that are searched for, into the same vectors, so
            that a text finds images.
        metric
            "cosine", "ip" (inner product) or "l2" (Euclidean distance).
        name
            Of the index; by default column and function.
        if_exists
            What becomes of an index of that name: "error", "ignore" or "replace".

        Raises
        ------
        ExpressionError
            When the column or the functions do not fit.
        TableExistsError
            When there is an index of that name.
        """
        functions_by_role = {
            "embedding": embedding,
            "string_embed": string_embed,
            "image_embed": image_embed,
        }
        functions = {
            role: function for role, function in functions_by_role.items() if function is not None
        }
        return add_embedding_index(
            self,
            column_name(self, column),
            functions,
            metric=metric,
            name=name,
            if_exists=if_exists,
        )

    def drop_embedding_index(
        self,
        column: ColumnLike | None = None,
        *,
        name: str | None = None,
        if_not_exists: IfNotExists = "error",
    ) -> UpdateResult:
        """Drop an embedding index with its vectors.

        Parameters
        ----------
        column, name
            The column that it searches, or its own name; one of them is enough where only one
            index fits.
        """
        searched = None if column is None else column_name(self, column)
        return drop_embedding_index(self, searched, name=name, if_not_exists=if_not_exists)
