"""Sort keys: the order of rows, by columns of any type."""

from __future__ import annotations

from typing import TypeVar

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import ibis.expr.types as ir

T = TypeVar("T")

__all__ = ["descending", "flat_keys", "json_by_kind"]


def flat_keys(key: T | list[T] | tuple[T, ...]) -> tuple[T, ...]:
    """Return the keys of a list or tuple; a single key alone."""
    return tuple(key) if isinstance(key, list | tuple) else (key,)


def descending(key: str | ir.Value) -> ir.Value:
    """Sort by a key in descending order, missing values last."""
    return ibis.desc(key, nulls_first=False)


def json_by_kind(query: ir.Table) -> ir.Table:
    """Sort Json by its values: numbers first, then strings, then all else."""
    sort = query.op()
    if not isinstance(sort, ops.Sort) or not any(key.dtype.is_json() for key in sort.keys):
        return query
    keys: list[ops.SortKey] = []
    for key in sort.keys:
        if not isinstance(key.dtype, dt.JSON):
            keys.append(key)
            continue
        parts = ops.UnwrapJSONFloat64(key.arg), ops.UnwrapJSONString(key.arg)
        keys += [key.copy(arg=part) for part in (*parts, ops.Cast(key.arg, dt.string))]
    return sort.copy(keys=tuple(keys)).to_expr()
