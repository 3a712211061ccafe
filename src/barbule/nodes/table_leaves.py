"""The leaves of queries: managed tables, barbule's own tables, and cached rows.

Owns the identity of a leaf. The engine provides its schema and its rows.
"""

from __future__ import annotations

from typing import Any, Optional

import ibis.expr.operations as ops
import ibis.expr.schema as sch
import ibis.expr.types as ir

__all__ = ["CachedRows", "ManagedTable", "SystemTable", "managed_table"]

_EMPTY = sch.Schema({})


class _Leaf(ops.DatabaseTable):
    """A table at the bottom of expressions, which all threads share.

    The comparisons that Ibis caches are not thread-safe (`barbule.expression_keys`).
    """

    def __eq__(self, other: object) -> bool:
        return self is other or (type(self) is type(other) and self.__equals__(other))

    __hash__ = ops.DatabaseTable.__hash__


class ManagedTable(_Leaf):
    """A table that barbule manages: an identity, whose schema is read from its source.

    The schema is not an argument of the node, so expressions that were built before a column was
    added remain equal to, and combine with, those built after. `source` is the engine; it behaves
    like an Ibis backend, so any Ibis expression over the leaf runs through it.

    Parameters
    ----------
    table_id
        The table id in the catalog.
    commit
        The commit at which the table is read; None for the latest.
    hidden
        Whether the row id (`_rid`) and stored embeddings are among the columns.
    """

    table_id: int
    commit: Optional[int] = None
    hidden: bool = False

    def _live_schema(self) -> sch.Schema:
        return self.source.schema_of(self)

    # The inherited argument `schema` stays empty; its value is looked up in the catalog.
    schema = property(_live_schema, lambda self, value: None)  # noqa: ARG005 - a property's setter

    def to_expr(self) -> ir.Table:
        """Return the table of this leaf, as the engine builds it."""
        return self.source.table_of(self)


class SystemTable(_Leaf):
    """A table of barbule itself (for example the call ledger) that users may query."""

    def to_expr(self) -> ir.Table:
        """Return the table of this leaf, as the engine builds it."""
        return self.source.table_of(self)


class CachedRows(SystemTable):
    """The rows of a query that was executed once, in memory.

    Parameters
    ----------
    cache
        An object that holds them as `rows`, a relation in memory; one object is one set of rows.
    """

    cache: Any


def managed_table(
    name: str, source: object, table_id: int, *, commit: int | None = None, hidden: bool = False
) -> ManagedTable:
    """Create the leaf of a managed table."""
    return ManagedTable(
        name=name, schema=_EMPTY, source=source, table_id=table_id, commit=commit, hidden=hidden
    )
