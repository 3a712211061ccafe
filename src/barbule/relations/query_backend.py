"""The backends of the tables of an expression.

Owns the interface that queries use of an engine and of its results, as Protocols: the engine itself
is a higher layer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, overload

import ibis.expr.operations as ops

from barbule.nodes import ManagedTable, SystemTable
from barbule.nodes.tree_walk import find_nodes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import ibis.expr.types as ir
    import pandas as pd
    import polars as pl
    import pyarrow as pa

__all__ = ["QueryDisplay", "QueryEngine", "QueryPlan", "QueryRows", "find_engine", "sources"]

_LEAVES = (ops.UnboundTable, ops.DatabaseTable, ops.SQLQueryResult)


class QueryRows(Protocol):
    """The rows of an executed query, see `ResultSet`."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[dict[str, Any]]: ...

    @overload
    def __getitem__(self, key: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, key: slice) -> QueryRows: ...
    @overload
    def __getitem__(self, key: str) -> list[Any]: ...
    @overload
    def __getitem__(self, key: tuple[int, str]) -> Any: ...

    def to_pyarrow(self) -> pa.Table:
        """Return the rows as an Arrow table; media are references."""

    def to_pandas(self) -> pd.DataFrame:
        """Return the rows as a pandas data frame; media are references, Json is a string."""

    def to_polars(self) -> pl.DataFrame:
        """Return the rows as a polars data frame; media are references, Json is a string."""


class QueryPlan(Protocol):
    """How a query would run; it prints as a tree."""

    @property
    def calls(self) -> int:
        """The number of calls to be made; the maximum, if it depends on answers."""

    @property
    def usd(self) -> tuple[float, float, float]:
        """The lowest, the expected and the highest cost, as far as prices are known."""


class QueryDisplay(Protocol):
    """Displays queries in terminals and notebooks."""

    def show(self, expr: ir.Table, count: int) -> None:
        """Print the first rows of an expression."""

    def html(self, expr: ir.Table) -> str:
        """Render the first rows of an expression."""

    def diff_text(self, diff: Any) -> str:
        """Format the difference of two versions."""

    def diff_html(self, diff: Any) -> str:
        """Render the difference of two versions."""


class QueryEngine(Protocol):
    """The engine that runs queries over managed tables."""

    backend: Any

    def collect(self, expr: ir.Expr, params: Mapping[Any, Any] | None = None) -> QueryRows:
        """Execute an expression and return its rows."""

    def explain(self, expr: ir.Expr) -> QueryPlan:
        """Return the plan of an expression."""

    def hold(self, expr: ir.Table) -> ops.Relation:
        """Execute an expression and keep its rows in memory; return the leaf that reads them."""

    @property
    def display(self) -> QueryDisplay:
        """Displays queries."""

    def write(self, form: str, expr: ir.Table, *arguments: Any) -> Any:
        """Write the rows of an expression as a data set."""


def find_engine(node: ops.Node) -> QueryEngine | None:
    """Return the engine behind the managed tables of a tree; None if there is none, or two."""
    engines = {leaf.source for leaf in find_nodes(node, (ManagedTable, SystemTable))}
    return engines.pop() if len(engines) == 1 else None


def sources(node: ops.Node) -> tuple[list[Any], bool]:
    """Return the backends of the leaves of a tree, and whether there are unbound leaves.

    Tables that the user created through the Ibis backend of an engine belong to the engine.
    """
    leaves = find_nodes(node, _LEAVES)
    backends = [leaf.source for leaf in leaves if not isinstance(leaf, ops.UnboundTable)]
    has_unbound = len(backends) < len(leaves)
    engine = find_engine(node)
    if engine is not None:
        own_backend = engine.backend.ibis
        backends = [
            engine if backend is own_backend or backend == engine else backend
            for backend in backends
        ]
    return list({id(backend): backend for backend in backends}.values()), has_unbound
