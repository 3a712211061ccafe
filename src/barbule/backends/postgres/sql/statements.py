"""The statements of the adapter, built with sqlglot.

Owns that names and values reach SQL as names and values, and no other way; and that names longer
than Postgres allows stay different from each other.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt
import sqlglot.expressions as sge

from barbule.backends.base import FOREVER, FROM, RID, TO
from barbule.backends.postgres.sql.column_types import column_type
from barbule.backends.postgres.sql.literals import cell_text, json_places

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import ibis.expr.schema as sch

_NAME_BYTES = 63  # what follows is cut off by Postgres
_HASH_DIGITS = 16
_NOTE = "barbule: JSON at "  # before the comment on a column

# sqlglot 28 renamed the argument.
_FROM_ARGUMENT = "from_" if "from_" in sge.Update.arg_types else "from"
_COLUMN_TYPES = (
    "SELECT attname, format_type(atttypid, atttypmod), "
    "col_description(attrelid, attnum) FROM pg_attribute "
    "WHERE attrelid = {}::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
)


def short(name: str) -> str:
    """Return a name as Postgres keeps it: a long one ends with a hash of the whole.

    Examples
    --------
    >>> short("films"), len(short("x" * 100))
    ('films', 63)
    """
    plain = name.encode()
    if len(plain) <= _NAME_BYTES:
        return name
    digest = hashlib.sha256(plain).hexdigest()[:_HASH_DIGITS]
    return plain[: _NAME_BYTES - _HASH_DIGITS].decode(errors="ignore") + digest


def shortened(tree: sge.Expression) -> sge.Expression:
    """Shorten the names in a statement, in place."""
    for identifier in tree.find_all(sge.Identifier):
        if len(identifier.this) * 4 > _NAME_BYTES:
            identifier.set("this", short(identifier.this))
    return tree


def text(statement: sge.Expression) -> str:
    """Write a statement in Postgres' SQL."""
    return statement.sql("postgres")


def name_of(name: str) -> sge.Identifier:
    """Make a name."""
    return sge.to_identifier(short(name), quoted=True)


def _column(name: str, table: str | None = None) -> sge.Column:
    return sge.Column(this=name_of(name), table=name_of(table) if table else None)


def _table(name: str) -> sge.Table:
    return sge.Table(this=name_of(name))


def _number(value: int) -> sge.Literal:
    return sge.Literal.number(value)


def _live(table: str | None = None) -> sge.Expression:
    return sge.EQ(this=_column(TO, table), expression=_number(FOREVER))


def constant(value: Any, dtype: dt.DataType | None = None) -> sge.Expression:
    """Make a constant; Postgres gives it the type of the column that it is for."""
    return sge.Null() if value is None else sge.Literal.string(cell_text(value, dtype))


def create(name: str, schema: sch.Schema, *, temporary: bool = False) -> sge.Expression:
    """Create a table."""
    columns = [
        sge.ColumnDef(this=name_of(column), kind=column_type(kind))
        for column, kind in schema.items()
    ]
    properties = sge.Properties(expressions=[sge.TemporaryProperty()]) if temporary else None
    target = sge.Schema(this=_table(name), expressions=columns)
    return sge.Create(this=target, kind="TABLE", properties=properties)


def create_like(name: str, other: str, columns: Iterable[str]) -> sge.Expression:
    """Create a temporary table with some columns of another."""
    query = sge.Select(expressions=[_column(column) for column in columns])
    return sge.Create(
        this=_table(name),
        kind="TABLE",
        properties=sge.Properties(expressions=[sge.TemporaryProperty()]),
        expression=query.from_(_table(other)).limit(0),
    )


def create_index(table: str, column: str) -> sge.Expression:
    """Create an index."""
    parameters = sge.IndexParameters(using=sge.Var(this="BTREE"), columns=[_column(column)])
    return sge.Create(this=sge.Index(table=_table(table), params=parameters), kind="INDEX")


def drop(name: str) -> sge.Expression:
    """Drop a table, if it is there."""
    return sge.Drop(this=_table(name), kind="TABLE", exists=True)


