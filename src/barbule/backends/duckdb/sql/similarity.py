"""The similarity of two vectors, in SQL of DuckDB that has only finite results.

Owns that vectors that are not comparable have no score.
"""

from __future__ import annotations

import functools
import operator
from typing import TYPE_CHECKING

import ibis

if TYPE_CHECKING:
    from collections.abc import Callable

    import ibis.expr.operations as ops
    import ibis.expr.types as ir

__all__ = ["similarity"]

# The squared lengths of vectors that have a direction in float32.
_MIN_SQUARE, _MAX_SQUARE = 1.1754943508222875e-38, 3.4028234663852886e38


@ibis.udf.scalar.builtin(name="array_cosine_similarity")
def _cosine(left, right) -> float: ...  # type: ignore[no-untyped-def, empty-body]  # noqa: ANN001 - Ibis takes any value


@ibis.udf.scalar.builtin(name="array_inner_product")
def _inner(left, right) -> float: ...  # type: ignore[no-untyped-def, empty-body]  # noqa: ANN001 - Ibis takes any value


@ibis.udf.scalar.builtin(name="array_distance")
def _distance(left, right) -> float: ...  # type: ignore[no-untyped-def, empty-body]  # noqa: ANN001 - Ibis takes any value


@ibis.udf.scalar.builtin(name="list_pack")
def _list(value: float) -> list[float]: ...  # type: ignore[empty-body]


def _has_direction(vector: ir.Value) -> ir.BooleanValue:
    """Whether a vector has a direction: it is finite and not nearly zero."""
    return _inner(vector, vector).between(_MIN_SQUARE, _MAX_SQUARE)


def _let(
    value: ir.FloatingValue, body: Callable[[ir.FloatingValue], ir.FloatingValue]
) -> ops.Value:
    """Compute with a value that is written once; DuckDB computes it as often as it is written."""
    return _list(value).map(body)[0].op()


def similarity(left: ops.Value, right: ops.Value, metric: str) -> ops.Value:
    """Return the expression for the similarity of two vectors; larger is nearer."""
    a, b = left.to_expr(), right.to_expr()
    if metric == "cosine":
        # DuckDB returns -1 or 0 if there is no cosine; other vectors rarely have these values. A
        # constant has been checked before, and a lambda cannot refer to it.
        checks = [_has_direction(vector) for vector in (a, b) if vector.op().shape.is_columnar()]
        comparable = functools.reduce(operator.and_, checks, ibis.literal(True))
        return _let(
            _cosine(a, b), lambda score: (score.isin([-1, 0]) & ~comparable).ifelse(None, score)
        )
    score = _inner(a, b) if metric == "ip" else -_distance(a, b)
    # NaN would be larger than all numbers, and so would an infinite score.
    return _let(score, lambda score: (score.isnan() | score.isinf()).ifelse(None, score))
