"""The SQL that writes to DuckDB.

Built with sqlglot, or of parts that it has quoted; rows of plain values travel as literals.
"""

from __future__ import annotations

import datetime
import functools
from typing import TYPE_CHECKING, Any

import sqlglot.expressions as sge

from barbule.backends.base import FOREVER, RID, TO

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pyarrow as pa

__all__ = [
    "FROM_ARGUMENT",
    "column_of",
    "copying",
    "ending_of",
    "ending_where",
    "filling_by",
    "insert_into",
    "literal",
    "literals",
    "name_of",
    "new_states",
    "quoted",
    "rows_with_values",
]

_LONG_TEXT = 1000  # what is not written into a statement

# sqlglot 28 renamed the argument.
FROM_ARGUMENT = "from_" if "from_" in sge.Update.arg_types else "from"


@functools.cache
def insert_into(name: str, columns: tuple[str, ...]) -> str:
    """Write the beginning of an insert, to which VALUES or a query belongs."""
    return f"INSERT INTO {quoted(name)} ({', '.join(map(quoted, columns))})"


@functools.cache
def copying(name: str, columns: tuple[str, ...], source: str, *, in_turn: bool) -> str:
    """Write the insert of the rows of another relation.

    Parameters
    ----------
    in_turn
        Whether rows go into the table one after the other. Else threads share them, in batches
        that are put together afterwards: rows that fill none are written twice.
    """
    shown = ", ".join(map(quoted, columns))
    copied = f"{insert_into(name, columns)} SELECT {shown} FROM {source}"
    if not in_turn:
        return copied
    # DuckDB shares no rows of which some come from a function, be they none.
    nothing = ", ".join(["NULL"] * len(columns))
    return f"{copied} UNION ALL SELECT {nothing} FROM range(0)"


def ending_of(name: str, commit: int, rids: str) -> str:
    """Write the statement that ends the life of rows, given their identities or a query."""
    return f"UPDATE {quoted(name)} SET {TO} = {commit} WHERE {TO} = {FOREVER} AND {RID} IN ({rids})"


def ending_where(name: str, commit: int, select: sge.Expression) -> str | None:
    """Write the same by the condition of a query that filters the table itself, else None.

    It saves joining the rows with themselves.
    """
    table, where = _filtered(name, select), select.args.get("where")
    if table is None:
        return None
    alive = sge.EQ(this=column_of(TO), expression=sge.Literal.number(FOREVER))
    update = sge.Update(
        this=table,
        expressions=[sge.EQ(this=name_of(TO), expression=sge.Literal.number(commit))],
        where=sge.Where(this=alive if where is None else sge.and_(where.this, alive)),
    )
    return update.sql("duckdb", copy=False)


def _filtered(name: str, select: sge.Expression) -> sge.Table | None:
    """Return the table that a query does no more than filter, by its name there; else None."""
    source, where = select.args.get(FROM_ARGUMENT), select.args.get("where")
    parts = {part for part, value in select.args.items() if value}
    if not parts <= {"expressions", FROM_ARGUMENT, "where"} or source is None:
        return None
    table = source.this
    if not isinstance(table, sge.Table) or table.name != name:
        return None
    return None if where is not None and where.find(sge.Query) else table


def new_states(name: str, select: sge.Expression, commit: int, kept: Sequence[str]) -> str:
    """Write the query of new states of rows: what a query gives, what is kept, from a commit on."""
    life = [sge.Literal.number(commit), sge.Literal.number(FOREVER)]
    table = _filtered(name, select)
    if table is not None and not select.find(sge.Star):
        rest = [column_of(each, table.alias_or_name) for each in kept]
        return select.select(*rest, *life, copy=False).sql("duckdb")
    given, stored = "bb_given", "bb_stored"
    same = sge.EQ(this=column_of(RID, given), expression=column_of(RID, stored))
    alive = sge.EQ(this=column_of(TO, stored), expression=sge.Literal.number(FOREVER))
    rest = [column_of(each, stored) for each in kept]
    whole = sge.Column(this=sge.Star(), table=name_of(given))
    return (
        sge.Select(expressions=[whole, *rest, *life])
        .from_(select.subquery(name_of(given)))
        .join(sge.Table(this=name_of(name), alias=name_of(stored)), on=same)
        .where(alive)
        .sql("duckdb")
    )