def drop_column(name: str, column: str) -> sge.Expression:
    """Drop a column, if it is there."""
    action = sge.Drop(this=_column(column), kind="COLUMN", exists=True)
    return sge.Alter(this=_table(name), kind="TABLE", actions=[action])


def add_column(name: str, column: str, dtype: dt.DataType) -> sge.Expression:
    """Add a column."""
    action = sge.ColumnDef(this=name_of(column), kind=column_type(dtype))
    return sge.Alter(this=_table(name), kind="TABLE", actions=[action])


def comment_on(name: str, column: str, dtype: dt.DataType) -> sge.Expression | None:
    """Note where a column holds JSON within something else; None when it does not."""
    places = json_places(dtype)
    if not places or isinstance(dtype, dt.JSON):
        return None
    return sge.Comment(
        this=_column(column, name),
        kind="COLUMN",
        expression=sge.Literal.string(f"{_NOTE}{json.dumps(places)}"),
    )


def noted(comment: str | None) -> Any:
    """Read where a column holds JSON, from its comment."""
    return json.loads(comment[len(_NOTE) :]) if comment and comment.startswith(_NOTE) else None


def insert(name: str, rows: Sequence[Mapping[str, Any]]) -> sge.Expression:
    """Insert plain values."""
    target = sge.Schema(this=_table(name), expressions=[name_of(column) for column in rows[0]])
    values = [sge.Tuple(expressions=[constant(value) for value in row.values()]) for row in rows]
    return sge.Insert(this=target, expression=sge.Values(expressions=values))


def close(name: str, rids: Sequence[int], commit: int) -> sge.Expression:
    """End live rows."""
    ids = sge.Literal.string("{" + ",".join(map(str, rids)) + "}")
    chosen = sge.EQ(
        this=_column(RID), expression=sge.Any(this=sge.Paren(this=sge.cast(ids, "bigint[]")))
    )
    return sge.Update(
        this=_table(name),
        expressions=[sge.EQ(this=name_of(TO), expression=_number(commit))],
        where=sge.Where(this=sge.and_(_live(), chosen)),
    )


def new_states(
    name: str, source: str, given: Sequence[str], commit: int, kept: Sequence[str]
) -> sge.Expression:
    """Insert new states of live rows: columns that a table gives, and those that are kept."""
    same = sge.EQ(this=_column(RID, source), expression=_column(RID, name))
    values = [_column(each, source) for each in given] + [_column(each, name) for each in kept]
    states = (
        sge.Select(expressions=[*values, _number(commit), _number(FOREVER)])
        .from_(_table(source))
        .join(_table(name), on=same)
        .where(_live(name))
    )
    columns = [name_of(each) for each in (*given, *kept, FROM, TO)]
    return sge.Insert(this=sge.Schema(this=_table(name), expressions=columns), expression=states)


def close_replaced(name: str, commit: int) -> sge.Expression:
    """End live rows of which a commit has written a newer state."""
    newer = (
        sge.Select(expressions=[_column(RID)])
        .from_(_table(name))
        .where(sge.EQ(this=_column(FROM), expression=_number(commit)))
    )
    chosen = sge.In(this=_column(RID), query=newer.subquery())
    older = sge.LT(this=_column(FROM), expression=_number(commit))
    return sge.Update(
        this=_table(name),
        expressions=[sge.EQ(this=name_of(TO), expression=_number(commit))],
        where=sge.Where(this=sge.and_(_live(), older, chosen)),
    )


def fill(name: str, column: str, source: str) -> sge.Expression:
    """Set a column of live rows from another table."""
    same = sge.EQ(this=_column(RID, name), expression=_column(RID, source))
    return sge.Update(
        this=_table(name),
        expressions=[sge.EQ(this=name_of(column), expression=_column(column, source))],
        **{_FROM_ARGUMENT: sge.From(this=_table(source))},
        where=sge.Where(this=sge.and_(_live(name), same)),
    )


def delete(name: str, predicate: Mapping[str, Any]) -> sge.Expression:
    """Delete rows by values."""
    conditions = [
        sge.Is(this=_column(column), expression=sge.Null())
        if value is None
        else sge.EQ(this=_column(column), expression=constant(value))
        for column, value in predicate.items()
    ]
    return sge.Delete(this=_table(name), where=sge.Where(this=sge.and_(*conditions)))


