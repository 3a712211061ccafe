"""The statements of the adapter, built with sqlglot.

Names are quoted and values are literals: neither can become SQL. Names longer than Postgres allows
are shortened so that they stay distinct.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt
import sqlglot.expressions as sge

from barbule.backends.base import FOREVER, FROM, RID, TO
from barbule.backends.postgres.sql.column_types import column_type
from barbule.backends.postgres.sql.literals import json_paths, value_text
from barbule.json_codec import to_ascii

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import ibis.expr.schema as sch

    from barbule.backends.postgres.sql.literals import JSONPaths

_MAX_NAME_BYTES = 63  # of an identifier
_HASH_DIGITS = 16
_JSON_COMMENT = "barbule: JSON at "  # the beginning of a comment on a column

# sqlglot 28 renamed the argument.
_FROM_ARGUMENT = "from_" if "from_" in sge.Update.arg_types else "from"
_COLUMN_TYPES = (
    "SELECT attname, format_type(atttypid, atttypmod), "
    "col_description(attrelid, attnum) FROM pg_attribute "
    "WHERE attrelid = {}::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
)


def stored_name(name: str) -> str:
    """Return a name as Postgres stores it: a long one ends with a hash.

    Examples
    --------
    >>> stored_name("films"), len(stored_name("x" * 100))
    ('films', 63)
    """
    plain = name.encode()
    if len(plain) <= _MAX_NAME_BYTES:
        return name
    digest = hashlib.sha256(plain).hexdigest()[:_HASH_DIGITS]
    return plain[: _MAX_NAME_BYTES - _HASH_DIGITS].decode(errors="ignore") + digest


def with_stored_names(tree: sge.Expression) -> sge.Expression:
    """Shorten the names in a statement, in place."""
    for node in tree.find_all(sge.Identifier):
        if len(node.this) * 4 > _MAX_NAME_BYTES:
            node.set("this", stored_name(node.this))
    return tree


def to_sql(statement: sge.Expression) -> str:
    """Write a statement in Postgres' SQL."""
    return statement.sql("postgres")


def identifier(name: str) -> sge.Identifier:
    """Return a quoted identifier."""
    return sge.to_identifier(stored_name(name), quoted=True)


def _column_reference(name: str, table: str | None = None) -> sge.Column:
    return sge.Column(this=identifier(name), table=identifier(table) if table else None)


def _table(name: str) -> sge.Table:
    return sge.Table(this=identifier(name))


def _number(value: int) -> sge.Literal:
    return sge.Literal.number(value)


def _is_live(table: str | None = None) -> sge.Expression:
    return sge.EQ(this=_column_reference(TO, table), expression=_number(FOREVER))


def literal(value: object, dtype: dt.DataType | None = None) -> sge.Expression:
    """Return a literal; Postgres casts it to the type of its column."""
    return sge.Null() if value is None else sge.Literal.string(value_text(value, dtype))


def create_table(name: str, schema: sch.Schema, *, temporary: bool = False) -> sge.Expression:
    """Create a table."""
    columns = [
        sge.ColumnDef(this=identifier(column), kind=column_type(dtype))
        for column, dtype in schema.items()
    ]
    properties = sge.Properties(expressions=[sge.TemporaryProperty()]) if temporary else None
    target = sge.Schema(this=_table(name), expressions=columns)
    return sge.Create(this=target, kind="TABLE", properties=properties)


def create_temporary_like(name: str, other: str, columns: Iterable[str]) -> sge.Expression:
    """Create a temporary table with some columns of another."""
    query = sge.Select(expressions=[_column_reference(column) for column in columns])
    return sge.Create(
        this=_table(name),
        kind="TABLE",
        properties=sge.Properties(expressions=[sge.TemporaryProperty()]),
        expression=query.from_(_table(other)).limit(0),
    )


def create_index(table: str, column: str) -> sge.Expression:
    """Create an index."""
    columns = [_column_reference(column)]
    parameters = sge.IndexParameters(using=sge.Var(this="BTREE"), columns=columns)
    return sge.Create(this=sge.Index(table=_table(table), params=parameters), kind="INDEX")


def drop_table(name: str) -> sge.Expression:
    """Drop a table, if it exists."""
    return sge.Drop(this=_table(name), kind="TABLE", exists=True)


def drop_column(name: str, column: str) -> sge.Expression:
    """Drop a column, if it exists."""
    action = sge.Drop(this=_column_reference(column), kind="COLUMN", exists=True)
    return sge.Alter(this=_table(name), kind="TABLE", actions=[action])


