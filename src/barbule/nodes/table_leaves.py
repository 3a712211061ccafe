"""The leaves of queries: managed tables, tables of barbule's own, and cached rows.

Owns what identifies a leaf. Its schema and its rows are the engine's business.
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

    The comparisons that Ibis remembers are not safe between threads (`barbule.expression_keys`).
    """

    def __eq__(self, other: object) -> bool:
        return self is other or (type(self) is type(other) and self.__equals__(other))

    __hash__ = ops.DatabaseTable.__hash__


class ManagedTable(_Leaf):
    """A table that barbule manages: an identity, whose schema is read from its source.

    The schema is no argument of the node, so expressions that were built before a column was
    added remain equal to, and combine with, those built after. `source` is the engine; it
    quacks as an Ibis backend, which makes any Ibis expression over the leaf run through it.

    Parameters
    ----------
    table_id
        The identity in the catalog.
    commit
        The commit at which the table is seen; None for the latest.
    hidden
        Whether the row identity (`_rid`) and stored embeddings are among the columns.
    """

    table_id: int
    commit: Optional[int] = None
    hidden: bool = False

    def _live_schema(self) -> sch.Schema:
        return self.source.schema_of(self)

    # The inherited argument `schema` stays empty; its value is looked up in the catalog.
    schema = property(_live_schema, lambda self, value: None)  # noqa: ARG005 - a property's setter

    def to_expr(self) -> ir.Table:
        """Return the table that shows this leaf, as the engine builds it."""
        return self.source.table_of(self)


class SystemTable(_Leaf):
    """A table of barbule's own (the call ledger, say) that users may query."""

    def to_expr(self) -> ir.Table:
        """Return the table that shows this leaf, as the engine builds it."""
        return self.source.table_of(self)


class CachedRows(SystemTable):
    """The rows of a query that was computed once, in memory.

    Parameters
    ----------
    cache
        An object that has them as `rows`, a relation in memory; one object is one set of rows.
    """

    cache: Any


def managed_table(
    name: str, source: object, table_id: int, *, commit: int | None = None, hidden: bool = False
) -> ManagedTable:
    """Make the leaf of a managed table."""
    return ManagedTable(
        name=name, schema=_EMPTY, source=source, table_id=table_id, commit=commit, hidden=hidden
    )