def rows_with_values(
    name: str, columns: Sequence[str], column: str, values: Sequence[str]
) -> sge.Expression:
    """Ask for the rows in which a column has one of some texts."""
    among = sge.In(this=_column(column), expressions=[constant(value) for value in values])
    return (
        sge.Select(expressions=[_column(each) for each in columns]).from_(_table(name)).where(among)
    )


def delete_with_values(
    name: str, column: str, values: Sequence[str] | Sequence[int]
) -> sge.Expression:
    """Delete the rows in which a column has one of these values."""
    among = sge.In(this=_column(column), expressions=[constant(value) for value in values])
    return sge.Delete(this=_table(name), where=sge.Where(this=among))


def purge(name: str, before: int, keep: Sequence[int]) -> sge.Expression:
    """Delete ended rows, but those that lived at a commit to keep."""
    ended = sge.LTE(this=_column(TO), expression=_number(before))
    lived = [
        sge.and_(
            sge.LTE(this=_column(FROM), expression=_number(commit)),
            sge.GT(this=_column(TO), expression=_number(commit)),
        )
        for commit in keep
    ]
    where = sge.and_(ended, sge.not_(sge.or_(*lived))) if lived else ended
    return sge.Delete(this=_table(name), where=sge.Where(this=where))


def column_types(name: str) -> str:
    """Ask for the names and types of a table's columns."""
    quoted = sge.Literal.string(text(name_of(name)))
    return _COLUMN_TYPES.format(text(quoted))


def create_view(name: str, query: sge.Expression) -> sge.Expression:
    """Create a temporary view."""
    properties = sge.Properties(expressions=[sge.TemporaryProperty()])
    return sge.Create(this=_table(name), kind="VIEW", properties=properties, expression=query)


def drop_view(name: str) -> sge.Expression:
    """Drop a view."""
    return sge.Drop(this=_table(name), kind="VIEW", exists=True)


def declare(name: str, query: str) -> str:
    """Open a cursor over a query that was written here."""
    return f"DECLARE {text(name_of(name))} NO SCROLL CURSOR FOR {query}"


def fetch(name: str, count: int) -> str:
    """Take rows of a cursor."""
    return f"FETCH FORWARD {count:d} FROM {text(name_of(name))}"


def close_cursor(name: str) -> str:
    """Close a cursor."""
    return f"CLOSE {text(name_of(name))}"


def values_named(name: str, schema: sch.Schema, rows: Sequence[Sequence[Any]]) -> sge.CTE:
    """Make a few rows readable in a statement, under a name."""
    kinds = schema.types
    if rows:
        cells = [
            [constant(value, kind) for value, kind in zip(row, kinds, strict=True)] for row in rows
        ]
        # The types of the first row are those of all.
        cells[0] = [
            sge.Cast(this=cell, to=column_type(kind))
            for cell, kind in zip(cells[0], kinds, strict=True)
        ]
        source: sge.Expression = sge.Values(
            expressions=[sge.Tuple(expressions=row) for row in cells]
        )
    else:
        nothing = [sge.Cast(this=sge.Null(), to=column_type(kind)) for kind in kinds]
        source = sge.Select(expressions=nothing).where(sge.false())
    return _cte(name, source, [name_of(column) for column in schema.names])


def table_named(name: str, table: str) -> sge.CTE:
    """Make a table readable in a statement under another name."""
    return _cte(name, sge.Select(expressions=[sge.Star()]).from_(_table(table)), [])


def _cte(name: str, source: sge.Expression, columns: list[sge.Identifier]) -> sge.CTE:
    alias = sge.TableAlias(this=name_of(name), columns=columns)
    return sge.CTE(this=source, alias=alias, materialized=False)


def with_sources(tree: sge.Expression, sources: list[sge.CTE]) -> sge.Expression:
    """Put sources before a query, so that all parts of it can read them."""
    if not sources:
        return tree
    key = "with_" if "with_" in sge.Select.arg_types else "with"
    known = tree.args.get(key)
    if known is None:
        tree.set(key, sge.With(expressions=sources))
    else:
        known.set("expressions", [*sources, *known.expressions])
    return tree
