"""Numeric promotion: the type in which an operation is computed, so that its results fit.

Owns only the rules. Ibis gives `-uint8` the type of its operand and `price * 1.19` the type of the
price, so databases overflow or round. Here integers are computed as int64, decimals with the digits
that a result may have, and decimals with floats as float64.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import ibis.expr.types as ir

from barbule.nodes.tree_walk import any_node
from barbule.relations.promotion.decimals import alike
from barbule.relations.promotion.number_types import UINT64_DIGITS, same_type
from barbule.relations.promotion.rules import RULES, with_common_decimals
from barbule.types.declarations.storage_forms import canonical

if TYPE_CHECKING:
    from typing import Any

__all__ = ["alike", "as_declared", "as_duration", "promoted", "with_sign"]

N = TypeVar("N", bound=ops.Node)
T = TypeVar("T")


def promoted(node: N) -> N:
    """Compute the numbers of a value or of a relation in types that hold the results.

    Examples
    --------
    >>> import ibis
    >>> t = ibis.table({"n": "uint8", "price": "decimal(10, 2)"})
    >>> [str(promoted(each.op()).dtype) for each in (-t.n, t.price * t.price, t.price * 1.19)]
    ['int64', 'decimal(20, 4)', 'float64']
    """
    node_filter = ops.Value if isinstance(node, ops.Value) else ops.Node
    if isinstance(node, ops.Value):
        needs_promotion = bool(node.find(_needs_promotion, filter=node_filter))
    else:
        needs_promotion = any_node(node, _needs_promotion)
    if not needs_promotion:
        return node

    def replace(part: ops.Node, kwargs: dict[str, Any] | None) -> ops.Node:
        rebuilt = part.__recreate__(with_common_decimals(part, kwargs)) if kwargs else part
        return _with_rule(rebuilt)

    return node.replace(replace, filter=node_filter)


def as_duration(value: ops.Value) -> ops.Value:
    """Convert an interval of a fixed length to the unit in which durations are stored."""
    kind = value.dtype
    if not isinstance(kind, dt.Interval) or isinstance(value, ops.SortKey):
        return value
    return value if same_type(canonical(kind), kind) else ops.Cast(value, canonical(kind))


def with_sign(divisor: T) -> T | ir.Value:
    """Write a divisor so that Ibis does not apply its rules to the zero that it is, or may be.

    This applies to a constant zero, and to a column of unsigned numbers.
    """
    if isinstance(divisor, int) and not isinstance(divisor, bool) and not divisor:
        divisor = ibis.literal(0, dt.int64)
    if not isinstance(divisor, ir.IntegerValue):
        return divisor
    op, kind = divisor.op(), divisor.type()
    is_zero = isinstance(op, ops.Literal) and not op.value
    unsigned = isinstance(divisor, ir.Column) and isinstance(kind, dt.UnsignedInteger)
    if not is_zero and not unsigned:
        return divisor
    wide = isinstance(kind, dt.UInt64) and not is_zero
    return ops.Cast(op, dt.Decimal(UINT64_DIGITS, 0) if wide else dt.int64).to_expr()


def as_declared(value: ops.Value, kind: dt.DataType) -> ops.Value:
    """Return a number with the type that its column was declared with, before promotion."""
    numbers = isinstance(value.dtype, dt.Numeric) and isinstance(kind, dt.Numeric)
    return ops.Cast(value, kind) if numbers and not same_type(value.dtype, kind) else value


def _with_rule(node: ops.Node) -> ops.Node:
    rule = RULES.get(type(node))
    return node if rule is None else rule(node)


def _needs_promotion(node: ops.Node) -> bool:
    return _with_rule(node) is not node
