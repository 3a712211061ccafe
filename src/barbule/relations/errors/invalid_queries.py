"""Errors of queries that cannot be built.

Owns how errors of Ibis become those of barbule, which are of Ibis' class too.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import ibis.expr.operations as ops
import ibis.expr.types as ir
from ibis.common.annotations import SignatureValidationError, ValidationError
from ibis.common.exceptions import IbisError, IntegrityError, TranslationError
from ibis.expr.types.groupby import GroupedTable
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
    from collections.abc import Iterator

__all__ = [
    "REFUSALS",
    "argument_text",
    "both_classes",
    "check_select",
    "explained",
    "no_column",
    "no_group_verb",
    "no_name",
    "refuse_formatted",
    "refuse_masks",
    "refuse_methods",
    "refuse_plain",
    "table_name",
]

E = TypeVar("E", bound=BarbuleError)

REFUSALS = (IbisError, ValidationError, SqlglotError)

_MAX_COLUMNS = 20  # in a hint
_COLORS = re.compile(r"\x1b\[[0-9;]*m")  # of a terminal, in messages of sqlglot
_MAX_CHARACTERS = 300  # of a message of Ibis
_CONTEXT_CHARACTERS = 20  # that an error has of a text before a column
_MISSING_COLUMN = (
    # Where it occurs first only: a message has names in it, and those may be anything.
    re.compile(r"\A(?>.*?Column ')(.+?)' is not found in table", re.DOTALL),
    re.compile(r"\A(?>.*?Columns \[')(?>(.+?)'[],]).* are not present in", re.DOTALL),
    re.compile(r"\A(?>.*?fields that are not in the table: \[')(.+?)'[],]", re.DOTALL),
)


def explained(error: Exception, query: ir.Table, arguments: tuple[object, ...]) -> Exception:
    """Say what an error of Ibis means for a query whose verb took these arguments."""
    if isinstance(error, BarbuleError):
        return error
    if isinstance(error, SignatureValidationError):
        return _argument_error(error, query, arguments)
    text = " ".join(str(error).split())
    for pattern in _MISSING_COLUMN:
        if match := pattern.search(text):
            return _missing_column(match[1], query, arguments, type(error))
    if isinstance(error, IntegrityError) and counted_elsewhere(query, list(arguments)):
        return both_classes(ExpressionError, type(error))(
            "it counts the rows of another query beside those of this one.",
            table=table_name(query),
            hint="Write ibis._.count() for the rows of this query; all rows of a table are one "
            "value, t.count().as_scalar().",
        )
    if isinstance(error, IntegrityError) and "another relation" in text:
        return both_classes(ExpressionError, type(error))(
            "it reads a column of another table.",
            table=table_name(query),
            hint="Join the two first: t.join(other, ...).",
        )
    if isinstance(error, SqlglotError):
        return both_classes(ExpressionError, type(error))(
            f"this SQL cannot be read: {_COLORS.sub('', text)}.",
            table=table_name(query),
            hint="Write one SELECT statement, in the dialect of the database or of dialect=.",
        )
    text = text if len(text) <= _MAX_CHARACTERS else f"{text[:_MAX_CHARACTERS]}…"
    if text.startswith("Unable to infer datatype of value"):
        return both_classes(ExpressionError, type(error))(
            "a list or dict in which expressions stand is no expression itself.",
            table=table_name(query),
            hint='ibis.struct({"a": t.a}) makes a record, ibis.array([t.a, 1]) a list, and '
            "ibis.literal(...) a constant.",
        )
    kind = UnsupportedError if isinstance(error, TranslationError) else ExpressionError
    return both_classes(kind, type(error))(
        f"{text.rstrip('.')}.",
        table=table_name(query),
        hint="See the columns and their types by .schema(), and what the verb takes by help().",
    )


def refuse_plain(predicate: object, query: ir.Table) -> None:
    """Refuse a condition that is True or False already, for all rows or for each of them.

    A name may be that of a verb: then its method is compared, not a column, and the answer is the
    same for all rows.
    """
    if isinstance(predicate, bool) or type(predicate).__name__ in {"bool_", "bool"}:
        raise ExpressionError(
            f"a condition is asked of each row, and this one is {predicate} before.",
            table=table_name(query),
            hint='Compare a column: t["count"] == 3, where count is a verb too; all rows need no '
            "condition.",
        )
    refuse_masks(predicate, query)
    if isinstance(predicate, list | tuple):
        for condition in predicate:
            refuse_plain(condition, query)


def refuse_masks(predicate: object, query: ir.Table) -> None:
    """Refuse a mask of pandas or NumPy: it has a value for each position, and rows have none."""
    if (kind := _mask(predicate)) is not None:
        raise ExpressionError(
            f"a condition is asked of each row, and this {kind} has values by place, which rows of "
            "a table have not.",
            table=table_name(query),
            hint="Write the condition over the columns, t.n > 1; or choose rows by what they "
            "hold: t.key.isin(frame.loc[mask, 'key'].tolist()).",
        )


_ARRAY_MODULES = {"numpy", "pandas", "polars", "pyarrow"}


def _mask(predicate: object) -> str | None:
    """Name a predicate that has values by position: an array, a series, a list of booleans."""
    module = type(predicate).__module__.split(".")[0]
    if module in _ARRAY_MODULES and hasattr(predicate, "__len__"):
        return f"{type(predicate).__name__} of {module}"
    if not isinstance(predicate, list | tuple) or not predicate:
        return None
    booleans = all(isinstance(value, bool) or value is None for value in predicate)
    return f"{type(predicate).__name__} of True and False" if booleans else None


def refuse_methods(arguments: tuple[object, ...], query: ir.Table | GroupedTable) -> None:
    """Refuse a method of a column instead of a value: a field of its name was meant.

    Ibis would call it with the table.
    """
    for argument in arguments:
        for value in argument if isinstance(argument, list | tuple) else (argument,):
            owner = getattr(value, "__self__", None)
            if not isinstance(owner, ir.Value) or not inspect.ismethod(value):
                continue
            name = value.__name__
            if isinstance(owner, ir.StructValue) and name in owner.names:
                hint = f'The field of that name is written column["{name}"].'
            else:
                hint = f"Call it: column.{name}(...)."
            table = query.table.to_expr() if isinstance(query, GroupedTable) else query
            raise ExpressionError(
                f".{name} of this {owner.type()} is a method, no value.",
                table=table_name(table),
                hint=hint,
            )


_DEFINITION = re.compile(r"(?<!\w)(?:r\d+ := |(?:Managed|Database|InMemory|Unbound)Table: )")
_DEFERRED = re.compile(r"(?<![\w.])_(?:\.|\[['\"])(\w+)")


def refuse_formatted(arguments: object) -> None:
    """Refuse strings into which a column was formatted, by an f-string, `%` or `.format`.

    Its definition would be in there, the same for all rows. What looks like `_.name` is refused
    where no column is among the arguments, or one of the same table has that name.

    Parameters
    ----------
    arguments
        Of a call: texts, columns, and lists and dicts of these.
    """
    leaves = list(_leaves(arguments))
    columns = [leaf for leaf in leaves if isinstance(leaf, ir.Value)]
    for text in leaves:
        if not isinstance(text, str):
            continue
        match = _DEFINITION.search(text)
        if match is None and (match := _DEFERRED.search(text)) is not None:
            match = match if not columns or match[1] in _column_names(columns) else None
        if match is not None:
            raise ExpressionError(
                "a column was written into a text, which holds its definition now and not its "
                "values.",
                value=text[max(0, match.start() - _CONTEXT_CHARACTERS) :],
                hint='Fill it row by row: bb.functions.string.format("Answer: {0}", t.question). '
                "A text that only looks so is passed as ibis.literal(text).",
            )


def _leaves(argument: object) -> Iterator[object]:
    if isinstance(argument, Mapping | list | tuple):
        for member in argument.values() if isinstance(argument, Mapping) else argument:
            yield from _leaves(member)
    else:
        yield argument


def _column_names(values: list[ir.Value]) -> set[str]:
    """Name the columns of the tables that values are of."""
    relations = {relation for value in values for relation in value.op().relations}
    return {name for relation in relations for name in relation.schema.names}


_error_classes: dict[tuple[type, type], type[Any]] = {}


def both_classes(own_class: type[E], other_class: type[Exception]) -> type[E]:
    """Make the class of errors that are both of barbule's and of a class that others expect."""
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
    """Say which table lacks a column; that may be one that the query is joined with."""
    tables = [table for table in (query, *arguments) if isinstance(table, ir.Table)]
    lacking = next((table for table in tables if name not in table.columns), query)
    return no_column(lacking, name, ibis_error)


