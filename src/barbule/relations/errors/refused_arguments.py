"""Refused arguments of methods: masks, methods, formatted strings and other statements.

Owns how they are recognised, and the messages of their errors.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Mapping
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any

import ibis.expr.types as ir
from ibis.expr.types.groupby import GroupedTable

from barbule.errors import ExpressionError
from barbule.relations.errors.invalid_queries import table_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = [
    "check_select",
    "checked_conditions",
    "missing_condition",
    "refuse_formatted",
    "refuse_masks",
    "refuse_methods",
    "refuse_plain",
]

_ARRAY_MODULES = {"numpy", "pandas", "polars", "pyarrow"}
_CONTEXT_CHARACTERS = 20  # maximum characters before a column that an error shows of a string
_DEFINITION = re.compile(r"(?<!\w)(?:r\d+ := |(?:Managed|Database|InMemory|Unbound)Table: )")
_DEFERRED = re.compile(r"(?<![\w.])_(?:\.|\[['\"])(\w+)")


def checked_conditions(
    predicates: Iterable[Any], query: ir.Table, check: Callable[[object, ir.Table], None]
) -> tuple[Any, ...]:
    """Check conditions; those that are functions are checked by what they return.

    Returns
    -------
    tuple
        The conditions. A function raises if it returns None, which would select no rows.
    """
    return tuple(_checked_condition(predicate, query, check) for predicate in predicates)


def _checked_condition(
    predicate: Any, query: ir.Table, check: Callable[[object, ir.Table], None]
) -> Any:
    if isinstance(predicate, list | tuple):
        check(predicate, query)
        members = [_checked_condition(member, query, check) for member in predicate]
        return type(predicate)(members) if type(predicate) in {list, tuple} else predicate
    if not isinstance(predicate, FunctionType | MethodType | functools.partial) or isinstance(
        getattr(predicate, "__self__", None), ir.Value
    ):  # methods of columns are refused later
        check(predicate, query)
        return predicate

    def condition(table: ir.Table) -> Any:
        result = predicate(table)
        if result is None:
            raise missing_condition(predicate, query)
        check(result, query)
        return result

    return condition


def missing_condition(function: object, query: ir.Table) -> ExpressionError:
    """Return the error for a function that returned None instead of a condition."""
    name = getattr(function, "__name__", "<lambda>")
    described = "the function" if name == "<lambda>" else f"the function {name!r}"
    return ExpressionError(
        f"the condition is None: {described} returned no expression.",
        table=table_name(query),
        hint="Return the condition from the function: lambda t: t.n > 3.",
    )


def refuse_plain(predicate: object, query: ir.Table) -> None:
    """Refuse a condition that is the constant True or False, for all rows or for each of them.

    A name may be that of a method: then the method is compared instead of a column, and the result
    is the same for all rows.
    """
    if isinstance(predicate, bool) or type(predicate).__name__ in {"bool_", "bool"}:
        raise ExpressionError(
            "a condition must be evaluated for each row, but this one is the constant "
            f"{predicate}.",
            table=table_name(query),
            hint='Compare a column: t["count"] == 3, if count is also the name of a method. To '
            "select all rows, remove the condition.",
        )
    refuse_masks(predicate, query)
    if isinstance(predicate, list | tuple):
        for condition in predicate:
            refuse_plain(condition, query)


def refuse_masks(predicate: object, query: ir.Table) -> None:
    """Refuse a mask of pandas or NumPy: it has values by position, and rows have no position."""
    if (kind := _mask(predicate)) is not None:
        raise ExpressionError(
            f"a condition must be evaluated for each row, but this {kind} has values by position, "
            "and rows of a table have no position.",
            table=table_name(query),
            hint="Write the condition with columns, t.n > 1; or select rows by value: "
            "t.key.isin(frame.loc[mask, 'key'].tolist()).",
        )


def _mask(predicate: object) -> str | None:
    """Describe a predicate with values by position: an array, a series, a list of booleans."""
    module = type(predicate).__module__.split(".")[0]
    if module in _ARRAY_MODULES and hasattr(predicate, "__len__"):
        return f"{type(predicate).__name__} of {module}"
    if not isinstance(predicate, list | tuple) or not predicate:
        return None
    booleans = all(isinstance(value, bool) or value is None for value in predicate)
    return f"{type(predicate).__name__} of True and False" if booleans else None


def refuse_methods(arguments: tuple[object, ...], query: ir.Table | GroupedTable) -> None:
    """Refuse a method of a column instead of a value: a field with its name was intended.

    Ibis would call it with the table.
    """
    for argument in arguments:
        for value in argument if isinstance(argument, list | tuple) else (argument,):
            owner = getattr(value, "__self__", None)
            if not isinstance(owner, ir.Value) or not inspect.ismethod(value):
                continue
            name = value.__name__
            if isinstance(owner, ir.StructValue) and name in owner.names:
                hint = f'Write column["{name}"] for the field of that name.'
            else:
                hint = f"Call it: column.{name}(...)."
            table = query.table.to_expr() if isinstance(query, GroupedTable) else query
            raise ExpressionError(
                f".{name} of this {owner.type()} is a method, not a value.",
                table=table_name(table),
                hint=hint,
            )


def refuse_formatted(
    arguments: object, *, table: str | None = None, column: str | None = None
) -> None:
    """Refuse strings into which a column was formatted, by an f-string, `%` or `.format`.

    The string would contain the column's definition, the same for all rows. A string that looks
    like `_.name` is refused if no column is among the arguments, or one of the same table has that
    name.

    Parameters
    ----------
    arguments
        Of a call: strings, columns, and lists and dicts of these.
    table, column
        The table, and the column that would be computed, for the error.
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
                "a column was formatted into a string, which holds its definition instead of its "
                "values.",
                table=table,
                column=column,
                value=text[max(0, match.start() - _CONTEXT_CHARACTERS) :],
                hint='Write t.name + "!", or bb.functions.string.format("Answer: {0}", '
                "t.question), which format the value of each row. If the string only looks like a "
                "definition, pass ibis.literal(text).",
            )


def _leaves(argument: object) -> Iterator[object]:
    if isinstance(argument, Mapping | list | tuple):
        for member in argument.values() if isinstance(argument, Mapping) else argument:
            yield from _leaves(member)
    else:
        yield argument


def _column_names(values: list[ir.Value]) -> set[str]:
    """Return the names of the columns of the tables of these values."""
    relations = {relation for value in values for relation in value.op().relations}
    return {name for relation in relations for name in relation.schema.names}


def check_select(query: object, dialect: str | None) -> None:
    """Refuse SQL that is not a single statement that returns rows.

    Raises
    ------
    ExpressionError
        The message describes the statement.
    """
    import sqlglot
    from sqlglot.errors import SqlglotError

    if not isinstance(query, str):
        raise ExpressionError(
            "sql() takes a string.", value=query, hint='Write .sql("SELECT ...").'
        )
    try:
        statements = sqlglot.parse(query, read=dialect)
    except SqlglotError as error:
        reason = str(error).splitlines()[0].rstrip(". ")
        raise ExpressionError(
            f"this SQL cannot be parsed: {reason}.", value=query, hint="Correct the statement."
        ) from error
    if len(statements) != 1 or not isinstance(statements[0], sqlglot.exp.Query):
        names = [
            type(statement).__name__.upper() for statement in statements if statement is not None
        ]
        content = f"{len(names)} statements" if len(names) > 1 else (names or ["nothing"])[0]
        raise ExpressionError(
            f"sql() takes one SELECT, but this is {content}.",
            value=query,
            hint="Change tables with insert(), update() and delete().",
        )