def filling_by(name: str, columns: Sequence[str], select: sge.Expression) -> str:
    """Write the statement that sets columns of live rows to what a query of them gives."""
    table, given = _filtered(name, select), "bb_given"
    conditions, rest = [], {}
    if table is None or select.find(sge.Star):  # by identity
        table, of = sge.Table(this=name_of(name)), name
        values = {each: column_of(each, given) for each in columns}
        conditions.append(sge.EQ(this=column_of(RID, given), expression=column_of(RID, name)))
        rest[FROM_ARGUMENT] = sge.From(this=select.subquery(name_of(given)))
    else:
        of = table.alias_or_name
        values = {each.alias_or_name: each.unalias() for each in select.expressions}
        conditions += [where.this] if (where := select.args.get("where")) else []
    conditions.append(sge.EQ(this=column_of(TO, of), expression=sge.Literal.number(FOREVER)))
    update = sge.Update(
        this=table,
        expressions=[
            sge.EQ(this=name_of(each), expression=values[each]) for each in columns if each != RID
        ],
        where=sge.Where(this=sge.and_(*conditions)),
        **rest,
    )
    return update.sql("duckdb")


def rows_with_values(
    name: str, columns: tuple[str, ...], column: str, values: Sequence[str]
) -> str:
    """Write the query of the rows in which a column has one of some texts."""
    return (
        f"{_selection(name, columns)} WHERE {quoted(column)} IN ({', '.join(map(_text, values))})"
    )


@functools.cache
def _selection(name: str, columns: tuple[str, ...]) -> str:
    return f"SELECT {', '.join(map(quoted, columns))} FROM {quoted(name)}"


@functools.cache
def quoted(name: str) -> str:
    """Write a name."""
    return name_of(name).sql("duckdb")


def literal(value: Any) -> str:
    """Write a plain value."""
    if isinstance(value, datetime.datetime):
        return sge.cast(sge.Literal.string(value.isoformat()), "timestamptz").sql("duckdb")
    return sge.convert(value).sql("duckdb")


def _text(value: str) -> str:
    escaped = value.replace("'", "''")
    if "\0" in escaped:  # at which a statement ends
        return "('" + escaped.replace("\0", "' || chr(0) || '") + "')"
    return f"'{escaped}'"


# How a value of an Arrow type is written, exactly: DuckDB reads a bare 0.7 as a decimal.
_LITERALS: dict[str, Callable[[Any], str]] = {
    "bool": str,
    "double": lambda value: f"'{value!r}'::DOUBLE",
    "float": lambda value: f"'{value!r}'::FLOAT",
    "large_string": _text,
    "null": str,
    "string": _text,
    **{f"{sign}int{bits}": str for sign in ("", "u") for bits in (8, 16, 32, 64)},
}


def literals(rows: pa.Table) -> str | None:
    """Write rows of plain values as the tuples of a VALUES clause; None where that is not exact."""
    kinds = [str(field.type) for field in rows.schema]
    if not all(kind in _LITERALS for kind in kinds):
        return None
    columns = [column.to_pylist() for column in rows.columns]
    texts = [value for column in columns for value in column if isinstance(value, str)]
    if any(len(text) > _LONG_TEXT or "\0" in text for text in texts):
        return None
    written = [
        ["NULL" if value is None else write(value) for value in column]
        for write, column in zip((_LITERALS[kind] for kind in kinds), columns, strict=True)
    ]
    return ", ".join(f"({', '.join(row)})" for row in zip(*written, strict=True))


def name_of(name: str) -> sge.Identifier:
    """Make an identifier, quoted as it is."""
    return sge.to_identifier(name, quoted=True)


def column_of(name: str, table: str | None = None) -> sge.Column:
    """Make the reference to a column."""
    return sge.Column(this=name_of(name), table=name_of(table) if table else None)
