# ruff: noqa: N802 - Ibis finds these methods by the names of its operations
"""Ibis expressions as SQL of Postgres.

The class is made of layers: `operations` on plain values (with `strings` and `temporal`), `jsonb`
and `arrays`. Owns aggregates and
relations, and that results keep the forms in which they are stored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import sqlglot as sg
import sqlglot.expressions as sge
from ibis.backends.sql.compilers.base import NULL, SQLGlotCompiler

from barbule.backends.postgres.sql.arrays import ArrayOperations
from barbule.backends.postgres.sql.column_types import PostgresTypes
from barbule.backends.postgres.sql.similarity import similarity_template
from barbule.backends.postgres.sql.templates import fill_template

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import ibis.expr.operations as ops
    import ibis.expr.types as ir

    from barbule.backends.postgres.sql.similarity import VectorSimilarity

__all__ = ["COMPILER"]


class PostgresCompiler(ArrayOperations):
    """Ibis' compiler, for values as Postgres stores them."""

    __slots__ = ()
    type_mapper = PostgresTypes
    SIMPLE_OPS: ClassVar[dict[Any, str]] = {}  # those of the base class are inherited as methods
    UNSUPPORTED_OPS = ()

    def to_sqlglot(
        self,
        expr: ir.Expr,
        *,
        limit: str | int | None = None,
        params: Mapping[ir.Scalar, object] | None = None,
    ) -> sge.Expression:
        """Compile an expression; results have the forms in which they are stored."""
        return SQLGlotCompiler.to_sqlglot(self, expr, limit=limit, params=params)

    # Aggregates that Postgres does not have

    def _array_agg_element(
        self,
        op: ops.Value,
        arg: sge.Expression,
        where: sge.Expression | None,
        order_by: Sequence[sge.Expression],
        last: bool = False,
    ) -> sge.Expression:
        """Return the first or last element of an array of the aggregated values."""
        element = self._to_element(op.arg.dtype, arg)
        array = self.agg.array_agg(element, where=where, order_by=order_by)
        index = self.f.cardinality(array.copy()) if last else 0  # sqlglot counts from zero
        return self._from_element(op.dtype, sge.paren(array, copy=False)[index])

    def visit_First(
        self,
        op: ops.First,
        *,
        arg: sge.Expression,
        where: sge.Expression | None,
        order_by: Sequence[sge.Expression],
        include_null: bool,
    ) -> sge.Expression:
        """Return the first value."""
        return self._array_agg_element(op, arg, _where_not_null(arg, where, include_null), order_by)

    def visit_Last(
        self,
        op: ops.Last,
        *,
        arg: sge.Expression,
        where: sge.Expression | None,
        order_by: Sequence[sge.Expression],
        include_null: bool,
    ) -> sge.Expression:
        """Return the last value."""
        return self._array_agg_element(
            op, arg, _where_not_null(arg, where, include_null), order_by, last=True
        )

    def visit_Arbitrary(
        self, op: ops.Arbitrary, *, arg: sge.Expression, where: sge.Expression | None
    ) -> sge.Expression:
        """Return any value."""
        return self._array_agg_element(op, arg, _where_not_null(arg, where, False), ())

    # Relations

    def visit_Select(
        self,
        op: ops.Relation,
        *,
        parent: sge.Expression,
        qualified: Sequence[sge.Expression],
        **parts: Any,
    ) -> sge.Expression:
        """Select; a filter by window functions is a filter of a subquery."""
        if not qualified:
            return super().visit_Select(op, parent=parent, qualified=qualified, **parts)
        keys, distinct = parts.pop("sort_keys"), parts.pop("distinct")
        inner = super().visit_Select(
            op, parent=parent, qualified=(), sort_keys=(), distinct=False, **parts
        )
        order = []
        for number, key in enumerate(keys):
            inner = inner.select(key.this.as_(f"_bb_key_{number}"))
            order.append(key.copy())
            order[-1].set("this", sg.column(f"_bb_key_{number}"))
        inner = inner.select(sg.and_(*qualified).as_("_bb_qualified"))
        names = [sg.column(name, quoted=True) for name in op.schema.names]
        outer = sg.select(*names).from_(inner.subquery("_bb_all")).where(sg.column("_bb_qualified"))
        if order:
            outer = outer.order_by(*order)
        return outer.distinct() if distinct else outer

    def visit_JoinLink(
        self, op: ops.Node, *, how: str, table: sge.Expression, predicates: Sequence[sge.Expression]
    ) -> sge.Expression:
        """Join; Ibis takes the right side of an inequality for that of the joined table."""
        if how == "asof" and op.table in op.predicates[0].left.relations:
            first = predicates[0]
            mirrored = _MIRRORED[type(first)](this=first.expression, expression=first.this)
            predicates = (mirrored, *predicates[1:])
        return super().visit_JoinLink(op, how=how, table=table, predicates=predicates)

    # Others

    def visit_RegexSearch(
        self, op: ops.RegexSearch, *, arg: sge.Expression, pattern: sge.Expression
    ) -> sge.Expression:
        """Match a pattern; by an operator, which every version has."""
        return sge.RegexpLike(this=arg, expression=pattern)

    def visit_VectorSimilarity(
        self, op: VectorSimilarity, *, left: sge.Expression, right: sge.Expression, metric: str
    ) -> sge.Expression:
        """Compare two vectors."""
        return sge.Subquery(this=fill_template(similarity_template(metric), a=left, b=right))


_MIRRORED = {sge.GT: sge.LT, sge.LT: sge.GT, sge.GTE: sge.LTE, sge.LTE: sge.GTE}


def _where_not_null(
    arg: sge.Expression, where: sge.Expression | None, include_null: bool
) -> sge.Expression | None:
    """Return the filter of an aggregate, without missing values."""
    if include_null:
        return where
    present = arg.is_(sg.not_(NULL, copy=False))
    return present if where is None else sge.And(this=present, expression=where)


COMPILER = PostgresCompiler()
