"""Errors of invalid queries.

Owns the conversion of Ibis errors to barbule errors, which are also of the Ibis class.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import ibis.expr.operations as ops
import ibis.expr.types as ir
from ibis.common.annotations import SignatureValidationError, ValidationError
from ibis.common.exceptions import IbisError, IntegrityError, TranslationError
from sqlglot.errors import SqlglotError

from barbule import nodes
from barbule.errors import (
    BarbuleError,
    ColumnNotFoundError,
    ExpressionError,
    UnsupportedError,
)
from barbule.relations.row_counts import counted_elsewhere
from barbule.suggestions import did_you_mean

if TYPE_CHECKING:
    from ibis.expr.types.groupby import GroupedTable

__all__ = [
    "REFUSALS",
    "argument_text",
    "both_classes",
    "explained",
    "no_column",
    "no_group_verb",
    "no_name",
    "table_name",
]

E = TypeVar("E", bound=BarbuleError)

REFUSALS = (IbisError, ValidationError, SqlglotError)

_MAX_COLUMNS = 20  # in a hint
_COLORS = re.compile(r"\x1b\[[0-9;]*m")  # of a terminal, in messages of sqlglot
_MAX_CHARACTERS = 300  # of a message of Ibis
_MISSING_COLUMN = (
    # Only the first occurrence: a message contains names, and those may be anything.
    re.compile(r"\A(?>.*?Column (['\"]))(.+?)\1 is not found in table", re.DOTALL),
    re.compile(r"\A(?>.*?Columns \[')(?>(.+?)'[],]).* are not present in", re.DOTALL),
    re.compile(r"\A(?>.*?fields that are not in the table: \[')(.+?)'[],]", re.DOTALL),
)


def explained(error: Exception, query: ir.Table, arguments: tuple[object, ...]) -> Exception:
    """Explain an Ibis error for a query whose method took these arguments."""
    if isinstance(error, BarbuleError):
        return error
    if isinstance(error, SignatureValidationError):
        return _argument_error(error, query, arguments)
    text = " ".join(str(error).split())
    for pattern in _MISSING_COLUMN:
        if match := pattern.search(text):
            return _missing_column(match[match.lastindex or 0], query, arguments, type(error))
    if isinstance(error, IntegrityError) and counted_elsewhere(query, list(arguments)):
        return both_classes(ExpressionError, type(error))(
            "it counts the rows of another query, not of this one.",
            table=table_name(query),
            hint="Write ibis._.count() to count the rows of this query; t.count().as_scalar() is "
            "the number of rows of a table.",
        )
    if isinstance(error, IntegrityError) and "another relation" in text:
        return both_classes(ExpressionError, type(error))(
            "it reads a column of another table.",
            table=table_name(query),
            hint="Join the two first: t.join(other, ...).",
        )
    if isinstance(error, SqlglotError):
        return both_classes(ExpressionError, type(error))(
            f"this SQL cannot be parsed: {_COLORS.sub('', text)}.",
            table=table_name(query),
            hint="Write one SELECT statement, in the dialect of the database or of dialect=.",
        )
    text = text if len(text) <= _MAX_CHARACTERS else f"{text[:_MAX_CHARACTERS]}…"
    if text.startswith("Unable to infer datatype of value"):
        return both_classes(ExpressionError, type(error))(
            "a list or dict of expressions is not an expression.",
            table=table_name(query),
            hint='Use ibis.struct({"a": t.a}) for a struct, ibis.array([t.a, 1]) for a list, and '
            "ibis.literal(...) for a constant.",
        )
    kind = UnsupportedError if isinstance(error, TranslationError) else ExpressionError
    return both_classes(kind, type(error))(
        f"{text.rstrip('.')}.",
        table=table_name(query),
        hint=".schema() shows the columns and their types; help() shows the parameters of the "
        "method.",
    )


_error_classes: dict[tuple[type, type], type[Any]] = {}


def both_classes(own_class: type[E], other_class: type[Exception]) -> type[E]:
    """Return a class of errors that is both barbule's and one that callers expect."""
    key = (own_class, other_class)
    if key not in _error_classes:
        namespace = {"__module__": own_class.__module__}
        _error_classes[key] = type(own_class.__name__, key, namespace)
    return _error_classes[key]


def table_name(query: ir.Table) -> str | None:
    """Return the name of a table; None for other queries."""
    op = query.op() if isinstance(query, ir.Table) else None
    return op.name if isinstance(op, nodes.ManagedTable) else None


def _missing_column(
    name: str, query: ir.Table, arguments: tuple[object, ...], ibis_error: type[Exception]
) -> ColumnNotFoundError:
    """Return the error that names the table without the column; it may be a joined table."""
    tables = [table for table in (query, *arguments) if isinstance(table, ir.Table)]
    lacking = next((table for table in tables if name not in table.columns), query)
    return no_column(lacking, name, ibis_error)


def no_column(
    query: ir.Table, name: str, ibis_error: type[Exception] | None = None
) -> ColumnNotFoundError:
    """Return the error for an unknown column."""
    error_class = ColumnNotFoundError
    if ibis_error is not None:
        error_class = both_classes(ColumnNotFoundError, ibis_error)
    return error_class(
        f"there is no column {name!r}.", table=table_name(query), hint=_name_hint(query, name, [])
    )


