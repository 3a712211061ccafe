"""Types follow the columns that they are made of, in views and in views over these.

Owns which columns of views get other types when columns below them do, and the refusal of types
that the query of a view cannot take. Values follow by `propagation`, and by `wholes`.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

import ibis.expr.datatypes as dt
import ibis.expr.operations as ops

from barbule import types
from barbule.errors import BarbuleError, SchemaError
from barbule.relations.errors.invalid_queries import REFUSALS
from barbule.tables.compute.dependencies import dependents
from barbule.tables.views.base_columns import shown_of
from barbule.tables.views.incremental import kept_with_rows
from barbule.types.data_types import canonical

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from barbule.catalog.records import Column, TableRecord
    from barbule.executor.engine import Engine
    from barbule.tables.transaction.transaction import Transaction

__all__ = ["is_wider", "retype_views", "retyped", "taking"]

_LENGTH = 200  # characters of a reason


@contextlib.contextmanager
def taking(record: TableRecord, column: str | None, what: str) -> Iterator[None]:
    """Refuse a change of a table's columns that what is made of them cannot take."""
    try:
        yield
    except (*REFUSALS, BarbuleError, TypeError, ValueError) as error:
        lines = str(error).strip().splitlines()
        reason = f": {lines[0].rstrip('.')}" if len(lines) == 1 and len(lines[0]) < _LENGTH else ""
        raise SchemaError(
            f"{what} cannot be computed from columns of these types{reason}.",
            table=record.name,
            column=column,
            hint="Drop it first, or add a computed column with .cast(...) and leave this one.",
        ) from error


def retyped(engine: Engine, stored: str, committed: str | None = None) -> ops.Node:
    """Read a stored expression over columns whose types a change gives.

    Parameters
    ----------
    committed
        The expression as it is committed, where the change has renamed columns in it.

    Raises
    ------
    SchemaError
        When it casts what it could, till now, to a type that does not take all values any more.
    """
    now = engine.expression(stored, None)
    before = engine.expression(committed or stored, engine.catalog.head)
    casts = [each.find(ops.Cast) for each in (before, now)]
    if len(casts[0]) == len(casts[1]):
        for old, new in zip(*casts, strict=True):
            if is_wider(old.arg.dtype, old.to) and not is_wider(new.arg.dtype, new.to):
                raise SchemaError(f"it computes {new.arg.name!r} as {new.to}, not {new.arg.dtype}.")
    _refuse_digits(before, now)
    return now


def _refuse_digits(before: ops.Node, now: ops.Node) -> None:
    """Refuse to compute wider decimals by an expression that has the digits of narrower ones."""
    known = {(field.name, field.dtype) for field in before.find(ops.Field)}
    for cast in now.find(ops.Cast):
        direct = isinstance(cast.arg, ops.Field) and is_wider(cast.arg.dtype, cast.to)
        if direct or not isinstance(cast.to, dt.Decimal):
            continue
        for field in cast.arg.find(ops.Field):
            if isinstance(field.dtype, dt.Decimal) and (field.name, field.dtype) not in known:
                raise SchemaError(f"it computes {cast.to} of {field.name!r}, now {field.dtype}.")


def retype_views(
    transaction: Transaction,
    record: TableRecord,
    changed: set[str],
    skip: Callable[[TableRecord], bool] = lambda _view: False,
    root: TableRecord | None = None,
) -> None:
    """Give columns of views the types that follow from those of a table, which is put already.

    Parameters
    ----------
    changed
        The columns of the table that may have other types.
    skip
        Tells the views over it that are to be left as they are.
    root
        The table that is changed, for errors; by default the same.

    Raises
    ------
    SchemaError
        When a view cannot take a type.
    """
    catalog, root = transaction.engine.catalog, root or record
    for view in catalog.views_of(record.id):
        if skip(view):
            continue
        with taking(root, None, f"the view {view.name!r}"):
            names = _retype(transaction, view, changed)
        if names:
            retype_views(transaction, catalog.record(view.id), names, root=root)
    for view in catalog.queries_over(record.id):
        with taking(root, None, f"the view {view.name!r}"):
            names = _retype_whole(transaction, view)
        if names:
            retype_views(transaction, catalog.record(view.id), names, root=root)


