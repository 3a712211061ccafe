"""Propagates wider column types to views, and to views over these.

Owns which columns of views get other types, and the refusal of types that the query of a view
cannot take. `propagation` and `full_refresh` update their values.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt
import ibis.expr.operations as ops

from barbule import types
from barbule.errors import BarbuleError, SchemaError
from barbule.relations.errors.invalid_queries import REFUSALS
from barbule.tables.compute.dependencies import dependent_columns
from barbule.tables.views.base_columns import derived_columns
from barbule.tables.views.incremental import materialized_columns
from barbule.types.declarations import by_pair
from barbule.types.declarations.storage_forms import canonical

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from barbule.catalog.records import Column, TableRecord
    from barbule.executor.engine import Engine
    from barbule.tables.transaction.transaction import Transaction

__all__ = ["is_wider", "refusing_type_change", "retype_expression", "retype_views"]

_MAX_REASON_CHARACTERS = 200  # characters of a reason


@contextlib.contextmanager
def refusing_type_change(record: TableRecord, column: str | None, subject: str) -> Iterator[None]:
    """Convert errors of dependent computations to refusals of the new types."""
    try:
        yield
    except (*REFUSALS, BarbuleError, TypeError, ValueError) as error:
        lines = str(error).strip().splitlines()
        reason = (
            f": {lines[0].rstrip('.')}"
            if len(lines) == 1 and len(lines[0]) < _MAX_REASON_CHARACTERS
            else ""
        )
        raise SchemaError(
            f"{subject} cannot be computed from columns of these types{reason}.",
            table=record.name,
            column=column,
            hint="Drop it first, or add a computed column with .cast(...) and keep this one.",
        ) from error


def retype_expression(engine: Engine, stored: str, committed: str | None = None) -> ops.Node:
    """Read a stored expression over the column types of the transaction.

    Parameters
    ----------
    committed
        The committed expression, if the transaction has renamed columns in it.

    Raises
    ------
    SchemaError
        If it casts a value that it could cast before to a type that no longer takes all values.
    """
    new_expression = engine.expression(stored, None)
    old_expression = engine.expression(committed or stored, engine.catalog.head)
    cast_lists = [expression.find(ops.Cast) for expression in (old_expression, new_expression)]
    if len(cast_lists[0]) == len(cast_lists[1]):
        for old, new in zip(*cast_lists, strict=True):
            if is_wider(old.arg.dtype, old.to) and not is_wider(new.arg.dtype, new.to):
                raise SchemaError(f"it computes {new.arg.name!r} as {new.to}, not {new.arg.dtype}.")
    _check_decimal_digits(old_expression, new_expression)
    return new_expression


def _check_decimal_digits(old_expression: ops.Node, new_expression: ops.Node) -> None:
    """Refuse to compute wider decimals with an expression that has the digits of narrower ones."""
    old_fields = {(field.name, field.dtype) for field in old_expression.find(ops.Field)}
    for cast in new_expression.find(ops.Cast):
        direct = isinstance(cast.arg, ops.Field) and is_wider(cast.arg.dtype, cast.to)
        if direct or not isinstance(cast.to, dt.Decimal):
            continue
        for field in cast.arg.find(ops.Field):
            if isinstance(field.dtype, dt.Decimal) and (field.name, field.dtype) not in old_fields:
                raise SchemaError(f"it computes {cast.to} of {field.name!r}, now {field.dtype}.")


def retype_views(
    transaction: Transaction,
    record: TableRecord,
    changed: set[str],
    skip: Callable[[TableRecord], bool] = lambda _view: False,
    root: TableRecord | None = None,
) -> None:
    """Retype the columns of views after those of a table, whose record is already stored.

    Parameters
    ----------
    changed
        The columns of the table that may have other types.
    skip
        Selects the views over it that are left unchanged.
    root
        The changed table, for errors; by default the same.

    Raises
    ------
    SchemaError
        If a view cannot take a type.
    """
    catalog, root = transaction.engine.catalog, root or record
    for view in catalog.views_of(record.id):
        if skip(view):
            continue
        with refusing_type_change(root, None, f"the view {view.name!r}"):
            names = _retype_row_view(transaction, view, changed)
        if names:
            retype_views(transaction, catalog.record(view.id), names, root=root)
    for view in catalog.queries_over(record.id):
        with refusing_type_change(root, None, f"the view {view.name!r}"):
            names = _retype_full_refresh_view(transaction, view)
        if names:
            retype_views(transaction, catalog.record(view.id), names, root=root)


def _retype_row_view(transaction: Transaction, view: TableRecord, changed: set[str]) -> set[str]:
    """Retype the columns of a view whose rows derive from single rows of its base."""
    engine = transaction.engine
    names = derived_columns(engine, view, changed)
    if view.view is None:
        return names
    committed_view = _committed_record(engine, view)
    for name in ("query", "items", "rows"):
        if stored := getattr(view.view, name):
            committed = (
                getattr(committed_view.view, name)
                if committed_view and committed_view.view
                else None
            )
            retype_expression(engine, stored, committed)
    for name, column in materialized_columns(engine, view).items():
        dtype = engine.expression(str(view.view.rows), None).schema[name]
        if not is_wider(dtype, column.dtype):
            raise SchemaError(f"it stores {column.name!r} as {column.dtype}, not {dtype}.")
    return names | _retype_computed(transaction, view, names)


def _committed_record(engine: Engine, view: TableRecord) -> TableRecord | None:
    """Return the structure of a view before the transaction; None for a new one."""
    history = engine.catalog.history(view.id)
    return history[-1][1] if history else None


def _retype_full_refresh_view(transaction: Transaction, view: TableRecord) -> set[str]:
    """Retype the columns of a view with a full refresh, and rebuild its rows."""
    if view.view is None:
        return set()
    committed_view = _committed_record(transaction.engine, view)
    committed = committed_view.view.query if committed_view and committed_view.view else None
    query = retype_expression(transaction.engine, view.view.query, committed)
    data = [column for column in view.columns if column.kind == "data"]
    dtypes = dict(zip(data, query.schema.types, strict=True))
    names = _put_column_types(transaction, view, dtypes, exactly=True)
    if not names:
        return names
    names |= _retype_computed(transaction, view, names)
    transaction.rebuild_view(view.id)
    return names


def _retype_computed(transaction: Transaction, view: TableRecord, names: set[str]) -> set[str]:
    """Retype computed columns downstream of others; return the names of all that are."""
    engine = transaction.engine
    downstream = dependent_columns(engine, view, names)
    for column in downstream:
        latest = engine.catalog.record(view.id)
        committed_view = _committed_record(engine, view)
        committed_column = (
            next((c for c in committed_view.columns if c.id == column.id), None)
            if committed_view
            else None
        )
        value = retype_expression(
            engine,
            str(column.expression),
            committed_column.expression if committed_column else None,
        )
        _put_column_types(transaction, latest, {column: value.dtype})
    return {column.name for column in downstream}


def _put_column_types(
    transaction: Transaction,
    view: TableRecord,
    dtypes: dict[Column, dt.DataType],
    *,
    exactly: bool = False,
) -> set[str]:
    """Set the types of columns of a view that cannot hold new ones; return their names.

    Parameters
    ----------
    exactly
        Whether wider types also become narrower: if all rows are rewritten.
    """
    names = set()
    for column, dtype in dtypes.items():
        virtual = column.kind == "virtual"
        fits = is_wider(dtype, column.dtype) and (not exactly or is_wider(column.dtype, dtype))
        if dtype == column.dtype or (not virtual and fits):
            continue
        new = replace(column, dtype=dtype)
        if not virtual:  # old versions keep their values
            new = replace(new, id=view.next_column)
        view = view.replace_column(column, new)
        transaction.put_record(view)
        if not virtual:
            transaction.add_column(view, new)
        names.add(column.name)
    return names


def is_wider(old: dt.DataType, new: dt.DataType) -> bool:
    """Whether a type takes all values of another unchanged."""
    if not new.nullable and old.nullable:
        return False
    if types.storage(old).copy(nullable=True) == types.storage(new).copy(nullable=True):
        return True
    takes_all = by_pair(_WIDENINGS, old, new)
    return takes_all is not None and takes_all(old, new)


def _has_range_of(old: dt.Integer, new: dt.Integer) -> bool:
    return new.bounds.lower <= old.bounds.lower and old.bounds.upper <= new.bounds.upper


def _has_digits_of(old: dt.Decimal, new: dt.Decimal) -> bool:
    """Whether a decimal has the digits of another, before and after the decimal point."""
    canonical_dtypes = [canonical(dtype) for dtype in (old, new)]
    integer_digits = [int(dtype.precision) - int(dtype.scale) for dtype in canonical_dtypes]
    return (
        integer_digits[1] >= integer_digits[0]
        and canonical_dtypes[1].scale >= canonical_dtypes[0].scale
    )


def _is_always_wider(_old: dt.DataType, _new: dt.DataType) -> bool:
    return True


_TEXT: dict[Any, Callable[[Any, Any], bool]] = {dt.String: _is_always_wider}
# Whether a type takes all values of another: by the class of the other, then its own.
_WIDENINGS: dict[Any, dict[Any, Callable[[Any, Any], bool]]] = {
    dt.Integer: {
        dt.Integer: _has_range_of,
        dt.Floating: _is_always_wider,
        dt.Decimal: _is_always_wider,
        **_TEXT,
    },
    dt.Decimal: {dt.Decimal: _has_digits_of},
    dt.Floating: {dt.Floating: lambda old, new: new.nbytes >= old.nbytes, **_TEXT},
    dt.Date: {dt.Timestamp: _is_always_wider, **_TEXT},
    dt.Array: {
        dt.Array: lambda old, new: (
            old.length == new.length and is_wider(old.value_type, new.value_type)
        )
    },
    dt.Primitive: _TEXT,
    dt.UUID: _TEXT,
}