def no_name(query: ir.Table, name: str) -> ColumnNotFoundError:
    """Return the error for a name that is neither a column nor a method."""
    verbs = [verb for verb in dir(type(query)) if not verb.startswith("_")]
    return ColumnNotFoundError(
        f"there is no column or method {name!r}.",
        table=table_name(query),
        hint=_OTHER_LIBRARIES.get(name) or _name_hint(query, name, verbs),
    )


_OFFSET_HINT = "t.limit(None, offset=10) skips the first 10 rows."
# Method names of other libraries.
_OTHER_LIBRARIES = {
    "offset": _OFFSET_HINT,
    "skip": _OFFSET_HINT,
    "tail": "To get the last rows, reverse the order: t.order_by(t.n.desc()).limit(3).",
    "iloc": "t[10:20] selects rows, t[0] is the first column; t.collect()[0] is the first row.",
    "loc": "t.filter(t.n > 1) filters rows; t.collect()[0] is the first row.",
    "sort_values": "t.order_by(t.n.desc()) sorts.",
    "sort": "t.order_by(t.n.desc()) sorts.",
    "groupby": "t.group_by(t.name).agg(n=ibis._.count()) aggregates.",
    "assign": "t.mutate(m=t.n + 1) adds columns to the query.",
    "with_columns": "t.mutate(m=t.n + 1) adds columns to the query.",
    "to_list": "t.collect() returns the rows; list() converts them to a list.",
    "to_dicts": "t.collect() returns the rows; list() converts them to a list.",
    "iterrows": "Iterate over the rows with: for row in t.collect().",
    "itertuples": "Iterate over the rows with: for row in t.collect().",
}


def no_group_verb(grouped: GroupedTable, name: str) -> ColumnNotFoundError:
    """Return the error for a method that groups of rows do not have before aggregation."""
    query = grouped.table.to_expr()
    verbs = ("agg", "having", "order_by", "mutate", "select", "count", "over")
    suggestion = did_you_mean(name, [*query.columns, *verbs])
    return ColumnNotFoundError(
        f"a grouped query has no column or method {name!r}.",
        table=table_name(query),
        hint=f"{suggestion} Aggregate it first: t.group_by(t.name).agg(n=ibis._.count()).".lstrip(),
    )


def _name_hint(query: ir.Table, name: str, verbs: list[str]) -> str:
    columns = list(query.columns)
    suggestion = did_you_mean(name, [*verbs, *columns])
    remaining = len(columns) - _MAX_COLUMNS
    more = f" and {remaining} more" if remaining > 0 else ""
    return f"{suggestion} Columns are {', '.join(columns[:_MAX_COLUMNS])}{more}.".lstrip()


def _argument_error(
    error: SignatureValidationError, query: ir.Table, arguments: tuple[object, ...]
) -> ExpressionError:
    verb = getattr(error.func, "__name__", "this").lower()
    if verb == "filter":
        for value in _bound(query, arguments):
            kind = value.type()
            if not kind.is_boolean():
                hint = "t.meta.flag.bool." if kind.is_json() else "t.year > 2000."
                return ExpressionError(
                    f"a condition must be boolean, but {argument_text(value)} is {kind}.",
                    table=table_name(query),
                    hint=f"Write a condition: {hint}",
                )
    if verb == "aggregate":
        for name in _column_metrics(error):
            return ExpressionError(
                f"an aggregate is one value for many rows, but {name!r} has one value for each "
                "row.",
                table=table_name(query),
                hint="Aggregate it: t.n.sum(), t.n.max(), or t.n.collect() for a list of all "
                "values; pass grouping columns to group_by() or by=.",
            )
    refused = [
        f"{name}={argument_text(value)}" for name, value, _ in error.errors if name != "parent"
    ]
    return ExpressionError(
        f"{verb} does not take {', '.join(refused) or 'these arguments'}.",
        table=table_name(query),
        hint=".schema() shows the types of the columns.",
    )


def _column_metrics(error: SignatureValidationError) -> list[str]:
    """Return the names of the metrics of an aggregation that are columns."""
    arguments = {name: value for name, value, _ in error.errors if isinstance(value, Mapping)}
    metrics = arguments.get("metrics", {})
    return [name for name, op in metrics.items() if not op.shape.is_scalar()]


def _bound(query: ir.Table, arguments: tuple[object, ...]) -> list[ir.Value]:
    values = [
        value
        for argument in arguments
        for value in (argument if isinstance(argument, list | tuple) else (argument,))
    ]
    try:
        return list(query.bind(*values))
    except REFUSALS:
        return []


def argument_text(value: object) -> str:
    """Format an argument for messages: a column by its name, without Ibis' representation."""
    expression = value.to_expr() if isinstance(value, ops.Node) else value
    if isinstance(expression, ir.Value):
        return repr(expression.get_name())
    text = " ".join(repr(value).split())
    return text if len(text) <= _MAX_CHARACTERS else f"{text[:_MAX_CHARACTERS]}…"