def no_column(
    query: ir.Table, name: str, ibis_error: type[Exception] | None = None
) -> ColumnNotFoundError:
    """Say that there is no column of a name."""
    error_class = ColumnNotFoundError
    if ibis_error is not None:
        error_class = both_classes(ColumnNotFoundError, ibis_error)
    return error_class(
        f"there is no column {name!r}.", table=table_name(query), hint=_name_hint(query, name, [])
    )


def no_name(query: ir.Table, name: str) -> ColumnNotFoundError:
    """Say that there is neither a column nor a verb of a name."""
    verbs = [verb for verb in dir(type(query)) if not verb.startswith("_")]
    return ColumnNotFoundError(
        f"there is no column or verb {name!r}.",
        table=table_name(query),
        hint=_OTHER_LIBRARIES.get(name) or _name_hint(query, name, verbs),
    )


_OFFSET_HINT = "t.limit(None, offset=10) passes over the first 10 rows."
# Verbs of other libraries.
_OTHER_LIBRARIES = {
    "offset": _OFFSET_HINT,
    "skip": _OFFSET_HINT,
    "tail": "The last rows are the first in the other order: t.order_by(t.n.desc()).limit(3).",
    "iloc": "t[10:20] are rows, t[0] is the first column; t.collect()[0] is a row.",
    "loc": "t.filter(t.n > 1) keeps rows; t.collect()[0] is a row.",
    "sort_values": "t.order_by(t.n.desc()) sorts.",
    "sort": "t.order_by(t.n.desc()) sorts.",
    "groupby": "t.group_by(t.name).agg(n=ibis._.count()) aggregates.",
    "assign": "t.mutate(m=t.n + 1) adds columns to the query.",
    "with_columns": "t.mutate(m=t.n + 1) adds columns to the query.",
    "to_list": "t.collect() returns the rows, and list() makes a list of them.",
    "to_dicts": "t.collect() returns the rows, and list() makes a list of them.",
    "iterrows": "for row in t.collect(): goes over the rows.",
    "itertuples": "for row in t.collect(): goes over the rows.",
}


