"""Which backend Ibis asks does not matter: managed tables are computed by their engine.

An expression over a raw table and a managed one belongs to the same database by either. Owns
what makes Ibis see that, and the way from the raw backend's verbs to the engine.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import ibis.expr.types as ir

from barbule.relations.query_backend import find_engine

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["identity", "route_to_engine"]

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
    """Return what an engine and the Ibis backend of its adapter have in common."""
    return f"barbule {id(adapter)}"


def route_to_engine(backend: type) -> None:
    """Let the verbs of an Ibis backend hand what reads managed tables to their engine."""
    for name in _VERBS:
        if hasattr(backend, name):  # not every backend writes every format
            setattr(backend, name, _routed(name, getattr(backend, name)))
    backend.db_identity = property(lambda self: identity(self._adapter))  # type: ignore[attr-defined]


def _routed(name: str, verb: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(verb)
    def run(self: Any, expr: Any, /, *args: Any, **kwargs: Any) -> Any:
        engine = find_engine(expr.op()) if isinstance(expr, ir.Expr) else None
        return (
            verb(self, expr, *args, **kwargs)
            if engine is None
            else getattr(engine, name)(expr, *args, **kwargs)
        )

    return run
