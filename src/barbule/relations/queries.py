"""The classes of queries: Ibis tables, joins and groups with barbule's verbs."""

from __future__ import annotations

import functools
import inspect
import sys
from typing import TYPE_CHECKING, Any, NoReturn, Self

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import ibis.expr.types as ir
from ibis.common.exceptions import ExpressionError as IbisExpressionError
from ibis.common.exceptions import IntegrityError
from ibis.expr.types.groupby import GroupedTable

from barbule import nodes
from barbule.errors import ExpressionError, TableNotFoundError
from barbule.relations.columns import extended
from barbule.relations.errors.formatted_strings import Formatted
from barbule.relations.errors.invalid_queries import (
    REFUSALS,
    both_classes,
    check_select,
    explained,
    no_group_verb,
    no_name,
    refuse_masks,
    refuse_methods,
    refuse_plain,
    table_name,
)
from barbule.relations.errors.value_use import checked
from barbule.relations.exports import Exports, engine_of
from barbule.relations.methods.statistics import summary
from barbule.relations.promotion import as_duration, promoted
from barbule.relations.query_backend import sources
from barbule.relations.row_counts import counting_rows, recounted
from barbule.relations.row_limits import check_count, check_index, check_sample
from barbule.suggestions import check_arguments, check_methods

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

__all__ = ["CachedQuery", "GroupedQuery", "JoinQuery", "Query", "wrap"]


_NOT_RUN = "This is a query that has not run: .collect() returns its rows, .show() prints some."


def wrap(result: Any) -> Any:
    """Bring what an Ibis verb returned into the classes of this module."""
    if type(result) is ir.Table:
        return Query(result.op())
    if type(result) is ir.Join:
        return JoinQuery(result.op(), result._collisions, result._equalities)
    if type(result) is GroupedTable:
        return GroupedQuery(*result.__args__)
    return checked(result)


def _told(query: Any, verb: Any, *args: Any, **kwargs: Any) -> Any:
    """Run a verb of Ibis, and say in our words what it refuses."""
    refuse_methods((*args, *kwargs.values()), query)
    try:
        return wrap(verb(query, *args, **kwargs))
    except REFUSALS as error:
        table = query.table.to_expr() if isinstance(query, GroupedTable) else query
        if isinstance(error, IntegrityError) and (changed := recounted(table, args, kwargs)):
            return _told(query, verb, *changed[0], **changed[1])
        refused = explained(error, table, (*args, *kwargs.values()))
        if refused is error:
            raise
        raise refused from error


# Structural methods that Ibis itself relies on; what they return must stay as it is.
_UNLIFTED = {"op", "get_name", "equals", "bind", "schema", "compile", "visualize"}


def _lift(base: type) -> Any:
    """Return a class decorator that wraps what each public method of `base` returns."""

    def decorate(cls: type) -> type:
        own = {name for klass in cls.__mro__ if klass not in base.__mro__ for name in vars(klass)}
        for klass in reversed(base.__mro__[:-1]):
            for name, function in vars(klass).items():
                if name in own or name in _UNLIFTED or not inspect.isfunction(function):
                    continue
                if name.startswith("_"):
                    continue
                setattr(cls, name, _lifted(check_arguments(getattr(base, name))))
        return cls

    return decorate


_JOINS = {
    *(f"{how}_join" for how in ("inner", "left", "right", "outer", "semi", "anti")),
    *("join", "any_inner_join", "any_left_join"),
}


def _lifted(function: Any) -> Any:
    if function.__name__ in _JOINS:
        return _lifted_join(function)

    @functools.wraps(function)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return _told(self, function, *args, **kwargs)

    return method


def _lifted_join(function: Any) -> Any:
    @functools.wraps(function)
    def join(
        self: Any, right: Any, predicates: Any = None, *args: Any, on: Any = None, **kwargs: Any
    ) -> Any:
        """Join as Ibis does; the columns that both have may be given as `on` too."""
        if on is not None and predicates is not None:
            raise ExpressionError(
                "a join takes predicates or on=, which are the same.", hint="Give one of them."
            )
        wanted = on if predicates is None else predicates
        given = () if wanted is None else _flat(wanted)
        return _told(self, function, right, tuple(map(_key, given)), *args, **kwargs)

    return join


