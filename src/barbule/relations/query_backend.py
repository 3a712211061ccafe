"""Which database an expression is run by, where it reads several things."""

from __future__ import annotations

from typing import Any

import ibis.expr.operations as ops

from barbule.nodes import ManagedTable, SystemTable

__all__ = ["engine_of", "sources"]

_LEAVES = (ops.UnboundTable, ops.DatabaseTable, ops.SQLQueryResult)


def engine_of(node: ops.Node) -> Any:
    """Return the engine behind the managed tables of a tree; None where there is none, or two."""
    engines = {id(leaf.source): leaf.source for leaf in node.find((ManagedTable, SystemTable))}
    return next(iter(engines.values())) if len(engines) == 1 else None


def sources(node: ops.Node) -> tuple[list[Any], bool]:
    """Return what the leaves of a tree belong to, and whether there are unbound ones.

    Tables that the user made through the Ibis backend of an engine belong to the engine.
    """
    leaves = node.find(_LEAVES)
    bound = [leaf.source for leaf in leaves if not isinstance(leaf, ops.UnboundTable)]
    engine = engine_of(node)
    if engine is not None:
        below = engine.backend.ibis
        bound = [engine if source is below else source for source in bound]
    distinct = {id(source): source for source in bound}
    return list(distinct.values()), len(bound) < len(leaves)
