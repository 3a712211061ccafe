"""The table that users hold: an Ibis table with thin verbs for what Ibis has no word for.

Owns the names and the documentation of the verbs; each hands over to the module that does it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from barbule.errors import DataError
from barbule.relations import Query
from barbule.suggestions import check_methods, did_you_mean
from barbule.tables.compute import function_versions
from barbule.tables.definitions.description import describe
from barbule.tables.definitions.table_definition import columns_info, definition
from barbule.tables.transaction.names import column_name, column_names
from barbule.tables.verbs import (
    alter,
    branches,
    budgets,
    embedding_index,
    history,
    mutations,
    recompute,
    upsert,
)
from barbule.tables.verbs.purge import purge as purge_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    import ibis.expr.types as ir

    from barbule.executor.results.result_set import ResultSet
    from barbule.functions.registry import Function
    from barbule.planner.plan import Plan
    from barbule.tables.definitions.description import Description
    from barbule.tables.definitions.table_definition import ColumnDefinition
    from barbule.tables.transaction.names import IfExists, IfNotExists
    from barbule.tables.transaction.transaction import DeleteResult, InsertResult, UpdateResult
    from barbule.tables.verbs.history import VersionLike
    from barbule.tables.verbs.upsert import IfMissing, UpsertResult
    from barbule.versions import Checkpoint, Diff

    ColumnLike: TypeAlias = str | ir.Column

__all__ = ["Table"]


@check_methods
class Table(Query):
    """A managed table or view.

    It is an `ibis.Table`: everything Ibis can do with a table works on it. What it adds changes
    rows and structure, or looks at versions.
    """

    __slots__ = ()

    def insert(
        self,
        source: Any = None,
        /,
        *,
        on_error: Literal["abort", "null"] | None = None,
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
                f"insert takes rows, or the values of one row by name, and not both: {wrong!r} "
                "stands beside rows.",
                table=self.get_name(),
                hint=did_you_mean(wrong, ["on_error"]) or 'insert([{"name": "Up"}]).',
            )
        if source is None and not values:
            raise DataError(
                "insert takes rows, or the values of one row by name.",
                table=self.get_name(),
                hint='insert([{"name": "Up"}]) or insert(name="Up").',
            )
        rows = values if source is None else source
        return mutations.insert(self.op(), rows, on_error or "abort")

    def update(self, values: Mapping[str, Any], where: Any = None) -> UpdateResult:
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
                f"update takes new values by column, and not a {type(values).__name__}.",
                table=self.get_name(),
                hint='Write update({"n": 5}, where=table.k == 1); for rows that are found by their '
                'key, batch_update(rows, on="k") or upsert(rows, on="k").',
            )
        named = {column_name(self, column): value for column, value in values.items()}
        return mutations.update(self, named, where)

    def delete(self, where: Any = None, *, purge: bool = False) -> DeleteResult:
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
            lose their history. Answers to questions that depend on functions outside of the
            ledger are found by the row for which they were asked first, and not kept for others.

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
        return purge_rows(self, where) if purge else mutations.delete(self, where)

    def upsert(self, rows: Any, on: ColumnLike | list[ColumnLike]) -> UpsertResult:
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
        return upsert.write_by_key(self.op(), rows, column_names(self, on), "upsert", "insert")

    def batch_update(
        self, rows: Any, on: ColumnLike | list[ColumnLike], *, if_not_exists: IfMissing = "error"
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
        return upsert.write_by_key(self.op(), rows, keys, "batch update", if_not_exists)

    def add_columns(
        self,
        columns: Any,
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
        return alter.add_columns(self, columns, defaults=defaults, if_exists=if_exists)

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
        return alter.drop_column(self, column, cascade=cascade, if_not_exists=if_not_exists)

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
        return alter.rename_column(self, column_name(self, old), new)

    def change_type(self, name: ColumnLike, dtype: Any) -> UpdateResult:
        """Give a column a wider type, one that takes all its values as they are.

        What is computed from it is computed anew and gets the types that follow, in views too.

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
        return alter.change_type(self, column_name(self, name), dtype)

    def recompute(
        self, *columns: ColumnLike, where: Any = None, errors_only: bool = False
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
        return recompute.recompute(self, names, where, errors_only=errors_only)

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
        return function_versions.stale(self.op())

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
        return budgets.set_budget(self.op(), usd=usd, calls=calls, tokens=tokens)

    def errors(self) -> Query:
        """Return the cells that are empty because a function failed.

        For a single column `t.column.error` is the same beside each row: a struct, whose parts
        are `t.column.error["type"]` and `t.column.error["message"]`.

        Returns
        -------
        Query
            The columns `row` (its identity), `column`, `type` and `message`.
        """
        return recompute.errors(self)

    def add_computed_column(
        self,
        *,
        stored: bool | None = None,
        if_exists: IfExists = "error",
        on_error: Literal["abort", "null"] | None = None,
        **columns: Any,
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
        return alter.add_computed_columns(
            self, columns, stored=stored, if_exists=if_exists, on_error=policy
        )

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
        `if_exists="replace"`: all rows are embedded anew, and searches change at one moment.

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
        given = {"embedding": embedding, "string_embed": string_embed, "image_embed": image_embed}
        functions = {role: each for role, each in given.items() if each is not None}
        return embedding_index.add_embedding_index(
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
        return embedding_index.drop_embedding_index(
            self, searched, name=name, if_not_exists=if_not_exists
        )

    def at(self, version: VersionLike) -> Table:
        """Return the table as it was: read-only, with the columns it had.

        Parameters
        ----------
        version
            A number, a label or checkpoint, or a moment (`datetime`; local time without zone).
        """
        return Table(history.at(self.op(), version))

    def checkpoint(self, label: str, *, if_exists: IfExists = "error") -> Checkpoint:
        """Give the current version a label; it can be used wherever a version is.

        Parameters
        ----------
        label
            A text. The current version may have several.
        if_exists
            When the label stands for another version: "error", "ignore" (return the version
            that has it) or "replace" (move it to the current version).

        Raises
        ------
        TableExistsError
            When the label stands for another version.

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
        """Take a label away; the version stays, and `compact` may drop it then.

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

        Printed, or in a notebook, it shows the first rows that were added, removed and changed;
        of those that changed the columns that did, as old → new.

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
        return history.difference(self.op(), old, new)

    def describe(self, quantile: Sequence[float] = (0.25, 0.5, 0.75)) -> Description:
        """Say how the table is made: printed, its definition; as a query, its statistics.

        It shows each column with its type and, where it is computed, its expression as it was
        written with the versions of its functions; what a view is made of; the indexes with
        their parameters; and what is made of the table. In a notebook it is a table.

        Parameters
        ----------
        quantile
            The quantiles of numbers among the statistics, which are those of
            `ibis.Table.describe`.

        Examples
        --------
        >>> import barbule as bb
        >>> films = bb.create_table("films", {"revenue": bb.Float, "budget": bb.Float})
        >>> _ = films.add_computed_column(profit=films.revenue - films.budget)
        >>> films.describe()
        films: table of 0 rows
          revenue  float64
          budget   float64
          profit   float64  = films.revenue - films.budget
        >>> films.describe().order_by("pos").collect()["count"]
        [0, 0, 0]
        """
        return describe(self, quantile)

    def definition(self, column: str) -> ColumnDefinition:
        """Say how a column is made, in the words in which it was written.

        Returns
        -------
        ColumnDefinition
            A text, the expression, that also knows the `kind` of the column, the versions of its
            `functions`, what it `uses`, and what it is `needed_by`.

        Examples
        --------
        >>> import barbule as bb
        >>> films = bb.create_table("films", {"revenue": bb.Float, "budget": bb.Float})
        >>> _ = films.add_computed_column(profit=films.revenue - films.budget)
        >>> print(films.definition("profit"))
        films.revenue - films.budget
        >>> films.definition("budget").needed_by
        ('films.profit',)
        """
        return definition(self.op(), column)

    @property
    def columns_info(self) -> ResultSet:
        """How all columns are made, a row for each.

        Its columns are `name`, `type`, `kind`, `definition`, `functions` (with their versions),
        `uses`, `needed_by`, `indexes` and `default`; see `definition`.

        Examples
        --------
        >>> import barbule as bb
        >>> films = bb.create_table("films", {"revenue": bb.Float, "budget": bb.Float})
        >>> _ = films.add_computed_column(profit=films.revenue - films.budget)
        >>> films.columns_info["definition"]
        [None, None, 'films.revenue - films.budget']
        """
        return columns_info(self.op())

    def history(self) -> ResultSet:
        """Return the versions of the table, newest first.

        Its columns are `version`, `at`, `operation`, `rows` (written or removed), `by` (user and
        process), `seconds` (how long it took) and `labels`.
        """
        return history.history(self.op())

    def revert(self, to: VersionLike | None = None) -> UpdateResult:
        """Make a new version that is like an old one, in rows and columns; views follow.

        Nothing is lost: the versions between stay, and can be reverted to.

        Parameters
        ----------
        to
            A version, as for `at`; by default the one before what the table shows, so that each
            call goes one version further back.

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
        return branches.revert(self.op(), to)

    def branch(self, name: str, *, if_exists: IfExists = "error") -> Table:
        """Make a table that starts as this one is, and goes its own way.

        Rows are shared until they are changed, answers of functions are in the same ledger.

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
        return Table(engine.leaf(branches.branch(self.op(), name, if_exists)))

    def compact(self, before: VersionLike | None = None) -> int:
        """Drop the history of the table and its views; what labels and snapshots hold stays.

        Parameters
        ----------
        before
            The oldest version that is kept, as for `at`; the current one by default.

        Returns
        -------
        int
            How many states of rows were dropped.
        """
        return branches.compact(self.op(), before)