def _key(given: Any) -> Any:
    """Return the predicate of a join: a column that is no condition stands for its name."""
    if isinstance(given, ir.Column) and not given.type().is_boolean():
        return given.get_name()
    return given


@check_methods
class _Verbs(Formatted):
    """The verbs that tables and queries have beside those of Ibis."""

    __slots__ = ()

    def __getitem__(self, what: Any) -> Any:
        check_index(what, self)
        return extended(_told(self, super(_Verbs, type(self)).__getitem__, what))  # type: ignore[misc]

    def __getattr__(self, name: str) -> Any:
        try:
            return extended(super().__getattr__(name))  # type: ignore[misc]
        except AttributeError as error:
            if name.startswith("_"):
                raise
            raise no_name(self, name) from error

    def __bool__(self) -> bool:
        """Refuse: whether there are rows is not known before the query runs."""
        raise both_classes(ExpressionError, ValueError)(
            "a query is neither true nor false before it runs.",
            table=table_name(self),
            hint="Write query.count().to_pyarrow().as_py() > 0 for whether it has rows.",
        )

    def __len__(self) -> NoReturn:
        """Refuse: how many rows there are is not known before the query runs."""
        raise both_classes(ExpressionError, IbisExpressionError)(
            "a query has no length before it runs.",
            table=table_name(self),
            hint="Write query.count().to_pyarrow().as_py(), or len(query.collect()).",
        )

    def __iter__(self) -> NoReturn:
        """Refuse: rows are there when the query has run."""
        raise ExpressionError(
            "a query has no rows before it runs.",
            table=table_name(self),
            hint="Write `for row in query.collect():`; query.columns are the names of its columns.",
        )

    def bind(self, *args: Any, **kwargs: Any) -> tuple[ir.Value, ...]:
        """Bind values to the table, computed in types that hold their results."""
        plain = map(_constant, args)
        named = {name: _constant(value) for name, value in kwargs.items()}
        return tuple(map(_promoted, super().bind(*plain, **named)))  # type: ignore[misc]

    def to_pandas(
        self,
        *,
        params: Mapping[ir.Scalar, Any] | None = None,
        limit: int | str | None = None,
        **options: Any,
    ) -> pd.DataFrame:
        """Compute the rows and return them as a pandas data frame.

        Whole numbers of which some are missing are pandas' `Int64`; `execute()` makes floats of
        them, as Ibis does.
        """
        run = self._find_backend(use_default=True).to_pandas
        return _told(self, lambda each: run(each, params=params, limit=limit, **options))

    def filter(self, *predicates: Any) -> Any:
        """Keep the rows for which all predicates hold.

        Parameters
        ----------
        predicates
            Conditions over the columns; a callable gets the query.
        """
        for predicate in predicates:
            refuse_masks(predicate, self)
        return _told(self, _base(self).filter, *predicates)

    def where(self, *predicates: Any) -> Any:
        """Keep the rows for which all predicates hold; another name of `filter`.

        Raises
        ------
        ExpressionError
            When a predicate is a plain True or False: something was compared that is no column.
        """
        for predicate in predicates:
            refuse_plain(predicate, self)
        return self.filter(*predicates)

    def aggregate(
        self, metrics: Any = (), /, *, by: Any = (), having: Any = (), **named: Any
    ) -> Any:
        """Compute aggregates over all rows, or over each group.

        `t.count()` counts the rows of the query, also where that is made of `t` by filters and the
        like, as `t.n.sum()` sums those of the query. All rows of `t` are `t.count().as_scalar()`.

        Parameters
        ----------
        metrics
            Aggregates; `named` ones have another name.
        by
            What rows of one group have in common: columns, or expressions.
        having
            Conditions that groups have to fulfil.
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
        kept = counting_rows(self, having)
        return _told(self, _base(self).aggregate, metrics, by=by, having=kept, **named)

    agg = aggregate

    def order_by(self, *by: Any, asc: bool = True) -> Any:
        """Sort the rows by one or more keys.

        Parameters
        ----------
        by
            Column names or expressions; `ibis.desc(...)` marks a single key as descending.
        asc
            False sorts all keys from large to small, missing values last.
        """
        keys = by if asc else tuple(_descending(key) for each in by for key in _flat(each))
        return wrap(_by_kind(_told(self, _base(self).order_by, *keys)))

    def limit(self, n: Any, /, *, offset: Any = 0) -> Any:
        """Keep the first rows.

        Parameters
        ----------
        n
            How many; None for all.
        offset
            How many rows to pass over before.

        Raises
        ------
        ExpressionError
            When it is no whole number that is zero or more.
        """
        count = check_count(n, "limit()", self, unlimited=True)
        before = check_count(offset, "offset=", self)
        return _told(self, _base(self).limit, count, offset=before)

    def head(self, n: Any = 5, /) -> Any:
        """Keep the first `n` rows.

        Raises
        ------
        ExpressionError
            When it is no whole number that is zero or more.
        """
        return _told(self, _base(self).head, check_count(n, "head()", self))

    def sample(self, fraction: Any, /, *, method: str = "row", seed: int | None = None) -> Any:
        """Keep about a fraction of the rows, chosen at random.

        Parameters
        ----------
        fraction
            Between 0 and 1.
        method
            "row" chooses row by row; "block" stretches of rows, which is faster.
        seed
            With the same one the same rows are chosen.

        Raises
        ------
        ExpressionError
            When it is none.
        """
        check_sample(fraction, method, seed, self)
        return _told(self, _base(self).sample, fraction, method=method, seed=seed)

    def sql(self, query: str, /, *, dialect: str | None = None) -> Any:
        """Run SQL over the table, which it names as `get_name()` or `alias(...)` does.

        Parameters
        ----------
        query
            A SELECT statement.
        dialect
            The dialect it is written in; that of the backend by default.

        Raises
        ------
        ExpressionError
            When it is anything but one SELECT: tables are changed by their verbs.
        """
        op = self.op()
        check_select(query, dialect or self._find_backend().dialect)
        named = self.alias(op.name) if isinstance(op, nodes.ManagedTable) else self
        return _told(named, ir.Table.sql, query, dialect=dialect)

    def cache(self) -> CachedQuery:
        """Compute the rows now, once, and return a query over them; they are kept in memory.

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
        found, unbound = sources(self.op())
        if len(found) > 1:
            raise ExpressionError(
                "this query reads tables of more than one database.",
                hint="Insert the rows of the other one into a table here: "
                "bb.create_table(name, schema).insert(expression).",
            )
        return found, unbound

    def collect(self, *, params: Mapping[Any, Any] | None = None) -> Any:
        """Run the query and return its rows as a `ResultSet`.

        Parameters
        ----------
        params
            The values of parameters (`ibis.param`) in the query.
        """
        return engine_of(self).collect(self, params)

    def show(self, n: int = 10) -> None:
        """Print the first `n` rows as a table that fits the terminal, with why cells are empty.

        Parameters
        ----------
        n
            How many rows; functions in the query are called for them.
        """
        engine_of(self).show(self, check_count(n, "show()", self))

    def __repr__(self) -> str:
        # Ibis' interactive mode runs what it shows; a model that costs money is not asked so.
        if ibis.options.interactive and not self.op().find(nodes.ASKING):
            return super().__repr__()
        try:
            return f"{self._noninteractive_repr()}\n\n{_NOT_RUN}"
        except TableNotFoundError as error:  # a debugger or a failing test shows this, too
            return f"{type(self).__name__}: {error}"

    def _repr_mimebundle_(self, *_: Any, **__: Any) -> dict[str, str]:
        shown = {"text/plain": repr(self)}
        try:
            shown["text/html"] = engine_of(self).html(self)
        except Exception:  # noqa: BLE001 - a notebook shows the text then
            return shown
        return shown

    def _repr_html_(self) -> str:
        """Draw the first rows, for what asks for HTML alone."""
        return engine_of(self).html(self)

    def describe(self, quantile: Sequence[float] = (0.25, 0.5, 0.75)) -> Any:
        """Compute statistics of each column, as `ibis.Table.describe`; of media and nested too.

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

    def explain(self) -> Any:
        """Say how the query would run, stage by stage; no function or model is called."""
        return engine_of(self).explain(self)


def _base(query: Any) -> Any:
    """Return Ibis' own class, which has the verbs as they are."""
    return ir.Join if isinstance(query, ir.Join) else ir.Table


