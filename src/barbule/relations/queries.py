"""Queries: Ibis tables and joins with barbule's methods."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeAlias

import ibis
import ibis.expr.types as ir
from ibis.common.deferred import Deferred
from ibis.common.exceptions import ExpressionError as IbisExpressionError

from barbule import nodes
from barbule.errors import ExpressionError, TableNotFoundError
from barbule.relations.bound_values import array_constant, promoted_value, read_only
from barbule.relations.columns import as_managed_column
from barbule.relations.errors.formatted_strings import Formatted
from barbule.relations.errors.invalid_queries import both_classes, no_name, table_name
from barbule.relations.errors.python_protocols import UnassignableQuery
from barbule.relations.errors.refused_arguments import (
    check_select,
    checked_conditions,
    refuse_masks,
    refuse_plain,
)
from barbule.relations.exports import Exports, engine_of
from barbule.relations.ibis_verbs import lift, register_wrapper, run_verb, wrap
from barbule.relations.methods.statistics import summary
from barbule.relations.query_backend import sources
from barbule.relations.row_counts import counting_rows
from barbule.relations.row_limits import check_count, check_index, check_sample
from barbule.relations.sort_keys import descending, flat_keys, json_by_kind
from barbule.suggestions import check_methods

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from barbule.relations.query_backend import QueryPlan, QueryRows
    from barbule.relations.signatures import QuerySignatures
else:

    class QuerySignatures:
        """Nothing at run time: the type of a query for type checkers."""

        __slots__ = ()


__all__ = ["CachedQuery", "JoinQuery", "Query"]

Predicate: TypeAlias = (
    ir.BooleanValue | bool | Deferred | Sequence[ir.BooleanValue] | Callable[[ir.Table], ir.Value]
)
Metric: TypeAlias = ir.Value | Deferred | Sequence[ir.Value] | Callable[[ir.Table], ir.Value]
SortKey: TypeAlias = str | int | Metric
RowCount: TypeAlias = int | ir.IntegerScalar | Deferred

_READING = ".collect() returns its rows, .show() prints some."


@check_methods
class QueryVerbs(UnassignableQuery, Formatted):
    """The methods of tables and queries in addition to those of Ibis."""

    __slots__ = ()

    def __getitem__(self, key: Any) -> Any:
        check_index(key, self)
        return as_managed_column(run_verb(self, super(QueryVerbs, type(self)).__getitem__, key))  # type: ignore[misc]

    def __getattr__(self, name: str) -> Any:
        try:
            return as_managed_column(super().__getattr__(name))  # type: ignore[misc]
        except AttributeError as error:
            if name.startswith("_"):
                raise
            raise no_name(self, name) from error

    def __bool__(self) -> bool:
        """Refuse: whether there are rows is unknown before the query runs."""
        raise both_classes(ExpressionError, ValueError)(
            "a query has no truth value.",
            table=table_name(self),
            hint="Write query.count().to_pyarrow().as_py() > 0 to test whether it has rows.",
        )

    def __len__(self) -> NoReturn:
        """Refuse: the number of rows is unknown before the query runs."""
        raise both_classes(ExpressionError, IbisExpressionError)(
            "a query has no length before it is executed.",
            table=table_name(self),
            hint="Write query.count().to_pyarrow().as_py(), or len(query.collect()).",
        )

    def __iter__(self) -> NoReturn:
        """Refuse: there are no rows before the query runs."""
        raise ExpressionError(
            "a query has no rows before it is executed.",
            table=table_name(self),
            hint="Write `for row in query.collect():`; query.columns holds the names of its "
            "columns.",
        )

    def bind(self, *args: Any, **kwargs: Any) -> tuple[ir.Value, ...]:
        """Bind values to the table, computed in types that hold their results."""
        positional: list[Any] = [array_constant(value) for value in args]
        named = {name: array_constant(value) for name, value in kwargs.items()}
        if read_only(self.op(), [*positional, *named.values()]):
            values = [*positional, *(value.name(name) for name, value in named.items())]
            return tuple(map(promoted_value, values))
        if len(positional) == 1 and isinstance(positional[0], ir.Expr):
            # Ibis would try to iterate over it, and the refusal of that looks for its tables.
            positional = [positional]
        return tuple(map(promoted_value, super().bind(*positional, **named)))  # type: ignore[misc]

    def to_pandas(
        self,
        *,
        params: Mapping[ir.Scalar, Any] | None = None,
        limit: int | str | None = None,
        **options: Any,
    ) -> pd.DataFrame:
        """Execute the query and return a pandas data frame.

        Integers with missing values become pandas' `Int64`; `execute()` converts them to floats, as
        Ibis does.
        """
        to_pandas = self._find_backend(use_default=True).to_pandas
        return run_verb(self, lambda query: to_pandas(query, params=params, limit=limit, **options))

    def filter(self, *predicates: Predicate) -> Query:
        """Keep the rows for which all predicates hold.

        Parameters
        ----------
        predicates
            Conditions over the columns; a callable receives the query.
        """
        conditions = checked_conditions(predicates, self, refuse_masks)
        return run_verb(self, _ibis_class(self).filter, *conditions)

    def where(self, *predicates: Predicate) -> Query:
        """Keep the rows for which all predicates hold; an alias of `filter`.

        Raises
        ------
        ExpressionError
            If a predicate is a plain True or False (it compares no column), or a callable returns
            None.
        """
        return self.filter(*checked_conditions(predicates, self, refuse_plain))

    def aggregate(
        self,
        metrics: Metric | dict[str, ir.Value] = (),
        /,
        *,
        by: SortKey | Sequence[str] = (),
        having: Predicate = (),
        **named: Metric,
    ) -> Query:
        """Compute aggregates over all rows, or over each group.

        `t.count()` counts the rows of the query, also if the query is derived from `t` by filters
        and similar methods, as `t.n.sum()` sums those of the query. Use `t.count().as_scalar()` for
        all rows of `t`.

        Parameters
        ----------
        metrics
            Aggregates; those in `named` get new names.
        by
            The grouping keys: columns, or expressions.
        having
            Conditions on groups.
        named
            Aggregates by the names of their columns.

        Examples
        --------
        >>> import barbule as bb
        >>> films = bb.create_table("films", [{"name": "Up", "year": 2009}])
        >>> recent = films.where(films.year > 2000)
        >>> recent.agg(n=films.count(), last=films.year.max()).collect()[0]
        {'n': 1, 'last': 2009}
        """
        having = counting_rows(self, checked_conditions((having,), self, refuse_masks)[0])
        return run_verb(self, _ibis_class(self).aggregate, metrics, by=by, having=having, **named)

    agg = aggregate

    def order_by(self, *by: SortKey | Sequence[SortKey], asc: bool = True) -> Query:
        """Sort the rows by one or more keys.

        Parameters
        ----------
        by
            Column names or expressions; `ibis.desc(...)` marks a single key as descending.
        asc
            False sorts all keys in descending order, missing values last.
        """
        keys = by if asc else tuple(descending(key) for keys in by for key in flat_keys(keys))
        return wrap(json_by_kind(run_verb(self, _ibis_class(self).order_by, *keys)))

    def limit(self, n: RowCount | None, /, *, offset: RowCount = 0) -> Query:
        """Keep the first rows.

        Parameters
        ----------
        n
            The number of rows; None for all.
        offset
            The number of rows to skip first.

        Raises
        ------
        ExpressionError
            If it is not an integer of zero or more.
        """
        count = check_count(n, "limit()", self, unlimited=True)
        first_row = check_count(offset, "offset=", self)
        return run_verb(self, _ibis_class(self).limit, count, offset=first_row)

    def head(self, n: RowCount = 5, /) -> Query:
        """Keep the first `n` rows.

        Raises
        ------
        ExpressionError
            If it is not an integer of zero or more.
        """
        return run_verb(self, _ibis_class(self).head, check_count(n, "head()", self))

    def sample(self, fraction: float, /, *, method: str = "row", seed: int | None = None) -> Query:
        """Keep about a fraction of the rows, chosen at random.

        Parameters
        ----------
        fraction
            A fraction between 0 and 1.
        method
            "row" samples single rows; "block" samples blocks of rows, which is faster.
        seed
            The same seed selects the same rows.

        Raises
        ------
        ExpressionError
            If an argument is invalid.
        """
        check_sample(fraction, method, seed, self)
        return run_verb(self, _ibis_class(self).sample, fraction, method=method, seed=seed)

    def sql(self, query: str, /, *, dialect: str | None = None) -> Query:
        """Run SQL over the table, referred to by `get_name()` or `alias(...)`.

        Parameters
        ----------
        query
            A SELECT statement.
        dialect
            The dialect of the statement; by default that of the backend.

        Raises
        ------
        ExpressionError
            If it is anything but one SELECT; use the methods of tables to change data.
        """
        op = self.op()
        check_select(query, dialect or self._find_backend().dialect)
        named = self.alias(op.name) if isinstance(op, nodes.ManagedTable) else self
        return run_verb(named, ir.Table.sql, query, dialect=dialect)

    def cache(self) -> CachedQuery:
        """Execute the rows once, now, and return a query over them; they are kept in memory.

        Examples
        --------
        >>> import barbule as bb
        >>> films = bb.create_table("films", [{"name": "Up"}])
        >>> with films.cache() as held:
        ...     _ = films.delete()
        ...     held.collect()["name"]
        ['Up']
        """
        return CachedQuery(engine_of(self).hold(self))

    def _find_backends(self) -> tuple[list[Any], bool]:
        backends, unbound = sources(self.op())
        if len(backends) > 1:
            raise ExpressionError(
                "this query reads tables of more than one database.",
                hint="Insert the rows of the other database into a table of this one: "
                "bb.create_table(name, schema).insert(expression).",
            )
        return backends, unbound

    def collect(self, *, params: Mapping[Any, Any] | None = None) -> QueryRows:
        """Run the query and return its rows as a `ResultSet`.

        Parameters
        ----------
        params
            The values of parameters (`ibis.param`) in the query.
        """
        return engine_of(self).collect(self, params)

    def show(self, n: int = 10) -> None:
        """Print the first `n` rows as a table that fits the terminal, including cell errors.

        Parameters
        ----------
        n
            The number of rows; functions in the query are called for them.
        """
        engine_of(self).display.show(self, check_count(n, "show()", self))

    def __repr__(self) -> str:
        # Ibis' interactive mode runs what it shows; this must not call models that cost money.
        if ibis.options.interactive and not self.op().find(nodes.CALLING_NODES):
            return super().__repr__()
        try:
            subject = "query has not been executed" if table_name(self) is None else "is a table"
            return f"{self._noninteractive_repr()}\n\nThis {subject}: {_READING}"
        except TableNotFoundError as error:  # a debugger or a failing test shows this, too
            return f"{type(self).__name__}: {error}"

    def _repr_mimebundle_(self, *_: Any, **__: Any) -> dict[str, str]:
        bundle = {"text/plain": repr(self)}
        try:
            bundle["text/html"] = engine_of(self).display.html(self)
        except Exception:  # noqa: BLE001 - a notebook shows the text then
            return bundle
        return bundle

    def _repr_html_(self) -> str:
        """Render the first rows, for callers that request only HTML."""
        return engine_of(self).display.html(self)

    def describe(self, quantile: Sequence[float] = (0.25, 0.5, 0.75)) -> Query:
        """Compute statistics of each column, as `ibis.Table.describe`; also of media and nested.

        Parameters
        ----------
        quantile
            The quantiles of numbers.

        Examples
        --------
        >>> import barbule as bb
        >>> films = bb.create_table("films", {"name": bb.String, "poster": bb.Image})
        >>> _ = films.insert(name="Up")
        >>> films.select("name", "poster").describe().order_by("pos").collect()["nulls"]
        [0, 1]
        """
        return wrap(summary(self, quantile))

    def explain(self) -> QueryPlan:
        """Return how the query would run, stage by stage; no function or model is called."""
        return engine_of(self).explain(self)


def _ibis_class(query: ir.Table) -> type[ir.Table]:
    """Return Ibis' own class, with the original methods."""
    return ir.Join if isinstance(query, ir.Join) else ir.Table


@lift(ir.Table)
class Query(QuerySignatures, QueryVerbs, Exports, ir.Table):
    """A query over managed tables: an Ibis table with barbule's methods."""

    __slots__ = ()


class CachedQuery(Query):
    """A query over rows that are kept in memory as long as the query exists."""

    __slots__ = ()

    def release(self) -> None:
        """Do nothing: the rows are freed when nothing refers to them any more."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


@lift(ir.Join)
class JoinQuery(QuerySignatures, QueryVerbs, Exports, ir.Join):
    """A join under construction, with barbule's methods."""

    __slots__ = ()


register_wrapper(ir.Table, lambda table: Query(table.op()))
register_wrapper(ir.Join, lambda join: JoinQuery(join.op(), join._collisions, join._equalities))
