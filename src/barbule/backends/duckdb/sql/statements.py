"""The statements that write to DuckDB.

Names are quoted by sqlglot, and values are literals or parameters: neither can become SQL.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import sqlglot.expressions as sge
from ibis.backends.sql.datatypes import DuckDBType

from barbule.backends.base import FOREVER, FROM, RID, TO
from barbule.backends.duckdb.sql.literals import string_literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import ibis.expr.datatypes as dt
    import ibis.expr.schema as sch

# sqlglot 28 renamed the argument.
_FROM_ARGUMENT = "from_" if "from_" in sge.Update.arg_types else "from"
_QUERY, _STORED = "bb_query", "bb_stored"  # names of relations within a statement


def identifier(name: str) -> sge.Identifier:
    """Return a quoted identifier."""
    return sge.to_identifier(name, quoted=True)


def column_reference(name: str, table: str | None = None) -> sge.Column:
    """Return a reference to a column."""
    return sge.Column(this=identifier(name), table=identifier(table) if table else None)


@functools.cache
def quoted(name: str) -> str:
    """Write a quoted identifier."""
    return identifier(name).sql("duckdb")


def _table(name: str) -> sge.Table:
    return sge.Table(this=identifier(name))


def _number(value: int) -> sge.Literal:
    return sge.Literal.number(value)


def _is_live(table: str | None = None) -> sge.Expression:
    return sge.EQ(this=column_reference(TO, table), expression=_number(FOREVER))


def _column_type(dtype: dt.DataType) -> sge.Expression:
    return DuckDBType.from_ibis(dtype.copy(nullable=True))


@functools.lru_cache(maxsize=1024)
def _type_text(dtype: dt.DataType) -> str:
    return _column_type(dtype).sql("duckdb")


# Tables and columns


def create_table(name: str, schema: sch.Schema) -> str:
    """Create a table; a new database has several, so the types are not written anew for each."""
    columns = ", ".join(f"{quoted(each)} {_type_text(dtype)}" for each, dtype in schema.items())
    return f"CREATE TABLE {quoted(name)} ({columns})"


def drop_table(name: str) -> str:
    """Drop a table, if it exists."""
    return f"DROP TABLE IF EXISTS {quoted(name)}"


def add_column(name: str, column: str, dtype: dt.DataType) -> str:
    """Add a column."""
    action = sge.ColumnDef(this=identifier(column), kind=_column_type(dtype))
    return sge.Alter(this=_table(name), kind="TABLE", actions=[action]).sql("duckdb")


def drop_column(name: str, column: str) -> str:
    """Drop a column, if it exists."""
    action = sge.Drop(this=sge.Column(this=identifier(column)), kind="COLUMN", exists=True)
    return sge.Alter(this=_table(name), kind="TABLE", actions=[action]).sql("duckdb")


# Inserts


@functools.cache
def insert_into(name: str, columns: tuple[str, ...]) -> str:
    """Write the beginning of an insert, before VALUES or a query."""
    return f"INSERT INTO {quoted(name)} ({', '.join(map(quoted, columns))})"


@functools.cache
def insert_relation(name: str, columns: tuple[str, ...], source: str, *, in_turn: bool) -> str:
    """Insert the rows of another relation.

    Parameters
    ----------
    in_turn
        Whether rows are written one after the other. Otherwise threads share them, in batches that
        are merged afterwards: rows that do not fill a batch are written twice.
    """
    selected = ", ".join(map(quoted, columns))
    insert = f"{insert_into(name, columns)} SELECT {selected} FROM {source}"
    if not in_turn:
        return insert
    # DuckDB does not share the rows of a query that has a table function, even an empty one.
    nulls = ", ".join(["NULL"] * len(columns))
    return f"{insert} UNION ALL SELECT {nulls} FROM range(0)"


# The lifetime of rows


def end_rows(name: str, commit: int, rids: str) -> str:
    """End live rows, given a list of their ids or a query of them."""
    return f"UPDATE {quoted(name)} SET {TO} = {commit} WHERE {TO} = {FOREVER} AND {RID} IN ({rids})"


def end_filtered_rows(name: str, commit: int, select: sge.Expression) -> str | None:
    """End the live rows of a query by its condition, if it only filters the table.

    This saves a join of the rows with themselves. None if the query does more.
    """
    table, where = _filtered_table(name, select), select.args.get("where")
    if table is None:
        return None
    update = sge.Update(
        this=table,
        expressions=[sge.EQ(this=identifier(TO), expression=_number(commit))],
        where=sge.Where(this=_is_live() if where is None else sge.and_(where.this, _is_live())),
    )
    return update.sql("duckdb", copy=False)


def _filtered_table(name: str, select: sge.Expression) -> sge.Table | None:
    """Return the table with this name in a query that only filters it; else None."""
    source, where = select.args.get(_FROM_ARGUMENT), select.args.get("where")
    clauses = {clause for clause, value in select.args.items() if value}
    if not clauses <= {"expressions", _FROM_ARGUMENT, "where"} or source is None:
        return None
    table = source.this
    if not isinstance(table, sge.Table) or table.name != name:
        return None
    return None if where is not None and where.find(sge.Query) else table


def select_new_states(
    name: str, select: sge.Expression, commit: int, unchanged: Sequence[str]
) -> str:
    """Write the query of new states of rows.

    Parameters
    ----------
    select
        The query of their row ids and new values.
    commit
        The commit at which they begin.
    unchanged
        Columns that keep the values of the live rows.
    """
    life = [_number(commit), _number(FOREVER)]
    table = _filtered_table(name, select)
    if table is not None and not select.find(sge.Star):
        columns = [column_reference(column, table.alias_or_name) for column in unchanged]
        return select.select(*columns, *life, copy=False).sql("duckdb")
    same = sge.EQ(this=column_reference(RID, _QUERY), expression=column_reference(RID, _STORED))
    columns = [column_reference(column, _STORED) for column in unchanged]
    star = sge.Column(this=sge.Star(), table=identifier(_QUERY))
    return (
        sge.Select(expressions=[star, *columns, *life])
        .from_(select.subquery(identifier(_QUERY)))
        .join(sge.Table(this=identifier(name), alias=identifier(_STORED)), on=same)
        .where(_is_live(_STORED))
        .sql("duckdb")
    )


def purge_rows(name: str, before: int, retained: Sequence[int]) -> str:
    """Delete ended rows, except those that were live at a retained commit."""
    ended = sge.LTE(this=column_reference(TO), expression=_number(before))
    lived = [
        sge.and_(
            sge.LTE(this=column_reference(FROM), expression=_number(commit)),
            sge.GT(this=column_reference(TO), expression=_number(commit)),
        )
        for commit in retained
    ]
    where = sge.and_(ended, sge.not_(sge.or_(*lived))) if lived else ended
    return sge.Delete(this=_table(name), where=sge.Where(this=where)).sql("duckdb")


# Values


def fill_column(name: str, column: str, source: str) -> str:
    """Set a column of live rows from another relation."""
    same = sge.EQ(this=column_reference(RID, name), expression=column_reference(RID, source))
    value = column_reference(column, source)
    update = sge.Update(
        this=_table(name),
        expressions=[sge.EQ(this=identifier(column), expression=value)],
        **{_FROM_ARGUMENT: sge.From(this=_table(source))},
        where=sge.Where(this=sge.and_(_is_live(name), same)),
    )
    return update.sql("duckdb")


def fill_columns(name: str, columns: Sequence[str], select: sge.Expression) -> str:
    """Set columns of live rows to the values of a query over them."""
    table = _filtered_table(name, select)
    conditions: list[sge.Expression] = []
    sources: dict[str, Any] = {}
    if table is None or select.find(sge.Star):  # by identity
        table, alias = _table(name), name
        values = {column: column_reference(column, _QUERY) for column in columns}
        conditions.append(
            sge.EQ(this=column_reference(RID, _QUERY), expression=column_reference(RID, name))
        )
        sources[_FROM_ARGUMENT] = sge.From(this=select.subquery(identifier(_QUERY)))
    else:
        alias = table.alias_or_name
        values = {value.alias_or_name: value.unalias() for value in select.expressions}
        conditions += [where.this] if (where := select.args.get("where")) else []
    conditions.append(_is_live(alias))
    update = sge.Update(
        this=table,
        expressions=[
            sge.EQ(this=identifier(column), expression=values[column])
            for column in columns
            if column != RID
        ],
        where=sge.Where(this=sge.and_(*conditions)),
        **sources,
    )
    return update.sql("duckdb")


def delete_rows(name: str, predicate: Mapping[str, object]) -> str:
    """Delete the rows whose columns have these values."""
    conditions: list[sge.Expression] = [
        sge.EQ(this=column_reference(column), expression=sge.convert(value))
        for column, value in predicate.items()
    ]
    where = sge.Where(this=sge.and_(*conditions))
    return sge.Delete(this=_table(name), where=where).sql("duckdb")


def delete_listed_rows(name: str, column: str, source: str) -> str:
    """Delete the rows in which a column has a value that the column has in another relation."""
    values = f"SELECT {quoted(column)} FROM {quoted(source)}"
    return f"DELETE FROM {quoted(name)} WHERE {quoted(column)} IN ({values})"


# Queries


def select_rows_with_values(
    name: str, columns: tuple[str, ...], column: str, values: Sequence[str]
) -> str:
    """Select the rows whose value in a column of strings is one of these."""
    listed = ", ".join(map(string_literal, values))
    return f"{_select(name, columns)} WHERE {quoted(column)} IN ({listed})"


@functools.cache
def _select(name: str, columns: tuple[str, ...]) -> str:
    return f"SELECT {', '.join(map(quoted, columns))} FROM {quoted(name)}"


def select_ended_rids(name: str, since: int, until: int) -> str:
    """Select the ids of rows of which a state has ended between two commits."""
    return f"SELECT DISTINCT {RID} FROM {quoted(name)} WHERE {TO} > {since} AND {TO} <= {until}"


def select_new_values(name: str, column: str, since: int, until: int) -> str:
    """Select row id and column of states that began between two commits and are live."""
    value = quoted(column)
    began = f"{FROM} > {since} AND {FROM} <= {until} AND {TO} > {until}"
    return f"SELECT {RID}, {value} FROM {quoted(name)} WHERE {began} AND {value} IS NOT NULL"