def add_column(name: str, column: str, dtype: dt.DataType) -> sge.Expression:
    """Add a column."""
    action = sge.ColumnDef(this=identifier(column), kind=column_type(dtype))
    return sge.Alter(this=_table(name), kind="TABLE", actions=[action])


def comment_on_json(name: str, column: str, dtype: dt.DataType) -> sge.Expression | None:
    """Comment on a column that contains JSON in another type; None if it does not."""
    paths = json_paths(dtype)
    if not paths or isinstance(dtype, dt.JSON):
        return None
    return sge.Comment(
        this=_column_reference(column, name),
        kind="COLUMN",
        expression=sge.Literal.string(f"{_JSON_COMMENT}{to_ascii(paths)}"),
    )


def json_paths_of_comment(comment: str | None) -> JSONPaths:
    """Parse where a column contains JSON, from its comment."""
    return (
        json.loads(comment[len(_JSON_COMMENT) :])
        if comment and comment.startswith(_JSON_COMMENT)
        else None
    )


def insert_rows(name: str, rows: Sequence[Mapping[str, Any]]) -> sge.Expression:
    """Insert plain values."""
    target = sge.Schema(this=_table(name), expressions=[identifier(column) for column in rows[0]])
    values = [sge.Tuple(expressions=[literal(value) for value in row.values()]) for row in rows]
    return sge.Insert(this=target, expression=sge.Values(expressions=values))


def end_rows(name: str, commit: int, rids: Sequence[int]) -> sge.Expression:
    """End live rows with these ids."""
    ids = sge.Literal.string("{" + ",".join(map(str, rids)) + "}")
    any_id = sge.Any(this=sge.Paren(this=sge.cast(ids, "bigint[]")))
    listed = sge.EQ(this=_column_reference(RID), expression=any_id)
    return sge.Update(
        this=_table(name),
        expressions=[sge.EQ(this=identifier(TO), expression=_number(commit))],
        where=sge.Where(this=sge.and_(_is_live(), listed)),
    )


def insert_new_states(
    name: str, source: str, changed: Sequence[str], commit: int, unchanged: Sequence[str]
) -> sge.Expression:
    """Insert new states of live rows: some columns from a table, others unchanged."""
    same = sge.EQ(this=_column_reference(RID, source), expression=_column_reference(RID, name))
    values = [_column_reference(column, source) for column in changed]
    values += [_column_reference(column, name) for column in unchanged]
    states = (
        sge.Select(expressions=[*values, _number(commit), _number(FOREVER)])
        .from_(_table(source))
        .join(_table(name), on=same)
        .where(_is_live(name))
    )
    columns = [identifier(column) for column in (*changed, *unchanged, FROM, TO)]
    return sge.Insert(this=sge.Schema(this=_table(name), expressions=columns), expression=states)


def end_replaced_rows(name: str, commit: int) -> sge.Expression:
    """End live rows of which a commit has written a newer state."""
    newer = (
        sge.Select(expressions=[_column_reference(RID)])
        .from_(_table(name))
        .where(sge.EQ(this=_column_reference(FROM), expression=_number(commit)))
    )
    replaced = sge.In(this=_column_reference(RID), query=newer.subquery())
    older = sge.LT(this=_column_reference(FROM), expression=_number(commit))
    return sge.Update(
        this=_table(name),
        expressions=[sge.EQ(this=identifier(TO), expression=_number(commit))],
        where=sge.Where(this=sge.and_(_is_live(), older, replaced)),
    )


def fill_column(name: str, column: str, source: str) -> sge.Expression:
    """Set a column of live rows from another relation."""
    same = sge.EQ(this=_column_reference(RID, name), expression=_column_reference(RID, source))
    return sge.Update(
        this=_table(name),
        expressions=[sge.EQ(this=identifier(column), expression=_column_reference(column, source))],
        **{_FROM_ARGUMENT: sge.From(this=_table(source))},
        where=sge.Where(this=sge.and_(_is_live(name), same)),
    )


def delete_rows(name: str, predicate: Mapping[str, Any]) -> sge.Expression:
    """Delete the rows whose columns have these values."""
    conditions = [
        sge.Is(this=_column_reference(column), expression=sge.Null())
        if value is None
        else sge.EQ(this=_column_reference(column), expression=literal(value))
        for column, value in predicate.items()
    ]
    return sge.Delete(this=_table(name), where=sge.Where(this=sge.and_(*conditions)))


