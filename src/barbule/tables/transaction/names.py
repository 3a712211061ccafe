"""Names of tables, views and columns: valid names, free names, and the columns that they denote.

Owns the policies `if_exists` and `if_not_exists`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ibis.expr.types as ir
from ibis.common.exceptions import IbisError

from barbule.backends.base import BASE, FROM, RID, TO
from barbule.errors import (
    ColumnNotFoundError,
    ConfigurationError,
    ExpressionError,
    SchemaError,
    TableExistsError,
    UnsupportedError,
)
from barbule.relations.value_origins import origin
from barbule.suggestions import one_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from barbule.catalog.records import Column, TableRecord
    from barbule.executor.engine import Engine
    from barbule.nodes import ManagedTable
    from barbule.tables.arguments import ColumnLike, IfExists

__all__ = [
    "IF_EXISTS",
    "IF_NOT_EXISTS",
    "check_names",
    "check_policy",
    "check_storable",
    "column_name",
    "column_names",
    "current_record",
    "existing_table",
    "own_column",
    "physical_name",
]


IF_EXISTS = ("error", "ignore", "replace", "replace_force")

IF_NOT_EXISTS = ("error", "ignore")

_RESERVED_COLUMNS = {RID, FROM, TO, BASE}


def check_policy(value: str, allowed: tuple[str, ...], name: str) -> None:
    """Check the value of an `if_exists=` and the like."""
    if value not in allowed:
        raise ConfigurationError(
            f"{name} must be one of {', '.join(map(repr, allowed))}.",
            value=value,
            hint="Choose one.",
        )


def check_storable(name: str, subject: str, table: str | None = None) -> None:
    """Refuse a name that databases cannot store: with NUL, or half of a surrogate pair.

    Parameters
    ----------
    subject
        What the name belongs to, for messages.
    """
    if "\0" in name or any("\ud800" <= char <= "\udfff" for char in name):
        raise SchemaError(
            f"{subject} contains NUL or half of a surrogate pair, which databases cannot store.",
            table=table,
            value=name,
            hint="Choose another name.",
        )


def check_names(names: Iterable[Any], table: str, existing: Iterable[str] = ()) -> None:
    """Check that new columns may have these names.

    Parameters
    ----------
    existing
        The existing columns; whether one may be replaced is checked elsewhere.
    """
    names_by_lower = {name.lower(): name for name in existing}
    for name in names:
        if not isinstance(name, str) or not name:
            raise SchemaError(
                "the name of a column must be a non-empty string.", table=table, value=name
            )
        check_storable(name, "the name of a column", table)
        if name in _RESERVED_COLUMNS or name.lower().startswith("bb_"):
            raise SchemaError(
                "this name is reserved for barbule.",
                table=table,
                column=name,
                hint="Names that start with bb_, and _rid, _base, _from and _to, are reserved.",
            )
        existing_name = names_by_lower.setdefault(name.lower(), name)
        if existing_name != name:
            raise SchemaError(
                f"its name differs from {existing_name!r} only in case.",
                table=table,
                column=name,
                hint="Databases treat the two as the same name; choose another name.",
            )


def current_record(leaf: ManagedTable) -> TableRecord:
    """Return the structure of a table, which must be the current one, not an old version."""
    if leaf.commit is not None:
        raise UnsupportedError(
            "this is an old version of the table, which is read-only.",
            table=leaf.name,
            hint="Change the table itself, or revert it to that version.",
        )
    return leaf.source.catalog.record(leaf.table_id)


def own_column(record: TableRecord, name: str, visible: Iterable[str] = ()) -> Column:
    """Return a column of the table itself.

    Parameters
    ----------
    visible
        All visible columns: also those of the base of a view.
    """
    column = record.column(name)
    if column is not None and not column.hidden:
        return column
    if name in visible:
        raise UnsupportedError(
            "the view takes this column from its base.",
            table=record.name,
            column=name,
            hint="Change the base table.",
        )
    names = [column.name for column in record.columns if not column.hidden]
    raise ColumnNotFoundError(
        "there is no such column.",
        table=record.name,
        column=name,
        hint=one_of(name, names, "It has" if names else "Its own columns are"),
    )


def column_name(table: ir.Table, column: ColumnLike) -> str:
    """Return the name of a column that is given by name, or as the column itself.

    Raises
    ------
    ExpressionError
        If it is a column of another table, or a computed value.
    """
    if isinstance(column, str):
        return column
    try:
        (value,) = table.bind(column)
    except (IbisError, TypeError, ValueError):
        value = None
    source = origin(value.op()) if isinstance(value, ir.Value) else None
    leaf = table.op()
    if source is None or source[0].table_id != leaf.table_id or source[0].source != leaf.source:
        label = repr(value.get_name()) if isinstance(value, ir.Value) else "this"
        raise ExpressionError(
            f"{label} is not a column of the table.",
            table=leaf.name,
            value=None if isinstance(column, ir.Expr) else column,
            hint='Pass its name, "a", or the column itself, t.a.',
        )
    return source[1]


def column_names(table: ir.Table, columns: ColumnLike | Iterable[ColumnLike]) -> list[str]:
    """Return the names of one column or several; see `column_name`."""
    listed = columns if isinstance(columns, list | tuple | set) else [columns]
    return [column_name(table, column) for column in listed]


def physical_name(record: TableRecord, name: str) -> str:
    """Return the backend's name of a column."""
    column = record.column(name)
    if column is None:
        raise ColumnNotFoundError("there is no such column.", table=record.name, column=name)
    return column.physical


def existing_table(engine: Engine, name: str, if_exists: IfExists) -> TableRecord | None:
    """Return the table that keeps a name, if there is one and it stays.

    Raises
    ------
    TableExistsError
        If there is one and it blocks the name.
    """
    check_policy(if_exists, IF_EXISTS, "if_exists")
    if not isinstance(name, str) or not all(part.strip() for part in name.split(".")):
        raise SchemaError(
            "the name of a table must be a non-empty string, with dots between folders.",
            value=name,
            hint='"docs.reports".',
        )
    check_storable(name, "the name of a table")
    _check_folders(engine, name)
    existing = engine.catalog.find(name)
    if existing is not None and if_exists == "error":
        raise TableExistsError(
            "a table with this name already exists.",
            table=name,
            hint='Choose another name, or pass if_exists="ignore" or "replace".',
        )
    return existing if if_exists == "ignore" else None


def _check_folders(engine: Engine, name: str) -> None:
    """Check that no folder has the name of a table, and that no two tables differ only in case."""
    for other in engine.catalog.tables():
        if other.name != name and other.name.lower() == name.lower():
            raise TableExistsError(
                f"its name differs from {other.name!r} only in case.",
                table=name,
                hint="Databases treat the two as the same name; choose another name.",
            )
        if name.startswith(f"{other.name}."):
            raise TableExistsError(
                f"the folder that would contain it is the table {other.name!r}.",
                table=name,
                hint="Choose another name.",
            )
        if other.name.startswith(f"{name}."):
            raise TableExistsError(
                f"there is a folder with this name, which contains the table {other.name!r}.",
                table=name,
                hint="Choose another name.",
            )
