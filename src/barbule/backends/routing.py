"""The routing of Ibis methods: expressions over managed tables are executed by their engine.

A raw table and a managed one belong to the same database, so that Ibis allows an expression over
both. Owns the identity of that database for Ibis, and the routing of the raw backend's methods.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

import ibis.expr.types as ir

from barbule.relations.query_backend import find_engine

if TYPE_CHECKING:
    from collections.abc import Callable

    from ibis.backends import BaseBackend

__all__ = ["identity", "route_to_engine"]

P = ParamSpec("P")
T = TypeVar("T")

_VERBS = (
    "compile",
    "execute",
    "to_csv",
    "to_delta",
    "to_json",
    "to_pandas",
    "to_pandas_batches",
    "to_parquet",
    "to_parquet_dir",
    "to_polars",
    "to_pyarrow",
    "to_pyarrow_batches",
    "to_torch",
    "to_xlsx",
)


def identity(adapter: object) -> str:
    """Return the identity of a database, for its engine and for the Ibis backend of its adapter."""
    return f"barbule {id(adapter)}"


def route_to_engine(backend: type) -> None:
    """Let the methods of an Ibis backend run expressions over managed tables by their engine."""
    for name in _VERBS:
        if hasattr(backend, name):  # not every backend writes every format
            setattr(backend, name, _routed(name, getattr(backend, name)))
    backend.db_identity = property(lambda self: identity(self._adapter))  # type: ignore[attr-defined]


def _routed(name: str, verb: Callable[Concatenate[BaseBackend, ir.Expr, P], T]) -> Callable[..., T]:
    @functools.wraps(verb)
    def run(self: BaseBackend, expr: ir.Expr, /, *args: P.args, **kwargs: P.kwargs) -> T:
        engine = find_engine(expr.op()) if isinstance(expr, ir.Expr) else None
        if engine is None:
            return verb(self, expr, *args, **kwargs)
        result: T = getattr(engine, name)(expr, *args, **kwargs)
        return result

    return run
