"""Ibis tables that keep barbule's verbs through every Ibis verb.

Owns the classes that results of `filter`, `join`, `group_by` … become, and the methods that
columns of managed tables have beside those of their type. How a query runs is known to the
source of its leaves alone.
"""

from __future__ import annotations

import difflib
import functools
import inspect
from typing import Any

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir
from ibis.common.exceptions import IbisError
from ibis.expr.types.groupby import GroupedTable

from barbule import nodes
from barbule.errors import ColumnNotFoundError, ExpressionError

__all__ = ["GroupedQuery", "JoinQuery", "Query", "wrap"]


class ColumnExtras:
    """What columns can do beside the methods of their type."""

    __slots__ = ()

    def similarity(self, query: Any, *, index: str | None = None) -> ir.FloatingValue:
        """Say how similar each value is to `query`, by the embedding index of the column.

        Parameters
        ----------
        query
            A text, an image (PIL image, path or URL), a vector, or a column of these.
        index
            The name of the index, where the column has more than one.

        Returns
        -------
        ibis.expr.types.FloatingValue
            Larger is nearer; the cosine for the metric "cosine", the inner product for "ip",
            the negative distance for "l2".
        """
        return nodes.Similarity(self, nodes.query_value(query, self), index).to_expr()

    @property
    def error(self) -> ir.StructColumn:
        """Why cells of a computed column are empty: the `type` and `message` of each error.

        It is empty where the function gave a value, or was not asked because its own input is
        missing. A field named "error" of a struct is meant where there is one.
        """
        kind = self.type()
        if isinstance(kind, dt.Struct) and "error" in kind.names:
            return self["error"]
        return nodes.CellError(self).to_expr()


@functools.cache
def _column_class(base: Any) -> type[ir.Column]:
    return type(base.__name__, (ColumnExtras, base), {"__slots__": (), "__doc__": base.__doc__})


def wrap(result: Any) -> Any:
    """Bring what an Ibis verb returned into the classes of this module."""
    if type(result) is ir.Table:
        return Query(result.op())
    if type(result) is ir.Join:
        return JoinQuery(result.op(), result._collisions, result._equalities)
    if type(result) is GroupedTable:
        return GroupedQuery(*result.__args__)
    return result


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
                setattr(cls, name, _lifted(getattr(base, name)))
        return cls

    return decorate


def _lifted(function: Any) -> Any:
    @functools.wraps(function)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return wrap(function(self, *args, **kwargs))

    return method


class _Verbs:
    """The verbs that tables and queries have beside those of Ibis."""

    __slots__ = ()

    def __getitem__(self, what: Any) -> Any:
        result = super().__getitem__(what)  # type: ignore[misc]
        return _extended(result) if isinstance(result, ir.Column) else wrap(result)

    def __getattr__(self, name: str) -> Any:
        try:
            return _extended(super().__getattr__(name))  # type: ignore[misc]
        except AttributeError as error:
            if name.startswith("_"):
                raise
            raise _no_column(self, name) from error

    def where(self, *predicates: Any) -> Any:
        """Keep the rows for which all predicates hold; another name of `filter`."""
        return self.filter(*predicates)

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
        base = ir.Join if isinstance(self, ir.Join) else ir.Table
        return wrap(base.order_by(self, *keys))

    def sql(self, query: str, /, *, dialect: str | None = None) -> Any:
        """Run SQL over the table, which it names as `get_name()` or `alias(...)` does.

        Parameters
        ----------
        query
            A SELECT statement.
        dialect
            The dialect it is written in; that of the backend by default.
        """
        op = self.op()
        named = self.alias(op.name) if isinstance(op, nodes.ManagedTable) else self
        return wrap(ir.Table.sql(named, query, dialect=dialect))

    def collect(self) -> Any:
        """Run the query and return its rows as a `ResultSet`."""
        return _engine(self).collect(self)

    def show(self, n: int = 10) -> None:
        """Print the first `n` rows."""
        print(self.limit(n).collect())  # noqa: T201 - printing is its purpose

    def explain(self) -> Any:
        """Say how the query would run, stage by stage; no function or model is called."""
        return _engine(self).explain(self)


def _no_column(query: Any, name: str) -> ColumnNotFoundError:
    known = list(query.schema().names)
    near = difflib.get_close_matches(name, [*known, *_verbs(query)], n=1)
    meant = f"Did you mean {near[0]!r}? " if near else ""
    return ColumnNotFoundError(
        f"there is no column or verb {name!r}.", hint=f"{meant}Columns are {', '.join(known)}."
    )


def _verbs(query: Any) -> list[str]:
    return [name for name in dir(type(query)) if not name.startswith("_")]


def _flat(key: Any) -> tuple[Any, ...]:
    return tuple(key) if isinstance(key, list | tuple) else (key,)


def _descending(key: Any) -> Any:
    return ibis.desc(key, nulls_first=False)


def _extended(column: Any) -> Any:
    if not isinstance(column, ir.Column) or isinstance(column, ColumnExtras):
        return column
    kind: Any = type(column)
    return _column_class(kind)(column.op())


def _engine(query: Any) -> Any:
    try:
        source = query._find_backend(use_default=True)
    except IbisError as error:
        raise ExpressionError(
            "this query reads tables of more than one database.",
            hint="Insert the rows of the other one into a table here: "
            "bb.create_table(name, schema).insert(expression).",
        ) from error
    if not hasattr(source, "collect"):
        raise ExpressionError(
            "this query reads no table of barbule.",
            hint="Use Ibis' own to_pyarrow() or to_pandas() for it.",
        )
    return source


@_lift(ir.Table)
class Query(_Verbs, ir.Table):
    """A query over managed tables: an Ibis table with barbule's verbs."""

    __slots__ = ()


@_lift(ir.Join)
class JoinQuery(_Verbs, ir.Join):
    """A join that is still being put together, with barbule's verbs."""

    __slots__ = ()


class GroupedQuery(GroupedTable):
    """A grouped query whose results keep barbule's verbs."""

    def aggregate(self, *metrics: Any, **named: Any) -> Any:
        """Compute aggregates over each group."""
        return wrap(super().aggregate(*metrics, **named))

    agg = aggregate

    def having(self, *predicates: Any) -> Any:
        """Keep the groups for which all predicates hold."""
        return wrap(super().having(*predicates))

    def order_by(self, *by: Any) -> Any:
        """Sort the rows of each group."""
        return wrap(super().order_by(*by))

    def mutate(self, *args: Any, **kwargs: Any) -> Any:
        """Add columns computed over each group's window."""
        return wrap(super().mutate(*args, **kwargs))

    def select(self, *args: Any, **kwargs: Any) -> Any:
        """Select columns computed over each group's window."""
        return wrap(super().select(*args, **kwargs))

    def count(self) -> Any:
        """Count the rows of each group."""
        return wrap(super().count())

    size = count