def _promoted(value: ir.Value) -> ir.Value:
    """Promote the numbers of a value; a column that is made of it keeps its name."""
    given = value.op()
    changed = as_duration(promoted(given))
    if changed is given:
        return value
    return changed.to_expr() if changed.name == given.name else changed.to_expr().name(given.name)


def _constant(value: Any) -> Any:
    """Make a constant of an array of NumPy that Ibis cannot read: a matrix, or truths."""
    numpy = sys.modules.get("numpy")
    if numpy is None or not isinstance(value, numpy.ndarray):
        return value
    if value.ndim == 1 and value.dtype != bool:
        return value
    kind = dt.dtype(value.dtype) if value.dtype.kind in "biuf" else None
    for _ in range(value.ndim):
        kind = kind and dt.Array(kind)
    return ibis.literal(value.tolist(), kind)


def _flat(key: Any) -> tuple[Any, ...]:
    return tuple(key) if isinstance(key, list | tuple) else (key,)


def _descending(key: Any) -> Any:
    return ibis.desc(key, nulls_first=False)


def _by_kind(ordered: ir.Table) -> ir.Table:
    """Order by Json as what its values are: numbers first, then texts, then all else."""
    sort = ordered.op()
    if not isinstance(sort, ops.Sort) or not any(key.dtype.is_json() for key in sort.keys):
        return ordered
    keys: list[ops.SortKey] = []
    for key in sort.keys:
        if not isinstance(key.dtype, dt.JSON):
            keys.append(key)
            continue
        parts = ops.UnwrapJSONFloat64(key.arg), ops.UnwrapJSONString(key.arg)
        keys += [key.copy(arg=part) for part in (*parts, ops.Cast(key.arg, dt.string))]
    return sort.copy(keys=tuple(keys)).to_expr()


