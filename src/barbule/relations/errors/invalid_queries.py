"""What is said when a query cannot be built.

Owns the way from the errors of Ibis to those of barbule, which are still of Ibis' class.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

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

__all__ = ["REFUSALS", "both_classes", "explained", "no_column", "no_name", "refuse_methods"]
__all__ += ["no_group_verb"]
__all__ += ["refuse_masks", "refuse_plain", "refuse_written", "shown_argument"]
__all__ += ["table_name"]

REFUSALS = (IbisError, ValidationError, SqlglotError)

_SHOWN = 20  # names of columns, or verbs
_COLORS = re.compile(r"\x1b\[[0-9;]*m")  # of a terminal, in messages of sqlglot
_LENGTH = 300  # characters of a message of Ibis
_BEFORE = 20  # characters that are shown of a text before a column
_MISSING = (
    # Of the first place only: a message holds names, and those may say anything.
    re.compile(r"\A(?>.*?Column ')(.+?)' is not found in table", re.DOTALL),
    re.compile(r"\A(?>.*?Columns \[')(?>(.+?)'[],]).* are not present in", re.DOTALL),
    re.compile(r"\A(?>.*?fields that are not in the table: \[')(.+?)'[],]", re.DOTALL),
)


def explained(error: Exception, query: Any, arguments: tuple[Any, ...]) -> Exception:
    """Say what an error of Ibis means for a query whose verb was given these arguments."""
    if isinstance(error, BarbuleError):
        return error
    if isinstance(error, SignatureValidationError):
        return _misfit(error, query, arguments)
    text = " ".join(str(error).split())
    for pattern in _MISSING:
        if match := pattern.search(text):
            return _missing(match[1], query, arguments, type(error))
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
    text = text if len(text) <= _LENGTH else f"{text[:_LENGTH]}…"
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


def refuse_plain(predicate: Any, query: Any) -> None:
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
        for each in predicate:
            refuse_plain(each, query)


def refuse_masks(predicate: Any, query: Any) -> None:
    """Refuse a mask of pandas or NumPy: it is of places, and rows of a table have none."""
    if (kind := _mask(predicate)) is not None:
        raise ExpressionError(
            f"a condition is asked of each row, and this {kind} has values by place, which rows of "
            "a table have not.",
            table=table_name(query),
            hint="Write the condition over the columns, t.n > 1; or choose rows by what they "
            "hold: t.key.isin(frame.loc[mask, 'key'].tolist()).",
        )


_FRAMES = {"numpy", "pandas", "polars", "pyarrow"}


def _mask(predicate: Any) -> str | None:
    """Name what holds values by place: an array, a series, a list of True and False."""
    module = type(predicate).__module__.split(".")[0]
    if module in _FRAMES and hasattr(predicate, "__len__"):
        return f"{type(predicate).__name__} of {module}"
    if not isinstance(predicate, list | tuple) or not predicate:
        return None
    values = all(isinstance(each, bool) or each is None for each in predicate)
    return f"{type(predicate).__name__} of True and False" if values else None


def refuse_methods(arguments: tuple[Any, ...], query: Any) -> None:
    """Refuse a method of a column in the place of a value: a field of its name was meant.

    Ibis would call it with the table.
    """
    for given in arguments:
        for each in given if isinstance(given, list | tuple) else (given,):
            owner = getattr(each, "__self__", None)
            if not isinstance(owner, ir.Value) or not inspect.ismethod(each):
                continue
            name = each.__name__
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


_WRITTEN = re.compile(r"(?<!\w)(?:r\d+ := |(?:Managed|Database|InMemory|Unbound)Table: )")
_DEFERRED = re.compile(r"(?<![\w.])_(?:\.|\[['\"])(\w+)")


def refuse_written(arguments: Any) -> None:
    """Refuse texts into which a column was written, as an f-string, `%` or `.format` do.

    Its definition would stand there, the same for all rows. What looks like `_.name` is refused
    where no column stands beside the texts, or one of the same table has that name.

    Parameters
    ----------
    arguments
        Of a call: texts, columns, and lists and dicts of these.
    """
    leaves = list(_leaves(arguments))
    columns = [each for each in leaves if isinstance(each, ir.Value)]
    for text in leaves:
        if not isinstance(text, str):
            continue
        found = _WRITTEN.search(text)
        if found is None and (found := _DEFERRED.search(text)) is not None:
            found = found if not columns or found[1] in _names_beside(columns) else None
        if found is not None:
            raise ExpressionError(
                "a column was written into a text, which holds its definition now and not its "
                "values.",
                value=text[max(0, found.start() - _BEFORE) :],
                hint='Fill it row by row: bb.functions.string.format("Answer: {0}", t.question). '
                "A text that only looks so is passed as ibis.literal(text).",
            )


def _leaves(value: Any) -> Iterator[Any]:
    items = value.values() if isinstance(value, Mapping) else value
    if isinstance(value, Mapping | list | tuple):
        for item in items:
            yield from _leaves(item)
    else:
        yield value


def _names_beside(columns: list[ir.Value]) -> set[str]:
    relations = {relation for each in columns for relation in each.op().relations}
    return {name for relation in relations for name in relation.schema.names}


_BOTH: dict[tuple[type, type], Any] = {}


def both_classes(ours: type, theirs: type) -> Any:
    """Make the class of errors that are both of barbule's and of a class that others expect."""
    if (ours, theirs) not in _BOTH:
        made = type(ours.__name__, (ours, theirs), {"__module__": ours.__module__})
        _BOTH[ours, theirs] = made
    return _BOTH[ours, theirs]


