"""The decorator for queries with parameters: `query`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, overload

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir

from barbule.errors import ExpressionError, with_article
from barbule.functions.function import Function
from barbule.functions.identity.code import called_for, qualified_name
from barbule.functions.identity.source_hash import Source, name_of
from barbule.functions.parameters.signatures import hints_of, parameters_of
from barbule.functions.registry import register
from barbule.suggestions import check_arguments

__all__ = ["query"]


@overload
def query(
    function: Callable[..., Any], *, version: str | None = None, name: str | None = None
) -> Function: ...
@overload
def query(
    function: None = None, *, version: str | None = None, name: str | None = None
) -> Callable[[Callable[..., Any]], Function]: ...
@check_arguments
def query(
    function: Callable[..., Any] | None = None,
    *,
    version: str | None = None,
    name: str | None = None,
) -> Function | Callable[[Callable[..., Any]], Function]:
    """Create a query with parameters, which is called with values or with columns.

    Called with plain values it returns the query. Called with columns it is an expression: for each
    row a list of the rows that the query returns for that row's values.

    A stored column of such calls keeps the result as of the time when its row was written. If the
    query reads the column's own table, it reads the rows before the insert or update, without those
    written with it. Later changes of these tables do not update the column, and `stale()`, which
    covers changed functions, does not report them: `recompute("column")` updates it. A view over a
    join or an aggregate is kept up to date automatically.

    Parameters
    ----------
    function
        Takes values and returns an expression over managed tables.
    version
        Set it if results have changed although the source has not, or the reverse, and if the
        function closes over a value that cannot be identified; by default a hash of the source.
    name
        The name in stored expressions; by default module and qualified name.

    Examples
    --------
    >>> import barbule as bb
    >>> films = bb.create_table("films", {"name": bb.String, "revenue": bb.Float})
    >>> _ = films.insert(name="Up", revenue=735.1)
    >>> @bb.query
    ... def at_least(revenue: float):
    ...     return films.where(films.revenue >= revenue).select(films.name)
    >>> at_least(700.0).collect()[0]
    {'name': 'Up'}
    """
    if function is None:
        return lambda decorated: query(decorated, version=version, name=name)
    body = function
    source = Source(function)
    return register(
        Function(
            name=name or name_of(function, source),
            body=called_for(function),
            kind="query",
            returns=lambda arguments: _result_type(body, arguments),
            parameters=parameters_of(function, hints_of(function), batched=False),
            stated_version=version or "",
            source=source,
        )
    )


def _result_type(function: Callable[..., Any], arguments: Mapping[str, Any]) -> dt.DataType:
    """Build the query once with placeholders, to infer the type of its rows."""
    placeholders = {
        name: ibis.param(value.type()) if isinstance(value, ir.Value) else value
        for name, value in arguments.items()
    }
    result = function(**placeholders)
    if isinstance(result, ir.Table):
        return dt.Array(result.schema().as_struct())
    if isinstance(result, ir.Column):
        return dt.Array(result.type())
    if isinstance(result, ir.Scalar):
        return result.type()
    raise ExpressionError(
        f"the query {qualified_name(function)} returned {with_article(type(result).__name__)}.",
        hint="A query function must return an expression: a table or a column of one.",
    )