def select_rows_with_values(
    name: str, columns: Sequence[str], column: str, values: Sequence[str]
) -> sge.Expression:
    """Select the rows whose value in a column of strings is one of these."""
    listed = sge.In(
        this=_column_reference(column), expressions=[literal(value) for value in values]
    )
    return (
        sge.Select(expressions=[_column_reference(selected) for selected in columns])
        .from_(_table(name))
        .where(listed)
    )


def delete_rows_with_values(
    name: str, column: str, values: Sequence[str] | Sequence[int]
) -> sge.Expression:
    """Delete the rows whose value in a column is one of these."""
    listed = sge.In(
        this=_column_reference(column), expressions=[literal(value) for value in values]
    )
    return sge.Delete(this=_table(name), where=sge.Where(this=listed))


def purge_rows(name: str, before: int, retained: Sequence[int]) -> sge.Expression:
    """Delete ended rows, except those that were live at a retained commit."""
    ended = sge.LTE(this=_column_reference(TO), expression=_number(before))
    lived = [
        sge.and_(
            sge.LTE(this=_column_reference(FROM), expression=_number(commit)),
            sge.GT(this=_column_reference(TO), expression=_number(commit)),
        )
        for commit in retained
    ]
    where = sge.and_(ended, sge.not_(sge.or_(*lived))) if lived else ended
    return sge.Delete(this=_table(name), where=sge.Where(this=where))


def select_column_types(name: str) -> str:
    """Select the names, types and comments of a table's columns."""
    quoted = sge.Literal.string(to_sql(identifier(name)))
    return _COLUMN_TYPES.format(to_sql(quoted))


def create_view(name: str, query: sge.Expression) -> sge.Expression:
    """Create a temporary view."""
    properties = sge.Properties(expressions=[sge.TemporaryProperty()])
    return sge.Create(this=_table(name), kind="VIEW", properties=properties, expression=query)


def drop_view(name: str) -> sge.Expression:
    """Drop a view."""
    return sge.Drop(this=_table(name), kind="VIEW", exists=True)


def declare_cursor(name: str, query: str) -> str:
    """Open a cursor over a query."""
    return f"DECLARE {to_sql(identifier(name))} NO SCROLL CURSOR FOR {query}"


def fetch_rows(name: str, count: int) -> str:
    """Fetch rows of a cursor."""
    return f"FETCH FORWARD {count:d} FROM {to_sql(identifier(name))}"


def close_cursor(name: str) -> str:
    """Close a cursor."""
    return f"CLOSE {to_sql(identifier(name))}"


def values_cte(name: str, schema: sch.Schema, rows: Sequence[Sequence[Any]]) -> sge.CTE:
    """Return a few rows as a common table expression."""
    dtypes = schema.types
    if rows:
        cells = [
            [literal(value, dtype) for value, dtype in zip(row, dtypes, strict=True)]
            for row in rows
        ]
        # The types of the first row are those of all rows.
        cells[0] = [
            sge.Cast(this=cell, to=column_type(dtype))
            for cell, dtype in zip(cells[0], dtypes, strict=True)
        ]
        source: sge.Expression = sge.Values(
            expressions=[sge.Tuple(expressions=row) for row in cells]
        )
    else:
        nulls = [sge.Cast(this=sge.Null(), to=column_type(dtype)) for dtype in dtypes]
        source = sge.Select(expressions=nulls).where(sge.false())
    return _cte(name, source, [identifier(column) for column in schema.names])


def table_cte(name: str, table: str) -> sge.CTE:
    """Return a table as a common table expression with another name."""
    return _cte(name, sge.Select(expressions=[sge.Star()]).from_(_table(table)), [])


def _cte(name: str, source: sge.Expression, columns: list[sge.Identifier]) -> sge.CTE:
    alias = sge.TableAlias(this=identifier(name), columns=columns)
    return sge.CTE(this=source, alias=alias, materialized=False)


def with_ctes(tree: sge.Expression, sources: list[sge.CTE]) -> sge.Expression:
    """Add common table expressions before a query, so that all parts of it can read them."""
    if not sources:
        return tree
    key = "with_" if "with_" in sge.Select.arg_types else "with"
    existing = tree.args.get(key)
    if existing is None:
        tree.set(key, sge.With(expressions=sources))
    else:
        existing.set("expressions", [*sources, *existing.expressions])
    return tree
