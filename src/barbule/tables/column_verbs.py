"""Column methods: data and computed columns, embedding indexes, and budgets of their calls.

Owns their signatures and documentation; each calls the function in `verbs.columns` that implements
it.
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
    """Methods of managed tables and views that add, change and recompute columns."""

    __slots__ = ()

    def add_columns(
        self,
        columns: SchemaLike,
        *,
        defaults: Mapping[str, Any] | None = None,
        if_exists: IfExists = "error",
    ) -> UpdateResult:
        """Add data columns.

        Parameters
        ----------
        columns
            A schema, as for `bb.create_table`.
        defaults
            Default values by column: for existing rows, and for inserts that omit the column.
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
            Whether to drop computed columns, indexes and views that use it as well; otherwise they
            prevent the drop.
        """
        column = column_name(self, name)
        return drop_column(self, column, cascade=cascade, if_not_exists=if_not_exists)

    def rename_column(self, old: ColumnLike, new: str) -> UpdateResult:
        """Rename a column; computed columns and views that use it are updated.

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
        """Change the type of a column to a wider one that keeps all values unchanged.

        Columns computed from it are recomputed and get the resulting types, in views too.

        Raises
        ------
        SchemaError
            If the type is not wider, or a view or computed column cannot take it.

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
        """Add computed columns and keep them up to date.

        Parameters
        ----------
        stored
            Whether values are stored. By default columns that call functions are stored, and all
            others are virtual: computed when they are read.
        if_exists
            "error", "ignore", or "replace" for a computed column with that name.
        on_error
            The error policy for a row for which a function fails, now and in later computations:
            "null" leaves its cell empty and records the reason, `t.column.error`; "abort" ends the
            operation. None uses the policy of the functions.
        columns
            The expression of each column, by its name; a callable receives the table.

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
        if policy is not None and not isinstance(policy, str):  # a column with that name
            columns["on_error"], policy = policy, None
        return add_computed_columns(
            self, columns, stored=stored, if_exists=if_exists, on_error=policy
        )

    def explain_column(self, **columns: Any) -> Plan:
        """Forecast the calls and cost of adding computed columns; no function or model is called.

        Parameters
        ----------
        columns
            The expression of each column, by its name, as for `add_computed_column`.

        Returns
        -------
        Plan
            It prints the stages with the number of calls that remain after filters, limits,
            duplicates and answers of the call ledger, their tokens and their cost; `calls` and
            `usd` are the totals.

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
        """Recompute stored columns, and everything downstream.

        Answers in the call ledger are reused.

        Parameters
        ----------
        columns
            Their names, or the columns themselves; all stored columns by default.
        where
            A condition that selects rows; "deferred", for cells that are empty because a budget was
            spent; or "stale", for columns that an older version of a function computed.
        errors_only
            Whether only cells that are empty because of an error are computed; for a view also the
            rows for which its iterator failed.
        """
        names = tuple(column_names(self, columns))
        return recompute(self, names, where, errors_only=errors_only)

    def stale(self) -> ResultSet:
        """List the columns that an older version of a function computed, entirely or in part.

        A function changes with its source, and with the helpers and constants that it reads;
        comments, docstrings and formatting do not count. `version=` of `@bb.udf` overrides this.
        The current function computes new rows; `recompute(where="stale")` recomputes the others.

        Returns
        -------
        ResultSet
            `column` (for an embedding index the searched one; None for the rows of a view, which
            its iterator returned), `function`, the versions that `computed` its values and differ
            from the `current` one. Functions that this process does not define are not listed.

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

        For a single column, `t.column.error` is the same for each row: a struct with the fields
        `t.column.error["type"]` and `t.column.error["message"]`.

        Returns
        -------
        Query
            The columns `row` (its row id), `column`, `type` and `message`.
        """
        return errors(self)

    def set_budget(
        self, *, usd: float | None = None, calls: int | None = None, tokens: int | None = None
    ) -> UpdateResult:
        """Limit the budget for calls of the table's computed columns from now on.

        The limit holds in all sessions and processes; spending is counted in the call ledger. When
        the budget is spent, cells are deferred as with `bb.budget`.

        Parameters
        ----------
        usd, calls, tokens
            The caps, as for `bb.budget`; without any the budget is removed.

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
        """Make a column searchable with `similarity`.

        The vectors are stored with the rows, computed once for each content, and kept up to date.
        To change the embedding function, pass the new one with the `name` of the index and
        `if_exists="replace"`: all rows are embedded again, and searches switch in one commit.

        Parameters
        ----------
        column
            The column to embed: strings, images, documents, audio, videos or vectors. A view may
            also index the columns of its base.
        embedding
            The function that embeds its values. A column of vectors needs none: it is searched
            directly.
        string_embed, image_embed
            The same for a column of strings or of images. In addition to a function for the
            column's own values: a function that embeds query strings (or images) into the same
            space, so that a string finds images.
        metric
            "cosine", "ip" (inner product) or "l2" (Euclidean distance).
        name
            The name of the index; by default column and function.
        if_exists
            If an index with that name exists: "error", "ignore" or "replace".

        Raises
        ------
        ExpressionError
            If the column or the functions do not fit.
        TableExistsError
            If an index with that name exists.
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
            The column that it searches, or its own name; one is enough if only one index matches.
        """
        searched = None if column is None else column_name(self, column)
        return drop_embedding_index(self, searched, name=name, if_not_exists=if_not_exists)