def no_group_verb(grouped: GroupedTable, name: str) -> ColumnNotFoundError:
    """Say that groups of rows have no such verb; they are aggregated first."""
    query = grouped.table.to_expr()
    verbs = ("agg", "having", "order_by", "mutate", "select", "count", "over")
    suggestion = did_you_mean(name, [*query.columns, *verbs])
    return ColumnNotFoundError(
        f"a grouped query has no column or verb {name!r}.",
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
                    f"a condition is true or false, and {argument_text(value)} is {kind}.",
                    table=table_name(query),
                    hint=f"Make it one: {hint}",
                )
    if verb == "aggregate":
        for name in _column_metrics(error):
            return ExpressionError(
                f"an aggregate is one value of many rows, and {name!r} is one of each row.",
                table=table_name(query),
                hint="Compute one: t.n.sum(), t.n.max(), t.n.collect() for a list of all; what "
                "groups have in common is given by group_by() or by=.",
            )
    refused = [
        f"{name}={argument_text(value)}" for name, value, _ in error.errors if name != "parent"
    ]
    return ExpressionError(
        f"{verb} does not take {', '.join(refused) or 'these arguments'}.",
        table=table_name(query),
        hint="See the types of the columns by .schema().",
    )


def _column_metrics(error: SignatureValidationError) -> list[str]:
    """Name the metrics of an aggregation that are columns."""
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
    """Write an argument as messages do: a column by its name, without Ibis' representation."""
    expression = value.to_expr() if isinstance(value, ops.Node) else value
    if isinstance(expression, ir.Value):
        return repr(expression.get_name())
    text = " ".join(repr(value).split())
    return text if len(text) <= _MAX_CHARACTERS else f"{text[:_MAX_CHARACTERS]}…"


def check_select(query: object, dialect: str | None) -> None:
    """Refuse SQL that is not one statement which gives rows.

    Raises
    ------
    ExpressionError
        It says what the text is.
    """
    import sqlglot
    from sqlglot.errors import SqlglotError

    if not isinstance(query, str):
        raise ExpressionError("sql() takes a text.", value=query, hint='Write .sql("SELECT ...").')
    try:
        statements = sqlglot.parse(query, read=dialect)
    except SqlglotError as error:
        reason = str(error).splitlines()[0].rstrip(". ")
        raise ExpressionError(
            f"this SQL cannot be read: {reason}.", value=query, hint="Correct the statement."
        ) from error
    if len(statements) != 1 or not isinstance(statements[0], sqlglot.exp.Query):
        names = [
            type(statement).__name__.upper() for statement in statements if statement is not None
        ]
        content = f"{len(names)} statements" if len(names) > 1 else (names or ["nothing"])[0]
        raise ExpressionError(
            f"sql() takes one SELECT, and this is {content}.",
            value=query,
            hint="Tables are changed by insert(), update() and delete().",
        )