def _retype(transaction: Transaction, view: TableRecord, changed: set[str]) -> set[str]:
    """Retype the columns of a view whose rows are made of single rows of its base."""
    engine = transaction.engine
    names = shown_of(engine, view, changed)
    if view.view is None:
        return names
    latest = _committed(engine, view)
    for name in ("query", "items", "rows"):
        if stored := getattr(view.view, name):
            committed = getattr(latest.view, name) if latest and latest.view else None
            retyped(engine, stored, committed)
    for name, column in kept_with_rows(engine, view).items():
        kind = engine.expression(str(view.view.rows), None).schema[name]
        if not is_wider(kind, column.dtype):
            raise SchemaError(f"it keeps {column.name!r} as {column.dtype}, not {kind}.")
    return names | _retype_computed(transaction, view, names)


def _committed(engine: Engine, view: TableRecord) -> TableRecord | None:
    """Return the structure of a view before the change; None for one that it makes."""
    history = engine.catalog.history(view.id)
    return history[-1][1] if history else None


def _retype_whole(transaction: Transaction, view: TableRecord) -> set[str]:
    """Retype the columns of a view that is computed as a whole, and compute its rows anew."""
    if view.view is None:
        return set()
    latest = _committed(transaction.engine, view)
    committed = latest.view.query if latest and latest.view else None
    query = retyped(transaction.engine, view.view.query, committed)
    data = [column for column in view.columns if column.kind == "data"]
    kinds = dict(zip(data, query.schema.types, strict=True))
    names = _put_types(transaction, view, kinds, exactly=True)
    if not names:
        return names
    names |= _retype_computed(transaction, view, names)
    transaction.rebuild_view(view.id)
    return names


def _retype_computed(transaction: Transaction, view: TableRecord, names: set[str]) -> set[str]:
    """Retype computed columns downstream of others; return the names of all that are."""
    engine = transaction.engine
    below = dependents(engine, view, names)
    for column in below:
        latest = engine.catalog.record(view.id)
        old = _committed(engine, view)
        known = next((c for c in old.columns if c.id == column.id), None) if old else None
        value = retyped(engine, str(column.expression), known.expression if known else None)
        _put_types(transaction, latest, {column: value.dtype})
    return {column.name for column in below}


def _put_types(
    transaction: Transaction,
    view: TableRecord,
    kinds: dict[Column, dt.DataType],
    *,
    exactly: bool = False,
) -> set[str]:
    """Give columns of a view these types, where theirs do not take them; return their names.

    Parameters
    ----------
    exactly
        Whether wider ones are given up, too: of what is written anew.
    """
    names = set()
    for column, kind in kinds.items():
        virtual = column.kind == "virtual"
        fits = is_wider(kind, column.dtype) and (not exactly or is_wider(column.dtype, kind))
        if kind == column.dtype or (not virtual and fits):
            continue
        new = replace(column, dtype=kind)
        if not virtual:  # old versions keep what they had
            new = replace(new, id=view.next_column)
        view = view.replace_column(column, new)
        transaction.put_record(view)
        if not virtual:
            transaction.add_column(view, new)
        names.add(column.name)
    return names


def is_wider(old: dt.DataType, new: dt.DataType) -> bool:
    """Whether a type takes all values of another as they are."""
    if not new.nullable and old.nullable:
        return False
    if types.storage(old).copy(nullable=True) == types.storage(new).copy(nullable=True):
        return True
    if isinstance(old, dt.Integer) and isinstance(new, dt.Integer):
        return new.bounds.lower <= old.bounds.lower and old.bounds.upper <= new.bounds.upper
    if isinstance(old, dt.Integer) and isinstance(new, dt.Floating | dt.Decimal):
        return True
    if isinstance(old, dt.Decimal) and isinstance(new, dt.Decimal):
        return _has_room(old, new)
    if isinstance(old, dt.Floating) and isinstance(new, dt.Floating):
        return new.nbytes >= old.nbytes
    if isinstance(old, dt.Date) and isinstance(new, dt.Timestamp):
        return True
    if isinstance(old, dt.Array) and isinstance(new, dt.Array):
        return old.length == new.length and is_wider(old.value_type, new.value_type)
    return isinstance(new, dt.String) and isinstance(old, dt.Primitive | dt.UUID | dt.Date)


def _has_room(old: dt.Decimal, new: dt.Decimal) -> bool:
    """Whether a decimal has the digits of another, before the point and after it."""
    sized = [canonical(kind) for kind in (old, new)]
    before = [int(kind.precision) - int(kind.scale) for kind in sized]
    return before[1] >= before[0] and sized[1].scale >= sized[0].scale