def table_name(query: Any) -> str | None:
    """Return the name of a table; None for other queries."""
    op = query.op() if isinstance(query, ir.Table) else None
    return op.name if isinstance(op, nodes.ManagedTable) else None


def _missing(
    name: str, query: Any, arguments: tuple[Any, ...], theirs: type[Exception]
) -> Exception:
    """Say which table lacks a column; that may be one that the query is joined with."""
    tables = [each for each in (query, *arguments) if isinstance(each, ir.Table)]
    lacking = next((each for each in tables if name not in each.columns), query)
    return no_column(lacking, name, theirs)


def no_column(query: Any, name: str, theirs: type[Exception] | None = None) -> Exception:
    """Say that there is no column of a name."""
    kind = both_classes(ColumnNotFoundError, theirs) if theirs else ColumnNotFoundError
    found: Exception = kind(
        f"there is no column {name!r}.", table=table_name(query), hint=_hint(query, name, ())
    )
    return found


def no_name(query: Any, name: str) -> ColumnNotFoundError:
    """Say that there is neither a column nor a verb of a name."""
    verbs = [each for each in dir(type(query)) if not each.startswith("_")]
    return ColumnNotFoundError(
        f"there is no column or verb {name!r}.",
        table=table_name(query),
        hint=_OTHERWISE.get(name) or _hint(query, name, verbs),
    )


_LATER = "t.limit(None, offset=10) passes over the first 10 rows."
# Verbs of other libraries.
_OTHERWISE = {
    "offset": _LATER,
    "skip": _LATER,
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


def no_group_verb(grouped: Any, name: str) -> ColumnNotFoundError:
    """Say that groups of rows have no such verb; they are aggregated first."""
    query = grouped.table.to_expr()
    verbs = ("agg", "having", "order_by", "mutate", "select", "count", "over")
    known = [*query.columns, *verbs]
    return ColumnNotFoundError(
        f"a grouped query has no column or verb {name!r}.",
        table=table_name(query),
        hint=f"{did_you_mean(name, known)} Aggregate it first: t.group_by(t.name)"
        ".agg(n=ibis._.count()).".lstrip(),
    )


def _hint(query: Any, name: str, verbs: Any) -> str:
    known = list(query.columns)
    meant = did_you_mean(name, [*verbs, *known])
    more = f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
    return f"{meant} Columns are {', '.join(known[:_SHOWN])}{more}.".lstrip()


def _misfit(
    error: SignatureValidationError, query: Any, arguments: tuple[Any, ...]
) -> ExpressionError:
    verb = getattr(error.func, "__name__", "this").lower()
    if verb == "filter":
        for each in _bound(query, arguments):
            if not each.type().is_boolean():
                hint = "t.meta.flag.bool." if each.type().is_json() else "t.year > 2000."
                return ExpressionError(
                    f"a condition is true or false, and {shown_argument(each)} is {each.type()}.",
                    table=table_name(query),
                    hint=f"Make it one: {hint}",
                )
    if verb == "aggregate":
        for name in _columns_aggregated(error):
            return ExpressionError(
                f"an aggregate is one value of many rows, and {name!r} is one of each row.",
                table=table_name(query),
                hint="Compute one: t.n.sum(), t.n.max(), t.n.collect() for a list of all; what "
                "groups have in common is given by group_by() or by=.",
            )
    refused = [
        f"{name}={shown_argument(value)}" for name, value, _ in error.errors if name != "parent"
    ]
    return ExpressionError(
        f"{verb} does not take {', '.join(refused) or 'these arguments'}.",
        table=table_name(query),
        hint="See the types of the columns by .schema().",
    )


def _columns_aggregated(error: SignatureValidationError) -> list[str]:
    """Name the metrics of an aggregation that are columns."""
    given = {name: value for name, value, _ in error.errors if isinstance(value, Mapping)}
    metrics = given.get("metrics", {})
    return [name for name, op in metrics.items() if not op.shape.is_scalar()]


def _bound(query: Any, arguments: tuple[Any, ...]) -> list[ir.Value]:
    flat = [
        each
        for argument in arguments
        for each in (argument if isinstance(argument, list | tuple) else (argument,))
    ]
    try:
        return list(query.bind(*flat))
    except REFUSALS:
        return []


def shown_argument(value: Any) -> str:
    """Write an argument as a message shows it: a column by its name, and no plan of Ibis'."""
    expression = value.to_expr() if isinstance(value, ops.Node) else value
    if isinstance(expression, ir.Value):
        return repr(expression.get_name())
    text = " ".join(repr(value).split())
    return text if len(text) <= _LENGTH else f"{text[:_LENGTH]}…"


def check_select(query: Any, dialect: Any) -> None:
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
        names = [type(each).__name__.upper() for each in statements if each is not None]
        found = f"{len(names)} statements" if len(names) > 1 else (names or ["nothing"])[0]
        raise ExpressionError(
            f"sql() takes one SELECT, and this is {found}.",
            value=query,
            hint="Tables are changed by insert(), update() and delete().",
        )