@_lift(ir.Table)
class Query(_Verbs, Exports, ir.Table):
    """A query over managed tables: an Ibis table with barbule's verbs."""

    __slots__ = ()


class CachedQuery(Query):
    """A query over rows that are kept in memory for as long as it is."""

    __slots__ = ()

    def release(self) -> None:
        """Do nothing: the rows go when nothing refers to them any more."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


@_lift(ir.Join)
class JoinQuery(_Verbs, Exports, ir.Join):
    """A join that is still being put together, with barbule's verbs."""

    __slots__ = ()


class GroupedQuery(GroupedTable):
    """A grouped query whose results keep barbule's verbs."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name in self.table.schema.names:
            return super().__getattr__(name)
        raise no_group_verb(self, name)

    def aggregate(self, *metrics: Any, **named: Any) -> Any:
        """Compute aggregates over each group."""
        return _told(self, GroupedTable.aggregate, *metrics, **named)

    agg = aggregate

    def having(self, *predicates: Any) -> Any:
        """Keep the groups for which all predicates hold."""
        table = self.table.to_expr()
        return _told(self, GroupedTable.having, *counting_rows(table, predicates))

    def order_by(self, *by: Any) -> Any:
        """Sort the rows of each group."""
        return _told(self, GroupedTable.order_by, *by)

    def mutate(self, *args: Any, **kwargs: Any) -> Any:
        """Add columns computed over each group's window."""
        return _told(self, GroupedTable.mutate, *args, **kwargs)

    def select(self, *args: Any, **kwargs: Any) -> Any:
        """Select columns computed over each group's window."""
        return _told(self, GroupedTable.select, *args, **kwargs)

    def count(self) -> Any:
        """Count the rows of each group."""
        return _told(self, GroupedTable.count)

    size = count
